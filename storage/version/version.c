#include "storage/version/version.h"

#include <stdatomic.h>

#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/live_versions.h"
#include "storage/version/version_internal.h"

/* ---- lists of tables ---- */

struct ldb_file_list *ldb_file_list_create(size_t capacity)
{
    struct ldb_file_list *list;
    size_t bytes;

    if (!ldb_size_mul(capacity, sizeof(list->files[0]), &bytes) ||
        !ldb_size_add(bytes, sizeof(*list), &bytes))
        return NULL;
    list = ldb_mem_alloc(1, bytes);
    if (list == NULL)
        return NULL;
    atomic_init(&list->refs, 1);
    list->count = 0;
    list->bytes = 0;
    return list;
}

void ldb_file_list_push(struct ldb_file_list *list, struct ldb_file_meta *meta)
{
    list->files[list->count++] = ldb_file_meta_ref(meta);
    list->bytes += meta->size;
}

void ldb_file_list_unref(struct ldb_file_list *list)
{
    if (list == NULL ||
        atomic_fetch_sub_explicit(&list->refs, 1, memory_order_acq_rel) != 1)
        return;
    for (size_t i = 0; i < list->count; i++)
        ldb_file_meta_unref(list->files[i]);
    ldb_mem_free(list);
}

/* ---- life of a version ---- */

struct ldb_version *ldb_version_create(const struct ldb_comparator *comparator)
{
    struct ldb_version *version = ldb_mem_zalloc(1, sizeof(*version));

    if (version == NULL)
        return NULL;
    atomic_init(&version->refs, 1);
    version->comparator = comparator;
    return version;
}

void ldb_version_put_level(struct ldb_version *version, uint32_t level,
                           struct ldb_file_list *list)
{
    assert(level < LDB_LEVEL_COUNT && version->levels[level].list == NULL);
    atomic_fetch_add_explicit(&list->refs, 1, memory_order_relaxed);
    version->levels[level] = (struct ldb_level){.files = list->files,
                                                .count = list->count,
                                                .bytes = list->bytes,
                                                .list = list};
}

void ldb_version_free(struct ldb_version *version)
{
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++)
        ldb_file_list_unref(version->levels[level].list);
    ldb_table_nodes_destroy(version->last_tables);
    ldb_mem_free(version);
}

struct ldb_version *ldb_version_ref(struct ldb_version *version)
{
    uint32_t before =
        atomic_fetch_add_explicit(&version->refs, 1, memory_order_relaxed);

    assert(before > 0);
    return version;
}

