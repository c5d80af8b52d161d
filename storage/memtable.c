#include "storage/memtable.h"

#include <stdatomic.h>
#include <string.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

/*
 * A node is one piece of the arena: this struct, `height` next pointers, the
 * internal key, the value. Level 0 of an unlinked node chains the nodes that
 * one commit has prepared.
 */
struct ldb_memtable_node {
    uint32_t key_len; /* of the internal key */
    uint32_t value_len;
    uint32_t height;
    _Atomic(struct ldb_memtable_node *) next[];
};

/* Bytes of an arena block: rare system allocations, small beside any write
 * buffer, which is measured in whole blocks. */
#define MEMTABLE_ARENA_BLOCK_SIZE ((size_t)16 * 1024)

/* One in this many nodes grows a level; both libraries' branching. */
#define SKIPLIST_BRANCHING 4

static uint8_t *node_bytes(const struct ldb_memtable_node *node)
{
    union {
        const struct ldb_memtable_node *borrowed;
        uint8_t *bytes;
    } start = {.borrowed = node};

    return start.bytes + sizeof(*node) +
           node->height * sizeof(struct ldb_memtable_node *);
}

struct ldb_slice ldb_memtable_node_key(const struct ldb_memtable_node *node)
{
    return ldb_slice_make(node_bytes(node), node->key_len);
}

static struct ldb_slice node_value(const struct ldb_memtable_node *node)
{
    return ldb_slice_make(node_bytes(node) + node->key_len, node->value_len);
}

static struct ldb_memtable_node *node_next(const struct ldb_memtable_node *node,
                                           uint32_t level)
{
    return atomic_load_explicit(&node->next[level], memory_order_acquire);
}

void ldb_memtable_node_chain(struct ldb_memtable_node *node,
                             struct ldb_memtable_node *next)
{
    atomic_store_explicit(&node->next[0], next, memory_order_relaxed);
}

struct ldb_memtable_node *
ldb_memtable_node_chained(const struct ldb_memtable_node *node)
{
    return atomic_load_explicit(&node->next[0], memory_order_relaxed);
}

static struct ldb_memtable_node *node_alloc(struct ldb_memtable *table,
                                            uint32_t height, size_t key_len,
                                            size_t value_len)
{
    struct ldb_memtable_node *node;
    size_t size = sizeof(*node) + height * sizeof(node->next[0]);

    if (key_len > UINT32_MAX || value_len > UINT32_MAX)
        return NULL;
    node = ldb_arena_alloc_aligned(&table->arena, size + key_len + value_len);
    if (node == NULL)
        return NULL;
    node->key_len = (uint32_t)key_len;
    node->value_len = (uint32_t)value_len;
    node->height = height;
    for (uint32_t i = 0; i < height; i++)
        atomic_init(&node->next[i], NULL);
    return node;
}

enum ldb_status ldb_memtable_create(const struct ldb_comparator *comparator,
                                    uint64_t journal_number,
                                    struct ldb_error *err,
                                    struct ldb_memtable **out)
{
    struct ldb_memtable *table = ldb_mem_zalloc(1, sizeof(*table));

    if (table == NULL)
        return ldb_error_no_memory(err);
    ldb_arena_init(&table->arena, MEMTABLE_ARENA_BLOCK_SIZE);
    atomic_init(&table->refs, 1);
    atomic_init(&table->height, 1);
    atomic_init(&table->entry_count, 0);
    table->comparator = comparator;
    table->journal_number = journal_number;
    table->random = UINT64_C(0xdeadbeef);
    table->head = node_alloc(table, LDB_SKIPLIST_HEIGHT_MAX, 0, 0);
    if (table->head == NULL) {
        ldb_memtable_unref(table);
        return ldb_error_no_memory(err);
    }
    for (uint32_t i = 0; i < LDB_SKIPLIST_HEIGHT_MAX; i++)
        table->before[i] = table->head;
    *out = table;
    return LDB_OK;
}

struct ldb_memtable *ldb_memtable_ref(struct ldb_memtable *table)
{
    atomic_fetch_add_explicit(&table->refs, 1, memory_order_relaxed);
    return table;
}

void ldb_memtable_unref(struct ldb_memtable *table)
{
    if (table == NULL)
        return;
    if (atomic_fetch_sub_explicit(&table->refs, 1, memory_order_acq_rel) != 1)
        return;
    ldb_arena_release(&table->arena);
    ldb_mem_free(table);
}

