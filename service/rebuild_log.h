/*
 * Lines about a rebuild (replication/twin_build.h) that goes on, so that who
 * reads the log sees it move: one at each step, at each tenth of what is to be
 * fetched, and every ten seconds.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef SERVICE_REBUILD_LOG_H
#define SERVICE_REBUILD_LOG_H

#include "replication/twin_build.h"

/* Between two lines at most. Chosen. */
#define SVC_REBUILD_LOG_US UINT64_C(10000000)

/* Zeroed at first, and when none is under way. */
struct svc_rebuild_log {
    enum repl_build_step step; /* of the last line; idle: there was none */
    unsigned tenths;
    uint64_t logged_us;
};

/* Whether a line is due at now_us (monotonic); it counts as written then. */
LDB_MUST_CHECK bool svc_rebuild_log_is_due(struct svc_rebuild_log *log,
                                           const struct repl_build_figures *now,
                                           uint64_t now_us);

/* Of what is to be fetched, in percent; 100 where that is nothing. */
unsigned svc_rebuild_percent(const struct repl_build_figures *now);

void svc_rebuild_log_line(const struct repl_build_figures *now,
                          uint64_t now_us);

#endif
