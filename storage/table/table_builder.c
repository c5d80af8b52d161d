/*
 * The file grows from front to back through a write buffer:
 *
 *   data blocks | filter block? | metaindex block | index block | footer
 *
 * The index entry of a data block waits until the next key is known, so that
 * its own key can be cut to the shortest that separates the two blocks.
 */
#include "storage/table/table_builder.h"

#include "storage/base/checksum.h"
#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/table/block_builder.h"
#include "storage/table/compression.h"
#include "storage/table/filter_block.h"
#include "storage/table/table_format.h"

/* Chosen: a table of 2 MiB is 32 writes; larger gains nothing measurable. */
#define WRITE_BUFFER_SIZE ((size_t)64 * 1024)

/* What the format and both libraries use; docs/formats.md. */
#define BLOCK_SIZE_DEFAULT       4096
#define RESTART_INTERVAL_DEFAULT 16
#define INDEX_RESTART_INTERVAL   1

struct ldb_table_builder {
    struct ldb_writable_file *file;
    const struct ldb_table_options *options;
    size_t block_size;
    struct ldb_error error; /* the first one; its status is sticky */
    bool is_finished;
    bool has_filter;
    bool has_waiting_handle; /* of a data block, for the index */
    struct ldb_block_handle waiting_handle;
    uint64_t size; /* of the file with what is buffered */
    uint64_t entry_count;
    uint64_t delete_count; /* of them delete marks */
    struct ldb_block_builder data;
    struct ldb_block_builder index;
    struct ldb_filter_block_builder filter;
    struct ldb_buf last_key; /* of the last whole data block */
    struct ldb_buf index_key;
    struct ldb_buf compressed;
    size_t buffered;
    uint8_t buffer[WRITE_BUFFER_SIZE];
};

static enum ldb_status fail(struct ldb_table_builder *b, enum ldb_status status,
                            const char *what)
{
    return ldb_error_set(&b->error, status, "table being built: %s: %s", what,
                         ldb_status_text(status));
}

static enum ldb_status append_to_file(struct ldb_table_builder *b,
                                      struct ldb_slice bytes)
{
    enum ldb_status s = ldb_file_append(b->file, bytes, &b->error);

    b->error.status = s;
    return s;
}

static enum ldb_status flush_buffer(struct ldb_table_builder *b)
{
    struct ldb_slice bytes = {.data = b->buffer, .len = b->buffered};

    b->buffered = 0;
    return bytes.len == 0 ? LDB_OK : append_to_file(b, bytes);
}

/* Bytes too many for the buffer go to the file at once. */
static enum ldb_status write_bytes(struct ldb_table_builder *b,
                                   struct ldb_slice bytes)
{
    enum ldb_status s = LDB_OK;

    if (bytes.len > sizeof(b->buffer) - b->buffered)
        s = flush_buffer(b);
    if (s != LDB_OK)
        return s;
    if (bytes.len > sizeof(b->buffer)) {
        s = append_to_file(b, bytes);
    } else if (bytes.len > 0) {
        memcpy(b->buffer + b->buffered, bytes.data, bytes.len);
        b->buffered += bytes.len;
    }
    b->size += bytes.len;
    return s;
}

/* Writes the block as it is to be stored, and its trailer. */
static enum ldb_status write_stored(struct ldb_table_builder *b,
                                    struct ldb_slice stored,
                                    enum ldb_block_type type,
                                    struct ldb_block_handle *out_handle)
{
    struct ldb_block_handle handle = {.offset = b->size, .size = stored.len};
    uint8_t trailer[LDB_BLOCK_TRAILER_SIZE];
    uint32_t crc = ldb_crc32c(stored);
    enum ldb_status s;

    trailer[0] = (uint8_t)type;
    crc = ldb_crc32c_extend(crc, ldb_slice_make(trailer, 1));
    ldb_store_fixed32(trailer + 1, ldb_crc_mask(crc));
    s = write_bytes(b, stored);
    if (s != LDB_OK)
        return s;
    s = write_bytes(b, ldb_slice_make(trailer, sizeof(trailer)));
    if (s != LDB_OK)
        return s;
    *out_handle = handle;
    return LDB_OK;
}

/* Finishes the block and writes it, compressed where that pays. */
static enum ldb_status write_block(struct ldb_table_builder *b,
                                   struct ldb_block_builder *block,
                                   struct ldb_block_handle *out_handle)
{
    struct ldb_slice plain;
    bool promises = false;
    enum ldb_status s = ldb_block_builder_finish(block, &plain);

