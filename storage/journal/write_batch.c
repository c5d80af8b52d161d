#include "storage/journal/write_batch.h"

#include <inttypes.h>

#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/base/reader.h"
#include "storage/base/status.h"
#include "storage/include/ldb.h"

/* On disk: do not change. Where the operation count stands in the header. */
#define COUNT_OFFSET 8

static_assert(COUNT_OFFSET + 4 == LDB_BATCH_HEADER_SIZE,
              "the header is sequence (8) and count (4)");

void ldb_batch_init(struct ldb_batch *batch, size_t limit)
{
    *batch = (struct ldb_batch){.rep = LDB_BUF_INIT(limit), .count = 0};
}

void ldb_batch_init_over(struct ldb_batch *batch, uint8_t *memory, size_t size)
{
    *batch = (struct ldb_batch){
        .rep = {.data = memory, .len = 0, .capacity = size, .limit = size},
        .count = 0};
}

void ldb_batch_release(struct ldb_batch *batch)
{
    if (batch == NULL)
        return;
    ldb_buf_release(&batch->rep);
    batch->count = 0;
}

void ldb_batch_clear(struct ldb_batch *batch)
{
    ldb_buf_clear(&batch->rep);
    batch->count = 0;
}

enum ldb_status ldb_batch_create(size_t bytes_max, struct ldb_error *err,
                                 struct ldb_batch **out)
{
    struct ldb_batch *batch = ldb_mem_alloc(1, sizeof(*batch));

    if (batch == NULL)
        return ldb_error_no_memory(err);
    ldb_batch_init(batch, bytes_max);
    *out = batch;
    return LDB_OK;
}

void ldb_batch_destroy(struct ldb_batch *batch)
{
    ldb_batch_release(batch);
    ldb_mem_free(batch);
}

/*
 * Makes room for bytes of operations that count more, the header before the
 * first ones, and points at where they go. The batch is unchanged on failure.
 */
static enum ldb_status extend(struct ldb_batch *batch, uint32_t count,
                              size_t bytes, uint8_t **out)
{
    bool is_fresh = batch->rep.len == 0;
    uint32_t total;
    uint8_t *p;
    enum ldb_status s;

    if (__builtin_add_overflow(batch->count, count, &total))
        return LDB_TOO_LARGE;
    if (is_fresh && !ldb_size_add(bytes, LDB_BATCH_HEADER_SIZE, &bytes))
        return LDB_TOO_LARGE;
    s = ldb_buf_extend(&batch->rep, bytes, &p);
    if (s != LDB_OK)
        return s;
    if (is_fresh) {
        ldb_store_fixed64(p, 0);
        p += LDB_BATCH_HEADER_SIZE;
    }
    batch->count = total;
    ldb_store_fixed32(batch->rep.data + COUNT_OFFSET, total);
    *out = p;
    return LDB_OK;
}

static uint8_t *store_item(uint8_t *p, struct ldb_slice item)
{
    p = ldb_store_varint32(p, (uint32_t)item.len);
    if (item.len != 0)
        memcpy(p, item.data, item.len);
    return p + item.len;
}

enum ldb_status ldb_batch_put(struct ldb_batch *batch, struct ldb_slice key,
                              struct ldb_slice value)
{
    enum ldb_status s;
    uint8_t *p;

    if (key.len >= LDB_BATCH_ITEM_MAX || value.len >= LDB_BATCH_ITEM_MAX)
        return LDB_TOO_LARGE;
    /* Both are below 2^31: the sum cannot wrap. */
    s = extend(batch, 1,
               1 + ldb_varint_len(key.len) + key.len +
                   ldb_varint_len(value.len) + value.len,
               &p);
    if (s != LDB_OK)
        return s;
    *p++ = LDB_KIND_PUT;
    p = store_item(p, key);
    p = store_item(p, value);
    assert(p == batch->rep.data + batch->rep.len);
    return LDB_OK;
}

enum ldb_status ldb_batch_delete(struct ldb_batch *batch, struct ldb_slice key)
{
    enum ldb_status s;
    uint8_t *p;

    if (key.len >= LDB_BATCH_ITEM_MAX)
        return LDB_TOO_LARGE;
    s = extend(batch, 1, 1 + ldb_varint_len(key.len) + key.len, &p);
    if (s != LDB_OK)
        return s;
    *p++ = LDB_KIND_DELETE;
    p = store_item(p, key);
    assert(p == batch->rep.data + batch->rep.len);
    return LDB_OK;
}

enum ldb_status ldb_batch_append(struct ldb_batch *batch,
                                 const struct ldb_batch *source)
{
    enum ldb_status s;
    size_t bytes;
    uint8_t *p;

    assert(batch != source);
    if (source->count == 0)
        return LDB_OK;
    assert(source->rep.len > LDB_BATCH_HEADER_SIZE);
    bytes = source->rep.len - LDB_BATCH_HEADER_SIZE;
    s = extend(batch, source->count, bytes, &p);
    if (s != LDB_OK)
        return s;
    memcpy(p, source->rep.data + LDB_BATCH_HEADER_SIZE, bytes);
    return LDB_OK;
}

enum ldb_status ldb_batch_parse(struct ldb_batch *batch, struct ldb_slice bytes,
                                struct ldb_error *err)
{
    uint32_t count;
    enum ldb_status s;

