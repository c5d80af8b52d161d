#include "service/access_log.h"

#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Locking: constant after creation; the sinks have their own. */
struct svc_access_log {
    struct svc_access_options options;
    struct svc_line_sink *requests; /* NULL: off */
    struct svc_line_sink *slow;     /* NULL: off; may be the same */
};

static enum ldb_status open_sinks(struct svc_access_log *log,
                                  struct ldb_error *err)
{
    const struct svc_access_options *options = &log->options;
    const bool has_file = options->path[0] != '\0';
    enum ldb_status s = LDB_OK;

    if (options->form != SVC_ACCESS_OFF)
        s = svc_line_sink_create(options->env, has_file ? options->path : NULL,
                                 SVC_ACCESS_ROOM, err, &log->requests);
    if (s != LDB_OK || options->slow_us == 0)
        return s;
    if (log->requests != NULL && !has_file) {
        log->slow = log->requests;
        return LDB_OK;
    }
    return svc_line_sink_create(options->env, NULL, SVC_ACCESS_ROOM, err,
                                &log->slow);
}

enum ldb_status svc_access_log_create(const struct svc_access_options *options,
                                      struct ldb_error *err,
                                      struct svc_access_log **out)
{
    struct svc_access_log *log;
    enum ldb_status s;

    *out = NULL;
    if (options->form == SVC_ACCESS_OFF && options->slow_us == 0)
        return LDB_OK;
    log = ldb_mem_zalloc(1, sizeof *log);
    if (log == NULL)
        return ldb_error_no_memory(err);
    log->options = *options;
    s = open_sinks(log, err);
    if (s != LDB_OK) {
        svc_access_log_destroy(log);
        return s;
    }
    *out = log;
    return LDB_OK;
}

/* ---- a line ---- */

/* Three bytes for each that is not plain, and the NUL. */
#define PATH_TEXT_SIZE (SVC_ACCESS_PATH_MAX + 4)

/* Plain bytes as they are, all others as %XX; cut between two of them. */
static const char *encode_path(struct ldb_slice path, char out[PATH_TEXT_SIZE])
{
    static const char digits[] = "0123456789ABCDEF";
    size_t len = 0;

    for (size_t i = 0; i < path.len && len + 3 <= SVC_ACCESS_PATH_MAX; i++) {
        uint8_t c = path.data[i];

        if (c > 0x20 && c < 0x7f && c != '"' && c != '\\') {
            out[len++] = (char)c;
        } else {
            out[len++] = '%';
            out[len++] = digits[c >> 4];
            out[len++] = digits[c & 0xf];
        }
    }
    out[len] = '\0';
    return out;
}

static void put_text(struct svc_log_line *line, const char *key,
                     const char *text)
{
    if (text != NULL)
        svc_log_text(line, key, text);
}

static void put(struct svc_line_sink *sink, enum svc_log_format format,
                enum svc_log_level level, const char *event,
                const struct svc_access_record *record)
{
    char path[PATH_TEXT_SIZE];
    struct svc_log_line line;

    svc_log_begin_as(&line, format, level, event);
    put_text(&line, "request_id", record->request_id);
    put_text(&line, "client", record->client);
    put_text(&line, "method", record->method);
    put_text(&line, "route", record->route);
    svc_log_text(&line, "path", encode_path(record->path, path));
    svc_log_u64(&line, "status", record->status);
    svc_log_u64(&line, "request_bytes", record->request_bytes);
    svc_log_u64(&line, "answer_bytes", record->answer_bytes);
    svc_log_ms(&line, "ms", record->us);
    svc_line_sink_put(sink, svc_log_finish(&line));
}

void svc_access_log_record(struct svc_access_log *log,
                           const struct svc_access_record *record)
{
    const struct svc_access_options *options = &log->options;

    if (log->requests != NULL)
        put(log->requests,
            options->form == SVC_ACCESS_JSON ? SVC_LOG_JSON : SVC_LOG_KEY_VALUE,
            SVC_LOG_INFO, "request", record);
    if (log->slow != NULL && record->us >= options->slow_us)
        put(log->slow, options->log_format, SVC_LOG_WARN, "slow-request",
            record);
}

/* ---- the rest ---- */

void svc_access_log_reopen(struct svc_access_log *log)
{
    if (log != NULL && log->requests != NULL)
        svc_line_sink_reopen(log->requests);
}

void svc_access_log_figures(struct svc_access_log *log,
                            struct svc_line_sink_figures *out)
{
    struct svc_line_sink_figures slow;

    *out = (struct svc_line_sink_figures){0};
    if (log == NULL)
        return;
    if (log->requests != NULL)
        svc_line_sink_figures(log->requests, out);
    if (log->slow == NULL || log->slow == log->requests)
        return;
    svc_line_sink_figures(log->slow, &slow);
    out->lines += slow.lines;
    out->dropped += slow.dropped;
}

void svc_access_log_destroy(struct svc_access_log *log)
{
    if (log == NULL)
        return;
    if (log->slow != log->requests)
        svc_line_sink_destroy(log->slow);
    svc_line_sink_destroy(log->requests);
    ldb_mem_free(log);
}
