/* What building and reading one table needs to know. Constant. */
#ifndef STORAGE_TABLE_TABLE_OPTIONS_H
#define STORAGE_TABLE_TABLE_OPTIONS_H

#include "storage/base/block_cache.h"
#include "storage/base/comparator.h"
#include "storage/table/filter_policy.h"

struct ldb_table_options {
    const struct ldb_comparator *comparator; /* of user keys */
    const struct ldb_filter_policy *filter;  /* NULL: none */
    /* Filters that tables written before may have; read, never written. */
    const struct ldb_filter_policy *const *alt_filters;
    size_t alt_filter_count;
    unsigned filter_base_lg;             /* 0: LDB_FILTER_BASE_LG */
    size_t block_size;                   /* bytes, default 4096 */
    unsigned restart_interval;           /* entries, default 16 */
    bool compress;                       /* snappy where it saves > 1/8 */
    struct ldb_block_cache *block_cache; /* reading; NULL: none */
    bool verify_index_checksums;         /* index, metaindex, filter */
};

/*
 * What an iterator is asked for, as internal keys [lower, upper); len 0: open.
 * It leaves out the blocks and tables of which it knows, without reading them,
 * that they lie outside, whatever move it makes; single entries outside may
 * still come, in order.
 */
struct ldb_key_bounds {
    struct ldb_slice lower;
    struct ldb_slice upper;
};

/* What stands in a table. */
struct ldb_table_counts {
    uint64_t entries;
    uint64_t deletes; /* of them delete marks */
};

/* How one read behaves. */
struct ldb_table_read {
    bool verify_checksums; /* of data blocks, when first read */
    bool fill_cache;       /* false: what is read is not kept */
    /* Iterators pass over damaged blocks, and tables that cannot be opened,
     * as if they were empty; get tells damage all the same. */
    bool skip_damage;
    /* Iterators of the table cache read in large pieces while they go forward
     * (read_ahead.h): for passes over whole tables. */
    bool read_ahead;
    /* Of iterators, NULL: none. Borrowed while they live. */
    const struct ldb_key_bounds *bounds;
};

#endif
