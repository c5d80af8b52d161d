/*
 * The life of a follower (contract: follower.h).
 *
 * One thread runs the states; each is a function that returns the next one.
 * While it streams it is the one that says where we are and hears where the
 * leader is, and two more pull journals and edits (follow_session.h). Whatever
 * fails ends the session; all three come together, and the state machine goes
 * on from what the twin is then.
 */
#include "replication/follower.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "replication/client.h"
#include "replication/edit_pull.h"
#include "replication/epoch_gate.h"
#include "replication/follow_session.h"
#include "replication/leader_check.h"
#include "replication/rebuild_intent.h"
#include "replication/streaming.h"
#include "replication/table_fetch.h"
#include "replication/twin_mark.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/*
 * Locking: options (but node's content), url, board, gate, edits, transport:
 * constant or own synchronisation; of the follower's thread alone: client,
 * theirs, verdict, doubt and its epoch, is_reopen, backoff_us, err; guarded by
 * mu: the rest, and node's content but in a rebuild.
 */
struct repl_follower {
    struct repl_follower_options options;
    char *url; /* owned */
    struct repl_board board;
    struct repl_epoch_gate *gate;
    struct repl_edit_pull *edits;
    struct repl_transport *transport; /* of the follower's thread */
    struct ldb_thread *thread;        /* NULL: joined */

    struct repl_client client;
    struct repl_state theirs;    /* as it was told last */
    struct repl_verdict verdict; /* of it */
    /* How the last session ended, where the folder is in doubt whatever the
     * comparing says, as long as the leader is in that epoch. */
    enum repl_session_end doubt;
    uint64_t doubt_epoch;
    bool is_reopen;   /* what to rebuild for */
    bool has_rebuilt; /* and nothing has come since */
    bool has_swept;   /* what was on its way into this twin */
    uint64_t backoff_us;
    struct ldb_error err; /* of the state that failed */

    struct ldb_mutex mu;
    struct ldb_cond nudged;
    bool is_nudged; /* since it connected last */
    bool is_stopping;
    bool is_rebuilding;
    struct ldb_db *db;            /* changed in a rebuild alone */
    struct repl_session *session; /* NULL: it does not stream */
};

static uint64_t now_us(const struct repl_follower *follower)
{
    struct ldb_env *env = follower->options.env;

    return env->ops->monotonic_us(env);
}

static bool is_stopping(struct repl_follower *follower)
{
    bool is_stopping;

    ldb_mutex_lock(&follower->mu);
    is_stopping = follower->is_stopping;
    ldb_mutex_unlock(&follower->mu);
    return is_stopping;
}

static void count(struct repl_follower *follower, uint64_t *counter)
{
    repl_board_add(&follower->board, counter, 1);
}

static void note_epoch(struct repl_follower *follower)
{
    uint64_t number = 0;
    uint64_t id = 0;

    repl_epoch_gate_last(follower->gate, &number, &id);
    repl_board_set_epoch(&follower->board, number, id);
}

static void note_places(struct repl_follower *follower)
{
    struct ldb_twin_state at;

    if (follower->db == NULL)
        return;
    ldb_twin_state(follower->db, &at);
    repl_board_set_places(&follower->board, &at);
}

/* err says why. */
static enum repl_follower_state fail(struct repl_follower *follower)
{
    count(follower, &follower->board.stats.counts.failures);
    return REPL_FOLLOWER_WAITING;
}

/* ---- CONNECTING ---- */

/* A folder that was made of the leader's by a tool that knows of no nodes has
 * its id too; two nodes of one id would be one follower. */
static enum ldb_status take_own_id(struct repl_follower *follower)
{
    struct repl_node *node = follower->options.node;
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&follower->mu);
    if (node->has_identity &&
        strcmp(node->identity.node_id, follower->theirs.identity.node_id) == 0)
        s = repl_node_rename(node, &follower->err);
    ldb_mutex_unlock(&follower->mu);
    return s;
}

static enum repl_follower_state connect_leader(struct repl_follower *follower)
{
    enum ldb_status s;

