#include "service/log.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* The one mutable global of the project. */
static _Atomic(int) log_level = SVC_LOG_INFO;
static _Atomic(int) log_format = SVC_LOG_KEY_VALUE;

/* Kept free at the line's end for the closing quote, brace and newline. */
#define LINE_RESERVE 4

void svc_log_configure(enum svc_log_level level, enum svc_log_format format)
{
    atomic_store_explicit(&log_level, (int)level, memory_order_relaxed);
    atomic_store_explicit(&log_format, (int)format, memory_order_relaxed);
}

static const char *level_text(enum svc_log_level level)
{
    switch (level) {
    case SVC_LOG_ERROR:
        return "error";
    case SVC_LOG_WARN:
        return "warn";
    case SVC_LOG_INFO:
        return "info";
    case SVC_LOG_DEBUG:
        return "debug";
    }
    return "error";
}

LDB_PRINTF(2, 0)
static void append_args(struct svc_log_line *line, const char *format,
                        va_list args)
{
    size_t room = sizeof line->text - LINE_RESERVE - line->len;
    int n = vsnprintf(line->text + line->len, room, format, args);

    if (n > 0)
        line->len += (size_t)n < room ? (size_t)n : room - 1;
}

LDB_PRINTF(2, 3)
static void append(struct svc_log_line *line, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    append_args(line, format, args);
    va_end(args);
}

/* Between quotes; control bytes and bytes over ASCII as escapes. */
static void append_quoted(struct svc_log_line *line, const char *text)
{
    append(line, "\"");
    for (const char *p = text; *p != '\0'; p++) {
        unsigned char c = (unsigned char)*p;

        if (c == '"' || c == '\\')
            append(line, "\\%c", c);
        else if (c < 0x20 || c >= 0x7f)
            append(line, "\\u%04x", c);
        else if (line->len + 1 < sizeof line->text - LINE_RESERVE)
            line->text[line->len++] = *p;
    }
    if (line->len >= sizeof line->text - LINE_RESERVE - 1)
        line->len = sizeof line->text - LINE_RESERVE - 1;
    line->text[line->len++] = '"';
}

static void append_key(struct svc_log_line *line, const char *key)
{
    const char *separator = line->len <= 1 ? "" : line->json ? "," : " ";

    append(line, line->json ? "%s\"%s\":" : "%s%s=", separator, key);
}

/* A word of ours: quoted only where JSON asks for it. */
static void append_word(struct svc_log_line *line, const char *key,
                        const char *word)
{
    append_key(line, key);
    append(line, line->json ? "\"%s\"" : "%s", word);
}

void svc_log_begin(struct svc_log_line *line, enum svc_log_level level,
                   const char *event)
{
    line->enabled =
        (int)level <= atomic_load_explicit(&log_level, memory_order_relaxed);
    if (line->enabled)
        svc_log_begin_as(line,
                         (enum svc_log_format)atomic_load_explicit(
                             &log_format, memory_order_relaxed),
                         level, event);
}

void svc_log_begin_as(struct svc_log_line *line, enum svc_log_format format,
                      enum svc_log_level level, const char *event)
{
    struct timespec now;
    struct tm parts;
    char stamp[40];
    size_t n;

    line->len = 0;
    line->json = format == SVC_LOG_JSON;
    line->enabled = true;
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &parts);
    n = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(stamp + n, sizeof stamp - n, ".%03ldZ", now.tv_nsec / 1000000);
    if (line->json)
        append(line, "{");
    append_word(line, "time", stamp);
    append_word(line, "level", level_text(level));
    append_word(line, "event", event);
}

void svc_log_text(struct svc_log_line *line, const char *key, const char *text)
{
    if (!line->enabled)
        return;
    append_key(line, key);
    append_quoted(line, text == NULL ? "" : text);
}

void svc_log_u64(struct svc_log_line *line, const char *key, uint64_t value)
{
    if (!line->enabled)
        return;
    append_key(line, key);
    append(line, "%" PRIu64, value);
}

void svc_log_ms(struct svc_log_line *line, const char *key, uint64_t us)
{
    if (!line->enabled)
        return;
    append_key(line, key);
    append(line, "%" PRIu64 ".%03" PRIu64, us / 1000, us % 1000);
}

void svc_log_error(struct svc_log_line *line, const struct ldb_error *error)
{
    svc_log_text(line, "status", ldb_status_text(error->status));
    svc_log_text(line, "reason", error->message);
}

struct ldb_slice svc_log_finish(struct svc_log_line *line)
{
    if (line->json)
        line->text[line->len++] = '}';
    line->text[line->len++] = '\n';
    return ldb_slice_make(line->text, line->len);
}

void svc_log_end(struct svc_log_line *line)
{
    ssize_t n;

    if (!line->enabled)
        return;
    (void)svc_log_finish(line);
    /* A log that cannot be written must not stop the service. */
    n = write(STDERR_FILENO, line->text, line->len);
    (void)n;
}

void svc_log_event(enum svc_log_level level, const char *event, const char *key,
                   const char *text)
{
    struct svc_log_line line;

    svc_log_begin(&line, level, event);
    svc_log_text(&line, key, text);
    svc_log_end(&line);
}
