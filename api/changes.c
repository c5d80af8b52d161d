#include "api/changes.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "api/auth.h"
#include "api/conditions.h"
#include "api/context.h"
#include "api/db_gate.h"
#include "api/feeds.h"
#include "api/item_text.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/role.h"
#include "storage/base/checked.h"
#include "storage/base/mem.h"
#include "storage/change_reader.h"

/*
 * Bytes of operations that one call looks through for some that match. Chosen:
 * a few milliseconds, after which the loop's other connections have a turn; a
 * page then ends, and says where it goes on.
 */
#define SCAN_BYTES ((uint64_t)4 << 20)

/* What an operation takes of a journal beside key and value. */
#define OP_BYTES 16

enum form {
    FORM_PAGE,
    FORM_LINES,
    FORM_LIVE,
};

/* In the order of enum form, the preferred one first. */
static const char *const types[] = {API_TYPE_JSON, API_TYPE_NDJSON,
                                    API_TYPE_EVENTS};

struct changes_query {
    enum form form;
    ldb_sequence since;
    bool has_prefix;
    struct ldb_slice prefix; /* in the exchange's arena */
    enum api_encoding encoding;
    bool has_limit;
    uint64_t limit;
};

/* ---- the request ---- */

/* The sequence to go on after: of a live feed that was cut, its last id. */
static bool parse_since(struct api_exchange *x, const struct api_params *params,
                        struct changes_query *query)
{
    struct ldb_slice last_id = {0};

    if (query->form == FORM_LIVE &&
        !api_header_once(x, "Last-Event-ID", &last_id))
        return false;
    if (!api_params_u64(x, params, "since", 0, LDB_SEQUENCE_MAX, &query->since))
        return false;
    if (last_id.data != NULL) {
        if (ldb_parse_u64(last_id, &query->since) &&
            query->since <= LDB_SEQUENCE_MAX)
            return true;
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "header Last-Event-ID is the id of an event: a "
                            "sequence number");
        return false;
    }
    if (api_params_find(params, "since") != NULL)
        return true;
    api_answer_problemf(x, API_PROBLEM_MALFORMED,
                        "parameter 'since' is needed: the sequence that the "
                        "changes are to follow on, 0 for all");
    return false;
}

static bool parse_query(struct api_exchange *x, enum form form,
                        struct changes_query *out)
{
    static const char *const allowed[] = {"since", "prefix",   "limit",
                                          "enc",   "encoding", NULL};
    const struct api_limits *limits = &x->context->limits;
    struct changes_query query = {
        .form = form,
        .limit = limits->range_items_default,
    };
    enum api_encoding enc;
    struct api_params params;

    if (!api_params_parse(x, allowed, &params) ||
        !api_params_encoding(x, &params, &query.encoding) ||
        !api_params_u64(x, &params, "limit", 1,
                        form == FORM_PAGE ? limits->range_items_max
                                          : UINT64_MAX,
                        &query.limit) ||
        !api_params_enc(x, &params, &enc) ||
        !api_params_key(x, &params, "prefix", enc, &query.has_prefix,
                        &query.prefix) ||
        !parse_since(x, &params, &query))
        return false;
    query.has_limit =
        form == FORM_PAGE || api_params_find(&params, "limit") != NULL;
    *out = query;
    return query.has_prefix ? api_auth_key(x, query.prefix)
                            : api_auth_range(x, (struct ldb_slice){0}, NULL);
}

static void answer_gone(struct api_exchange *x, enum ldb_status status,
                        const struct ldb_error *error)
{
    struct api_problem problem;

    api_problem_of_status(status, error, &problem);
    if (status == LDB_GONE) {
        problem.has_oldest = true;
        problem.oldest = ldb_changes_oldest(x->context->db);
    }
    api_answer_problem(x, &problem);
}

static bool open_reader(struct api_exchange *x, ldb_sequence since,
                        struct ldb_change_reader **out)
{
    struct repl_feed_start start;
    struct ldb_error error = {0};
    enum ldb_status status;

