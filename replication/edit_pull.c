/*
 * The leader's edits become the twin's (contract: edit_pull.h).
 *
 * The bytes of the MANIFEST after ours are kept in memory until they are
 * installed. One pass of the loop reads what is new of them, finds the longest
 * run that can be taken, makes its tables and installs it; or waits for what it
 * lacks: a journal, an edit, a word of the leader.
 */
#include "replication/edit_pull.h"

#include <inttypes.h>
#include <string.h>

#include "replication/edit_look_ahead.h"
#include "replication/edit_run.h"
#include "replication/edit_tables.h"
#include "replication/twin_mark.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Of a MANIFEST not installed yet, in memory. Chosen: ten million tables. */
#define BYTES_MAX ((size_t)1 << 30)

/* Words of the leader that may pass while its MANIFEST or a table that it names
 * is not to be had, before the session ends. Chosen: some seconds. */
#define TRIES_MAX 20

/* Tables that are asked for ahead, one of a compaction. Chosen: some times more
 * compactions than 17 journals bring about; a second on a link of 15 ms. */
#define LOOK_AHEAD_MAX 64

/* What may make edits ready that are not. */
#define WAKING                                                                 \
    (REPL_MOVE_BIT(REPL_MOVE_HEARD) | REPL_MOVE_BIT(REPL_MOVE_JOURNAL))

struct repl_edit_pull {
    struct repl_session *session; /* of the run under way */
    struct repl_client client;
    struct ldb_twin_state at; /* at the begin of the pass */
    struct repl_moves seen;   /* likewise */
    uint64_t manifest;        /* whose bytes are here */
    uint64_t offset;          /* where they stand in it */
    struct ldb_buf bytes;
    uint64_t *journals; /* owned; the leader's, of the pass */
    unsigned tries;     /* in vain, one after the other */
    bool must_read; /* there may be bytes that no heartbeat has told of yet */
    bool has_looked_ahead; /* in this session */
    struct repl_edit_tables tables;
};

struct repl_edit_pull *repl_edit_pull_create(void)
{
    struct repl_edit_pull *pull = ldb_mem_zalloc(1, sizeof(*pull));

    if (pull != NULL)
        pull->bytes = (struct ldb_buf)LDB_BUF_INIT(BYTES_MAX);
    return pull;
}

void repl_edit_pull_destroy(struct repl_edit_pull *pull)
{
    if (pull == NULL)
        return;
    ldb_buf_release(&pull->bytes);
    ldb_mem_free(pull->journals);
    repl_edit_tables_release(&pull->tables);
    ldb_mem_free(pull);
}

void repl_edit_pull_discard(struct repl_edit_pull *pull, struct ldb_db *db)
{
    repl_made_tables_discard(&pull->tables.made, db);
}

void repl_edit_pull_forget(struct repl_edit_pull *pull)
{
    pull->tables.made.count = 0;
    pull->tables.made.may_be_named = false;
}

static struct ldb_db *db_of(const struct repl_edit_pull *pull)
{
    return pull->session->options.db;
}

/* The end of the session, and of the pass. */
static enum ldb_status differs(struct repl_edit_pull *pull, enum ldb_status s,
                               const struct ldb_error *why,
                               struct ldb_error *err)
{
    repl_session_finish(pull->session, REPL_END_DIFFERS, why);
    *err = *why;
    return s;
}

/* In vain, this time: the pass is over. Too often is a failure. */
static enum ldb_status try_later(struct repl_edit_pull *pull,
                                 const struct ldb_error *why,
                                 struct ldb_error *err)
{
    if (++pull->tries < TRIES_MAX) {
        LDB_IGNORE(repl_session_wait(pull->session, &pull->seen,
                                     REPL_MOVE_BIT(REPL_MOVE_HEARD), 0));
        return LDB_OK; /* its end is looked at by the loop */
    }
    *err = *why;
    return LDB_IO;
}

/* ---- bytes of the MANIFEST ---- */

static enum ldb_status take_head(void *context,
                                 const struct repl_file_head *head,
                                 struct ldb_error *err)
{
    struct repl_edit_pull *pull = context;

    return repl_session_check_head(pull->session, "the MANIFEST", head, err);
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct repl_edit_pull *pull = context;
    enum ldb_status s = ldb_buf_append(&pull->bytes, bytes);

