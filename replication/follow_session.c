#include "replication/follow_session.h"

#include <inttypes.h>

#include "replication/table_fetch.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

static enum ldb_status open_ways(struct repl_session *session,
                                 struct ldb_error *err)
{
    const struct repl_fetch_options fetch = {
        .env = session->options.env,
        .dir = session->options.dir,
        .peer = session->options.peer,
    };
    struct repl_peer *peer = session->options.peer;
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < REPL_LANE_COUNT; i++)
        s = peer->open(peer, err, &session->transports[i]);
    if (s == LDB_OK)
        s = repl_fetch_create(&fetch, err, &session->fetch);
    return s;
}

enum ldb_status repl_session_create(const struct repl_session_options *options,
                                    struct ldb_error *err,
                                    struct repl_session **out)
{
    struct repl_session *session = ldb_mem_zalloc(1, sizeof(*session));
    enum ldb_status s;

    if (session == NULL)
        return ldb_error_no_memory(err);
    session->options = *options;
    ldb_mutex_init(&session->journals_mu);
    ldb_mutex_init(&session->mu);
    ldb_cond_init(&session->moved);
    s = open_ways(session, err);
    if (s == LDB_OK)
        *out = session;
    else
        repl_session_destroy(session);
    return s;
}

void repl_session_destroy(struct repl_session *session)
{
    if (session == NULL)
        return;
    for (size_t i = 0; i < REPL_LANE_COUNT; i++) {
        if (session->transports[i] != NULL)
            session->transports[i]->ops->destroy(session->transports[i]);
    }
    repl_fetch_destroy(session->fetch);
    ldb_mem_free(session->journals);
    ldb_cond_release(&session->moved);
    ldb_mutex_release(&session->mu);
    ldb_mutex_release(&session->journals_mu);
    ldb_mem_free(session);
}

/* ---- its end ---- */

void repl_session_finish(struct repl_session *session,
                         enum repl_session_end end, const struct ldb_error *err)
{
    bool is_first;

    ldb_mutex_lock(&session->mu);
    is_first = session->end == REPL_END_NONE;
    if (is_first) {
        session->end = end;
        if (err != NULL)
            session->why = *err;
        ldb_cond_broadcast(&session->moved);
    }
    ldb_mutex_unlock(&session->mu);
    if (!is_first)
        return;
    for (size_t i = 0; i < REPL_LANE_COUNT; i++)
        session->transports[i]->ops->interrupt(session->transports[i]);
    repl_fetch_interrupt(session->fetch);
}

static bool has_stopped(struct ldb_db *db)
{
    enum ldb_health health = ldb_health(db, NULL);

    return health == LDB_HEALTH_SYNC_FAILED ||
           health == LDB_HEALTH_WRITE_FAILED;
}

void repl_session_fail(struct repl_session *session, enum ldb_status status,
                       const struct ldb_error *err)
{
    enum repl_session_end end = REPL_END_RETRY;

    assert(status != LDB_OK);
    if (status == LDB_READ_ONLY || has_stopped(session->options.db))
        end = REPL_END_REOPEN;
    else if (status == LDB_PRECONDITION)
        end = REPL_END_EPOCH;
    else if (status == LDB_GONE)
        end = REPL_END_BEHIND;
    repl_session_finish(session, end, err);
}

enum repl_session_end repl_session_ended(struct repl_session *session,
                                         struct ldb_error *out_why)
{
    enum repl_session_end end;

    ldb_mutex_lock(&session->mu);
    end = session->end;
    if (out_why != NULL)
        *out_why = session->why;
    ldb_mutex_unlock(&session->mu);
    return end;
}

/* ---- who waits for whom ---- */

void repl_session_moves(struct repl_session *session, struct repl_moves *out)
{
    ldb_mutex_lock(&session->mu);
    *out = session->moves;
    ldb_mutex_unlock(&session->mu);
}

/* A sync comes with every few writes of the leader: it wakes nobody who waits
 * for something else. */
