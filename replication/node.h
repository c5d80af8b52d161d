/*
 * A folder's identity and history through the life of a process: loaded before
 * the database is opened, continued or begun anew once it is open, marked when
 * it was closed cleanly. The order a leader keeps:
 *
 *     repl_node_load       a newer format is refused, nothing is written
 *     ldb_open             its ldb_recovery is what the folder looked like
 *     repl_node_begin      durable before the first write
 *     ldb_raise_sequence   above the epoch's base
 *     ... writes ...
 *     ldb_close            OK: everything is synced
 *     repl_node_end        the clean-stop mark
 *
 * A crash anywhere in between leaves no mark, or one that does not fit the
 * folder, so that the next start begins a new epoch. A follower's order is
 * repl_node_load, repl_node_begin_following, ldb_twin_open.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef REPLICATION_NODE_H
#define REPLICATION_NODE_H

#include "replication/clean_stop.h"
#include "replication/epoch_history.h"
#include "replication/identity.h"
#include "storage/include/ldb.h"

struct repl_node {
    struct ldb_env *env; /* borrowed */
    char *dir;           /* owned */
    bool has_identity;
    struct repl_identity identity;
    struct repl_epoch_history history;
    bool has_mark;
    struct repl_clean_stop mark;
};

/*
 * Reads what leveld/ holds into a zeroed node; a folder without it is a new
 * one.
 *
 * Errors: NOT_SUPPORTED: a newer format; CORRUPTION: damage, or an identity
 * without epochs; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status repl_node_load(struct repl_node *node,
                                              struct ldb_env *env,
                                              const char *dir,
                                              struct ldb_error *err);

/* A zeroed node is fine. */
void repl_node_release(struct repl_node *node);

/*
 * After ldb_open(): keeps the newest epoch when the folder is as its clean
 * stop left it, else begins a new one; makes the identity of a new folder;
 * removes the mark. All of it is durable when OK. first_journal is the journal
 * that writes go to. The caller then raises the sequence to out_epoch->base.
 *
 * Errors: NOT_SUPPORTED (sequences used up), IO, NO_SPACE, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_node_begin(struct repl_node *node, const struct ldb_recovery *found,
                uint64_t first_journal, struct ldb_error *err,
                struct repl_epoch *out_epoch, bool *out_is_new);

/*
 * The same for a folder that was a follower's and is to lead: a new epoch
 * always, not below the floor (replication/promotion.h).
 */
LDB_MUST_CHECK enum ldb_status repl_node_begin_promoted(
    struct repl_node *node, const struct ldb_recovery *found,
    const struct repl_epoch_floor *floor, uint64_t first_journal,
    struct ldb_error *err, struct repl_epoch *out_epoch);

/*
 * Before a folder is opened as a twin: makes leveld/, and removes the mark,
 * durably: what a leader's clean stop proved says nothing once another one has
 * led. A node without an identity gets a node id, in memory alone: it is stored
 * with the leader's cluster id, once that is known.
 */
LDB_MUST_CHECK enum ldb_status repl_node_begin_following(struct repl_node *node,
                                                         struct ldb_error *err);

/*
 * Another node has the id of this one: the folder was made by copying its one.
 * A fresh one, durably. It has an identity. Errors: IO (random too), NO_SPACE,
 * NO_MEMORY: the id is as it was.
 */
LDB_MUST_CHECK enum ldb_status repl_node_rename(struct repl_node *node,
                                                struct ldb_error *err);

/*
 * A new epoch in a running process, after writes may have been lost (see
 * ldb_cut_unsynced()). last: the last sequence that is left.
 */
LDB_MUST_CHECK enum ldb_status
repl_node_begin_epoch(struct repl_node *node, ldb_sequence last,
                      uint64_t first_journal, struct ldb_error *err,
                      struct repl_epoch *out_epoch);

/*
 * After ldb_close() was OK, of a database whose last sequence is given: writes
 * the clean-stop mark from what the files are now.
 */
LDB_MUST_CHECK enum ldb_status repl_node_end(struct repl_node *node,
                                             ldb_sequence last_sequence,
                                             struct ldb_error *err);

#endif