    if (s == LDB_OK)
        return LDB_OK;
    return ldb_error_set(err, s,
                         "MANIFEST-%06" PRIu64 ": %zu bytes wait here: %s",
                         pull->manifest, pull->bytes.len, ldb_status_text(s));
}

/* The bytes that are here belong behind ours, or are of the leader's next
 * MANIFEST; else others come from now on. */
static void choose_manifest(struct repl_edit_pull *pull, uint64_t theirs)
{
    uint64_t ours = pull->at.manifest_number;
    uint64_t number = theirs > ours ? theirs : ours;
    uint64_t offset = number == ours ? pull->at.manifest_len : 0;

    if (pull->manifest == number && pull->offset == offset)
        return;
    pull->manifest = number;
    pull->offset = offset;
    ldb_buf_clear(&pull->bytes);
    pull->tables.missing_count = 0;
}

/* The leader's bytes from there on. INVALID_ARGUMENT may say that it has fewer:
 * then ours is not the beginning of its one. */
static enum ldb_status read_bytes(struct repl_edit_pull *pull, uint64_t from,
                                  struct ldb_error *err)
{
    struct repl_transport *transport =
        pull->session->transports[REPL_LANE_EDITS];
    struct repl_file_head head = {0};
    struct ldb_error why = {0};
    char name[LDB_FILE_NAME_SIZE];
    struct repl_get get = {
        .name = name,
        .from = from,
        .head = take_head,
        .bytes = take_bytes,
        .context = pull,
    };
    enum ldb_status s;

    ldb_file_name_print(name, LDB_FILE_MANIFEST, pull->manifest);
    s = transport->ops->get(transport, &get, err);
    if (s != LDB_INVALID_ARGUMENT ||
        repl_client_head(&pull->client, name, NULL, &head) != LDB_OK ||
        repl_session_check_head(pull->session, name, &head, NULL) != LDB_OK ||
        head.size >= from)
        return s;
    s = ldb_error_set(&why, LDB_CORRUPTION,
                      "%s has %" PRIu64 " bytes at the leader, and %" PRIu64
                      " here",
                      name, head.size, from);
    return differs(pull, s, &why, err);
}

/* What the leader has after the bytes that are here. NOT_FOUND: another
 * MANIFEST has taken the place of this one just now. */
static enum ldb_status read_more(struct repl_edit_pull *pull,
                                 struct ldb_error *err)
{
    uint64_t number = 0;
    uint64_t len = 0;
    uint64_t end;
    enum ldb_status s;

    repl_session_manifest(pull->session, &number, &len);
    choose_manifest(pull, number);
    end = pull->offset + pull->bytes.len;
    if (number != pull->manifest || (len <= end && !pull->must_read))
        return LDB_OK;
    s = read_bytes(pull, end, err);
    if (s == LDB_OK)
        pull->must_read = false;
    return s;
}

/* ---- a run ---- */

static void note_installed(struct repl_edit_pull *pull,
                           const struct ldb_twin_plan *plan)
{
    struct repl_board *board = pull->session->options.board;
    struct ldb_twin_state at;
    size_t len = ldb_twin_plan_len(plan);

    memmove(pull->bytes.data, pull->bytes.data + len, pull->bytes.len - len);
    pull->bytes.len -= len;
    pull->offset += len;
    pull->tries = 0;
    pull->tables.missing_count = 0;
    repl_board_add(board, &board->stats.counts.edits,
                   ldb_twin_plan_records(plan));
    repl_board_add(board, &board->stats.counts.installs, 1);
    repl_session_note_places(pull->session, &at);
    repl_session_move(pull->session, REPL_MOVE_INSTALLED);
}

/* A MANIFEST of another number is to be known as the leader's (twin_mark.h). */
static enum ldb_status mark_manifest(struct repl_edit_pull *pull,
                                     struct ldb_error *err)
{
    const struct repl_session_options *options = &pull->session->options;

    if (pull->manifest == pull->at.manifest_number)
        return LDB_OK;
    return repl_twin_mark_go_on(options->env, options->dir,
                                pull->at.manifest_number, pull->manifest, err);
}

static LDB_NO_THREAD_SAFETY enum ldb_status install(struct repl_edit_pull *pull,
                                                    struct ldb_twin_plan *plan,
                                                    bool is_last,
                                                    struct ldb_error *err)
{
    struct ldb_error why = {0};
    enum ldb_status s = mark_manifest(pull, err);

