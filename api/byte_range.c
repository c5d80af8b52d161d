#include "api/byte_range.h"

#include "storage/base/checked.h"
#include "storage/base/slice.h"

static bool take_number(struct ldb_slice *left, bool *out_given, uint64_t *out)
{
    size_t digits = 0;

    while (digits < left->len && left->data[digits] >= '0' &&
           left->data[digits] <= '9')
        digits++;
    *out_given = digits > 0;
    *out = 0;
    if (digits > 0 && !ldb_parse_u64(ldb_slice_make(left->data, digits), out))
        return false;
    *left = ldb_slice_make(left->data + digits, left->len - digits);
    return true;
}

enum api_byte_range api_byte_range_parse(struct ldb_slice text, uint64_t total,
                                         uint64_t *out_start, uint64_t *out_len)
{
    struct ldb_slice unit = ldb_slice_str("bytes=");
    bool has_first;
    bool has_last;
    uint64_t first;
    uint64_t last;

    if (!ldb_slice_starts_with(text, unit))
        return API_RANGE_WHOLE;
    text = ldb_slice_make(text.data + unit.len, text.len - unit.len);
    if (!take_number(&text, &has_first, &first) || text.len == 0 ||
        text.data[0] != '-')
        return API_RANGE_WHOLE;
    text = ldb_slice_make(text.data + 1, text.len - 1);
    if (!take_number(&text, &has_last, &last) || text.len != 0 ||
        (!has_first && !has_last) || (has_first && has_last && last < first))
        return API_RANGE_WHOLE;
    if (!has_first) { /* the last so many bytes */
        if (last == 0 || total == 0)
            return API_RANGE_OUTSIDE;
        first = last < total ? total - last : 0;
        last = total - 1;
    }
    if (first >= total)
        return API_RANGE_OUTSIDE;
    if (!has_last || last >= total)
        last = total - 1;
    *out_start = first;
    *out_len = last - first + 1;
    return API_RANGE_PART;
}
