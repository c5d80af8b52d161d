#include "storage/base/status.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Wrapped for the analyzer; here are the functions themselves. */
#undef ldb_error_set
#undef ldb_error_set_errno
#undef ldb_error_prefix
#undef ldb_error_no_memory

/* The length of what vsnprintf left in message. */
LDB_PRINTF(2, 0)
static size_t print(char message[LDB_ERROR_MESSAGE_SIZE], const char *format,
                    va_list args)
{
    int n = vsnprintf(message, LDB_ERROR_MESSAGE_SIZE, format, args);

    if (n < 0) {
        message[0] = '\0';
        return 0;
    }
    return n < LDB_ERROR_MESSAGE_SIZE ? (size_t)n : LDB_ERROR_MESSAGE_SIZE - 1;
}

/* Appends text to the len bytes of message, cut at the size; the new length. */
static size_t append(char message[LDB_ERROR_MESSAGE_SIZE], size_t len,
                     const char *text)
{
    size_t room = LDB_ERROR_MESSAGE_SIZE - 1 - len;
    size_t text_len = strlen(text);

    assert(len < LDB_ERROR_MESSAGE_SIZE);
    if (text_len > room)
        text_len = room;
    memcpy(message + len, text, text_len);
    message[len + text_len] = '\0';
    return len + text_len;
}

const char *ldb_status_text(enum ldb_status status)
{
    switch (status) {
#define LDB_STATUS_CASE(code, text)                                            \
    case code:                                                                 \
        return text;
        LDB_STATUS_LIST(LDB_STATUS_CASE)
#undef LDB_STATUS_CASE
    }
    return "unknown status";
}

enum ldb_status ldb_error_set(struct ldb_error *err, enum ldb_status status,
                              const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return status;
    err->status = status;
    err->sys_errno = 0;
    va_start(args, format);
    (void)print(err->message, format, args);
    va_end(args);
    return status;
}

static enum ldb_status status_of_errno(int sys_errno)
{
    switch (sys_errno) {
    case ENOENT:
        return LDB_NOT_FOUND;
    case ENOSPC:
    case EDQUOT:
        return LDB_NO_SPACE;
    case ENOMEM:
        return LDB_NO_MEMORY;
    default:
        return LDB_IO;
    }
}

enum ldb_status ldb_error_set_errno(struct ldb_error *err, int sys_errno,
                                    const char *format, ...)
{
    enum ldb_status status = status_of_errno(sys_errno);
    /* Not strerror(): thread-safe and the same in every locale. */
    const char *reason = strerrordesc_np(sys_errno);
    va_list args;
    size_t len;

    if (err == NULL)
        return status;
    err->status = status;
    err->sys_errno = sys_errno;
    va_start(args, format);
    len = print(err->message, format, args);
    va_end(args);
    len = append(err->message, len, ": ");
    (void)append(err->message, len, reason != NULL ? reason : "unknown errno");
    return status;
}

enum ldb_status ldb_error_prefix(struct ldb_error *err, enum ldb_status status,
                                 const char *format, ...)
{
    char message[LDB_ERROR_MESSAGE_SIZE];
    va_list args;
    size_t len;

    if (err == NULL)
        return status;
    if (err->status != status)
        (void)ldb_error_set(err, status, "%s", ldb_status_text(status));
    va_start(args, format);
    len = print(message, format, args);
    va_end(args);
    len = append(message, len, ": ");
    len = append(message, len, err->message);
    memcpy(err->message, message, len + 1);
    return status;
}

enum ldb_status ldb_error_no_memory(struct ldb_error *err)
{
    if (err != NULL) {
        err->status = LDB_NO_MEMORY;
        err->sys_errno = 0;
        (void)append(err->message, 0, "out of memory");
    }
    return LDB_NO_MEMORY;
}
