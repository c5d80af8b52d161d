/*
 * Digests of a copy's tables that were made by reading them: a plain web server
 * tells none, and what the leader found out of its own may lack.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef REPLICATION_COPY_DIGESTS_H
#define REPLICATION_COPY_DIGESTS_H

#include "replication/transport.h"

/* More, and all are made again. Chosen: tables of a checkpoint. */
#define REPL_COPY_DIGESTS_MAX ((size_t)65536)

struct repl_copy_digest {
    uint64_t number;
    uint64_t size;
    struct ldb_digest digest;
};

/* Zeroed: none. */
struct repl_copy_digests {
    struct repl_copy_digest *items; /* owned */
    size_t count;
    size_t capacity;
};

void repl_copy_digests_release(struct repl_copy_digests *digests);

bool repl_copy_digests_find(const struct repl_copy_digests *digests,
                            uint64_t number, uint64_t size,
                            struct ldb_digest *out);
/* Without memory it is made again. */
void repl_copy_digests_note(struct repl_copy_digests *digests, uint64_t number,
                            uint64_t size, const struct ldb_digest *digest);

/* Reads all of the file. Errors: those of the transport's get; IO: it has not
 * that size any more; NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_copy_digest_make(struct repl_transport *transport, const char *name,
                      uint64_t size, struct ldb_error *err,
                      struct ldb_digest *out);

#endif
