/*
 * The LOG file: lines for people, in goleveldb's format and rotation:
 *
 *     =============== Nov 22, 2026 (UTC) ===============
 *     08:38:49.426603 log@legend F·NumFile S·FileSize ...
 *     08:38:49.434807 db@open opening
 *
 * Times are local. The date line comes first at each open, when the day
 * changes and in a fresh file; the legend follows it at each open. LOG becomes
 * LOG.old before a line when it is over 1 MiB, not counting the date lines
 * written since the open.
 *
 * A failing disk never fails the database: write errors of LOG are dropped.
 * Thread-safety: any thread.
 */
#ifndef STORAGE_BASE_LOG_H
#define STORAGE_BASE_LOG_H

#include "storage/base/env.h"

/* A LOG over this many bytes is rotated; goleveldb's figure. */
#define LDB_LOG_ROTATE_BYTES (UINT64_C(1) << 20)

struct ldb_log;

/* Appends to DIR/LOG; the folder's lock must be held. env is borrowed. */
LDB_MUST_CHECK enum ldb_status ldb_log_open(struct ldb_env *env,
                                            const char *dir,
                                            struct ldb_error *err,
                                            struct ldb_log **out);

/* NULL is fine. */
void ldb_log_close(struct ldb_log *log);

/*
 * One line, without the newline; NULL log drops it. Cut at 4,096 bytes, between
 * UTF-8 characters; control bytes become blanks.
 */
void ldb_log_line(struct ldb_log *log, const char *format, ...)
    LDB_PRINTF(2, 3);

#endif
