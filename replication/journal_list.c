#include "replication/journal_list.h"

#include "replication/digest_index.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/retained.h"

/* Room for so many at first. Chosen: more than most databases keep. */
#define FIRST_ROOM 64

/* Times to begin anew. Chosen: each takes a seal between two calls; only while
 * a database is reopened in place does it last longer. */
#define ATTEMPTS_MAX 8

/* All there are, by one call: they are of one moment. */
static enum ldb_status take_all(struct ldb_retained *retained,
                                struct ldb_retained_journal **journals,
                                size_t *out_count)
{
    for (size_t room = FIRST_ROOM;; room *= 2) {
        struct ldb_retained_journal *more =
            ldb_mem_realloc(*journals, room, sizeof(*more));

        if (more == NULL)
            return LDB_NO_MEMORY;
        *journals = more;
        *out_count = ldb_retained_list(retained, 0, more, room);
        if (*out_count < room)
            return LDB_OK;
    }
}

/* The journals, and a durable position in one of them, or before. */
static enum ldb_status take_both(struct ldb_db *db,
                                 struct ldb_retained *retained,
                                 struct ldb_error *err,
                                 struct ldb_retained_journal **journals,
                                 size_t *out_count, struct ldb_position *out)
{
    for (unsigned i = 0; i < ATTEMPTS_MAX; i++) {
        enum ldb_status s = take_all(retained, journals, out_count);

        if (s != LDB_OK)
            return ldb_error_no_memory(err);
        *out = ldb_durable_position(db);
        /* Not so when a journal has begun in between. */
        if (*out_count > 0 &&
            out->journal <= (*journals)[*out_count - 1].number)
            return LDB_OK;
    }
    return ldb_error_set(err, LDB_STALLED,
                         "the journals are being changed just now");
}

static void fill_entry(const struct ldb_retained_journal *journal,
                       const struct ldb_position *durable,
                       struct repl_digest_index *digests,
                       struct repl_journal_entry *out)
{
    *out = (struct repl_journal_entry){
        .number = journal->number,
        .len = journal->len,
        .is_sealed = journal->is_sealed,
        .is_archived = journal->is_archived,
        .first = journal->first,
        .last = journal->last,
    };
    if (journal->is_sealed && digests != NULL) {
        const struct repl_digest_file file = {.type = LDB_FILE_JOURNAL,
                                              .number = journal->number,
                                              .size = journal->len};

        out->has_digest = repl_digest_index_get(digests, &file, &out->digest);
        if (!out->has_digest)
            (void)repl_digest_index_want(digests, &file);
    }
    if (journal->is_sealed)
        return;
    /* None yet, or those up to the durable position. */
    out->len = 0;
    out->last = journal->first - 1;
    if (durable->journal == journal->number) {
        out->len = durable->offset;
        /* Before the first write that may be an epoch's base. */
        if (out->len > 0 && durable->sequence > out->last)
            out->last = durable->sequence;
    }
}

static enum ldb_status fill(const struct ldb_retained_journal *journals,
                            size_t count, struct repl_digest_index *digests,
                            struct repl_journal_list *out,
                            struct ldb_error *err)
{
    if (count == 0)
        return LDB_OK;
    out->entries = ldb_mem_alloc(count, sizeof(*out->entries));
    if (out->entries == NULL)
        return ldb_error_no_memory(err);
    out->count = count;
    for (size_t i = 0; i < count; i++)
        fill_entry(&journals[i], &out->durable, digests, &out->entries[i]);
    return LDB_OK;
}

enum ldb_status repl_journal_list_take(struct ldb_db *db,
                                       struct repl_digest_index *digests,
                                       uint64_t number, struct ldb_error *err,
                                       struct repl_journal_list *out)
{
    struct ldb_retained *retained = ldb_db_retained(db);
    struct ldb_retained_journal *journals = NULL;
    struct repl_journal_list list = {0};
    size_t count = 0;
    size_t first = 0;
    enum ldb_status s;

    if (retained == NULL)
        return ldb_error_set(err, LDB_READ_ONLY,
                             "opened read-only, or a twin: it has no journals "
                             "of its own");
    s = take_both(db, retained, err, &journals, &count, &list.durable);
    if (s == LDB_OK) {
        while (first < count && journals[first].number < number)
            first++;
        if (count - first > REPL_JOURNALS_LISTED_MAX)
            first = count - REPL_JOURNALS_LISTED_MAX;
        s = fill(journals + first, count - first, digests, &list, err);
    }
    ldb_mem_free(journals);
    if (s == LDB_OK)
        *out = list;
    return s;
}

void repl_journal_list_release(struct repl_journal_list *list)
{
    ldb_mem_free(list->entries);
    *list = (struct repl_journal_list){0};
}