    ldb_mutex_lock(&follower->mu);
    follower->is_nudged = false;
    ldb_mutex_unlock(&follower->mu);
    repl_state_release(&follower->theirs);
    follower->theirs = (struct repl_state){0};
    s = repl_client_state(&follower->client, &follower->err, &follower->theirs);
    if (s == LDB_OK)
        s = repl_leader_check_role(
            &follower->theirs, follower->options.cluster_id, &follower->err);
    if (s == LDB_OK)
        s = take_own_id(follower);
    if (s != LDB_OK)
        return fail(follower);
    count(follower, &follower->board.stats.counts.connects);
    return REPL_FOLLOWER_COMPARING;
}

/* ---- COMPARING ---- */

static const struct repl_epoch *their_epoch(const struct repl_follower *f)
{
    return repl_epoch_history_last(&f->theirs.history);
}

static enum ldb_status compare(struct repl_follower *follower)
{
    const struct repl_follower_options *options = &follower->options;
    const struct repl_node *node = options->node;
    struct repl_identity identity;
    struct repl_epoch_history history = {0};
    struct repl_leader_check check = {
        .env = options->env,
        .dir = node->dir,
        .comparator = options->comparator,
        .twin = follower->db,
        .history = &history,
        .transport = follower->transport,
    };
    enum ldb_status s;

    ldb_mutex_lock(&follower->mu);
    s = repl_epoch_history_copy(&node->history, &follower->err, &history);
    identity = node->identity;
    if (node->has_identity)
        check.identity = &identity;
    ldb_mutex_unlock(&follower->mu);
    if (s == LDB_OK)
        s = repl_leader_check_run(&check, &follower->theirs, &follower->err,
                                  &follower->verdict);
    repl_epoch_history_release(&history);
    return s;
}

/* The comparing found nothing, and yet the last session ended so. */
static void apply_doubt(struct repl_follower *follower)
{
    const struct repl_epoch *epoch = their_epoch(follower);
    enum repl_session_end doubt = follower->doubt;

    follower->doubt = REPL_END_NONE;
    if (follower->doubt_epoch == epoch->number)
        repl_leader_check_doubt(doubt, follower->err.message,
                                &follower->verdict);
}

static enum repl_follower_state must_rebuild(struct repl_follower *follower)
{
    bool was_in_vain = follower->has_rebuilt;

    follower->is_reopen = false;
    follower->has_rebuilt = false;
    follower->doubt = REPL_END_NONE;
    (void)ldb_error_set(&follower->err, LDB_PRECONDITION, "%s: %s",
                        repl_verdict_text(follower->verdict.kind),
                        follower->verdict.reason);
    return was_in_vain ? fail(follower) : REPL_FOLLOWER_REBUILDING;
}

static enum ldb_status accept_theirs(struct repl_follower *follower)
{
    enum ldb_status s;

    ldb_mutex_lock(&follower->mu);
    s = repl_epoch_gate_accept(follower->gate,
                               follower->theirs.identity.cluster_id,
                               &follower->theirs.history, &follower->err);
    ldb_mutex_unlock(&follower->mu);
    note_epoch(follower);
    return s;
}

/* Whoever opens the folder besides us can be told from now on. */
static enum ldb_status mark_twin(struct repl_follower *follower)
{
    const struct repl_follower_options *options = &follower->options;
    struct ldb_twin_state at;

    ldb_twin_state(follower->db, &at);
    return repl_twin_mark_begin(options->env, options->node->dir,
                                at.manifest_number, &follower->err);
}

/*
 * A rebuild that was begun and given up: the folder is as it was. For a later
 * epoch than this leader's is the same as one that was accepted. *out_is_there:
 * it is over when that leader is followed.
 */
static enum ldb_status look_at_intent(struct repl_follower *follower,
                                      bool *out_is_there)
{
    const struct repl_follower_options *options = &follower->options;
    const struct repl_epoch *its = their_epoch(follower);
    struct repl_rebuild_intent intent;
    struct ldb_error why = {0};
    enum ldb_status s = repl_rebuild_intent_load(
        options->env, options->node->dir, &why, &intent);

    *out_is_there = s == LDB_OK;
    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s == LDB_OK && repl_rebuild_intent_forbids(&intent, its))
        s = ldb_error_set(
            &why, LDB_PRECONDITION,
            "a rebuild for epoch %" PRIu64 " (%016" PRIx64
            ") was begun here, the leader is in %" PRIu64 " (%016" PRIx64 ")",
            intent.epoch.number, intent.epoch.id, its->number, its->id);
    if (s != LDB_OK)
        follower->err = why;
    return s;
}