    api_feeds_find_start(x->context->feeds, since, &start);
    if (start.is_lost) {
        struct api_problem problem = {.kind = API_PROBLEM_LOST_SEQUENCE,
                                      .has_fork = true,
                                      .fork = start.fork};

        api_problem_detail(&problem,
                           "sequence %" PRIu64 " is of no write that stands; "
                           "the last one before it is %" PRIu64
                           ": read all anew",
                           since, start.fork);
        api_answer_problem(x, &problem);
        return false;
    }
    status = ldb_change_reader_open(x->context->db, start.since, &error, out);
    if (status != LDB_OK)
        answer_gone(x, status, &error);
    return status == LDB_OK;
}

/* Who asked will see in his next request what is being written now. */
static void sync_for_next(const struct api_context *context)
{
    if (ldb_durable_position(context->db).sequence <
        ldb_last_sequence(context->db))
        ldb_sync_soon(context->db);
}

static bool matches(const struct changes_query *query,
                    const struct ldb_journal_op *op)
{
    return !query->has_prefix || ldb_slice_starts_with(op->key, query->prefix);
}

static uint64_t op_bytes(const struct ldb_journal_op *op)
{
    return OP_BYTES + op->key.len + op->value.len;
}

/* The item of an operation, between two texts. */
static enum ldb_status set_item(struct api_item_text *text,
                                const struct changes_query *query,
                                const struct ldb_journal_op *op,
                                const char *head, const char *tail)
{
    bool is_put = op->kind == LDB_KIND_PUT;
    const struct api_change_text change = {
        .op = is_put ? "put" : "delete",
        .key = op->key,
        .value = is_put ? &op->value : NULL,
        .sequence = op->sequence,
        .head = head,
        .tail = tail,
    };

    return api_item_text_set_change(text, query->encoding, &change);
}

/* ---- a page ---- */

struct page {
    struct ldb_buf text;
    uint64_t count;
};

static enum ldb_status append_item(struct api_item_text *text,
                                   const struct changes_query *query,
                                   const struct ldb_journal_op *op,
                                   struct page *page)
{
    enum ldb_status s =
        set_item(text, query, op, page->count == 0 ? "" : ",", "");

    while (s == LDB_OK && !api_item_text_at_end(text)) {
        uint8_t piece[4096]; /* chosen: small items in one step */
        size_t len = api_item_text_next(text, piece, sizeof(piece));

        s = ldb_buf_append(&page->text, ldb_slice_make(piece, len));
    }
    return s;
}

/*
 * Items up to the limit, the page's size, or what may be looked through. *out:
 * the sequence up to which all that match are in the page.
 */
static enum ldb_status append_items(struct api_exchange *x,
                                    const struct changes_query *query,
                                    struct ldb_change_reader *reader,
                                    struct ldb_error *error, struct page *page,
                                    ldb_sequence *out)
{
    size_t page_bytes = x->context->limits.page_bytes;
    uint64_t scanned = 0;
    struct api_item_text text;
    struct ldb_journal_op op;
    enum ldb_status s = LDB_OK;

    api_item_text_init(&text);
    *out = ldb_change_reader_position(reader);
    while (s == LDB_OK) {
        size_t before = page->text.len;

        if (page->count == query->limit || scanned > SCAN_BYTES)
            break;
        s = ldb_change_reader_next(reader, error, &op);
        if (s != LDB_OK)
            break;
        scanned += op_bytes(&op);
        if (matches(query, &op)) {
            if (page->count > 0 && before + op_bytes(&op) > page_bytes)
                break;
            s = append_item(&text, query, &op, page);
            if (s == LDB_OK && page->count > 0 && page->text.len > page_bytes) {
                page->text.len = before;
                break;
            }
            page->count++;
        }
        *out = op.sequence;
    }
    api_item_text_release(&text);
    if (s != LDB_NOT_FOUND)
        return s;
    *out = ldb_change_reader_position(reader);
    return LDB_OK;
}

static enum ldb_status write_page(struct api_exchange *x,
                                  const struct changes_query *query,
                                  struct ldb_change_reader *reader,
                                  struct ldb_error *error, struct page *page,
                                  ldb_sequence *out_sequence)
{
    enum ldb_status s =
        ldb_buf_append(&page->text, ldb_slice_str("{\"items\":["));

    if (s == LDB_OK)
        s = append_items(x, query, reader, error, page, out_sequence);
    if (s == LDB_OK)
        s = ldb_buf_printf(&page->text, "],\"sequence\":%" PRIu64,
                           *out_sequence);
    if (s == LDB_OK &&
        *out_sequence < ldb_durable_position(x->context->db).sequence)
        s = ldb_buf_printf(&page->text, ",\"next\":%" PRIu64, *out_sequence);
    if (s == LDB_OK)
        s = ldb_buf_append(&page->text, ldb_slice_str("}\n"));
    return s;
}

