/*
 * One line a request, in a file or on standard error, and apart from it a line
 * in the service's log for each request that took long. Both go through
 * line sinks: a loop never waits for them.
 *
 * A line has no value, no header but the request id, and no query. The path is
 * cut; what is not plain in it is percent-encoded.
 *
 * Thread-safety: record and figures from any thread; the rest from one.
 */
#ifndef SERVICE_ACCESS_LOG_H
#define SERVICE_ACCESS_LOG_H

#include "service/line_sink.h"
#include "service/log.h"

struct svc_access_log;

enum svc_access_form {
    SVC_ACCESS_OFF,
    SVC_ACCESS_TEXT,
    SVC_ACCESS_JSON,
};

/* Bytes of a path that are shown. Chosen: a line stays far below a page. */
#define SVC_ACCESS_PATH_MAX 256

/* Bytes of lines that wait to be written. Chosen: about 4,000 lines. */
#define SVC_ACCESS_ROOM ((size_t)1 << 20)

struct svc_access_options {
    struct ldb_env *env;            /* borrowed until destroy */
    enum svc_access_form form;      /* of the access log */
    const char *path;               /* its file; "": standard error */
    uint64_t slow_us;               /* requests that take as long; 0: none */
    enum svc_log_format log_format; /* of the service's log: slow requests */
};

/* A request that is over. Texts are borrowed; NULL: not known. */
struct svc_access_record {
    const char *request_id;
    const char *client; /* its address */
    const char *method;
    const char *route;
    struct ldb_slice path;  /* as sent */
    unsigned status;        /* 0: the client left before an answer */
    uint64_t request_bytes; /* of the body, read */
    uint64_t answer_bytes;  /* of the body */
    uint64_t us;
};

/*
 * *out is NULL where nothing is to be logged.
 *
 * Errors: those of svc_line_sink_create().
 */
LDB_MUST_CHECK enum ldb_status
svc_access_log_create(const struct svc_access_options *options,
                      struct ldb_error *err, struct svc_access_log **out);

void svc_access_log_record(struct svc_access_log *log,
                           const struct svc_access_record *record);

/* For a file that was moved away. NULL is fine. */
void svc_access_log_reopen(struct svc_access_log *log);

/* Of both logs; zeroes for NULL. */
void svc_access_log_figures(struct svc_access_log *log,
                            struct svc_line_sink_figures *out);

void svc_access_log_destroy(struct svc_access_log *log); /* NULL is fine */

#endif
