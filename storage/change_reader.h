/*
 * The changes of a database in their order: every put and delete after a given
 * sequence, once it is durable, out of the journals, from one to the next. For
 * who follows a database: the change feed, and replication's tools. Private to
 * storage/ and what stands above it in this project.
 *
 * Nothing is missing and nothing comes twice: a reader that would have to skip
 * a journal fails with GONE. It holds no lock and keeps no writer waiting; its
 * journals are pinned (retained.h), up to the archive's bounds.
 *
 * Memory: a block of 32 KiB and the operation at hand.
 *
 * Thread-safety: one caller a reader; any number of readers.
 */
#ifndef STORAGE_CHANGE_READER_H
#define STORAGE_CHANGE_READER_H

#include "storage/include/ldb.h"
#include "storage/journal/journal_stream.h"

struct ldb_change_reader;

/*
 * A reader of what comes after sequence since, which must have been handed out.
 * db stays open until the reader is closed.
 *
 * Errors: GONE: the journals after it are not here any more (the oldest that
 * can be asked for is ldb_changes_oldest()); READ_ONLY: opened read-only;
 * CORRUPTION, IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_change_reader_open(struct ldb_db *db, ldb_sequence since,
                       struct ldb_error *err, struct ldb_change_reader **out);
/* NULL is fine. */
void ldb_change_reader_close(struct ldb_change_reader *reader);

/*
 * The next change; key and value are valid until the next call. NOT_FOUND:
 * none is durable yet; ask again later (ldb_options.on_durable tells when).
 *
 * Errors: GONE: it was too slow for the archive; CORRUPTION, IO, NO_MEMORY:
 * close it.
 */
LDB_MUST_CHECK enum ldb_status
ldb_change_reader_next(struct ldb_change_reader *reader, struct ldb_error *err,
                       struct ldb_journal_op *out);

/*
 * How far it is: all changes up to there were given. After NOT_FOUND that is
 * all that is durable.
 */
ldb_sequence ldb_change_reader_position(const struct ldb_change_reader *reader);

/* The lowest since that a reader can be opened with now. */
ldb_sequence ldb_changes_oldest(struct ldb_db *db);

#endif
