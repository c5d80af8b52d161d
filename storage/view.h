/*
 * A view: what one moment's readers read, behind one reference: the memtable,
 * the immutable ones, the version. With a sequence it is a snapshot: what it
 * holds stays readable and unchanged at that sequence, whatever flushes and
 * compactions do, because views pin memtables and tables.
 *
 * Thread-safety: immutable but for the count; references from any thread.
 */
#ifndef STORAGE_VIEW_H
#define STORAGE_VIEW_H

#include "storage/memtable.h"
#include "storage/version/version.h"

struct ldb_view {
    _Atomic(uint32_t) refs;   /* acquire/release */
    struct ldb_memtable *mem; /* one reference each */
    struct ldb_version *version;
    size_t immutable_count;
    struct ldb_memtable *immutables[]; /* newest first */
};

/* One reference on the result; takes references of its own on the parts. */
LDB_MUST_CHECK enum ldb_status
ldb_view_create(struct ldb_memtable *mem,
                struct ldb_memtable *const *immutables, size_t immutable_count,
                struct ldb_version *version, struct ldb_error *err,
                struct ldb_view **out);

struct ldb_view *ldb_view_ref(struct ldb_view *view);

/* Returns true when it was the last one, which may have made tables obsolete.
 * Call with no lock held. NULL is fine. */
bool ldb_view_unref(struct ldb_view *view);

/*
 * The newest entry of target's user key at or below its sequence, memtables
 * first. As ldb_table_get().
 */
LDB_MUST_CHECK enum ldb_status
ldb_view_get(const struct ldb_view *view, struct ldb_table_cache *tables,
             const struct ldb_table_read *read, struct ldb_slice target,
             struct ldb_error *err, struct ldb_buf *out_value,
             uint64_t *out_tag);

/* One merged iterator over all of it; the view must outlive it. */
LDB_MUST_CHECK enum ldb_status
ldb_view_iterator(struct ldb_view *view, struct ldb_table_cache *tables,
                  const struct ldb_table_read *read, struct ldb_error *err,
                  struct ldb_iterator **out);

#endif
