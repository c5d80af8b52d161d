/*
 * The iterator of one table: a block iterator over the index and one over the
 * data block it points to, both within the struct, so that going from block to
 * block allocates nothing but what the block itself needs.
 */
#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/table/table_reader_internal.h"

struct table_iterator {
    struct ldb_iterator base;
    struct ldb_table *table;
    struct ldb_table_read read;
    struct ldb_read_ahead *ahead; /* NULL: none */
    bool has_block; /* false in an entry of the index: damage, skipped */
    struct ldb_held_block held; /* where has_block */
    void (*release)(void *context);
    void *context;
    struct ldb_block_iter index;
    struct ldb_block_iter block;
    /* For blocks that come one after another and are not cached. */
    uint8_t scratch[LDB_BLOCK_SCRATCH_SIZE];
};

static struct table_iterator *table_iterator_of(struct ldb_iterator *it)
{
    return (struct table_iterator *)it;
}

static void drop_block(struct table_iterator *t)
{
    if (t->has_block)
        ldb_table_drop_block(t->table, &t->held);
    t->has_block = false;
}

static inline void publish(struct table_iterator *t)
{
    t->base.valid = true;
    t->base.key = t->block.key;
    t->base.value = t->block.value;
}

static bool may_skip(const struct table_iterator *t, enum ldb_status status)
{
    return t->read.skip_damage && status == LDB_CORRUPTION;
}

/* The index iterator is not valid: the end, or damage. */
static void stop_at_index(struct table_iterator *t)
{
    t->base.valid = false;
    t->base.status = may_skip(t, t->index.status) ? LDB_OK : t->index.status;
    if (t->base.status != LDB_OK)
        (void)ldb_table_block_error(t->table, t->table->index_offset, &t->index,
                                    &t->base.error);
}

/* Goes to the block of the index entry; false: stopped, as said in base. A
 * damaged block may be skipped: true, without a block. */
static bool enter_block(struct table_iterator *t)
{
    struct ldb_block_scratch scratch = {.bytes = t->scratch,
                                        .size = sizeof(t->scratch)};
    struct ldb_block_handle handle;
    enum ldb_status s;

    if (!t->index.valid) {
        stop_at_index(t);
        return false;
    }
    s = ldb_table_read_handle(t->table, t->index.value, &t->base.error,
                              &handle);
    if (s == LDB_OK && t->has_block && t->held.offset == handle.offset)
        return true;
    drop_block(t);
    if (s == LDB_OK)
        s = ldb_table_hold_block(t->table, &t->read, t->ahead, handle, scratch,
                                 &t->base.error, &t->held);
    if (may_skip(t, s))
        return true;
    if (s != LDB_OK) {
        t->base.valid = false;
        t->base.status = s;
        return false;
    }
    t->has_block = true;
    ldb_block_iter_set(&t->block, &t->held.block);
    return true;
}

/* Whether the block iterator only came to its end; else publishes or fails. */
static bool is_block_passed(struct table_iterator *t)
{
    if (!t->has_block)
        return true;
    if (LDB_LIKELY(t->block.valid)) {
        publish(t);
        return false;
    }
    if (t->block.status == LDB_OK || may_skip(t, t->block.status))
        return true;
    t->base.valid = false;
    t->base.status = ldb_table_block_error(t->table, t->held.offset, &t->block,
                                           &t->base.error);
    return false;
}

/* ---- bounds: the index tells where the blocks within them begin and end ----
 */

/* <0, 0, >0: the index entry stands before, at or after the bound. */
static int compare_index(const struct table_iterator *t, struct ldb_slice bound)
{
    return ldb_internal_compare(t->table->options->comparator, t->index.key,
                                bound);
}

/* All that follows the index entry's block is at or after the upper bound. */
static bool is_last_block(const struct table_iterator *t)
{
    return t->read.bounds != NULL && t->read.bounds->upper.len > 0 &&
           compare_index(t, t->read.bounds->upper) >= 0;
}

/* All of the index entry's block is before the lower bound. */
static bool is_before_bounds(const struct table_iterator *t)
{
    return t->read.bounds != NULL && t->read.bounds->lower.len > 0 &&
           t->index.valid && compare_index(t, t->read.bounds->lower) < 0;
}

static void stop_at_bound(struct table_iterator *t)
{
    t->base.valid = false;
    t->base.status = LDB_OK;
}

/* To the first block within the bounds. */
static void seek_index_first(struct table_iterator *t)
{
    if (t->read.bounds != NULL && t->read.bounds->lower.len > 0)
        ldb_table_index_seek(&t->table->ready_index, &t->index,
                             t->read.bounds->lower);
    else
        ldb_block_iter_seek_first(&t->index);
}

/* To the last one. */
static void seek_index_last(struct table_iterator *t)
{
    if (t->read.bounds != NULL && t->read.bounds->upper.len > 0) {
        ldb_table_index_seek(&t->table->ready_index, &t->index,
                             t->read.bounds->upper);
        if (t->index.valid || t->index.status != LDB_OK)
            return;
    }
    ldb_block_iter_seek_last(&t->index);
}

