#include "storage/table/filter_block.h"

#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/base/writer.h"

void ldb_filter_block_builder_init(struct ldb_filter_block_builder *builder,
                                   const struct ldb_filter_policy *policy,
                                   unsigned base_lg)
{
    assert(base_lg <= 63);
    *builder = (struct ldb_filter_block_builder){
        .policy = policy,
        .base_lg = base_lg,
        .filters = LDB_BUF_INIT(UINT32_MAX),
        .offsets = LDB_BUF_INIT(UINT32_MAX),
        .hashes = LDB_BUF_INIT(UINT32_MAX),
        .key_bytes = LDB_BUF_INIT(UINT32_MAX),
        .key_ends = LDB_BUF_INIT(UINT32_MAX),
    };
}

void ldb_filter_block_builder_release(struct ldb_filter_block_builder *builder)
{
    ldb_buf_release(&builder->filters);
    ldb_buf_release(&builder->offsets);
    ldb_buf_release(&builder->hashes);
    ldb_buf_release(&builder->key_bytes);
    ldb_buf_release(&builder->key_ends);
}

/* The filter of pending keys by the policy's own functions. */
static enum ldb_status create_foreign(struct ldb_filter_block_builder *builder)
{
    size_t count = builder->key_ends.len / sizeof(size_t);
    struct ldb_slice *keys = ldb_mem_alloc(count, sizeof(*keys));
    size_t start = 0;
    enum ldb_status s;

    if (keys == NULL)
        return LDB_NO_MEMORY;
    for (size_t i = 0; i < count; i++) {
        size_t end;

        memcpy(&end, builder->key_ends.data + i * sizeof(end), sizeof(end));
        keys[i] = (struct ldb_slice){.len = end - start};
        if (end > start)
            keys[i].data = builder->key_bytes.data + start;
        start = end;
    }
    s = builder->policy->create(builder->policy->context, keys, count,
                                &builder->filters);
    ldb_mem_free(keys);
    return s;
}

static bool has_pending_keys(const struct ldb_filter_block_builder *builder)
{
    return builder->hashes.len > 0 || builder->key_ends.len > 0;
}

/* Ends the current filter; without keys it is zero bytes long. */
static enum ldb_status emit_filter(struct ldb_filter_block_builder *builder)
{
    enum ldb_status s =
        ldb_put_fixed32(&builder->offsets, (uint32_t)builder->filters.len);

    if (s != LDB_OK || !has_pending_keys(builder))
        return s;
    if (ldb_filter_policy_is_builtin(builder->policy)) {
        /* Allocated, so aligned for any object. */
        const void *hashes = builder->hashes.data;

        s = ldb_bloom_create_hashed(builder->policy->bloom_bits_per_key, hashes,
                                    builder->hashes.len / sizeof(uint32_t),
                                    &builder->filters);
    } else {
        s = create_foreign(builder);
    }
    ldb_buf_clear(&builder->hashes);
    ldb_buf_clear(&builder->key_bytes);
    ldb_buf_clear(&builder->key_ends);
    return s;
}

enum ldb_status
ldb_filter_block_builder_start_block(struct ldb_filter_block_builder *builder,
                                     uint64_t offset)
{
    uint64_t index = offset >> builder->base_lg;

    while (index > builder->offsets.len / 4) {
        enum ldb_status s = emit_filter(builder);

        if (s != LDB_OK)
            return s;
    }
    return LDB_OK;
}

enum ldb_status
ldb_filter_block_builder_add(struct ldb_filter_block_builder *builder,
                             struct ldb_slice user_key)
{
    size_t end;
    enum ldb_status s;

    if (ldb_filter_policy_is_builtin(builder->policy)) {
        uint32_t hash = ldb_bloom_hash(user_key);

        return ldb_buf_append(&builder->hashes,
                              ldb_slice_make(&hash, sizeof(hash)));
    }
    s = ldb_buf_append(&builder->key_bytes, user_key);
    if (s != LDB_OK)
        return s;
    end = builder->key_bytes.len;
    return ldb_buf_append(&builder->key_ends,
                          ldb_slice_make(&end, sizeof(end)));
}

enum ldb_status
ldb_filter_block_builder_finish(struct ldb_filter_block_builder *builder,
                                struct ldb_slice *out)
{
    enum ldb_status s = LDB_OK;
    uint32_t array_offset;

    if (has_pending_keys(builder))
        s = emit_filter(builder);
    if (s != LDB_OK)
        return s;
    array_offset = (uint32_t)builder->filters.len;
    s = ldb_buf_append(&builder->filters, ldb_slice_of_buf(&builder->offsets));
    if (s != LDB_OK)
        return s;
    s = ldb_put_fixed32(&builder->filters, array_offset);
    if (s != LDB_OK)
        return s;
    s = ldb_buf_append_byte(&builder->filters, (uint8_t)builder->base_lg);
    if (s != LDB_OK)
        return s;
    *out = ldb_slice_of_buf(&builder->filters);
    return LDB_OK;
}

void ldb_filter_block_init(struct ldb_filter_block *filter,
                           const struct ldb_filter_policy *policy,
                           struct ldb_slice contents)
{
    size_t tail, array_offset;

    *filter = (struct ldb_filter_block){.policy = policy};
    /* The array's offset and baseLg. */
    if (contents.len < 5)
        return;
    tail = contents.len - 5;
    array_offset = ldb_load_fixed32(contents.data + tail);
    if (array_offset > tail)
        return;
    if (contents.data[contents.len - 1] > 63)
        return;
    filter->data = contents.data;
    filter->offsets = contents.data + array_offset;
    /* The array's own offset stands behind it: the end of the last filter. */
    filter->filter_count = (tail - array_offset) / 4;
    filter->base_lg = contents.data[contents.len - 1];
}

bool ldb_filter_block_may_match(const struct ldb_filter_block *filter,
                                uint64_t block_offset,
                                struct ldb_slice user_key)
{
    uint64_t index = block_offset >> filter->base_lg;
    uint32_t start, limit;

    if (index >= filter->filter_count)
        return true;
    start = ldb_load_fixed32(filter->offsets + 4 * index);
    limit = ldb_load_fixed32(filter->offsets + 4 * index + 4);
    if (start > limit || limit > (size_t)(filter->offsets - filter->data))
        return true;
    if (start == limit)
        return false;
    return ldb_filter_policy_may_match(
        filter->policy, user_key,
        (struct ldb_slice){.data = filter->data + start, .len = limit - start});
}
