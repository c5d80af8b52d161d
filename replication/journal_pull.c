/*
 * The leader's journals, as bytes over a connection, become the twin's
 * (contract: journal_pull.h).
 *
 * One pass of the loop does one thing with the newest journal that is held:
 * where it is sealed, the next one is begun; where it is not, its bytes are
 * asked for from where they end, until the answer ends. That an answer ended
 * says nothing: the file's head tells whether the journal is complete, and then
 * it is sealed.
 *
 * A session begins the last record anew where one had begun: what is in memory
 * of it came from a leader that may have been started anew since.
 */
#include "replication/journal_pull.h"

#include <inttypes.h>

#include "replication/client.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

struct pull {
    struct repl_session *session;
    struct repl_client client;
    uint64_t number; /* of the journal that comes now */
    char name[LDB_FILE_NAME_SIZE];
    uint64_t offset;      /* where its next bytes belong */
    bool has_come;        /* bytes did in this answer */
    bool is_fresh;        /* nothing has come in this session */
    uint64_t unsynced_us; /* since when something is not durable; 0: all is */
};

static struct ldb_db *db_of(const struct pull *pull)
{
    return pull->session->options.db;
}

static void count(struct pull *pull, uint64_t *counter, uint64_t n)
{
    repl_board_add(pull->session->options.board, counter, n);
}

static struct repl_follower_counts *counts(struct pull *pull)
{
    return &pull->session->options.board->stats.counts;
}

/* The end of the session; returns the status for whoever called. */
static enum ldb_status differs(struct pull *pull, enum ldb_status s,
                               const struct ldb_error *err)
{
    repl_session_finish(pull->session, REPL_END_DIFFERS, err);
    return s;
}

/*
 * Seals the journal in the twin. An edit may have gone past it meanwhile, where
 * the twin had no entry: then the newest is another, and this one is of no
 * concern any more.
 */
static enum ldb_status seal_newest(struct pull *pull, uint64_t len,
                                   struct ldb_error *err)
{
    struct ldb_twin_state at;
    enum ldb_status s =
        repl_session_enter(pull->session, REPL_LANE_JOURNALS, err);

    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&pull->session->journals_mu);
    ldb_twin_state(db_of(pull), &at);
    if (at.journal_count > 0 &&
        at.journals[at.journal_count - 1].number == pull->number)
        s = ldb_twin_seal(db_of(pull), pull->number, len, err);
    ldb_mutex_unlock(&pull->session->journals_mu);
    repl_session_leave(pull->session, REPL_LANE_JOURNALS);
    return s;
}

/* ---- durable ---- */

static void note_places(struct pull *pull)
{
    struct ldb_env *env = pull->session->options.env;
    struct ldb_twin_state at;

    repl_session_note_places(pull->session, &at);
    if (at.synced.journal == at.written.journal &&
        at.synced.offset == at.written.offset)
        pull->unsynced_us = 0;
    else if (pull->unsynced_us == 0)
        pull->unsynced_us = env->ops->monotonic_us(env);
}

static enum ldb_status sync_written(struct pull *pull, struct ldb_error *err)
{
    enum ldb_status s;

    if (pull->unsynced_us == 0)
        return LDB_OK;
    s = ldb_twin_sync(db_of(pull), err, NULL);
    if (s != LDB_OK)
        return s;
    count(pull, &counts(pull)->syncs, 1);
    note_places(pull);
    repl_session_move(pull->session, REPL_MOVE_SYNCED);
    return LDB_OK;
}

static enum ldb_status sync_in_time(struct pull *pull, struct ldb_error *err)
{
    struct ldb_env *env = pull->session->options.env;

    if (pull->unsynced_us == 0 ||
        env->ops->monotonic_us(env) - pull->unsynced_us <
            pull->session->options.sync_us)
        return LDB_OK;
    return sync_written(pull, err);
}

/* ---- bytes ---- */

static enum ldb_status take_head(void *context,
                                 const struct repl_file_head *head,
                                 struct ldb_error *err)
{
    struct pull *pull = context;

    return repl_session_check_head(pull->session, pull->name, head, err);
}

static enum ldb_status append(struct pull *pull, struct ldb_slice bytes,
                              struct ldb_error *err)
{
    enum ldb_status s =
        repl_session_enter(pull->session, REPL_LANE_JOURNALS, err);

