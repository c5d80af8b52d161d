/*
 * Changes are collected in one hash table by (level, number), where the later
 * change wins; so a MANIFEST of a million edits costs a million probes, and no
 * sorted list is touched before the end. finish() then merges, per changed
 * level, the sorted additions into the base's list: whole runs of the base are
 * copied between two additions.
 */
#include "storage/version/version_builder.h"

#include <inttypes.h>
#include <stdlib.h>

#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/version_internal.h"

/* Chosen: a flush or a compaction fits without growing. Power of two. */
#define FIRST_CAPACITY 64

/* What becomes of one table in one level. */
struct change {
    bool is_used;
    uint32_t level;
    uint64_t number;
    struct ldb_file_meta *added; /* one reference; NULL: deleted */
};

struct level_changes {
    size_t added_count;
    size_t deleted_count;
};

struct ldb_version_builder {
    const struct ldb_comparator *comparator;
    struct ldb_version *base; /* NULL or one reference */
    struct change *changes;   /* open addressing, linear probing */
    size_t capacity;          /* power of two */
    size_t count;
    struct level_changes levels[LDB_LEVEL_COUNT];
    struct ldb_file_meta **removed; /* borrowed from base */
    size_t removed_count;
};

/* ---- the table of changes ---- */

/* The slot of (level, number), or the free one where it belongs. */
static struct change *find_slot(struct change *changes, size_t capacity,
                                uint32_t level, uint64_t number)
{
    /* 2^64 / golden ratio: neighbouring numbers spread over all bits. */
    uint64_t hash = (number * LDB_LEVEL_COUNT + level) * 0x9e3779b97f4a7c15U;
    size_t i = (size_t)(hash >> 32) & (capacity - 1);

    while (changes[i].is_used &&
           (changes[i].number != number || changes[i].level != level))
        i = (i + 1) & (capacity - 1);
    return &changes[i];
}

static enum ldb_status grow(struct ldb_version_builder *builder)
{
    size_t capacity =
        builder->capacity == 0 ? FIRST_CAPACITY : builder->capacity * 2;
    struct change *changes = ldb_mem_zalloc(capacity, sizeof(*changes));

    if (changes == NULL)
        return LDB_NO_MEMORY;
    for (size_t i = 0; i < builder->capacity; i++) {
        const struct change *old = &builder->changes[i];

        if (old->is_used)
            *find_slot(changes, capacity, old->level, old->number) = *old;
    }
    ldb_mem_free(builder->changes);
    builder->changes = changes;
    builder->capacity = capacity;
    return LDB_OK;
}

/* meta NULL: the table is deleted. */
static enum ldb_status put_change(struct ldb_version_builder *builder,
                                  uint32_t level, uint64_t number,
                                  struct ldb_file_meta *meta,
                                  struct ldb_error *err)
{
    struct level_changes *counts;
    struct change *change;

    if (level >= LDB_LEVEL_COUNT)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "table %06" PRIu64 " at level %" PRIu32
                             ", the last is %d",
                             number, level, LDB_LEVEL_COUNT - 1);
    /* A quarter stays free: probes are short and end. */
    if (builder->count >= builder->capacity / 4 * 3 && grow(builder) != LDB_OK)
        return ldb_error_no_memory(err);
    counts = &builder->levels[level];
    change = find_slot(builder->changes, builder->capacity, level, number);
    if (!change->is_used) {
        builder->count++;
    } else if (change->added != NULL) {
        counts->added_count--;
        ldb_file_meta_unref(change->added);
    } else {
        counts->deleted_count--;
    }
    *change =
        (struct change){.is_used = true,
                        .level = level,
                        .number = number,
                        .added = meta == NULL ? NULL : ldb_file_meta_ref(meta)};
    if (meta != NULL)
        counts->added_count++;
    else
        counts->deleted_count++;
    return LDB_OK;
}

