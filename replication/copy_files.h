/*
 * The small files of a copy of a leader's folder (copy_survey.h), read over a
 * peer that has files and says nothing.
 *
 * Errors of each: those of the transport's get; CORRUPTION: what cannot be
 * read, as when it was copied in part; NO_MEMORY.
 *
 * Thread-safety: one caller a transport.
 */
#ifndef REPLICATION_COPY_FILES_H
#define REPLICATION_COPY_FILES_H

#include "replication/digest_store.h"
#include "replication/epoch_history.h"
#include "replication/identity.h"
#include "replication/transport.h"

/* The file's first count bytes (0: all), into out, which is cleared. */
LDB_MUST_CHECK enum ldb_status repl_copy_read(struct repl_transport *transport,
                                              const char *path, uint64_t count,
                                              struct ldb_error *err,
                                              struct ldb_buf *out);

/* leveld/identity and leveld/epochs; into a zeroed history. NOT_FOUND: which of
 * them the copy lacks. */
LDB_MUST_CHECK enum ldb_status
repl_copy_read_who(struct repl_transport *transport, struct ldb_error *err,
                   struct repl_identity *out_identity,
                   struct repl_epoch_history *out_history);

/* leveld/digests, into a zeroed list; none, when the copy has none. */
LDB_MUST_CHECK enum ldb_status
repl_copy_read_digests(struct repl_transport *transport, struct ldb_error *err,
                       struct repl_digest_list *out);

/* The number of the MANIFEST that CURRENT names. */
LDB_MUST_CHECK enum ldb_status
repl_copy_read_current(struct repl_transport *transport, struct ldb_error *err,
                       uint64_t *out);

#endif