    if (s != LDB_OK)
        return s;
    /* Edits that are installed into a twin without an entry begin the journal
     * that they name before their version is there, which has what lies before
     * it. */
    ldb_mutex_lock(&pull->session->journals_mu);
    s = ldb_twin_append(db_of(pull), pull->number, pull->offset, bytes, err);
    ldb_mutex_unlock(&pull->session->journals_mu);
    repl_session_leave(pull->session, REPL_LANE_JOURNALS);
    /* Records before one that failed may have been taken. */
    note_places(pull);
    return s;
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct pull *pull = context;
    enum ldb_status s = append(pull, bytes, err);

    if (s != LDB_OK)
        return s;
    pull->offset += bytes.len;
    pull->has_come = true;
    count(pull, &counts(pull)->journal_bytes, bytes.len);
    return sync_in_time(pull, err);
}

static enum ldb_status run_dry(void *context, struct ldb_error *err)
{
    return sync_written(context, err);
}

/* ---- the end of a journal ---- */

/* Is what we have of it, which is all, what the leader has? */
static enum ldb_status check_digest(struct pull *pull,
                                    const struct repl_file_head *head,
                                    struct ldb_error *err)
{
    const struct repl_session_options *options = &pull->session->options;
    struct ldb_error why = {0};
    struct ldb_digest digest;
    uint64_t size = 0;
    char *path;
    enum ldb_status s;

    if (!head->has_digest)
        return ldb_error_set(err, LDB_IO,
                             "%s is sealed at the leader, and its digest is "
                             "not known there yet",
                             pull->name);
    path = ldb_file_path(options->dir, LDB_FILE_JOURNAL, pull->number);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_digest_file(options->env, path, err, &digest, &size);
    ldb_mem_free(path);
    if (s != LDB_OK)
        return s;
    if (size != head->size)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s ends at %" PRIu64
                             " bytes at the leader, in a record that has begun "
                             "at %" PRIu64,
                             pull->name, head->size, size);
    if (ldb_digest_equal(&digest, &head->digest))
        return LDB_OK;
    count(pull, &counts(pull)->digest_mismatches, 1);
    s = ldb_error_set(&why, LDB_CORRUPTION,
                      "%s of %" PRIu64
                      " bytes is not the leader's: its digest is another",
                      pull->name, size);
    if (err != NULL)
        *err = why;
    return differs(pull, s, &why);
}

static enum ldb_status seal(struct pull *pull,
                            const struct repl_file_head *head,
                            struct ldb_error *err)
{
    struct ldb_error why = {0};
    enum ldb_status s = check_digest(pull, head, err);

    if (s != LDB_OK)
        return s;
    s = seal_newest(pull, head->size, &why);
    note_places(pull);
    if (s == LDB_OK) {
        count(pull, &counts(pull)->journals_sealed, 1);
        repl_session_move(pull->session, REPL_MOVE_JOURNAL);
        repl_session_move(pull->session, REPL_MOVE_SYNCED);
        return LDB_OK;
    }
    if (err != NULL)
        *err = why;
    return s == LDB_CORRUPTION ? differs(pull, s, &why) : s;
}

/* The journal's head, of a leader in our epoch that has as much of it. */
static enum ldb_status ask_for_head(struct pull *pull, struct ldb_error *err,
                                    struct repl_file_head *out)
{
    struct ldb_error why = {0};
    enum ldb_status s = repl_client_head(&pull->client, pull->name, err, out);

    if (s == LDB_OK)
        s = repl_session_check_head(pull->session, pull->name, out, err);
    if (s != LDB_OK || out->size >= pull->offset)
        return s;
    s = ldb_error_set(&why, LDB_CORRUPTION,
                      "%s has %" PRIu64 " bytes at the leader, and %" PRIu64
                      " here",
                      pull->name, out->size, pull->offset);
    if (err != NULL)
        *err = why;
    return differs(pull, s, &why);
}

/* ---- the leader's list ---- */

static enum ldb_status ask_for_list(struct pull *pull, struct ldb_error *err)
{
    const struct repl_session_options *options = &pull->session->options;
    struct repl_state state = {0};
    const struct repl_epoch *last;
    enum ldb_status s = repl_client_state(&pull->client, err, &state);

    if (s != LDB_OK)
        return s;
    last = repl_epoch_history_last(&state.history);
    if (state.role != REPL_ROLE_LEADER || last == NULL ||
        last->number != options->epoch || last->id != options->epoch_id)
        s = ldb_error_set(err, LDB_PRECONDITION,
                          "the leader of epoch %" PRIu64 " leads no more",
                          options->epoch);
    else
        repl_session_take_state(pull->session, &state);
    repl_state_release(&state);
    return s;
}

/* ---- one journal ---- */

