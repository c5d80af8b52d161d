/*
 * Reads the files that do not change any more, tables of the live version and
 * sealed journals, one after the other and slowly, and tells which of them the
 * disk has changed (scrub_file.h): reads alone would find that out too late,
 * when no other node has the file any more.
 *
 * A pass is all tables by number, then all sealed journals; what is added
 * meanwhile has higher numbers, and what is gone when its turn comes is passed
 * by. Where it is outlives a restart (scrub_place.h). The next pass begins some
 * time after the last one began, so that a small database is not read all day.
 *
 * Thread-safety: any thread, but create and destroy.
 */
#ifndef REPLICATION_SCRUB_H
#define REPLICATION_SCRUB_H

#include "replication/scrub_file.h"
#include "replication/scrub_place.h"

struct ldb_db;
struct repl_scrub;

struct repl_scrub_finding {
    enum ldb_file_type type; /* JOURNAL or TABLE */
    uint64_t number;
    const struct repl_scrub_verdict *verdict; /* not SOUND */
};

struct repl_scrub_options {
    struct ldb_env *env;               /* borrowed until destroy, as is */
    struct ldb_db *db;                 /* a leader's or a twin, and */
    struct repl_digest_index *digests; /* of the folder */
    const char *dir;                   /* the database's; copied */
    uint64_t rate_bytes;               /* a second, at most; not 0 */
    uint64_t interval_us; /* from the begin of a pass to that of the next */
    /* On the scrub's thread, which reads on when it returns. */
    void (*on_finding)(void *context, const struct repl_scrub_finding *finding);
    void *context;
};

/* DIR/leveld is there. Begins. Errors: those of repl_scrub_place_load(); IO: no
 * thread; NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_scrub_create(const struct repl_scrub_options *options,
                  struct ldb_error *err, struct repl_scrub **out);
/* Ends soon, in the middle of a file too, and stores where it is. NULL is fine.
 */
void repl_scrub_destroy(struct repl_scrub *scrub);

struct repl_scrub_figures {
    uint64_t rate_bytes;
    bool is_running;           /* in the middle of a pass */
    uint64_t files_total;      /* looked at since create, as are the next two */
    uint64_t bytes_total;      /* of them */
    uint64_t mismatches_total; /* files that were not sound */
    uint64_t failures_total;   /* files that could not be looked at */
    uint64_t passes_total;     /* that came to their end, in all times */
    uint64_t last_pass_us;     /* wall clock: the end of the last; 0: none */
    uint64_t last_pass_duration_us;
};
void repl_scrub_figures(struct repl_scrub *scrub,
                        struct repl_scrub_figures *out);

#endif
