#include "storage/base/arena.h"

#include <stdalign.h>
#include <string.h>

#include "storage/base/checked.h"
#include "storage/base/mem.h"

/* LevelDB's arena block. */
#define DEFAULT_BLOCK_SIZE 4096

/*
 * A request over block_size / 4 gets a block of its own, so that at most a
 * quarter of a block is left unused when a fresh one is begun.
 */
#define OWN_BLOCK_FRACTION 4

struct ldb_arena_block {
    struct ldb_arena_block *older;
    size_t size; /* of bytes */
    alignas(max_align_t) uint8_t bytes[];
};

static void count_bytes(struct ldb_arena *arena, size_t bytes)
{
    atomic_fetch_add_explicit(&arena->memory_bytes, bytes,
                              memory_order_relaxed);
}

static struct ldb_arena_block *add_block(struct ldb_arena *arena, size_t size)
{
    struct ldb_arena_block *block;
    size_t total;

    if (!ldb_size_add(sizeof(*block), size, &total))
        return NULL;
    block = ldb_mem_alloc(total, 1);
    if (block == NULL)
        return NULL;
    block->size = size;
    block->older = arena->blocks;
    arena->blocks = block;
    count_bytes(arena, total);
    return block;
}

/* The current block has no room: a block of its own, or a fresh one. */
static void *alloc_slow(struct ldb_arena *arena, size_t size)
{
    struct ldb_arena_block *block;

    if (size > arena->block_size / OWN_BLOCK_FRACTION) {
        block = add_block(arena, size);
        return block == NULL ? NULL : block->bytes;
    }
    block = add_block(arena, arena->block_size);
    if (block == NULL)
        return NULL;
    arena->next = block->bytes + size;
    arena->left = arena->block_size - size;
    return block->bytes;
}

void ldb_arena_init(struct ldb_arena *arena, size_t block_size)
{
    arena->blocks = NULL;
    arena->next = NULL;
    arena->left = 0;
    arena->block_size = block_size == 0 ? DEFAULT_BLOCK_SIZE : block_size;
    atomic_init(&arena->memory_bytes, 0);
}

void ldb_arena_release(struct ldb_arena *arena)
{
    struct ldb_arena_block *block = arena->blocks;

    while (block != NULL) {
        struct ldb_arena_block *older = block->older;

        ldb_mem_free(block);
        block = older;
    }
    ldb_arena_init(arena, arena->block_size);
}

void ldb_arena_clear(struct ldb_arena *arena)
{
    struct ldb_arena_block *kept = NULL;
    struct ldb_arena_block **link = &arena->blocks;

    while (*link != NULL && kept == NULL) {
        struct ldb_arena_block *block = *link;

        if (block->size == arena->block_size) {
            kept = block;
            *link = block->older;
        } else {
            link = &block->older;
        }
    }
    ldb_arena_release(arena);
    if (kept == NULL)
        return;
    kept->older = NULL;
    arena->blocks = kept;
    arena->next = kept->bytes;
    arena->left = kept->size;
    count_bytes(arena, sizeof(*kept) + kept->size);
}

void *ldb_arena_alloc(struct ldb_arena *arena, size_t size)
{
    void *bytes;

    if (size == 0)
        size = 1;
    if (size > arena->left)
        return alloc_slow(arena, size);
    bytes = arena->next;
    arena->next += size;
    arena->left -= size;
    return bytes;
}

void *ldb_arena_alloc_aligned(struct ldb_arena *arena, size_t size)
{
    size_t past = (uintptr_t)arena->next % alignof(max_align_t);
    size_t pad = past == 0 ? 0 : alignof(max_align_t) - past;
    void *bytes;

    if (size == 0)
        size = 1;
    /* A block's first byte is aligned for any object. */
    if (pad > arena->left || size > arena->left - pad)
        return alloc_slow(arena, size);
    bytes = arena->next + pad;
    arena->next += pad + size;
    arena->left -= pad + size;
    return bytes;
}

void *ldb_arena_dup(struct ldb_arena *arena, struct ldb_slice bytes)
{
    void *copy = ldb_arena_alloc(arena, bytes.len);

    if (copy != NULL && bytes.len > 0)
        memcpy(copy, bytes.data, bytes.len);
    return copy;
}

size_t ldb_arena_memory_bytes(const struct ldb_arena *arena)
{
    return atomic_load_explicit(&arena->memory_bytes, memory_order_relaxed);
}
