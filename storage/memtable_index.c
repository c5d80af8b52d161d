/*
 * Every block is sorted; its first slot holds what it begins with, which never
 * changes and which every target that comes here is behind. A leaf's slots are
 * entries, those of an upper block are blocks.
 *
 * Why readers need no lock: what a slot holds only ever becomes smaller.
 * Inserting moves slots up by one, from the end, and puts the smaller entry in
 * the gap; splitting moves the upper half to a fresh block and lowers the
 * count, and what it leaves behind is greater than all that comes there later.
 * In each slot the pointers are stored before the hint, and loaded after it: so
 * behind a hint that was seen to be below the target stands an entry, or the
 * beginning of a block, that is below it too. Whatever mixture of old and new
 * a search meets, it ends at an entry before its target.
 */
#include "storage/memtable_index.h"

#include "storage/table/common_prefix.h"

/* Slots of a block. Chosen: 16 and 64 took longer to insert into. */
#define FAN 32

struct ldb_memtable_block {
    uint32_t level; /* 0: a leaf; constant */
    _Atomic(uint32_t) count;
    _Atomic(uint64_t) hints[FAN];
    _Atomic(void *) to[FAN]; /* entries or blocks */
    /* FAN in an upper block: its blocks' first entries; none in a leaf. */
    _Atomic(void *) entries[];
};

static struct ldb_memtable_block *block_alloc(struct ldb_arena *arena,
                                              uint32_t level)
{
    const struct ldb_memtable_block *block;
    size_t size = sizeof(*block);

    if (level > 0)
        size += FAN * sizeof(block->entries[0]);
    /* All of this arena's pieces are multiples of 8 bytes: aligned. */
    return ldb_arena_alloc(arena, size);
}

static void block_init(struct ldb_memtable_block *block, uint32_t level)
{
    block->level = level;
    atomic_init(&block->count, 0);
}

static uint32_t block_count(const struct ldb_memtable_block *block)
{
    /* Acquire: that many slots are there. */
    return atomic_load_explicit(&block->count, memory_order_acquire);
}

static uint64_t slot_hint(const struct ldb_memtable_block *block, uint32_t slot)
{
    /* Acquire: the pointer is as new as the hint. */
    return atomic_load_explicit(&block->hints[slot], memory_order_acquire);
}

static void *slot_to(const struct ldb_memtable_block *block, uint32_t slot)
{
    /* Acquire: the bytes of what it points at. */
    return atomic_load_explicit(&block->to[slot], memory_order_acquire);
}

/* What stands in the slot, or at the beginning of the block that does. */
static void *slot_entry(const struct ldb_memtable_block *block, uint32_t slot)
{
    return atomic_load_explicit(block->level > 0 ? &block->entries[slot]
                                                 : &block->to[slot],
                                memory_order_acquire);
}

static void slot_set(struct ldb_memtable_block *block, uint32_t slot,
                     uint64_t hint, void *to, void *entry)
{
    atomic_store_explicit(&block->to[slot], to, memory_order_release);
    if (block->level > 0)
        atomic_store_explicit(&block->entries[slot], entry,
                              memory_order_release);
    atomic_store_explicit(&block->hints[slot], hint, memory_order_release);
}

static void set_count(struct ldb_memtable_block *block, uint32_t count)
{
    atomic_store_explicit(&block->count, count, memory_order_release);
}

struct ldb_memtable_index *ldb_memtable_index_create(struct ldb_arena *arena,
                                                     void *head,
                                                     struct ldb_slice prefix)
{
    struct ldb_memtable_index *index = ldb_arena_alloc(arena, sizeof(*index));
    struct ldb_memtable_block *root = block_alloc(arena, 0);

    if (index == NULL || root == NULL)
        return NULL;
    block_init(root, 0);
    slot_set(root, 0, 0, head, head);
    set_count(root, 1);
    index->prefix = prefix;
    atomic_init(&index->root, root);
    return index;
}

uint64_t ldb_memtable_index_hint(const struct ldb_memtable_index *index,
                                 struct ldb_slice key)
{
    size_t user_len = key.len - LDB_TAG_SIZE;
    size_t skip = index->prefix.len;
    size_t common = user_len < skip ? user_len : skip;
    size_t same = ldb_common_prefix(key.data, index->prefix.data, common);
    uint64_t word;

