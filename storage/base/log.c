#include "storage/base/log.h"

#include <stdarg.h>
#include <stdio.h>
#include <time.h>

#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/* The longest line's text; the header promises it. */
#define TEXT_MAX 4096

/* "HH:MM:SS.uuuuuu " */
#define TIME_LEN 16

/* "=============== Nov 22, 2026 (ZONE) ===============\n"; the zone is cut. */
#define DATE_SIZE 96

/* Not a day of any month: the next line gets a date line. */
#define NO_DAY 0

/* goleveldb's first line at each open; \xc2\xb7 is U+00B7, a middle dot. */
#define LEGEND                                                                 \
    "log@legend F\xc2\xb7NumFile S\xc2\xb7"                                    \
    "FileSize N\xc2\xb7"                                                       \
    "Entry C\xc2\xb7"                                                          \
    "BadEntry B\xc2\xb7"                                                       \
    "BadBlock Ke\xc2\xb7KeyError D\xc2\xb7"                                    \
    "DroppedEntry L\xc2\xb7Level Q\xc2\xb7SeqNum T\xc2\xb7TimeElapsed"

/*
 * Locking
 *
 * constant after creation: env, path, old_path
 * protected by mu:         file, size_bytes, day
 */
struct ldb_log {
    struct ldb_env *env;
    char *path;
    char *old_path;
    struct ldb_mutex mu;
    struct ldb_writable_file *file; /* guarded by mu; NULL: reopen first */
    /* At open, plus the lines since; date lines do not count. guarded by mu */
    uint64_t size_bytes;
    int day; /* of the month, of the last line written here; guarded by mu */
};

/* clang takes the requirement on declarations alone. */
static void rotate_locked(struct ldb_log *log) LDB_REQUIRES(log->mu);
static void reopen_locked(struct ldb_log *log) LDB_REQUIRES(log->mu);
static void write_locked(struct ldb_log *log, const char *text, size_t len)
    LDB_REQUIRES(log->mu);

/* Not strftime(): its month names follow the program's locale. */
static size_t print_date(const struct tm *at, char out[DATE_SIZE])
{
    static const char *const months[] = {"Jan", "Feb", "Mar", "Apr",
                                         "May", "Jun", "Jul", "Aug",
                                         "Sep", "Oct", "Nov", "Dec"};
    int n = snprintf(
        out, DATE_SIZE, "=============== %s %d, %d (%.16s) ===============\n",
        months[at->tm_mon], at->tm_mday, at->tm_year + 1900, at->tm_zone);

    assert(n > 0 && n < DATE_SIZE);
    return (size_t)n;
}

static void reopen_locked(struct ldb_log *log)
{
    if (log->env->ops->open_writable(log->env, log->path, LDB_OPEN_APPEND, NULL,
                                     &log->file) != LDB_OK)
        log->file = NULL;
    log->day = NO_DAY;
}

/* A rename that fails leaves LOG to grow; the next 1 MiB tries again. */
static void rotate_locked(struct ldb_log *log)
{
    (void)ldb_file_close(log->file, NULL); /* errors of LOG are dropped */
    log->file = NULL;
    log->size_bytes = 0;
    (void)log->env->ops->rename_file(log->env, log->path, log->old_path, NULL);
    reopen_locked(log);
}

/* One append for the date line, when due, and the line. */
static void write_locked(struct ldb_log *log, const char *text, size_t len)
{
    char line[DATE_SIZE + TIME_LEN + TEXT_MAX + 1];
    uint64_t now_us;
    time_t seconds;
    struct tm at;
    size_t date_len = 0;
    size_t line_len;

    assert(len <= TEXT_MAX);
    if (log->file != NULL && log->size_bytes > LDB_LOG_ROTATE_BYTES)
        rotate_locked(log);
    if (log->file == NULL)
        reopen_locked(log);
    if (log->file == NULL)
        return;

    now_us = log->env->ops->wall_us(log->env);
    seconds = (time_t)(now_us / 1000000);
    if (localtime_r(&seconds, &at) == NULL)
        return; /* a year past INT_MAX */
    if (at.tm_mday != log->day)
        date_len = print_date(&at, line);
    log->day = at.tm_mday;

    (void)snprintf(line + date_len, TIME_LEN + 1, "%02d:%02d:%02d.%06u ",
                   at.tm_hour, at.tm_min, at.tm_sec,
                   (unsigned)(now_us % 1000000));
    line_len = TIME_LEN;
    memcpy(line + date_len + line_len, text, len);
    line_len += len;
    line[date_len + line_len] = '\n';
    line_len++;
    /* Errors of LOG are dropped. */
    (void)ldb_file_append(log->file, ldb_slice_make(line, date_len + line_len),
                          NULL);
    log->size_bytes += line_len;
}

/* The size of what is there already; 0 when there is nothing. */
static enum ldb_status existing_size(struct ldb_env *env, const char *path,
                                     struct ldb_error *err, uint64_t *out)
{
    enum ldb_status s = env->ops->file_size(env, path, err, out);

    if (s != LDB_NOT_FOUND)
        return s;
    *out = 0;
    return LDB_OK;
}

enum ldb_status ldb_log_open(struct ldb_env *env, const char *dir,
                             struct ldb_error *err, struct ldb_log **out)
{
    struct ldb_log *log = ldb_mem_zalloc(1, sizeof(*log));
    enum ldb_status s;

    if (log == NULL)
        return ldb_error_no_memory(err);
    ldb_mutex_init(&log->mu);
    log->env = env;
    log->day = NO_DAY;
    log->path = ldb_mem_printf("%s/LOG", dir);
    log->old_path = ldb_mem_printf("%s/LOG.old", dir);
    if (log->path == NULL || log->old_path == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    s = existing_size(env, log->path, err, &log->size_bytes);
    if (s != LDB_OK)
        goto out;
    s = env->ops->open_writable(env, log->path, LDB_OPEN_APPEND, err,
                                &log->file);
    if (s != LDB_OK)
        goto out;
    ldb_log_line(log, "%s", LEGEND);
    *out = log;
    log = NULL;
out:
    ldb_log_close(log);
    return s;
}

void ldb_log_close(struct ldb_log *log)
{
    if (log == NULL)
        return;
    if (log->file != NULL)
        (void)ldb_file_close(log->file, NULL); /* errors of LOG are dropped */
    ldb_mutex_release(&log->mu);
    ldb_mem_free(log->path);
    ldb_mem_free(log->old_path);
    ldb_mem_free(log);
}

/* The length to keep of text cut at len: no half of a UTF-8 sequence. */
static size_t whole_characters(const char *text, size_t len)
{
    size_t start = len;

    while (start > 0 && ((unsigned char)text[start] & 0xc0) == 0x80)
        start--;
    return start;
}

void ldb_log_line(struct ldb_log *log, const char *format, ...)
{
    /* One more than is kept, so that the first byte cut can be looked at. */
    char text[TEXT_MAX + 2];
    va_list args;
    size_t len;
    int n;

    if (log == NULL)
        return;
    va_start(args, format);
    n = vsnprintf(text, sizeof(text), format, args);
    va_end(args);
    if (n < 0)
        return;
    len = (size_t)n <= TEXT_MAX ? (size_t)n : whole_characters(text, TEXT_MAX);
    /* One line stays one line, whatever a file name or key holds. */
    for (size_t i = 0; i < len; i++)
        if ((unsigned char)text[i] < 0x20)
            text[i] = ' ';

    ldb_mutex_lock(&log->mu);
    write_locked(log, text, len);
    ldb_mutex_unlock(&log->mu);
}
