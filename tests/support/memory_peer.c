#include "tests/support/memory_peer.h"

#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "tests/support/memory_peer_internal.h"
#include "tests/support/patience.h"

/* ---- the database ---- */

static void on_durable(void *context)
{
    memory_peer_wake(context);
}

void memory_peer_hook(struct memory_peer *peer, struct ldb_options *options)
{
    options->on_durable = on_durable;
    options->on_durable_context = peer;
}

static void let_go_of_all(struct memory_peer *peer,
                          const struct served_db *served)
{
    ldb_mutex_lock(&peer->held_mu);
    for (size_t i = 0; i < MEMORY_PEER_CHECKPOINTS_MAX; i++) {
        if (peer->held[i].id != 0)
            served_db_let_go(served, &peer->versions[i]);
        peer->held[i].id = 0;
    }
    ldb_mutex_unlock(&peer->held_mu);
}

void memory_peer_set_db(struct memory_peer *peer, struct ldb_db *db,
                        const struct ldb_options *options, const char *dir)
{
    struct served_db before;

    ldb_mutex_lock(&peer->mu);
    before = peer->served;
    peer->served.db = NULL;
    peer->life++;
    ldb_cond_broadcast(&peer->changed);
    while (peer->users > 0)
        ldb_cond_wait(&peer->changed, &peer->mu);
    ldb_mutex_unlock(&peer->mu);
    if (before.db != NULL) {
        let_go_of_all(peer, &before);
        ldb_watch_end(before.db);
    }
    if (db == NULL)
        return;
    ldb_watch_begin(db);
    ldb_mutex_lock(&peer->mu);
    peer->options = *options;
    (void)snprintf(peer->dir, sizeof(peer->dir), "%s", dir);
    peer->served = (struct served_db){
        .db = db, .options = &peer->options, .dir = peer->dir};
    ldb_cond_broadcast(&peer->changed);
    ldb_mutex_unlock(&peer->mu);
}

void memory_peer_wake(struct memory_peer *peer)
{
    ldb_mutex_lock(&peer->mu);
    ldb_cond_broadcast(&peer->changed);
    ldb_mutex_unlock(&peer->mu);
}

/* Not OK: why the call goes on no more. */
enum ldb_status memory_peer_check_locked(const struct memory_peer *peer,
                                         const struct memory_peer_way *way,
                                         struct ldb_error *err)
    LDB_REQUIRES(peer->mu)
{
    if (way->t->is_interrupted)
        return ldb_error_set(err, LDB_CANCELLED, "interrupted");
    if (way->life != peer->life || peer->served.db == NULL)
        return ldb_error_set(err, LDB_IO, "the node is down");
    return LDB_OK;
}

enum ldb_status memory_peer_check(const struct memory_peer_way *way,
                                  struct ldb_error *err)
{
    struct memory_peer *peer = way->t->peer;
    enum ldb_status s;

    ldb_mutex_lock(&peer->mu);
    s = memory_peer_check_locked(peer, way, err);
    ldb_mutex_unlock(&peer->mu);
    return s;
}

/* OK: *out is open until memory_peer_leave(). */
enum ldb_status memory_peer_enter(const struct memory_peer_way *way,
                                  struct ldb_error *err, struct served_db *out)
{
    struct memory_peer *peer = way->t->peer;
    enum ldb_status s;

    ldb_mutex_lock(&peer->mu);
    s = memory_peer_check_locked(peer, way, err);
    if (s == LDB_OK) {
        peer->users++;
        *out = peer->served;
        out->knows_digests = peer->knows_digests;
    }
    ldb_mutex_unlock(&peer->mu);
    return s;
}

void memory_peer_leave(struct memory_peer *peer)
{
    ldb_mutex_lock(&peer->mu);
    peer->users--;
    ldb_cond_broadcast(&peer->changed);
    ldb_mutex_unlock(&peer->mu);
}

/* ---- rules ---- */

