/*
 * Makes a folder the twin of a leader's by difference: for a new follower, for
 * one that fell too far behind, for a node that has led and finds another
 * leader, and for one damaged table, it is the same way. What the folder has
 * and the leader has too is kept, by digest, whatever its name; the rest is
 * fetched; what is ours alone is set aside (diverged.h).
 *
 *     repl_build_create(&options, &err, &build)
 *     repl_build_fetch(build, &err)     the old database may be open and serve
 *                                       reads; nobody writes to it
 *     ... close the old database ...
 *     repl_build_switch(build, &err)    renames: short
 *     ldb_twin_open()                   and the stream goes on
 *     repl_build_destroy(build)
 *
 * After a failure it is fetched again, which finds what was done; so it is
 * after a crash, with a new build. leveld/rebuild is there from the first
 * change to the end of the switch (rebuild_intent.h): a node that finds it at
 * its start does this before anything else, and opens the folder to serve
 * meanwhile only in the phase FETCHING.
 *
 * What holds after a crash at any moment, in the folder as any library opens
 * it: a past state of its own history, an empty database (only where the plan
 * has a CLEAR, twin_plan.h), or a past state of the leader; no name in force
 * without its file; whole batches. Nothing that was ours alone is gone.
 *
 * A table that was fetched has every block's checksum verified before it comes
 * into place: damage of the leader's disk does not replace a sound table.
 *
 * Thread-safety: one thread calls; interrupt and figures, any thread.
 */
#ifndef REPLICATION_TWIN_BUILD_H
#define REPLICATION_TWIN_BUILD_H

#include "replication/compare.h"
#include "replication/transport.h"

struct repl_build;

struct repl_build_options {
    struct ldb_env *env;    /* borrowed */
    const char *dir;        /* copied; it is there */
    struct repl_peer *peer; /* borrowed */
    /* Ours, that the leader knows us by; it becomes the folder's. */
    char node_id[REPL_ID_SIZE];
    /* Of user keys; NULL: bytewise. Borrowed. */
    const struct ldb_comparator *comparator;
    unsigned transports; /* for tables, at once; 0: 4 */
    /*
     * An operator said so. Without it these wait, as PRECONDITION: a verdict
     * of UNKNOWN over a folder that has entries; and a rewind beyond the
     * journals that we have, of which no more can be set aside than what
     * compactions have left.
     */
    bool is_accepted;
};

/* What it is at. */
enum repl_build_step {
    REPL_BUILD_IDLE,      /* between two calls */
    REPL_BUILD_SURVEYING, /* what is here, by digest, and what the leader has */
    REPL_BUILD_FETCHING,
    REPL_BUILD_SWITCHING,
};

/* "idle", "surveying", ...: for /stats and logs. */
const char *repl_build_step_text(enum repl_build_step step);

struct repl_build_figures {
    enum repl_build_step step;
    uint64_t begun_us;       /* monotonic: when it was created */
    uint64_t files_digested; /* of the folder, to compare them */
    uint64_t tables_wanted;
    uint64_t tables_kept;       /* found here, by whatever name */
    uint64_t bytes_wanted;      /* of those to fetch, */
    uint64_t bytes_fetched;     /* and what is here of them; while they come, of
                                   those under way too */
    uint64_t tables_fetched;    /* verified */
    uint64_t files_set_aside;   /* by the plan */
    uint64_t entries_set_aside; /* those that were in tables alone */
};

/* Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_build_create(const struct repl_build_options *options,
                  struct ldb_error *err, struct repl_build **out);
/* No call is under way. The leader's checkpoint is left to lapse. NULL is fine.
 */
void repl_build_destroy(struct repl_build *build);

/*
 * Compares the folder with the leader, has it hold a version, marks the intent,
 * and brings all that is wanting into leveld/incoming/, synced and verified.
 * Changes nothing but leveld/. An intent that is there already goes on, with
 * the lower fork of the two.
 *
 * Errors:
 *   PRECONDITION  the verdict says not to follow it; or an operator has to
 *                 accept it (is_accepted); or the leader is in another epoch
 *                 than it said, or in one below that of the intent
 *   CORRUPTION    a table of the leader is damaged, or not what it said; or our
 *                 own files of leveld/ are
 *   GONE          the leader has let go of the version, time and again
 *   STALLED       a digest is not known there yet: later again
 *   CANCELLED, IO, NO_SPACE, NO_MEMORY, and those of the calls: later again
 */
LDB_MUST_CHECK enum ldb_status repl_build_fetch(struct repl_build *build,
                                                struct ldb_error *err);

/* What the last fetch found; of the build until its next call. */
const struct repl_verdict *repl_build_verdict(const struct repl_build *build);

/*
 * After a fetch that was OK, the folder closed: sets aside, puts in place, and
 * takes the leader's epochs and cluster id. Then the folder opens as a twin at
 * the version, and the stream goes on from what journals it has.
 *
 * Errors: LOCKED: the folder is open, nothing was done: again;
 * INVALID_ARGUMENT: no fetch was OK, or the folder is not as it was then;
 * CORRUPTION, IO, NO_SPACE, NO_MEMORY: to be fetched again.
 */
LDB_MUST_CHECK enum ldb_status repl_build_switch(struct repl_build *build,
                                                 struct ldb_error *err);

/* Whether old data can be read until the end of the switch: its plan has no
 * CLEAR. After a fetch that was OK. */
bool repl_build_is_gentle(const struct repl_build *build);

/* A fetch under way ends soon, and each later one at once. Any thread. */
void repl_build_interrupt(struct repl_build *build);

/* Of the last fetch. Any thread. */
void repl_build_figures(struct repl_build *build,
                        struct repl_build_figures *out);

#endif