    s = ldb_batch_check(bytes, err, NULL, &count);
    if (s != LDB_OK)
        return s;
    s = ldb_buf_assign(&batch->rep, bytes);
    if (s == LDB_TOO_LARGE)
        return ldb_error_set(err, s, "batch of %zu bytes, at most %zu",
                             bytes.len, batch->rep.limit);
    if (s != LDB_OK)
        return ldb_error_no_memory(err);
    batch->count = count;
    return LDB_OK;
}

void ldb_batch_set_sequence(struct ldb_batch *batch, ldb_sequence first)
{
    assert(first <= LDB_SEQUENCE_MAX);
    if (batch->rep.len != 0)
        ldb_store_fixed64(batch->rep.data, first);
}

/* ---- reading ---- */

/* What read_op() found; a fault says which part of the operation is bad. */
enum op_fault {
    OP_SOUND,
    OP_KIND,
    OP_KEY,
    OP_VALUE
};

static enum op_fault read_op(struct ldb_reader *r, struct ldb_batch_op *out)
{
    struct ldb_batch_op op = {.kind = LDB_KIND_DELETE};
    uint8_t kind;

    if (!ldb_reader_u8(r, &kind) || kind > LDB_KIND_PUT)
        return OP_KIND;
    if (!ldb_reader_length_prefixed(r, &op.key) ||
        op.key.len >= LDB_BATCH_ITEM_MAX)
        return OP_KEY;
    if (kind == LDB_KIND_PUT) {
        op.kind = LDB_KIND_PUT;
        if (!ldb_reader_length_prefixed(r, &op.value) ||
            op.value.len >= LDB_BATCH_ITEM_MAX)
            return OP_VALUE;
    }
    *out = op;
    return OP_SOUND;
}

static const char *op_fault_text(enum op_fault fault)
{
    switch (fault) {
    case OP_SOUND:
        break;
    case OP_KIND:
        return "unknown kind";
    case OP_KEY:
        return "bad key length";
    case OP_VALUE:
        return "bad value length";
    }
    return "sound";
}

/* Reads the operations to the end; their count is compared with the header's.
 */
static enum ldb_status check_ops(struct ldb_slice bytes, uint32_t count,
                                 struct ldb_error *err)
{
    struct ldb_reader r = ldb_reader_make(bytes);
    struct ldb_slice header;
    uint32_t found = 0;

    (void)ldb_reader_bytes(&r, LDB_BATCH_HEADER_SIZE, &header);
    while (ldb_reader_left(&r) != 0) {
        size_t offset = bytes.len - ldb_reader_left(&r);
        struct ldb_batch_op op;
        enum op_fault fault;

        if (found == count)
            return ldb_error_set(err, LDB_CORRUPTION,
                                 "batch: bytes after its %" PRIu32
                                 " operations, at byte %zu of %zu",
                                 count, offset, bytes.len);
        fault = read_op(&r, &op);
        if (fault != OP_SOUND)
            return ldb_error_set(
                err, LDB_CORRUPTION,
                "batch: operation %" PRIu32 " at byte %zu of %zu: %s", found,
                offset, bytes.len, op_fault_text(fault));
        found++;
    }
    if (found != count)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "batch: %" PRIu32 " operations in %zu bytes, "
                             "%" PRIu32 " announced",
                             found, bytes.len, count);
    return LDB_OK;
}

enum ldb_status ldb_batch_check(struct ldb_slice bytes, struct ldb_error *err,
                                ldb_sequence *out_first, uint32_t *out_count)
{
    struct ldb_reader r = ldb_reader_make(bytes);
    uint64_t first;
    uint32_t count;
    enum ldb_status s;

    (void)ldb_reader_fixed64(&r, &first);
    (void)ldb_reader_fixed32(&r, &count);
    if (r.failed)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "batch: %zu bytes, its header has %d", bytes.len,
                             LDB_BATCH_HEADER_SIZE);
    /* Operation i has number first + i, and numbers have 56 bits. */
    if (first > LDB_SEQUENCE_MAX ||
        (count != 0 && count - 1 > LDB_SEQUENCE_MAX - first))
        return ldb_error_set(err, LDB_CORRUPTION,
                             "batch: %" PRIu32 " operations from sequence "
                             "%" PRIu64 " pass the last number",
                             count, first);
    s = check_ops(bytes, count, err);
    if (s != LDB_OK)
        return s;
    if (out_first != NULL)
        *out_first = first;
    if (out_count != NULL)
        *out_count = count;
    return LDB_OK;
}

struct ldb_batch_cursor ldb_batch_cursor_make(struct ldb_slice bytes)
{
    struct ldb_reader r = ldb_reader_make(bytes);
    struct ldb_slice header;

    (void)ldb_reader_bytes(&r, LDB_BATCH_HEADER_SIZE, &header);
    if (r.failed)
        return (struct ldb_batch_cursor){0};
    return (struct ldb_batch_cursor){
        .left = ldb_slice_make(r.p, ldb_reader_left(&r))};
}

bool ldb_batch_cursor_next(struct ldb_batch_cursor *cursor,
                           struct ldb_batch_op *out)
{
    struct ldb_reader r = ldb_reader_make(cursor->left);

    if (cursor->left.len == 0 || read_op(&r, out) != OP_SOUND)
        return false;
    cursor->left = ldb_slice_make(r.p, ldb_reader_left(&r));
    return true;
}
