#include "replication/epoch_gate.h"

#include <inttypes.h>
#include <stdio.h>

#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/*
 * Locking: node, accepted, context: constant. lanes: own synchronisation, each
 * held by who is inside, all of them to accept, in their order. number, id:
 * written with every lane and mu held, read with one of them. node's identity
 * and history: with every lane held. mu is innermost.
 */
struct repl_epoch_gate {
    struct repl_node *node;
    enum ldb_status (*accepted)(void *context,
                                const struct repl_epoch_history *history,
                                struct ldb_error *err);
    void *context;
    struct ldb_mutex lanes[REPL_LANE_COUNT];
    struct ldb_mutex mu;
    uint64_t number;
    uint64_t id;
};

/* Lanes are locked by index, which the analysis cannot follow. */
static LDB_NO_THREAD_SAFETY void lock_lanes(struct repl_epoch_gate *gate)
{
    for (size_t i = 0; i < REPL_LANE_COUNT; i++)
        ldb_mutex_lock(&gate->lanes[i]);
}

static LDB_NO_THREAD_SAFETY void unlock_lanes(struct repl_epoch_gate *gate)
{
    for (size_t i = 0; i < REPL_LANE_COUNT; i++)
        ldb_mutex_unlock(&gate->lanes[i]);
}

static void note_last(struct repl_epoch_gate *gate)
{
    const struct repl_epoch *last =
        repl_epoch_history_last(&gate->node->history);

    ldb_mutex_lock(&gate->mu);
    gate->number = last == NULL ? 0 : last->number;
    gate->id = last == NULL ? 0 : last->id;
    ldb_mutex_unlock(&gate->mu);
}

enum ldb_status repl_epoch_gate_create(
    struct repl_node *node,
    enum ldb_status (*accepted)(void *context,
                                const struct repl_epoch_history *history,
                                struct ldb_error *err),
    void *context, struct ldb_error *err, struct repl_epoch_gate **out)
{
    struct repl_epoch_gate *gate = ldb_mem_zalloc(1, sizeof(*gate));

    if (gate == NULL)
        return ldb_error_no_memory(err);
    gate->node = node;
    gate->accepted = accepted;
    gate->context = context;
    for (size_t i = 0; i < REPL_LANE_COUNT; i++)
        ldb_mutex_init(&gate->lanes[i]);
    ldb_mutex_init(&gate->mu);
    note_last(gate);
    *out = gate;
    return LDB_OK;
}

void repl_epoch_gate_destroy(struct repl_epoch_gate *gate)
{
    if (gate == NULL)
        return;
    for (size_t i = 0; i < REPL_LANE_COUNT; i++)
        ldb_mutex_release(&gate->lanes[i]);
    ldb_mutex_release(&gate->mu);
    ldb_mem_free(gate);
}

void repl_epoch_gate_reload(struct repl_epoch_gate *gate)
{
    lock_lanes(gate);
    note_last(gate);
    unlock_lanes(gate);
}

/* ---- does theirs go on from ours? ---- */

static bool is_same_epoch(const struct repl_epoch *a,
                          const struct repl_epoch *b)
{
    return a->number == b->number && a->id == b->id && a->base == b->base &&
           a->previous_last == b->previous_last &&
           a->first_journal == b->first_journal;
}

static enum ldb_status check_last(const struct repl_epoch *ours,
                                  const struct repl_epoch *theirs,
                                  struct ldb_error *err)
{
    if (theirs->number < ours->number)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "epoch %" PRIu64 " is not taken: epoch %" PRIu64
                             " was accepted here",
                             theirs->number, ours->number);
    if (theirs->number == ours->number && theirs->id != ours->id)
        return ldb_error_set(err, LDB_EXISTS,
                             "split brain: epoch %" PRIu64
                             " was begun twice, as %016" PRIx64
                             " there and as %016" PRIx64 " here",
                             ours->number, theirs->id, ours->id);
    return LDB_OK;
}

static enum ldb_status check_history(const struct repl_epoch_history *ours,
                                     const struct repl_epoch_history *theirs,
                                     struct ldb_error *err)
{
    const struct repl_epoch *our_last = repl_epoch_history_last(ours);
    const struct repl_epoch *their_last = repl_epoch_history_last(theirs);
    enum ldb_status s;

