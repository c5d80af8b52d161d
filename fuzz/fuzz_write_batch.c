/*
 * A batch from any bytes. What is found sound has as many operations as it
 * says, taken from inside the bytes, and written anew it reads the same; a
 * cursor over unsound bytes comes to an end.
 */
#include "storage/base/checksum.h"
#include "storage/journal/write_batch.h"

/* Bytes of a batch; inputs are shorter. */
#define LIMIT ((size_t)1 << 20)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static void assert_inside(struct ldb_slice part, struct ldb_slice whole)
{
    if (part.len == 0)
        return;
    assert(part.data >= whole.data);
    assert(part.len <= whole.len);
    assert((size_t)(part.data - whole.data) <= whole.len - part.len);
}

/* Adds the operations of bytes to batch; their number. */
static uint64_t copy_operations(struct ldb_slice bytes, struct ldb_batch *batch,
                                enum ldb_status *out)
{
    struct ldb_batch_cursor cursor = ldb_batch_cursor_make(bytes);
    struct ldb_batch_op op;
    uint64_t count = 0;

    *out = LDB_OK;
    while (*out == LDB_OK && ldb_batch_cursor_next(&cursor, &op)) {
        assert_inside(op.key, bytes);
        assert_inside(op.value, bytes);
        switch (op.kind) {
        case LDB_KIND_PUT:
            *out = ldb_batch_put(batch, op.key, op.value);
            break;
        case LDB_KIND_DELETE:
            assert(op.value.len == 0);
            *out = ldb_batch_delete(batch, op.key);
            break;
        }
        count++;
    }
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ldb_slice input = ldb_slice_make(bytes, len);
    ldb_sequence first = 0;
    uint32_t count = 0;
    enum ldb_status checked = ldb_batch_check(input, NULL, &first, &count);
    struct ldb_batch parsed;
    struct ldb_batch copy;
    enum ldb_status s;
    uint64_t found;

    assert(checked == LDB_OK || checked == LDB_CORRUPTION);
    ldb_batch_init(&parsed, LIMIT);
    ldb_batch_init(&copy, LIMIT);
    found = copy_operations(input, &copy, &s);
    assert(found == copy.count || s != LDB_OK);
    assert(ldb_batch_parse(&parsed, input, NULL) == checked || len > LIMIT);
    if (checked == LDB_OK && s == LDB_OK && len <= LIMIT) {
        assert(found == count);
        assert(first <= LDB_SEQUENCE_MAX);
        assert(parsed.count == count);
        assert(ldb_slice_equal(ldb_slice_of_buf(&parsed.rep), input));
        ldb_batch_set_sequence(&copy, first);
        /* Lengths may have been longer than needed, never shorter. */
        assert(copy.rep.len <= len);
        assert(count == 0 || copy.rep.len != len ||
               ldb_slice_equal(ldb_slice_of_buf(&copy.rep), input));
        assert(count == 0 || ldb_batch_check(ldb_slice_of_buf(&copy.rep), NULL,
                                             NULL, NULL) == LDB_OK);
    }
    ldb_batch_release(&parsed);
    ldb_batch_release(&copy);
    return 0;
}
