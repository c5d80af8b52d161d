/*
 * A writable file whose first bytes, the window, are allocated, zeroed and
 * mapped beforehand: appending to it is a store, not a system call. What was
 * stored outlives the process as what was written does; after a power loss
 * each page of what was not synced is there or is not, by itself. The bytes
 * after those appended are zeros until close.
 *
 * Used by env_posix.c alone (open_mapped in env.h is the contract).
 * Thread-safety: as any writable file: sync may run beside append.
 */
#ifndef STORAGE_BASE_MAPPED_FILE_H
#define STORAGE_BASE_MAPPED_FILE_H

#include "storage/base/env.h"

/*
 * Does the file system of fd write allocated blocks in place, so that a store
 * into them needs no space? Elsewhere a full disk would be a signal.
 */
bool ldb_mapped_file_is_safe(int fd);

/*
 * Over below, an empty file open for reading and writing on fd, which is its
 * own; window as in env.h. OK: *out owns below. Otherwise below is the
 * caller's, of any length. Errors: NO_SPACE, IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_mapped_file_create(struct ldb_writable_file *below, int fd, uint64_t window,
                       struct ldb_error *err, struct ldb_writable_file **out);

#endif
