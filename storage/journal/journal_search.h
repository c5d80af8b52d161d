/*
 * Where in a journal a sequence stands, by halving: the batches of a journal
 * ascend, and every block tells where its chunks begin.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_SEARCH_H
#define STORAGE_JOURNAL_JOURNAL_SEARCH_H

#include "storage/base/env.h"

/*
 * An offset, where a record begins, with no operation of a sequence of
 * `sequence` or more before it; as late as blocks tell. Reads below len alone.
 * What it reads it does not verify: who reads on from there does, the same
 * bytes and what they lead to.
 *
 * Errors: CORRUPTION: lengths of chunks that cannot be; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_search(struct ldb_random_file *file, const char *name, uint64_t len,
                   ldb_sequence sequence, struct ldb_error *err,
                   uint64_t *out_offset);

#endif