    assert_slow(key.len >= LDB_TAG_SIZE);
    if (LDB_UNLIKELY(same < common))
        return key.data[same] < index->prefix.data[same] ? 0 : UINT64_MAX;
    if (user_len <= skip)
        return 0;
    /* The tag lets a whole word be read. */
    word = ldb_load_ordered64(key.data + skip);
    if (user_len - skip < 8)
        word &= UINT64_MAX << 8 * (8 - (user_len - skip));
    return word;
}

static inline LDB_ALWAYS_INLINE bool
is_below(const struct ldb_memtable_block *block, uint32_t slot,
         struct ldb_memtable_target *target, ldb_memtable_is_before is_before)
{
    uint64_t hint = slot_hint(block, slot);

    if (LDB_LIKELY(hint != target->hint))
        return hint < target->hint;
    target->ties++;
    return is_before(slot_entry(block, slot), target);
}

/* The last slot below target, which the first one is. */
static uint32_t last_below(const struct ldb_memtable_block *block,
                           struct ldb_memtable_target *target,
                           ldb_memtable_is_before is_before)
{
    uint32_t slot = 0;

    for (uint32_t left = block_count(block); left > 1;) {
        uint32_t half = left / 2;

        /* A mask, not a branch: which way it goes cannot be foreseen. */
        slot +=
            half & -(uint32_t)is_below(block, slot + half, target, is_before);
        left -= half;
    }
    return slot;
}

static void path_set(struct ldb_memtable_path *path,
                     struct ldb_memtable_block *block, uint32_t slot)
{
    assert(block->level < LDB_MEMTABLE_INDEX_LEVELS);
    path->blocks[block->level] = block;
    path->slots[block->level] = slot;
}

static struct ldb_memtable_block *
begin_path(const struct ldb_memtable_index *index, bool is_run,
           struct ldb_memtable_path *path)
{
    struct ldb_memtable_block *root =
        atomic_load_explicit(&index->root, memory_order_acquire);

    if (path != NULL) {
        path->height = root->level + 1;
        path->is_run = is_run;
    }
    return root;
}

void *ldb_memtable_index_find(const struct ldb_memtable_index *index,
                              struct ldb_memtable_target *target,
                              ldb_memtable_is_before is_before,
                              struct ldb_memtable_path *out_path)
{
    struct ldb_memtable_block *block = begin_path(index, false, out_path);

    for (;;) {
        uint32_t slot = last_below(block, target, is_before);
        void *to = slot_to(block, slot);

        if (out_path != NULL)
            path_set(out_path, block, slot);
        if (block->level == 0)
            return to;
        block = to;
    }
}

void *ldb_memtable_index_last(const struct ldb_memtable_index *index,
                              struct ldb_memtable_path *out_path)
{
    struct ldb_memtable_block *block = begin_path(index, true, out_path);

    for (;;) {
        uint32_t slot = block_count(block) - 1;
        void *to = slot_to(block, slot);

        if (out_path != NULL)
            path_set(out_path, block, slot);
        if (block->level == 0)
            return to;
        block = to;
    }
}

static bool is_next(const struct ldb_memtable_path *path, bool is_last,
                    struct ldb_memtable_target *target,
                    ldb_memtable_is_before is_before)
{
    const struct ldb_memtable_block *leaf;
    uint32_t slot;

    if (path->height == 0)
        return false;
    leaf = path->blocks[0];
    slot = path->slots[0];
    assert(slot > 0);
    if (!is_below(leaf, slot, target, is_before))
        return false;
    if (slot + 1 < block_count(leaf))
        return !is_below(leaf, slot + 1, target, is_before);
    return is_last;
}

bool ldb_memtable_index_is_next(struct ldb_memtable_path *path, bool is_last,
                                struct ldb_memtable_target *target,
                                ldb_memtable_is_before is_before)
{
    path->is_run = is_next(path, is_last, target, is_before);
    return path->is_run;
}

/* ---- inserting ---- */

