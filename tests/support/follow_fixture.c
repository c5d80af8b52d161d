#include "tests/support/follow_fixture.h"

#include <stdatomic.h>

#include "replication/client.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"

/* ---- the leader ---- */

static void serve(struct follow_fixture *f)
{
    memory_peer_set_history(f->peer, &f->history);
    memory_peer_set_db(f->peer, f->leader->db, &f->leader->options, LEADER_DIR);
}

void follow_add_epoch(struct follow_fixture *f)
{
    const struct repl_epoch *last = repl_epoch_history_last(&f->history);
    struct repl_epoch next = {
        .number = last == NULL ? 1 : last->number + 1,
        .id = UINT64_C(0x1111111111111111) * (f->history.count + 1),
        .first_journal = 2,
    };

    if (last != NULL) {
        next.previous_last = ldb_last_sequence(f->leader->db);
        next.base = next.previous_last + REPL_EPOCH_SKIP;
        assert_ldb_ok(ldb_raise_sequence(f->leader->db, next.base, &f->err),
                      &f->err);
    }
    assert_ldb_ok(repl_epoch_history_append(&f->history, &next, &f->err),
                  &f->err);
    memory_peer_set_history(f->peer, &f->history);
}

void follow_restart_leader(struct follow_fixture *f)
{
    memory_peer_set_db(f->peer, NULL, NULL, NULL);
    leader_run_reopen(f->leader);
    follow_add_epoch(f);
    serve(f);
    leader_run_write(f->leader); /* above its base */
}

void follow_write(struct follow_fixture *f, unsigned count, unsigned flush_each)
{
    for (unsigned i = 1; i <= count; i++) {
        leader_run_write(f->leader);
        if (flush_each != 0 && i % flush_each == 0)
            leader_run_flush(f->leader);
    }
}

/* A write of nothing that is synced waits for all before it. */
ldb_sequence follow_settle(struct follow_fixture *f)
{
    struct ldb_batch batch;
    struct ldb_write write = {.batch = &batch, .sync = true};

    ldb_batch_init(&batch, 1024);
    assert_ldb_ok(ldb_write_wait(f->leader->db, &write), &write.error);
    ldb_batch_release(&batch);
    return ldb_last_sequence(f->leader->db);
}

/* ---- the twin ---- */

void follow_open_twin(struct follow_fixture *f)
{
    struct ldb_options *options = &f->ship.options;

    *options = f->leader->options;
    options->env = env_fault_env(f->fault);
    options->on_durable = NULL;
    options->archive_bytes = 0;
    assert_ldb_ok(
        ldb_twin_open(TWIN_SHIP_DIR, options, NULL, &f->err, &f->ship.db),
        &f->err);
    assert_ldb_ok(
        repl_node_load(&f->node, options->env, TWIN_SHIP_DIR, &f->err),
        &f->err);
    assert_ldb_ok(repl_node_begin_following(&f->node, &f->err), &f->err);
    assert_ldb_ok(
        repl_epoch_gate_create(&f->node, NULL, NULL, &f->err, &f->gate),
        &f->err);
    repl_board_init(&f->board, options->env);
    f->edits = repl_edit_pull_create();
    assert_non_null(f->edits);
}

void follow_drop_twin(struct follow_fixture *f)
{
    f->ship.db = NULL;
    repl_edit_pull_destroy(f->edits);
    f->edits = NULL;
    repl_epoch_gate_destroy(f->gate);
    f->gate = NULL;
    repl_board_release(&f->board);
    repl_node_release(&f->node);
}

void follow_close_twin(struct follow_fixture *f)
{
    assert_null(f->session);
    assert_ldb_ok(ldb_close(f->ship.db, &f->err), &f->err);
    follow_drop_twin(f);
}

void follow_cut_power(struct follow_fixture *f, enum ldb_crash_keep keep,
                      uint64_t seed)
{
    assert_null(f->session);
    env_fault_power_cut(f->fault, keep, seed);
    LDB_IGNORE(ldb_close(f->ship.db, NULL)); /* its env is dead */
    follow_drop_twin(f);
    follow_open_twin(f);
}

/* ---- both ---- */

