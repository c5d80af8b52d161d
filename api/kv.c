#include "api/kv.h"

#include <inttypes.h>
#include <string.h>

#include "api/auth.h"
#include "api/byte_range.h"
#include "api/conditions.h"
#include "api/context.h"
#include "api/item_text.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/snapshot_routes.h"
#include "api/write.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"

/* ---- PUT and DELETE ---- */

struct kv_write {
    struct ldb_slice key;
    struct api_conditions conditions;
    struct ldb_condition engine_conditions[2];
    struct api_write w;
};

/* A batch of one operation is no larger than this and its key and value. */
#define ONE_OPERATION_MAX (LDB_BATCH_HEADER_SIZE + 1 + 2 * LDB_VARINT32_MAX)

static bool begin_write(struct api_exchange *x)
{
    static const char *const allowed[] = {"enc", "sync", "replicas", NULL};
    struct kv_write *put = ldb_arena_alloc_aligned(x->arena, sizeof(*put));
    struct api_params params;
    enum api_encoding enc;

    if (put == NULL) {
        api_answer_no_memory(x);
        return false;
    }
    memset(put, 0, sizeof(*put));
    api_write_init(&put->w, x->context->limits.value_bytes +
                                x->context->limits.key_bytes +
                                ONE_OPERATION_MAX);
    if (!api_params_parse(x, allowed, &params) ||
        !api_params_enc(x, &params, &enc) || !api_path_key(x, enc, &put->key) ||
        !api_auth_key(x, put->key) || !api_write_params(x, &params, &put->w) ||
        !api_conditions_parse(x, &put->conditions))
        return false;
    put->w.write.conditions = put->engine_conditions;
    put->w.write.condition_count = api_conditions_for_write(
        &put->conditions, put->key, put->engine_conditions);
    x->state = put;
    return true;
}

void api_kv_put_begin(struct api_exchange *x)
{
    struct ldb_slice content_range;

    if (!begin_write(x))
        return;
    if (!api_header_once(x, "Content-Range", &content_range))
        return;
    if (content_range.data != NULL) {
        /* RFC 9110 section 14.5: a PUT of a part must not become the whole. */
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "Content-Range: a value is stored whole");
        return;
    }
    x->body_limit = x->context->limits.value_bytes;
}

void api_kv_delete_begin(struct api_exchange *x)
{
    (void)begin_write(x);
}

void api_kv_put_finish(struct api_exchange *x)
{
    struct kv_write *put = x->state;
    enum ldb_status s;

    s = ldb_buf_reserve(&put->w.batch.rep,
                        ONE_OPERATION_MAX + put->key.len + x->body.len);
    if (s == LDB_OK)
        s = ldb_batch_put(&put->w.batch, put->key, ldb_slice_of_buf(&x->body));
    /* The batch has the value now: a large one is not held twice. */
    ldb_buf_release(&x->body);
    if (s != LDB_OK)
        api_answer_status(x, s, NULL);
    else
        (void)!api_write_submit(x, &put->w);
}

void api_kv_delete_finish(struct api_exchange *x)
{
    struct kv_write *put = x->state;
    enum ldb_status s = ldb_batch_delete(&put->w.batch, put->key);

    if (s != LDB_OK)
        api_answer_status(x, s, NULL);
    else
        (void)!api_write_submit(x, &put->w);
}

void api_kv_write_resume(struct api_exchange *x)
{
    struct kv_write *put = x->state;

    if (!api_write_is_good(&put->w)) {
        api_write_answer_failure(x, &put->w, false);
        return;
    }
    if (x->method == API_PUT)
        api_header_etag(x, &put->w.headers, put->w.write.sequence);
    api_header_sequence(x, &put->w.headers, put->w.write.sequence);
    api_answer_empty(x, 204);
}

void api_kv_write_abandon(struct api_exchange *x)
{
    struct kv_write *put = x->state;

    if (put != NULL)
        api_write_release(&put->w);
}

