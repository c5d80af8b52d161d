#include "api/range_scan.h"

#include <string.h>

#include "api/context.h"
#include "api/problem.h"
#include "storage/base/buf.h"

/* First byte of a cursor: how its page was walked. */
#define CURSOR_FORWARD 'f'
#define CURSOR_REVERSE 'r'

/* Keys in both bounds; both libraries end at 2 GiB a key. */
#define BOUNDS_MAX ((size_t)UINT32_MAX)

/* ---- the query ---- */

static void raise_lower(struct api_range_query *query, struct ldb_slice bound)
{
    if (ldb_slice_compare(bound, query->lower) > 0)
        query->lower = bound;
}

static void cut_upper(struct api_range_query *query, struct ldb_slice bound)
{
    if (!query->has_upper || ldb_slice_compare(bound, query->upper) < 0) {
        query->has_upper = true;
        query->upper = bound;
    }
}

/* The first key after all that begin with prefix; false: there is none. */
static bool prefix_end(uint8_t *bytes, size_t *len)
{
    while (*len > 0 && bytes[*len - 1] == 0xff)
        (*len)--;
    if (*len == 0)
        return false;
    bytes[*len - 1]++;
    return true;
}

static bool add_prefix(struct api_exchange *x, struct api_range_query *query,
                       struct ldb_slice prefix)
{
    uint8_t *bytes = ldb_arena_dup(x->arena, prefix);
    size_t len = prefix.len;

    if (bytes == NULL) {
        api_answer_no_memory(x);
        return false;
    }
    raise_lower(query, prefix);
    if (prefix_end(bytes, &len))
        cut_upper(query, ldb_slice_make(bytes, len));
    return true;
}

static bool add_cursor(struct api_exchange *x, struct api_range_query *query,
                       struct ldb_slice text)
{
    struct ldb_slice bytes = {0};
    uint8_t *after;
    uint8_t direction = query->is_reverse ? CURSOR_REVERSE : CURSOR_FORWARD;

    switch (api_text_decode(x->arena, API_ENCODING_BASE64URL, text, &bytes)) {
    case API_DECODE_NO_MEMORY:
        api_answer_no_memory(x);
        return false;
    case API_DECODE_OK:
    case API_DECODE_BAD:
        break;
    }
    if (bytes.len == 0 || bytes.data[0] != direction) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "parameter 'cursor' is the \"next\" of a page of "
                            "the same range and direction");
        return false;
    }
    bytes = ldb_slice_make(bytes.data + 1, bytes.len - 1);
    if (query->is_reverse) {
        cut_upper(query, bytes);
        return true;
    }
    /* The first key after this one is it with a zero byte. */
    after = ldb_arena_alloc(x->arena, bytes.len + 1);
    if (after == NULL) {
        api_answer_no_memory(x);
        return false;
    }
    if (bytes.len > 0)
        memcpy(after, bytes.data, bytes.len);
    after[bytes.len] = 0;
    raise_lower(query, ldb_slice_make(after, bytes.len + 1));
    return true;
}

bool api_range_bounds_parse(struct api_exchange *x,
                            const struct api_params *params,
                            struct api_range_query *query)
{
    enum api_encoding enc;
    struct ldb_slice bound;
    bool is_given;

    if (!api_params_enc(x, params, &enc) ||
        !api_params_key(x, params, "start", enc, &is_given, &query->lower) ||
        !api_params_key(x, params, "end", enc, &query->has_upper,
                        &query->upper) ||
        !api_params_key(x, params, "prefix", enc, &is_given, &bound))
        return false;
    return !is_given || add_prefix(x, query, bound);
}

bool api_range_query_parse(struct api_exchange *x, bool is_page,
                           struct api_range_query *out)
{
    static const char *const allowed[] = {
        "start",  "end", "prefix", "limit",    "reverse",
        "values", "enc", "cursor", "encoding", NULL};
    const struct api_limits *limits = &x->context->limits;
    struct api_range_query query = {
        .with_values = true,
        .limit = limits->range_items_default,
    };
    const struct ldb_slice *cursor;
    struct api_params params;