/* xorshift64: any full-period generator does; heights are not on disk. */
static uint32_t random_height(struct ldb_memtable *table)
{
    uint32_t height = 1;
    uint64_t bits;

    table->random ^= table->random << 13;
    table->random ^= table->random >> 7;
    table->random ^= table->random << 17;
    bits = table->random >> 8;
    while (height < LDB_SKIPLIST_HEIGHT_MAX && bits % SKIPLIST_BRANCHING == 0) {
        height++;
        bits /= SKIPLIST_BRANCHING;
    }
    return height;
}

struct ldb_memtable_node *ldb_memtable_prepare(struct ldb_memtable *table,
                                               uint64_t tag,
                                               struct ldb_slice key,
                                               struct ldb_slice value)
{
    struct ldb_memtable_node *node = node_alloc(
        table, random_height(table), key.len + LDB_TAG_SIZE, value.len);
    uint8_t *p;

    if (node == NULL)
        return NULL;
    p = node_bytes(node);
    if (key.len > 0)
        memcpy(p, key.data, key.len);
    ldb_store_fixed64(p + key.len, tag);
    if (value.len > 0)
        memcpy(p + key.len + LDB_TAG_SIZE, value.data, value.len);
    return node;
}

/* The comparator is a constant for the caller: see find_at_or_after(). */
static inline LDB_ALWAYS_INLINE bool
node_is_less(const struct ldb_memtable_node *node, struct ldb_slice target,
             const struct ldb_comparator *comparator, bool is_bytewise)
{
    struct ldb_slice key = ldb_memtable_node_key(node);

    return is_bytewise ? ldb_internal_compare_bytewise(key, target) < 0
                       : ldb_internal_compare(comparator, key, target) < 0;
}

static inline LDB_ALWAYS_INLINE struct ldb_memtable_node *
find(const struct ldb_memtable *table, struct ldb_slice target,
     struct ldb_memtable_node **before, bool is_bytewise)
{
    struct ldb_memtable_node *at = table->head;
    struct ldb_memtable_node *not_before = NULL;
    uint32_t level =
        atomic_load_explicit(&table->height, memory_order_relaxed) - 1;

    for (;;) {
        struct ldb_memtable_node *next = node_next(at, level);

        /* A node already found to be >= target needs no second comparison. */
        if (next != NULL && next != not_before &&
            node_is_less(next, target, table->comparator, is_bytewise)) {
            at = next;
            continue;
        }
        if (before != NULL)
            before[level] = at;
        if (level == 0)
            return next;
        not_before = next;
        level--;
    }
}

/*
 * The first node >= target, or NULL; before[level] is the last node < target
 * of each level when before is not NULL. Asking once which comparator it is
 * lets the usual one be compiled into the loop.
 */
static struct ldb_memtable_node *
find_at_or_after(const struct ldb_memtable *table, struct ldb_slice target,
                 struct ldb_memtable_node **before)
{
    if (LDB_LIKELY(table->comparator == ldb_comparator_bytewise()))
        return find(table, target, before, true);
    return find(table, target, before, false);
}

/* The last node < target, or the head. NULL target: the last of all. */
static struct ldb_memtable_node *find_before(const struct ldb_memtable *table,
                                             const struct ldb_slice *target)
{
    struct ldb_memtable_node *at = table->head;
    uint32_t level =
        atomic_load_explicit(&table->height, memory_order_relaxed) - 1;

    for (;;) {
        struct ldb_memtable_node *next = node_next(at, level);

        if (next != NULL &&
            (target == NULL ||
             ldb_internal_compare(table->comparator,
                                  ldb_memtable_node_key(next), *target) < 0))
            at = next;
        else if (level == 0)
            return at;
        else
            level--;
    }
}

/* Does key belong right behind the node that was linked last? */
static bool is_after_last_linked(const struct ldb_memtable *table,
                                 struct ldb_slice key)
{
    const struct ldb_memtable_node *at = table->before[0];
    const struct ldb_memtable_node *next;

    if (at == table->head ||
        ldb_internal_compare(table->comparator, ldb_memtable_node_key(at),
                             key) >= 0)
        return false;
    next = atomic_load_explicit(&at->next[0], memory_order_relaxed);
    return next == NULL ||
           ldb_internal_compare(table->comparator, ldb_memtable_node_key(next),
                                key) >= 0;
}

/*
 * table->before is kept from one node to the next: each level's last node
 * that is not behind the node linked last. When the next key belongs right
 * behind that one, as all do that come in order, then no node of any level
 * stands between, and nothing is searched.
 */
void ldb_memtable_link(struct ldb_memtable *table,
                       struct ldb_memtable_node *node)
{
    struct ldb_memtable_node **before = table->before;
    struct ldb_slice key = ldb_memtable_node_key(node);