/* ---- GET and HEAD ---- */

/* The representations, the preferred one first. */
static const char *const get_types[] = {API_TYPE_BYTES, API_TYPE_JSON};

struct kv_read {
    struct ldb_slice key;
    enum api_encoding encoding;
    bool as_json;
    struct api_conditions conditions;
    struct api_snapshot_choice snapshot;
    struct ldb_buf value;
    ldb_sequence sequence;
    ldb_sequence seen;
    struct api_entry_headers headers;
};

void api_kv_get_begin(struct api_exchange *x)
{
    static const char *const allowed[] = {"enc", "encoding", "snapshot", NULL};
    struct kv_read *get = ldb_arena_alloc_aligned(x->arena, sizeof(*get));
    struct api_params params;
    enum api_encoding enc;
    size_t choice;

    if (get == NULL) {
        api_answer_no_memory(x);
        return;
    }
    memset(get, 0, sizeof(*get));
    if (!api_params_parse(x, allowed, &params) ||
        !api_params_enc(x, &params, &enc) ||
        !api_params_encoding(x, &params, &get->encoding) ||
        !api_snapshot_param(x, &params, &get->snapshot) ||
        !api_path_key(x, enc, &get->key) || !api_auth_key(x, get->key) ||
        !api_accept(x, get_types, sizeof(get_types) / sizeof(get_types[0]),
                    &choice) ||
        !api_conditions_parse(x, &get->conditions))
        return;
    get->as_json = choice == 1;
    x->state = get;
}

static void answer_false_match(struct api_exchange *x,
                               const struct kv_read *get, bool exists)
{
    struct api_problem problem = {
        .kind = API_PROBLEM_PRECONDITION_FAILED,
        .has_current = true,
        .current_exists = exists,
        .current = get->sequence,
    };

    api_problem_detail(&problem, exists ? "the key is at another sequence"
                                        : "there is no such key");
    api_answer_problem(x, &problem);
}

/* Preconditions in the order of RFC 9110 section 13.2.2. */
static bool conditions_hold(struct api_exchange *x, struct kv_read *get,
                            bool exists)
{
    const struct api_conditions *conditions = &get->conditions;

    if (conditions->match.given &&
        !api_tag_list_has(&conditions->match, exists, get->sequence)) {
        answer_false_match(x, get, exists);
        return false;
    }
    if (conditions->none_match.given &&
        api_tag_list_has(&conditions->none_match, exists, get->sequence)) {
        api_header_etag(x, &get->headers, get->sequence);
        api_answer_empty(x, 304);
        return false;
    }
    return true;
}

/* ---- Range ---- */

/* If-Range: the range counts only for the entry it names (strong tag). */
static bool range_is_wanted(struct api_exchange *x, const struct kv_read *get)
{
    struct ldb_slice value = api_exchange_header(x, "If-Range", NULL);
    struct api_tag_list list;

    if (value.data == NULL)
        return true;
    /* A date, or no memory to look: the whole value is always right. */
    return api_tag_list_parse(x->arena, value, false, &list) == API_TAGS_OK &&
           !list.any && api_tag_list_has(&list, true, get->sequence);
}

static void answer_outside(struct api_exchange *x, const struct kv_read *get)
{
    struct api_problem problem = {.kind = API_PROBLEM_MALFORMED, .status = 416};

    if (!api_header_printf(x, "Content-Range", "bytes */%zu", get->value.len)) {
        api_answer_no_memory(x);
        return;
    }
    api_problem_detail(&problem, "the value has %zu bytes", get->value.len);
    api_answer_problem(x, &problem);
}