    if (!api_params_parse(x, allowed, &params) ||
        !api_params_bool(x, &params, "reverse", &query.is_reverse) ||
        !api_params_bool(x, &params, "values", &query.with_values) ||
        !api_params_encoding(x, &params, &query.encoding) ||
        !api_params_u64(x, &params, "limit", 1,
                        is_page ? limits->range_items_max : UINT64_MAX,
                        &query.limit) ||
        !api_range_bounds_parse(x, &params, &query))
        return false;
    cursor = api_params_find(&params, "cursor");
    if (cursor != NULL && !add_cursor(x, &query, *cursor))
        return false;
    query.has_limit = is_page || api_params_find(&params, "limit") != NULL;
    *out = query;
    return true;
}

/* ---- the walk ---- */

static struct ldb_slice lower_of(const struct api_range_scan *scan)
{
    return ldb_slice_make(scan->bounds.data, scan->lower_len);
}

static struct ldb_slice upper_of(const struct api_range_scan *scan)
{
    struct ldb_slice all = ldb_slice_of_buf(&scan->bounds);

    if (all.len == 0)
        return all;
    return ldb_slice_make(all.data + scan->lower_len,
                          all.len - scan->lower_len);
}

static void go_to_first(struct api_range_scan *scan)
{
    if (!scan->is_reverse)
        ldb_cursor_seek(scan->cursor, lower_of(scan));
    else if (scan->has_upper)
        ldb_cursor_seek_before(scan->cursor, upper_of(scan));
    else
        ldb_cursor_seek_last(scan->cursor);
}

enum ldb_status api_range_scan_open(struct ldb_db *db,
                                    const struct api_range_query *query,
                                    bool skip_cache, struct ldb_error *err,
                                    struct api_range_scan *out)
{
    struct ldb_read_options options = {.skip_cache = skip_cache};
    struct api_range_scan scan = {
        .bounds = LDB_BUF_INIT(BOUNDS_MAX),
        .lower_len = query->lower.len,
        .has_upper = query->has_upper,
        .is_reverse = query->is_reverse,
    };
    enum ldb_status s;

    s = ldb_buf_append(&scan.bounds, query->lower);
    if (s == LDB_OK && query->has_upper)
        s = ldb_buf_append(&scan.bounds, query->upper);
    if (s == LDB_OK)
        s = ldb_cursor_open(db, &options, err, &scan.cursor);
    if (s != LDB_OK) {
        ldb_buf_release(&scan.bounds);
        return s;
    }
    go_to_first(&scan);
    *out = scan;
    return LDB_OK;
}

void api_range_scan_close(struct api_range_scan *scan)
{
    if (scan->cursor != NULL)
        ldb_cursor_close(scan->cursor);
    scan->cursor = NULL;
    ldb_buf_release(&scan->bounds);
}

bool api_range_scan_valid(const struct api_range_scan *scan)
{
    struct ldb_slice key;

    if (!ldb_cursor_valid(scan->cursor))
        return false;
    key = ldb_cursor_key(scan->cursor);
    if (scan->is_reverse)
        return ldb_slice_compare(key, lower_of(scan)) >= 0;
    return !scan->has_upper || ldb_slice_compare(key, upper_of(scan)) < 0;
}

void api_range_scan_next(struct api_range_scan *scan)
{
    if (scan->is_reverse)
        ldb_cursor_prev(scan->cursor);
    else
        ldb_cursor_next(scan->cursor);
}

enum ldb_status api_range_cursor_write(bool is_reverse,
                                       struct ldb_slice last_key,
                                       struct ldb_buf *out)
{
    uint8_t direction = is_reverse ? CURSOR_REVERSE : CURSOR_FORWARD;
    /* The direction's byte shifts the key's groups of three: the first two
     * bytes of the key go with it, the rest follows in whole groups. */
    uint8_t head[3] = {direction, 0, 0};
    size_t with_head = last_key.len < 2 ? last_key.len : 2;
    struct api_string_writer writer = {
        .encoding = API_ENCODING_BASE64URL,
        .bytes = ldb_slice_make(head, 1 + with_head),
    };
    enum ldb_status s = LDB_OK;

    if (with_head > 0)
        memcpy(head + 1, last_key.data, with_head);
    for (unsigned part = 0; part < 2; part++) {
        uint8_t piece[512];
        size_t len;

        while (s == LDB_OK &&
               (len = api_string_next(&writer, piece, sizeof(piece))) > 0)
            s = ldb_buf_append(out, ldb_slice_make(piece, len));
        if (last_key.len <= with_head)
            break;
        writer = (struct api_string_writer){
            .encoding = API_ENCODING_BASE64URL,
            .bytes = ldb_slice_make(last_key.data + with_head,
                                    last_key.len - with_head),
        };
    }
    return s;
}