static void answer_page(struct api_exchange *x,
                        const struct changes_query *query,
                        struct ldb_change_reader *reader)
{
    struct api_entry_headers *headers =
        ldb_arena_alloc_aligned(x->arena, sizeof(*headers));
    struct page page = {.text = LDB_BUF_INIT(API_PAGE_BUF_MAX)};
    struct ldb_error error = {0};
    ldb_sequence sequence = 0;
    enum ldb_status s = LDB_NO_MEMORY;

    if (headers != NULL)
        s = write_page(x, query, reader, &error, &page, &sequence);
    if (s == LDB_OK) {
        api_header_sequence(x, headers, sequence);
        api_answer_buf(x, 200, API_TYPE_JSON, &page.text);
        sync_for_next(x->context);
    } else {
        answer_gone(x, s, &error);
    }
    ldb_buf_release(&page.text);
    ldb_change_reader_close(reader);
}

/* ---- lines, and events ---- */

enum stream_phase {
    STREAM_ITEMS,
    STREAM_END,    /* the end is being read */
    STREAM_FAILED, /* the error is being read */
};

struct change_stream {
    struct api_context *context;
    struct api_feed feed;
    struct changes_query query; /* its prefix is this struct's */
    struct ldb_change_reader *reader;
    ldb_sequence until;        /* of lines: what was durable when they began */
    struct api_item_text text; /* being read */
    enum stream_phase phase;
    uint64_t count;
    uint64_t heartbeat_us; /* when the next one is due */
    bool is_at_limit;
    char head[96]; /* of an event */
};

/* What comes of asking for more. */
enum step {
    STEP_TEXT,  /* there is text */
    STEP_WAIT,  /* nothing yet: the exchange will be woken */
    STEP_YIELD, /* nothing yet: ask again soon */
    STEP_CUT,   /* not even the error can be told */
};

static void put_off_heartbeat(struct change_stream *s)
{
    s->heartbeat_us =
        api_now_us(s->context) + s->context->limits.feed_heartbeat_us;
}

/* The begin of an event: what stands before its data. */
static const char *event_head(struct change_stream *s, ldb_sequence id,
                              const char *event)
{
    (void)snprintf(s->head, sizeof(s->head),
                   "id: %" PRIu64 "\nevent: %s\ndata: ", id, event);
    return s->head;
}

/* A document of ours as a line, or as the data of an event. */
static struct api_json begin_document(struct change_stream *s,
                                      const char *event)
{
    struct api_json json = api_json_make(api_item_text_open(&s->text));

    if (s->query.form == FORM_LIVE)
        json.status = ldb_buf_append(
            json.buf, ldb_slice_str(event_head(
                          s, ldb_change_reader_position(s->reader), event)));
    api_json_object_begin(&json);
    return json;
}

static enum step end_document(struct change_stream *s, struct api_json *json)
{
    api_json_object_end(json);
    if (json->status == LDB_OK)
        json->status = ldb_buf_append(
            json->buf,
            ldb_slice_str(s->query.form == FORM_LIVE ? "\n\n" : "\n"));
    if (json->status == LDB_OK)
        return STEP_TEXT;
    ldb_buf_clear(json->buf);
    s->phase = STREAM_FAILED;
    return STEP_CUT;
}

static enum step begin_heartbeat(struct change_stream *s)
{
    struct api_json json = begin_document(s, "heartbeat");

    put_off_heartbeat(s);
    api_json_member_u64(&json, "sequence",
                        ldb_change_reader_position(s->reader));
    return end_document(s, &json);
}

static enum step begin_end(struct change_stream *s)
{
    ldb_sequence position = ldb_change_reader_position(s->reader);
    struct api_json json = begin_document(s, "end");

    s->phase = STREAM_END;
    api_json_member_bool(&json, "end", true);
    api_json_member_u64(&json, "count", s->count);
    api_json_member_u64(&json, "sequence", position);
    if (s->is_at_limit &&
        position < ldb_durable_position(s->context->db).sequence)
        api_json_member_u64(&json, "next", position);
    return end_document(s, &json);
}

