/*
 * Reads records from a journal or MANIFEST, with the damage rules 13 to 16 of
 * docs/formats.md. What cannot be used is a *run* of bytes, from the first bad
 * one (or the start of the record that it cuts) on:
 *
 * - A chunk that the file's end cuts, and a record without its last chunk
 *   there, are the end of the file.
 * - A header of zeros, a length past the block and a wrong checksum spoil the
 *   rest of the block. A chunk of unknown type with a good checksum, or a
 *   MIDDLE or LAST without its FIRST, is passed over alone. FIRST or FULL
 *   inside an open record spoils the open one and begins a new one.
 * - When a record begins after a run, in a later block or, by the lengths in
 *   the headers, later in the same one, the run was *damage*: its bytes are
 *   dropped and reported, or strict reading ends with LDB_CORRUPTION.
 * - A run that goes on to the end of the file is the *tail*, strict or not: it
 *   is what a power cut leaves of the last record (its bytes short, zeroed or
 *   garbage, its blocks in any order). A MANIFEST's record is synced before the
 *   next is appended, so that no crash leaves a record behind a torn one; it is
 *   read strict.
 * - A mapped journal (journal_tail.h tells) may have lost any page of what was
 *   not synced: it ends at the first run, whatever follows. All from there on
 *   is the tail; zeros alone, which are the rest of its window, are none.
 *
 * Thread-safety: one caller.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_READER_H
#define STORAGE_JOURNAL_JOURNAL_READER_H

#include "storage/base/env.h"

struct ldb_journal_reader;

/*
 * A run of bytes at offset was dropped for reason (static text). Told when the
 * run's end is known: at the next record, or at the end of the file, where a
 * tail is told too unless it is merely cut short or all zeros.
 */
typedef void (*ldb_journal_drop)(void *context, uint64_t offset, uint64_t bytes,
                                 const char *reason);

struct ldb_journal_reader_options {
    bool strict;
    bool skip_checksums; /* true: do not verify (StrictJournalChecksum off) */
    bool ends_at_gap;    /* the first run is the end; not with strict */
    uint64_t record_max; /* bytes, the most held in memory; a longer record
                            is damage. 0: 1 GiB */
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

/*
 * Bytes of damage dropped so far, tail excluded; and once the end was reached
 * bytes of the tail, all from the last whole record or damage on.
 */
uint64_t ldb_journal_reader_dropped_bytes(const struct ldb_journal_reader *r);
uint64_t ldb_journal_reader_tail_bytes(const struct ldb_journal_reader *r);

void ldb_journal_reader_destroy(struct ldb_journal_reader *reader);

#endif
