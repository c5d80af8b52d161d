#include "api/multiget.h"

#include <string.h>

#include "api/auth.h"
#include "api/conditions.h"
#include "api/context.h"
#include "api/item_text.h"
#include "api/multiget_json.h"
#include "api/params.h"
#include "api/response.h"
#include "api/snapshot_routes.h"
#include "storage/base/buf.h"
#include "storage/journal/write_batch.h"

struct multiget {
    struct api_multiget_json asked; /* its keys lie in the body */
    struct ldb_buf key;             /* where one is decoded */
    uint64_t item_count;            /* in the page */
    struct api_snapshot_choice choice;
    struct api_snapshot *named; /* the view asked for, or NULL and */
    struct ldb_snapshot *now;   /* one of now */
    const struct ldb_snapshot *view;
    struct ldb_buf value;
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
    if (!api_params_parse(x, allowed, &params) ||
        !api_header_once(x, "Content-Type", &type))
        return;
    if (!api_media_type_is(type, API_TYPE_JSON)) {
        api_answer_problemf(x, API_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                            "the keys are sent as %s", API_TYPE_JSON);
        return;
    }
    if (!api_accept(x, types, 1, &choice) || !api_conditions_refuse(x))
        return;
    x->body_limit = x->context->limits.multiget_bytes;
    x->state = get;
}

static bool read_body(struct api_exchange *x, struct multiget *get)
{
    struct api_problem problem;
    struct ldb_slice id;

    get->key = (struct ldb_buf)LDB_BUF_INIT(x->body.len);
    if (!api_multiget_json_parse(&x->context->limits,
                                 ldb_slice_of_buf(&x->body), &get->asked,
                                 &problem)) {
        api_answer_problem(x, &problem);
        return false;
    }
    if (!get->asked.has_snapshot)
        return true;
    if (api_json_string_decode(&get->asked.snapshot, API_ENCODING_UTF8,
                               &get->key, &id) == API_DECODE_OK)
        return api_snapshot_choose(x, id, &get->choice);
    api_answer_no_memory(x);
    return false;
}

/* ---- the answer ---- */

/* The next key; false: answered, naming it. */
static bool read_key(struct api_exchange *x, struct multiget *get,
                     struct ldb_slice *out)
{
    struct api_problem problem;

    if (api_multiget_json_next(&get->asked, &x->context->limits, &get->key, out,
                               &problem))
        return api_auth_key(x, *out);
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
                get->asked.with_values ? &get->value : NULL, &sequence, NULL);
    if (s == LDB_NOT_FOUND)
        return ldb_buf_append(&get->page, ldb_slice_str("null"));
    if (s != LDB_OK)
        return s;
    value = ldb_slice_of_buf(&get->value);
    return api_item_text_append(get->asked.encoding, key,
                                get->asked.with_values ? &value : NULL,
                                sequence, &get->page);
}

/*
 * Items of one pass; false: answered. *out_cut: the page is at its size, and
 * the next item does not belong to it.
 */
static bool append_items(struct api_exchange *x, struct multiget *get,
                         bool *out_cut)
{
    size_t page_bytes = x->context->limits.page_bytes;

    *out_cut = false;
    for (size_t i = 0;
         i < API_MULTIGET_PASS_KEYS && get->item_count < get->asked.key_count;
         i++) {
        struct ldb_error error = {0};
        struct ldb_slice key;
        size_t before = get->page.len;
        enum ldb_status s = LDB_OK;

        if (!read_key(x, get, &key))
            return false;
        if (get->item_count > 0)
            s = ldb_buf_append_byte(&get->page, ',');
        if (s == LDB_OK)
            s = append_item(x, get, key, &error);
        if (s != LDB_OK) {
            api_answer_status(x, s, &error);
            return false;
        }
        if (get->item_count > 0 && get->page.len > page_bytes) {
            get->page.len = before;
            *out_cut = true;
            return true;
        }
        get->item_count++;
    }
    return true;
}

/* What it holds of the database, with the answer. */
static void let_go(struct api_exchange *x, struct multiget *get)
{
    api_snapshots_release(x->context->snapshots, get->named);
    get->named = NULL;
    ldb_snapshot_release(get->now);
    get->now = NULL;
}

static void go_on(struct api_exchange *x, struct multiget *get)
{
    bool is_cut;
    enum ldb_status s;

    if (!append_items(x, get, &is_cut))
        return;
    if (!is_cut && get->item_count < get->asked.key_count) {
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

void api_multiget_resume(struct api_exchange *x)
{
    struct multiget *get = x->state;

    go_on(x, get);
    if (x->response.ready)
        let_go(x, get);
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
    if (s == LDB_OK) {
        api_multiget_resume(x);
        return;
    }
    api_answer_status(x, s, &error);
    let_go(x, get);
}

void api_multiget_abandon(struct api_exchange *x)
{
    struct multiget *get = x->state;

    if (get == NULL)
        return;
    let_go(x, get);
    ldb_buf_release(&get->key);
    ldb_buf_release(&get->value);
    ldb_buf_release(&get->page);
}
