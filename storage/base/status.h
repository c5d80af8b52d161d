/*
 * Filling struct ldb_error. The module that finds a failure sets it with file,
 * offset, expected and actual; a caller that knows more prefixes it.
 *
 * Thread-safety: functions of their arguments. Every err may be NULL.
 */
#ifndef STORAGE_BASE_STATUS_H
#define STORAGE_BASE_STATUS_H

#include "storage/base/compiler.h"

/* Sets code and text (cut at the size), clears the errno; returns status. */
enum ldb_status ldb_error_set(struct ldb_error *err, enum ldb_status status,
                              const char *format, ...) LDB_PRINTF(3, 4);

/*
 * Sets what a failed system call left: the status for sys_errno (ENOENT is
 * NOT_FOUND; ENOSPC and EDQUOT NO_SPACE; ENOMEM NO_MEMORY; EAGAIN, EACCES on a
 * lock are the caller's; else IO) and "text: strerror". Returns that status.
 */
enum ldb_status ldb_error_set_errno(struct ldb_error *err, int sys_errno,
                                    const char *format, ...) LDB_PRINTF(3, 4);

/*
 * Puts "text: " before the message of a failure with this status; returns it.
 * An err that holds another status was not filled for this failure: its
 * message becomes the status's text first.
 */
enum ldb_status ldb_error_prefix(struct ldb_error *err, enum ldb_status status,
                                 const char *format, ...) LDB_PRINTF(3, 4);

/* As good as {0}, and cheaper: for errors that most calls never fill. */
static inline void ldb_error_init(struct ldb_error *err)
{
    err->status = LDB_OK;
    err->sys_errno = 0;
    err->message[0] = '\0';
}

/* Sets LDB_NO_MEMORY without formatting; returns it. */
enum ldb_status ldb_error_no_memory(struct ldb_error *err);

#ifdef __clang_analyzer__
/* The analyzer sees one file at a time: tell it that these never return OK. */
static inline enum ldb_status ldb_error_is_failure(enum ldb_status status)
{
    __builtin_assume(status != LDB_OK);
    return status;
}
#define ldb_error_set(...) ldb_error_is_failure((ldb_error_set)(__VA_ARGS__))
#define ldb_error_set_errno(...)                                               \
    ldb_error_is_failure((ldb_error_set_errno)(__VA_ARGS__))
#define ldb_error_prefix(...)                                                  \
    ldb_error_is_failure((ldb_error_prefix)(__VA_ARGS__))
#define ldb_error_no_memory(err)                                               \
    ldb_error_is_failure((ldb_error_no_memory)(err))
#endif

#endif
