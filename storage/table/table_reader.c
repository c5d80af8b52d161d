#include "storage/table/table_reader.h"

#include <inttypes.h>

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/table/table_reader_internal.h"

/* Plain bytes between two looks for the key in a block that is decoded for one
 * get. Chosen: about four entries of a hundred bytes. */
#define PART_SIZE 512

enum ldb_status ldb_table_read_handle(const struct ldb_table *table,
                                      struct ldb_slice value,
                                      struct ldb_error *err,
                                      struct ldb_block_handle *out)
{
    struct ldb_reader r = ldb_reader_make(value);

    /* LevelDB ignores what follows a handle; so do we. */
    if (LDB_LIKELY(ldb_block_handle_read(&r, out)))
        return LDB_OK;
    return ldb_stored_block_corrupt(err, table->name, table->index_offset,
                                    "bad block handle");
}

enum ldb_status ldb_table_block_error(const struct ldb_table *table,
                                      uint64_t offset,
                                      const struct ldb_block_iter *it,
                                      struct ldb_error *err)
{
    return ldb_error_set(err, it->status,
                         "%s: block at %" PRIu64 ": entry at %" PRIu32 ": %s",
                         table->name, offset, it->offset, it->problem);
}

/* ---- opening ---- */

static enum ldb_status read_footer(struct ldb_random_file *file, uint64_t size,
                                   const char *name, struct ldb_error *err,
                                   struct ldb_footer *out)
{
    uint8_t scratch[LDB_FOOTER_SIZE];
    struct ldb_slice bytes;
    enum ldb_status s;

    if (size < LDB_FOOTER_SIZE)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: %" PRIu64 " bytes are no table", name, size);
    s = ldb_random_read_at(file, size - LDB_FOOTER_SIZE, LDB_FOOTER_SIZE,
                           scratch, &bytes, err);
    if (s != LDB_OK)
        return ldb_error_prefix(err, s, "%s: footer at %" PRIu64, name,
                                size - LDB_FOOTER_SIZE);
    if (!ldb_footer_has_magic(bytes))
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: footer at %" PRIu64 ": bad magic number",
                             name, size - LDB_FOOTER_SIZE);
    if (!ldb_footer_read(bytes, out))
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: footer at %" PRIu64 ": bad block handle",
                             name, size - LDB_FOOTER_SIZE);
    return LDB_OK;
}

/* A block of entries that stays with the table. */
static enum ldb_status read_entries(const struct ldb_table *table,
                                    struct ldb_block_handle handle,
                                    struct ldb_error *err,
                                    struct ldb_block *out_block,
                                    struct ldb_block_memory **out_memory)
{
    struct ldb_stored_block stored;
    const char *problem;
    enum ldb_status s =
        ldb_stored_block_read(table->file, table->name, table->limit, handle,
                              table->options->verify_index_checksums,
                              (struct ldb_block_scratch){0}, err, &stored);

    if (s != LDB_OK)
        return s;
    if (!ldb_block_init(stored.contents, out_block, &problem)) {
        ldb_mem_free(stored.memory);
        return ldb_stored_block_corrupt(err, table->name, handle.offset,
                                        problem);
    }
    *out_memory = stored.memory;
    return LDB_OK;
}

static bool is_named(const struct ldb_filter_policy *policy,
                     struct ldb_slice name)
{
    if (ldb_filter_policy_is_builtin(policy))
        return ldb_slice_equal(name, ldb_slice_str(LDB_BLOOM_NAME_GOLEVELDB)) ||
               ldb_slice_equal(name, ldb_slice_str(LDB_BLOOM_NAME_LEVELDB));
    return ldb_slice_equal(name, ldb_slice_str(policy->name));
}

/* The policy that reads the filter which a metaindex key names; NULL: none. */
static const struct ldb_filter_policy *
find_policy(const struct ldb_table_options *options, struct ldb_slice key)
{
    struct ldb_slice prefix = ldb_slice_str(LDB_METAINDEX_FILTER_PREFIX);
    struct ldb_slice name;

    if (!ldb_slice_starts_with(key, prefix))
        return NULL;
    name = ldb_slice_make(key.data + prefix.len, key.len - prefix.len);
    if (options->filter != NULL && is_named(options->filter, name))
        return options->filter;
    for (size_t i = 0; i < options->alt_filter_count; i++) {
        if (is_named(options->alt_filters[i], name))
            return options->alt_filters[i];
    }
    return NULL;
}