    if (s != LDB_OK)
        return fail(b, s, "finish a block");
    if (b->options->compress)
        s = ldb_compression_try(plain, &b->compressed, &promises);
    if (s == LDB_OK && promises)
        s = ldb_snappy_compress(plain, &b->compressed);
    if (s != LDB_OK)
        return fail(b, s, "compress a block");
    if (promises) {
        if (ldb_compression_pays(plain.len, b->compressed.len))
            return write_stored(b, ldb_slice_of_buf(&b->compressed),
                                LDB_BLOCK_SNAPPY, out_handle);
    }
    return write_stored(b, plain, LDB_BLOCK_PLAIN, out_handle);
}

static enum ldb_status add_handle(struct ldb_table_builder *b,
                                  struct ldb_block_builder *block,
                                  struct ldb_slice key,
                                  struct ldb_block_handle handle)
{
    uint8_t bytes[LDB_BLOCK_HANDLE_MAX];
    uint8_t *end = ldb_block_handle_store(bytes, handle);
    enum ldb_status s = ldb_block_builder_add(
        block, key, ldb_slice_make(bytes, (size_t)(end - bytes)));

    if (s != LDB_OK)
        return fail(b, s, "add a block handle");
    return LDB_OK;
}

/* The data block at waiting_handle is written; last_key is its last. */
static enum ldb_status note_data_block(struct ldb_table_builder *b,
                                       struct ldb_slice last_key)
{
    enum ldb_status s = ldb_buf_assign(&b->last_key, last_key);

    if (s != LDB_OK)
        return fail(b, s, "keep the last key");
    b->has_waiting_handle = true;
    if (!b->has_filter)
        return LDB_OK;
    s = ldb_filter_block_builder_start_block(&b->filter, b->size);
    if (s != LDB_OK)
        return fail(b, s, "build a filter");
    return LDB_OK;
}

/* Writes the data block, which has entries. */
static enum ldb_status end_data_block(struct ldb_table_builder *b)
{
    enum ldb_status s;

    assert(!b->has_waiting_handle);
    s = write_block(b, &b->data, &b->waiting_handle);
    if (s == LDB_OK)
        s = note_data_block(b, ldb_slice_of_buf(&b->data.last_key));
    if (s == LDB_OK)
        ldb_block_builder_clear(&b->data);
    return s;
}

/* next_key NULL: there is none. */
static enum ldb_status add_waiting_handle(struct ldb_table_builder *b,
                                          const struct ldb_slice *next_key)
{
    const struct ldb_comparator *cmp = b->options->comparator;
    struct ldb_slice last = ldb_slice_of_buf(&b->last_key);
    enum ldb_status s;

    if (next_key != NULL)
        s = ldb_internal_separator(cmp, last, *next_key, &b->index_key);
    else
        s = ldb_internal_successor(cmp, last, &b->index_key);
    if (s != LDB_OK)
        return fail(b, s, "shorten an index key");
    b->has_waiting_handle = false;
    return add_handle(b, &b->index, ldb_slice_of_buf(&b->index_key),
                      b->waiting_handle);
}

enum ldb_status
ldb_table_builder_create(struct ldb_writable_file *file,
                         const struct ldb_table_options *options,
                         struct ldb_error *err, struct ldb_table_builder **out)
{
    struct ldb_table_builder *b = ldb_mem_alloc(1, sizeof(*b));
    unsigned interval = options->restart_interval;

    if (b == NULL)
        return ldb_error_no_memory(err);
    /* All but the write buffer, which needs no zeros. */
    memset(b, 0, offsetof(struct ldb_table_builder, buffer));
    b->file = file;
    b->options = options;
    b->block_size =
        options->block_size == 0 ? BLOCK_SIZE_DEFAULT : options->block_size;
    ldb_block_builder_init(&b->data,
                           interval == 0 ? RESTART_INTERVAL_DEFAULT : interval);
    ldb_block_builder_init(&b->index, INDEX_RESTART_INTERVAL);
    b->has_filter = options->filter != NULL;
    if (b->has_filter)
        ldb_filter_block_builder_init(&b->filter, options->filter,
                                      options->filter_base_lg == 0
                                          ? LDB_FILTER_BASE_LG
                                          : options->filter_base_lg);
    b->last_key = (struct ldb_buf)LDB_BUF_INIT(LDB_BLOCK_SIZE_MAX);
    b->index_key = (struct ldb_buf)LDB_BUF_INIT(LDB_BLOCK_SIZE_MAX);
    b->compressed = (struct ldb_buf)LDB_BUF_INIT(SIZE_MAX);
    *out = b;
    return LDB_OK;
}

