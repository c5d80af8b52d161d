/*
 * How far a scrub is, in leveld/scrub, so that it goes on there after a
 * restart: it walks tables by their numbers, then sealed journals by theirs.
 * Losing the file costs a pass that begins anew.
 *
 *     pass COUNT BEGUN-US
 *     at table|journal|end NUMBER
 *     last ENDED-US DURATION-US
 *
 * Thread-safety: functions of their arguments; one writer.
 */
#ifndef REPLICATION_SCRUB_PLACE_H
#define REPLICATION_SCRUB_PLACE_H

#include "storage/base/env.h"

/* In leveld/. */
#define REPL_SCRUB_FILE    "scrub"
#define REPL_SCRUB_VERSION 1

/* What is looked at next. */
enum repl_scrub_part {
    REPL_SCRUB_TABLES,
    REPL_SCRUB_JOURNALS,
    REPL_SCRUB_END, /* the pass is over */
};

/* Times are the wall clock's. Zeroed: no pass has begun. */
struct repl_scrub_place {
    uint64_t passes;   /* that came to their end */
    uint64_t begun_us; /* this pass; 0: none */
    enum repl_scrub_part part;
    uint64_t number;      /* up to which all of the part was looked at */
    uint64_t ended_us;    /* the last pass that did; 0: none has */
    uint64_t duration_us; /* and how long it took, restarts included */
};

/* A file that is not there, or is damaged, is a zeroed place. Errors:
 * NOT_SUPPORTED: a newer format; IO, NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_scrub_place_load(struct ldb_env *env, const char *dir,
                      struct ldb_error *err, struct repl_scrub_place *out);

/* Durable when OK. Errors: those of repl_sidecar_write(). */
LDB_MUST_CHECK enum ldb_status
repl_scrub_place_store(struct ldb_env *env, const char *dir,
                       const struct repl_scrub_place *place,
                       struct ldb_error *err);

#endif