static enum ldb_status read_filter(struct ldb_table *table,
                                   struct ldb_block_handle handle,
                                   const struct ldb_filter_policy *policy,
                                   struct ldb_error *err)
{
    struct ldb_stored_block stored;
    enum ldb_status s =
        ldb_stored_block_read(table->file, table->name, table->limit, handle,
                              table->options->verify_index_checksums,
                              (struct ldb_block_scratch){0}, err, &stored);

    if (s != LDB_OK)
        return s;
    table->has_filter = true;
    table->filter_memory = stored.memory;
    ldb_filter_block_init(&table->filter, policy, stored.contents);
    return LDB_OK;
}

/* Finds the filter, and where the data ends: before the first block of meta
 * data that the metaindex knows, or before itself. */
static enum ldb_status scan_metaindex(struct ldb_table *table, uint64_t offset,
                                      struct ldb_block_iter *it,
                                      struct ldb_error *err)
{
    enum ldb_status s;

    table->data_size = offset;
    for (ldb_block_iter_seek_first(it); it->valid; ldb_block_iter_next(it)) {
        struct ldb_reader r = ldb_reader_make(it->value);
        const struct ldb_filter_policy *policy;
        struct ldb_block_handle handle;

        if (!ldb_block_handle_read(&r, &handle))
            return ldb_stored_block_corrupt(err, table->name, offset,
                                            "bad block handle");
        if (handle.offset < table->data_size)
            table->data_size = handle.offset;
        policy = find_policy(table->options, it->key);
        if (table->has_filter || policy == NULL)
            continue;
        s = read_filter(table, handle, policy, err);
        if (s != LDB_OK)
            return s;
    }
    if (it->status != LDB_OK)
        return ldb_table_block_error(table, offset, it, err);
    return LDB_OK;
}

static enum ldb_status read_metaindex(struct ldb_table *table,
                                      struct ldb_block_handle handle,
                                      struct ldb_error *err)
{
    struct ldb_block_memory *memory = NULL;
    struct ldb_block block = {0};
    struct ldb_block_iter it;
    enum ldb_status s = read_entries(table, handle, err, &block, &memory);

    if (s != LDB_OK)
        return s;
    ldb_block_iter_init(&it, NULL);
    ldb_block_iter_set(&it, &block);
    s = scan_metaindex(table, handle.offset, &it, err);
    ldb_block_iter_release(&it);
    ldb_mem_free(memory);
    return s;
}

static void free_table(struct ldb_table *table)
{
    ldb_table_index_release(&table->ready_index);
    ldb_mem_free(table->index_memory);
    ldb_mem_free(table->filter_memory);
    ldb_mem_free(table->name);
    ldb_mem_free(table);
}

enum ldb_status ldb_table_open(struct ldb_random_file *file, uint64_t size,
                               const char *name,
                               const struct ldb_table_options *options,
                               struct ldb_error *err, struct ldb_table **out)
{
    struct ldb_footer footer;
    struct ldb_table *table;
    enum ldb_status s = read_footer(file, size, name, err, &footer);

