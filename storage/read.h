/* How a caller's read options become a view, a sequence and table flags. */
#ifndef STORAGE_READ_H
#define STORAGE_READ_H

#include "storage/db_internal.h"

/* What one read works on; release with ldb_read_end(). */
struct ldb_read {
    struct ldb_view *view;     /* referenced, here or by hold */
    struct ldb_view_hold hold; /* of a short read */
    bool is_short;
    ldb_sequence sequence;
    struct ldb_table_read table;
};

/* options may be NULL. */
void ldb_read_begin(struct ldb_db *db, const struct ldb_read_options *options,
                    struct ldb_read *out);
/* The same for one that its thread ends soon, and that is not moved. */
void ldb_read_begin_short(struct ldb_db *db,
                          const struct ldb_read_options *options,
                          struct ldb_read *out);
void ldb_read_end(struct ldb_db *db, struct ldb_read *read);

/*
 * The newest value of key at or below the read's sequence; NOT_FOUND also for
 * a delete mark. As ldb_get().
 */
LDB_MUST_CHECK enum ldb_status
ldb_read_get(struct ldb_db *db, const struct ldb_read *read,
             struct ldb_slice key, struct ldb_error *err,
             struct ldb_buf *out_value, ldb_sequence *out_sequence);

#endif