static enum step begin_problem(struct change_stream *s,
                               const struct api_problem *problem)
{
    struct api_json json = begin_document(s, "error");

    s->phase = STREAM_FAILED;
    api_json_name(&json, "error");
    if (json.status == LDB_OK)
        json.status = api_problem_write(problem, json.buf);
    return end_document(s, &json);
}

static enum step begin_error(struct change_stream *s, enum ldb_status status,
                             const struct ldb_error *error)
{
    struct api_problem problem;

    api_problem_of_status(status, error, &problem);
    if (status == LDB_GONE) {
        problem.has_oldest = true;
        problem.oldest = ldb_changes_oldest(s->context->db);
    }
    return begin_problem(s, &problem);
}

/* The database is about to go: its journals can be read no further. */
static enum step begin_closing(struct change_stream *s)
{
    struct api_problem problem;

    api_db_gate_problem(s->context->gate, &problem);
    return begin_problem(s, &problem);
}

static enum step begin_item(struct change_stream *s,
                            const struct ldb_journal_op *op)
{
    bool is_live = s->query.form == FORM_LIVE;
    const char *head =
        is_live ? event_head(s, op->sequence,
                             op->kind == LDB_KIND_PUT ? "put" : "delete")
                : "";

    s->count++;
    put_off_heartbeat(s);
    s->is_at_limit = s->query.has_limit && s->count == s->query.limit;
    if (set_item(&s->text, &s->query, op, head, is_live ? "\n\n" : "\n") ==
        LDB_OK)
        return STEP_TEXT;
    return begin_error(s, LDB_NO_MEMORY, NULL);
}

/* Lines are to end, however fast others write meanwhile. */
static bool is_end_of_lines(const struct change_stream *s)
{
    return s->query.form == FORM_LINES &&
           ldb_change_reader_position(s->reader) >= s->until;
}

static enum step end_lines(struct change_stream *s)
{
    sync_for_next(s->context);
    return begin_end(s);
}

/* All that is durable was looked through. may_wait: nothing is to be sent. */
static enum step at_end(struct change_stream *s, bool may_wait, bool *out_again)
{
    *out_again = false;
    if (s->query.form == FORM_LINES)
        return end_lines(s);
    if (!may_wait)
        return STEP_WAIT;
    if (api_now_us(s->context) >= s->heartbeat_us)
        return begin_heartbeat(s);
    *out_again =
        !api_feeds_wait(s->context->feeds, &s->feed,
                        ldb_change_reader_position(s->reader), s->heartbeat_us);
    return STEP_WAIT;
}

/* The next text. may_wait: else STEP_WAIT and STEP_YIELD promise nothing. */
static enum step advance(struct change_stream *s, bool may_wait)
{
    uint64_t scanned = 0;

    for (;;) {
        struct ldb_error error = {0};
        struct ldb_journal_op op;
        enum ldb_status status;
        bool is_again;

        if (s->is_at_limit || (s->query.form == FORM_LIVE &&
                               api_feeds_are_ending(s->context->feeds)))
            return begin_end(s);
        if (api_db_gate_is_closing(s->context->gate))
            return begin_closing(s);
        if (is_end_of_lines(s))
            return end_lines(s);
        if (scanned > SCAN_BYTES)
            return s->query.form == FORM_LIVE &&
                           api_now_us(s->context) >= s->heartbeat_us
                       ? begin_heartbeat(s)
                       : STEP_YIELD;
        status = ldb_change_reader_next(s->reader, &error, &op);
        if (status == LDB_OK && matches(&s->query, &op))
            return begin_item(s, &op);
        if (status == LDB_OK) {
            scanned += op_bytes(&op);
        } else if (status == LDB_NOT_FOUND) {
            enum step step = at_end(s, may_wait, &is_again);

            if (!is_again)
                return step;
        } else {
            return begin_error(s, status, &error);
        }
    }
}

