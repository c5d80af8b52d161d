/*
 * A reader stands in a journal, at a byte up to which it has read. How far it
 * may go on is the durable position's: its offset, where that is in the same
 * journal; all of it, where it is in a later one. Only then comes the next
 * journal, and it must be the one that follows.
 */
#include "storage/change_reader.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/db_internal.h"
#include "storage/journal/journal_search.h"

struct ldb_change_reader {
    struct ldb_db *db;
    struct ldb_pin pin;
    ldb_sequence since;    /* no change up to there is given */
    ldb_sequence position; /* all up to there was */
    uint64_t journal;
    uint64_t offset;     /* where stream is to begin */
    uint64_t sealed_len; /* of the journal; 0: not known to be sealed */
    struct ldb_journal_stream *stream; /* NULL: not yet opened */
};

static enum ldb_status gone(struct ldb_db *db, struct ldb_error *err,
                            ldb_sequence sequence)
{
    return ldb_error_set(err, LDB_GONE,
                         "changes after %" PRIu64
                         " are no longer here; the oldest are those after "
                         "%" PRIu64,
                         sequence, ldb_retained_oldest(db->retained));
}

/* ---- opening ---- */

static void print_name(uint64_t journal, char out[LDB_FILE_NAME_SIZE])
{
    ldb_file_name_print(out, LDB_FILE_JOURNAL, journal);
}

/* Journal `journal` from its beginning, or from where `since` stands in it. */
static enum ldb_status search(struct ldb_change_reader *r,
                              const struct ldb_position *durable,
                              struct ldb_error *err)
{
    struct ldb_random_file *file = NULL;
    uint64_t len =
        r->journal == durable->journal ? durable->offset : r->sealed_len;
    char name[LDB_FILE_NAME_SIZE];
    enum ldb_status s;

    if (len == 0)
        return LDB_OK;
    print_name(r->journal, name);
    s = ldb_retained_open_random(r->db->retained, r->journal, err, &file);
    if (s == LDB_NOT_FOUND)
        return gone(r->db, err, r->since);
    if (s != LDB_OK)
        return s;
    s = ldb_journal_search(file, name, len, r->since + 1, err, &r->offset);
    ldb_random_close(file);
    return s;
}

/* Everything durable is known: what comes next stands after that point. */
static enum ldb_status start_at_end(struct ldb_change_reader *r,
                                    const struct ldb_position *durable)
{
    struct ldb_position now;

    r->journal = durable->journal;
    r->offset = durable->offset;
    if (ldb_retained_pin(r->db->retained, &r->pin, r->journal))
        return LDB_OK;
    /* Sealed and gone: where the point has not moved, this is its end. */
    now = ldb_durable_position(r->db);
    r->sealed_len = durable->offset;
    return now.journal == durable->journal && now.offset == durable->offset
               ? LDB_OK
               : LDB_NOT_FOUND;
}

static enum ldb_status find_start(struct ldb_change_reader *r,
                                  struct ldb_error *err)
{
    struct ldb_position durable = ldb_durable_position(r->db);
    struct ldb_retained_journal journal;

    while (r->since >= durable.sequence) {
        if (start_at_end(r, &durable) == LDB_OK)
            return LDB_OK;
        durable = ldb_durable_position(r->db);
    }
    if (ldb_retained_find(r->db->retained, r->since, &journal) != LDB_OK)
        return gone(r->db, err, r->since);
    r->journal = journal.number;
    r->offset = 0;
    r->sealed_len = journal.is_sealed ? journal.len : 0;
    /* It may have gone before that: then it cannot be opened. */
    (void)ldb_retained_pin(r->db->retained, &r->pin, r->journal);
    return search(r, &durable, err);
}

enum ldb_status ldb_change_reader_open(struct ldb_db *db, ldb_sequence since,
                                       struct ldb_error *err,
                                       struct ldb_change_reader **out)
{
    struct ldb_change_reader *r;
    enum ldb_status s;

    if (db->retained == NULL)
        return ldb_error_set(err, LDB_READ_ONLY,
                             "a database that is open read-only has no "
                             "changes");
    assert(since <= LDB_SEQUENCE_MAX);
    r = ldb_mem_zalloc(1, sizeof(*r));
    if (r == NULL)
        return ldb_error_no_memory(err);
    r->db = db;
    r->since = since;
    r->position = since;
    s = find_start(r, err);
    if (s != LDB_OK) {
        ldb_change_reader_close(r);
        return s;
    }
    *out = r;
    return LDB_OK;
}