/* Whether key may follow what was added. */
static enum ldb_status check_order(struct ldb_table_builder *b,
                                   struct ldb_slice key)
{
    const struct ldb_buf *last =
        ldb_block_builder_is_empty(&b->data) ? &b->last_key : &b->data.last_key;

    if (LDB_UNLIKELY(key.len < LDB_TAG_SIZE))
        return fail(b, LDB_CORRUPTION, "internal key shorter than 8 bytes");
    if (LDB_UNLIKELY(b->entry_count > 0 &&
                     ldb_internal_compare(b->options->comparator,
                                          ldb_slice_of_buf(last), key) >= 0))
        return fail(b, LDB_CORRUPTION, "key not above the one before it");
    return LDB_OK;
}

/* What comes before any entry, however it is stored. */
static enum ldb_status begin_entry(struct ldb_table_builder *b,
                                   struct ldb_slice key)
{
    enum ldb_status s = check_order(b, key);

    if (s != LDB_OK)
        return s;
    if (b->has_waiting_handle) {
        s = add_waiting_handle(b, &key);
        if (s != LDB_OK)
            return s;
    }
    if (b->has_filter) {
        s = ldb_filter_block_builder_add(&b->filter,
                                         ldb_internal_user_key(key));
        if (s != LDB_OK)
            return fail(b, s, "add a key to the filter");
    }
    return LDB_OK;
}

static enum ldb_status add_entry(struct ldb_table_builder *b,
                                 struct ldb_slice key, struct ldb_slice value)
{
    enum ldb_status s = begin_entry(b, key);

    if (s != LDB_OK)
        return s;
    s = ldb_block_builder_add(&b->data, key, value);
    if (s != LDB_OK)
        return fail(b, s, "add an entry to a block");
    b->entry_count++;
    b->delete_count += ldb_tag_kind(ldb_internal_tag(key)) == LDB_KIND_DELETE;
    if (ldb_block_builder_size(&b->data) >= b->block_size)
        return end_data_block(b);
    return LDB_OK;
}

/*
 * Would the entry fill a block of its own, stored as this one is? A plain one
 * may be so because it was not to be compressed: that is tried anew.
 */
static bool is_stored_alike(const struct ldb_table_builder *b,
                            struct ldb_slice key, struct ldb_slice value,
                            struct ldb_slice stored)
{
    enum ldb_block_type type =
        b->options->compress ? LDB_BLOCK_SNAPPY : LDB_BLOCK_PLAIN;

    return ldb_block_builder_is_empty(&b->data) &&
           key.len + value.len >= b->block_size &&
           stored.data[stored.len - LDB_BLOCK_TRAILER_SIZE] == type;
}

static enum ldb_status copy_block(struct ldb_table_builder *b,
                                  struct ldb_slice key, struct ldb_slice stored)
{
    struct ldb_block_handle handle;
    enum ldb_status s = begin_entry(b, key);

    if (s != LDB_OK)
        return s;
    handle = (struct ldb_block_handle){
        .offset = b->size, .size = stored.len - LDB_BLOCK_TRAILER_SIZE};
    s = write_bytes(b, stored);
    if (s != LDB_OK)
        return s;
    b->waiting_handle = handle;
    b->entry_count++;
    return note_data_block(b, key);
}

/* Gives the caller the first error again. */
static enum ldb_status report(const struct ldb_table_builder *b,
                              struct ldb_error *err)
{
    if (err != NULL)
        *err = b->error;
    return b->error.status;
}

enum ldb_status ldb_table_builder_add(struct ldb_table_builder *builder,
                                      struct ldb_slice internal_key,
                                      struct ldb_slice value,
                                      struct ldb_error *err)
{
    assert(!builder->is_finished);
    if (LDB_LIKELY(builder->error.status == LDB_OK &&
                   add_entry(builder, internal_key, value) == LDB_OK))
        return LDB_OK;
    return report(builder, err);
}

enum ldb_status ldb_table_builder_add_stored(struct ldb_table_builder *builder,
                                             struct ldb_slice internal_key,
                                             struct ldb_slice value,
                                             struct ldb_slice stored,
                                             struct ldb_error *err)
{
    assert(!builder->is_finished);
    assert(stored.len >= LDB_BLOCK_TRAILER_SIZE);
    if (!is_stored_alike(builder, internal_key, value, stored))
        return ldb_table_builder_add(builder, internal_key, value, err);
    if (LDB_LIKELY(builder->error.status == LDB_OK &&
                   copy_block(builder, internal_key, stored) == LDB_OK))
        return LDB_OK;
    return report(builder, err);
}