/* Into a block with room, before what stands in the slot. */
static void block_insert(struct ldb_memtable_block *block, uint32_t slot,
                         uint64_t hint, void *to, void *entry)
{
    uint32_t count = block_count(block);

    assert(slot >= 1 && slot <= count && count < FAN);
    for (uint32_t i = count; i > slot; i--)
        slot_set(block, i, slot_hint(block, i - 1), slot_to(block, i - 1),
                 slot_entry(block, i - 1));
    slot_set(block, slot, hint, to, entry);
    set_count(block, count + 1);
}

/*
 * Inserts into a full block: fresh, which nobody sees yet, gets what is behind
 * keep, the entry's own slot in a run: keys that come in order leave blocks
 * behind that are full, not half full.
 */
static void block_split(struct ldb_memtable_block *block, uint32_t slot,
                        uint64_t hint, void *to, void *entry, bool is_run,
                        struct ldb_memtable_block *fresh)
{
    uint32_t keep = is_run ? slot : FAN / 2;
    uint32_t used = 0;

    block_init(fresh, block->level);
    if (is_run)
        slot_set(fresh, used++, hint, to, entry);
    for (uint32_t i = keep; i < FAN; i++)
        slot_set(fresh, used++, slot_hint(block, i), slot_to(block, i),
                 slot_entry(block, i));
    set_count(fresh, used);
    set_count(block, keep);
    if (is_run)
        return;
    if (slot <= keep)
        block_insert(block, slot, hint, to, entry);
    else
        block_insert(fresh, slot - keep, hint, to, entry);
}

/* A block for each level of the path that splits, and for a new root. */
static bool alloc_fresh(struct ldb_arena *arena,
                        const struct ldb_memtable_path *path,
                        struct ldb_memtable_block **out, uint32_t *out_count)
{
    uint32_t count = 0;

    while (count < path->height && block_count(path->blocks[count]) == FAN)
        count++;
    if (count > 0 && count == path->height)
        count++;
    if (count > LDB_MEMTABLE_INDEX_LEVELS)
        return false;
    for (uint32_t i = 0; i < count; i++) {
        out[i] = block_alloc(arena, i);
        if (out[i] == NULL)
            return false;
    }
    *out_count = count;
    return true;
}

/* The tree grows by a level: root gets the old one and what split off it. */
static void grow(struct ldb_memtable_index *index,
                 struct ldb_memtable_block *root,
                 struct ldb_memtable_block *old, uint64_t hint,
                 struct ldb_memtable_block *split)
{
    block_init(root, old->level + 1);
    slot_set(root, 0, 0, old, slot_entry(old, 0));
    slot_set(root, 1, hint, split, slot_entry(split, 0));
    set_count(root, 2);
    /* Release: the block's slots come with the pointer. */
    atomic_store_explicit(&index->root, root, memory_order_release);
}

bool ldb_memtable_index_insert(struct ldb_memtable_index *index,
                               struct ldb_arena *arena,
                               struct ldb_memtable_path *path, uint64_t hint,
                               void *entry)
{
    struct ldb_memtable_block *fresh[LDB_MEMTABLE_INDEX_LEVELS];
    uint32_t fresh_count;
    void *to = entry;

    assert(path->height > 0);
    if (!alloc_fresh(arena, path, fresh, &fresh_count)) {
        path->height = 0;
        return false;
    }
    if (LDB_LIKELY(fresh_count == 0)) {
        path->slots[0]++;
        block_insert(path->blocks[0], path->slots[0], hint, to, entry);
        return true;
    }
    for (uint32_t level = 0;; level++) {
        if (level == path->height) {
            grow(index, fresh[level], path->blocks[level - 1], hint,
                 fresh[level - 1]);
            break;
        }
        if (level == fresh_count) {
            block_insert(path->blocks[level], path->slots[level] + 1, hint, to,
                         entry);
            break;
        }
        block_split(path->blocks[level], path->slots[level] + 1, hint, to,
                    entry, path->is_run, fresh[level]);
        hint = slot_hint(fresh[level], 0);
        to = fresh[level];
        entry = slot_entry(fresh[level], 0);
    }
    path->height = 0;
    return true;
}