/* To the block within the bounds in which the target is, or would be. */
static void seek_index(struct table_iterator *t, struct ldb_slice target)
{
    const struct ldb_comparator *cmp = t->table->options->comparator;
    const struct ldb_key_bounds *bounds = t->read.bounds;

    if (bounds != NULL && bounds->upper.len > 0 &&
        ldb_internal_compare(cmp, target, bounds->upper) > 0)
        target = bounds->upper;
    if (bounds != NULL && bounds->lower.len > 0 &&
        ldb_internal_compare(cmp, target, bounds->lower) < 0)
        target = bounds->lower;
    ldb_table_index_seek(&t->table->ready_index, &t->index, target);
}

/* ---- moves ---- */

static void settle_forward(struct table_iterator *t)
{
    while (is_block_passed(t)) {
        if (is_last_block(t)) {
            stop_at_bound(t);
            return;
        }
        ldb_block_iter_next(&t->index);
        if (!enter_block(t))
            return;
        if (t->has_block)
            ldb_block_iter_seek_first(&t->block);
    }
}

static void settle_backward(struct table_iterator *t)
{
    while (is_block_passed(t)) {
        ldb_block_iter_prev(&t->index);
        if (is_before_bounds(t)) {
            stop_at_bound(t);
            return;
        }
        if (!enter_block(t))
            return;
        if (t->has_block)
            ldb_block_iter_seek_last(&t->block);
    }
}

static void table_seek_first(struct ldb_iterator *it)
{
    struct table_iterator *t = table_iterator_of(it);

    t->base.status = LDB_OK;
    seek_index_first(t);
    if (enter_block(t)) {
        if (t->has_block)
            ldb_block_iter_seek_first(&t->block);
        settle_forward(t);
    }
}

static void table_seek_last(struct ldb_iterator *it)
{
    struct table_iterator *t = table_iterator_of(it);

    t->base.status = LDB_OK;
    seek_index_last(t);
    if (enter_block(t)) {
        if (t->has_block)
            ldb_block_iter_seek_last(&t->block);
        settle_backward(t);
    }
}

static void table_seek(struct ldb_iterator *it, struct ldb_slice target)
{
    struct table_iterator *t = table_iterator_of(it);

    assert(target.len >= LDB_TAG_SIZE);
    t->base.status = LDB_OK;
    seek_index(t, target);
    if (enter_block(t)) {
        if (t->has_block)
            ldb_block_iter_seek(&t->block, target);
        settle_forward(t);
    }
}

static void table_next(struct ldb_iterator *it)
{
    struct table_iterator *t = table_iterator_of(it);

    ldb_block_iter_next(&t->block);
    if (LDB_LIKELY(t->block.valid))
        publish(t);
    else
        settle_forward(t);
}

static void table_prev(struct ldb_iterator *it)
{
    struct table_iterator *t = table_iterator_of(it);

    ldb_block_iter_prev(&t->block);
    if (LDB_LIKELY(t->block.valid))
        publish(t);
    else
        settle_backward(t);
}

/* Only what this iterator has read as it is stored, and checked. */
static bool table_stored(struct ldb_iterator *it, struct ldb_slice *out)
{
    struct table_iterator *t = table_iterator_of(it);

    if (!t->read.verify_checksums || !t->has_block || t->held.raw.len == 0 ||
        !ldb_block_iter_is_only(&t->block))
        return false;
    *out = t->held.raw;
    return true;
}

static void table_destroy(struct ldb_iterator *it)
{
    struct table_iterator *t = table_iterator_of(it);

    drop_block(t);
    ldb_block_iter_release(&t->index);
    ldb_block_iter_release(&t->block);
    ldb_read_ahead_close(t->ahead);
    if (t->release != NULL)
        t->release(t->context);
    ldb_mem_free(t);
}

static const struct ldb_iterator_ops table_ops = {
    .seek_first = table_seek_first,
    .seek_last = table_seek_last,
    .seek = table_seek,
    .next = table_next,
    .prev = table_prev,
    .stored = table_stored,
    .destroy = table_destroy,
};

enum ldb_status ldb_table_iterator_create_with(
    struct ldb_table *table, const struct ldb_table_read *read,
    struct ldb_read_ahead *ahead, void (*release)(void *context), void *context,
    struct ldb_error *err, struct ldb_iterator **out)
{
    struct table_iterator *t = ldb_mem_alloc(1, sizeof(*t));

    if (t == NULL)
        return ldb_error_no_memory(err);
    /* What follows is initialised by its own functions, or not at all. */
    memset(t, 0, offsetof(struct table_iterator, index));
    t->base.ops = &table_ops;
    t->table = table;
    t->read = *read;
    t->ahead = ahead;
    t->release = release;
    t->context = context;
    ldb_block_iter_init(&t->index, table->options->comparator);
    ldb_block_iter_set(&t->index, &table->index);
    ldb_block_iter_init(&t->block, table->options->comparator);
    *out = &t->base;
    return LDB_OK;
}

enum ldb_status ldb_table_iterator_create(struct ldb_table *table,
                                          const struct ldb_table_read *read,
                                          struct ldb_error *err,
                                          struct ldb_iterator **out)
{
    return ldb_table_iterator_create_with(table, read, NULL, NULL, NULL, err,
                                          out);
}
