#include "api/prometheus.h"

#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include "api/document.h"
#include "api/figures.h"
#include "api/followers.h"
#include "api/metrics.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/role.h"
#include "api/router.h"
#include "storage/base/buf.h"

/* Routes, levels and the table bound it; this is far above. */
#define METRICS_MAX ((size_t)1 << 20)
/* About what it takes, so that the buffer seldom grows. */
#define METRICS_USUAL ((size_t)96 << 10)

/* One line: name, labels, value. A text of ours, a node's id among them. */
#define LINE_SIZE 512

/* What is being written: the first failure ends it. */
struct exposition {
    struct ldb_buf *out;
    enum ldb_status status;
    enum api_family_id family; /* whose samples come now */
};

static void LDB_PRINTF(2, 3) put(struct exposition *e, const char *format, ...)
{
    char line[LINE_SIZE];
    va_list arguments;
    int len;

    va_start(arguments, format);
    len = vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    assert(len >= 0 && (size_t)len < sizeof(line));
    if (e->status == LDB_OK)
        e->status = ldb_buf_append(e->out, ldb_slice_make(line, (size_t)len));
}

static const char *name_of(const struct exposition *e)
{
    return api_family_get(e->family)->name;
}

static void begin_family(struct exposition *e, enum api_family_id id)
{
    const struct api_family *family = api_family_get(id);

    e->family = id;
    put(e, "# HELP %s %s\n# TYPE %s %s\n", family->name, family->help,
        family->name, api_family_type_text(family->type));
}

/* Microseconds as seconds, exactly. */
static void put_seconds(struct exposition *e, uint64_t us)
{
    put(e, "%llu.%06llu\n", (unsigned long long)(us / 1000000),
        (unsigned long long)(us % 1000000));
}

static void put_number(struct exposition *e, uint64_t n)
{
    if (api_family_get(e->family)->unit == API_MICROSECONDS)
        put_seconds(e, n);
    else
        put(e, "%llu\n", (unsigned long long)n);
}

/* ---- texts ---- */

/* A label's value: backslash, quote and newline are escaped, and it is cut
 * where it is longer than any of ours. */
#define LABEL_SIZE 160
static const char *escape(const char *text, char out[LABEL_SIZE])
{
    size_t len = 0;

    for (; *text != '\0' && len + 3 < LABEL_SIZE; text++) {
        if (*text == '\\' || *text == '"' || *text == '\n')
            out[len++] = '\\';
        out[len++] = (char)(*text == '\n' ? 'n' : *text);
    }
    out[len] = '\0';
    return out;
}

static void put_texts(struct exposition *e, const struct api_context *context,
                      const struct api_figures *figures)
{
    char one[LABEL_SIZE];
    char two[LABEL_SIZE];
    char three[LABEL_SIZE];

    begin_family(e, API_FAMILY_BUILD_INFO);
    put(e, "%s{version=\"%s\",commit=\"%s\"} 1\n", name_of(e),
        escape(context->version, one), escape(context->commit, two));
    begin_family(e, API_FAMILY_NODE_INFO);
    put(e, "%s{cluster_id=\"%s\",node_id=\"%s\",role=\"%s\"} 1\n", name_of(e),
        escape(context->cluster_id, one), escape(context->node_id, two),
        escape(api_role_text(context->role), three));
    begin_family(e, API_FAMILY_NOT_READY);
    if (figures->reason != NULL)
        put(e, "%s{reason=\"%s\"} 1\n", name_of(e),
            escape(figures->reason, one));
    if (figures->has_following) {
        begin_family(e, API_FAMILY_FOLLOWING_STATE);
        put(e, "%s{state=\"%s\"} 1\n", name_of(e),
            escape(figures->following_state, one));
    }
}

/* ---- requests ---- */

