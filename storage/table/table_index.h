/*
 * The index of an open table made ready for searching: eight bytes of each key
 * in one array of numbers, instead of keys that lie far apart, and beside them
 * where the block is.
 *
 * All keys but the last one begin alike (the last one is shortened to a key
 * behind all others, often to a single byte). A word is what follows in the
 * user key, eight bytes as a number that orders like them, filled up with
 * zeros. So keys in order have words in order, and only where words are equal
 * the keys themselves must tell.
 *
 * Only for the bytewise order, tables below 4 GiB, and an index with a restart
 * point at each entry, as all writers make them; other indexes have no words,
 * and are searched as any block is.
 *
 * Thread-safety: constant once built.
 */
#ifndef STORAGE_TABLE_TABLE_INDEX_H
#define STORAGE_TABLE_TABLE_INDEX_H

#include "storage/table/block_reader.h"
#include "storage/table/table_format.h"

struct ldb_block_place { /* a block handle */
    uint32_t offset;
    uint32_t size;
};

struct ldb_table_index {
    uint32_t count;                 /* of words: entries less one; 0: none */
    struct ldb_slice prefix;        /* of all those keys; lies in the block */
    uint64_t *words;                /* ascending, equal ones among them */
    struct ldb_block_place *places; /* of the same entries */
};

/*
 * Words for the index block (borrowed as long as *out is used), which may be
 * damaged: where keys are not in order or a handle does not decode, *out has
 * none. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
ldb_table_index_init(const struct ldb_block *block,
                     const struct ldb_comparator *user_comparator,
                     struct ldb_table_index *out);
/* A zeroed one is fine. */
void ldb_table_index_release(struct ldb_table_index *index);

/* Bytes of memory beside the struct. */
size_t ldb_table_index_memory_bytes(const struct ldb_table_index *index);

/*
 * The handle of the first entry >= target (an internal key). False where words
 * alone cannot tell.
 */
LDB_MUST_CHECK bool ldb_table_index_find(const struct ldb_table_index *index,
                                         struct ldb_slice target,
                                         struct ldb_block_handle *out);

/* As ldb_block_iter_seek() on it, which stands on the same block. */
void ldb_table_index_seek(const struct ldb_table_index *index,
                          struct ldb_block_iter *it, struct ldb_slice target);

#endif
