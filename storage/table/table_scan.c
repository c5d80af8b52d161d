#include "storage/table/table_scan.h"

#include <inttypes.h>

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/table/block_reader.h"
#include "storage/table/filter_block.h"
#include "storage/table/stored_block.h"

struct scan {
    struct ldb_random_file *file;
    uint64_t size;
    const char *name;
    const struct ldb_table_options *options;
    const struct ldb_table_visitor *visitor;
    struct ldb_table_scan_result result;
    bool has_filter;
    struct ldb_filter_block filter;
    struct ldb_block_memory *filter_memory;
    struct ldb_buf last;  /* the last entry's internal key */
    struct ldb_buf index; /* the index key of the block before */
};

static enum ldb_status tell(struct scan *scan, uint64_t offset,
                            const char *message, struct ldb_slice after,
                            struct ldb_slice until, struct ldb_error *err)
{
    const struct ldb_table_damage damage = {
        .offset = offset, .message = message, .after = after, .until = until};

    scan->result.damages++;
    if (scan->visitor->on_damage == NULL)
        return LDB_OK;
    return scan->visitor->on_damage(scan->visitor->context, &damage, err);
}

/* Damage without a range, in words of ours. */
static enum ldb_status tell_text(struct scan *scan, uint64_t offset,
                                 const char *text, struct ldb_error *err)
{
    struct ldb_error why = {0};

    LDB_IGNORE(ldb_error_set(&why, LDB_CORRUPTION, "%s: at %" PRIu64 ": %s",
                             scan->name, offset, text)); /* text alone */
    return tell(scan, offset, why.message, (struct ldb_slice){0},
                (struct ldb_slice){0}, err);
}

/*
 * Reads the block at handle. What is wrong with it is told, out untouched and
 * *out_is_read false.
 */
static enum ldb_status read_block(struct scan *scan, enum ldb_table_part part,
                                  struct ldb_block_handle handle,
                                  struct ldb_slice after,
                                  struct ldb_slice until, struct ldb_error *err,
                                  struct ldb_stored_block *out,
                                  bool *out_is_read)
{
    const struct ldb_block_scratch none = {0};
    struct ldb_stored_block block;
    struct ldb_error why = {0};
    enum ldb_status s = ldb_stored_block_read(scan->file, scan->name,
                                              scan->size - LDB_FOOTER_SIZE,
                                              handle, true, none, &why, &block);

    *out_is_read = false;
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK)
        return tell(scan, handle.offset, why.message, after, until, err);
    if (scan->visitor->on_block != NULL)
        s = scan->visitor->on_block(scan->visitor->context, part, handle, err);
    if (s != LDB_OK) {
        ldb_mem_free(block.memory);
        return s;
    }
    *out = block;
    *out_is_read = true;
    return LDB_OK;
}

/* The block's entries; what cannot be is told and *out_is_good false. */
static enum ldb_status init_entries(struct scan *scan, uint64_t offset,
                                    struct ldb_slice contents,
                                    struct ldb_slice until,
                                    struct ldb_error *err,
                                    struct ldb_block *out, bool *out_is_good)
{
    const char *problem = NULL;
    struct ldb_error why = {0};

    *out_is_good = ldb_block_init(contents, out, &problem);
    if (*out_is_good)
        return LDB_OK;
    LDB_IGNORE(ldb_stored_block_corrupt(&why, scan->name, offset, problem));
    return tell(scan, offset, why.message, ldb_slice_of_buf(&scan->last), until,
                err);
}

static enum ldb_status tell_iter(struct scan *scan, uint64_t offset,
                                 const struct ldb_block_iter *it,
                                 struct ldb_slice until, struct ldb_error *err)
{
    struct ldb_error why = {0};

    if (it->status == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    LDB_IGNORE(ldb_error_set(
        &why, it->status, "%s: block at %" PRIu64 ": entry at %" PRIu32 ": %s",
        scan->name, offset, it->offset, it->problem));
    return tell(scan, offset, why.message, ldb_slice_of_buf(&scan->last), until,
                err);
}

/* ---- data blocks ---- */

static enum ldb_status tell_entry(struct scan *scan, uint64_t offset,
                                  const struct ldb_block_iter *it,
                                  const char *text, struct ldb_error *err)
{
    struct ldb_error why = {0};

    LDB_IGNORE(ldb_error_set(&why, LDB_CORRUPTION,
                             "%s: block at %" PRIu64 ": entry at %" PRIu32
                             ": %s",
                             scan->name, offset, it->offset, text));
    return tell(scan, offset, why.message, ldb_slice_of_buf(&scan->last),
                it->key, err);
}

static enum ldb_status check_entry(struct scan *scan, uint64_t offset,
                                   const struct ldb_block_iter *it,
                                   struct ldb_slice index_key,
                                   bool *filter_told, struct ldb_error *err)
{
    const struct ldb_comparator *cmp = scan->options->comparator;
    struct ldb_slice last = ldb_slice_of_buf(&scan->last);
    enum ldb_status s = LDB_OK;

    if (last.len > 0 && ldb_internal_compare(cmp, last, it->key) >= 0)
        s = tell_entry(scan, offset, it, "not above the one before", err);
    if (s == LDB_OK && ldb_internal_compare(cmp, it->key, index_key) > 0)
        s = tell_entry(scan, offset, it, "above the block's index key", err);
    if (s == LDB_OK && scan->has_filter && !*filter_told &&
        !ldb_filter_block_may_match(&scan->filter, offset,
                                    ldb_internal_user_key(it->key))) {
        *filter_told = true;
        s = tell_entry(scan, offset, it, "key is not in the filter", err);
    }
    return s;
}

static enum ldb_status scan_entries(struct scan *scan, uint64_t offset,
                                    const struct ldb_block *block,
                                    struct ldb_slice index_key,
                                    struct ldb_error *err)
{
    const struct ldb_table_visitor *visitor = scan->visitor;
    struct ldb_parsed_key parsed;
    struct ldb_block_iter it;
    bool filter_told = false;
    enum ldb_status s = LDB_OK;

