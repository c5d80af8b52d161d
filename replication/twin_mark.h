/*
 * leveld/twin: which MANIFEST a twin follows, so that it can be told when
 * another program has had the folder open: each library begins a MANIFEST of a
 * number of its own when it opens one. What it wrote then may have any
 * sequence, those of the leader among them, and epochs do not tell.
 *
 *     manifest NUMBER [NUMBER]   it is at, or is about to go to
 *     last SEQUENCE              after a clean stop: of its last entry
 *
 * A folder that leads has none, nor has one that is being made anew.
 *
 * Thread-safety: functions of their arguments; one caller a folder.
 */
#ifndef REPLICATION_TWIN_MARK_H
#define REPLICATION_TWIN_MARK_H

#include "storage/base/env.h"
#include "storage/include/ldb_types.h"

/* Of its file in leveld/ (sidecar.h). */
#define REPL_TWIN_FILE    "twin"
#define REPL_TWIN_VERSION 1

struct repl_twin_mark {
    uint64_t manifests[2];
    size_t manifest_count; /* 1 or 2 */
    bool has_last;
    ldb_sequence last;
};

/* Errors: NOT_FOUND: there is none; those of repl_sidecar_read(). */
LDB_MUST_CHECK enum ldb_status repl_twin_mark_load(struct ldb_env *env,
                                                   const char *dir,
                                                   struct ldb_error *err,
                                                   struct repl_twin_mark *out);

bool repl_twin_mark_has(const struct repl_twin_mark *mark, uint64_t manifest);

/*
 * Each is durable when OK. Errors: those of the sidecar's files.
 *
 * begin: before the first byte of a leader whose past the folder is.
 * go_on: before it goes from one MANIFEST to another.
 * stop:  it was closed cleanly; nothing is done where the MANIFEST is not the
 *        one that was followed.
 * remove: before it leads, or is made anew.
 */
LDB_MUST_CHECK enum ldb_status repl_twin_mark_begin(struct ldb_env *env,
                                                    const char *dir,
                                                    uint64_t manifest,
                                                    struct ldb_error *err);
LDB_MUST_CHECK enum ldb_status repl_twin_mark_go_on(struct ldb_env *env,
                                                    const char *dir,
                                                    uint64_t from, uint64_t to,
                                                    struct ldb_error *err);
LDB_MUST_CHECK enum ldb_status
repl_twin_mark_stop(struct ldb_env *env, const char *dir, uint64_t manifest,
                    ldb_sequence last, struct ldb_error *err);
LDB_MUST_CHECK enum ldb_status repl_twin_mark_remove(struct ldb_env *env,
                                                     const char *dir,
                                                     struct ldb_error *err);

#endif
