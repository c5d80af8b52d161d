/*
 * One life of a small database, the same each time: open, writes of all kinds,
 * flushes, compactions, new MANIFESTs, close. Tests that fail or cut each call
 * of it in turn share it. Whatever fails, it goes on; what a call must do even
 * then (say why, come back) is asserted here.
 */
#ifndef TESTS_SUPPORT_SCRIPTED_RUN_H
#define TESTS_SUPPORT_SCRIPTED_RUN_H

#include "tests/support/write_history.h"

#define SCRIPTED_RUN_DIR "/db"

/* The options of the run: small buffers, an early compaction. */
void scripted_run_options(struct ldb_env *env, struct ldb_options *out);

/*
 * Opens /db of env, writes, closes. before_close(context) is called with the
 * database still open; NULL: nothing is. Returns how many calls failed.
 */
unsigned scripted_run(struct ldb_env *env, struct history *h,
                      void (*before_close)(void *context), void *context);

/* Opens what a run left, on an env without faults, asserts that it holds what
 * it must, settles, and asserts that it can be written and closed. */
void scripted_run_verify(struct ldb_env *env, struct history *h,
                         enum history_must must, const char *what);

#endif
