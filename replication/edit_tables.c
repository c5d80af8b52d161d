#include "replication/edit_tables.h"

#include <inttypes.h>

#include "replication/table_fetch.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Tables fetched by one call, so that what is done is known in between. */
#define BATCH_TABLES 64

void repl_edit_tables_release(struct repl_edit_tables *tables)
{
    repl_made_tables_release(&tables->made);
    ldb_mem_free(tables->missing);
    *tables = (struct repl_edit_tables){0};
}

static bool is_of(const struct repl_edit_tables *tables,
                  const struct repl_session *session)
{
    return tables->epoch == session->options.epoch &&
           tables->epoch_id == session->options.epoch_id;
}

bool repl_edit_tables_must_reopen(const struct repl_edit_tables *tables,
                                  const struct repl_session *session)
{
    return tables->made.may_be_named && !is_of(tables, session);
}

void repl_edit_tables_start(struct repl_edit_tables *tables,
                            struct repl_session *session,
                            struct repl_client *client)
{
    const struct repl_session_options *options = &session->options;

    tables->session = session;
    tables->client = client;
    tables->missing_count = 0;
    if (!is_of(tables, session))
        repl_made_tables_discard(&tables->made, options->db);
    tables->epoch = options->epoch;
    tables->epoch_id = options->epoch_id;
}

static struct ldb_db *db_of(const struct repl_edit_tables *tables)
{
    return tables->session->options.db;
}

static struct repl_follower_counts *counts(struct repl_edit_tables *tables)
{
    return &tables->session->options.board->stats.counts;
}

static void count(struct repl_edit_tables *tables, uint64_t *counter,
                  uint64_t n)
{
    repl_board_add(tables->session->options.board, counter, n);
}

static enum ldb_status note_made(struct repl_edit_tables *tables,
                                 const struct ldb_twin_table *table,
                                 struct ldb_error *err)
{
    return repl_made_tables_add(&tables->made, table->number, table->size, err);
}

static enum ldb_status note_missing(struct repl_edit_tables *tables,
                                    uint64_t number, struct ldb_error *err)
{
    uint64_t *grown = ldb_mem_realloc(
        tables->missing, tables->missing_count + 1, sizeof(*grown));

    if (grown == NULL)
        return ldb_error_no_memory(err);
    tables->missing = grown;
    tables->missing[tables->missing_count++] = number;
    return LDB_OK;
}

/* ---- built here ---- */

/* NOT_FOUND: the leader has it no more. */
static enum ldb_status ask_for_head(struct repl_edit_tables *tables,
                                    uint64_t number, struct ldb_error *err,
                                    struct repl_file_head *out)
{
    char name[LDB_FILE_NAME_SIZE];
    enum ldb_status s;

    ldb_file_name_print(name, LDB_FILE_TABLE, number);
    s = repl_client_head(tables->client, name, err, out);
    return s == LDB_OK
               ? repl_session_check_head(tables->session, name, out, err)
               : s;
}

/* *out_is_gone: the leader has it no more, nor its digest. */
static enum ldb_status ask_for_digest(struct repl_edit_tables *tables,
                                      const struct ldb_twin_table *table,
                                      struct ldb_error *err,
                                      struct ldb_digest *out, bool *out_is_gone)
{
    struct repl_file_head head = {0};
    enum ldb_status s = ask_for_head(tables, table->number, err, &head);

    *out_is_gone = s == LDB_NOT_FOUND;
    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s == LDB_OK && !head.has_digest)
        s = ldb_error_set(err, LDB_STALLED,
                          "the digest of %06" PRIu64
                          ".ldb is not known there yet",
                          table->number);
    *out = head.digest;
    return s;
}

/*
 * Writes the table that seems to be the flush of a journal. *out_is_made false:
 * it is not the leader's, and is to be fetched.
 */
static enum ldb_status build(struct repl_edit_tables *tables,
                             const struct ldb_twin_table *table,
                             struct ldb_error *err, bool *out_is_made)
{
    struct ldb_digest theirs;
    struct ldb_digest ours;
    uint64_t size = 0;
    bool is_gone = false;
    enum ldb_status s;

    s = ask_for_digest(tables, table, err, &theirs, &is_gone);
    if (s == LDB_OK)
        s = ldb_twin_build(db_of(tables), table->number, table->journal, err,
                           &ours, &size);
    if (s != LDB_OK)
        return s;
    *out_is_made =
        size == table->size && (is_gone || ldb_digest_equal(&ours, &theirs));
    if (*out_is_made) {
        count(tables, &counts(tables)->tables_built, 1);
        return note_made(tables, table, err);
    }
    count(tables, &counts(tables)->digest_mismatches, 1);
    return LDB_OK;
}

/* ---- fetched ---- */

struct batch {
    struct repl_fetch_file files[BATCH_TABLES];
    const struct ldb_twin_table *tables[BATCH_TABLES];
    size_t count;
};

static void note_fetched(struct repl_edit_tables *tables,
                         const struct repl_fetch_figures *before)
{
    struct repl_follower_counts *to = counts(tables);
    struct repl_fetch_figures now;

    repl_fetch_figures(tables->session->fetch, &now);
    count(tables, &to->tables_fetched, now.files - before->files);
    count(tables, &to->table_bytes, now.bytes - before->bytes);
    count(tables, &to->digest_mismatches, now.mismatches - before->mismatches);
}