    if (their_last == NULL)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "a history without an epoch is not taken");
    if (our_last == NULL)
        return LDB_OK;
    s = check_last(our_last, their_last, err);
    for (size_t i = 0; s == LDB_OK && i < ours->count; i++) {
        if (i < theirs->count &&
            is_same_epoch(&ours->items[i], &theirs->items[i]))
            continue;
        s = ldb_error_set(err, LDB_INVALID_ARGUMENT,
                          "the history there parted from ours before epoch "
                          "%" PRIu64,
                          ours->items[i].number);
    }
    return s;
}

/* ---- accepting ---- */

/* Of the cluster; the node keeps the id that it may have. */
static enum ldb_status make_identity(struct repl_node *node,
                                     const char *cluster_id,
                                     struct ldb_error *err,
                                     struct repl_identity *out)
{
    struct repl_identity made = node->identity;
    enum ldb_status s = LDB_OK;

    if (cluster_id == NULL || strlen(cluster_id) != REPL_ID_SIZE - 1)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "this node is of no cluster yet");
    if (made.node_id[0] == '\0')
        s = repl_identity_make(node->env, err, &made);
    if (s != LDB_OK)
        return s;
    (void)snprintf(made.cluster_id, sizeof(made.cluster_id), "%s", cluster_id);
    *out = made;
    return LDB_OK;
}

/* Epochs first: an identity without them is damage. */
static enum ldb_status store(struct repl_node *node, const char *cluster_id,
                             const struct repl_epoch_history *history,
                             struct ldb_error *err)
{
    struct repl_identity identity = node->identity;
    enum ldb_status s = LDB_OK;

    if (!node->has_identity)
        s = make_identity(node, cluster_id, err, &identity);
    if (s == LDB_OK)
        s = repl_sidecar_make_folder(node->env, node->dir, err);
    if (s == LDB_OK)
        s = repl_epoch_history_store(node->env, node->dir, history, err);
    if (s != LDB_OK || node->has_identity)
        return s;
    s = repl_identity_store(node->env, node->dir, &identity, err);
    if (s == LDB_OK) {
        node->identity = identity;
        node->has_identity = true;
    }
    return s;
}

static bool is_accepted(const struct repl_node *node,
                        const struct repl_epoch_history *theirs)
{
    return node->has_identity && node->history.count == theirs->count;
}

static enum ldb_status accept_in(struct repl_epoch_gate *gate,
                                 const char *cluster_id,
                                 const struct repl_epoch_history *theirs,
                                 struct ldb_error *err)
{
    struct repl_node *node = gate->node;
    struct repl_epoch_history copy = {0};
    enum ldb_status s = check_history(&node->history, theirs, err);

    if (s != LDB_OK || is_accepted(node, theirs))
        return s;
    s = repl_epoch_history_copy(theirs, err, &copy);
    if (s == LDB_OK)
        s = store(node, cluster_id, &copy, err);
    if (s == LDB_OK && gate->accepted != NULL)
        s = gate->accepted(gate->context, &copy, err);
    if (s != LDB_OK) {
        repl_epoch_history_release(&copy);
        return s;
    }
    repl_epoch_history_release(&node->history);
    node->history = copy;
    note_last(gate);
    return LDB_OK;
}

enum ldb_status repl_epoch_gate_accept(struct repl_epoch_gate *gate,
                                       const char *cluster_id,
                                       const struct repl_epoch_history *theirs,
                                       struct ldb_error *err)
{
    enum ldb_status s;

    lock_lanes(gate);
    s = accept_in(gate, cluster_id, theirs, err);
    unlock_lanes(gate);
    return s;
}

void repl_epoch_gate_last(struct repl_epoch_gate *gate, uint64_t *out_number,
                          uint64_t *out_id)
{
    ldb_mutex_lock(&gate->mu);
    *out_number = gate->number;
    *out_id = gate->id;
    ldb_mutex_unlock(&gate->mu);
}

/* ---- inside ---- */

LDB_NO_THREAD_SAFETY bool repl_epoch_gate_enter(struct repl_epoch_gate *gate,
                                                enum repl_lane lane,
                                                uint64_t number, uint64_t id)
{
    ldb_mutex_lock(&gate->lanes[lane]);
    if (gate->number == number && gate->id == id)
        return true;
    ldb_mutex_unlock(&gate->lanes[lane]);
    return false;
}

LDB_NO_THREAD_SAFETY void repl_epoch_gate_leave(struct repl_epoch_gate *gate,
                                                enum repl_lane lane)
{
    ldb_mutex_unlock(&gate->lanes[lane]);
}
