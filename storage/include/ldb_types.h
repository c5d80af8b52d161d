/*
 * The types that every public function of libleveld speaks: status, error,
 * slice, buffer, sequence number. Included by ldb.h; usable alone.
 *
 * Thread-safety: plain values; a value belongs to whoever holds it.
 */
#ifndef STORAGE_INCLUDE_LDB_TYPES_H
#define STORAGE_INCLUDE_LDB_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Marks what the shared library exports; all else is hidden. */
#define LDB_API __attribute__((visibility("default")))

/* The result must be looked at. */
#define LDB_MUST_CHECK __attribute__((warn_unused_result))

/* printf-like: format is parameter f, its arguments begin at a (from 1). */
#define LDB_PRINTF(f, a) __attribute__((format(printf, f, a)))

/*
 * One place for codes and texts. A code says what the caller can do; the
 * ldb_error beside it says what happened where.
 */
#define LDB_STATUS_LIST(X)                                                     \
    X(LDB_OK, "ok")                                                            \
    /* Nothing there: a key, or a file asked for by name. */                   \
    X(LDB_NOT_FOUND, "not found")                                              \
    /* Bytes on disk that no correct writer leaves. */                         \
    X(LDB_CORRUPTION, "corruption")                                            \
    /* The environment failed a call; ldb_error has the errno. */              \
    X(LDB_IO, "i/o error")                                                     \
    /* Disk full: nothing of the write stands; it may be repeated later. */    \
    X(LDB_NO_SPACE, "no space left")                                           \
    X(LDB_NO_MEMORY, "out of memory")                                          \
    X(LDB_INVALID_ARGUMENT, "invalid argument")                                \
    /* Over a stated limit (key, value, batch); nothing was done. */           \
    X(LDB_TOO_LARGE, "too large")                                              \
    /* The folder, or the file, is held by another process. */                 \
    X(LDB_LOCKED, "locked")                                                    \
    /* There already, and the caller asked that it be not. */                  \
    X(LDB_EXISTS, "exists")                                                    \
    /* A condition of the batch was false; nothing was written. */             \
    X(LDB_PRECONDITION, "precondition failed")                                 \
    /* The write queue is full: try again later; nothing was written. */       \
    X(LDB_STALLED, "stalled")                                                  \
    /* Opened read-only, or writes have stopped after a failed sync. */        \
    X(LDB_READ_ONLY, "read only")                                              \
    /* The write may or may not stand after a restart. */                      \
    X(LDB_OUTCOME_UNKNOWN, "outcome unknown")                                  \
    /* A format or option this build does not know. */                         \
    X(LDB_NOT_SUPPORTED, "not supported")                                      \
    /* The database is closing; nothing was done. */                           \
    X(LDB_CLOSED, "closed")                                                    \
    /* It was there, and is kept no longer: changes, of a reader too late. */  \
    X(LDB_GONE, "no longer kept")                                              \
    /* The caller's ldb_progress ended it. */                                  \
    X(LDB_CANCELLED, "cancelled")

enum ldb_status {
#define LDB_STATUS_ENUM(code, text) code,
    LDB_STATUS_LIST(LDB_STATUS_ENUM)
#undef LDB_STATUS_ENUM
};

/* The code's text, static; never NULL. */
LDB_API const char *ldb_status_text(enum ldb_status status);

/* Bytes of ldb_error.message, NUL and all. Chosen: two paths, two numbers. */
#define LDB_ERROR_MESSAGE_SIZE 256

/*
 * What happened, for a person. Filled where the failure is found (file,
 * offset, expected, actual); callers only prefix. Start from {0}.
 */
struct ldb_error {
    enum ldb_status status;
    int sys_errno; /* errno of the failed call, or 0 */
    char message[LDB_ERROR_MESSAGE_SIZE];
};

/* A 56-bit number, one per write; 0 is before all writes (docs/glossary.md). */
typedef uint64_t ldb_sequence;

/* The largest sequence number; the upper 8 bits of 64 hold the kind. */
#define LDB_SEQUENCE_MAX ((ldb_sequence)((UINT64_C(1) << 56) - 1))

/* Borrowed bytes; may hold NUL. data may be NULL only where len is 0. */
struct ldb_slice {
    const uint8_t *data;
    size_t len;
};

/*
 * Owned bytes that grow up to a limit. Start with LDB_BUF_INIT(limit), end
 * with ldb_buf_release(). data is NULL until the first byte.
 */
struct ldb_buf {
    uint8_t *data;
    size_t len;      /* bytes in use */
    size_t capacity; /* bytes allocated */
    size_t limit;    /* len never passes it */
};

#define LDB_BUF_INIT(max_bytes)                                                \
    {                                                                          \
        .data = NULL, .len = 0, .capacity = 0, .limit = (max_bytes)            \
    }

/* Appends a copy; bytes must not lie in buf. TOO_LARGE past the limit,
 * NO_MEMORY: the buffer is unchanged. */
LDB_API LDB_MUST_CHECK enum ldb_status ldb_buf_append(struct ldb_buf *buf,
                                                      struct ldb_slice bytes);

/* Frees the bytes; the buffer is empty and usable again. NULL is fine. */
LDB_API void ldb_buf_release(struct ldb_buf *buf);

#ifdef __cplusplus
}
#endif

#endif