    if (s != LDB_OK)
        return s;
    table = ldb_mem_zalloc(1, sizeof(*table));
    if (table == NULL)
        return ldb_error_no_memory(err);
    table->file = file;
    table->options = options;
    table->limit = size - LDB_FOOTER_SIZE;
    table->index_offset = footer.index.offset;
    table->name = ldb_mem_strdup(name);
    if (table->name == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    s = read_metaindex(table, footer.metaindex, err);
    if (s != LDB_OK)
        goto out;
    s = read_entries(table, footer.index, err, &table->index,
                     &table->index_memory);
    if (s != LDB_OK)
        goto out;
    s = ldb_table_index_init(&table->index, options->comparator,
                             &table->ready_index);
    if (s != LDB_OK) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    if (options->block_cache != NULL)
        table->cache_id = ldb_block_cache_new_id(options->block_cache);
    *out = table;
out:
    if (s != LDB_OK)
        free_table(table);
    return s;
}

void ldb_table_close(struct ldb_table *table)
{
    if (table == NULL)
        return;
    ldb_random_close(table->file);
    free_table(table);
}

size_t ldb_table_memory_bytes(const struct ldb_table *table)
{
    size_t bytes = sizeof(*table) + strlen(table->name) + 1 +
                   ldb_table_index_memory_bytes(&table->ready_index);

    if (table->index_memory != NULL)
        bytes += sizeof(*table->index_memory) + table->index_memory->len;
    if (table->filter_memory != NULL)
        bytes += sizeof(*table->filter_memory) + table->filter_memory->len;
    return bytes;
}

/* ---- data blocks ---- */

static enum ldb_status init_block(const struct ldb_table *table,
                                  struct ldb_slice contents, uint64_t offset,
                                  struct ldb_error *err,
                                  struct ldb_block *out_block)
{
    const char *problem;

    if (LDB_LIKELY(ldb_block_init(contents, out_block, &problem)))
        return LDB_OK;
    return ldb_stored_block_corrupt(err, table->name, offset, problem);
}

/* Hands memory over to the cache; without room for that it stays as it is. */
static void keep_block(const struct ldb_table *table,
                       struct ldb_held_block *held)
{
    held->entry = ldb_block_cache_insert(
        table->options->block_cache, table->cache_id, held->offset,
        held->memory, sizeof(*held->memory) + held->memory->len, ldb_mem_free);
    if (held->entry != NULL)
        held->memory = NULL;
}

/* From the table's own file; *out_raw is the block in its mapping, if any. */
static enum ldb_status
read_stored(const struct ldb_table *table, const struct ldb_table_read *read,
            struct ldb_block_handle handle, struct ldb_block_scratch scratch,
            struct ldb_error *err, struct ldb_stored_block *out,
            struct ldb_slice *out_raw)
{
    struct ldb_slice mapping = table->file->mapping;
    enum ldb_status s =
        ldb_stored_block_read(table->file, table->name, table->limit, handle,
                              read->verify_checksums, scratch, err, out);

    if (s == LDB_OK && mapping.len > 0)
        *out_raw = ldb_slice_make(mapping.data + handle.offset,
                                  (size_t)handle.size + LDB_BLOCK_TRAILER_SIZE);
    return s;
}

/* The same from ahead, which reaches it. */
static enum ldb_status
read_stored_ahead(const struct ldb_table *table,
                  const struct ldb_table_read *read,
                  struct ldb_read_ahead *ahead, struct ldb_block_handle handle,
                  struct ldb_block_scratch scratch, struct ldb_error *err,
                  struct ldb_stored_block *out, struct ldb_slice *out_raw)
{
    enum ldb_status s = ldb_read_ahead_read(
        ahead, handle.offset, (size_t)handle.size + LDB_BLOCK_TRAILER_SIZE, err,
        out_raw);

    if (s != LDB_OK)
        return ldb_error_prefix(err, s, "%s: block at %" PRIu64, table->name,
                                handle.offset);
    return ldb_stored_block_read_raw(*out_raw, table->name, handle.offset,
                                     read->verify_checksums, scratch, err, out);
}

static bool is_ahead(const struct ldb_table *table,
                     const struct ldb_read_ahead *ahead,
                     struct ldb_block_handle handle)
{
    return ahead != NULL && ldb_block_handle_fits(handle, table->limit) &&
           ldb_read_ahead_reaches(ahead, handle.offset,
                                  (size_t)handle.size + LDB_BLOCK_TRAILER_SIZE);
}

static enum ldb_status
load_block(const struct ldb_table *table, const struct ldb_table_read *read,
           struct ldb_read_ahead *ahead, struct ldb_block_handle handle,
           struct ldb_block_scratch scratch, struct ldb_error *err,
           struct ldb_held_block *out)
{
    struct ldb_held_block held = {.offset = handle.offset};
    struct ldb_stored_block stored;
    enum ldb_status s;

