/*
 * The service's log: one line an event on standard error, key=value or JSON.
 * A line is built field by field, so that strings from outside are always
 * escaped, and goes out with one write call:
 *
 *     struct svc_log_line line;
 *
 *     svc_log_begin(&line, SVC_LOG_INFO, "started");
 *     svc_log_text(&line, "folder", path);
 *     svc_log_u64(&line, "epoch", epoch);
 *     svc_log_end(&line);
 *
 * Never log values, and keys only at debug. Thread-safety: any thread; level
 * and format are set before threads start.
 */
#ifndef SERVICE_LOG_H
#define SERVICE_LOG_H

#include "storage/base/compiler.h"
#include "storage/base/slice.h"

enum svc_log_level {
    SVC_LOG_ERROR,
    SVC_LOG_WARN,
    SVC_LOG_INFO,
    SVC_LOG_DEBUG,
};

enum svc_log_format {
    SVC_LOG_KEY_VALUE,
    SVC_LOG_JSON,
};

/* Bytes of a line; what does not fit is cut. Chosen: two paths and a reason. */
#define SVC_LOG_LINE_SIZE 2048

/* The caller's, on its stack; the fields are the module's own. */
struct svc_log_line {
    bool enabled;
    bool json;
    size_t len;
    char text[SVC_LOG_LINE_SIZE];
};

/* The default is info, key=value. */
void svc_log_configure(enum svc_log_level level, enum svc_log_format format);

/* event: a word of ours. */
void svc_log_begin(struct svc_log_line *line, enum svc_log_level level,
                   const char *event);
/* The same in that format, whatever the set level. */
void svc_log_begin_as(struct svc_log_line *line, enum svc_log_format format,
                      enum svc_log_level level, const char *event);
/* text: anything, escaped; NULL is an empty text. */
void svc_log_text(struct svc_log_line *line, const char *key, const char *text);
void svc_log_u64(struct svc_log_line *line, const char *key, uint64_t value);
/* Microseconds, printed as milliseconds with three decimals. */
void svc_log_ms(struct svc_log_line *line, const char *key, uint64_t us);
/* The error's message, and its status as "status". */
void svc_log_error(struct svc_log_line *line, const struct ldb_error *error);
void svc_log_end(struct svc_log_line *line);
/* Ends it with a newline and writes it nowhere: the bytes, in the line. */
struct ldb_slice svc_log_finish(struct svc_log_line *line);

/* A whole line with one text field. */
void svc_log_event(enum svc_log_level level, const char *event, const char *key,
                   const char *text);

#endif
