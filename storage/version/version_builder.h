/*
 * version + edits -> version. Deletions of one edit apply before its
 * additions; a table added twice in one level counts once.
 */
#ifndef STORAGE_VERSION_VERSION_BUILDER_H
#define STORAGE_VERSION_VERSION_BUILDER_H

#include "storage/version/version.h"

struct ldb_version_builder;

/* base may be NULL (empty); it is referenced. */
LDB_MUST_CHECK enum ldb_status
ldb_version_builder_create(const struct ldb_comparator *comparator,
                           struct ldb_version *base, struct ldb_error *err,
                           struct ldb_version_builder **out);
void ldb_version_builder_destroy(struct ldb_version_builder *builder);

LDB_MUST_CHECK enum ldb_status
ldb_version_builder_apply(struct ldb_version_builder *builder,
                          const struct ldb_version_edit *edit,
                          struct ldb_error *err);

/*
 * The changes so far as one edit of the base: its tables alone, added to those
 * that out has. A table that the base has in that level is not added again.
 * CORRUPTION: it comes again, and is another one.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_builder_edit(const struct ldb_version_builder *builder,
                         struct ldb_error *err, struct ldb_version_edit *out);

/*
 * A fresh version (one reference, set NULL). CORRUPTION when two tables of a
 * level below 0 overlap, or one has smallest > largest. Call once.
 */
LDB_MUST_CHECK enum ldb_status
ldb_version_builder_finish(struct ldb_version_builder *builder,
                           struct ldb_error *err, struct ldb_version **out);

/*
 * After finish(): the base's tables that the new version has in no level.
 * Borrowed until destroy.
 */
struct ldb_file_meta *const *
ldb_version_builder_removed(const struct ldb_version_builder *builder,
                            size_t *out_count);

#endif
