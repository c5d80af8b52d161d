#include "api/range.h"

#include "api/conditions.h"
#include "api/context.h"
#include "api/db_gate.h"
#include "api/item_text.h"
#include "api/problem.h"
#include "api/range_scan.h"
#include "api/response.h"
#include "storage/base/mem.h"

/* The representations, the preferred one first. */
static const char *const range_types[] = {API_TYPE_JSON, API_TYPE_NDJSON};

/* ---- a page ---- */

static enum ldb_status append_text(struct ldb_buf *page, const char *text)
{
    return ldb_buf_append(page, ldb_slice_str(text));
}

static enum ldb_status append_item(const struct api_range_scan *scan,
                                   const struct api_range_query *query,
                                   struct ldb_buf *page)
{
    struct ldb_slice value = ldb_cursor_value(scan->cursor);

    return api_item_text_append(query->encoding, ldb_cursor_key(scan->cursor),
                                query->with_values ? &value : NULL,
                                ldb_cursor_sequence(scan->cursor), page);
}

/* Items up to the limit or the page's size; the scan stops at the next. */
static enum ldb_status append_items(struct api_range_scan *scan,
                                    const struct api_range_query *query,
                                    size_t page_bytes, struct ldb_buf *page,
                                    struct ldb_buf *last_key)
{
    enum ldb_status s = LDB_OK;

    for (uint64_t count = 0; count < query->limit && api_range_scan_valid(scan);
         count++) {
        size_t before = page->len;

        if (count > 0 &&
            ldb_cursor_key(scan->cursor).len +
                    (query->with_values ? ldb_cursor_value(scan->cursor).len
                                        : 0) >
                page_bytes)
            break;
        if (count > 0)
            s = append_text(page, ",");
        if (s == LDB_OK)
            s = append_item(scan, query, page);
        if (s != LDB_OK)
            break;
        if (count > 0 && page->len > page_bytes) {
            page->len = before;
            break;
        }
        s = ldb_buf_assign(last_key, ldb_cursor_key(scan->cursor));
        if (s != LDB_OK)
            break;
        api_range_scan_next(scan);
    }
    return s;
}

static enum ldb_status write_page(struct api_range_scan *scan,
                                  const struct api_range_query *query,
                                  size_t page_bytes, struct ldb_error *err,
                                  struct ldb_buf *page)
{
    struct ldb_buf last_key = LDB_BUF_INIT(UINT32_MAX);
    enum ldb_status s;

    s = append_text(page, "{\"items\":[");
    if (s == LDB_OK)
        s = append_items(scan, query, page_bytes, page, &last_key);
    if (s == LDB_OK)
        s = append_text(page, "]");
    if (s == LDB_OK && api_range_scan_valid(scan)) {
        s = append_text(page, ",\"next\":\"");
        if (s == LDB_OK)
            s = api_range_cursor_write(query->is_reverse, &query->snapshot,
                                       ldb_slice_of_buf(&last_key), page);
        if (s == LDB_OK)
            s = append_text(page, "\"");
    } else if (s == LDB_OK) {
        s = ldb_cursor_status(scan->cursor, err);
    }
    if (s == LDB_OK)
        s = append_text(page, "}\n");
    ldb_buf_release(&last_key);
    return s;
}

static void answer_page(struct api_exchange *x,
                        const struct api_range_query *query,
                        const struct ldb_snapshot *snapshot)
{
    struct api_entry_headers *headers =
        ldb_arena_alloc_aligned(x->arena, sizeof(*headers));
    struct ldb_buf page = LDB_BUF_INIT(API_PAGE_BUF_MAX);
    struct api_range_scan scan = {0};
    struct ldb_error error = {0};
    enum ldb_status s;

    if (headers == NULL) {
        api_answer_no_memory(x);
        return;
    }
    s = api_range_scan_open(x->context->db, query, snapshot, false, &error,
                            &scan);
    if (s == LDB_OK)
        s = write_page(&scan, query, x->context->limits.page_bytes, &error,
                       &page);
    if (s == LDB_OK) {
        api_header_sequence(x, headers, ldb_cursor_view_sequence(scan.cursor));
        api_answer_buf(x, 200, API_TYPE_JSON, &page);
    } else {
        api_answer_status(x, s, &error);
    }
    api_range_scan_close(&scan);
    ldb_buf_release(&page);
}