static void put_requests(struct exposition *e, const char *route,
                         const struct api_route_figures *figures)
{
    /* API_OUTCOME_1XX never ends a request. */
    for (enum api_outcome i = API_OUTCOME_2XX; i <= API_OUTCOME_ABANDONED; i++)
        put(e, "%s{route=\"%s\",status=\"%s\"} %llu\n", name_of(e), route,
            api_outcome_text(i), (unsigned long long)figures->count[i]);
}

static void put_histogram(struct exposition *e, const char *route,
                          const struct api_route_figures *figures)
{
    uint64_t seen = 0;
    size_t bucket = 0;

    for (unsigned edge = API_PROMETHEUS_FIRST_EDGE;
         edge <= API_PROMETHEUS_LAST_EDGE; edge++) {
        uint64_t us = UINT64_C(1) << edge;

        for (; api_metrics_bucket_limit(bucket) < us; bucket++)
            seen += figures->buckets[bucket];
        put(e, "%s_bucket{route=\"%s\",le=\"%llu.%06llu\"} %llu\n", name_of(e),
            route, (unsigned long long)(us / 1000000),
            (unsigned long long)(us % 1000000), (unsigned long long)seen);
    }
    for (; bucket < API_METRICS_BUCKETS; bucket++)
        seen += figures->buckets[bucket];
    put(e, "%s_bucket{route=\"%s\",le=\"+Inf\"} %llu\n", name_of(e), route,
        (unsigned long long)seen);
    put(e, "%s_sum{route=\"%s\"} ", name_of(e), route);
    put_seconds(e, figures->latency_sum_us);
    put(e, "%s_count{route=\"%s\"} %llu\n", name_of(e), route,
        (unsigned long long)seen);
}

static void put_longest(struct exposition *e, const char *route,
                        const struct api_route_figures *figures)
{
    put(e, "%s{route=\"%s\"} ", name_of(e), route);
    put_number(e, figures->latency_max_us);
}

static void
put_route_family(struct exposition *e, const struct api_metrics *metrics,
                 enum api_family_id id,
                 void (*put_route)(struct exposition *e, const char *route,
                                   const struct api_route_figures *figures))
{
    begin_family(e, id);
    for (size_t i = 0; i < api_metrics_route_count(metrics); i++) {
        struct api_route_figures figures;

        api_metrics_read(metrics, i, &figures);
        put_route(e, api_route_label(i), &figures);
    }
}

/* ---- followers ---- */

struct slot_row {
    enum api_family_id family;
    size_t offset; /* in struct repl_slot, of a bool or an uint64_t */
    bool is_bool;
};

#define SLOT_BOOL(id, field)                                                   \
    {                                                                          \
        API_FAMILY_##id, offsetof(struct repl_slot, field), true               \
    }
#define SLOT_NUMBER(id, field)                                                 \
    {                                                                          \
        API_FAMILY_##id, offsetof(struct repl_slot, field), false              \
    }

static const struct slot_row slot_rows[] = {
    SLOT_BOOL(SLOT_ALIVE, is_alive),
    SLOT_BOOL(SLOT_LOST, is_lost),
    SLOT_NUMBER(SLOT_KEPT, kept_bytes),
    SLOT_NUMBER(SLOT_SYNCED, ack.synced.sequence),
    SLOT_NUMBER(SLOT_APPLIED, ack.applied.sequence),
    SLOT_NUMBER(SLOT_LAG_SEQUENCES, lag_sequences),
    SLOT_NUMBER(SLOT_LAG_BYTES, lag_bytes),
    SLOT_NUMBER(SLOT_LAG, lag_us),
    SLOT_NUMBER(SLOT_BUILT, ack.tables_built),
    SLOT_NUMBER(SLOT_FETCHED, ack.tables_fetched),
    SLOT_NUMBER(SLOT_MISMATCHES, ack.digest_mismatches),
};

#undef SLOT_NUMBER
#undef SLOT_BOOL

static uint64_t slot_figure(const struct repl_slot *slot,
                            const struct slot_row *row)
{
    const void *place = (const char *)slot + row->offset;

    return row->is_bool ? *(const bool *)place : *(const uint64_t *)place;
}

