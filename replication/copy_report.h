/*
 * What a copy has (copy_survey.h), as the node that it is of would say it.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_COPY_REPORT_H
#define REPLICATION_COPY_REPORT_H

#include "replication/copy_survey.h"
#include "replication/protocol.h"

/* Into a zeroed *out, which is to be released. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_copy_report_state(const struct repl_copy_survey *survey,
                       struct ldb_error *err, struct repl_state *out);

void repl_copy_report_heartbeat(const struct repl_copy_survey *survey,
                                struct repl_heartbeat *out);

/* Likewise. Errors: IO: the oldest journal that is not in tables is not there;
 * NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_copy_report_checkpoint(const struct repl_copy_survey *survey,
                            struct ldb_error *err, struct repl_checkpoint *out);

#endif
