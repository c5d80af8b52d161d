/*
 * One file in memory, to write and to read, that fails when told to: for tests
 * of what sits on files alone. A test of a folder uses a whole env.
 */
#ifndef TESTS_SUPPORT_MEMORY_FILE_H
#define TESTS_SUPPORT_MEMORY_FILE_H

#include "storage/base/env.h"

/* A file being written. bytes stay after close. */
struct memory_file {
    struct ldb_writable_file base;
    struct ldb_buf bytes;
    uint64_t synced_len;
    unsigned append_count;
    unsigned sync_count;
    bool is_closed;
    /* The next append writes this many bytes and fails with NO_SPACE. */
    bool fail_append;
    size_t fail_append_after;
    bool fail_sync;
    bool fail_truncate;
    bool fail_close;
};

/* Limit of the file's bytes; chosen: more than any test writes. */
#define MEMORY_FILE_MAX ((size_t)64 << 20)

void memory_file_init(struct memory_file *file);
void memory_file_release(struct memory_file *file);

/* A file being read; the bytes are borrowed. */
struct memory_source {
    struct ldb_sequential_file base;
    struct ldb_slice left;
    size_t read_max;   /* bytes given by one read; 0: as asked */
    size_t fail_after; /* bytes until reads fail with IO; SIZE_MAX: never */
};

void memory_source_init(struct memory_source *source, struct ldb_slice bytes);

#endif