/* The leader has no such file. */
static enum ldb_status is_gone(struct pull *pull, struct ldb_error *err)
{
    enum ldb_status s;

    /* One that was started anew would be in another epoch. */
    s = ask_for_list(pull, err);
    if (s != LDB_OK)
        return s;
    if (pull->offset > 0)
        return ldb_error_set(err, LDB_GONE,
                             "%s has gone at the leader, of which %" PRIu64
                             " bytes are here",
                             pull->name, pull->offset);
    /* Made ready there before its first record, and dropped: so it is here. If
     * it was not, what follows does not fit (begin_next). */
    s = seal_newest(pull, 0, err);
    note_places(pull);
    repl_session_move(pull->session, REPL_MOVE_JOURNAL);
    return s;
}

/* The answer ended as it should: is the journal complete here? */
static enum ldb_status look_at_end(struct pull *pull, struct ldb_error *err)
{
    struct repl_file_head head = {0};
    enum ldb_status s = ask_for_head(pull, err, &head);

    if (s == LDB_NOT_FOUND)
        return is_gone(pull, err);
    if (s != LDB_OK)
        return s;
    if (head.is_sealed && head.size == pull->offset)
        return seal(pull, &head, err);
    if (!pull->has_come)
        return ldb_error_set(err, LDB_IO,
                             "%s: the stream ended at %" PRIu64
                             " bytes, before the journal did",
                             pull->name, pull->offset);
    return LDB_OK;
}

static enum ldb_status follow(struct pull *pull,
                              const struct ldb_twin_state *at,
                              struct ldb_error *err)
{
    struct repl_transport *transport =
        pull->session->transports[REPL_LANE_JOURNALS];
    const struct ldb_twin_journal *newest =
        &at->journals[at->journal_count - 1];
    struct ldb_error why = {0};
    struct repl_get get = {
        .name = pull->name,
        .follow = true,
        .head = take_head,
        .bytes = take_bytes,
        .dry = run_dry,
        .context = pull,
    };
    enum ldb_status s;

    pull->number = newest->number;
    pull->offset = pull->is_fresh ? newest->len : at->next_offset;
    pull->has_come = false;
    pull->is_fresh = false;
    ldb_file_name_print(pull->name, LDB_FILE_JOURNAL, pull->number);
    get.from = pull->offset;
    s = transport->ops->get(transport, &get, &why);
    if (s == LDB_OK)
        return look_at_end(pull, err);
    if (s == LDB_NOT_FOUND)
        return is_gone(pull, err);
    if (s == LDB_INVALID_ARGUMENT && !pull->has_come) {
        struct repl_file_head head = {0};

        /* Is ours longer than the leader's? */
        LDB_IGNORE(ask_for_head(pull, NULL, &head)); /* why is told */
    }
    if (err != NULL)
        *err = why;
    return s;
}

/* ---- the next journal ---- */

static enum ldb_status begin(struct pull *pull, uint64_t number,
                             struct ldb_error *err)
{
    struct repl_moves seen;
    enum ldb_status s;

    repl_session_moves(pull->session, &seen);
    pull->number = number;
    pull->offset = 0;
    s = append(pull, (struct ldb_slice){0}, err);
    if (s == LDB_STALLED) {
        count(pull, &counts(pull)->stalls, 1);
        while (s == LDB_STALLED) {
            if (!repl_session_wait_room(pull->session, &seen))
                return LDB_OK; /* it has ended */
            s = append(pull, (struct ldb_slice){0}, err);
        }
    }
    if (s == LDB_OK)
        repl_session_move(pull->session, REPL_MOVE_JOURNAL);
    return s;
}

/* Number of the last journal that is complete here: a version without journals
 * has those before its log number. */
static uint64_t complete_to(const struct ldb_twin_state *at)
{
    uint64_t below = at->log_number == 0 ? 0 : at->log_number - 1;
    uint64_t newest =
        at->journal_count == 0 ? 0 : at->journals[at->journal_count - 1].number;

    return newest > below ? newest : below;
}

/*
 * Begins the journal that follows on those held, when the leader has it, or
 * waits. Sequences show that none lies between where the list begins above
 * ours.
 */
static enum ldb_status begin_next(struct pull *pull,
                                  const struct ldb_twin_state *at,
                                  struct ldb_error *err)
{
    struct repl_journal_entry next;
    struct repl_moves seen;
    bool follows = false;
    enum ldb_status s;