    if (is_ahead(table, ahead, handle))
        s = read_stored_ahead(table, read, ahead, handle, scratch, err, &stored,
                              &held.raw);
    else
        s = read_stored(table, read, handle, scratch, err, &stored, &held.raw);
    if (s != LDB_OK)
        return s;
    s = init_block(table, stored.contents, handle.offset, err, &held.block);
    if (s != LDB_OK) {
        ldb_mem_free(stored.memory);
        return s;
    }
    held.memory = stored.memory;
    *out = held;
    return LDB_OK;
}

/* A block found in the cache; its entry is out's, or given back on failure. */
static enum ldb_status use_entry(const struct ldb_table *table, uint64_t offset,
                                 struct ldb_cache_entry *entry,
                                 struct ldb_error *err,
                                 struct ldb_held_block *out)
{
    const struct ldb_block_memory *memory = ldb_cache_entry_value(entry);
    enum ldb_status s;

    *out = (struct ldb_held_block){.offset = offset, .entry = entry};
    s = init_block(
        table, (struct ldb_slice){.data = memory->bytes, .len = memory->len},
        offset, err, &out->block);
    if (s != LDB_OK)
        ldb_table_drop_block(table, out);
    return s;
}

/* NOT_FOUND: it is not in the cache; whether it should be put there. */
static enum ldb_status look_in_cache(const struct ldb_table *table,
                                     const struct ldb_table_read *read,
                                     uint64_t offset, struct ldb_error *err,
                                     struct ldb_held_block *out,
                                     bool *out_is_wanted)
{
    struct ldb_block_cache *cache = table->options->block_cache;
    struct ldb_cache_entry *entry;
    bool is_wanted = false;

    *out_is_wanted = false;
    if (cache == NULL)
        return LDB_NOT_FOUND;
    entry = ldb_block_cache_lookup_or_want(cache, table->cache_id, offset,
                                           &is_wanted);
    if (entry != NULL)
        return use_entry(table, offset, entry, err, out);
    *out_is_wanted = is_wanted && read->fill_cache;
    return LDB_NOT_FOUND;
}

/* As ldb_table_hold_block(), for one that the cache has not. */
static enum ldb_status
hold_uncached(const struct ldb_table *table, const struct ldb_table_read *read,
              struct ldb_read_ahead *ahead, struct ldb_block_handle handle,
              struct ldb_block_scratch scratch, bool is_wanted,
              struct ldb_error *err, struct ldb_held_block *out)
{
    enum ldb_status s;

    if (is_wanted)
        scratch.size = 0;
    s = load_block(table, read, ahead, handle, scratch, err, out);
    if (s == LDB_OK && is_wanted && out->memory != NULL)
        keep_block(table, out);
    return s;
}

enum ldb_status ldb_table_hold_block(const struct ldb_table *table,
                                     const struct ldb_table_read *read,
                                     struct ldb_read_ahead *ahead,
                                     struct ldb_block_handle handle,
                                     struct ldb_block_scratch scratch,
                                     struct ldb_error *err,
                                     struct ldb_held_block *out)
{
    bool is_wanted;
    enum ldb_status s =
        look_in_cache(table, read, handle.offset, err, out, &is_wanted);