void follow_open(struct follow_fixture *f, uint64_t seed, bool quiet)
{
    *f = (struct follow_fixture){.sync_us = PATIENCE_US};
    f->peer = memory_peer_create();
    f->leader = leader_run_create(seed, quiet);
    memory_peer_hook(f->peer, &f->leader->options);
    f->leader->options.archive_bytes = UINT64_C(1) << 30;
    f->leader->options.archive_age_us = UINT64_C(1) << 50;
    f->leader->options.sync_interval_us = 1000;
    leader_run_reopen(f->leader);
    follow_add_epoch(f);
    serve(f);
    f->fault = env_fault_create(NULL);
    twin_ship_init(&f->ship, f->leader, env_fault_env(f->fault), seed);
    follow_open_twin(f);
    assert_ldb_ok(memory_peer_repl(f->peer)->open(memory_peer_repl(f->peer),
                                                  &f->err, &f->transport),
                  &f->err);
}

static void close_leader(struct follow_fixture *f)
{
    memory_peer_set_db(f->peer, NULL, NULL, NULL);
    if (f->leader->db != NULL)
        leader_run_close(f->leader);
}

void follow_close(struct follow_fixture *f)
{
    if (f->ship.db != NULL)
        follow_close_twin(f);
    close_leader(f);
    f->transport->ops->destroy(f->transport);
    memory_peer_destroy(f->peer);
    env_fault_destroy(f->fault);
    leader_run_destroy(f->leader);
    repl_epoch_history_release(&f->history);
}

/* ---- a session ---- */

static void note_applied(void *context, ldb_sequence sequence)
{
    struct follow_fixture *f = context;
    ldb_sequence before = f->applied;

    /* Two threads tell. */
    while (sequence > before &&
           !atomic_compare_exchange_weak(&f->applied, &before, sequence))
        continue;
}

static void ask_state(struct follow_fixture *f, struct repl_state *out)
{
    struct repl_client client;

    repl_client_init(&client, f->transport);
    assert_ldb_ok(repl_client_state(&client, &f->err, out), &f->err);
}

void follow_begin(struct follow_fixture *f)
{
    struct repl_session_options options = {
        .env = f->ship.options.env,
        .dir = TWIN_SHIP_DIR,
        .db = f->ship.db,
        .peer = memory_peer_repl(f->peer),
        .gate = f->gate,
        .board = &f->board,
        .sync_us = f->sync_us,
        .on_applied = note_applied,
        .context = f,
    };
    struct repl_state state = {0};

    ask_state(f, &state);
    assert_ldb_ok(repl_epoch_gate_accept(f->gate, state.identity.cluster_id,
                                         &state.history, &f->err),
                  &f->err);
    repl_epoch_gate_last(f->gate, &options.epoch, &options.epoch_id);
    ldb_twin_drop_flushed(f->ship.db); /* a twin of this fixture is a past */
    assert_ldb_ok(repl_session_create(&options, &f->err, &f->session), &f->err);
    repl_session_take_state(f->session, &state);
    repl_state_release(&state);
}

static void pull_journals(void *context)
{
    struct follow_fixture *f = context;

    repl_journal_pull(f->session);
}

static void pull_edits(void *context)
{
    struct follow_fixture *f = context;

    repl_edit_pull_run(f->edits, f->session);
}

void follow_start(struct follow_fixture *f, unsigned threads)
{
    static void (*const bodies[2])(void *context) = {pull_journals, pull_edits};
    struct ldb_env *env = ldb_env_posix();

    for (size_t i = 0; i < 2; i++) {
        if ((threads >> i & 1) != 0)
            assert_ldb_ok(env->ops->thread_start(env, "follow", bodies[i], f,
                                                 &f->err, &f->threads[i]),
                          &f->err);
    }
}

void follow_hear(struct follow_fixture *f)
{
    struct repl_state state = {0};
    struct repl_heartbeat heartbeat = {0};

    ask_state(f, &state);
    heartbeat.epoch = repl_epoch_history_last(&state.history)->number;
    heartbeat.epoch_id = repl_epoch_history_last(&state.history)->id;
    heartbeat.durable = state.durable;
    heartbeat.last_sequence = state.last_sequence;
    heartbeat.manifest_number = state.manifest_number;
    heartbeat.manifest_len = state.manifest_len;
    repl_state_release(&state);
    repl_session_heard(f->session, &heartbeat);
}

enum repl_session_end follow_wait_end(struct follow_fixture *f)
{
    struct repl_moves seen;

    if (repl_session_wait(f->session, &seen, 0, PATIENCE_US))
        fail_msg("the session has not ended");
    return repl_session_ended(f->session, NULL);
}