/* NULL: nothing becomes of it. */
static const struct change *
find_change(const struct ldb_version_builder *builder, uint32_t level,
            uint64_t number)
{
    const struct change *change;

    if (builder->count == 0)
        return NULL;
    change = find_slot(builder->changes, builder->capacity, level, number);
    return change->is_used ? change : NULL;
}

/* ---- life ---- */

enum ldb_status
ldb_version_builder_create(const struct ldb_comparator *comparator,
                           struct ldb_version *base, struct ldb_error *err,
                           struct ldb_version_builder **out)
{
    struct ldb_version_builder *builder = ldb_mem_zalloc(1, sizeof(*builder));

    if (builder == NULL)
        return ldb_error_no_memory(err);
    builder->comparator = comparator;
    builder->base = base == NULL ? NULL : ldb_version_ref(base);
    *out = builder;
    return LDB_OK;
}

void ldb_version_builder_destroy(struct ldb_version_builder *builder)
{
    if (builder == NULL)
        return;
    for (size_t i = 0; i < builder->capacity; i++)
        ldb_file_meta_unref(builder->changes[i].added);
    ldb_mem_free(builder->changes);
    ldb_mem_free(builder->removed);
    ldb_version_unref(builder->base);
    ldb_mem_free(builder);
}

static enum ldb_status check_keys(const struct ldb_version_builder *builder,
                                  const struct ldb_edit_added *added,
                                  struct ldb_error *err)
{
    const struct ldb_file_meta *meta = added->meta;

    if (meta->smallest.len < LDB_TAG_SIZE || meta->largest.len < LDB_TAG_SIZE)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "level %" PRIu32 ": table %06" PRIu64
                             " has a key without a sequence number",
                             added->level, meta->number);
    if (ldb_internal_compare(builder->comparator, meta->smallest,
                             meta->largest) > 0)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "level %" PRIu32 ": the smallest key of table "
                             "%06" PRIu64 " is above its largest",
                             added->level, meta->number);
    return LDB_OK;
}

enum ldb_status ldb_version_builder_apply(struct ldb_version_builder *builder,
                                          const struct ldb_version_edit *edit,
                                          struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < edit->deleted_count; i++)
        s = put_change(builder, edit->deleted[i].level, edit->deleted[i].number,
                       NULL, err);
    for (size_t i = 0; s == LDB_OK && i < edit->added_count; i++) {
        const struct ldb_edit_added *added = &edit->added[i];

        s = check_keys(builder, added, err);
        if (s == LDB_OK)
            s = put_change(builder, added->level, added->meta->number,
                           added->meta, err);
    }
    return s;
}

/* ---- as one edit ---- */

/* The base's table of that number in the level, if meta's keys lead to it. */
static const struct ldb_file_meta *
find_in_base(const struct ldb_version_builder *builder, uint32_t level,
             const struct ldb_file_meta *meta)
{
    const struct ldb_level *files;
    size_t first = 0;

    if (builder->base == NULL)
        return NULL;
    files = &builder->base->levels[level];
    if (level > 0)
        first = ldb_find_file(builder->comparator, files->files, files->count,
                              meta->smallest);
    for (size_t i = first; i < files->count; i++) {
        if (files->files[i]->number == meta->number)
            return files->files[i];
        if (level > 0)
            break;
    }
    return NULL;
}

static bool is_same(const struct ldb_file_meta *a,
                    const struct ldb_file_meta *b)
{
    return a->size == b->size && ldb_slice_equal(a->smallest, b->smallest) &&
           ldb_slice_equal(a->largest, b->largest);
}

enum ldb_status
ldb_version_builder_edit(const struct ldb_version_builder *builder,
                         struct ldb_error *err, struct ldb_version_edit *out)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < builder->capacity; i++) {
        const struct change *change = &builder->changes[i];
        const struct ldb_file_meta *known;

        if (!change->is_used)
            continue;
        if (change->added == NULL) {
            s = ldb_version_edit_delete_file(out, change->level,
                                             change->number);
            continue;
        }
        known = find_in_base(builder, change->level, change->added);
        if (known == NULL)
            s = ldb_version_edit_add_file(out, change->level, change->added);
        else if (!is_same(known, change->added))
            return ldb_error_set(err, LDB_CORRUPTION,
                                 "table %06" PRIu64 " comes a second time, "
                                 "and is another one",
                                 change->number);
    }
    return s == LDB_OK ? LDB_OK : ldb_error_no_memory(err);
}

