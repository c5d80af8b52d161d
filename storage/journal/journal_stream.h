/*
 * The operations of a journal, one after the other, up to a given byte, and
 * later on from there: for a journal that grows. Beyond that byte nothing is
 * read, before it everything is sound: whole records of whole batches. What is
 * not is CORRUPTION; recovery's leniency (journal_reader.h) is not for what is
 * known to be durable.
 *
 * Memory: a block of 32 KiB and the operation at hand.
 *
 * Thread-safety: one caller.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_STREAM_H
#define STORAGE_JOURNAL_JOURNAL_STREAM_H

#include "storage/base/env.h"
#include "storage/base/internal_key.h"

struct ldb_journal_stream;

struct ldb_journal_op {
    ldb_sequence sequence;
    enum ldb_kind kind;
    struct ldb_slice key;   /* valid until the next call */
    struct ldb_slice value; /* likewise; empty for a delete */
};

/*
 * Owns file (also on failure, when it is closed), which is at its start; a
 * record begins at offset. name is copied for messages.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_stream_create(struct ldb_sequential_file *file, const char *name,
                          uint64_t offset, struct ldb_error *err,
                          struct ldb_journal_stream **out);
void ldb_journal_stream_destroy(struct ldb_journal_stream *stream);

/*
 * The next operation before limit, at which a record ends; limits never fall.
 * NOT_FOUND: there is none; err untouched. After any other failure all calls
 * fail alike.
 *
 * Errors: CORRUPTION with file and offset; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_journal_stream_next(struct ldb_journal_stream *stream, uint64_t limit,
                        struct ldb_error *err, struct ldb_journal_op *out);

/* Up to which byte it has read. */
uint64_t ldb_journal_stream_offset(const struct ldb_journal_stream *stream);

#endif