/* We are a past of the leader: its epoch first, then its bytes (R6). */
static enum repl_follower_state go_on(struct repl_follower *follower)
{
    bool has_intent = false;
    enum ldb_status s;

    if (follower->db == NULL)
        return must_rebuild(follower);
    apply_doubt(follower);
    if (follower->verdict.kind != REPL_VERDICT_SAME &&
        follower->verdict.kind != REPL_VERDICT_BEHIND)
        return must_rebuild(follower);
    s = look_at_intent(follower, &has_intent);
    if (s == LDB_OK)
        s = accept_theirs(follower);
    if (s == LDB_OK)
        s = mark_twin(follower);
    if (s == LDB_OK && has_intent)
        s = repl_rebuild_intent_remove(
            follower->options.env, follower->options.node->dir, &follower->err);
    if (s == LDB_OK)
        return REPL_FOLLOWER_STREAMING;
    return s == LDB_EXISTS ? REPL_FOLLOWER_STOPPED : fail(follower);
}

static enum repl_follower_state compare_leader(struct repl_follower *follower)
{
    const struct repl_verdict *verdict = &follower->verdict;

    if (compare(follower) != LDB_OK)
        return fail(follower);
    switch (verdict->kind) {
    case REPL_VERDICT_SAME:
    case REPL_VERDICT_BEHIND:
        return go_on(follower);
    case REPL_VERDICT_CONTAINED:
    case REPL_VERDICT_DIVERGED:
    case REPL_VERDICT_UNKNOWN:
        return must_rebuild(follower);
    case REPL_VERDICT_LOWER:    /* it may hear of the higher one yet */
    case REPL_VERDICT_STRANGER: /* another node may get that address */
        (void)ldb_error_set(&follower->err, LDB_PRECONDITION, "%s",
                            verdict->reason);
        return fail(follower);
    case REPL_VERDICT_SPLIT:
        (void)ldb_error_set(&follower->err, LDB_PRECONDITION, "%s",
                            verdict->reason);
        return REPL_FOLLOWER_STOPPED;
    }
    return REPL_FOLLOWER_STOPPED;
}

/* ---- STREAMING ---- */

/*
 * What was begun and given up, before a restart or for a rebuild, goes. Only
 * then: a table that comes in several sessions goes on where it is. So do the
 * journals that tables hold: the comparing has found nothing of our own.
 */
static void sweep(struct repl_follower *follower, struct repl_session *session)
{
    if (follower->has_swept)
        return;
    follower->has_swept = true;
    ldb_twin_drop_flushed(follower->db);
    /* What stays is in nobody's way. */
    LDB_IGNORE(repl_fetch_sweep(session->fetch, NULL, NULL, NULL));
}

static enum ldb_status open_session(struct repl_follower *follower,
                                    struct repl_session **out)
{
    const struct repl_follower_options *options = &follower->options;
    struct repl_session_options with = {
        .env = options->env,
        .dir = options->node->dir,
        .db = follower->db,
        .peer = options->peer,
        .gate = follower->gate,
        .board = &follower->board,
        .epoch = their_epoch(follower)->number,
        .epoch_id = their_epoch(follower)->id,
        .sync_us = options->sync_us,
        .on_applied = options->on_applied,
        .context = options->context,
    };
    struct repl_session *session = NULL;
    enum ldb_status s = repl_session_create(&with, &follower->err, &session);

    if (s != LDB_OK)
        return s;
    repl_session_take_state(session, &follower->theirs);
    sweep(follower, session);
    ldb_mutex_lock(&follower->mu);
    follower->session = session;
    if (follower->is_stopping)
        repl_session_finish(session, REPL_END_STOPPED, NULL);
    ldb_mutex_unlock(&follower->mu);
    *out = session;
    return LDB_OK;
}