/* ---- finish ---- */

struct file_order {
    const struct ldb_comparator *comparator;
    uint32_t level;
};

/* Level 0: newest number first. Below: by smallest key. */
static int compare_files(const struct file_order *order,
                         const struct ldb_file_meta *a,
                         const struct ldb_file_meta *b)
{
    int by_key =
        order->level == 0
            ? 0
            : ldb_internal_compare(order->comparator, a->smallest, b->smallest);

    if (by_key != 0)
        return by_key;
    return (a->number < b->number) - (a->number > b->number);
}

static int compare_for_sort(const void *a, const void *b, void *context)
{
    struct ldb_file_meta *const *left = a;
    struct ldb_file_meta *const *right = b;

    return compare_files(context, *left, *right);
}

/* The additions of one level, sorted; NULL and OK when there are none. */
static enum ldb_status
sorted_additions(const struct ldb_version_builder *builder,
                 struct file_order *order, struct ldb_file_meta ***out)
{
    size_t wanted = builder->levels[order->level].added_count;
    struct ldb_file_meta **added;
    size_t count = 0;

    if (wanted == 0) {
        *out = NULL;
        return LDB_OK;
    }
    added = ldb_mem_alloc(wanted, sizeof(*added));
    if (added == NULL)
        return LDB_NO_MEMORY;
    for (size_t i = 0; i < builder->capacity; i++) {
        const struct change *change = &builder->changes[i];

        if (change->added != NULL && change->level == order->level)
            added[count++] = change->added;
    }
    assert(count == wanted);
    qsort_r(added, count, sizeof(*added), compare_for_sort, order);
    *out = added;
    return LDB_OK;
}

/* A level under construction. */
struct level_merge {
    struct ldb_version_builder *builder;
    struct file_order order;
    struct ldb_file_list *list;
    bool last_is_new;
    struct ldb_error *err;
};

/* Neighbours that both came from the base were checked when it was made. */
static enum ldb_status append_file(struct level_merge *merge,
                                   struct ldb_file_meta *meta, bool is_new)
{
    struct ldb_file_list *list = merge->list;

    if (merge->order.level > 0 && list->count > 0 &&
        (is_new || merge->last_is_new)) {
        const struct ldb_file_meta *last = list->files[list->count - 1];

        if (ldb_internal_compare(merge->order.comparator, last->largest,
                                 meta->smallest) >= 0)
            return ldb_error_set(merge->err, LDB_CORRUPTION,
                                 "level %" PRIu32 ": tables %06" PRIu64
                                 " and %06" PRIu64 " overlap",
                                 merge->order.level, last->number,
                                 meta->number);
    }
    ldb_file_list_push(list, meta);
    merge->last_is_new = is_new;
    return LDB_OK;
}

/* Appends the base's tables [first, past) but those that were changed. */
static enum ldb_status append_run(struct level_merge *merge,
                                  const struct ldb_level *base, size_t first,
                                  size_t past)
{
    struct ldb_version_builder *builder = merge->builder;
    enum ldb_status s = LDB_OK;

    for (size_t i = first; s == LDB_OK && i < past; i++) {
        struct ldb_file_meta *meta = base->files[i];
        const struct change *change =
            find_change(builder, merge->order.level, meta->number);

        if (change == NULL)
            s = append_file(merge, meta, false);
        else if (change->added == NULL)
            builder->removed[builder->removed_count++] = meta;
    }
    return s;
}