static void answer_bytes(struct api_exchange *x, struct kv_read *get)
{
    unsigned sent = 0;
    struct ldb_slice range = api_exchange_header(x, "Range", &sent);
    enum api_byte_range kind = API_RANGE_WHOLE;
    uint64_t start = 0;
    uint64_t len = 0;

    if (sent == 1 && x->method == API_GET && range_is_wanted(x, get))
        kind = api_byte_range_parse(range, get->value.len, &start, &len);
    switch (kind) {
    case API_RANGE_OUTSIDE:
        answer_outside(x, get);
        return;
    case API_RANGE_PART:
        if (!api_header_printf(x, "Content-Range",
                               "bytes %" PRIu64 "-%" PRIu64 "/%zu", start,
                               start + len - 1, get->value.len)) {
            api_answer_no_memory(x);
            return;
        }
        memmove(get->value.data, get->value.data + start, (size_t)len);
        get->value.len = (size_t)len;
        api_answer_buf(x, 206, API_TYPE_BYTES, &get->value);
        return;
    case API_RANGE_WHOLE:
        api_answer_buf(x, 200, API_TYPE_BYTES, &get->value);
        return;
    }
}

/* ---- the JSON form: a stream, so that a value is held once ---- */

struct value_stream {
    struct ldb_buf value;
    struct api_item_text text;
};

static int64_t value_stream_read(void *stream, uint8_t *out, size_t max)
{
    struct value_stream *s = stream;

    return (int64_t)api_item_text_next(&s->text, out, max);
}

static void value_stream_destroy(void *stream)
{
    struct value_stream *s = stream;

    api_item_text_release(&s->text);
    ldb_buf_release(&s->value);
    ldb_mem_free(s);
}

static const struct api_stream_ops value_stream_ops = {
    .read = value_stream_read,
    .destroy = value_stream_destroy,
    .is_detached = true,
};

static void answer_json(struct api_exchange *x, struct kv_read *get)
{
    struct value_stream *s = ldb_mem_zalloc(1, sizeof(*s));
    struct ldb_slice value;

    if (s == NULL) {
        api_answer_no_memory(x);
        return;
    }
    s->value = get->value;
    get->value = (struct ldb_buf)LDB_BUF_INIT(0);
    value = ldb_slice_of_buf(&s->value);
    api_item_text_init(&s->text);
    if (api_item_text_set(&s->text, get->encoding, get->key, &value,
                          get->sequence) != LDB_OK) {
        value_stream_destroy(s);
        api_answer_no_memory(x);
        return;
    }
    api_answer_stream(x, 200, API_TYPE_JSON, &value_stream_ops, s);
}

static void answer_found(struct api_exchange *x, struct kv_read *get)
{
    api_header_sequence(x, &get->headers, get->seen);
    if (!conditions_hold(x, get, true))
        return;
    api_header_etag(x, &get->headers, get->sequence);
    if (!api_header_add(x, "Vary", "Accept") ||
        (!get->as_json && !api_header_add(x, "Accept-Ranges", "bytes")))
        api_answer_no_memory(x);
    else if (get->as_json)
        answer_json(x, get);
    else
        answer_bytes(x, get);
}

void api_kv_get_finish(struct api_exchange *x)
{
    struct kv_read *get = x->state;
    struct ldb_read_options options = {0};
    struct api_snapshot *snapshot;
    struct ldb_error error = {0};
    enum ldb_status s;

    if (!api_snapshot_open(x, &get->snapshot, &snapshot))
        return;
    options.snapshot = api_snapshot_view_or_now(snapshot);
    /* A folder of another library may hold larger values than we accept. */
    get->value = (struct ldb_buf)LDB_BUF_INIT(LDB_BATCH_ITEM_MAX);
    s = ldb_get(x->context->db, get->key, &options, &error, &get->value,
                &get->sequence, &get->seen);
    api_snapshots_release(x->context->snapshots, snapshot);
    if (s == LDB_OK) {
        answer_found(x, get);
    } else if (s != LDB_NOT_FOUND) {
        api_answer_status(x, s, &error);
    } else {
        api_header_sequence(x, &get->headers, get->seen);
        if (conditions_hold(x, get, false))
            api_answer_problemf(x, API_PROBLEM_NOT_FOUND, "no such key");
    }
    ldb_buf_release(&get->value);
}
