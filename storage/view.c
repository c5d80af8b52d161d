#include "storage/view.h"

#include <stdatomic.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/table/merging_iterator.h"

enum ldb_status ldb_view_create(struct ldb_memtable *mem,
                                struct ldb_memtable *const *immutables,
                                size_t immutable_count,
                                struct ldb_version *version,
                                struct ldb_error *err, struct ldb_view **out)
{
    struct ldb_view *view = ldb_mem_zalloc(
        1, sizeof(*view) + immutable_count * sizeof(immutables[0]));

    if (view == NULL)
        return ldb_error_no_memory(err);
    atomic_init(&view->refs, 1);
    view->mem = ldb_memtable_ref(mem);
    view->version = ldb_version_ref(version);
    view->immutable_count = immutable_count;
    for (size_t i = 0; i < immutable_count; i++)
        view->immutables[i] = ldb_memtable_ref(immutables[i]);
    *out = view;
    return LDB_OK;
}

struct ldb_view *ldb_view_ref(struct ldb_view *view)
{
    atomic_fetch_add_explicit(&view->refs, 1, memory_order_relaxed);
    return view;
}

bool ldb_view_unref(struct ldb_view *view)
{
    if (view == NULL)
        return false;
    if (atomic_fetch_sub_explicit(&view->refs, 1, memory_order_acq_rel) != 1)
        return false;
    ldb_memtable_unref(view->mem);
    for (size_t i = 0; i < view->immutable_count; i++)
        ldb_memtable_unref(view->immutables[i]);
    ldb_version_unref(view->version);
    ldb_mem_free(view);
    return true;
}

static enum ldb_status take_value(uint64_t tag, struct ldb_slice value,
                                  struct ldb_error *err,
                                  struct ldb_buf *out_value)
{
    enum ldb_status s;

    if (out_value == NULL || ldb_tag_kind(tag) != LDB_KIND_PUT)
        return LDB_OK;
    s = ldb_buf_assign(out_value, value);
    if (s != LDB_OK)
        return ldb_error_set(err, s, "copy a value of %zu bytes", value.len);
    return LDB_OK;
}

enum ldb_status ldb_view_get(const struct ldb_view *view,
                             struct ldb_table_cache *tables,
                             const struct ldb_table_read *read,
                             struct ldb_slice target, struct ldb_error *err,
                             struct ldb_buf *out_value, uint64_t *out_tag)
{
    struct ldb_slice value;
    uint64_t tag;
    bool is_here = ldb_memtable_get(view->mem, target, &tag, &value);

    for (size_t i = 0; !is_here && i < view->immutable_count; i++)
        is_here = ldb_memtable_get(view->immutables[i], target, &tag, &value);
    if (is_here) {
        enum ldb_status s = take_value(tag, value, err, out_value);

        if (s == LDB_OK)
            *out_tag = tag;
        return s;
    }
    return ldb_version_get(view->version, tables, read, target, err, out_value,
                           out_tag);
}

/* Room for one child a memtable, a level-0 table and a deeper level. */
static size_t child_room(const struct ldb_view *view)
{
    return 1 + view->immutable_count + view->version->levels[0].count +
           LDB_LEVEL_COUNT;
}

static enum ldb_status add_memtables(struct ldb_view *view,
                                     struct ldb_error *err,
                                     struct ldb_iterator **children,
                                     size_t *count)
{
    enum ldb_status s =
        ldb_memtable_iterator_create(view->mem, err, &children[*count]);

    if (s != LDB_OK)
        return s;
    (*count)++;
    for (size_t i = 0; i < view->immutable_count; i++) {
        s = ldb_memtable_iterator_create(view->immutables[i], err,
                                         &children[*count]);
        if (s != LDB_OK)
            return s;
        (*count)++;
    }
    return LDB_OK;
}

enum ldb_status ldb_view_iterator(struct ldb_view *view,
                                  struct ldb_table_cache *tables,
                                  const struct ldb_table_read *read,
                                  struct ldb_error *err,
                                  struct ldb_iterator **out)
{
    size_t room = child_room(view);
    size_t count = 0;
    struct ldb_iterator **children = ldb_mem_zalloc(room, sizeof(*children));
    enum ldb_status s;

    if (children == NULL)
        return ldb_error_no_memory(err);
    s = add_memtables(view, err, children, &count);
    if (s == LDB_OK)
        s = ldb_version_add_iterators(view->version, tables, read, err,
                                      children, room, &count);
    if (s == LDB_OK) {
        s = ldb_merging_iterator_create(view->mem->comparator, children, count,
                                        err, out);
        count = 0; /* owned by the merge, also when it failed */
    }
    for (size_t i = 0; i < count; i++)
        ldb_iterator_destroy(children[i]);
    ldb_mem_free(children);
    return s;
}