    if (!is_after_last_linked(table, key))
        (void)find_at_or_after(table, key, before);
    /*
     * A reader that sees the new height early finds NULL at the head's upper
     * levels and goes down: harmless, so relaxed. Up there before is the head,
     * as it was from the start.
     */
    if (node->height >
        atomic_load_explicit(&table->height, memory_order_relaxed))
        atomic_store_explicit(&table->height, node->height,
                              memory_order_relaxed);
    for (uint32_t level = 0; level < node->height; level++) {
        struct ldb_memtable_node *next = atomic_load_explicit(
            &before[level]->next[level], memory_order_relaxed);

        atomic_store_explicit(&node->next[level], next, memory_order_relaxed);
        /* Release: the node's bytes come with the pointer (node_next). */
        atomic_store_explicit(&before[level]->next[level], node,
                              memory_order_release);
        before[level] = node;
    }
    /* One thread links: no read-modify-write is needed. */
    atomic_store_explicit(
        &table->entry_count,
        atomic_load_explicit(&table->entry_count, memory_order_relaxed) + 1,
        memory_order_relaxed);
}

bool ldb_memtable_get(const struct ldb_memtable *table, struct ldb_slice target,
                      uint64_t *out_tag, struct ldb_slice *out_value)
{
    const struct ldb_memtable_node *node =
        find_at_or_after(table, target, NULL);
    struct ldb_slice key;

    if (node == NULL)
        return false;
    key = ldb_memtable_node_key(node);
    if (ldb_compare(table->comparator, ldb_internal_user_key(key),
                    ldb_internal_user_key(target)) != 0)
        return false;
    *out_tag = ldb_internal_tag(key);
    *out_value = node_value(node);
    return true;
}

size_t ldb_memtable_memory_bytes(const struct ldb_memtable *table)
{
    return ldb_arena_memory_bytes(&table->arena);
}

uint64_t ldb_memtable_entry_count(const struct ldb_memtable *table)
{
    return atomic_load_explicit(&table->entry_count, memory_order_relaxed);
}

/* ---- the iterator ---- */

struct memtable_iterator {
    struct ldb_iterator base;
    struct ldb_memtable *table; /* one reference */
    const struct ldb_memtable_node *node;
};

static void iterator_set(struct memtable_iterator *it,
                         const struct ldb_memtable_node *node)
{
    it->node = node;
    it->base.valid = node != NULL;
    if (node != NULL) {
        it->base.key = ldb_memtable_node_key(node);
        it->base.value = node_value(node);
    }
}

static void iterator_seek_first(struct ldb_iterator *base)
{
    struct memtable_iterator *it = (struct memtable_iterator *)base;

    iterator_set(it, node_next(it->table->head, 0));
}

static void iterator_set_before(struct memtable_iterator *it,
                                const struct ldb_slice *target)
{
    const struct ldb_memtable_node *node = find_before(it->table, target);

    iterator_set(it, node == it->table->head ? NULL : node);
}

static void iterator_seek_last(struct ldb_iterator *base)
{
    iterator_set_before((struct memtable_iterator *)base, NULL);
}

static void iterator_seek(struct ldb_iterator *base, struct ldb_slice target)
{
    struct memtable_iterator *it = (struct memtable_iterator *)base;

    iterator_set(it, find_at_or_after(it->table, target, NULL));
}

static void iterator_next(struct ldb_iterator *base)
{
    struct memtable_iterator *it = (struct memtable_iterator *)base;

    iterator_set(it, node_next(it->node, 0));
}

static void iterator_prev(struct ldb_iterator *base)
{
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    struct ldb_slice key = base->key;

    iterator_set_before(it, &key);
}

static void iterator_destroy(struct ldb_iterator *base)
{
    struct memtable_iterator *it = (struct memtable_iterator *)base;

    ldb_memtable_unref(it->table);
    ldb_mem_free(it);
}

static const struct ldb_iterator_ops memtable_iterator_ops = {
    .seek_first = iterator_seek_first,
    .seek_last = iterator_seek_last,
    .seek = iterator_seek,
    .next = iterator_next,
    .prev = iterator_prev,
    .destroy = iterator_destroy,
};

enum ldb_status ldb_memtable_iterator_create(struct ldb_memtable *table,
                                             struct ldb_error *err,
                                             struct ldb_iterator **out)
{
    struct memtable_iterator *it = ldb_mem_zalloc(1, sizeof(*it));

    if (it == NULL)
        return ldb_error_no_memory(err);
    it->base.ops = &memtable_iterator_ops;
    it->table = ldb_memtable_ref(table);
    *out = &it->base;
    return LDB_OK;
}