void memory_peer_rule(struct memory_peer *peer,
                      const struct memory_peer_rule *rule)
{
    struct memory_peer_applied_rule *added;

    ldb_mutex_lock(&peer->mu);
    assert(peer->rule_count < MEMORY_PEER_RULES_MAX);
    added = &peer->rules[peer->rule_count++];
    *added = (struct memory_peer_applied_rule){.rule = *rule,
                                               .has_path = rule->path != NULL};
    if (rule->path != NULL)
        (void)snprintf(added->path, sizeof(added->path), "%s", rule->path);
    added->rule.path = NULL;
    ldb_mutex_unlock(&peer->mu);
}

static void let_go_locked(struct memory_peer *peer) LDB_REQUIRES(peer->mu)
{
    peer->let_go++;
    ldb_cond_broadcast(&peer->changed);
}

void memory_peer_forget_rules(struct memory_peer *peer)
{
    ldb_mutex_lock(&peer->mu);
    peer->rule_count = 0;
    let_go_locked(peer);
    ldb_mutex_unlock(&peer->mu);
}

void memory_peer_let_go(struct memory_peer *peer)
{
    ldb_mutex_lock(&peer->mu);
    for (size_t i = 0; i < peer->rule_count; i++)
        if (peer->rules[i].rule.what == MEMORY_PEER_HOLD)
            peer->rules[i].is_gone = true;
    let_go_locked(peer);
    ldb_mutex_unlock(&peer->mu);
}

bool memory_peer_wait_held(struct memory_peer *peer, unsigned calls)
{
    bool is_held;
    bool is_in_time = true;

    ldb_mutex_lock(&peer->mu);
    while (peer->holding < calls && is_in_time)
        is_in_time = ldb_cond_wait_for(&peer->changed, &peer->mu, PATIENCE_US);
    is_held = peer->holding >= calls;
    ldb_mutex_unlock(&peer->mu);
    return is_held;
}

static bool is_about_bytes(enum memory_peer_fault what)
{
    return what == MEMORY_PEER_CUT || what == MEMORY_PEER_END ||
           what == MEMORY_PEER_SILENT || what == MEMORY_PEER_FLIP;
}

static bool fits(const struct memory_peer_applied_rule *rule,
                 enum memory_peer_call call, const char *path, uint64_t from)
{
    if (rule->is_gone)
        return false;
    if (rule->rule.call != MEMORY_PEER_ANY && rule->rule.call != call)
        return false;
    if (rule->has_path && strstr(path, rule->path) == NULL)
        return false;
    return !is_about_bytes(rule->rule.what) ||
           (call == MEMORY_PEER_GET && from <= rule->rule.bytes);
}

static void find_rule_locked(struct memory_peer *peer,
                             enum memory_peer_call call, const char *path,
                             uint64_t from, struct memory_peer_way *way)
    LDB_REQUIRES(peer->mu)
{
    for (size_t i = 0; i < peer->rule_count; i++) {
        struct memory_peer_applied_rule *rule = &peer->rules[i];

        if (!fits(rule, call, path, from) || rule->seen++ < rule->rule.skip)
            continue;
        rule->is_gone = rule->rule.times != 0 &&
                        rule->seen >= rule->rule.skip + rule->rule.times;
        way->has_rule = true;
        way->rule = rule->rule;
        return;
    }
}

static enum ldb_status hold_locked(struct memory_peer *peer,
                                   const struct memory_peer_way *way,
                                   struct ldb_error *err) LDB_REQUIRES(peer->mu)
{
    uint64_t let_go = peer->let_go;
    enum ldb_status s = LDB_OK;

    peer->holding++;
    ldb_cond_broadcast(&peer->changed);
    while (s == LDB_OK && let_go == peer->let_go) {
        ldb_cond_wait(&peer->changed, &peer->mu);
        s = memory_peer_check_locked(peer, way, err);
    }
    peer->holding--;
    return s;
}

/* What comes before any answer: the call is remembered, and refused or held. */
enum ldb_status memory_peer_set_out(struct memory_peer_transport *t,
                                    enum memory_peer_call call,
                                    const char *path, uint64_t from,
                                    struct ldb_error *err,
                                    struct memory_peer_way *out)
{
    struct memory_peer *peer = t->peer;
    struct memory_peer_way way = {.t = t};
    struct memory_peer_request *request;
    enum ldb_status s;