static void put_followers(struct exposition *e,
                          const struct api_followers *followers)
{
    const size_t count = sizeof(slot_rows) / sizeof(slot_rows[0]);
    char node_id[LABEL_SIZE];

    for (size_t row = 0; followers->count > 0 && row < count; row++) {
        begin_family(e, slot_rows[row].family);
        for (size_t i = 0; i < followers->count; i++) {
            const struct repl_slot *slot = &followers->slots[i];

            put(e, "%s{node_id=\"%s\"} ", name_of(e),
                escape(slot->node_id, node_id));
            put_number(e, slot_figure(slot, &slot_rows[row]));
        }
    }
}

/* ---- the table ---- */

static void put_value(struct exposition *e, const struct api_figures *figures,
                      const struct api_figure *row, size_t level)
{
    switch (row->kind) {
    case API_FIGURE_NUMBER:
        put_number(e, api_figure_number(figures, row, level));
        break;
    case API_FIGURE_BOOL:
        put_number(e, api_figure_bool(figures, row));
        break;
    case API_FIGURE_DOUBLE:
        put(e, "%.15g\n", api_figure_double(figures, row, level));
        break;
    case API_FIGURE_TEXT: /* of no family */
        assert(false);
        break;
    }
}

static void put_row(struct exposition *e, const struct api_figures *figures,
                    const struct api_figure *row)
{
    if (api_figure_is_of_level(row)) {
        for (size_t level = 0; level < LDB_STATS_LEVELS; level++) {
            put(e, "%s{level=\"%zu\"} ", name_of(e), level);
            put_value(e, figures, row, level);
        }
        return;
    }
    if (row->labels == NULL)
        put(e, "%s ", name_of(e));
    else
        put(e, "%s{%s} ", name_of(e), row->labels);
    put_value(e, figures, row, 0);
}

/* The samples of a family stand together, whatever the order of the rows. */
static void put_rows(struct exposition *e, const struct api_figures *figures,
                     enum api_family_id id)
{
    size_t count;
    const struct api_figure *rows = api_figures_table(&count);
    bool begun = false;

    for (size_t i = 0; i < count; i++) {
        if (rows[i].family != id || !api_figure_is_known(figures, &rows[i]))
            continue;
        if (!begun)
            begin_family(e, id);
        begun = true;
        put_row(e, figures, &rows[i]);
    }
}

static void put_all(struct exposition *e, const struct api_context *context,
                    const struct api_figures *figures,
                    const struct api_followers *followers)
{
    const struct api_metrics *metrics = context->metrics;

    put_texts(e, context, figures);
    put_route_family(e, metrics, API_FAMILY_HTTP_REQUESTS, put_requests);
    put_route_family(e, metrics, API_FAMILY_HTTP_DURATION, put_histogram);
    put_route_family(e, metrics, API_FAMILY_HTTP_LONGEST, put_longest);
    put_followers(e, followers);
    for (enum api_family_id id = API_FAMILY_NONE + 1; id < API_FAMILY_END; id++)
        put_rows(e, figures, id);
}

void api_prometheus_finish(struct api_exchange *x)
{
    static const char *const types[] = {"text/plain"};
    struct ldb_buf body = LDB_BUF_INIT(METRICS_MAX);
    struct exposition e = {.out = &body, .status = LDB_OK};
    struct api_followers followers;
    struct api_figures figures;
    size_t choice;

    if (!api_no_params(x) || !api_accept(x, types, 1, &choice))
        return;
    if (!api_followers_read(x, &followers)) {
        api_answer_no_memory(x);
        return;
    }
    e.status = ldb_buf_reserve(&body, METRICS_USUAL);
    if (e.status == LDB_OK) {
        api_figures_gather(x->context, &followers, &figures);
        put_all(&e, x->context, &figures, &followers);
    }
    if (e.status == LDB_OK)
        api_answer_buf(x, 200, API_TYPE_PROMETHEUS, &body);
    else
        api_answer_status(x, e.status, NULL);
    ldb_buf_release(&body);
}
