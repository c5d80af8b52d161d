#include "replication/streaming.h"

#include <inttypes.h>
#include <stdio.h>

#include "replication/journal_pull.h"
#include "storage/base/status.h"

struct run {
    struct repl_streaming *with;
    struct repl_session *session;
    struct repl_board *board;
    struct ldb_env *env;
    struct repl_moves seen;
    uint64_t acked_us;         /* when the last ack was begun */
    bool is_awaited;           /* as its answer said */
    struct repl_place written; /* where journals stood at moved_us */
    uint64_t moved_us;
    struct ldb_error err;
};

static uint64_t now_us(const struct run *run)
{
    return run->env->ops->monotonic_us(run->env);
}

/* ---- acks ---- */

static void fill_ack(const struct repl_streaming *with,
                     const struct repl_follower_stats *stats,
                     struct repl_ack *out)
{
    const struct repl_session_options *options = &with->session->options;

    *out = (struct repl_ack){
        .epoch = options->epoch,
        .epoch_id = options->epoch_id,
        .written = stats->written,
        .synced = stats->synced,
        .applied = stats->applied,
        .manifest_number = stats->manifest_number,
        .manifest_len = stats->manifest_len,
        .tables_built = stats->counts.tables_built,
        .tables_fetched = stats->counts.tables_fetched,
        .digest_mismatches = stats->counts.digest_mismatches,
    };
    (void)snprintf(out->node_id, sizeof(out->node_id), "%s", with->node_id);
    (void)snprintf(out->url, sizeof(out->url), "%s", with->url);
    (void)snprintf(out->state, sizeof(out->state), "%s",
                   repl_follower_state_text(stats->state));
}

/* Says where we are, under the epoch of the session; what comes back is of it
 * too. */
static enum ldb_status send_ack(struct run *run)
{
    const struct repl_session_options *options = &run->session->options;
    struct repl_follower_stats stats;
    struct repl_heartbeat heartbeat = {0};
    struct repl_ack ack;
    enum ldb_status s;

    run->acked_us = now_us(run);
    repl_board_read(run->board, &stats);
    fill_ack(run->with, &stats, &ack);
    s = repl_client_ack(run->with->client, &ack, &run->err, &heartbeat);
    if (s != LDB_OK)
        return s;
    if (heartbeat.epoch != options->epoch ||
        heartbeat.epoch_id != options->epoch_id)
        return ldb_error_set(&run->err, LDB_PRECONDITION,
                             "the leader is in epoch %" PRIu64
                             " now, and epoch %" PRIu64 " is followed",
                             heartbeat.epoch, options->epoch);
    run->is_awaited = heartbeat.is_awaited;
    repl_session_heard(run->session, &heartbeat);
    repl_board_add(run->board, &run->board->stats.counts.acks, 1);
    return LDB_OK;
}

/* Until the next one is due when nothing is synced before. */
static uint64_t rest_us(const struct run *run)
{
    struct repl_follower_stats stats;
    uint64_t passed = now_us(run) - run->acked_us;
    uint64_t due = run->with->busy_ack_us;

    repl_board_read(run->board, &stats);
    if (repl_follower_is_level(&stats) &&
        stats.manifest_number == stats.heartbeat.manifest_number &&
        stats.manifest_len == stats.heartbeat.manifest_len)
        due = run->with->ack_us;
    return passed < due ? due - passed : 1;
}

/*
 * Syncs come with every few writes of the leader. Where none of those waits for
 * us they are told of together, which spares both sides most acks; one that
 * begins to wait does so for no longer than this. False: it has ended.
 */
static bool wait_for_gap(struct run *run)
{
    uint64_t gap = run->is_awaited ? 0 : run->with->ack_gap_us;
    uint64_t passed = now_us(run) - run->acked_us;
    struct repl_moves seen;

    return passed >= gap ||
           repl_session_wait(run->session, &seen, 0, gap - passed);
}

/* ---- a stream that is silent ---- */

/* Bytes that the leader has do not come: the connection may be dead, and nobody
 * has told us. */
static enum ldb_status look_for_silence(struct run *run)
{
    struct repl_follower_stats stats;
    uint64_t now = now_us(run);

    repl_board_read(run->board, &stats);
    if (repl_follower_is_level(&stats) ||
        repl_session_is_stalled(run->session) ||
        stats.written.journal != run->written.journal ||
        stats.written.offset != run->written.offset) {
        run->written = stats.written;
        run->moved_us = now;
    }
    if (now - run->moved_us < run->with->watchdog_us)
        return LDB_OK;
    return ldb_error_set(&run->err, LDB_IO,
                         "%06" PRIu64 ".log stands at %" PRIu64
                         " bytes, the leader at %06" PRIu64 ".log and %" PRIu64
                         ", and for %" PRIu64 " ms nothing has come",
                         stats.written.journal, stats.written.offset,
                         stats.heartbeat.durable.journal,
                         stats.heartbeat.durable.offset,
                         (now - run->moved_us) / 1000);
}

/* ---- threads ---- */

static void pull_edits(void *context)
{
    const struct repl_streaming *with = context;

    repl_edit_pull_run(with->edits, with->session);
}

static void pull_journals(void *context)
{
    const struct repl_streaming *with = context;

    repl_journal_pull(with->session);
}

static enum ldb_status start_threads(struct run *run,
                                     struct ldb_thread *out[REPL_LANE_COUNT])
{
    struct repl_streaming *with = run->with;
    enum ldb_status s;

    s = run->env->ops->thread_start(run->env, "repl-journals", pull_journals,
                                    with, &run->err, &out[REPL_LANE_JOURNALS]);
    if (s == LDB_OK)
        s = run->env->ops->thread_start(run->env, "repl-edits", pull_edits,
                                        with, &run->err, &out[REPL_LANE_EDITS]);
    return s;
}

/* Until the session ends. */
static enum ldb_status keep_in_touch(struct run *run)
{
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && wait_for_gap(run) &&
           repl_session_wait(run->session, &run->seen,
                             REPL_MOVE_BIT(REPL_MOVE_SYNCED), rest_us(run))) {
        s = send_ack(run);
        if (s == LDB_OK)
            s = look_for_silence(run);
    }
    return s;
}

void repl_streaming_run(struct repl_streaming *streaming)
{
    struct repl_session *session = streaming->session;
    struct run run = {
        .with = streaming,
        .session = session,
        .board = session->options.board,
        .env = session->options.env,
    };
    struct ldb_thread *threads[REPL_LANE_COUNT] = {NULL};
    struct ldb_twin_state at;
    enum ldb_status s;

    repl_session_note_places(session, &at);
    run.moved_us = now_us(&run);
    repl_session_moves(session, &run.seen);
    s = send_ack(&run);
    if (s == LDB_OK)
        s = start_threads(&run, threads);
    if (s == LDB_OK)
        s = keep_in_touch(&run);
    if (s != LDB_OK)
        repl_session_fail(session, s, &run.err);
    for (size_t i = 0; i < REPL_LANE_COUNT; i++) {
        if (threads[i] != NULL)
            run.env->ops->thread_join(run.env, threads[i]);
    }
}