    ldb_block_iter_init(&it, scan->options->comparator);
    ldb_block_iter_set(&it, block);
    for (ldb_block_iter_seek_first(&it); s == LDB_OK && it.valid;
         ldb_block_iter_next(&it)) {
        if (!ldb_internal_key_parse(it.key, &parsed)) {
            s = tell_entry(scan, offset, &it, "unknown kind of entry", err);
            continue;
        }
        scan->result.entries++;
        s = check_entry(scan, offset, &it, index_key, &filter_told, err);
        if (s == LDB_OK && visitor->on_entry != NULL)
            s = visitor->on_entry(visitor->context, offset, it.key, it.value,
                                  err);
        if (s == LDB_OK && ldb_buf_assign(&scan->last, it.key) != LDB_OK)
            s = ldb_error_no_memory(err);
    }
    if (s == LDB_OK && it.status != LDB_OK)
        s = tell_iter(scan, offset, &it, index_key, err);
    ldb_block_iter_release(&it);
    return s;
}

static enum ldb_status scan_data_block(struct scan *scan,
                                       struct ldb_block_handle handle,
                                       struct ldb_slice index_key,
                                       struct ldb_error *err)
{
    struct ldb_slice after = ldb_slice_of_buf(&scan->index);
    struct ldb_stored_block stored = {0};
    struct ldb_block block;
    bool is_good = false;
    enum ldb_status s = read_block(scan, LDB_TABLE_DATA, handle, after,
                                   index_key, err, &stored, &is_good);

    if (s != LDB_OK || !is_good)
        return s;
    s = init_entries(scan, handle.offset, stored.contents, index_key, err,
                     &block, &is_good);
    if (s == LDB_OK && is_good) {
        scan->result.blocks++;
        s = scan_entries(scan, handle.offset, &block, index_key, err);
    }
    ldb_mem_free(stored.memory);
    return s;
}

static enum ldb_status scan_index(struct scan *scan, uint64_t offset,
                                  struct ldb_block_iter *it,
                                  struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (ldb_block_iter_seek_first(it); s == LDB_OK && it->valid;
         ldb_block_iter_next(it)) {
        struct ldb_reader r = ldb_reader_make(it->value);
        struct ldb_block_handle handle;

        if (ldb_block_handle_read(&r, &handle))
            s = scan_data_block(scan, handle, it->key, err);
        else
            s = tell_text(scan, offset, "index has a bad block handle", err);
        if (s == LDB_OK && ldb_buf_assign(&scan->index, it->key) != LDB_OK)
            s = ldb_error_no_memory(err);
    }
    if (s == LDB_OK && it->status != LDB_OK) {
        scan->result.is_index_lost = true;
        s = tell_iter(scan, offset, it, (struct ldb_slice){0}, err);
    }
    return s;
}

static enum ldb_status scan_data(struct scan *scan,
                                 struct ldb_block_handle handle,
                                 struct ldb_error *err)
{
    const struct ldb_slice unknown = {0};
    struct ldb_stored_block stored = {0};
    struct ldb_block_iter it;
    struct ldb_block block;
    bool is_good = false;
    enum ldb_status s = read_block(scan, LDB_TABLE_INDEX, handle, unknown,
                                   unknown, err, &stored, &is_good);

