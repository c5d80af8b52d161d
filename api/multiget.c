#include "api/multiget.h"

#include <string.h>

#include "api/auth.h"
#include "api/conditions.h"
#include "api/context.h"
#include "api/item_text.h"
#include "api/json_cut.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/snapshot_routes.h"
#include "storage/base/buf.h"
#include "storage/journal/write_batch.h"

/* Levels of the body: the object, the list, its strings. */
#define DEPTH_MAX 2

struct multiget {
    json_t *document; /* what keys in utf8 point into */
    const json_t *keys;
    size_t next; /* of keys */
    enum api_encoding encoding;
    bool with_values;
    struct api_snapshot_choice choice;
    struct api_snapshot *named; /* the view asked for, or NULL and */
    struct ldb_snapshot *now;   /* one of now */
    const struct ldb_snapshot *view;
    struct ldb_buf value;
    struct api_item_text text;
    struct ldb_buf page;
    struct api_entry_headers headers;
};

void api_multiget_begin(struct api_exchange *x)
{
    static const char *const allowed[] = {NULL};
    static const char *const types[] = {API_TYPE_JSON};
    struct multiget *get = ldb_arena_alloc_aligned(x->arena, sizeof(*get));
    struct api_params params;
    struct ldb_slice type;
    size_t choice;

    if (get == NULL) {
        api_answer_no_memory(x);
        return;
    }
    memset(get, 0, sizeof(*get));
    get->value = (struct ldb_buf)LDB_BUF_INIT(LDB_BATCH_ITEM_MAX);
    get->page = (struct ldb_buf)LDB_BUF_INIT(API_PAGE_BUF_MAX);
    api_item_text_init(&get->text);
    if (!api_params_parse(x, allowed, &params) ||
        !api_header_once(x, "Content-Type", &type))
        return;
    if (!api_media_type_is(type, API_TYPE_JSON)) {
        api_answer_problemf(x, API_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                            "the keys are sent as %s", API_TYPE_JSON);
        return;
    }
    if (!api_accept(x, types, 1, &choice) || !api_conditions_refuse(x) ||
        !api_min_sequence(x))
        return;
    x->body_limit = x->context->limits.multiget_bytes;
    x->state = get;
}

/* ---- the body ---- */

static bool fail(struct api_exchange *x, const char *what)
{
    api_answer_problemf(x, API_PROBLEM_MALFORMED, "%s", what);
    return false;
}

/* No more keys than the limit, told before any of them takes memory. */
static bool check_count(struct api_exchange *x, struct ldb_slice list)
{
    struct ldb_reader r = ldb_reader_make(list);
    struct ldb_slice element;
    uint64_t count = 0;

    if (!api_json_take(&r, '['))
        return fail(x, "\"keys\" is a list");
    if (api_json_peek(&r) == ']')
        return true;
    do {
        if (!api_json_take_value(&r, &element))
            return fail(x, "\"keys\" is a list of strings");
        count++;
    } while (api_json_take(&r, ','));
    if (count <= x->context->limits.range_items_max)
        return true;
    api_answer_problemf(x, API_PROBLEM_TOO_LARGE,
                        "%llu keys, the limit is %llu",
                        (unsigned long long)count,
                        (unsigned long long)x->context->limits.range_items_max);
    return false;
}

/* Members there and of known names; what they hold comes later. */
static bool check_shape(struct api_exchange *x)
{
    struct api_json_member members[] = {{.name = "keys"},
                                        {.name = "values"},
                                        {.name = "encoding"},
                                        {.name = "snapshot"}};
    const char *why;
    size_t at;

    if (!api_json_cut(ldb_slice_of_buf(&x->body), members,
                      sizeof(members) / sizeof(members[0]), &at, &why)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED, "JSON, byte %zu: %s", at,
                            why);
        return false;
    }
    return check_count(x, members[0].value);
}

static bool read_members(struct api_exchange *x, struct multiget *get)
{
    const json_t *values = json_object_get(get->document, "values");
    const json_t *encoding = json_object_get(get->document, "encoding");
    const json_t *snapshot = json_object_get(get->document, "snapshot");

    get->keys = json_object_get(get->document, "keys");
    if (values != NULL && !json_is_boolean(values))
        return fail(x, "\"values\" is true or false");
    get->with_values = values == NULL || json_is_true(values);
    if (encoding != NULL &&
        (!json_is_string(encoding) ||
         !api_encoding_parse(api_json_string_bytes(encoding), &get->encoding)))
        return fail(x, "\"encoding\" is utf8, base64 or hex");
    if (snapshot != NULL && !json_is_string(snapshot))
        return fail(x, "\"snapshot\" is a string");
    return snapshot == NULL ||
           api_snapshot_choose(x, api_json_string_bytes(snapshot),
                               &get->choice);
}

static bool read_body(struct api_exchange *x, struct multiget *get)
{
    char why[256];

    if (!check_shape(x))
        return false;
    get->document =
        api_json_parse(ldb_slice_of_buf(&x->body), DEPTH_MAX, why, sizeof(why));
    ldb_buf_release(&x->body);
    if (get->document == NULL && why[0] == '\0') {
        api_answer_no_memory(x);
        return false;
    }
    if (get->document == NULL)
        return fail(x, why);
    return read_members(x, get);
}

