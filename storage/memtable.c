#include "storage/memtable.h"

#include <stdatomic.h>
#include <string.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/journal/write_batch.h"
#include "storage/table/common_prefix.h"

/*
 * A node is one piece of the arena: this struct, the internal key, the value.
 * The next pointer of an unlinked node chains the nodes that one commit has
 * prepared.
 */
struct ldb_memtable_node {
    _Atomic(struct ldb_memtable_node *) next;
    uint32_t key_len; /* of the internal key */
    uint32_t value_len;
    uint8_t bytes[];
};

/* Bytes of an arena block: rare system allocations, small beside any write
 * buffer, which is measured in whole blocks. */
#define MEMTABLE_ARENA_BLOCK_SIZE ((size_t)16 * 1024)

/* Nodes and the index's blocks are multiples of it, so all are aligned. */
#define NODE_ALIGN 8

/* Bytes; of the usual processors. */
#define CACHE_LINE 64

/*
 * The prefix of the hints is chosen once there are that many entries, and
 * looked at again at each further multiple: chosen. Rebuilding the index then
 * costs a fraction of what building it did.
 */
#define FIRST_LOOK  64
#define LOOK_FACTOR 8

/* It is chosen anew when one in this many hints did not help: chosen. */
#define VAGUE_FRACTION 8

/* One in so many entries at either end of the keys has no say in it: chosen. */
#define OUTLIER_FRACTION 8

struct ldb_slice ldb_memtable_node_key(const struct ldb_memtable_node *node)
{
    return ldb_slice_make(node->bytes, node->key_len);
}

static struct ldb_slice node_value(const struct ldb_memtable_node *node)
{
    return ldb_slice_make(node->bytes + node->key_len, node->value_len);
}

static struct ldb_memtable_node *node_next(const struct ldb_memtable_node *node)
{
    return atomic_load_explicit(&node->next, memory_order_acquire);
}

void ldb_memtable_node_chain(struct ldb_memtable_node *node,
                             struct ldb_memtable_node *next)
{
    atomic_store_explicit(&node->next, next, memory_order_relaxed);
}

struct ldb_memtable_node *
ldb_memtable_node_chained(const struct ldb_memtable_node *node)
{
    return atomic_load_explicit(&node->next, memory_order_relaxed);
}

static struct ldb_memtable_node *node_alloc(struct ldb_memtable *table,
                                            size_t key_len, size_t value_len)
{
    struct ldb_memtable_node *node;
    size_t size;

    if (key_len > UINT32_MAX || value_len > UINT32_MAX)
        return NULL;
    size = (sizeof(*node) + key_len + value_len + NODE_ALIGN - 1) / NODE_ALIGN *
           NODE_ALIGN;
    node = ldb_arena_alloc(&table->arena, size);
    if (node == NULL)
        return NULL;
    atomic_init(&node->next, NULL);
    node->key_len = (uint32_t)key_len;
    node->value_len = (uint32_t)value_len;
    return node;
}

enum ldb_status ldb_memtable_create(const struct ldb_comparator *comparator,
                                    uint64_t journal_number,
                                    struct ldb_error *err,
                                    struct ldb_memtable **out)
{
    struct ldb_memtable *table = ldb_mem_zalloc(1, sizeof(*table));
    struct ldb_memtable_index *index = NULL;

    if (table == NULL)
        return ldb_error_no_memory(err);
    ldb_arena_init(&table->arena, MEMTABLE_ARENA_BLOCK_SIZE);
    atomic_init(&table->refs, 1);
    atomic_init(&table->entry_count, 0);
    table->comparator = comparator;
    table->journal_number = journal_number;
    table->look_at = FIRST_LOOK;
    table->head = node_alloc(table, 0, 0);
    if (table->head != NULL)
        index = ldb_memtable_index_create(&table->arena, table->head,
                                          ldb_slice_str(""));
    if (index == NULL) {
        ldb_memtable_unref(table);
        return ldb_error_no_memory(err);
    }
    atomic_init(&table->index, index);
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

struct ldb_memtable_node *ldb_memtable_prepare(struct ldb_memtable *table,
                                               uint64_t tag,
                                               struct ldb_slice key,
                                               struct ldb_slice value)
{
    struct ldb_memtable_node *node =
        node_alloc(table, key.len + LDB_TAG_SIZE, value.len);
    uint8_t *p;