static int64_t stream_read(void *stream, uint8_t *out, size_t max)
{
    struct change_stream *s = stream;
    enum step step = STEP_TEXT;
    size_t len = 0;

    while (len < max && step == STEP_TEXT) {
        len += api_item_text_next(&s->text, out + len, max - len);
        if (!api_item_text_at_end(&s->text) || len == max)
            break;
        if (s->phase != STREAM_ITEMS)
            step = STEP_CUT;
        else
            step = advance(s, len == 0);
    }
    if (len > 0)
        return (int64_t)len;
    if (step == STEP_WAIT)
        return API_STREAM_WAIT;
    if (step == STEP_YIELD)
        return API_STREAM_YIELD;
    return s->phase == STREAM_END ? 0 : API_STREAM_FAILED;
}

static void stream_destroy(void *stream)
{
    struct change_stream *s = stream;

    api_feeds_leave(s->context->feeds, &s->feed);
    ldb_change_reader_close(s->reader);
    api_item_text_release(&s->text);
    ldb_mem_free(s);
}

static const struct api_stream_ops stream_ops = {
    .read = stream_read,
    .destroy = stream_destroy,
};

static void answer_too_many(struct api_exchange *x)
{
    struct api_problem problem = {
        .kind = API_PROBLEM_OVERLOADED, .status = 429, .retry_after_s = 1};

    api_problem_detail(&problem,
                       "%" PRIu64 " streams of changes are open, as many as "
                       "there may be",
                       x->context->limits.feeds_max);
    api_answer_problem(x, &problem);
}

/* The stream with a copy of the prefix behind it; NULL: no memory. */
static struct change_stream *make_stream(struct api_exchange *x,
                                         const struct changes_query *query)
{
    struct change_stream *s = ldb_mem_zalloc(1, sizeof(*s) + query->prefix.len);
    uint8_t *prefix = (uint8_t *)(s + 1);

    if (s == NULL)
        return NULL;
    s->context = x->context;
    s->feed.x = x;
    s->query = *query;
    if (query->prefix.len > 0)
        memcpy(prefix, query->prefix.data, query->prefix.len);
    s->query.prefix = ldb_slice_make(prefix, query->prefix.len);
    api_item_text_init(&s->text);
    return s;
}

static void answer_stream(struct api_exchange *x,
                          const struct changes_query *query,
                          struct ldb_change_reader *reader)
{
    struct api_entry_headers *headers =
        ldb_arena_alloc_aligned(x->arena, sizeof(*headers));
    struct change_stream *s = make_stream(x, query);

    if (s == NULL || headers == NULL ||
        (query->form == FORM_LIVE &&
         !api_header_add(x, "Cache-Control", "no-store"))) {
        ldb_mem_free(s);
        ldb_change_reader_close(reader);
        api_answer_no_memory(x);
        return;
    }
    s->reader = reader;
    s->until = ldb_durable_position(x->context->db).sequence;
    if (!api_feeds_enter(x->context->feeds, x->context->limits.feeds_max,
                         &s->feed)) {
        stream_destroy(s);
        answer_too_many(x);
        return;
    }
    api_header_sequence(x, headers, s->until);
    /* The first heartbeat is due at once: it says that the feed stands. */
    s->heartbeat_us = 0;
    api_answer_stream(x, 200, types[query->form], &stream_ops, s);
}

/* A follower keeps no journals but those that it needs itself: its leader has
 * the changes. */
static bool check_has_changes(struct api_exchange *x)
{
    struct api_problem problem = {.kind = API_PROBLEM_READ_ONLY, .status = 409};
    char leader[REPL_URL_SIZE];

    if (x->context->read_only) {
        api_problem_detail(&problem, "a folder that is served read-only has "
                                     "no changes");
        api_answer_problem(x, &problem);
        return false;
    }
    if (api_role_get(x->context->role) == REPL_ROLE_LEADER)
        return true;
    api_role_leader_url(x->context->role, leader);
    api_answer_not_leader(x, leader);
    return false;
}

void api_changes_finish(struct api_exchange *x)
{
    struct ldb_change_reader *reader = NULL;
    struct changes_query query;
    size_t choice;

    if (!check_has_changes(x) ||
        !api_accept(x, types, sizeof(types) / sizeof(types[0]), &choice) ||
        !parse_query(x, (enum form)choice, &query) ||
        !open_reader(x, query.since, &reader))
        return;
    if (query.form == FORM_PAGE)
        answer_page(x, &query, reader);
    else
        answer_stream(x, &query, reader);
}