    repl_session_moves(pull->session, &seen);
    if (!repl_session_next_journal(pull->session, complete_to(at), &next,
                                   &follows)) {
        s = ask_for_list(pull, err);
        if (s != LDB_OK || repl_session_next_journal(
                               pull->session, complete_to(at), &next, &follows))
            return s;
        /* The state that was just taken moved it too. */
        repl_session_moves(pull->session, &seen);
        LDB_IGNORE(repl_session_wait(pull->session, &seen,
                                     REPL_MOVE_BIT(REPL_MOVE_HEARD), 0));
        return LDB_OK; /* its end is looked at by the loop */
    }
    if (follows || next.first <= at->applied.sequence + 1)
        return begin(pull, next.number, err);
    if (at->applied.sequence == 0) {
        LDB_IGNORE(repl_session_wait_room(pull->session, &seen));
        return LDB_OK;
    }
    return ldb_error_set(err, LDB_GONE,
                         "the leader's journals begin with %06" PRIu64
                         ".log, those here end with %06" PRIu64 ".log",
                         next.number, complete_to(at));
}

/* ---- all of them ---- */

/* Edits may have put a version over a twin that had no entry, which names no
 * journal as old as this one. */
static bool is_overtaken(const struct pull *pull)
{
    struct ldb_twin_state at;

    ldb_twin_state(db_of(pull), &at);
    return at.log_number > pull->number;
}

/* Whether the leader's list, as it is known, has the journal. */
static bool is_listed(struct pull *pull, uint64_t number,
                      struct repl_journal_entry *out)
{
    bool follows = false;

    return repl_session_next_journal(pull->session, number - 1, out,
                                     &follows) &&
           out->number == number;
}

/* Of a journal that is held: the leader had written something before it. */
static enum ldb_status ask_what_was_before(struct pull *pull, uint64_t number,
                                           struct ldb_error *err, bool *out)
{
    struct repl_journal_entry entry = {0};
    bool is_known = is_listed(pull, number, &entry);
    enum ldb_status s = LDB_OK;

    if (!is_known) {
        s = ask_for_list(pull, err);
        is_known = s == LDB_OK && is_listed(pull, number, &entry);
    }
    *out = is_known && entry.first > 1;
    return s;
}

/*
 * An install into a twin without an entry that failed may have begun the
 * journal of its edit. What comes before that one is neither in a journal here
 * nor in a table: edits come first.
 */
static enum ldb_status check_begun(struct pull *pull,
                                   const struct ldb_twin_state *at,
                                   struct ldb_error *err, bool *out_too_early)
{
    const struct ldb_twin_journal *newest =
        &at->journals[at->journal_count - 1];

    *out_too_early = false;
    if (at->applied.sequence > 0 || newest->len > 0 ||
        newest->number <= at->log_number)
        return LDB_OK;
    return ask_what_was_before(pull, newest->number, err, out_too_early);
}

static enum ldb_status follow_newest(struct pull *pull,
                                     const struct ldb_twin_state *at,
                                     struct repl_moves *seen,
                                     struct ldb_error *err)
{
    bool is_too_early = false;
    enum ldb_status s = check_begun(pull, at, err, &is_too_early);

    if (s != LDB_OK)
        return s;
    if (!is_too_early)
        return follow(pull, at, err);
    LDB_IGNORE(repl_session_wait_room(pull->session, seen));
    return LDB_OK; /* its end is looked at by the loop */
}

static enum ldb_status step(struct pull *pull, struct ldb_error *err)
{
    struct ldb_twin_state at;
    struct repl_moves seen;
    const struct ldb_twin_journal *newest;
    enum ldb_status s;

    repl_session_moves(pull->session, &seen);
    ldb_twin_state(db_of(pull), &at);
    newest = at.journal_count == 0 ? NULL : &at.journals[at.journal_count - 1];
    s = newest == NULL || newest->is_sealed
            ? begin_next(pull, &at, err)
            : follow_newest(pull, &at, &seen, err);
    return s == LDB_INVALID_ARGUMENT && is_overtaken(pull) ? LDB_OK : s;
}

void repl_journal_pull(struct repl_session *session)
{
    struct pull pull = {.session = session, .is_fresh = true};
    struct ldb_error err = {0};
    enum ldb_status s = LDB_OK;

    repl_client_init(&pull.client, session->transports[REPL_LANE_JOURNALS]);
    note_places(&pull);
    while (s == LDB_OK && repl_session_ended(session, NULL) == REPL_END_NONE)
        s = step(&pull, &err);
    /* For a sync the stream need not go on. */
    if (s != LDB_OK)
        repl_session_fail(session, s, &err);
    LDB_IGNORE(sync_written(&pull, NULL)); /* closing does so too */
}