static enum repl_session_end close_session(struct repl_follower *follower)
{
    struct repl_session *session = follower->session;
    enum repl_session_end end = repl_session_ended(session, &follower->err);

    ldb_mutex_lock(&follower->mu);
    follower->session = NULL;
    ldb_mutex_unlock(&follower->mu);
    repl_session_destroy(session);
    return end;
}

static enum repl_follower_state after_session(struct repl_follower *follower,
                                              enum repl_session_end end)
{
    switch (end) {
    case REPL_END_STOPPED:
        return REPL_FOLLOWER_STOPPED;
    case REPL_END_EPOCH:
        follower->backoff_us = follower->options.backoff_us;
        return fail(follower);
    case REPL_END_NONE: /* it does not end so */
    case REPL_END_RETRY:
        return fail(follower);
    case REPL_END_BEHIND:
    case REPL_END_DIFFERS:
        follower->doubt = end;
        follower->doubt_epoch = their_epoch(follower)->number;
        return REPL_FOLLOWER_CONNECTING;
    case REPL_END_REOPEN:
        follower->is_reopen = true;
        return REPL_FOLLOWER_REBUILDING;
    }
    return REPL_FOLLOWER_STOPPED;
}

/* What has come shows that the way is good: the next pause is a short one. */
static void note_progress(struct repl_follower *follower,
                          const struct repl_follower_stats *before)
{
    struct repl_follower_stats now;

    repl_board_read(&follower->board, &now);
    if (now.counts.journal_bytes == before->counts.journal_bytes &&
        now.counts.installs == before->counts.installs)
        return;
    follower->backoff_us = follower->options.backoff_us;
    follower->has_rebuilt = false;
}

static enum repl_follower_state stream(struct repl_follower *follower)
{
    const struct repl_follower_options *options = &follower->options;
    struct repl_streaming with = {
        .client = &follower->client,
        .edits = follower->edits,
        .node_id = options->node->identity.node_id,
        .url = follower->url,
        .ack_us = options->ack_us,
        .busy_ack_us = options->busy_ack_us,
        .ack_gap_us = options->ack_gap_us,
        .watchdog_us = options->watchdog_us,
    };
    struct repl_follower_stats before;

    if (open_session(follower, &with.session) != LDB_OK)
        return fail(follower);
    repl_board_read(&follower->board, &before);
    repl_streaming_run(&with);
    note_progress(follower, &before);
    return after_session(follower, close_session(follower));
}

/* ---- REBUILDING ---- */

static bool begin_rebuild(struct repl_follower *follower)
{
    ldb_mutex_lock(&follower->mu);
    follower->is_rebuilding = !follower->is_stopping;
    ldb_mutex_unlock(&follower->mu);
    return follower->is_rebuilding;
}

static void end_rebuild(struct repl_follower *follower, struct ldb_db *db)
{
    /* What was made for edits went with the old twin. */
    repl_edit_pull_forget(follower->edits);
    follower->has_swept = false;
    repl_epoch_gate_reload(follower->gate);
    ldb_mutex_lock(&follower->mu);
    follower->is_rebuilding = false;
    follower->db = db;
    ldb_mutex_unlock(&follower->mu);
    note_epoch(follower);
    note_places(follower);
}

static enum repl_follower_state rebuild(struct repl_follower *follower)
{
    const struct repl_follower_options *options = &follower->options;
    struct repl_rebuild what = {
        .is_reopen = follower->is_reopen,
        .verdict = follower->verdict,
        .leader = &follower->theirs,
    };
    struct ldb_db *db = follower->db;
    enum ldb_status s;

    if (!begin_rebuild(follower))
        return REPL_FOLLOWER_STOPPED;
    count(follower, &follower->board.stats.counts.rebuilds);
    s = options->rebuild(options->context, &what, &follower->err, &db);
    end_rebuild(follower, db);
    if (s != LDB_OK)
        return fail(follower);
    follower->is_reopen = false;
    follower->has_rebuilt = true;
    return REPL_FOLLOWER_CONNECTING;
}

/* ---- WAITING ---- */