/* What became of each. */
static enum ldb_status take_batch(struct repl_edit_tables *tables,
                                  const struct batch *batch,
                                  struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < batch->count; i++) {
        if (batch->files[i].status == LDB_OK)
            s = note_made(tables, batch->tables[i], err);
        else if (batch->files[i].status == LDB_NOT_FOUND)
            s = note_missing(tables, batch->tables[i]->number, err);
    }
    return s;
}

static enum ldb_status fetch_batch(struct repl_edit_tables *tables,
                                   struct batch *batch, struct ldb_error *err)
{
    struct repl_fetch *fetch = tables->session->fetch;
    struct repl_fetch_figures before;
    struct ldb_error why = {0};
    enum ldb_status s;
    enum ldb_status taken;

    if (batch->count == 0)
        return LDB_OK;
    repl_fetch_figures(fetch, &before);
    s = repl_fetch_files(fetch, batch->files, batch->count,
                         REPL_FETCH_INTO_PLACE, err);
    note_fetched(tables, &before);
    taken = take_batch(tables, batch, &why);
    batch->count = 0;
    if (taken != LDB_OK && err != NULL)
        *err = why;
    return taken != LDB_OK ? taken : s;
}

/* What lies under its name is none of the version's, and goes: a reader of it
 * may be open. */
static enum ldb_status add_to_batch(struct repl_edit_tables *tables,
                                    struct batch *batch,
                                    const struct ldb_twin_table *table,
                                    struct ldb_error *err)
{
    struct repl_fetch_file *file = &batch->files[batch->count];
    enum ldb_status s = ldb_twin_discard(db_of(tables), table->number, err);

    if (s != LDB_OK)
        return s;
    *file = (struct repl_fetch_file){.size = table->size,
                                     .epoch = tables->epoch,
                                     .epoch_id = tables->epoch_id};
    ldb_file_name_print(file->name, LDB_FILE_TABLE, table->number);
    batch->tables[batch->count++] = table;
    return batch->count < BATCH_TABLES ? LDB_OK
                                       : fetch_batch(tables, batch, err);
}

/* ---- a plan's ---- */

static enum ldb_status make(struct repl_edit_tables *tables,
                            struct batch *batch,
                            const struct ldb_twin_table *table,
                            struct ldb_error *err)
{
    bool is_made =
        repl_made_tables_has(&tables->made, table->number, table->size);
    enum ldb_status s = LDB_OK;

    if (repl_session_ended(tables->session, NULL) != REPL_END_NONE)
        return ldb_error_set(err, LDB_CANCELLED, "the session has ended");
    if (!is_made && table->journal != 0)
        s = build(tables, table, err, &is_made);
    if (s == LDB_OK && !is_made)
        s = add_to_batch(tables, batch, table, err);
    return s;
}

enum ldb_status repl_edit_tables_make(struct repl_edit_tables *tables,
                                      const struct ldb_twin_plan *plan,
                                      struct ldb_error *err)
{
    struct batch *batch = ldb_mem_zalloc(1, sizeof(*batch));
    size_t wanted_count = 0;
    const struct ldb_twin_table *wanted =
        ldb_twin_plan_tables(plan, &wanted_count);
    enum ldb_status s = LDB_OK;

    if (batch == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; s == LDB_OK && i < wanted_count; i++)
        s = make(tables, batch, &wanted[i], err);
    if (s == LDB_OK)
        s = fetch_batch(tables, batch, err);
    ldb_mem_free(batch);
    return s;
}

enum ldb_status repl_edit_tables_ask(struct repl_edit_tables *tables,
                                     const uint64_t *numbers, size_t count,
                                     struct ldb_error *err)
{
    for (size_t i = 0; i < count; i++) {
        struct repl_file_head head = {0};
        enum ldb_status s;

        if (repl_made_tables_has_number(&tables->made, numbers[i]))
            continue;
        if (repl_session_ended(tables->session, NULL) != REPL_END_NONE)
            return ldb_error_set(err, LDB_CANCELLED, "the session has ended");
        s = ask_for_head(tables, numbers[i], err, &head);
        if (s != LDB_NOT_FOUND)
            return s;
        s = note_missing(tables, numbers[i], err);
        if (s != LDB_OK)
            return s;
    }
    return LDB_OK;
}

void repl_edit_tables_installed(struct repl_edit_tables *tables,
                                const struct ldb_twin_plan *plan, bool is_last)
{
    size_t count = 0;
    const struct ldb_twin_table *named = ldb_twin_plan_tables(plan, &count);

    tables->made.may_be_named = false;
    for (size_t i = 0; i < count; i++)
        repl_made_tables_forget(&tables->made, named[i].number);
    if (is_last)
        repl_made_tables_discard(&tables->made, db_of(tables));
}

void repl_edit_tables_unsure(struct repl_edit_tables *tables)
{
    tables->made.may_be_named = true;
}

void repl_edit_tables_refused(struct repl_edit_tables *tables,
                              const struct ldb_twin_plan *plan)
{
    size_t count = 0;
    const struct ldb_twin_table *named = ldb_twin_plan_tables(plan, &count);

    for (size_t i = 0; i < count; i++)
        repl_made_tables_forget(&tables->made, named[i].number);
}
