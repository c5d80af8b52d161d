/*
 * Who holds a lock: finds the holder's process id in the text of /proc/locks.
 * Pure function of bytes, so that env_posix.c keeps only the system calls.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_BASE_LOCK_HOLDER_H
#define STORAGE_BASE_LOCK_HOLDER_H

#include "storage/base/slice.h"

/* A file as /proc/locks names it. */
struct ldb_lock_file_id {
    unsigned major; /* of the device */
    unsigned minor;
    uint64_t inode;
};

/*
 * The process that holds a lock of any kind on the file, of the first line
 * that tells one; 0 when none does (lines of waiters, and those whose holder
 * is -1, as for locks of an open file description, do not tell).
 */
uint64_t ldb_lock_holder_find(struct ldb_slice proc_locks,
                              const struct ldb_lock_file_id *file);

#endif