void ldb_change_reader_close(struct ldb_change_reader *reader)
{
    if (reader == NULL)
        return;
    ldb_journal_stream_destroy(reader->stream);
    ldb_retained_unpin(reader->db->retained, &reader->pin);
    ldb_mem_free(reader);
}

/* ---- reading on ---- */

static enum ldb_status open_stream(struct ldb_change_reader *r,
                                   struct ldb_error *err)
{
    struct ldb_sequential_file *file = NULL;
    char name[LDB_FILE_NAME_SIZE];
    enum ldb_status s =
        ldb_retained_open_sequential(r->db->retained, r->journal, err, &file);

    if (s == LDB_NOT_FOUND)
        return gone(r->db, err, r->position);
    if (s != LDB_OK)
        return s;
    print_name(r->journal, name);
    return ldb_journal_stream_create(file, name, r->offset, err, &r->stream);
}

/* Goes to the journal that follows. NOT_FOUND: it has no durable byte yet. */
static enum ldb_status next_journal(struct ldb_change_reader *r,
                                    const struct ldb_position *durable,
                                    struct ldb_error *err)
{
    struct ldb_retained_journal next;

    if (ldb_retained_after(r->db->retained, r->journal, &next) != LDB_OK)
        return gone(r->db, err, r->position);
    if (next.number > durable->journal)
        return LDB_NOT_FOUND;
    ldb_journal_stream_destroy(r->stream);
    r->stream = NULL;
    r->journal = next.number;
    r->offset = 0;
    r->sealed_len = next.is_sealed ? next.len : 0;
    /* It may have gone before that: then it cannot be opened. */
    (void)ldb_retained_pin(r->db->retained, &r->pin, r->journal);
    return LDB_OK;
}

/* The length of its journal, which is sealed. */
static enum ldb_status find_sealed_len(struct ldb_change_reader *r,
                                       struct ldb_error *err)
{
    struct ldb_retained_journal journal;
    uint64_t len = 0;

    if (ldb_retained_get(r->db->retained, r->journal, &journal) == LDB_OK)
        len = journal.len;
    else if (ldb_retained_pin_is_lost(r->db->retained, &r->pin, &len) &&
             len == UINT64_MAX)
        return gone(r->db, err, r->position);
    r->sealed_len = len; /* not here and not lost: it had no record */
    return LDB_OK;
}

/* Up to which byte of its journal the reader may go. */
static enum ldb_status find_limit(struct ldb_change_reader *r,
                                  const struct ldb_position *durable,
                                  struct ldb_error *err, uint64_t *out)
{
    enum ldb_status s = LDB_OK;

    if (r->journal == durable->journal) {
        *out = durable->offset;
        return LDB_OK;
    }
    assert(r->journal < durable->journal);
    if (r->sealed_len == 0)
        s = find_sealed_len(r, err);
    *out = r->sealed_len;
    return s;
}

/* One operation of the journal; NOT_FOUND: the end of what may be read. */
static enum ldb_status read_op(struct ldb_change_reader *r, uint64_t limit,
                               struct ldb_error *err,
                               struct ldb_journal_op *out)
{
    enum ldb_status s = LDB_OK;

    if (r->stream == NULL) {
        if (r->offset >= limit)
            return LDB_NOT_FOUND;
        s = open_stream(r, err);
    }
    return s == LDB_OK ? ldb_journal_stream_next(r->stream, limit, err, out)
                       : s;
}

enum ldb_status ldb_change_reader_next(struct ldb_change_reader *reader,
                                       struct ldb_error *err,
                                       struct ldb_journal_op *out)
{
    struct ldb_change_reader *r = reader;
    struct ldb_position durable = ldb_durable_position(r->db);
    struct ldb_journal_op op;

    for (;;) {
        uint64_t limit = 0;
        enum ldb_status s = find_limit(r, &durable, err, &limit);

        if (s == LDB_OK)
            s = read_op(r, limit, err, &op);
        if (s == LDB_OK && op.sequence > r->since) {
            r->position = op.sequence;
            *out = op;
            return LDB_OK;
        }
        if (s == LDB_NOT_FOUND && r->journal < durable.journal)
            s = next_journal(r, &durable, err);
        else if (s == LDB_NOT_FOUND && durable.sequence > r->position)
            r->position = durable.sequence;
        if (s != LDB_OK)
            return s;
    }
}

ldb_sequence ldb_change_reader_position(const struct ldb_change_reader *reader)
{
    return reader->position;
}

ldb_sequence ldb_changes_oldest(struct ldb_db *db)
{
    return db->retained == NULL ? ldb_last_sequence(db)
                                : ldb_retained_oldest(db->retained);
}
