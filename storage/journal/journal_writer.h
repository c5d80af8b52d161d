/*
 * Appends records to a journal or MANIFEST. Records are framed into a buffer
 * and reach the file in one append per flush: a group of writers is one write
 * call. After an error the writer is dead, every later add and flush fails
 * alike; the owner decides (cut to the last flush, or stop). What was flushed
 * before a failed append can still be synced; after a failed sync nothing can.
 *
 * Thread-safety: add, flush and cut by one caller at a time; sync may run
 * beside add and flush on another thread, one at a time, and not beside cut.
 * The lengths may be asked for on any thread.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_WRITER_H
#define STORAGE_JOURNAL_JOURNAL_WRITER_H

#include "storage/base/env.h"

struct ldb_journal_writer;

/*
 * Owns file (also on failure, when it is closed). start_offset: bytes already
 * in the file, all of them whole records; 0 for a fresh one.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_writer_create(struct ldb_writable_file *file, uint64_t start_offset,
                          struct ldb_error *err,
                          struct ldb_journal_writer **out);

/*
 * Frames one record into the buffer: the concatenation of count parts. A
 * buffer over 1 MiB goes to the file on the way; that moves no length below.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_writer_add(struct ldb_journal_writer *writer,
                       const struct ldb_slice *parts, size_t count,
                       struct ldb_error *err);

/*
 * The same for records that are framed already: bytes as they stand in another
 * file at the offset that this one comes to. They end where a record does.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_writer_add_framed(struct ldb_journal_writer *writer,
                              struct ldb_slice bytes, struct ldb_error *err);

/* Hands what is buffered to the file. Not durable before sync. */
LDB_MUST_CHECK enum ldb_status
ldb_journal_writer_flush(struct ldb_journal_writer *writer,
                         struct ldb_error *err);

/* OK means: all that was flushed before the call survives a power loss. */
LDB_MUST_CHECK enum ldb_status
ldb_journal_writer_sync(struct ldb_journal_writer *writer,
                        struct ldb_error *err);

/* Length of the file after the last successful flush. */
uint64_t ldb_journal_writer_flushed_len(const struct ldb_journal_writer *w);

/*
 * Of them, known to be durable: the flushed length at the last good sync. 0
 * before the first, whatever start_offset was.
 */
uint64_t ldb_journal_writer_synced_len(const struct ldb_journal_writer *w);

/*
 * After a failed append: drops the buffer, cuts the file to flushed_len() and
 * syncs it. OK: nothing added since the last good flush is in the file, and
 * the writer lives again. Otherwise it stays dead; always so after a failed
 * sync, which a later one that succeeds does not mend.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_writer_cut(struct ldb_journal_writer *writer,
                       struct ldb_error *err);

/* Flushes nothing; closes the file and frees the writer, even on failure. */
LDB_MUST_CHECK enum ldb_status
ldb_journal_writer_close(struct ldb_journal_writer *writer,
                         struct ldb_error *err);

#endif