    if (s == LDB_OK)
        s = repl_session_enter(pull->session, REPL_LANE_EDITS, err);
    if (s != LDB_OK)
        return s;
    /* Into a twin without an entry it may begin a journal beside one that is
     * not complete, which must not be sealed then. */
    if (pull->at.applied.sequence == 0)
        ldb_mutex_lock(&pull->session->journals_mu);
    s = ldb_twin_install(db_of(pull), plan, &why);
    if (pull->at.applied.sequence == 0)
        ldb_mutex_unlock(&pull->session->journals_mu);
    repl_session_leave(pull->session, REPL_LANE_EDITS);
    if (s == LDB_OK) {
        repl_edit_tables_installed(&pull->tables, plan, is_last);
        note_installed(pull, plan);
        return LDB_OK;
    }
    if (s == LDB_STALLED) {
        /* The twin took any edit, and has an entry since: another run. */
        LDB_IGNORE(repl_session_wait(pull->session, &pull->seen, WAKING, 0));
        return LDB_OK; /* the loop looks */
    }
    if (s == LDB_INVALID_ARGUMENT)
        return differs(pull, s, &why, err);
    if (s == LDB_NOT_FOUND || s == LDB_CORRUPTION)
        repl_edit_tables_refused(&pull->tables, plan);
    else
        repl_edit_tables_unsure(&pull->tables);
    *err = why;
    /* A table of ours has gone, none of the leader's. */
    return s == LDB_NOT_FOUND ? LDB_IO : s;
}

static enum ldb_status take_plan(struct repl_edit_pull *pull,
                                 struct ldb_twin_plan *plan, bool is_last,
                                 struct ldb_error *err)
{
    struct ldb_error why = {0};
    enum ldb_status s = repl_edit_tables_make(&pull->tables, plan, &why);

    if (s == LDB_NOT_FOUND) {
        /* Another run does without it. The edit that drops it was durable
         * before it went. */
        pull->must_read = true;
        return LDB_OK;
    }
    if (s == LDB_STALLED) /* a digest is not known yet */
        return try_later(pull, &why, err);
    if (s == LDB_OK)
        return install(pull, plan, is_last, err);
    *err = why;
    return s;
}

static enum ldb_status take_run(struct repl_edit_pull *pull,
                                const struct repl_edit_run *run,
                                struct ldb_error *err)
{
    struct ldb_twin_plan *plan = NULL;
    enum ldb_status s = ldb_twin_plan_create(
        db_of(pull), pull->manifest, pull->offset,
        ldb_slice_make(pull->bytes.data, run->len), err, &plan);

    if (s == LDB_OK)
        s = take_plan(pull, plan, run->len == run->whole_len, err);
    ldb_twin_plan_destroy(plan);
    return s;
}

/* ---- one pass ---- */

/*
 * No edit can be taken now. is_stalled: journals waited for edits before this
 * pass looked at anything: so those which these edits wait for do not come.
 * Where the leader's list shows that they will not, none is streamed in vain.
 */
static enum ldb_status wait_for_more(struct repl_edit_pull *pull,
                                     const struct repl_edit_run *run,
                                     bool is_stalled, struct ldb_error *err)
{
    bool is_missing = pull->tables.missing_count > 0;
    struct ldb_error why = {0};

    if (run->whole_records > 0)
        (void)ldb_error_set(&why, LDB_GONE,
                            "MANIFEST-%06" PRIu64 " at %" PRIu64
                            ": none of %zu edits can be taken: %s",
                            pull->manifest, pull->offset, run->whole_records,
                            is_missing ? "a table has gone at the leader"
                                       : "they ask for later journals");
    if (run->whole_records > 0 && (is_stalled || run->is_hopeless)) {
        *err = why;
        return LDB_GONE;
    }
    if (is_missing && !run->is_short) {
        /* No journal is wanting, and no edit: it is looked for again. */
        pull->tables.missing_count = 0;
        return try_later(pull, &why, err);
    }
    LDB_IGNORE(repl_session_wait(pull->session, &pull->seen, WAKING, 0));
    return LDB_OK; /* the loop looks */
}

/* The number below which every journal is complete here: once one has begun,
 * those before it are. A twin without an entry takes any edit. */
