/*
 * Table files without a file system: what a builder writes is kept in memory,
 * and bytes in memory are read as a file, mapped or not.
 */
#ifndef TESTS_SUPPORT_TABLE_FILE_H
#define TESTS_SUPPORT_TABLE_FILE_H

#include "storage/base/env.h"
#include "storage/table/table_reader.h"
#include "tests/support/vector_iterator.h"

/* Chosen: over any table that a test makes. */
#define TABLE_FILE_MAX ((size_t)64 * 1024 * 1024)

/* Init with table_sink_init(); release bytes. */
struct table_sink {
    struct ldb_writable_file base;
    struct ldb_buf bytes;
    size_t append_calls;
    size_t fail_append; /* that call and all later ones fail; from 1 */
};

void table_sink_init(struct table_sink *sink);

/* Bytes as a file that counts its reads. */
struct table_source {
    struct ldb_random_file base;
    struct ldb_slice bytes; /* borrowed */
    size_t reads;
    uint64_t last_read_offset;
    bool is_closed;
};

void table_source_init(struct table_source *source, struct ldb_slice bytes,
                       bool mapped);

/* A bytewise table with no filter, no cache, everything verified, plain. */
struct ldb_table_options table_file_options(void);

/* Appends to out the table of the entries; a failure fails the test. */
void table_file_build(const struct ldb_table_options *options,
                      const struct vector_entry *entries, size_t count,
                      struct ldb_buf *out);

/* count entries "key000000", ... of the same sequence; the value's text too. */
void table_file_entries(struct vector_entry *entries, size_t count);

#endif