static void move_locked(struct repl_session *session, enum repl_move move)
    LDB_REQUIRES(session->mu)
{
    session->moves.of[move]++;
    if (session->waiting[move] > 0)
        ldb_cond_broadcast(&session->moved);
}

void repl_session_move(struct repl_session *session, enum repl_move move)
{
    ldb_mutex_lock(&session->mu);
    move_locked(session, move);
    ldb_mutex_unlock(&session->mu);
}

static void begin_wait(struct repl_session *session, unsigned mask)
    LDB_REQUIRES(session->mu)
{
    for (size_t i = 0; i < REPL_MOVE_COUNT; i++)
        session->waiting[i] += (mask & REPL_MOVE_BIT(i)) != 0;
}

static void end_wait(struct repl_session *session, unsigned mask)
    LDB_REQUIRES(session->mu)
{
    for (size_t i = 0; i < REPL_MOVE_COUNT; i++)
        session->waiting[i] -= (mask & REPL_MOVE_BIT(i)) != 0;
}

static bool has_moved(const struct repl_moves *now,
                      const struct repl_moves *seen, unsigned mask)
{
    for (size_t i = 0; i < REPL_MOVE_COUNT; i++) {
        if ((mask & REPL_MOVE_BIT(i)) != 0 && now->of[i] != seen->of[i])
            return true;
    }
    return false;
}

bool repl_session_wait(struct repl_session *session, struct repl_moves *seen,
                       unsigned mask, uint64_t timeout_us)
{
    struct ldb_env *env = session->options.env;
    uint64_t begun = env->ops->monotonic_us(env);
    bool goes_on;

    ldb_mutex_lock(&session->mu);
    begin_wait(session, mask);
    while (session->end == REPL_END_NONE &&
           !has_moved(&session->moves, seen, mask)) {
        uint64_t passed = env->ops->monotonic_us(env) - begun;

        if (timeout_us == 0)
            ldb_cond_wait(&session->moved, &session->mu);
        else if (passed >= timeout_us)
            break;
        else
            LDB_IGNORE(ldb_cond_wait_for(&session->moved, &session->mu,
                                         timeout_us - passed)); /* looked at */
    }
    end_wait(session, mask);
    *seen = session->moves;
    goes_on = session->end == REPL_END_NONE;
    ldb_mutex_unlock(&session->mu);
    return goes_on;
}

bool repl_session_wait_room(struct repl_session *session,
                            struct repl_moves *seen)
{
    bool goes_on;

    ldb_mutex_lock(&session->mu);
    session->stalled_at = seen->of[REPL_MOVE_INSTALLED] + 1;
    /* Edits that wait for journals look again: these do not come. */
    move_locked(session, REPL_MOVE_JOURNAL);
    ldb_mutex_unlock(&session->mu);
    goes_on =
        repl_session_wait(session, seen, REPL_MOVE_BIT(REPL_MOVE_INSTALLED), 0);
    ldb_mutex_lock(&session->mu);
    session->stalled_at = 0;
    ldb_mutex_unlock(&session->mu);
    return goes_on;
}

bool repl_session_is_stalled(struct repl_session *session)
{
    bool is_stalled;

    ldb_mutex_lock(&session->mu);
    is_stalled =
        session->stalled_at == session->moves.of[REPL_MOVE_INSTALLED] + 1;
    ldb_mutex_unlock(&session->mu);
    return is_stalled;
}

/* ---- the leader ---- */

/* A state may be older than a heartbeat that was faster; MANIFEST numbers only
 * grow. */
static void note_manifest(struct repl_session *session, uint64_t number,
                          uint64_t len) LDB_REQUIRES(session->mu)
{
    if (number < session->manifest_number ||
        (number == session->manifest_number && len < session->manifest_len))
        return;
    session->manifest_number = number;
    session->manifest_len = len;
}

void repl_session_take_state(struct repl_session *session,
                             struct repl_state *state)
{
    struct repl_journal_entry *before;