/* ---- the stream ---- */

enum stream_phase {
    STREAM_ITEMS,
    STREAM_END,    /* the end line is being read */
    STREAM_FAILED, /* the error line is being read */
};

struct range_stream {
    struct api_db_gate *gate;
    struct repl_heal *heal; /* NULL: none; inside the gate, as the stream is */
    struct api_range_scan scan;
    struct api_item_text text; /* the line being read */
    enum stream_phase phase;
    enum api_encoding encoding;
    bool with_values;
    bool has_limit;
    uint64_t limit;
    struct api_snapshot_choice snapshot; /* for the cursor text alone */
    uint64_t count;
    bool is_on_item;         /* the cursor is on what text holds */
    struct ldb_buf last_key; /* of the item that the limit ends with */
};

static enum ldb_status begin_end_line(struct range_stream *s, bool has_more)
{
    struct ldb_buf *line = api_item_text_open(&s->text);
    struct api_json json = api_json_make(line);

    s->phase = STREAM_END;
    api_json_object_begin(&json);
    api_json_member_bool(&json, "end", true);
    api_json_member_u64(&json, "count", s->count);
    api_json_member_u64(&json, "sequence",
                        ldb_cursor_view_sequence(s->scan.cursor));
    if (has_more) {
        api_json_member_text(&json, "next", "");
        if (json.status == LDB_OK) {
            line->len--; /* the closing quote: the text goes in there */
            json.status =
                api_range_cursor_write(s->scan.is_reverse, &s->snapshot,
                                       ldb_slice_of_buf(&s->last_key), line);
        }
        if (json.status == LDB_OK)
            json.status = ldb_buf_append_byte(line, '"');
    }
    api_json_object_end(&json);
    if (json.status == LDB_OK)
        json.status = ldb_buf_append_byte(line, '\n');
    return json.status;
}

/* False: not even the error line can be made. */
static bool begin_problem_line(struct range_stream *s,
                               const struct api_problem *problem)
{
    struct ldb_buf *line = api_item_text_open(&s->text);

    s->phase = STREAM_FAILED;
    if (ldb_buf_append(line, ldb_slice_str("{\"error\":")) == LDB_OK &&
        api_problem_write(problem, line) == LDB_OK &&
        ldb_buf_append(line, ldb_slice_str("}\n")) == LDB_OK)
        return true;
    ldb_buf_clear(line);
    return false;
}

static bool begin_error_line(struct range_stream *s, enum ldb_status status,
                             const struct ldb_error *error)
{
    struct api_problem problem;

    api_problem_of_status(status, error, &problem);
    api_problem_tell_damage(s->heal, &problem);
    return begin_problem_line(s, &problem);
}

/* The database is about to go: the view can be read no further. */
static bool begin_closing_line(struct range_stream *s)
{
    struct api_problem problem;

    api_db_gate_problem(s->gate, &problem);
    return begin_problem_line(s, &problem);
}

static enum ldb_status begin_item(struct range_stream *s)
{
    struct ldb_slice key = ldb_cursor_key(s->scan.cursor);
    struct ldb_slice value = ldb_cursor_value(s->scan.cursor);
    enum ldb_status status = LDB_OK;

    s->is_on_item = true;
    s->count++;
    if (s->has_limit && s->count == s->limit)
        status = ldb_buf_assign(&s->last_key, key);
    if (status == LDB_OK)
        status = api_item_text_set(&s->text, s->encoding, key,
                                   s->with_values ? &value : NULL,
                                   ldb_cursor_sequence(s->scan.cursor));
    return status;
}