static enum repl_follower_state wait_a_while(struct repl_follower *follower)
{
    uint64_t begun = now_us(follower);
    uint64_t pause = follower->backoff_us;
    uint64_t passed = 0;

    ldb_mutex_lock(&follower->mu);
    while (!follower->is_stopping && !follower->is_nudged && passed < pause) {
        LDB_IGNORE(ldb_cond_wait_for(&follower->nudged, &follower->mu,
                                     pause - passed)); /* looked at */
        passed = now_us(follower) - begun;
    }
    ldb_mutex_unlock(&follower->mu);
    follower->backoff_us = pause < follower->options.backoff_max_us / 2
                               ? pause * 2
                               : follower->options.backoff_max_us;
    return follower->is_reopen ? REPL_FOLLOWER_REBUILDING
                               : REPL_FOLLOWER_CONNECTING;
}

/* ---- the states ---- */

static enum repl_follower_state step(struct repl_follower *follower,
                                     enum repl_follower_state state)
{
    switch (state) {
    case REPL_FOLLOWER_CONNECTING:
        return connect_leader(follower);
    case REPL_FOLLOWER_COMPARING:
        return compare_leader(follower);
    case REPL_FOLLOWER_STREAMING:
        return stream(follower);
    case REPL_FOLLOWER_REBUILDING:
        return rebuild(follower);
    case REPL_FOLLOWER_WAITING:
        return wait_a_while(follower);
    case REPL_FOLLOWER_STOPPED:
        break;
    }
    return REPL_FOLLOWER_STOPPED;
}

/* Why the state is entered; NULL: it says nothing new about that. */
static const char *reason_for(struct repl_follower *follower,
                              enum repl_follower_state state)
{
    switch (state) {
    case REPL_FOLLOWER_CONNECTING:
    case REPL_FOLLOWER_COMPARING:
        return NULL;
    case REPL_FOLLOWER_STREAMING:
        return "";
    case REPL_FOLLOWER_REBUILDING:
    case REPL_FOLLOWER_WAITING:
        return follower->err.message;
    case REPL_FOLLOWER_STOPPED:
        return is_stopping(follower) ? "" : follower->err.message;
    }
    return NULL;
}

static void enter(struct repl_follower *follower,
                  enum repl_follower_state state)
{
    const struct repl_follower_options *options = &follower->options;
    const char *why = reason_for(follower, state);

    repl_board_set_state(&follower->board, state, why);
    if (options->on_state != NULL)
        options->on_state(options->context, state, why == NULL ? "" : why);
}

static void run(void *context)
{
    struct repl_follower *follower = context;
    enum repl_follower_state state = REPL_FOLLOWER_CONNECTING;

    for (;;) {
        if (is_stopping(follower))
            state = REPL_FOLLOWER_STOPPED;
        enter(follower, state);
        if (state == REPL_FOLLOWER_STOPPED)
            break;
        state = step(follower, state);
    }
    repl_board_close(&follower->board);
}

/* ---- the owner's ---- */

static enum ldb_status prepare(struct repl_follower *follower,
                               struct ldb_error *err)
{
    const struct repl_follower_options *options = &follower->options;
    enum ldb_status s;

    follower->url = ldb_mem_strdup(options->url);
    follower->edits = repl_edit_pull_create();
    if (follower->url == NULL || follower->edits == NULL)
        return ldb_error_no_memory(err);
    s = repl_epoch_gate_create(options->node, options->on_epoch,
                               options->context, err, &follower->gate);
    if (s == LDB_OK)
        s = options->peer->open(options->peer, err, &follower->transport);
    return s;
}

enum ldb_status
repl_follower_create(const struct repl_follower_options *options,
                     struct ldb_error *err, struct repl_follower **out)
{
    struct ldb_env *env = options->env;
    struct repl_follower *follower = ldb_mem_zalloc(1, sizeof(*follower));
    enum ldb_status s;

