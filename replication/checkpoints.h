/*
 * Versions that stay for the sake of a follower that builds its folder anew:
 * the tables of one, and the journals after it. One a node; each is let go of
 * when it is dropped, replaced by the node's next one, or when nobody has asked
 * for it, or for one of its files, for a while: then a fetch of any length
 * ends, and a follower that is gone holds nothing (R7, R10).
 *
 * Journals are pinned up to the archive's bounds alone; a checkpoint whose
 * journals had to go is over.
 *
 * Thread-safety: any thread. Takes the engine's locks for a short while; make
 * lists the folder, and takes as long as that.
 */
#ifndef REPLICATION_CHECKPOINTS_H
#define REPLICATION_CHECKPOINTS_H

#include "replication/protocol.h"

/* Without a request so long, it is over. Chosen (DESIGN: 60 s). */
#define REPL_CHECKPOINT_IDLE_US (UINT64_C(60) * 1000000)

/* At once; each holds the space of tables that are compacted meanwhile.
 * Chosen: more followers than bootstrap at a time. */
#define REPL_CHECKPOINTS_MAX 16

struct repl_checkpoints;
struct repl_digest_index;

/* All are borrowed until destroy; digests NULL: entries have none. dir is
 * copied. db keeps a list of its journals. NULL: no memory. */
LDB_MUST_CHECK struct repl_checkpoints *
repl_checkpoints_create(struct ldb_db *db, struct ldb_env *env, const char *dir,
                        struct repl_digest_index *digests);
/* Lets go of all; nobody makes one now. NULL is fine. */
void repl_checkpoints_destroy(struct repl_checkpoints *checkpoints);

/*
 * The version of now for that node, whose earlier one goes; into a zeroed *out,
 * digests as far as they are known (the others are asked for).
 *
 * Errors: STALLED: as many as there may be are held; GONE: journals went
 * meanwhile: again; CORRUPTION: a table is missing; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_checkpoints_make(struct repl_checkpoints *checkpoints, const char *node_id,
                      struct ldb_error *err, struct repl_checkpoint *out);

/* Somebody asks for it. False: it is over. */
LDB_MUST_CHECK bool repl_checkpoints_renew(struct repl_checkpoints *checkpoints,
                                           uint64_t id);
/* OK to be called for one that is over. */
void repl_checkpoints_drop(struct repl_checkpoints *checkpoints, uint64_t id);

/* Whether one names the table; then somebody asks for it. *out_size: the
 * file's bytes. */
bool repl_checkpoints_use_table(struct repl_checkpoints *checkpoints,
                                uint64_t number, uint64_t *out_size);

/* Lets go of those whose time is over. */
void repl_checkpoints_tick(struct repl_checkpoints *checkpoints);
/* Of all of them: their tables' space is needed. */
void repl_checkpoints_clear(struct repl_checkpoints *checkpoints);

/* How many are held. */
size_t repl_checkpoints_count(struct repl_checkpoints *checkpoints);

#endif
