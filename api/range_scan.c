#include "api/range_scan.h"

#include <string.h>

#include "api/auth.h"
#include "api/context.h"
#include "api/problem.h"
#include "storage/base/buf.h"
#include "storage/base/reader.h"

/* First byte of a cursor: how its page was walked; capital: a snapshot's. */
#define CURSOR_FORWARD          'f'
#define CURSOR_REVERSE          'r'
#define CURSOR_FORWARD_SNAPSHOT 'F'
#define CURSOR_REVERSE_SNAPSHOT 'R'

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

static uint8_t cursor_mark(bool is_reverse, bool has_snapshot)
{
    if (has_snapshot)
        return is_reverse ? CURSOR_REVERSE_SNAPSHOT : CURSOR_FORWARD_SNAPSHOT;
    return is_reverse ? CURSOR_REVERSE : CURSOR_FORWARD;
}

/* Takes the mark and the snapshot off a cursor's bytes. */
static bool take_cursor_head(struct ldb_slice bytes, bool is_reverse,
                             struct api_snapshot_choice *out,
                             struct ldb_slice *out_key)
{
    struct ldb_reader r = ldb_reader_make(bytes);
    struct ldb_slice id;
    uint8_t mark;

    *out = (struct api_snapshot_choice){0};
    if (!ldb_reader_u8(&r, &mark))
        return false;
    if (mark == cursor_mark(is_reverse, true)) {
        if (!ldb_reader_bytes(&r, API_SNAPSHOT_ID_BYTES, &id))
            return false;
        out->is_given = true;
        memcpy(out->id.bytes, id.data, API_SNAPSHOT_ID_BYTES);
    } else if (mark != cursor_mark(is_reverse, false)) {
        return false;
    }
    return ldb_reader_bytes(&r, ldb_reader_left(&r), out_key);
}

/* The cursor's snapshot is the request's; naming the same again is fine. */
static bool merge_snapshot(struct api_exchange *x,
                           struct api_range_query *query,
                           const struct api_snapshot_choice *of_cursor)
{
    if (!of_cursor->is_given)
        return true;
    if (query->snapshot.is_given &&
        memcmp(query->snapshot.id.bytes, of_cursor->id.bytes,
               API_SNAPSHOT_ID_BYTES) != 0) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "the cursor goes on in another snapshot");
        return false;
    }
    query->snapshot = *of_cursor;
    return true;
}

static bool add_cursor(struct api_exchange *x, struct api_range_query *query,
                       struct ldb_slice text)
{
    struct api_snapshot_choice snapshot;
    struct ldb_slice bytes = {0};
    struct ldb_slice key;
    uint8_t *after;

    switch (api_text_decode(x->arena, API_ENCODING_BASE64URL, text, &bytes)) {
    case API_DECODE_NO_MEMORY:
        api_answer_no_memory(x);
        return false;
    case API_DECODE_OK:
    case API_DECODE_BAD:
        break;
    }
    if (!take_cursor_head(bytes, query->is_reverse, &snapshot, &key)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "parameter 'cursor' is the \"next\" of a page of "
                            "the same range and direction");
        return false;
    }
    if (!merge_snapshot(x, query, &snapshot))
        return false;
    if (query->is_reverse) {
        cut_upper(query, key);
        return true;
    }
    /* The first key after this one is it with a zero byte. */
    after = ldb_arena_alloc(x->arena, key.len + 1);
    if (after == NULL) {
        api_answer_no_memory(x);
        return false;
    }
    if (key.len > 0)
        memcpy(after, key.data, key.len);
    after[key.len] = 0;
    raise_lower(query, ldb_slice_make(after, key.len + 1));
    return true;
}

bool api_range_bounds_parse(struct api_exchange *x,
                            const struct api_params *params,
                            struct api_range_query *query)
{
    enum api_encoding enc;
    bool is_given;

    return api_params_enc(x, params, &enc) &&
           api_params_key(x, params, "start", enc, &is_given, &query->lower) &&
           api_params_key(x, params, "end", enc, &query->has_upper,
                          &query->upper) &&
           api_params_key(x, params, "prefix", enc, &query->has_prefix,
                          &query->prefix) &&
           ((query->has_prefix && api_auth_has_key(x, query->prefix)) ||
            api_auth_range(x, query->lower,
                           query->has_upper ? &query->upper : NULL));
}

bool api_range_query_parse(struct api_exchange *x, bool is_page,
                           struct api_range_query *out)
{
    static const char *const allowed[] = {
        "start", "end",    "prefix",   "limit",    "reverse", "values",
        "enc",   "cursor", "encoding", "snapshot", NULL};
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
        !api_snapshot_param(x, &params, &query.snapshot) ||
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

enum ldb_status api_range_scan_open(struct ldb_db *db,
                                    const struct api_range_query *query,
                                    const struct ldb_snapshot *snapshot,
                                    bool skip_cache, struct ldb_error *err,
                                    struct api_range_scan *out)
{
    struct ldb_read_options options = {
        .snapshot = snapshot,
        .skip_cache = skip_cache,
        .lower = &query->lower,
        .upper = query->has_upper ? &query->upper : NULL,
        .prefix = query->has_prefix ? &query->prefix : NULL,
    };
    struct api_range_scan scan = {.is_reverse = query->is_reverse};
    enum ldb_status s = ldb_cursor_open(db, &options, err, &scan.cursor);

    if (s != LDB_OK)
        return s;
    if (scan.is_reverse)
        ldb_cursor_seek_last(scan.cursor);
    else
        ldb_cursor_seek_first(scan.cursor);
    *out = scan;
    return LDB_OK;
}

void api_range_scan_close(struct api_range_scan *scan)
{
    ldb_cursor_close(scan->cursor);
    scan->cursor = NULL;
}

bool api_range_scan_valid(const struct api_range_scan *scan)
{
    return ldb_cursor_valid(scan->cursor);
}

void api_range_scan_next(struct api_range_scan *scan)
{
    if (scan->is_reverse)
        ldb_cursor_prev(scan->cursor);
    else
        ldb_cursor_next(scan->cursor);
}

enum ldb_status
api_range_cursor_write(bool is_reverse,
                       const struct api_snapshot_choice *snapshot,
                       struct ldb_slice last_key, struct ldb_buf *out)
{
    /* The key's first bytes go with what stands before it, as many as make
     * whole groups of three; the rest follows from where it lies. */
    uint8_t head[1 + API_SNAPSHOT_ID_BYTES + 2];
    size_t len = 1;
    size_t with_head;
    enum ldb_status s;

    head[0] = cursor_mark(is_reverse, snapshot->is_given);
    if (snapshot->is_given) {
        memcpy(head + 1, snapshot->id.bytes, API_SNAPSHOT_ID_BYTES);
        len += API_SNAPSHOT_ID_BYTES;
    }
    with_head = (3 - len % 3) % 3;
    if (with_head > last_key.len)
        with_head = last_key.len;
    if (with_head > 0)
        memcpy(head + len, last_key.data, with_head);
    s = api_string_append(API_ENCODING_BASE64URL,
                          ldb_slice_make(head, len + with_head), out);
    if (s == LDB_OK && last_key.len > with_head)
        s = api_string_append(
            API_ENCODING_BASE64URL,
            ldb_slice_make(last_key.data + with_head, last_key.len - with_head),
            out);
    return s;
}
