/*
 * Fetches one file of another node's folder into leveld/incoming/NAME, whole,
 * synced and verified. What an earlier try has left there is gone on with,
 * where a digest will tell whether it was of the same file.
 *
 * What lies in leveld/incoming/ proves nothing by itself, after a crash least
 * of all: it is read and compared before it is used.
 *
 * Thread-safety: files of different names at once; a transport for each.
 */
#ifndef REPLICATION_FILE_FETCH_H
#define REPLICATION_FILE_FETCH_H

#include <stdatomic.h>

#include "replication/transport.h"
#include "storage/version/file_names.h"

struct repl_fetch_file {
    char name[LDB_FILE_NAME_SIZE]; /* of a journal, a table or a MANIFEST */
    uint64_t size;
    /*
     * The digest, of all of it. Not known: the node is asked, and the file has
     * to be sealed. is_prefix: the first size bytes are wanted, of a file that
     * may be longer; nobody has a digest of these, so they are fetched anew
     * each time, and who uses them checks their records.
     */
    bool is_prefix;
    bool has_digest;
    struct ldb_digest digest;
    /* Whoever sends bytes has to lead under this epoch; 0: any will do, as the
     * digest tells. A prefix should have it. */
    uint64_t epoch;
    uint64_t epoch_id;

    /* ---- result, of repl_fetch_files() ---- */
    enum ldb_status status;
    struct ldb_error error;
};

/* Relaxed counters. */
struct repl_fetch_counts {
    _Atomic(uint64_t) bytes; /* that came */
    _Atomic(uint64_t)
        bytes_kept;         /* of earlier tries, that did not come again */
    _Atomic(uint64_t) cuts; /* transfers that ended early and went on */
    _Atomic(uint64_t) mismatches; /* files whose bytes were not the digest's */
};

struct repl_file_fetch {
    struct ldb_env *env; /* borrowed, as is the rest */
    const char *dir;     /* the database's; leveld/incoming is in it */
    struct repl_transport *transport;
    const atomic_bool *is_cancelled; /* relaxed; the transport is interrupted
                                        besides. NULL: nobody cancels */
    struct repl_fetch_counts *counts;
    struct ldb_digest *out_digest; /* of what came, when OK; NULL: not wanted */
};

/*
 * OK: DIR/leveld/incoming/NAME is that file, and its bytes survive a power cut
 * (its name does after sync_dir()). A transfer that was cut goes on where it
 * ended while each try brings something; a file with a wrong digest is fetched
 * whole once more.
 *
 * Errors:
 *   NOT_FOUND         the node has it no more
 *   CORRUPTION        its size there, or its digest, is another one
 *   PRECONDITION      somebody of another epoch leads there
 *   STALLED           the digest is not known there yet: later again
 *   INVALID_ARGUMENT  it is not the name of such a file
 *   CANCELLED, IO, NO_SPACE, NO_MEMORY
 * After the first two nothing of it is kept, else what came.
 */
LDB_MUST_CHECK enum ldb_status
repl_file_fetch(const struct repl_file_fetch *fetch,
                const struct repl_fetch_file *wanted, struct ldb_error *err);

#endif
