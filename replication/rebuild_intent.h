/*
 * The mark of a folder that is on its way to be a leader's twin by other than
 * its stream: leveld/rebuild. It is there from before the first change until
 * the folder is the leader's, epochs and identity too. A folder with it does
 * not lead, and follows nobody of a lower epoch; whether it may be opened and
 * read meanwhile phase says. One that was fetched for in vain is as it was: a
 * leader whose stream it can go on with takes the mark away, and so does a
 * promotion.
 *
 * Thread-safety: plain values.
 */
#ifndef REPLICATION_REBUILD_INTENT_H
#define REPLICATION_REBUILD_INTENT_H

#include "replication/epoch_history.h"
#include "replication/identity.h"
#include "storage/base/digest.h"

/* Of its file in leveld/ (sidecar.h). */
#define REPL_REBUILD_FILE    "rebuild"
#define REPL_REBUILD_VERSION 1

enum repl_rebuild_phase {
    REPL_REBUILD_FETCHING,  /* the folder is as it was, but for leveld/ */
    REPL_REBUILD_SWITCHING, /* to be ended before it is opened */
};

struct repl_rebuild_intent {
    enum repl_rebuild_phase phase;
    char cluster_id[REPL_ID_SIZE]; /* the leader's, */
    struct repl_epoch epoch;       /* and its epoch: no lower one may end it */
    bool is_unknown;               /* nothing is known of our history */
    ldb_sequence fork;             /* entries of ours above it are set aside */
    uint64_t rewind;               /* where (diverged.h); 0: nowhere yet */
    /* Switching: the leader's MANIFEST that will be in force, its first len
     * bytes: once it is, all there is is the leader's. */
    uint64_t manifest_number;
    uint64_t manifest_len;
    struct ldb_digest manifest_digest;
};

/* Errors: those of repl_sidecar_read(); NOT_FOUND: no rebuild is under way. */
LDB_MUST_CHECK enum ldb_status
repl_rebuild_intent_load(struct ldb_env *env, const char *dir,
                         struct ldb_error *err,
                         struct repl_rebuild_intent *out);

/* Durable when OK. DIR/leveld is there. */
LDB_MUST_CHECK enum ldb_status
repl_rebuild_intent_store(struct ldb_env *env, const char *dir,
                          const struct repl_rebuild_intent *intent,
                          struct ldb_error *err);

/* Durably gone when OK. */
LDB_MUST_CHECK enum ldb_status
repl_rebuild_intent_remove(struct ldb_env *env, const char *dir,
                           struct ldb_error *err);

/* Whether a leader in that epoch is not to be followed: it is a lower one, or
 * the same number begun by another. */
bool repl_rebuild_intent_forbids(const struct repl_rebuild_intent *intent,
                                 const struct repl_epoch *epoch);

/*
 * Adds to what the node tells of itself the epoch that the rebuild is for, when
 * it is above all in history, and the cluster, when there is none: whoever
 * begins a later epoch is to know of it. Where a history has parted from the
 * leader's, the base is told as higher than it is. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_rebuild_intent_tell(const struct repl_rebuild_intent *intent,
                         struct ldb_error *err, struct repl_identity *identity,
                         struct repl_epoch_history *history);

#endif