    if (s != LDB_NOT_FOUND)
        return s;
    return hold_uncached(table, read, ahead, handle, scratch, is_wanted, err,
                         out);
}

void ldb_table_drop_block(const struct ldb_table *table,
                          struct ldb_held_block *held)
{
    if (held->entry != NULL)
        ldb_block_cache_release(table->options->block_cache, held->entry);
    ldb_mem_free(held->memory);
    held->entry = NULL;
    held->memory = NULL;
}

/* ---- point lookups ---- */

/* What one lookup asks for, and where the answer goes. */
struct get {
    const struct ldb_table *table;
    const struct ldb_table_read *read;
    struct ldb_slice target;
    struct ldb_error *err;
    struct ldb_buf *out_value;
    uint64_t *out_tag;
};

/* The entry at it is the answer if it has the target's user key. */
static enum ldb_status take_entry(const struct get *get, uint64_t offset,
                                  const struct ldb_block_iter *it)
{
    const struct ldb_table *table = get->table;
    uint64_t tag;

    if (ldb_compare(table->options->comparator, ldb_internal_user_key(it->key),
                    ldb_internal_user_key(get->target)) != 0)
        return LDB_NOT_FOUND;
    tag = ldb_internal_tag(it->key);
    if (ldb_tag_kind(tag) > LDB_KIND_PUT)
        return ldb_stored_block_corrupt(get->err, table->name, offset,
                                        "unknown kind of entry");
    if (ldb_tag_kind(tag) == LDB_KIND_PUT && get->out_value != NULL) {
        enum ldb_status s = ldb_buf_assign(get->out_value, it->value);

        if (s != LDB_OK)
            return ldb_error_set(
                get->err, s, "%s: block at %" PRIu64 ": value of %zu bytes: %s",
                table->name, offset, it->value.len, ldb_status_text(s));
    }
    *get->out_tag = tag;
    return LDB_OK;
}

/* In a block that is there whole. *out_is_behind: it is below the target. */
static enum ldb_status get_in_whole(const struct get *get, uint64_t offset,
                                    const struct ldb_block *block,
                                    bool *out_is_behind)
{
    struct ldb_block_iter it;
    enum ldb_status s;

    ldb_block_iter_init(&it, get->table->options->comparator);
    ldb_block_iter_set(&it, block);
    ldb_block_iter_seek(&it, get->target);
    if (LDB_LIKELY(it.valid)) {
        s = take_entry(get, offset, &it);
    } else if (it.status != LDB_OK) {
        s = ldb_table_block_error(get->table, offset, &it, get->err);
    } else {
        *out_is_behind = true;
        s = LDB_NOT_FOUND;
    }
    ldb_block_iter_release(&it);
    return s;
}

/*
 * In the beginning of a block, which is decoded until the answer is there.
 * False: it must be sought in the whole block.
 */
static bool get_in_part(const struct get *get, uint64_t offset,
                        struct ldb_stored_block *block,
                        enum ldb_status *out_status)
{
    struct ldb_block_scan scan = {.target = get->target};
    enum ldb_block_scan_result result = LDB_BLOCK_SCAN_MORE;
    enum ldb_status s = LDB_OK;
    struct ldb_block_iter it;

    ldb_block_iter_init(&it, get->table->options->comparator);
    for (size_t len = PART_SIZE; result == LDB_BLOCK_SCAN_MORE && s == LDB_OK &&
                                 len < block->contents.len;
         len += PART_SIZE) {
        s = ldb_stored_block_decode(block, get->table->name, offset, len,
                                    get->err);
        /* The scan may read 8 bytes more than it is given. */
        if (s == LDB_OK)
            result = ldb_block_iter_scan(
                &it, &scan,
                (struct ldb_slice){.data = block->contents.data,
                                   .len =
                                       ldb_stored_block_plain_len(block) - 8});
    }
    if (s == LDB_OK && result == LDB_BLOCK_SCAN_FOUND)
        s = take_entry(get, offset, &it);
    ldb_block_iter_release(&it);
    *out_status = s;
    return s != LDB_OK || result == LDB_BLOCK_SCAN_FOUND;
}

/* In a block that is neither in the cache nor wanted there. */
static enum ldb_status get_in_stored(const struct get *get,
                                     struct ldb_block_handle handle,
                                     struct ldb_block_scratch scratch,
                                     bool *out_is_behind)
{
    const struct ldb_table *table = get->table;
    struct ldb_stored_block stored;
    struct ldb_block block;
    enum ldb_status s = ldb_stored_block_begin(
        table->file, table->name, table->limit, handle,
        get->read->verify_checksums, scratch, get->err, &stored);

    if (s != LDB_OK)
        return s;
    if (stored.is_compressed && get_in_part(get, handle.offset, &stored, &s))
        goto out;
    s = ldb_stored_block_decode(&stored, table->name, handle.offset,
                                stored.contents.len, get->err);
    if (s == LDB_OK)
        s = init_block(table, stored.contents, handle.offset, get->err, &block);
    if (s == LDB_OK)
        s = get_in_whole(get, handle.offset, &block, out_is_behind);
out:
    ldb_stored_block_release(&stored);
    return s;
}

/* *out_is_behind: all of the block is below the target. */
static enum ldb_status get_in_block(const struct get *get,
                                    struct ldb_block_handle handle,
                                    bool *out_is_behind)
{
    uint8_t room[LDB_BLOCK_SCRATCH_SIZE]; /* uninitialised */
    struct ldb_block_scratch scratch = {.bytes = room, .size = sizeof(room)};
    const struct ldb_table *table = get->table;
    struct ldb_held_block held;
    bool is_wanted;
    enum ldb_status s;

    *out_is_behind = false;
    if (table->has_filter &&
        !ldb_filter_block_may_match(&table->filter, handle.offset,
                                    ldb_internal_user_key(get->target)))
        return LDB_NOT_FOUND;
    s = look_in_cache(table, get->read, handle.offset, get->err, &held,
                      &is_wanted);
    if (s == LDB_NOT_FOUND) {
        if (!is_wanted)
            return get_in_stored(get, handle, scratch, out_is_behind);
        s = hold_uncached(table, get->read, NULL, handle, scratch, true,
                          get->err, &held);
    }
    if (s != LDB_OK)
        return s;
    s = get_in_whole(get, handle.offset, &held.block, out_is_behind);
    ldb_table_drop_block(table, &held);
    return s;
}

/* Block by block as the index has them. */
static enum ldb_status get_along_index(const struct get *get)
{
    const struct ldb_table *table = get->table;
    const struct ldb_comparator *cmp = table->options->comparator;
    struct ldb_block_iter index;
    enum ldb_status s = LDB_NOT_FOUND;