    scan->result.is_index_lost = true;
    if (s != LDB_OK || !is_good)
        return s;
    s = init_entries(scan, handle.offset, stored.contents, unknown, err, &block,
                     &is_good);
    if (s == LDB_OK && is_good) {
        scan->result.is_index_lost = false;
        ldb_block_iter_init(&it, scan->options->comparator);
        ldb_block_iter_set(&it, &block);
        s = scan_index(scan, handle.offset, &it, err);
        ldb_block_iter_release(&it);
    }
    ldb_mem_free(stored.memory);
    return s;
}

/* ---- filter ---- */

static bool is_filter_key(const struct scan *scan, struct ldb_slice key)
{
    const struct ldb_filter_policy *policy = scan->options->filter;
    struct ldb_slice prefix = ldb_slice_str(LDB_METAINDEX_FILTER_PREFIX);
    struct ldb_slice name;

    if (policy == NULL || !ldb_slice_starts_with(key, prefix))
        return false;
    name = ldb_slice_make(key.data + prefix.len, key.len - prefix.len);
    if (ldb_filter_policy_is_builtin(policy))
        return ldb_slice_equal(name, ldb_slice_str(LDB_BLOOM_NAME_GOLEVELDB)) ||
               ldb_slice_equal(name, ldb_slice_str(LDB_BLOOM_NAME_LEVELDB));
    return ldb_slice_equal(name, ldb_slice_str(policy->name));
}

/* Every block that the metaindex names; the filter that is ours is kept. */
static enum ldb_status scan_meta_block(struct scan *scan, struct ldb_slice key,
                                       struct ldb_slice value, uint64_t offset,
                                       struct ldb_error *err)
{
    const struct ldb_slice unknown = {0};
    struct ldb_reader r = ldb_reader_make(value);
    struct ldb_stored_block stored = {0};
    struct ldb_block_handle handle;
    bool is_read = false;
    enum ldb_status s;

    if (!ldb_block_handle_read(&r, &handle))
        return tell_text(scan, offset, "metaindex has a bad block handle", err);
    s = read_block(scan, LDB_TABLE_FILTER, handle, unknown, unknown, err,
                   &stored, &is_read);
    if (s != LDB_OK || !is_read)
        return s;
    if (scan->has_filter || !is_filter_key(scan, key)) {
        ldb_mem_free(stored.memory);
        return LDB_OK;
    }
    scan->has_filter = true;
    scan->filter_memory = stored.memory;
    ldb_filter_block_init(&scan->filter, scan->options->filter,
                          stored.contents);
    return LDB_OK;
}

static enum ldb_status scan_metaindex(struct scan *scan,
                                      struct ldb_block_handle handle,
                                      struct ldb_error *err)
{
    const struct ldb_slice unknown = {0};
    struct ldb_stored_block stored = {0};
    struct ldb_block_iter it;
    struct ldb_block block;
    bool is_good = false;
    enum ldb_status s = read_block(scan, LDB_TABLE_METAINDEX, handle, unknown,
                                   unknown, err, &stored, &is_good);

    if (s != LDB_OK || !is_good)
        return s;
    s = init_entries(scan, handle.offset, stored.contents, unknown, err, &block,
                     &is_good);
    if (s == LDB_OK && is_good) {
        ldb_block_iter_init(&it, NULL);
        ldb_block_iter_set(&it, &block);
        for (ldb_block_iter_seek_first(&it); s == LDB_OK && it.valid;
             ldb_block_iter_next(&it))
            s = scan_meta_block(scan, it.key, it.value, handle.offset, err);
        if (s == LDB_OK && it.status != LDB_OK)
            s = tell_iter(scan, handle.offset, &it, unknown, err);
        ldb_block_iter_release(&it);
    }
    ldb_mem_free(stored.memory);
    return s;
}

/* ---- the file ---- */

static enum ldb_status scan_file(struct scan *scan, struct ldb_error *err)
{
    uint64_t at =
        scan->size < LDB_FOOTER_SIZE ? 0 : scan->size - LDB_FOOTER_SIZE;
    uint8_t scratch[LDB_FOOTER_SIZE];
    struct ldb_footer footer = {0};
    struct ldb_slice bytes = {0};
    struct ldb_error why = {0};
    enum ldb_status s;

    scan->result.is_index_lost = true;
    if (scan->size < LDB_FOOTER_SIZE)
        return tell_text(scan, 0, "too short to be a table", err);
    s = ldb_random_read_at(scan->file, at, LDB_FOOTER_SIZE, scratch, &bytes,
                           &why);
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK)
        return tell_text(scan, at, "the footer cannot be read", err);
    if (!ldb_footer_has_magic(bytes))
        return tell_text(scan, at, "bad magic number in the footer", err);
    if (!ldb_footer_read(bytes, &footer))
        return tell_text(scan, at, "bad block handle in the footer", err);
    s = scan_metaindex(scan, footer.metaindex, err);
    if (s == LDB_OK)
        s = scan_data(scan, footer.index, err);
    return s;
}

enum ldb_status ldb_table_scan(struct ldb_random_file *file, uint64_t size,
                               const char *name,
                               const struct ldb_table_options *options,
                               const struct ldb_table_visitor *visitor,
                               struct ldb_error *err,
                               struct ldb_table_scan_result *out_result)
{
    struct scan scan = {
        .file = file,
        .size = size,
        .name = name,
        .options = options,
        .visitor = visitor,
        .last = LDB_BUF_INIT(SIZE_MAX),
        .index = LDB_BUF_INIT(SIZE_MAX),
    };
    enum ldb_status s = scan_file(&scan, err);

    ldb_mem_free(scan.filter_memory);
    ldb_buf_release(&scan.last);
    ldb_buf_release(&scan.index);
    if (s == LDB_OK && out_result != NULL)
        *out_result = scan.result;
    return s;
}
