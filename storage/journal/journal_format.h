/*
 * Journal framing: 32 KiB blocks of chunks (docs/formats.md). The MANIFEST is
 * framed alike.
 */
#ifndef STORAGE_JOURNAL_JOURNAL_FORMAT_H
#define STORAGE_JOURNAL_JOURNAL_FORMAT_H

/* On disk: do not change. Bytes of a block. */
#define LDB_JOURNAL_BLOCK_SIZE 32768

/* On disk: do not change. Masked CRC-32C (4), payload length (2), type (1). */
#define LDB_JOURNAL_HEADER_SIZE 7

/* On disk: do not change. */
enum ldb_chunk_type {
    LDB_CHUNK_ZERO = 0, /* never written; a zeroed tail */
    LDB_CHUNK_FULL = 1,
    LDB_CHUNK_FIRST = 2,
    LDB_CHUNK_MIDDLE = 3,
    LDB_CHUNK_LAST = 4,
};

#endif
