/*
 * What the files of this folder share about versions: how their lists of
 * tables are owned, and how a version is made.
 */
#ifndef STORAGE_VERSION_VERSION_INTERNAL_H
#define STORAGE_VERSION_VERSION_INTERNAL_H

#include "storage/version/version.h"

/*
 * The tables of one level. Levels that an edit does not touch share theirs
 * from version to version, so a flush costs as much as level 0 is long.
 */
struct ldb_file_list {
    _Atomic(uint32_t) refs; /* acquire/release */
    size_t count;
    uint64_t bytes;
    struct ldb_file_meta *files[]; /* one reference each */
};

/* Room for capacity tables, empty. NULL on no memory. */
LDB_MUST_CHECK struct ldb_file_list *ldb_file_list_create(size_t capacity);
/* Takes a reference to meta; there is room. */
void ldb_file_list_push(struct ldb_file_list *list, struct ldb_file_meta *meta);
/* NULL is fine. */
void ldb_file_list_unref(struct ldb_file_list *list);

/* A version with no tables, one reference. NULL on no memory. */
LDB_MUST_CHECK struct ldb_version *
ldb_version_create(const struct ldb_comparator *comparator);
/* Makes list (a reference is taken) the level's tables. */
void ldb_version_put_level(struct ldb_version *version, uint32_t level,
                           struct ldb_file_list *list);
/* Frees it; its references are gone and it is in no list. */
void ldb_version_free(struct ldb_version *version);

#endif
