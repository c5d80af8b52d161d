/*
 * Which tables a leader's edits name and drop again: it may have them no more.
 * To be asked for before journals are streamed that only bring the twin to
 * edits which cannot be taken (edit_pull.h).
 *
 * Thread-safety: a function of its arguments.
 */
#ifndef REPLICATION_EDIT_LOOK_AHEAD_H
#define REPLICATION_EDIT_LOOK_AHEAD_H

#include "storage/version/file_names.h"

/*
 * bytes stand at offset in MANIFEST-number, where a record begins. Tables that
 * a compaction made and that no edit names at the end: of each edit the one
 * that is dropped last; at most max, of the first edits. What a flush made can
 * be made of its journal, and is none of them.
 *
 * Errors: CORRUPTION names file and offset; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_edit_look_ahead(uint64_t number, uint64_t offset, struct ldb_slice bytes,
                     struct ldb_error *err, uint64_t *out, size_t max,
                     size_t *out_count);

#endif
