/*
 * Reads all of one table file and tells everything that is wrong with it:
 * footer, metaindex, filter, index, each data block and each entry. It goes on
 * after damage, past every cache: for checking, listing and salvaging.
 *
 * Thread-safety: one caller a scan.
 */
#ifndef STORAGE_TABLE_TABLE_SCAN_H
#define STORAGE_TABLE_TABLE_SCAN_H

#include "storage/base/env.h"
#include "storage/table/table_format.h"
#include "storage/table/table_options.h"

struct ldb_table_damage {
    uint64_t offset;
    const char *message; /* with the file's name and the offset */
    /* Internal keys: what is lost is above after and at or below until. len 0:
     * not known. */
    struct ldb_slice after;
    struct ldb_slice until;
};

enum ldb_table_part {
    LDB_TABLE_DATA,
    LDB_TABLE_FILTER,
    LDB_TABLE_METAINDEX,
    LDB_TABLE_INDEX,
};

/* Calls may be NULL. Not OK stops the scan, which returns it. */
struct ldb_table_visitor {
    void *context;
    /* Each block that reads back, data blocks before their entries. */
    enum ldb_status (*on_block)(void *context, enum ldb_table_part part,
                                struct ldb_block_handle handle,
                                struct ldb_error *err);
    /* Each entry with a whole internal key, of blocks that read back. */
    enum ldb_status (*on_entry)(void *context, uint64_t block_offset,
                                struct ldb_slice key, struct ldb_slice value,
                                struct ldb_error *err);
    enum ldb_status (*on_damage)(void *context,
                                 const struct ldb_table_damage *damage,
                                 struct ldb_error *err);
};

struct ldb_table_scan_result {
    uint64_t blocks; /* data blocks that read back */
    uint64_t entries;
    uint64_t damages;
    /* The data blocks could not be found from the file's end. */
    bool is_index_lost;
};

/*
 * Scans the table of size bytes. options: comparator and filter are used; with
 * a filter each key must be in the table's one. out_result may be NULL.
 *
 * Errors: NO_MEMORY and what a visitor returns; damage, a failed read of the
 * file too, is told and no error.
 */
LDB_MUST_CHECK enum ldb_status
ldb_table_scan(struct ldb_random_file *file, uint64_t size, const char *name,
               const struct ldb_table_options *options,
               const struct ldb_table_visitor *visitor, struct ldb_error *err,
               struct ldb_table_scan_result *out_result);

#endif
