#include "storage/cursor_bounds.h"

#include "storage/base/internal_key.h"
#include "storage/base/status.h"

/* From a copy of a prefix to the first key behind all that begin with it;
 * false: there is none. */
static bool make_prefix_end(struct ldb_buf *bytes)
{
    while (bytes->len > 0 && bytes->data[bytes->len - 1] == 0xff)
        bytes->len--;
    if (bytes->len == 0)
        return false;
    bytes->data[bytes->len - 1]++;
    return true;
}

/* NULL: open. */
static const struct ldb_slice *greater(const struct ldb_slice *a,
                                       const struct ldb_slice *b)
{
    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    return ldb_slice_compare(*a, *b) > 0 ? a : b;
}

static const struct ldb_slice *lesser(const struct ldb_slice *a,
                                      const struct ldb_slice *b)
{
    if (a == NULL || b == NULL)
        return a == NULL ? b : a;
    return ldb_slice_compare(*a, *b) < 0 ? a : b;
}

/* User keys, NULL: open, into *bytes and *out. */
static enum ldb_status copy(const struct ldb_slice *lower,
                            const struct ldb_slice *upper,
                            struct ldb_error *err, struct ldb_buf *bytes,
                            struct ldb_key_bounds *out)
{
    uint64_t tag = ldb_tag_make(LDB_SEQUENCE_MAX, LDB_KIND_SEEK);
    enum ldb_status s = LDB_OK;
    size_t lower_len;

    if (lower != NULL)
        s = ldb_internal_key_append(bytes, *lower, tag);
    lower_len = bytes->len;
    if (s == LDB_OK && upper != NULL)
        s = ldb_internal_key_append(bytes, *upper, tag);
    if (s != LDB_OK)
        return ldb_error_set(err, s, "copy the bounds of a cursor");
    if (bytes->len > 0)
        *out = (struct ldb_key_bounds){
            .lower = ldb_slice_make(bytes->data, lower_len),
            .upper =
                ldb_slice_make(bytes->data + lower_len, bytes->len - lower_len),
        };
    return LDB_OK;
}

enum ldb_status ldb_cursor_bounds_make(const struct ldb_comparator *comparator,
                                       const struct ldb_read_options *options,
                                       struct ldb_error *err,
                                       struct ldb_buf *bytes,
                                       struct ldb_key_bounds *out)
{
    const struct ldb_slice *lower = options->lower;
    const struct ldb_slice *upper = options->upper;
    struct ldb_buf behind = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_slice prefix_end;
    enum ldb_status s;

    if (options->prefix != NULL) {
        if (comparator != ldb_comparator_bytewise())
            return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                                 "a prefix needs keys in the order of their "
                                 "bytes, not that of comparator %s",
                                 comparator->name);
        s = ldb_buf_assign(&behind, *options->prefix);
        if (s != LDB_OK)
            return ldb_error_set(err, s, "copy the prefix of a cursor");
        lower = greater(lower, options->prefix);
        if (make_prefix_end(&behind)) {
            prefix_end = ldb_slice_of_buf(&behind);
            upper = lesser(upper, &prefix_end);
        }
    }
    s = copy(lower, upper, err, bytes, out);
    ldb_buf_release(&behind);
    return s;
}
