/*
 * TERM, INT and HUP as bytes of a descriptor: blocked in every thread, read
 * where the service waits. PIPE is ignored: a client that left is an error
 * code.
 *
 * Thread-safety: open before any thread starts, close after they ended.
 */
#ifndef SERVICE_SIGNALS_H
#define SERVICE_SIGNALS_H

#include "storage/base/compiler.h"

LDB_MUST_CHECK enum ldb_status svc_signals_open(struct ldb_error *err,
                                                int *out_fd);

/* The number of a signal that has come, or 0. Does not wait. */
int svc_signals_take(int fd);

/* Unblocks them: from now on one ends the process. -1 is fine. */
void svc_signals_close(int fd);

#endif
