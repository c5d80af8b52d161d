/*
 * service/log.h in a simulation, whose nodes meet one disaster after the other:
 * lines are shown where the simulation is traced (sim_sched.h), else nowhere.
 */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

#include "service/log.h"
#include "storage/base/status.h"
#include "tests/support/sim_sched.h"

void svc_log_configure(enum svc_log_level level, enum svc_log_format format)
{
    (void)level;
    (void)format;
}

static void add(struct svc_log_line *line, const char *format, ...)
    LDB_PRINTF(2, 3);

static void add(struct svc_log_line *line, const char *format, ...)
{
    va_list arguments;
    int len;

    if (!line->enabled)
        return;
    va_start(arguments, format);
    len = vsnprintf(line->text + line->len, sizeof(line->text) - line->len,
                    format, arguments);
    va_end(arguments);
    if (len > 0)
        line->len += (size_t)len;
    if (line->len >= sizeof(line->text))
        line->len = sizeof(line->text) - 1;
}

void svc_log_begin(struct svc_log_line *line, enum svc_log_level level,
                   const char *event)
{
    (void)level;
    line->enabled = sim_is_traced();
    line->len = 0;
    line->text[0] = '\0';
    add(line, "%s", event);
}

void svc_log_text(struct svc_log_line *line, const char *key, const char *text)
{
    add(line, " %s=%s", key, text == NULL ? "" : text);
}

void svc_log_u64(struct svc_log_line *line, const char *key, uint64_t value)
{
    add(line, " %s=%" PRIu64, key, value);
}

void svc_log_ms(struct svc_log_line *line, const char *key, uint64_t us)
{
    add(line, " %s=%.3f", key, (double)us / 1e3);
}

void svc_log_error(struct svc_log_line *line, const struct ldb_error *error)
{
    add(line, " status=%s error=%s", ldb_status_text(error->status),
        error->message);
}

void svc_log_end(struct svc_log_line *line)
{
    if (line->enabled)
        sim_trace("%s", line->text);
}

void svc_log_event(enum svc_log_level level, const char *event, const char *key,
                   const char *text)
{
    struct svc_log_line line;

    svc_log_begin(&line, level, event);
    svc_log_text(&line, key, text);
    svc_log_end(&line);
}

void svc_log_begin_as(struct svc_log_line *line, enum svc_log_format format,
                      enum svc_log_level level, const char *event)
{
    (void)format;
    svc_log_begin(line, level, event);
}

struct ldb_slice svc_log_finish(struct svc_log_line *line)
{
    add(line, "\n");
    return ldb_slice_make(line->text, line->len);
}
