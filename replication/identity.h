/*
 * Who this folder is: the cluster whose history it holds, and the node. Both
 * are random and made once; kept in leveld/identity.
 *
 * Thread-safety: plain values.
 */
#ifndef REPLICATION_IDENTITY_H
#define REPLICATION_IDENTITY_H

#include "storage/base/env.h"

/* Of its file in leveld/ (sidecar.h). */
#define REPL_IDENTITY_FILE    "identity"
#define REPL_IDENTITY_VERSION 1

/* 128 bits in lower-case hex, and a NUL. */
#define REPL_ID_SIZE 33

struct repl_identity {
    char cluster_id[REPL_ID_SIZE];
    char node_id[REPL_ID_SIZE];
};

/* Two fresh ids. */
LDB_MUST_CHECK enum ldb_status repl_identity_make(struct ldb_env *env,
                                                  struct ldb_error *err,
                                                  struct repl_identity *out);

/* Errors: those of repl_sidecar_read(). */
LDB_MUST_CHECK enum ldb_status repl_identity_load(struct ldb_env *env,
                                                  const char *dir,
                                                  struct ldb_error *err,
                                                  struct repl_identity *out);

/* Durable when OK. DIR/leveld is there. */
LDB_MUST_CHECK enum ldb_status
repl_identity_store(struct ldb_env *env, const char *dir,
                    const struct repl_identity *identity,
                    struct ldb_error *err);

#endif