    if (node == NULL)
        return NULL;
    p = node->bytes;
    if (key.len > 0)
        memcpy(p, key.data, key.len);
    ldb_store_fixed64(p + key.len, tag);
    if (value.len > 0)
        memcpy(p + key.len + LDB_TAG_SIZE, value.data, value.len);
    return node;
}

/* ---- searching ---- */

static bool is_before(const void *entry,
                      const struct ldb_memtable_target *target)
{
    return ldb_internal_compare(target->comparator,
                                ldb_memtable_node_key(entry), target->key) < 0;
}

/* Under a foreign order no hint is known: all are equal, keys are compared. */
static struct ldb_memtable_target
make_target(const struct ldb_memtable *table,
            const struct ldb_memtable_index *index, struct ldb_slice key)
{
    bool is_bytewise = table->comparator == ldb_comparator_bytewise();

    return (struct ldb_memtable_target){
        .hint = is_bytewise ? ldb_memtable_index_hint(index, key) : 0,
        .key = key,
        .comparator = table->comparator,
    };
}

/* From at, which is before target, to the last node that is. *out_next is the
 * one behind it. */
static struct ldb_memtable_node *
walk_to_last_before(struct ldb_memtable_node *at,
                    const struct ldb_memtable_target *target,
                    struct ldb_memtable_node **out_next)
{
    for (;;) {
        struct ldb_memtable_node *next = node_next(at);

        if (next == NULL || !is_before(next, target)) {
            *out_next = next;
            return at;
        }
        at = next;
    }
}

/* The last node < target, or the head; *out_next is the one behind it. */
static struct ldb_memtable_node *
find_before(const struct ldb_memtable *table, struct ldb_slice key,
            struct ldb_memtable_node **out_next)
{
    /* Acquire: pairs with choose_prefix(). */
    const struct ldb_memtable_index *index =
        atomic_load_explicit(&table->index, memory_order_acquire);
    struct ldb_memtable_target target = make_target(table, index, key);

    return walk_to_last_before(
        ldb_memtable_index_find(index, &target, is_before, NULL), &target,
        out_next);
}

/* The first node >= target, or NULL. */
static struct ldb_memtable_node *
find_at_or_after(const struct ldb_memtable *table, struct ldb_slice key)
{
    struct ldb_memtable_node *next;

    (void)find_before(table, key, &next);
    return next;
}

/* The last node of all, or the head. */
static struct ldb_memtable_node *find_last(const struct ldb_memtable *table)
{
    const struct ldb_memtable_index *index =
        atomic_load_explicit(&table->index, memory_order_acquire);
    struct ldb_memtable_node *at = ldb_memtable_index_last(index, NULL);
    struct ldb_memtable_node *next;

    while ((next = node_next(at)) != NULL)
        at = next;
    return at;
}

/* ---- linking ---- */

/* The user key of the nth node behind one, which is moved there. */
static struct ldb_slice skip_nodes(const struct ldb_memtable_node **node,
                                   uint64_t n)
{
    for (uint64_t i = 0; i < n; i++)
        *node = node_next(*node);
    return ldb_internal_user_key(ldb_memtable_node_key(*node));
}

/* Bytes that most user keys begin with: those but for the outliers. */
static struct ldb_slice common_prefix(const struct ldb_memtable *table,
                                      uint64_t count)
{
    const struct ldb_memtable_node *node = table->head;
    uint64_t outliers = count / OUTLIER_FRACTION;
    struct ldb_slice low = skip_nodes(&node, outliers + 1);
    struct ldb_slice high = skip_nodes(&node, count - 2 * outliers - 1);

    low.len = ldb_common_prefix(low.data, high.data,
                                low.len < high.len ? low.len : high.len);
    return low;
}

/* An index of all nodes with hints behind prefix, or NULL on no memory. */
static struct ldb_memtable_index *build_index(struct ldb_memtable *table,
                                              struct ldb_slice prefix)
{
    struct ldb_memtable_index *index =
        ldb_memtable_index_create(&table->arena, table->head, prefix);
    struct ldb_memtable_node *node = table->head;

    if (index == NULL)
        return NULL;
    while ((node = node_next(node)) != NULL) {
        uint64_t hint =
            ldb_memtable_index_hint(index, ldb_memtable_node_key(node));

        if (table->path.height == 0)
            (void)ldb_memtable_index_last(index, &table->path);
        if (!ldb_memtable_index_insert(index, &table->arena, &table->path, hint,
                                       node))
            return NULL;
    }
    return index;
}

/*
 * Gives the hints the prefix that fits the keys there are. Readers go on in
 * the old index until they see the new one.
 */
static LDB_NEVER_INLINE void choose_prefix(struct ldb_memtable *table,
                                           uint64_t count)
{
    struct ldb_memtable_index *index =
        atomic_load_explicit(&table->index, memory_order_relaxed);
    struct ldb_slice prefix = common_prefix(table, count);

    if (ldb_slice_equal(prefix, index->prefix))
        return;
    table->path.height = 0;
    index = build_index(table, prefix);
    table->path.height = 0;
    if (index == NULL)
        return; /* the old one does, if slower */
    table->index_lacks = false;
    atomic_store_explicit(&table->index, index, memory_order_release);
}

/*
 * One node more. A hint is vague when a search found it equal to others, or
 * when it is that of all keys before or behind the prefix's.
 */
static void note_linked(struct ldb_memtable *table,
                        const struct ldb_memtable_target *target)
{
    /* One thread links: no read-modify-write is needed. */
    uint64_t count =
        atomic_load_explicit(&table->entry_count, memory_order_relaxed) + 1;

    atomic_store_explicit(&table->entry_count, count, memory_order_relaxed);
    table->vague_hints +=
        !table->path.is_run &&
        (target->ties > 0 || target->hint == 0 || target->hint == UINT64_MAX);
    if (LDB_LIKELY(count < table->look_at))
        return;
    table->look_at *= LOOK_FACTOR;
    if (table->vague_hints > count / VAGUE_FRACTION &&
        table->comparator == ldb_comparator_bytewise())
        choose_prefix(table, count);
    table->vague_hints = 0;
}

/* The last node before target; table->path leads to it. */
static struct ldb_memtable_node *
find_place(struct ldb_memtable *table, const struct ldb_memtable_index *index,
           struct ldb_memtable_target *target)
{
    struct ldb_memtable_node *at = table->linked_last;
    struct ldb_memtable_node *next;

