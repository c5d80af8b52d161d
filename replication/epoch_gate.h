/*
 * The epochs that a node has accepted, and the gate that every byte of another
 * node goes through: once epoch E is accepted, none of a lower one is appended
 * here (DESIGN's R6).
 *
 * The bytes come in lanes, which do not wait for each other: one thread of a
 * lane enters, appends, leaves. Accepting an epoch waits until every lane is
 * empty, and from then on a lower one does not get in: both are one step.
 *
 * Thread-safety: any thread; a lane has one inside at a time.
 */
#ifndef REPLICATION_EPOCH_GATE_H
#define REPLICATION_EPOCH_GATE_H

#include "replication/node.h"

struct repl_epoch_gate;

enum repl_lane {
    REPL_LANE_JOURNALS,
    REPL_LANE_EDITS,
    REPL_LANE_COUNT,
};

/*
 * node is loaded, and borrowed until destroy: its history is the gate's, which
 * stores it. accepted (NULL: nobody) is told of a new one once it is durable,
 * with every lane empty; what it returns counts as of storing.
 */
LDB_MUST_CHECK enum ldb_status repl_epoch_gate_create(
    struct repl_node *node,
    enum ldb_status (*accepted)(void *context,
                                const struct repl_epoch_history *history,
                                struct ldb_error *err),
    void *context, struct ldb_error *err, struct repl_epoch_gate **out);
/* NULL is fine. Nobody is inside. */
void repl_epoch_gate_destroy(struct repl_epoch_gate *gate);

/*
 * theirs goes on from ours, or is the same: it is ours, durably, when this
 * returns OK. A node without an identity gets one of cluster_id, with the node
 * id that stands in it already; NULL is for a node that has one.
 *
 * Errors, after which nothing has changed:
 *   PRECONDITION      theirs ends in a lower epoch
 *   EXISTS            it ends in the same one with another id: it was begun
 *                     twice, people have to decide
 *   INVALID_ARGUMENT  it is empty, or parted from ours earlier: to be rebuilt
 *   IO, NO_SPACE, NO_MEMORY
 */
LDB_MUST_CHECK enum ldb_status
repl_epoch_gate_accept(struct repl_epoch_gate *gate, const char *cluster_id,
                       const struct repl_epoch_history *theirs,
                       struct ldb_error *err);

/* The node was loaded anew: after a rebuild. */
void repl_epoch_gate_reload(struct repl_epoch_gate *gate);

/* The last one accepted; both 0: none. */
void repl_epoch_gate_last(struct repl_epoch_gate *gate, uint64_t *out_number,
                          uint64_t *out_id);

/*
 * True: bytes of that epoch may be appended until leave(). False: another one
 * is in force; nobody is inside.
 */
LDB_MUST_CHECK bool repl_epoch_gate_enter(struct repl_epoch_gate *gate,
                                          enum repl_lane lane, uint64_t number,
                                          uint64_t id);
void repl_epoch_gate_leave(struct repl_epoch_gate *gate, enum repl_lane lane);

#endif