    if (follower == NULL)
        return ldb_error_no_memory(err);
    follower->options = *options;
    repl_follower_options_complete(&follower->options);
    follower->db = options->db;
    follower->backoff_us = follower->options.backoff_us;
    repl_board_init(&follower->board, env);
    ldb_mutex_init(&follower->mu);
    ldb_cond_init(&follower->nudged);
    s = prepare(follower, err);
    if (s == LDB_OK) {
        repl_client_init(&follower->client, follower->transport);
        note_epoch(follower);
        note_places(follower);
        s = env->ops->thread_start(env, "repl-follower", run, follower, err,
                                   &follower->thread);
    }
    if (s == LDB_OK)
        *out = follower;
    else
        repl_follower_destroy(follower);
    return s;
}

void repl_follower_stop(struct repl_follower *follower, struct ldb_db **out_db)
{
    const struct repl_follower_options *options = &follower->options;
    bool is_rebuilding;

    ldb_mutex_lock(&follower->mu);
    follower->is_stopping = true;
    is_rebuilding = follower->is_rebuilding;
    if (follower->session != NULL)
        repl_session_finish(follower->session, REPL_END_STOPPED, NULL);
    ldb_cond_broadcast(&follower->nudged);
    ldb_mutex_unlock(&follower->mu);
    follower->transport->ops->interrupt(follower->transport);
    if (is_rebuilding)
        options->cancel_rebuild(options->context);
    if (follower->thread != NULL)
        options->env->ops->thread_join(options->env, follower->thread);
    follower->thread = NULL;
    /* The twin may stay open for another leader's follower, which would not
     * know of them. */
    if (follower->db != NULL)
        repl_edit_pull_discard(follower->edits, follower->db);
    *out_db = follower->db;
}

void repl_follower_destroy(struct repl_follower *follower)
{
    if (follower == NULL)
        return;
    assert(follower->thread == NULL);
    if (follower->transport != NULL)
        follower->transport->ops->destroy(follower->transport);
    repl_epoch_gate_destroy(follower->gate);
    repl_edit_pull_destroy(follower->edits);
    repl_state_release(&follower->theirs);
    repl_board_release(&follower->board);
    ldb_cond_release(&follower->nudged);
    ldb_mutex_release(&follower->mu);
    ldb_mem_free(follower->url);
    ldb_mem_free(follower);
}

void repl_follower_stats(struct repl_follower *follower,
                         struct repl_follower_stats *out)
{
    repl_board_read(&follower->board, out);
}

void repl_follower_nudge(struct repl_follower *follower)
{
    ldb_mutex_lock(&follower->mu);
    follower->is_nudged = true;
    ldb_cond_broadcast(&follower->nudged);
    ldb_mutex_unlock(&follower->mu);
}

enum ldb_status repl_follower_accept(struct repl_follower *follower,
                                     const struct repl_epoch_history *history,
                                     struct ldb_error *err)
{
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t id = 0;
    enum ldb_status s;

    ldb_mutex_lock(&follower->mu);
    repl_epoch_gate_last(follower->gate, &before, &id);
    if (follower->is_stopping)
        s = ldb_error_set(err, LDB_CLOSED, "the follower has stopped");
    else if (follower->is_rebuilding)
        s = ldb_error_set(err, LDB_STALLED,
                          "the folder is being rebuilt, and takes no epoch");
    else
        s = repl_epoch_gate_accept(follower->gate, NULL, history, err);
    repl_epoch_gate_last(follower->gate, &after, &id);
    /* A stream that is silent would not notice. */
    if (after != before && follower->session != NULL)
        repl_session_finish(follower->session, REPL_END_EPOCH, NULL);
    ldb_mutex_unlock(&follower->mu);
    note_epoch(follower);
    return s;
}

enum ldb_status repl_follower_wait(struct repl_follower *follower,
                                   ldb_sequence sequence, uint64_t timeout_us,
                                   struct ldb_error *err)
{
    bool is_closed;

    if (repl_board_wait_synced(&follower->board, sequence, timeout_us))
        return LDB_OK;
    ldb_mutex_lock(&follower->board.mu);
    is_closed = follower->board.is_closed;
    ldb_mutex_unlock(&follower->board.mu);
    return ldb_error_set(err, is_closed ? LDB_CLOSED : LDB_STALLED,
                         "sequence %" PRIu64 " is not synced here%s", sequence,
                         is_closed ? ": the follower has stopped" : " yet");
}