    /* Keys that come in order need no search. */
    if (at != NULL && !table->index_lacks &&
        ldb_memtable_index_is_next(
            &table->path,
            atomic_load_explicit(&at->next, memory_order_relaxed) == NULL,
            target, is_before))
        return at;
    at = ldb_memtable_index_find(index, target, is_before, &table->path);
    /* An index of all nodes has found the last one before: its successor,
     * likely a cache miss, is not looked at. */
    return LDB_LIKELY(!table->index_lacks)
               ? at
               : walk_to_last_before(at, target, &next);
}

void ldb_memtable_link(struct ldb_memtable *table,
                       struct ldb_memtable_node *node)
{
    struct ldb_memtable_index *index =
        atomic_load_explicit(&table->index, memory_order_relaxed);
    struct ldb_memtable_target target =
        make_target(table, index, ldb_memtable_node_key(node));
    struct ldb_memtable_node *before = find_place(table, index, &target);

    atomic_store_explicit(
        &node->next, atomic_load_explicit(&before->next, memory_order_relaxed),
        memory_order_relaxed);
    /* Release: the node's bytes come with the pointer (node_next). */
    atomic_store_explicit(&before->next, node, memory_order_release);
    if (!ldb_memtable_index_insert(index, &table->arena, &table->path,
                                   target.hint, node))
        table->index_lacks = true;
    table->linked_last = node;
    note_linked(table, &target);
}

enum ldb_status ldb_memtable_insert_batch(struct ldb_memtable *table,
                                          struct ldb_slice record,
                                          ldb_sequence first,
                                          struct ldb_error *err)
{
    struct ldb_batch_cursor cursor = ldb_batch_cursor_make(record);
    struct ldb_batch_op op;

    while (ldb_batch_cursor_next(&cursor, &op)) {
        struct ldb_memtable_node *node = ldb_memtable_prepare(
            table, ldb_tag_make(first++, op.kind), op.key, op.value);

        if (node == NULL)
            return ldb_error_no_memory(err);
        ldb_memtable_link(table, node);
    }
    return LDB_OK;
}

bool ldb_memtable_get(const struct ldb_memtable *table, struct ldb_slice target,
                      uint64_t *out_tag, struct ldb_slice *out_value)
{
    const struct ldb_memtable_node *node = find_at_or_after(table, target);
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

    iterator_set(it, node_next(it->table->head));
}

static void iterator_set_unless_head(struct memtable_iterator *it,
                                     const struct ldb_memtable_node *node)
{
    iterator_set(it, node == it->table->head ? NULL : node);
}

static void iterator_seek_last(struct ldb_iterator *base)
{
    struct memtable_iterator *it = (struct memtable_iterator *)base;

    iterator_set_unless_head(it, find_last(it->table));
}

static void iterator_seek(struct ldb_iterator *base, struct ldb_slice target)
{
    struct memtable_iterator *it = (struct memtable_iterator *)base;

    iterator_set(it, find_at_or_after(it->table, target));
}

/*
 * Nodes stand in memory as they came, so each step is a cache miss: two ahead
 * it is begun while the caller works. The next node's first line, which says
 * where the one behind it is, was asked for a step ago.
 */
static void prefetch_behind(const struct ldb_memtable_node *node)
{
    const struct ldb_memtable_node *next = node_next(node);

    if (next == NULL)
        return;
    __builtin_prefetch(node_next(next));
    __builtin_prefetch(next->bytes + CACHE_LINE);
    __builtin_prefetch(next->bytes + 2 * CACHE_LINE);
}

static void iterator_next(struct ldb_iterator *base)
{
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    const struct ldb_memtable_node *node = node_next(it->node);

    if (node != NULL)
        prefetch_behind(node);
    iterator_set(it, node);
}

static void iterator_prev(struct ldb_iterator *base)
{
    struct memtable_iterator *it = (struct memtable_iterator *)base;
    struct ldb_memtable_node *next;

    iterator_set_unless_head(it, find_before(it->table, base->key, &next));
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
