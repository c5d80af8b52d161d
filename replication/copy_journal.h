/*
 * A journal of a copy (copy_survey.h), read as it comes: how far it is whole,
 * and which sequences its batches have.
 *
 * Thread-safety: one caller.
 */
#ifndef REPLICATION_COPY_JOURNAL_H
#define REPLICATION_COPY_JOURNAL_H

#include "replication/transport.h"

struct ldb_digester;
struct ldb_journal_feed;

/* Zeroed: of no journal. */
struct repl_copy_journal {
    uint64_t number;
    ldb_sequence first; /* of its operations; 0: none has come */
    ldb_sequence last;  /* the greatest */
    uint64_t len;       /* of its whole records */
    uint64_t file_len;  /* of the file when it was read last */
    struct ldb_journal_feed *feed;
    struct ldb_digester *digester; /* of len bytes */
};

void repl_copy_journal_release(struct repl_copy_journal *journal);

/*
 * Reads on from where it was, up to the end of the file or to bytes that are no
 * journal's: those that a copy of a file under way ends with, or the zeros of a
 * mapped one. path: the file's in the copy. Another number begins anew.
 *
 * Errors: those of the transport's get; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_copy_journal_read(struct repl_copy_journal *journal, uint64_t number,
                       const char *path, struct repl_transport *transport,
                       struct ldb_error *err);

/* All of the file is whole records; then *out is its digest. */
bool repl_copy_journal_is_whole(const struct repl_copy_journal *journal,
                                struct ldb_digest *out);

/* The sequence of the first batch, by the first bytes of the file; 0: there is
 * none. */
#define REPL_COPY_JOURNAL_BEGIN 19
ldb_sequence repl_copy_journal_first(struct ldb_slice bytes);

#endif
