/*
 * Reads records from a journal or MANIFEST, with the damage rules of FORMAT
 * section 6 as section 23 rows 13-16 decide them: a torn or zeroed tail is the
 * end; damage before the end drops the block (a chunk of unknown type with a
 * good checksum drops that chunk alone) and is reported; FIRST or FULL inside
 * an open record drops the open one and keeps the new one.
 *
 * Strict: damage before the end is LDB_CORRUPTION instead (a torn or zeroed
 * tail still is the end; a MANIFEST is read strict).
 * Thread-safety: one caller.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_READER_H
#define STORAGE_JOURNAL_JOURNAL_READER_H

#include "storage/base/env.h"

struct ldb_journal_reader;

/* bytes were dropped at about offset for reason (static text). */
typedef void (*ldb_journal_drop)(void *context, uint64_t offset, uint64_t bytes,
                                 const char *reason);

struct ldb_journal_reader_options {
    bool strict;
    bool skip_checksums;     /* true: do not verify (StrictJournalChecksum off) */
    uint64_t record_max;     /* bytes; a longer record is damage. 0: 1 GiB */
    ldb_journal_drop on_drop; /* NULL: not told */
    void *context;
};

/*
 * file is borrowed and read from its start; name is copied for messages;
 * options are copied.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_reader_create(struct ldb_sequential_file *file, const char *name,
                          const struct ldb_journal_reader_options *options,
                          struct ldb_error *err,
                          struct ldb_journal_reader **out);

/*
 * OK: the next record, valid until the next call. NOT_FOUND: the end (err
 * untouched). CORRUPTION (strict), IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_reader_next(struct ldb_journal_reader *reader,
                        struct ldb_error *err, struct ldb_slice *out_record);

/* File offset of the first byte of the record last returned. */
uint64_t ldb_journal_reader_record_offset(const struct ldb_journal_reader *r);

/* File offset after the last byte of the record last returned (0: none). */
uint64_t ldb_journal_reader_end_offset(const struct ldb_journal_reader *r);

/* Bytes dropped so far (tail excluded), and bytes of a torn or zeroed tail. */
uint64_t ldb_journal_reader_dropped_bytes(const struct ldb_journal_reader *r);
uint64_t ldb_journal_reader_tail_bytes(const struct ldb_journal_reader *r);

void ldb_journal_reader_destroy(struct ldb_journal_reader *reader);

#endif
