#include "storage/version/level_iterator.h"

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/version.h"

/* The concatenation of a level's tables; inner stands in files[index]. */
struct level_iterator {
    struct ldb_iterator base;
    const struct ldb_comparator *comparator;
    struct ldb_file_meta *const *files;
    size_t count;
    size_t index; /* count: nowhere */
    struct ldb_table_cache *tables;
    struct ldb_table_read read;
    struct ldb_iterator *inner; /* NULL: nowhere */
};

static void leave_table(struct level_iterator *it)
{
    ldb_iterator_destroy(it->inner);
    it->inner = NULL;
    it->index = it->count;
}

/* Opens files[index] unless it is open; false: no such table, or a failure,
 * which base then holds. */
static bool enter_table(struct level_iterator *it, size_t index)
{
    const struct ldb_file_meta *meta;
    enum ldb_status s;

    if (it->inner != NULL && it->index == index)
        return true;
    leave_table(it);
    if (index >= it->count)
        return false;
    meta = it->files[index];
    s = ldb_table_cache_iterator(it->tables, meta->number, meta->size,
                                 &it->read, &it->base.error, &it->inner);
    if (s != LDB_OK) {
        it->inner = NULL;
        it->base.status = s;
        return false;
    }
    assert(it->inner != NULL);
    it->index = index;
    return true;
}

/* The table that failed to open is to be passed over; the failure is gone. */
static bool skips_failure(struct level_iterator *it)
{
    if (!it->read.skip_damage || it->base.status != LDB_CORRUPTION)
        return false;
    it->base.status = LDB_OK;
    return true;
}

/* The first table from index on that opens; false as enter_table(). */
static bool enter_from(struct level_iterator *it, size_t index)
{
    while (!enter_table(it, index)) {
        if (!skips_failure(it))
            return false;
        index++;
    }
    return true;
}

/* The last of the first `end` tables that opens; false as enter_table(). */
static bool enter_before(struct level_iterator *it, size_t end)
{
    while (end > 0) {
        if (enter_table(it, end - 1))
            return true;
        if (!skips_failure(it))
            return false;
        end--;
    }
    leave_table(it);
    return false;
}

/* Inner went on within its table: base is valid before and after. */
static inline void publish(struct level_iterator *it)
{
    it->base.key = it->inner->key;
    it->base.value = it->inner->value;
}

/* Before a move that may end elsewhere: what the last one left is gone. */
static void begin_move(struct level_iterator *it)
{
    it->base.valid = false;
    it->base.status = LDB_OK;
    it->base.key = (struct ldb_slice){0};
    it->base.value = (struct ldb_slice){0};
}

/* Shows inner's position; false when it is past an end of its table. */
static bool show(struct level_iterator *it)
{
    const struct ldb_iterator *inner = it->inner;

    it->base.valid = inner->valid;
    it->base.status = inner->status;
    if (inner->valid) {
        it->base.key = inner->key;
        it->base.value = inner->value;
        return true;
    }
    if (inner->status != LDB_OK) {
        it->base.error = inner->error;
        return true;
    }
    return false;
}

static void settle_forward(struct level_iterator *it)
{
    while (!show(it)) {
        if (!enter_from(it, it->index + 1))
            return;
        ldb_iterator_seek_first(it->inner);
    }
}

static void settle_backward(struct level_iterator *it)
{
    while (!show(it)) {
        if (!enter_before(it, it->index))
            return;
        ldb_iterator_seek_last(it->inner);
    }
}

static void level_seek_first(struct ldb_iterator *base)
{
    struct level_iterator *it = (struct level_iterator *)base;

    begin_move(it);
    if (!enter_from(it, 0))
        return;
    ldb_iterator_seek_first(it->inner);
    settle_forward(it);
}

static void level_seek_last(struct ldb_iterator *base)
{
    struct level_iterator *it = (struct level_iterator *)base;

    begin_move(it);
    if (!enter_before(it, it->count))
        return;
    ldb_iterator_seek_last(it->inner);
    settle_backward(it);
}

static void level_seek(struct ldb_iterator *base, struct ldb_slice target)
{
    struct level_iterator *it = (struct level_iterator *)base;

    begin_move(it);
    if (!enter_from(
            it, ldb_find_file(it->comparator, it->files, it->count, target)))
        return;
    ldb_iterator_seek(it->inner, target);
    settle_forward(it);
}

static void level_next(struct ldb_iterator *base)
{
    struct level_iterator *it = (struct level_iterator *)base;

    assert(it->inner != NULL);
    ldb_iterator_next(it->inner);
    if (LDB_LIKELY(it->inner->valid)) {
        publish(it);
        return;
    }
    begin_move(it);
    settle_forward(it);
}

static void level_prev(struct ldb_iterator *base)
{
    struct level_iterator *it = (struct level_iterator *)base;

    assert(it->inner != NULL);
    ldb_iterator_prev(it->inner);
    if (LDB_LIKELY(it->inner->valid)) {
        publish(it);
        return;
    }
    begin_move(it);
    settle_backward(it);
}

static bool level_stored(struct ldb_iterator *base, struct ldb_slice *out)
{
    return ldb_iterator_stored(((struct level_iterator *)base)->inner, out);
}

static void level_destroy(struct ldb_iterator *base)
{
    struct level_iterator *it = (struct level_iterator *)base;

    leave_table(it);
    ldb_mem_free(it);
}

static const struct ldb_iterator_ops level_iterator_ops = {
    .seek_first = level_seek_first,
    .seek_last = level_seek_last,
    .seek = level_seek,
    .next = level_next,
    .prev = level_prev,
    .stored = level_stored,
    .destroy = level_destroy,
};

/* Leaves out the tables outside of the bounds. */
static void narrow(struct level_iterator *it,
                   const struct ldb_key_bounds *bounds)
{
    if (bounds->lower.len > 0) {
        size_t before =
            ldb_find_file(it->comparator, it->files, it->count, bounds->lower);

        it->files += before;
        it->count -= before;
    }
    if (bounds->upper.len > 0) {
        size_t whole =
            ldb_find_file(it->comparator, it->files, it->count, bounds->upper);

        /* The table that ends behind the bound may begin before it. */
        if (whole < it->count &&
            ldb_internal_compare(it->comparator, it->files[whole]->smallest,
                                 bounds->upper) < 0)
            whole++;
        it->count = whole;
    }
}

enum ldb_status
ldb_level_iterator_create(const struct ldb_comparator *user_comparator,
                          struct ldb_file_meta *const *files, size_t count,
                          struct ldb_table_cache *tables,
                          const struct ldb_table_read *read,
                          struct ldb_error *err, struct ldb_iterator **out)
{
    struct level_iterator *it = ldb_mem_zalloc(1, sizeof(*it));

    if (it == NULL)
        return ldb_error_no_memory(err);
    it->base.ops = &level_iterator_ops;
    it->comparator = user_comparator;
    it->files = files;
    it->count = count;
    if (read->bounds != NULL)
        narrow(it, read->bounds);
    it->index = it->count;
    it->tables = tables;
    it->read = *read;
    *out = &it->base;
    return LDB_OK;
}