    ldb_mutex_lock(&peer->mu);
    peer->requests =
        realloc(peer->requests, (peer->request_count + 1) * sizeof(*request));
    if (peer->requests == NULL)
        abort();
    way.request = peer->request_count++;
    request = &peer->requests[way.request];
    *request = (struct memory_peer_request){.call = call};
    (void)snprintf(request->path, sizeof(request->path), "%s", path);
    way.life = peer->life;
    s = memory_peer_check_locked(peer, &way, err);
    if (s == LDB_OK)
        find_rule_locked(peer, call, path, from, &way);
    if (way.has_rule && way.rule.what == MEMORY_PEER_REFUSE)
        s = ldb_error_set(err, LDB_IO, "connection refused");
    else if (way.has_rule && way.rule.what == MEMORY_PEER_HOLD)
        s = hold_locked(peer, &way, err);
    ldb_cond_broadcast(&peer->changed);
    ldb_mutex_unlock(&peer->mu);
    *out = way;
    return s;
}

bool memory_peer_is_to(const struct memory_peer_way *way,
                       enum memory_peer_fault what)
{
    return way->has_rule && way->rule.what == what;
}

/* ---- transports ---- */

static void transport_interrupt(struct repl_transport *base)
{
    struct memory_peer_transport *t = (struct memory_peer_transport *)base;

    ldb_mutex_lock(&t->peer->mu);
    t->is_interrupted = true;
    ldb_cond_broadcast(&t->peer->changed);
    ldb_mutex_unlock(&t->peer->mu);
}

static void transport_destroy(struct repl_transport *base)
{
    ldb_mem_free((struct memory_peer_transport *)base);
}

static const struct repl_transport_ops transport_ops = {
    .call = memory_peer_answer,
    .get = memory_peer_give,
    .head = memory_peer_tell_head,
    .interrupt = transport_interrupt,
    .destroy = transport_destroy,
};

static enum ldb_status peer_open(struct repl_peer *base, struct ldb_error *err,
                                 struct repl_transport **out)
{
    struct memory_peer_transport *t = ldb_mem_zalloc(1, sizeof(*t));

    if (t == NULL)
        return ldb_error_no_memory(err);
    t->base.ops = &transport_ops;
    t->peer = (struct memory_peer *)base;
    *out = &t->base;
    return LDB_OK;
}

struct repl_peer *memory_peer_repl(struct memory_peer *peer)
{
    return &peer->base;
}

struct memory_peer *memory_peer_create(void)
{
    static const struct repl_identity identity = {
        .cluster_id = "c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1c1",
        .node_id = "a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0a0",
    };
    static const struct repl_epoch epoch = {
        .number = 1, .id = UINT64_C(0x1234567890abcdef), .first_journal = 2};
    struct memory_peer *peer = calloc(1, sizeof(*peer));

    if (peer == NULL ||
        repl_epoch_history_append(&peer->history, &epoch, NULL) != LDB_OK)
        abort();
    peer->base.open = peer_open;
    peer->identity = identity;
    peer->knows_digests = true;
    ldb_mutex_init(&peer->mu);
    ldb_mutex_init(&peer->held_mu);
    ldb_cond_init(&peer->changed);
    return peer;
}

void memory_peer_destroy(struct memory_peer *peer)
{
    if (peer == NULL)
        return;
    assert(peer->served.db == NULL);
    repl_epoch_history_release(&peer->history);
    ldb_cond_release(&peer->changed);
    ldb_mutex_release(&peer->held_mu);
    ldb_mutex_release(&peer->mu);
    free(peer->requests);
    free(peer);
}

/* ---- what it says ---- */

void memory_peer_set_identity(struct memory_peer *peer,
                              const struct repl_identity *identity)
{
    ldb_mutex_lock(&peer->mu);
    peer->identity = *identity;
    ldb_mutex_unlock(&peer->mu);
}

void memory_peer_identity(struct memory_peer *peer, struct repl_identity *out)
{
    ldb_mutex_lock(&peer->mu);
    *out = peer->identity;
    ldb_mutex_unlock(&peer->mu);
}

