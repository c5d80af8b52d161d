/*
 * The tail of a journal or MANIFEST, looked at once more. A chunk that claims
 * more bytes than the file has looks like one that a crash cut off; but then no
 * whole chunk can stand in what it claims.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_TAIL_H
#define STORAGE_JOURNAL_JOURNAL_TAIL_H

#include "storage/base/env.h"

/*
 * Whether the tail of bytes at offset of the file cannot be what a crash
 * leaves. Errors: IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_tail_is_damage(struct ldb_env *env, const char *path,
                           uint64_t offset, uint64_t bytes,
                           struct ldb_error *err, bool *out);

/*
 * Whether the journal was mapped when it was last written, so that a power cut
 * may have left a gap in it: its length tells (LDB_WINDOW_UNIT). Of one in
 * 65,536 appended journals it says so too. Errors: IO, NO_MEMORY, NOT_FOUND.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_tail_may_have_gap(struct ldb_env *env, const char *path,
                              struct ldb_error *err, bool *out);

#endif
