/*
 * Iterating and seeking one block of entries: data, index or metaindex. The
 * bytes are foreign: every length is checked before it is used, and a block
 * that does not decode ends the iteration with CORRUPTION, never outside it.
 *
 * A block iterator is no struct ldb_iterator: it lives on the stack or inside
 * another struct, allocates nothing for keys of usual size, and moves by plain
 * calls. It must not be copied once used (key may point into it).
 *
 * Thread-safety: a block is constant; an iterator belongs to one thread.
 */
#ifndef STORAGE_TABLE_BLOCK_READER_H
#define STORAGE_TABLE_BLOCK_READER_H

#include "storage/base/comparator.h"
#include "storage/base/writer.h"

/* Keys up to this many bytes need no allocation. Chosen: four cache lines. */
#define LDB_BLOCK_ITER_INLINE_KEY 256

struct ldb_block {
    const uint8_t *data;    /* borrowed */
    uint32_t entries_len;   /* bytes before the restart array */
    uint32_t restart_count; /* >= 1 */
};

/*
 * Takes contents for a block (borrowed as long as *out is used). False when
 * the restart array cannot be; *out_problem then says why, statically.
 */
LDB_MUST_CHECK bool ldb_block_init(struct ldb_slice contents,
                                   struct ldb_block *out,
                                   const char **out_problem);

/* Where the entry at a restart point should begin; index < restart_count. */
static inline uint32_t ldb_block_restart(const struct ldb_block *block,
                                         uint32_t index)
{
    assert_slow(index < block->restart_count);
    return ldb_load_fixed32(block->data + block->entries_len +
                            4 * (size_t)index);
}

struct ldb_block_past; /* entries behind the position, for prev */

struct ldb_block_iter {
    /* To read: as in struct ldb_iterator. */
    bool valid;
    enum ldb_status status; /* OK, CORRUPTION or NO_MEMORY */
    const char *problem;    /* static text where status is not OK */
    struct ldb_slice key;   /* valid until the next move */
    struct ldb_slice value; /* lies in the block */

    /* Private. */
    struct ldb_block block;
    const struct ldb_comparator *comparator;
    bool is_bytewise;
    size_t key_len_min; /* 8 for internal keys, else 0 */
    uint32_t offset;    /* of the current entry, or where decoding failed */
    uint32_t next_offset;
    uint8_t *key_bytes; /* inline_key, or allocated */
    size_t key_capacity;
    struct ldb_block_past *past; /* NULL before the first prev */
    uint8_t inline_key[LDB_BLOCK_ITER_INLINE_KEY];
};

/*
 * user_comparator: the keys are internal keys in its order; NULL: plain keys,
 * bytewise. No block yet: not valid.
 */
void ldb_block_iter_init(struct ldb_block_iter *it,
                         const struct ldb_comparator *user_comparator);
void ldb_block_iter_release(struct ldb_block_iter *it);

/* Goes over to block (copied), on no entry. */
void ldb_block_iter_set(struct ldb_block_iter *it,
                        const struct ldb_block *block);

void ldb_block_iter_seek_first(struct ldb_block_iter *it);
void ldb_block_iter_seek_last(struct ldb_block_iter *it);
/* The first entry >= target, which has key_len_min bytes at least and does not
 * lie in this iterator's key. */
void ldb_block_iter_seek(struct ldb_block_iter *it, struct ldb_slice target);
/* The same, where it is known that the entries at restart points up to first,
 * unless that is 0, are below the target and those behind last are not. */
void ldb_block_iter_seek_between(struct ldb_block_iter *it,
                                 struct ldb_slice target, uint32_t first,
                                 uint32_t last);
/* The entry at a restart point; index < restart_count. */
void ldb_block_iter_seek_restart(struct ldb_block_iter *it, uint32_t index);

/*
 * Seeking in a block of which only the beginning is there as yet, entry by
 * entry from the first one on. To be zeroed but for the target, an internal
 * key, borrowed.
 */
struct ldb_block_scan {
    struct ldb_slice target;
    /* Private: about the entry before, which is below the target. */
    size_t matched;  /* bytes that its user key and the target's share */
    size_t key_len;  /* 0: there is none */
    size_t user_len; /* likewise */
    size_t offset;   /* behind it */
};

enum ldb_block_scan_result {
    LDB_BLOCK_SCAN_FOUND, /* it is at the first entry >= target */
    LDB_BLOCK_SCAN_MORE,  /* the entries in beginning are below the target */
    LDB_BLOCK_SCAN_HARD,  /* to be sought in the whole block */
};

/*
 * Goes on in beginning, the block's first bytes, behind which 8 more can be
 * read; no fewer than in the call before. it, of internal keys, has no block;
 * on FOUND it may only be read and released. The restart array is no entry.
 */
enum ldb_block_scan_result ldb_block_iter_scan(struct ldb_block_iter *it,
                                               struct ldb_block_scan *scan,
                                               struct ldb_slice beginning);

void ldb_block_iter_next(struct ldb_block_iter *it); /* valid on entry */
void ldb_block_iter_prev(struct ldb_block_iter *it); /* valid on entry */

/* Is the entry it stands on (valid) the only one of its block? */
static inline bool ldb_block_iter_is_only(const struct ldb_block_iter *it)
{
    return it->offset == 0 && it->next_offset == it->block.entries_len &&
           it->block.restart_count == 1;
}

#endif
