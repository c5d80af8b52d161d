#include "api/stats.h"

#include <string.h>

#include "api/context.h"
#include "api/document.h"
#include "api/figures.h"
#include "api/followers.h"
#include "api/json_text.h"
#include "api/metrics.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/role.h"
#include "api/router.h"
#include "storage/base/buf.h"

/* The document's size is bounded by the tables it prints; this is far above. */
#define STATS_MAX (((size_t)1 << 20) + REPL_SLOTS_MAX * API_FOLLOWER_MAX)

static void begin_member(struct api_json *json, const char *name)
{
    api_json_name(json, name);
    api_json_object_begin(json);
}

static void write_texts(struct api_json *json,
                        const struct api_context *context,
                        const struct api_figures *figures)
{
    api_json_member_text(json, "version", context->version);
    api_json_member_text(json, "commit", context->commit);
    api_json_member_text(json, "role", api_role_text(context->role));
    api_json_member_text(json, "cluster_id", context->cluster_id);
    api_json_member_text(json, "node_id", context->node_id);
    if (figures->reason != NULL)
        api_json_member_text(json, "reason", figures->reason);
}

/* ---- requests ---- */

static void write_route(struct api_json *json, const char *name,
                        const struct api_route_figures *figures)
{
    static const struct {
        const char *name;
        uint64_t part;
    } quantiles[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"p999", 999}};

    api_json_object_begin(json);
    api_json_member_text(json, "route", name);
    api_json_member_u64(json, "count", figures->total);
    begin_member(json, "status");
    for (enum api_outcome i = API_OUTCOME_2XX; i <= API_OUTCOME_ABANDONED; i++)
        api_json_member_u64(json, api_outcome_text(i), figures->count[i]);
    api_json_object_end(json);
    begin_member(json, "latency_us");
    api_json_member_u64(json, "sum", figures->latency_sum_us);
    for (size_t i = 0; i < sizeof(quantiles) / sizeof(quantiles[0]); i++)
        api_json_member_u64(
            json, quantiles[i].name,
            api_metrics_quantile_us(figures, quantiles[i].part, 1000));
    api_json_member_u64(json, "max", figures->latency_max_us);
    api_json_object_end(json);
    api_json_object_end(json);
}

static void write_requests(struct api_json *json,
                           const struct api_metrics *metrics)
{
    api_json_name(json, "requests");
    api_json_array_begin(json);
    for (size_t i = 0; i < api_metrics_route_count(metrics); i++) {
        struct api_route_figures figures;

        api_metrics_read(metrics, i, &figures);
        write_route(json, api_route_label(i), &figures);
    }
    api_json_array_end(json);
}

/* ---- the table ---- */

static void write_row(struct api_json *json, const struct api_figures *figures,
                      const struct api_figure *row, size_t level)
{
    switch (row->kind) {
    case API_FIGURE_NUMBER:
        api_json_member_u64(json, row->name,
                            api_figure_number(figures, row, level));
        break;
    case API_FIGURE_BOOL:
        api_json_member_bool(json, row->name, api_figure_bool(figures, row));
        break;
    case API_FIGURE_DOUBLE:
        api_json_member_double(json, row->name,
                               api_figure_double(figures, row, level));
        break;
    case API_FIGURE_TEXT:
        api_json_member_text(json, row->name, api_figure_text(figures, row));
        break;
    }
}

/* The levels, each with count rows. */
static void write_levels(struct api_json *json,
                         const struct api_figures *figures,
                         const struct api_figure *rows, size_t count)
{
    api_json_array_begin(json);
    for (size_t level = 0; level < LDB_STATS_LEVELS; level++) {
        api_json_object_begin(json);
        api_json_member_u64(json, "level", level);
        for (size_t i = 0; i < count; i++)
            write_row(json, figures, &rows[i], level);
        api_json_object_end(json);
    }
    api_json_array_end(json);
}

/* Rows from the first on whose group begins with its first len bytes. */
static size_t count_below(const struct api_figure *rows, size_t count,
                          size_t len)
{
    size_t n = 1;

    while (n < count && strncmp(rows[n].group, rows[0].group, len) == 0 &&
           (rows[n].group[len] == '\0' || rows[n].group[len] == '.'))
        n++;
    return n;
}

#define GROUP_NAME_SIZE 32

static void write_members(struct api_json *json,
                          const struct api_figures *figures,
                          const struct api_figure *rows, size_t count,
                          size_t depth);

/*
 * The member that holds rows[0], whose group goes on after depth bytes, and all
 * rows that stand in it. Returns how many.
 */
static size_t write_group(struct api_json *json,
                          const struct api_figures *figures,
                          const struct api_figure *rows, size_t count,
                          size_t depth)
{
    const char *own = rows[0].group + depth + (depth > 0 ? 1 : 0);
    size_t len = strcspn(own, ".");
    size_t end = (size_t)(own - rows[0].group) + len;
    size_t below = count_below(rows, count, end);
    char name[GROUP_NAME_SIZE];

    assert(len < sizeof(name));
    memcpy(name, own, len);
    name[len] = '\0';
    api_json_name(json, name);
    if (api_figure_is_of_level(&rows[0]) && own[len] == '\0') {
        write_levels(json, figures, rows, below);
        return below;
    }
    api_json_object_begin(json);
    write_members(json, figures, rows, below, end);
    api_json_object_end(json);
    return below;
}

/* Rows whose groups begin with the depth bytes of the path so far. */
static void write_members(struct api_json *json,
                          const struct api_figures *figures,
                          const struct api_figure *rows, size_t count,
                          size_t depth)
{
    size_t i = 0;

    while (i < count) {
        if (rows[i].name == NULL || !api_figure_is_known(figures, &rows[i])) {
            i++;
        } else if (strlen(rows[i].group) == depth) {
            write_row(json, figures, &rows[i], 0);
            i++;
        } else {
            i += write_group(json, figures, &rows[i], count - i, depth);
        }
    }
}

void api_stats_finish(struct api_exchange *x)
{
    static const char *const types[] = {API_TYPE_JSON};
    struct ldb_buf body = LDB_BUF_INIT(STATS_MAX);
    struct api_json json = api_json_make(&body);
    struct api_followers followers;
    struct api_figures figures;
    const struct api_figure *rows;
    size_t count;
    size_t choice;

    if (!api_no_params(x) || !api_accept(x, types, 1, &choice))
        return;
    if (!api_followers_read(x, &followers)) {
        api_answer_no_memory(x);
        return;
    }
    api_figures_gather(x->context, &followers, &figures);
    rows = api_figures_table(&count);
    api_json_object_begin(&json);
    write_texts(&json, x->context, &figures);
    write_requests(&json, x->context->metrics);
    write_members(&json, &figures, rows, count, 0);
    if (figures.has_leader) {
        api_json_name(&json, "followers");
        api_followers_write(&json, &followers);
    }
    api_json_object_end(&json);
    if (json.status == LDB_OK)
        json.status = ldb_buf_append_byte(&body, '\n');
    if (json.status == LDB_OK)
        api_answer_buf(x, 200, API_TYPE_JSON, &body);
    else
        api_answer_status(x, json.status, NULL);
    ldb_buf_release(&body);
}