    ldb_mutex_lock(&session->mu);
    before = session->journals;
    session->journals = state->journals;
    session->journal_count = state->journal_count;
    note_manifest(session, state->manifest_number, state->manifest_len);
    move_locked(session, REPL_MOVE_HEARD);
    ldb_mutex_unlock(&session->mu);
    state->journals = NULL;
    state->journal_count = 0;
    ldb_mem_free(before);
}

void repl_session_heard(struct repl_session *session,
                        const struct repl_heartbeat *heartbeat)
{
    ldb_mutex_lock(&session->mu);
    note_manifest(session, heartbeat->manifest_number, heartbeat->manifest_len);
    repl_board_heard(session->options.board, heartbeat, session->journals,
                     session->journal_count);
    move_locked(session, REPL_MOVE_HEARD);
    ldb_mutex_unlock(&session->mu);
}

void repl_session_manifest(struct repl_session *session, uint64_t *out_number,
                           uint64_t *out_len)
{
    ldb_mutex_lock(&session->mu);
    *out_number = session->manifest_number;
    *out_len = session->manifest_len;
    ldb_mutex_unlock(&session->mu);
}

bool repl_session_next_journal(struct repl_session *session, uint64_t after,
                               struct repl_journal_entry *out,
                               bool *out_follows)
{
    size_t i = 0;
    bool is_there;

    ldb_mutex_lock(&session->mu);
    while (i < session->journal_count && session->journals[i].number <= after)
        i++;
    is_there = i < session->journal_count;
    if (is_there) {
        *out = session->journals[i];
        *out_follows = i > 0;
    }
    ldb_mutex_unlock(&session->mu);
    return is_there;
}

enum ldb_status repl_session_journals(struct repl_session *session,
                                      struct ldb_error *err, uint64_t **out,
                                      size_t *out_count)
{
    uint64_t *numbers;
    size_t count = 0;

    ldb_mutex_lock(&session->mu);
    numbers =
        ldb_mem_realloc(*out, session->journal_count + 1, sizeof(*numbers));
    for (size_t i = 0; numbers != NULL && i < session->journal_count; i++) {
        if (session->journals[i].len > 0)
            numbers[count++] = session->journals[i].number;
    }
    ldb_mutex_unlock(&session->mu);
    if (numbers == NULL)
        return ldb_error_no_memory(err);
    *out = numbers;
    *out_count = count;
    return LDB_OK;
}

enum ldb_status repl_session_check_head(const struct repl_session *session,
                                        const char *name,
                                        const struct repl_file_head *head,
                                        struct ldb_error *err)
{
    const struct repl_session_options *options = &session->options;

    if (head->epoch == options->epoch && head->epoch_id == options->epoch_id)
        return LDB_OK;
    return ldb_error_set(
        err, LDB_PRECONDITION,
        "%s comes from epoch %" PRIu64 " (%016" PRIx64 "), and epoch %" PRIu64
        " (%016" PRIx64 ") is followed",
        name, head->epoch, head->epoch_id, options->epoch, options->epoch_id);
}

/* ---- the twin ---- */

enum ldb_status repl_session_enter(struct repl_session *session,
                                   enum repl_lane lane, struct ldb_error *err)
{
    const struct repl_session_options *options = &session->options;

    if (repl_epoch_gate_enter(options->gate, lane, options->epoch,
                              options->epoch_id))
        return LDB_OK;
    return ldb_error_set(err, LDB_PRECONDITION,
                         "epoch %" PRIu64
                         " is not taken any more: another was accepted",
                         options->epoch);
}

void repl_session_leave(struct repl_session *session, enum repl_lane lane)
{
    repl_epoch_gate_leave(session->options.gate, lane);
}

void repl_session_note_places(struct repl_session *session,
                              struct ldb_twin_state *out)
{
    const struct repl_session_options *options = &session->options;

    ldb_twin_state(options->db, out);
    repl_board_set_places(options->board, out);
    if (options->on_applied != NULL)
        options->on_applied(options->context, out->applied.sequence);
}