void memory_peer_set_history(struct memory_peer *peer,
                             const struct repl_epoch_history *history)
{
    struct repl_epoch_history copy = {0};

    if (repl_epoch_history_copy(history, NULL, &copy) != LDB_OK)
        abort();
    assert(copy.count > 0);
    ldb_mutex_lock(&peer->mu);
    repl_epoch_history_release(&peer->history);
    peer->history = copy;
    ldb_mutex_unlock(&peer->mu);
}

void memory_peer_set_edits(struct memory_peer *peer,
                           const struct memory_peer_edits *edits)
{
    ldb_mutex_lock(&peer->mu);
    peer->edits = *edits;
    ldb_mutex_unlock(&peer->mu);
}

void memory_peer_set_knows_digests(struct memory_peer *peer, bool knows)
{
    ldb_mutex_lock(&peer->mu);
    peer->knows_digests = knows;
    ldb_mutex_unlock(&peer->mu);
}

void memory_peer_set_pieces(struct memory_peer *peer, size_t max, uint64_t seed)
{
    ldb_mutex_lock(&peer->mu);
    peer->pieces_max = max;
    peer->seed = seed;
    ldb_mutex_unlock(&peer->mu);
}

/* ---- what has happened ---- */

static bool is_of(const struct memory_peer_request *request,
                  enum memory_peer_call call, const char *path)
{
    return (call == MEMORY_PEER_ANY || call == request->call) &&
           (path == NULL || strstr(request->path, path) != NULL);
}

uint64_t memory_peer_count(struct memory_peer *peer, enum memory_peer_call call,
                           const char *path)
{
    uint64_t count = 0;

    ldb_mutex_lock(&peer->mu);
    for (size_t i = 0; i < peer->request_count; i++)
        count += is_of(&peer->requests[i], call, path);
    ldb_mutex_unlock(&peer->mu);
    return count;
}

uint64_t memory_peer_bytes(struct memory_peer *peer, const char *name)
{
    uint64_t bytes = 0;

    ldb_mutex_lock(&peer->mu);
    for (size_t i = 0; i < peer->request_count; i++)
        if (is_of(&peer->requests[i], MEMORY_PEER_GET, name))
            bytes += peer->requests[i].bytes;
    ldb_mutex_unlock(&peer->mu);
    return bytes;
}

bool memory_peer_last_ack(struct memory_peer *peer, struct repl_ack *out)
{
    bool has_ack;

    ldb_mutex_lock(&peer->mu);
    has_ack = peer->has_ack;
    if (has_ack)
        *out = peer->last_ack;
    ldb_mutex_unlock(&peer->mu);
    return has_ack;
}

/* Wakes that tell nothing begin the time anew: it is for what hangs. */
static bool wait_ack(struct memory_peer *peer, ldb_sequence sequence,
                     bool is_synced)
{
    bool is_in_time = true;
    bool is_there = false;

    ldb_mutex_lock(&peer->mu);
    while (!is_there && is_in_time) {
        const struct repl_place *place =
            is_synced ? &peer->last_ack.synced : &peer->last_ack.applied;

        is_there = peer->has_ack && place->sequence >= sequence;
        if (!is_there)
            is_in_time =
                ldb_cond_wait_for(&peer->changed, &peer->mu, PATIENCE_US);
    }
    ldb_mutex_unlock(&peer->mu);
    return is_there;
}

bool memory_peer_wait_applied(struct memory_peer *peer, ldb_sequence sequence)
{
    return wait_ack(peer, sequence, false);
}

bool memory_peer_wait_synced(struct memory_peer *peer, ldb_sequence sequence)
{
    return wait_ack(peer, sequence, true);
}

unsigned memory_peer_checkpoints(struct memory_peer *peer)
{
    unsigned count = 0;

    ldb_mutex_lock(&peer->held_mu);
    for (size_t i = 0; i < MEMORY_PEER_CHECKPOINTS_MAX; i++)
        count += peer->held[i].id != 0;
    ldb_mutex_unlock(&peer->held_mu);
    return count;
}

void memory_peer_expire_checkpoints(struct memory_peer *peer)
{
    struct served_db served;

    ldb_mutex_lock(&peer->mu);
    served = peer->served;
    assert(served.db != NULL);
    peer->users++;
    ldb_mutex_unlock(&peer->mu);
    let_go_of_all(peer, &served);
    memory_peer_leave(peer);
}
