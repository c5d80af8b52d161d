#include "api/snapshot_routes.h"

#include "api/conditions.h"
#include "api/context.h"
#include "api/document.h"
#include "api/problem.h"
#include "api/response.h"
#include "storage/base/buf.h"
#include "storage/base/mem.h"

/* Bytes of one snapshot in a list; far above what it takes. */
#define ITEM_MAX 256

/* ---- what other resources use ---- */

bool api_snapshot_choose(struct api_exchange *x, struct ldb_slice text,
                         struct api_snapshot_choice *out)
{
    if (!api_snapshot_id_parse(text, &out->id)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "a snapshot is named by the \"id\" it was made "
                            "with");
        return false;
    }
    out->is_given = true;
    return true;
}

bool api_snapshot_param(struct api_exchange *x, const struct api_params *params,
                        struct api_snapshot_choice *out)
{
    const struct ldb_slice *text = api_params_find(params, "snapshot");

    return text == NULL || api_snapshot_choose(x, *text, out);
}

static void answer_gone(struct api_exchange *x)
{
    api_answer_problemf(x, API_PROBLEM_EXPIRED,
                        "the snapshot is gone: expired, dropped, or of before "
                        "a restart");
}

bool api_snapshot_open(struct api_exchange *x,
                       const struct api_snapshot_choice *choice,
                       struct api_snapshot **out)
{
    *out = NULL;
    if (!choice->is_given)
        return true;
    *out = api_snapshots_use(x->context->snapshots, &choice->id);
    if (*out == NULL)
        answer_gone(x);
    return *out != NULL;
}

const struct ldb_snapshot *
api_snapshot_view_or_now(const struct api_snapshot *snapshot)
{
    return snapshot == NULL ? NULL : api_snapshot_view(snapshot);
}

/* ---- the resource ---- */

static void write_info(struct api_json *json,
                       const struct api_snapshot_info *info)
{
    char text[API_SNAPSHOT_ID_SIZE];

    api_snapshot_id_text(&info->id, text);
    api_json_object_begin(json);
    api_json_member_text(json, "id", text);
    api_json_member_u64(json, "sequence", info->sequence);
    api_json_member_time(json, "expires", info->expires_us);
    api_json_object_end(json);
}

static void answer_info(struct api_exchange *x, unsigned status,
                        const struct api_snapshot_info *info)
{
    struct ldb_buf body = LDB_BUF_INIT(API_DOCUMENT_MAX);
    struct api_json json = api_json_make(&body);

    write_info(&json, info);
    api_answer_document(x, status, &json);
}

static bool check_request(struct api_exchange *x)
{
    static const char *const types[] = {API_TYPE_JSON};
    size_t choice;

    return api_no_params(x) && api_accept(x, types, 1, &choice) &&
           api_conditions_refuse(x);
}

void api_snapshot_body_begin(struct api_exchange *x)
{
    if (check_request(x))
        x->body_limit = API_DOCUMENT_MAX;
}

/* "ttl" of the body; false: answered. */
static bool read_ttl(struct api_exchange *x, uint64_t *ttl_us)
{
    static const char *const names[] = {"ttl", NULL};
    json_t *document;
    bool is_ok;

    if (!api_document_read(x, names, &document))
        return false;
    is_ok = api_document_duration(x, document, "ttl", API_SNAPSHOT_TTL_MAX_US,
                                  ttl_us);
    json_decref(document);
    return is_ok;
}

void api_snapshot_take_finish(struct api_exchange *x)
{
    uint64_t ttl_us = API_SNAPSHOT_TTL_US;
    struct api_snapshot_info info;
    struct ldb_error error = {0};
    char text[API_SNAPSHOT_ID_SIZE];
    enum ldb_status s;

    if (!read_ttl(x, &ttl_us))
        return;
    s = api_snapshots_take(x->context->snapshots,
                           x->context->limits.snapshots_max, ttl_us, &error,
                           &info);
    if (s == LDB_STALLED) {
        struct api_problem problem = {
            .kind = API_PROBLEM_OVERLOADED, .status = 429, .retry_after_s = 1};

        api_problem_detail(&problem, "%s", error.message);
        api_answer_problem(x, &problem);
        return;
    }
    if (s != LDB_OK) {
        api_answer_status(x, s, &error);
        return;
    }
    api_snapshot_id_text(&info.id, text);
    if (!api_header_printf(x, "Location", "/v1/snapshots/%s", text))
        api_answer_no_memory(x); /* the snapshot expires by itself */
    else
        answer_info(x, 201, &info);
}

void api_snapshot_list_finish(struct api_exchange *x)
{
    size_t max = x->context->limits.snapshots_max;
    struct api_snapshot_info *infos;
    struct ldb_buf body = LDB_BUF_INIT((max + 1) * ITEM_MAX);
    struct api_json json = api_json_make(&body);
    size_t count;

    if (!check_request(x))
        return;
    infos = ldb_mem_alloc(max, sizeof(*infos));
    if (infos == NULL) {
        api_answer_no_memory(x);
        return;
    }
    count = api_snapshots_list(x->context->snapshots, infos, max);
    api_json_object_begin(&json);
    api_json_name(&json, "items");
    api_json_array_begin(&json);
    for (size_t i = 0; i < count; i++)
        write_info(&json, &infos[i]);
    api_json_array_end(&json);
    api_json_object_end(&json);
    ldb_mem_free(infos);
    api_answer_document(x, 200, &json);
}

void api_snapshot_renew_finish(struct api_exchange *x)
{
    struct api_snapshot_choice choice;
    struct api_snapshot_info info;
    uint64_t ttl_us = 0;

    if (!api_snapshot_choose(x, x->raw_rest, &choice) || !read_ttl(x, &ttl_us))
        return;
    if (api_snapshots_renew(x->context->snapshots, &choice.id, ttl_us, &info))
        answer_info(x, 200, &info);
    else
        answer_gone(x);
}

void api_snapshot_drop_finish(struct api_exchange *x)
{
    struct api_snapshot_choice choice;

    if (!check_request(x) || !api_snapshot_choose(x, x->raw_rest, &choice))
        return;
    if (api_snapshots_drop(x->context->snapshots, &choice.id))
        api_answer_empty(x, 204);
    else
        answer_gone(x);
}