    ldb_block_iter_init(&index, cmp);
    ldb_block_iter_set(&index, &table->index);
    ldb_table_index_seek(&table->ready_index, &index, get->target);
    while (index.valid) {
        struct ldb_block_handle handle;
        bool is_behind = false;

        s = ldb_table_read_handle(table, index.value, get->err, &handle);
        if (s == LDB_OK)
            s = get_in_block(get, handle, &is_behind);
        if (!is_behind)
            break;
        /* The next block may begin with an older entry of the user key, but
         * only if this block's index key still has that user key. */
        if (ldb_compare(cmp, ldb_internal_user_key(index.key),
                        ldb_internal_user_key(get->target)) != 0)
            break;
        ldb_block_iter_next(&index);
    }
    if (index.status != LDB_OK)
        s = ldb_table_block_error(table, table->index_offset, &index, get->err);
    ldb_block_iter_release(&index);
    return s;
}

enum ldb_status ldb_table_get(struct ldb_table *table,
                              const struct ldb_table_read *read,
                              struct ldb_slice target, struct ldb_error *err,
                              struct ldb_buf *out_value, uint64_t *out_tag)
{
    const struct get get = {.table = table,
                            .read = read,
                            .target = target,
                            .err = err,
                            .out_value = out_value,
                            .out_tag = out_tag};
    struct ldb_block_handle handle;

    assert(target.len >= LDB_TAG_SIZE);
    if (LDB_LIKELY(
            ldb_table_index_find(&table->ready_index, target, &handle))) {
        bool is_behind;
        enum ldb_status s = get_in_block(&get, handle, &is_behind);

        if (LDB_LIKELY(!is_behind))
            return s;
    }
    return get_along_index(&get);
}

uint64_t ldb_table_approximate_offset(struct ldb_table *table,
                                      struct ldb_slice internal_key)
{
    struct ldb_block_handle handle;
    struct ldb_block_iter index;
    uint64_t offset = table->data_size;

    assert(internal_key.len >= LDB_TAG_SIZE);
    ldb_block_iter_init(&index, table->options->comparator);
    ldb_block_iter_set(&index, &table->index);
    ldb_table_index_seek(&table->ready_index, &index, internal_key);
    if (index.valid &&
        ldb_table_read_handle(table, index.value, NULL, &handle) == LDB_OK &&
        handle.offset < offset)
        offset = handle.offset;
    ldb_block_iter_release(&index);
    return offset;
}
