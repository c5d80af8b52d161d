/*
 * Is what we have of a file what another node has of it? A journal or MANIFEST
 * of ours is to be a prefix of its one. The last of our bytes are compared with
 * those at the same place there: records carry sequences and checksums, and
 * ours are read through when the folder is opened, so that two files which are
 * alike there are alike before.
 *
 * Thread-safety: one caller a transport.
 */
#ifndef REPLICATION_LIKENESS_H
#define REPLICATION_LIKENESS_H

#include "replication/compare.h"
#include "replication/transport.h"

/* Bytes compared, at most. Chosen: eight blocks, and a moment on any link. */
#define REPL_LIKENESS_BYTES ((size_t)256 << 10)

struct repl_likeness_source {
    struct ldb_env *env; /* borrowed, as the rest */
    const char *dir;
    struct repl_transport *transport;
    const struct repl_epoch *epoch; /* that the node says it leads in */
};

/*
 * Our first len bytes of the file, which is DIR/name, or leveld/archive/name.
 * UNKNOWN: len is 0, or the node has no such file any more. UNLIKE: other
 * bytes, or it has fewer.
 *
 * Errors: those of the transport's get; PRECONDITION: the node leads in another
 * epoch by now; CORRUPTION: ours is shorter; NOT_FOUND: it is gone; IO too:
 * bytes were changed on their way; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_likeness_of(const struct repl_likeness_source *source, const char *name,
                 uint64_t len, struct ldb_error *err, enum repl_likeness *out);

/*
 * What repl_compare() asks for: the MANIFEST's, when the node's has the same
 * number, and the newest journal's. The source's epoch is the last one of
 * theirs.
 */
LDB_MUST_CHECK enum ldb_status
repl_likeness_prove(const struct repl_likeness_source *source,
                    const struct repl_holdings *ours,
                    const struct repl_state *theirs, struct ldb_error *err,
                    struct repl_proof *out);

#endif
