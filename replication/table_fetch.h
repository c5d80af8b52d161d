/*
 * Fetches files of another node's folder, several at once, each over a
 * transport of its own: whole and verified (file_fetch.h), and then, when it is
 * to be so, renamed into the database folder.
 *
 *     struct repl_fetch *fetch;
 *     struct repl_fetch_file files[2] = {
 *         {.name = "000009.ldb", .size = 2048, .has_digest = true, ...},
 *         ...};
 *
 *     repl_fetch_create(&options, &err, &fetch)
 *     repl_fetch_files(fetch, files, 2, REPL_FETCH_INTO_PLACE, &err)
 *     repl_fetch_destroy(fetch)
 *
 * After a crash at any moment a file in the database folder that was put there
 * by this module is whole, and has the digest.
 *
 * Thread-safety: one thread calls; interrupt and figures, any thread.
 */
#ifndef REPLICATION_TABLE_FETCH_H
#define REPLICATION_TABLE_FETCH_H

#include "replication/file_fetch.h"

/* Transports at once, at most. Chosen: a link is full with fewer. */
#define REPL_FETCH_TRANSPORTS_MAX 8

struct repl_fetch;

struct repl_fetch_options {
    struct ldb_env *env;    /* borrowed, as is peer */
    const char *dir;        /* the database's; copied */
    struct repl_peer *peer; /* where from */
    unsigned transports;    /* at once, 1 to the maximum; 0: 4 */
    /* Looks at a file in leveld/incoming that is whole and has its digest, on
     * the thread that fetched it; several at once. Its status is that of the
     * file. NULL: nothing more is looked at. */
    enum ldb_status (*check)(void *context, const struct repl_fetch_file *file,
                             struct ldb_error *err);
    void *context;
};

enum repl_fetch_place {
    REPL_FETCH_INCOMING,   /* it stays in leveld/incoming/, its name durable */
    REPL_FETCH_INTO_PLACE, /* it replaces DIR/NAME, durably */
};

struct repl_fetch_figures {
    uint64_t files; /* whole and verified */
    uint64_t bytes; /* as of struct repl_fetch_counts, as are the rest */
    uint64_t bytes_kept;
    uint64_t cuts;
    uint64_t mismatches;
};

/* Makes leveld/incoming. Errors: INVALID_ARGUMENT, IO, NO_SPACE, NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_fetch_create(const struct repl_fetch_options *options,
                  struct ldb_error *err, struct repl_fetch **out);
/* No call is under way. NULL is fine. */
void repl_fetch_destroy(struct repl_fetch *fetch);

/*
 * All of them; OK when each is there as it should be. Else the status of the
 * first of the list that failed by itself, with its text in err: each file has
 * its own status. After a failure no other file is begun: CANCELLED. Those that
 * are OK are in their place, durably, also then. No name twice.
 *
 * Errors: those of repl_file_fetch(), the name before them.
 */
LDB_MUST_CHECK enum ldb_status repl_fetch_files(struct repl_fetch *fetch,
                                                struct repl_fetch_file *files,
                                                size_t count,
                                                enum repl_fetch_place place,
                                                struct ldb_error *err);

/*
 * Removes tables and journals from leveld/incoming whose names are not wanted:
 * what was begun once, and given up. is_wanted NULL: none is. No call is under
 * way. What cannot be removed stays until the next time. Errors: IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_fetch_sweep(struct repl_fetch *fetch,
                 bool (*is_wanted)(void *context, const char *name),
                 void *context, struct ldb_error *err);

/* A call under way ends soon, with CANCELLED, and each later one at once. Any
 * thread. */
void repl_fetch_interrupt(struct repl_fetch *fetch);

/* Since create. Any thread. */
void repl_fetch_figures(struct repl_fetch *fetch,
                        struct repl_fetch_figures *out);

#endif
