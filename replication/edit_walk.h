/*
 * The edits in bytes of a MANIFEST, one after the other.
 *
 * Thread-safety: a function of its arguments.
 */
#ifndef REPLICATION_EDIT_WALK_H
#define REPLICATION_EDIT_WALK_H

#include "storage/version/version_edit.h"

/* Of each edit, whose record begins at that offset of the file, where the one
 * before ends. Another status than OK ends the walk, and is its own. */
typedef enum ldb_status repl_edit_take(void *context,
                                       const struct ldb_version_edit *edit,
                                       uint64_t at, struct ldb_error *err);

/*
 * bytes stand at offset in MANIFEST-number, where a record begins; one that has
 * only begun is left aside. *out_end: the file's offset after the last whole
 * one. Errors: CORRUPTION names file and offset; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_edit_walk(uint64_t number, uint64_t offset, struct ldb_slice bytes,
               repl_edit_take *take, void *context, struct ldb_error *err,
               uint64_t *out_end);

#endif
