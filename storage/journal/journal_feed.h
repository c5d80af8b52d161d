/*
 * Takes the bytes of a journal or MANIFEST as they come, in any cuts, verifies
 * them chunk by chunk and gives its records once they are whole. The bytes stay
 * in memory until the caller has done what it wants with them:
 *
 *     s = ldb_journal_feed_add(feed, bytes, &err);
 *     while (ldb_journal_feed_next(feed, &err, &record) == LDB_OK)
 *         ... a record; not wanted: ldb_journal_feed_reject(feed) ...
 *     ... ldb_journal_feed_whole(feed) are the bytes of them all ...
 *     ldb_journal_feed_take(feed);
 *
 * Stricter than journal_reader.h: what comes was written by a sound writer and
 * is read where it is durable, so there is no tail, no gap and nothing to pass
 * over. Any byte that such a writer does not write is CORRUPTION.
 *
 * Thread-safety: one caller.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_FEED_H
#define STORAGE_JOURNAL_JOURNAL_FEED_H

#include "storage/base/buf.h"

struct ldb_journal_feed;

/*
 * For the file's bytes from offset on, where a record ends (or 0). name is
 * copied for messages. NULL on no memory.
 */
LDB_MUST_CHECK struct ldb_journal_feed *
ldb_journal_feed_create(const char *name, uint64_t offset);
/* NULL is fine. */
void ldb_journal_feed_destroy(struct ldb_journal_feed *feed);

/*
 * The file's next bytes, copied; any number. CORRUPTION names file and offset:
 * these bytes and those of the record that had begun are dropped, as by
 * restart(); records that were whole before the bad byte stay. NO_MEMORY:
 * dropped likewise, and nothing of these bytes stays.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_feed_add(struct ldb_journal_feed *feed, struct ldb_slice bytes,
                     struct ldb_error *err);

/*
 * The next whole record of those added, valid until the next call. NOT_FOUND:
 * that was the last (err untouched). NO_MEMORY: the same one comes again.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_feed_next(struct ldb_journal_feed *feed, struct ldb_error *err,
                      struct ldb_slice *out_record);
/* The first record comes next, again. */
void ldb_journal_feed_rewind(struct ldb_journal_feed *feed);
/* Drops the record that next() gave, and all after it. */
void ldb_journal_feed_reject(struct ldb_journal_feed *feed);

/* File offset of the first byte of the record last given, padding before it
 * included. */
uint64_t ldb_journal_feed_record_offset(const struct ldb_journal_feed *feed);

/* The bytes of all whole records, borrowed until the next call. */
struct ldb_slice ldb_journal_feed_whole(const struct ldb_journal_feed *feed);
/* File offset after them; and after all that was added. */
uint64_t ldb_journal_feed_whole_end(const struct ldb_journal_feed *feed);
uint64_t ldb_journal_feed_end(const struct ldb_journal_feed *feed);

/* The whole records are done with. */
void ldb_journal_feed_take(struct ldb_journal_feed *feed);
/* Drops the record that has begun: bytes from whole_end() on come again. */
void ldb_journal_feed_restart(struct ldb_journal_feed *feed);

#endif
