/*
 * Lines on their way to a file or to standard error, written by a thread of
 * its own, so that whoever logs waits for no disk and no pipe. Between them is
 * a buffer of a fixed size; a line that finds no room is dropped and counted,
 * and so is one that cannot be written.
 *
 * Thread-safety: put and figures from any thread; create, reopen and destroy
 * from one.
 */
#ifndef SERVICE_LINE_SINK_H
#define SERVICE_LINE_SINK_H

#include "storage/base/env.h"

struct svc_line_sink;

/* Longest line. Writes are cut at ends of lines and no longer than this, which
 * is what a pipe takes whole (PIPE_BUF). */
#define SVC_LINE_MAX 4096

/* How long destroy waits for a reader that takes nothing. Chosen. */
#define SVC_LINE_SINK_FLUSH_US 1000000

struct svc_line_sink_figures {
    uint64_t lines;   /* taken */
    uint64_t dropped; /* for want of room, or of somewhere to write them */
};

/*
 * path: appended to, made when absent (0640); NULL: standard error. room: bytes
 * that may wait, at least SVC_LINE_MAX. env and path are borrowed until
 * destroy.
 *
 * Errors: those of opening the file; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
svc_line_sink_create(struct ldb_env *env, const char *path, size_t room,
                     struct ldb_error *err, struct svc_line_sink **out);

/* line ends in a newline. Never waits. */
void svc_line_sink_put(struct svc_line_sink *sink, struct ldb_slice line);

/*
 * Opens the path again, soon, for a file that was moved away. When that fails
 * it goes on with the old one and says so in the service's log.
 */
void svc_line_sink_reopen(struct svc_line_sink *sink);

void svc_line_sink_figures(struct svc_line_sink *sink,
                           struct svc_line_sink_figures *out);

/* Writes what is left, for a bounded time. NULL is fine. */
void svc_line_sink_destroy(struct svc_line_sink *sink);

#endif
