#include "storage/table/block_builder.h"

#include "storage/base/writer.h"
#include "storage/table/common_prefix.h"

void ldb_block_builder_init(struct ldb_block_builder *builder,
                            unsigned restart_interval)
{
    assert(restart_interval >= 1);
    *builder = (struct ldb_block_builder){
        .bytes = LDB_BUF_INIT(LDB_BLOCK_SIZE_MAX),
        .restarts = LDB_BUF_INIT(LDB_BLOCK_SIZE_MAX),
        .last_key = LDB_BUF_INIT(LDB_BLOCK_SIZE_MAX),
        .restart_interval = restart_interval,
    };
}

void ldb_block_builder_release(struct ldb_block_builder *builder)
{
    ldb_buf_release(&builder->bytes);
    ldb_buf_release(&builder->restarts);
    ldb_buf_release(&builder->last_key);
}

void ldb_block_builder_clear(struct ldb_block_builder *builder)
{
    ldb_buf_clear(&builder->bytes);
    ldb_buf_clear(&builder->restarts);
    ldb_buf_clear(&builder->last_key);
    builder->entries_since_restart = 0;
    builder->entry_count = 0;
}

static inline uint8_t *store_lengths(uint8_t *p, uint32_t shared,
                                     uint32_t unshared, uint32_t value_len)
{
    if (LDB_LIKELY((shared | unshared | value_len) < 0x80)) {
        p[0] = (uint8_t)shared;
        p[1] = (uint8_t)unshared;
        p[2] = (uint8_t)value_len;
        return p + 3;
    }
    p = ldb_store_varint32(p, shared);
    p = ldb_store_varint32(p, unshared);
    return ldb_store_varint32(p, value_len);
}

/* last_key becomes key, whose first shared bytes it has already. */
static enum ldb_status remember_key(struct ldb_block_builder *builder,
                                    struct ldb_slice key, size_t shared)
{
    builder->last_key.len = shared;
    if (key.len == shared)
        return LDB_OK;
    return ldb_buf_append(
        &builder->last_key,
        (struct ldb_slice){.data = key.data + shared, .len = key.len - shared});
}

enum ldb_status ldb_block_builder_add(struct ldb_block_builder *builder,
                                      struct ldb_slice key,
                                      struct ldb_slice value)
{
    struct ldb_buf *bytes = &builder->bytes;
    size_t shared = 0;
    uint8_t *p;
    enum ldb_status s;

    if (key.len > LDB_BLOCK_SIZE_MAX || value.len > LDB_BLOCK_SIZE_MAX)
        return LDB_TOO_LARGE;
    if (builder->entry_count == 0 ||
        builder->entries_since_restart == builder->restart_interval) {
        s = ldb_put_fixed32(&builder->restarts, (uint32_t)bytes->len);
        if (s != LDB_OK)
            return s;
        builder->entries_since_restart = 0;
    } else {
        shared =
            builder->last_key.len < key.len ? builder->last_key.len : key.len;
        shared = ldb_common_prefix(builder->last_key.data, key.data, shared);
    }
    s = ldb_buf_reserve(bytes,
                        3 * LDB_VARINT32_MAX + key.len - shared + value.len);
    if (s != LDB_OK)
        return s;
    p = store_lengths(bytes->data + bytes->len, (uint32_t)shared,
                      (uint32_t)(key.len - shared), (uint32_t)value.len);
    if (key.len > shared)
        memcpy(p, key.data + shared, key.len - shared);
    p += key.len - shared;
    if (value.len > 0)
        memcpy(p, value.data, value.len);
    p += value.len;
    bytes->len = (size_t)(p - bytes->data);
    builder->entries_since_restart++;
    builder->entry_count++;
    return remember_key(builder, key, shared);
}

enum ldb_status ldb_block_builder_finish(struct ldb_block_builder *builder,
                                         struct ldb_slice *out)
{
    uint32_t count;
    enum ldb_status s;

    if (builder->restarts.len == 0) {
        s = ldb_put_fixed32(&builder->restarts, 0);
        if (s != LDB_OK)
            return s;
    }
    count = (uint32_t)(builder->restarts.len / 4);
    s = ldb_buf_append(&builder->bytes, ldb_slice_of_buf(&builder->restarts));
    if (s != LDB_OK)
        return s;
    s = ldb_put_fixed32(&builder->bytes, count);
    if (s != LDB_OK)
        return s;
    *out = ldb_slice_of_buf(&builder->bytes);
    return LDB_OK;
}