enum repl_session_end follow_end(struct follow_fixture *f,
                                 enum repl_session_end end)
{
    struct ldb_env *env = ldb_env_posix();

    if (end != REPL_END_NONE)
        repl_session_finish(f->session, end, NULL);
    for (size_t i = 0; i < 2; i++) {
        if (f->threads[i] != NULL)
            env->ops->thread_join(env, f->threads[i]);
        f->threads[i] = NULL;
    }
    end = repl_session_ended(f->session, &f->err);
    repl_session_destroy(f->session);
    f->session = NULL;
    return end;
}

/* ---- catching up ---- */

void follow_stats(struct follow_fixture *f, struct repl_follower_stats *out)
{
    repl_board_read(&f->board, out);
}

/* Whether the leader has nothing to do by itself. */
static bool is_at_rest(struct follow_fixture *f)
{
    struct ldb_stats stats;
    bool is_due = false;

    ldb_stats(f->leader->db, &stats);
    for (size_t i = 0; i < LDB_STATS_LEVELS; i++)
        is_due |= stats.levels[i].score >= 1;
    return !is_due && stats.running_compactions == 0 &&
           stats.immutable_memtables == 0;
}

/* What to wait for beside the journals' bytes. */
enum level {
    LEVEL_BYTES,
    LEVEL_SEALS, /* and the open journal has begun */
    LEVEL_EDITS, /* and all edits are installed */
};

static bool is_level(struct follow_fixture *f,
                     const struct repl_follower_stats *ours, enum level level)
{
    struct ldb_position durable = ldb_durable_position(f->leader->db);
    struct ldb_stats theirs;
    bool has_edits;

    ldb_stats(f->leader->db, &theirs);
    has_edits = ours->manifest_number == theirs.manifest_number &&
                ours->manifest_len == theirs.manifest_bytes;
    if (level == LEVEL_EDITS && (!has_edits || !is_at_rest(f)))
        return false;
    if (level == LEVEL_SEALS && ours->written.journal != theirs.journal_number)
        return false;
    /* One that has begun after it, and has nothing to sync. */
    if (ours->written.journal > durable.journal)
        return ours->written.offset == 0;
    return ours->written.journal == durable.journal &&
           ours->written.offset == durable.offset &&
           (durable.offset == 0 || ours->synced.offset == durable.offset);
}

static void wait_level(struct follow_fixture *f, enum level level,
                       void (*look)(struct follow_fixture *f,
                                    struct repl_follower_stats *out),
                       void (*hear)(struct follow_fixture *f))
{
    struct ldb_env *env = ldb_env_posix();
    uint64_t begun = env->ops->monotonic_us(env);
    struct repl_follower_stats ours;

    follow_settle(f);
    look(f, &ours);
    while (!is_level(f, &ours, level)) {
        assert_true(env->ops->monotonic_us(env) - begun < PATIENCE_US);
        if (f->session != NULL &&
            repl_session_ended(f->session, &f->err) != REPL_END_NONE)
            fail_msg("the session has ended: %s", f->err.message);
        /* The leader may move, which nobody here is told of. */
        ldb_mutex_lock(&f->board.mu);
        LDB_IGNORE(ldb_cond_wait_for(&f->board.moved, &f->board.mu,
                                     2000)); /* looked at */
        ldb_mutex_unlock(&f->board.mu);
        if (hear != NULL)
            hear(f);
        look(f, &ours);
    }
}

void follow_catch_up_journals(struct follow_fixture *f)
{
    wait_level(f, LEVEL_BYTES, follow_stats, follow_hear);
}

void follow_catch_up(struct follow_fixture *f)
{
    wait_level(f, LEVEL_EDITS, follow_stats, follow_hear);
}

void follow_catch_up_seals(struct follow_fixture *f)
{
    wait_level(f, LEVEL_SEALS, follow_stats, follow_hear);
}

void follow_wait_level(struct follow_fixture *f,
                       void (*look)(struct follow_fixture *f,
                                    struct repl_follower_stats *out))
{
    wait_level(f, LEVEL_EDITS, look, NULL);
}

/* ---- what holds ---- */

void follow_check(struct follow_fixture *f)
{
    leader_run_assert_state(f->leader, f->ship.db);
}

void follow_assert_same(struct follow_fixture *f)
{
    follow_check(f);
    follow_close_twin(f);
    close_leader(f);
    twin_ship_assert_same(&f->ship);
}
