/*
 * Fetches files of another node's folder, whole and verified: each into
 * leveld/incoming/NAME, from where an earlier try ended, synced, its digest
 * compared; and then, when it is to be so, renamed into the database folder.
 * Several at once, each over a transport of its own.
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
 * What holds after a crash at any moment: a file in the database folder that
 * was put there by this module is whole, and has the digest. What lies in
 * leveld/incoming/ proves nothing: it is read and compared before it is used.
 *
 * Thread-safety: one thread calls; interrupt and figures, any thread.
 */
#ifndef REPLICATION_TABLE_FETCH_H
#define REPLICATION_TABLE_FETCH_H

#include "replication/transport.h"
#include "storage/version/file_names.h"

/* Transports at once, at most. Chosen: a link is full with fewer. */
#define REPL_FETCH_TRANSPORTS_MAX 8

struct repl_fetch;

struct repl_fetch_options {
    struct ldb_env *env;    /* borrowed, as the rest */
    const char *dir;        /* the database's; copied */
    struct repl_peer *peer; /* where from */
    unsigned transports;    /* at once, 1 to the maximum; 0: 4 */
};

enum repl_fetch_place {
    REPL_FETCH_INCOMING,   /* it stays in leveld/incoming/, its name durable */
    REPL_FETCH_INTO_PLACE, /* it replaces DIR/NAME, durably */
};

struct repl_fetch_file {
    char name[LDB_FILE_NAME_SIZE]; /* of a journal, a table or a MANIFEST */
    uint64_t size;
    /*
     * false: the node's head of the file tells it, and the file has to be
     * sealed. is_prefix: the first size bytes of a file that may be longer,
     * which have no digest: who uses them checks their records.
     */
    bool has_digest;
    bool is_prefix;
    struct ldb_digest digest;

    /* ---- result ---- */
    enum ldb_status status;
    struct ldb_error error;
};

struct repl_fetch_figures {
    uint64_t files;      /* whole and verified */
    uint64_t bytes;      /* that came */
    uint64_t bytes_kept; /* of earlier tries, that did not come again */
    uint64_t cuts;       /* transfers that ended early and went on */
    uint64_t mismatches; /* files whose bytes were not the digest's */
};

/* Makes leveld/incoming. Errors: INVALID_ARGUMENT, IO, NO_SPACE, NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_fetch_create(const struct repl_fetch_options *options,
                  struct ldb_error *err, struct repl_fetch **out);
/* No call is under way. NULL is fine. */
void repl_fetch_destroy(struct repl_fetch *fetch);

/*
 * All of them; OK when each is there as it should be. Else the status of the
 * first of the list that failed with other than CANCELLED, its text in err;
 * files not yet begun then are CANCELLED. Those that are OK are in their place,
 * durably, also then. No name twice.
 *
 * A transfer that was cut goes on where it ended as long as each try brings
 * something; a file with a wrong digest is fetched whole once more.
 *
 * Errors of a file:
 *   NOT_FOUND         the node has it no more
 *   CORRUPTION        its size there, or its digest, is another one
 *   STALLED           the digest is not known there yet: later again
 *   INVALID_ARGUMENT  the name is not one of such a file
 *   CANCELLED         interrupted, or another one failed before
 *   IO, NO_SPACE, NO_MEMORY
 */
LDB_MUST_CHECK enum ldb_status repl_fetch_files(struct repl_fetch *fetch,
                                                struct repl_fetch_file *files,
                                                size_t count,
                                                enum repl_fetch_place place,
                                                struct ldb_error *err);

/* A call under way ends soon, and each later one at once. Any thread. */
void repl_fetch_interrupt(struct repl_fetch *fetch);

/* Since create. Any thread. */
void repl_fetch_figures(struct repl_fetch *fetch,
                        struct repl_fetch_figures *out);

#endif