/* The next line into text. False: the stream is cut here. */
static bool begin_line(struct range_stream *s)
{
    struct ldb_error error = {0};
    enum ldb_status status = LDB_OK;
    bool is_valid;

    if (api_db_gate_is_closing(s->gate))
        return begin_closing_line(s);
    if (s->is_on_item)
        api_range_scan_next(&s->scan);
    s->is_on_item = false;
    is_valid = api_range_scan_valid(&s->scan);
    if (!is_valid)
        status = ldb_cursor_status(s->scan.cursor, &error);
    if (status == LDB_OK) {
        if (is_valid && !(s->has_limit && s->count == s->limit))
            status = begin_item(s);
        else
            status = begin_end_line(s, is_valid);
    }
    return status == LDB_OK || begin_error_line(s, status, &error);
}

static int64_t range_stream_read(void *stream, uint8_t *out, size_t max)
{
    struct range_stream *s = stream;
    size_t len = 0;

    while (len < max) {
        len += api_item_text_next(&s->text, out + len, max - len);
        if (!api_item_text_at_end(&s->text) || len == max)
            break;
        if (s->phase != STREAM_ITEMS || !begin_line(s))
            break;
    }
    if (len > 0)
        return (int64_t)len;
    return s->phase == STREAM_FAILED ? API_STREAM_FAILED : 0;
}

static void range_stream_destroy(void *stream)
{
    struct range_stream *s = stream;

    api_item_text_release(&s->text);
    ldb_buf_release(&s->last_key);
    api_range_scan_close(&s->scan);
    ldb_mem_free(s);
}

static const struct api_stream_ops range_stream_ops = {
    .read = range_stream_read,
    .destroy = range_stream_destroy,
};

static void answer_stream(struct api_exchange *x,
                          const struct api_range_query *query,
                          const struct ldb_snapshot *snapshot)
{
    struct api_entry_headers *headers =
        ldb_arena_alloc_aligned(x->arena, sizeof(*headers));
    struct range_stream *s = ldb_mem_zalloc(1, sizeof(*s));
    struct ldb_error error = {0};
    enum ldb_status status = LDB_NO_MEMORY;

    if (headers != NULL && s != NULL)
        status = api_range_scan_open(x->context->db, query, snapshot, true,
                                     &error, &s->scan);
    if (status != LDB_OK) {
        ldb_mem_free(s);
        api_answer_status(x, status, &error);
        return;
    }
    api_item_text_init(&s->text);
    s->gate = x->context->gate;
    s->heal = x->context->heal;
    s->last_key = (struct ldb_buf)LDB_BUF_INIT(UINT32_MAX);
    s->encoding = query->encoding;
    s->with_values = query->with_values;
    s->has_limit = query->has_limit;
    s->limit = query->limit;
    s->snapshot = query->snapshot;
    api_header_sequence(x, headers, ldb_cursor_view_sequence(s->scan.cursor));
    api_answer_stream(x, 200, API_TYPE_NDJSON, &range_stream_ops, s);
}

void api_range_finish(struct api_exchange *x)
{
    struct api_range_query query;
    struct api_snapshot *snapshot;
    const struct ldb_snapshot *view;
    size_t choice;

    if (!api_accept(x, range_types,
                    sizeof(range_types) / sizeof(range_types[0]), &choice) ||
        !api_range_query_parse(x, choice == 0, &query) ||
        !api_snapshot_open(x, &query.snapshot, &snapshot))
        return;
    view = api_snapshot_view_or_now(snapshot);
    if (choice == 0)
        answer_page(x, &query, view);
    else
        answer_stream(x, &query, view);
    /* A stream's cursor keeps the view by itself. */
    api_snapshots_release(x->context->snapshots, snapshot);
}
