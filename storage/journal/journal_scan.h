/*
 * What a journal holds, found by reading it: how far it is whole, and which
 * sequences its batches have. For files that nobody writes.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_SCAN_H
#define STORAGE_JOURNAL_JOURNAL_SCAN_H

#include "storage/base/env.h"

struct ldb_journal_content {
    uint64_t end;       /* after the last whole record; what follows is torn */
    ldb_sequence first; /* 0: it has no operation */
    ldb_sequence last;  /* the greatest */
    bool is_damaged;    /* something is missing before the end */
};

/*
 * Reads all of it, by the rules of recovery (journal_reader.h): a torn tail is
 * no damage, a batch that cannot be read is. name is for messages.
 *
 * Errors: NOT_FOUND: no such file; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_scan(struct ldb_env *env, const char *path, const char *name,
                 struct ldb_error *err, struct ldb_journal_content *out);

/*
 * The sequence of its first operation, from its first bytes alone.
 *
 * Errors: NOT_FOUND: no such file, or no operation at its begin; CORRUPTION,
 * IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_first(struct ldb_env *env, const char *path, const char *name,
                  struct ldb_error *err, ldb_sequence *out_first);

#endif
