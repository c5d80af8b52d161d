#include "api/size.h"

#include "api/auth.h"
#include "api/conditions.h"
#include "api/context.h"
#include "api/document.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "storage/base/slice.h"

static uint64_t table_bytes(struct ldb_db *db)
{
    struct ldb_stats stats;
    uint64_t total = 0;

    ldb_stats(db, &stats);
    for (size_t i = 0; i < LDB_STATS_LEVELS; i++)
        total += stats.levels[i].bytes;
    return total;
}

/* The bytes from start to the end of all keys: all but those before it. */
static enum ldb_status size_from(struct ldb_db *db, struct ldb_slice start,
                                 struct ldb_error *err, uint64_t *out)
{
    uint64_t before = 0;
    uint64_t all = table_bytes(db);
    enum ldb_status s;

    s = ldb_approximate_size(db, ldb_slice_str(""), start, err, &before);
    if (s == LDB_OK)
        *out = all > before ? all - before : 0;
    return s;
}

void api_size_finish(struct api_exchange *x)
{
    static const char *const allowed[] = {"start", "end", "enc", NULL};
    static const char *const types[] = {API_TYPE_JSON};
    struct ldb_buf body = LDB_BUF_INIT(API_DOCUMENT_MAX);
    struct api_json json = api_json_make(&body);
    struct ldb_error error = {0};
    struct api_params params;
    enum api_encoding enc;
    struct ldb_slice start;
    struct ldb_slice end;
    bool has_start;
    bool has_end;
    uint64_t bytes = 0;
    enum ldb_status s;
    size_t choice;

    if (!api_params_parse(x, allowed, &params) ||
        !api_params_enc(x, &params, &enc) ||
        !api_params_key(x, &params, "start", enc, &has_start, &start) ||
        !api_params_key(x, &params, "end", enc, &has_end, &end) ||
        !api_auth_range(x, start, has_end ? &end : NULL) ||
        !api_accept(x, types, 1, &choice))
        return;
    s = has_end
            ? ldb_approximate_size(x->context->db, start, end, &error, &bytes)
            : size_from(x->context->db, start, &error, &bytes);
    if (s != LDB_OK) {
        api_answer_status(x, s, &error);
        return;
    }
    api_json_object_begin(&json);
    api_json_member_u64(&json, "bytes", bytes);
    api_json_object_end(&json);
    api_answer_document(x, 200, &json);
}