void ldb_version_unref(struct ldb_version *version)
{
    if (version == NULL ||
        atomic_fetch_sub_explicit(&version->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (version->live != NULL)
        ldb_live_versions_forget(version->live, version);
    else
        ldb_version_free(version);
}

/* ---- where a key belongs ---- */

static struct ldb_slice smallest_user_key(const struct ldb_file_meta *meta)
{
    return ldb_internal_user_key(meta->smallest);
}

static struct ldb_slice largest_user_key(const struct ldb_file_meta *meta)
{
    return ldb_internal_user_key(meta->largest);
}

size_t ldb_find_file(const struct ldb_comparator *user_comparator,
                     struct ldb_file_meta *const *files, size_t count,
                     struct ldb_slice internal_key)
{
    bool is_bytewise = user_comparator == ldb_comparator_bytewise();
    size_t low = 0;
    size_t high = count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        struct ldb_slice largest = files[middle]->largest;
        int order =
            is_bytewise
                ? ldb_internal_compare_bytewise(largest, internal_key)
                : ldb_internal_compare(user_comparator, largest, internal_key);

        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Level 0, newest first: the first table whose number is not over number. */
static size_t find_number(const struct ldb_level *level, uint64_t number)
{
    size_t low = 0;
    size_t high = level->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (level->files[middle]->number > number)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

bool ldb_version_contains(const struct ldb_version *version,
                          const struct ldb_file_meta *meta)
{
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        const struct ldb_level *level = &version->levels[l];
        size_t i = l == 0 ? find_number(level, meta->number)
                          : ldb_find_file(version->comparator, level->files,
                                          level->count, meta->largest);

        if (i < level->count && level->files[i]->number == meta->number)
            return true;
    }
    return false;
}

static bool may_hold(const struct ldb_comparator *cmp,
                     const struct ldb_file_meta *meta,
                     struct ldb_slice user_key)
{
    return ldb_compare(cmp, user_key, smallest_user_key(meta)) >= 0 &&
           ldb_compare(cmp, user_key, largest_user_key(meta)) <= 0;
}

/* ---- seeks ---- */

/* A read looked into the table and had to look on. */
static void charge_seek(struct ldb_version *version, struct ldb_file_meta *meta)
{
    struct ldb_file_meta *none = NULL;

    if (atomic_load_explicit(&meta->seeks_left, memory_order_relaxed) > 0 &&
        atomic_fetch_sub_explicit(&meta->seeks_left, 1, memory_order_relaxed) >
            1)
        return;
    if (atomic_load_explicit(&version->seek_table, memory_order_relaxed) ==
            NULL &&
        atomic_compare_exchange_strong_explicit(&version->seek_table, &none,
                                                meta, memory_order_relaxed,
                                                memory_order_relaxed))
        atomic_store_explicit(&version->has_seek_news, true,
                              memory_order_relaxed);
}

bool ldb_version_take_seek_news(struct ldb_version *version)
{
    return atomic_load_explicit(&version->has_seek_news,
                                memory_order_relaxed) &&
           atomic_exchange_explicit(&version->has_seek_news, false,
                                    memory_order_relaxed);
}

/* The table of a deeper level that may hold the key's user key, or NULL. */
static struct ldb_file_meta *find_table(const struct ldb_version *version,
                                        uint32_t level_number,
                                        struct ldb_slice internal_key)
{
    const struct ldb_comparator *cmp = version->comparator;
    const struct ldb_level *level = &version->levels[level_number];
    size_t i = ldb_find_file(cmp, level->files, level->count, internal_key);

    if (i == level->count ||
        ldb_compare(cmp, ldb_internal_user_key(internal_key),
                    smallest_user_key(level->files[i])) < 0)
        return NULL;
    return level->files[i];
}

void ldb_version_sample_seek(struct ldb_version *version,
                             struct ldb_slice internal_key)
{
    const struct ldb_level *level0 = &version->levels[0];
    struct ldb_slice user_key = ldb_internal_user_key(internal_key);
    struct ldb_file_meta *first = NULL;
    unsigned count = 0;

    for (size_t i = 0; i < level0->count && count < 2; i++) {
        if (!may_hold(version->comparator, level0->files[i], user_key))
            continue;
        first = first == NULL ? level0->files[i] : first;
        count++;
    }
    for (uint32_t l = 1; l < LDB_LEVEL_COUNT && count < 2; l++) {
        struct ldb_file_meta *meta = find_table(version, l, internal_key);

        if (meta == NULL)
            continue;
        first = first == NULL ? meta : first;
        count++;
    }
    if (count == 2)
        charge_seek(version, first);
}

/* ---- lookup ---- */

struct lookup {
    struct ldb_version *version;
    struct ldb_table_cache *tables;
    const struct ldb_table_read *read;
    struct ldb_slice target;
    struct ldb_error *err;
    struct ldb_file_meta *first; /* table that was asked */
    bool is_charged;
};

/* Is about to ask the table: the first one is charged once for a second. */
static void count_table(struct lookup *lookup, struct ldb_file_meta *meta)
{
    if (lookup->first == NULL) {
        lookup->first = meta;
        return;
    }
    if (!lookup->is_charged)
        charge_seek(lookup->version, lookup->first);
    lookup->is_charged = true;
}

static enum ldb_status get_from_table(const struct lookup *lookup,
                                      const struct ldb_file_meta *meta,
                                      struct ldb_buf *out_value,
                                      uint64_t *out_tag)
{
    return ldb_table_cache_get(lookup->tables, meta->number, meta->size,
                               lookup->read, lookup->target, lookup->err,
                               out_value, out_tag);
}

/*
 * Greater file numbers nearly always hold newer entries, so the value of the
 * first match is copied at once and a later match is at first asked for its
 * tag alone.
 */
static enum ldb_status get_from_level0(struct lookup *lookup,
                                       struct ldb_buf *out_value,
                                       uint64_t *out_tag)
{
    const struct ldb_level *level = &lookup->version->levels[0];
    struct ldb_slice user_key = ldb_internal_user_key(lookup->target);
    enum ldb_status s = LDB_NOT_FOUND;
    bool found = false;
    uint64_t best = 0;

    for (size_t i = 0; i < level->count; i++) {
        struct ldb_file_meta *meta = level->files[i];
        uint64_t tag = 0;

        if (!may_hold(lookup->version->comparator, meta, user_key))
            continue;
        if (LDB_UNLIKELY(lookup->version->counts_seeks))
            count_table(lookup, meta);
        s = get_from_table(lookup, meta, found ? NULL : out_value, &tag);
        if (s == LDB_OK && found && tag > best && out_value != NULL)
            s = get_from_table(lookup, meta, out_value, &tag);
        if (s == LDB_NOT_FOUND)
            continue;
        if (s != LDB_OK)
            return s;
        if (!found || tag > best)
            best = tag;
        found = true;
    }
    if (!found)
        return LDB_NOT_FOUND;
    *out_tag = best;
    return LDB_OK;
}

enum ldb_status ldb_version_get(struct ldb_version *version,
                                struct ldb_table_cache *tables,
                                const struct ldb_table_read *read,
                                struct ldb_slice target, struct ldb_error *err,
                                struct ldb_buf *out_value, uint64_t *out_tag)
{
    struct lookup lookup = {.version = version,
                            .tables = tables,
                            .read = read,
                            .target = target,
                            .err = err};
    enum ldb_status s = get_from_level0(&lookup, out_value, out_tag);

    for (uint32_t l = 1; s == LDB_NOT_FOUND && l < LDB_LEVEL_COUNT; l++) {
        /* One table is enough even where a user key goes on in the next: the
         * search is by internal key, so this one holds the first entry at or
         * below the target's sequence, or none of the level does. */
        struct ldb_file_meta *meta = find_table(version, l, target);

        if (meta == NULL)
            continue;
        if (LDB_UNLIKELY(version->counts_seeks))
            count_table(&lookup, meta);
        s = get_from_table(&lookup, meta, out_value, out_tag);
    }
    if (s != LDB_OK && out_value != NULL)
        ldb_buf_clear(out_value);
    return s;
}

/* ---- overlap ---- */

/* User keys [begin, end], either end open. */
struct key_range {
    bool has_begin;
    bool has_end;
    struct ldb_slice begin;
    struct ldb_slice end;
};

static struct key_range make_range(const struct ldb_slice *begin,
                                   const struct ldb_slice *end)
{
    struct key_range range = {.has_begin = begin != NULL,
                              .has_end = end != NULL};

    if (begin != NULL)
        range.begin = *begin;
    if (end != NULL)
        range.end = *end;
    return range;
}

static bool is_before(const struct ldb_comparator *cmp,
                      const struct ldb_file_meta *meta,
                      const struct key_range *range)
{
    return range->has_begin &&
           ldb_compare(cmp, largest_user_key(meta), range->begin) < 0;
}

static bool is_after(const struct ldb_comparator *cmp,
                     const struct ldb_file_meta *meta,
                     const struct key_range *range)
{
    return range->has_end &&
           ldb_compare(cmp, smallest_user_key(meta), range->end) > 0;
}

static bool meets(const struct ldb_comparator *cmp,
                  const struct ldb_file_meta *meta,
                  const struct key_range *range)
{
    return !is_before(cmp, meta, range) && !is_after(cmp, meta, range);
}

/* A sorted level: the first table that does not end before the range. */
static size_t first_in_range(const struct ldb_comparator *cmp,
                             const struct ldb_level *level,
                             const struct key_range *range)
{
    size_t low = 0;
    size_t high = level->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (is_before(cmp, level->files[middle], range))
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Level 0: widens the range until no table lies across its edge. */
static void widen(const struct ldb_comparator *cmp,
                  const struct ldb_level *level, struct key_range *range)
{
    bool has_grown = true;

    while (has_grown) {
        has_grown = false;
        for (size_t i = 0; i < level->count; i++) {
            const struct ldb_file_meta *meta = level->files[i];

            if (!meets(cmp, meta, range))
                continue;
            if (range->has_begin &&
                ldb_compare(cmp, smallest_user_key(meta), range->begin) < 0) {
                range->begin = smallest_user_key(meta);
                has_grown = true;
            }
            if (range->has_end &&
                ldb_compare(cmp, largest_user_key(meta), range->end) > 0) {
                range->end = largest_user_key(meta);
                has_grown = true;
            }
        }
    }
}

enum ldb_status ldb_version_overlapping(const struct ldb_version *version,
                                        uint32_t level_number,
                                        const struct ldb_slice *begin,
                                        const struct ldb_slice *end,
                                        struct ldb_file_meta ***out,
                                        size_t *out_count)
{
    const struct ldb_comparator *cmp = version->comparator;
    const struct ldb_level *level = &version->levels[level_number];
    struct key_range range = make_range(begin, end);
    struct ldb_file_meta **grown;
    size_t first = 0;
    size_t past = level->count;
    size_t count = *out_count;

    assert(level_number < LDB_LEVEL_COUNT);
    if (level_number == 0) {
        widen(cmp, level, &range);
    } else {
        first = first_in_range(cmp, level, &range);
        past = first;
        while (past < level->count &&
               !is_after(cmp, level->files[past], &range))
            past++;
    }
    if (first == past)
        return LDB_OK;
    grown = ldb_mem_realloc(*out, count + (past - first), sizeof(**out));
    if (grown == NULL)
        return LDB_NO_MEMORY;
    *out = grown;
    for (size_t i = first; i < past; i++) {
        if (level_number > 0 || meets(cmp, level->files[i], &range))
            grown[count++] = level->files[i];
    }
    *out_count = count;
    return LDB_OK;
}

bool ldb_version_overlaps(const struct ldb_version *version,
                          uint32_t level_number, const struct ldb_slice *begin,
                          const struct ldb_slice *end)
{
    const struct ldb_comparator *cmp = version->comparator;
    const struct ldb_level *level = &version->levels[level_number];
    struct key_range range = make_range(begin, end);
    size_t i = 0;

    assert(level_number < LDB_LEVEL_COUNT);
    if (level_number > 0) {
        i = first_in_range(cmp, level, &range);
        return i < level->count && !is_after(cmp, level->files[i], &range);
    }
    while (i < level->count && !meets(cmp, level->files[i], &range))
        i++;
    return i < level->count;
}

/* ---- iterators ---- */

/* The table has no key within the bounds (NULL: none are set). */
static bool is_outside(const struct ldb_comparator *cmp,
                       const struct ldb_file_meta *meta,
                       const struct ldb_key_bounds *bounds)
{
    if (bounds == NULL)
        return false;
    return (bounds->lower.len > 0 &&
            ldb_internal_compare(cmp, meta->largest, bounds->lower) < 0) ||
           (bounds->upper.len > 0 &&
            ldb_internal_compare(cmp, meta->smallest, bounds->upper) >= 0);
}

enum ldb_status ldb_version_add_iterators(struct ldb_version *version,
                                          struct ldb_table_cache *tables,
                                          const struct ldb_table_read *read,
                                          struct ldb_error *err,
                                          struct ldb_iterator **children,
                                          size_t room, size_t *count)
{
    const struct ldb_level *level0 = &version->levels[0];
    size_t made = *count;
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < level0->count; i++) {
        assert(made < room);
        if (is_outside(version->comparator, level0->files[i], read->bounds))
            continue;
        s = ldb_table_cache_iterator(tables, level0->files[i]->number,
                                     level0->files[i]->size, read, err,
                                     &children[made]);
        if (s == LDB_OK)
            made++;
        else if (s == LDB_CORRUPTION && read->skip_damage)
            s = LDB_OK;
    }
    for (uint32_t l = 1; s == LDB_OK && l < LDB_LEVEL_COUNT; l++) {
        const struct ldb_level *level = &version->levels[l];

        if (level->count == 0)
            continue;
        assert(made < room);
        s = ldb_level_iterator_create(version->comparator, level->files,
                                      level->count, tables, read, err,
                                      &children[made]);
        if (s == LDB_OK)
            made++;
    }
    if (s == LDB_OK) {
        *count = made;
        return LDB_OK;
    }
    while (made > *count)
        ldb_iterator_destroy(children[--made]);
    return s;
}
