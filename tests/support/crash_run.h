/*
 * A database's life on a recording env, after a script, for tests that look at
 * every state a power cut could have left of it. Letters of a script:
 *
 *     w s  one write, without and with a sync      f  flush
 *     a    some submitted at once                  c  compact everything
 *     t    two threads that write                  o  close, open with others
 *     r    a sync of the journal fails; healed        of the options
 *          by ldb_reopen()                         m  several memtables wait,
 *                                                     then are flushed together
 */
#ifndef TESTS_SUPPORT_CRASH_RUN_H
#define TESTS_SUPPORT_CRASH_RUN_H

#include "tests/support/env_crash.h"
#include "tests/support/flush_gate.h"
#include "tests/support/write_history.h"

#define CRASH_RUN_DIR        "/db"
#define CRASH_RUN_SCRIPT_MAX 200

struct crash_run_kind {
    bool lazy; /* no write asks for a sync */
    enum ldb_journal journal;
    size_t write_buffer_bytes; /* 0: the shape's */
};

struct crash_run {
    char script[CRASH_RUN_SCRIPT_MAX];
    uint64_t seed;
    struct ldb_env *memory;
    struct env_crash *crash;
    struct env_fault *fault; /* over crash */
    struct flush_gate gate;
    struct history *history; /* its moments are positions of crash */
    struct ldb_db *db;
    unsigned shape; /* of the options */
    struct crash_run_kind kind;
    uint64_t opened_at; /* the first time */
    unsigned heals;     /* ldb_reopen()s */
};

/* The options of the shape-th open. */
void crash_run_options(unsigned shape, struct ldb_env *env,
                       struct ldb_options *out);

/* Lives the script to its end, closed. Whatever must not fail is asserted. */
void crash_run_live(struct crash_run *run, const char *script, uint64_t seed,
                    const struct crash_run_kind *kind);

/* A random script of so many letters. */
void crash_run_random_script(uint64_t seed, size_t len,
                             char out[CRASH_RUN_SCRIPT_MAX]);

void crash_run_release(struct crash_run *run);

#endif