static enum ldb_status add_filter_name(struct ldb_table_builder *b,
                                       struct ldb_block_builder *metaindex,
                                       const char *name,
                                       struct ldb_block_handle handle)
{
    struct ldb_buf key = LDB_BUF_INIT(LDB_BLOCK_SIZE_MAX);
    enum ldb_status s =
        ldb_buf_append(&key, ldb_slice_str(LDB_METAINDEX_FILTER_PREFIX));

    if (s == LDB_OK)
        s = ldb_buf_append(&key, ldb_slice_str(name));
    if (s == LDB_OK)
        s = add_handle(b, metaindex, ldb_slice_of_buf(&key), handle);
    else
        s = fail(b, s, "name the filter");
    ldb_buf_release(&key);
    return s;
}

/* The filter block, always plain, and what names it. */
static enum ldb_status write_filter(struct ldb_table_builder *b,
                                    struct ldb_block_builder *metaindex)
{
    const struct ldb_filter_policy *policy = b->options->filter;
    struct ldb_block_handle handle;
    struct ldb_slice contents;
    enum ldb_status s = ldb_filter_block_builder_finish(&b->filter, &contents);

    if (s != LDB_OK)
        return fail(b, s, "finish the filter");
    s = write_stored(b, contents, LDB_BLOCK_PLAIN, &handle);
    if (s != LDB_OK)
        return s;
    if (!ldb_filter_policy_is_builtin(policy))
        return add_filter_name(b, metaindex, policy->name, handle);
    /* Each library asks for its own name; the shorter one sorts first. */
    s = add_filter_name(b, metaindex, LDB_BLOOM_NAME_GOLEVELDB, handle);
    if (s != LDB_OK)
        return s;
    return add_filter_name(b, metaindex, LDB_BLOOM_NAME_LEVELDB, handle);
}

static enum ldb_status write_rest(struct ldb_table_builder *b,
                                  struct ldb_block_builder *metaindex)
{
    struct ldb_footer footer;
    uint8_t bytes[LDB_FOOTER_SIZE];
    enum ldb_status s = LDB_OK;

    if (!ldb_block_builder_is_empty(&b->data))
        s = end_data_block(b);
    if (s == LDB_OK && b->has_filter)
        s = write_filter(b, metaindex);
    if (s == LDB_OK)
        s = write_block(b, metaindex, &footer.metaindex);
    if (s == LDB_OK && b->has_waiting_handle)
        s = add_waiting_handle(b, NULL);
    if (s == LDB_OK)
        s = write_block(b, &b->index, &footer.index);
    if (s != LDB_OK)
        return s;
    ldb_footer_store(bytes, &footer);
    s = write_bytes(b, ldb_slice_make(bytes, sizeof(bytes)));
    if (s != LDB_OK)
        return s;
    return flush_buffer(b);
}

enum ldb_status ldb_table_builder_finish(struct ldb_table_builder *builder,
                                         struct ldb_error *err)
{
    struct ldb_block_builder metaindex;
    enum ldb_status s;

    assert(!builder->is_finished);
    if (builder->error.status != LDB_OK)
        return report(builder, err);
    builder->is_finished = true;
    ldb_block_builder_init(&metaindex, RESTART_INTERVAL_DEFAULT);
    s = write_rest(builder, &metaindex);
    ldb_block_builder_release(&metaindex);
    if (s != LDB_OK)
        return report(builder, err);
    return LDB_OK;
}

uint64_t ldb_table_builder_file_size(const struct ldb_table_builder *builder)
{
    return builder->size;
}

uint64_t ldb_table_builder_entry_count(const struct ldb_table_builder *builder)
{
    return builder->entry_count;
}

struct ldb_table_counts
ldb_table_builder_counts(const struct ldb_table_builder *builder)
{
    return (struct ldb_table_counts){.entries = builder->entry_count,
                                     .deletes = builder->delete_count};
}

void ldb_table_builder_destroy(struct ldb_table_builder *builder)
{
    if (builder == NULL)
        return;
    ldb_block_builder_release(&builder->data);
    ldb_block_builder_release(&builder->index);
    ldb_filter_block_builder_release(&builder->filter);
    ldb_buf_release(&builder->last_key);
    ldb_buf_release(&builder->index_key);
    ldb_buf_release(&builder->compressed);
    ldb_mem_free(builder);
}