/* ---- the answer ---- */

/* The key at an index; false: answered, naming it. */
static bool read_key(struct api_exchange *x, const struct multiget *get,
                     size_t index, struct ldb_slice *out)
{
    const json_t *text = json_array_get(get->keys, index);
    struct api_problem problem = {.has_index = true, .index = index};
    enum api_decode_result result = API_DECODE_BAD;

    problem.kind = API_PROBLEM_MALFORMED;
    if (json_is_string(text)) {
        problem.kind = API_PROBLEM_BAD_KEY;
        result = api_text_decode(x->arena, get->encoding,
                                 api_json_string_bytes(text), out);
    }
    if (result == API_DECODE_NO_MEMORY) {
        api_answer_no_memory(x);
        return false;
    }
    if (result == API_DECODE_OK && out->len <= x->context->limits.key_bytes)
        return api_auth_key(x, *out);
    if (result == API_DECODE_OK)
        problem.kind = API_PROBLEM_TOO_LARGE;
    api_problem_detail(&problem,
                       "keys[%zu]: a string of the encoding, at most %zu bytes",
                       index, x->context->limits.key_bytes);
    api_answer_problem(x, &problem);
    return false;
}

static enum ldb_status append_item(struct api_exchange *x, struct multiget *get,
                                   struct ldb_slice key, struct ldb_error *err)
{
    struct ldb_read_options options = {.snapshot = get->view};
    ldb_sequence sequence = 0;
    struct ldb_slice value;
    enum ldb_status s;

    s = ldb_get(x->context->db, key, &options, err,
                get->with_values ? &get->value : NULL, &sequence, NULL);
    if (s == LDB_NOT_FOUND)
        return ldb_buf_append(&get->page, ldb_slice_str("null"));
    if (s != LDB_OK)
        return s;
    value = ldb_slice_of_buf(&get->value);
    return api_item_text_append(&get->text, get->encoding, key,
                                get->with_values ? &value : NULL, sequence,
                                &get->page);
}

/*
 * Items of one pass; false: answered. *out_cut: the page is at its size, and
 * the next item does not belong to it.
 */
static bool append_items(struct api_exchange *x, struct multiget *get,
                         bool *out_cut)
{
    size_t page_bytes = x->context->limits.page_bytes;
    size_t count = json_array_size(get->keys);

    *out_cut = false;
    for (size_t i = 0; i < API_MULTIGET_PASS_KEYS && get->next < count; i++) {
        struct ldb_error error = {0};
        struct ldb_slice key;
        size_t before = get->page.len;
        enum ldb_status s = LDB_OK;

        if (!read_key(x, get, get->next, &key))
            return false;
        if (get->next > 0)
            s = ldb_buf_append_byte(&get->page, ',');
        if (s == LDB_OK)
            s = append_item(x, get, key, &error);
        if (s != LDB_OK) {
            api_answer_status(x, s, &error);
            return false;
        }
        if (get->next > 0 && get->page.len > page_bytes) {
            get->page.len = before;
            *out_cut = true;
            return true;
        }
        get->next++;
    }
    return true;
}

void api_multiget_resume(struct api_exchange *x)
{
    struct multiget *get = x->state;
    bool is_cut;
    enum ldb_status s;

    if (!append_items(x, get, &is_cut))
        return;
    if (!is_cut && get->next < json_array_size(get->keys)) {
        api_exchange_wake(x); /* on in the next pass */
        return;
    }
    s = ldb_buf_append(&get->page, ldb_slice_str("]}\n"));
    if (s != LDB_OK) {
        api_answer_status(x, s, NULL);
        return;
    }
    api_header_sequence(x, &get->headers, ldb_snapshot_sequence(get->view));
    api_answer_buf(x, 200, API_TYPE_JSON, &get->page);
}

void api_multiget_finish(struct api_exchange *x)
{
    struct multiget *get = x->state;
    struct ldb_error error = {0};
    enum ldb_status s = LDB_OK;

    if (!read_body(x, get) || !api_snapshot_open(x, &get->choice, &get->named))
        return;
    if (get->named == NULL)
        s = ldb_snapshot_acquire(x->context->db, &error, &get->now);
    get->view = get->named == NULL ? get->now : api_snapshot_view(get->named);
    if (s == LDB_OK)
        s = ldb_buf_append(&get->page, ldb_slice_str("{\"items\":["));
    if (s != LDB_OK)
        api_answer_status(x, s, &error);
    else
        api_multiget_resume(x);
}

void api_multiget_abandon(struct api_exchange *x)
{
    struct multiget *get = x->state;

    if (get == NULL)
        return;
    json_decref(get->document);
    api_snapshots_release(x->context->snapshots, get->named);
    ldb_snapshot_release(get->now);
    ldb_buf_release(&get->value);
    ldb_buf_release(&get->page);
    api_item_text_release(&get->text);
}