/* The first of the base's tables from first on that belongs after meta. */
static size_t find_place(const struct level_merge *merge,
                         const struct ldb_level *base, size_t first,
                         const struct ldb_file_meta *meta)
{
    size_t low = first;
    size_t high = base->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (compare_files(&merge->order, base->files[middle], meta) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static enum ldb_status merge_level(struct level_merge *merge,
                                   const struct ldb_level *base)
{
    size_t added_count = merge->builder->levels[merge->order.level].added_count;
    struct ldb_file_meta **added = NULL;
    size_t capacity = 0;
    size_t next = 0;
    enum ldb_status s = sorted_additions(merge->builder, &merge->order, &added);

    if (s != LDB_OK)
        return ldb_error_no_memory(merge->err);
    if (ldb_size_add(base->count, added_count, &capacity))
        merge->list = ldb_file_list_create(capacity);
    if (merge->list == NULL) {
        s = ldb_error_no_memory(merge->err);
        goto out;
    }
    for (size_t i = 0; s == LDB_OK && i < added_count; i++) {
        size_t place = find_place(merge, base, next, added[i]);

        s = append_run(merge, base, next, place);
        if (s == LDB_OK)
            s = append_file(merge, added[i], true);
        next = place;
    }
    if (s == LDB_OK)
        s = append_run(merge, base, next, base->count);
out:
    ldb_mem_free(added);
    return s;
}

static enum ldb_status finish_level(struct ldb_version_builder *builder,
                                    uint32_t level, struct ldb_error *err,
                                    struct ldb_version *version)
{
    static const struct ldb_level none;
    const struct ldb_level *base =
        builder->base == NULL ? &none : &builder->base->levels[level];
    const struct level_changes *changes = &builder->levels[level];
    struct level_merge merge = {
        .builder = builder,
        .order = {.comparator = builder->comparator, .level = level},
        .err = err};
    enum ldb_status s;

    if (changes->added_count == 0 && changes->deleted_count == 0) {
        if (base->list != NULL)
            ldb_version_put_level(version, level, base->list);
        version->levels[level].changes = base->changes;
        return LDB_OK;
    }
    s = merge_level(&merge, base);
    if (s == LDB_OK)
        ldb_version_put_level(version, level, merge.list);
    version->levels[level].changes = base->changes + 1;
    ldb_file_list_unref(merge.list);
    return s;
}

/* A table that left one level and came to another is not removed. */
static void forget_moved(struct ldb_version_builder *builder)
{
    size_t kept = 0;

    for (size_t i = 0; i < builder->removed_count; i++) {
        bool is_moved = false;

        for (uint32_t l = 0; !is_moved && l < LDB_LEVEL_COUNT; l++) {
            const struct change *change =
                find_change(builder, l, builder->removed[i]->number);

            is_moved = change != NULL && change->added != NULL;
        }
        if (!is_moved)
            builder->removed[kept++] = builder->removed[i];
    }
    builder->removed_count = kept;
}

enum ldb_status ldb_version_builder_finish(struct ldb_version_builder *builder,
                                           struct ldb_error *err,
                                           struct ldb_version **out)
{
    struct ldb_version *version = NULL;
    size_t deleted_count = 0;
    enum ldb_status s = LDB_OK;

    assert(builder->removed == NULL);
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        deleted_count += builder->levels[level].deleted_count;
    builder->removed =
        ldb_mem_alloc(deleted_count + 1, sizeof(*builder->removed));
    if (builder->removed == NULL)
        return ldb_error_no_memory(err);
    version = ldb_version_create(builder->comparator);
    if (version == NULL)
        return ldb_error_no_memory(err);
    for (uint32_t level = 0; s == LDB_OK && level < LDB_LEVEL_COUNT; level++)
        s = finish_level(builder, level, err, version);
    if (s != LDB_OK) {
        ldb_version_unref(version);
        return s;
    }
    forget_moved(builder);
    *out = version;
    return LDB_OK;
}

struct ldb_file_meta *const *
ldb_version_builder_removed(const struct ldb_version_builder *builder,
                            size_t *out_count)
{
    *out_count = builder->removed_count;
    return builder->removed;
}