static uint64_t complete_below(const struct ldb_twin_state *at)
{
    uint64_t newest =
        at->journal_count == 0 ? 0 : at->journals[at->journal_count - 1].number;

    if (at->applied.sequence == 0)
        return UINT64_MAX;
    return newest > at->log_number ? newest : at->log_number;
}

/* More journals wait than can be held at a time: is it of use to stream the
 * first of them? The next pass judges by what is missing. */
static enum ldb_status look_ahead(struct repl_edit_pull *pull,
                                  struct ldb_error *err)
{
    uint64_t tables[LOOK_AHEAD_MAX];
    size_t count = 0;
    enum ldb_status s;

    pull->has_looked_ahead = true;
    s = repl_edit_look_ahead(pull->manifest, pull->offset,
                             ldb_slice_of_buf(&pull->bytes), err, tables,
                             LOOK_AHEAD_MAX, &count);
    if (s != LDB_OK)
        return s;
    s = repl_edit_tables_ask(&pull->tables, tables, count, err);
    /* Without an answer it streams, and sees. */
    return s == LDB_PRECONDITION ? s : LDB_OK;
}

static enum ldb_status find_run(struct repl_edit_pull *pull,
                                struct ldb_error *err,
                                struct repl_edit_run *out)
{
    const struct ldb_twin_state *at = &pull->at;
    struct repl_edit_run_limits limits = {
        .log_number = complete_below(at),
        .missing = pull->tables.missing,
        .missing_count = pull->tables.missing_count,
        .first_journal = at->log_number,
    };
    enum ldb_status s = LDB_OK;

    if (at->applied.sequence > 0) {
        s = repl_session_journals(pull->session, err, &pull->journals,
                                  &limits.journal_count);
        limits.journals = pull->journals;
        limits.journals_max = LDB_TWIN_JOURNALS_MAX;
    }
    return s == LDB_OK ? repl_edit_run_find(pull->manifest, pull->offset,
                                            ldb_slice_of_buf(&pull->bytes),
                                            &limits, err, out)
                       : s;
}

static enum ldb_status pass(struct repl_edit_pull *pull, struct ldb_error *err)
{
    struct repl_edit_run run = {0};
    struct ldb_error why = {0};
    bool is_stalled = repl_session_is_stalled(pull->session);
    enum ldb_status s;

    repl_session_moves(pull->session, &pull->seen);
    ldb_twin_state(db_of(pull), &pull->at);
    s = read_more(pull, &why);
    if (s == LDB_NOT_FOUND)
        return try_later(pull, &why, err);
    if (s == LDB_OK)
        s = find_run(pull, &why, &run);
    if (s != LDB_OK) {
        *err = why;
        return s;
    }
    if (run.len > 0 && !run.is_hopeless)
        return take_run(pull, &run, err);
    if (run.is_far && !run.is_hopeless && !pull->has_looked_ahead)
        return look_ahead(pull, err);
    return wait_for_more(pull, &run, is_stalled, err);
}

/* Of an earlier session nothing is taken for granted but tables. */
static void start(struct repl_edit_pull *pull, struct repl_session *session)
{
    pull->session = session;
    repl_client_init(&pull->client, session->transports[REPL_LANE_EDITS]);
    repl_edit_tables_start(&pull->tables, session, &pull->client);
    pull->manifest = 0;
    pull->offset = 0;
    pull->tries = 0;
    pull->must_read = false;
    pull->has_looked_ahead = false;
    ldb_buf_clear(&pull->bytes);
}

void repl_edit_pull_run(struct repl_edit_pull *pull,
                        struct repl_session *session)
{
    struct ldb_error err = {0};
    enum ldb_status s = LDB_OK;

    if (repl_edit_tables_must_reopen(&pull->tables, session)) {
        LDB_IGNORE(ldb_error_set(&err, LDB_IO,
                                 "an install has failed: the twin is opened "
                                 "anew, to see what stands in its MANIFEST"));
        repl_session_finish(session, REPL_END_REOPEN, &err);
        return;
    }
    start(pull, session);
    while (s == LDB_OK && repl_session_ended(session, NULL) == REPL_END_NONE)
        s = pass(pull, &err);
    if (s != LDB_OK)
        repl_session_fail(session, s, &err);
    ldb_buf_release(&pull->bytes); /* may be many; its limit stays */
}
