#include "api/stats.h"

#include "api/context.h"
#include "api/health.h"
#include "api/json_text.h"
#include "api/metrics.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "api/router.h"
#include "storage/base/buf.h"

/* The document's size is bounded by the tables it prints; this is far above. */
#define STATS_MAX ((size_t)1 << 20)

static void begin_member(struct api_json *json, const char *name)
{
    api_json_name(json, name);
    api_json_object_begin(json);
}

static void write_node(struct api_json *json, const struct api_context *context)
{
    struct api_problem problem;
    const char *reason = api_not_ready_reason(context, &problem);

    api_json_member_text(json, "version", context->version);
    api_json_member_text(json, "commit", context->commit);
    api_json_member_text(json, "role", context->role);
    api_json_member_text(json, "cluster_id", context->cluster_id);
    api_json_member_text(json, "node_id", context->node_id);
    api_json_member_u64(json, "epoch", context->epoch);
    api_json_member_u64(json, "sequence", ldb_last_sequence(context->db));
    api_json_member_double(json, "uptime_seconds",
                           (double)(api_now_us(context) - context->started_us) /
                               1e6);
    api_json_member_bool(json, "read_only", context->read_only);
    api_json_member_bool(json, "ready", reason == NULL);
    if (reason != NULL)
        api_json_member_text(json, "reason", reason);
}

static void write_limits(struct api_json *json, const struct api_limits *limits)
{
    begin_member(json, "limits");
    api_json_member_u64(json, "key_bytes", limits->key_bytes);
    api_json_member_u64(json, "value_bytes", limits->value_bytes);
    api_json_member_u64(json, "batch_bytes", limits->batch_bytes);
    api_json_member_u64(json, "json_batch_bytes", limits->json_batch_bytes);
    api_json_member_u64(json, "multiget_bytes", limits->multiget_bytes);
    api_json_member_u64(json, "range_items_default",
                        limits->range_items_default);
    api_json_member_u64(json, "range_items_max", limits->range_items_max);
    api_json_member_u64(json, "snapshots", limits->snapshots_max);
    api_json_member_u64(json, "page_bytes", limits->page_bytes);
    api_json_member_u64(json, "delete_range_keys", LDB_DELETE_RANGE_KEYS_MAX);
    api_json_object_end(json);
}

/* ---- requests ---- */

static void write_route(struct api_json *json, const char *name,
                        const struct api_route_figures *figures)
{
    static const char *const outcomes[API_OUTCOME_COUNT] = {
        [API_OUTCOME_1XX] = "1xx", [API_OUTCOME_2XX] = "2xx",
        [API_OUTCOME_3XX] = "3xx", [API_OUTCOME_4XX] = "4xx",
        [API_OUTCOME_5XX] = "5xx", [API_OUTCOME_ABANDONED] = "abandoned",
    };
    static const struct {
        const char *name;
        uint64_t part;
    } quantiles[] = {{"p50", 500}, {"p90", 900}, {"p99", 990}, {"p999", 999}};

    api_json_object_begin(json);
    api_json_member_text(json, "route", name);
    api_json_member_u64(json, "count", figures->total);
    begin_member(json, "status");
    for (size_t i = API_OUTCOME_2XX; i < API_OUTCOME_COUNT; i++)
        api_json_member_u64(json, outcomes[i], figures->count[i]);
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
    size_t route_count;
    const struct api_route *routes = api_routes(&route_count);

    api_json_name(json, "requests");
    api_json_array_begin(json);
    for (size_t i = 0; i < api_metrics_route_count(metrics); i++) {
        struct api_route_figures figures;

        api_metrics_read(metrics, i, &figures);
        write_route(json, i < route_count ? routes[i].name : "other", &figures);
    }
    api_json_array_end(json);
}

/* ---- the engine ---- */

static void write_levels(struct api_json *json, const struct ldb_stats *stats)
{
    api_json_name(json, "levels");
    api_json_array_begin(json);
    for (size_t i = 0; i < LDB_STATS_LEVELS; i++) {
        api_json_object_begin(json);
        api_json_member_u64(json, "level", i);
        api_json_member_u64(json, "tables", stats->levels[i].tables);
        api_json_member_u64(json, "bytes", stats->levels[i].bytes);
        api_json_member_double(json, "score", stats->levels[i].score);
        api_json_member_u64(json, "compactions", stats->levels[i].compactions);
        api_json_member_u64(json, "read_bytes",
                            stats->levels[i].compaction_read_bytes);
        api_json_member_u64(json, "written_bytes",
                            stats->levels[i].compaction_write_bytes);
        api_json_member_u64(json, "compaction_us",
                            stats->levels[i].compaction_us);
        api_json_object_end(json);
    }
    api_json_array_end(json);
}

static uint64_t table_bytes(const struct ldb_stats *stats)
{
    uint64_t bytes = 0;

    for (size_t i = 0; i < LDB_STATS_LEVELS; i++)
        bytes += stats->levels[i].bytes;
    return bytes;
}

/* Bytes written to disk for each byte that users wrote. */
static double write_amplification(const struct ldb_stats *stats)
{
    uint64_t written = stats->journal_written_bytes;

    if (stats->user_bytes == 0)
        return 0;
    for (size_t i = 0; i < LDB_STATS_LEVELS; i++)
        written += stats->levels[i].compaction_write_bytes;
    return (double)written / (double)stats->user_bytes;
}

static void write_files(struct api_json *json, const struct ldb_stats *stats)
{
    begin_member(json, "manifest");
    api_json_member_u64(json, "number", stats->manifest_number);
    api_json_member_u64(json, "bytes", stats->manifest_bytes);
    api_json_object_end(json);
    begin_member(json, "journal");
    api_json_member_u64(json, "number", stats->journal_number);
    api_json_member_u64(json, "bytes", stats->journal_bytes);
    api_json_member_u64(json, "synced_bytes", stats->journal_synced_bytes);
    api_json_member_u64(json, "written_bytes_total",
                        stats->journal_written_bytes);
    api_json_member_u64(json, "syncs", stats->syncs);
    api_json_member_u64(json, "sync_us", stats->sync_us);
    api_json_object_end(json);
    begin_member(json, "memtable");
    api_json_member_u64(json, "bytes", stats->memtable_bytes);
    api_json_member_u64(json, "immutable_count", stats->immutable_memtables);
    api_json_member_u64(json, "immutable_bytes", stats->immutable_bytes);
    api_json_object_end(json);
}

static void write_stalls(struct api_json *json, const struct ldb_stats *stats)
{
    static const char *const causes[LDB_STALL_COUNT] = {
        [LDB_STALL_LEVEL0_SLOWDOWN] = "level0_slowdown",
        [LDB_STALL_PENDING_SLOWDOWN] = "pending_slowdown",
        [LDB_STALL_MEMTABLES_STOP] = "memtables_stop",
        [LDB_STALL_LEVEL0_STOP] = "level0_stop",
    };

    begin_member(json, "stalls");
    for (size_t i = 0; i < LDB_STALL_COUNT; i++) {
        begin_member(json, causes[i]);
        api_json_member_u64(json, "count", stats->stalls[i].count);
        api_json_member_u64(json, "us", stats->stalls[i].us);
        api_json_object_end(json);
    }
    api_json_member_u64(json, "slowdown_count", stats->slowdown_count);
    api_json_member_u64(json, "slowdown_us", stats->slowdown_us);
    api_json_member_u64(json, "stop_count", stats->stop_count);
    api_json_member_u64(json, "stop_us", stats->stop_us);
    api_json_member_bool(json, "stopped", stats->stopped);
    api_json_member_u64(json, "queue_writes", stats->queue_writes);
    api_json_member_u64(json, "queue_bytes", stats->queue_bytes);
    api_json_object_end(json);
}

static void write_work(struct api_json *json, const struct ldb_stats *stats)
{
    begin_member(json, "writes");
    api_json_member_u64(json, "count", stats->writes);
    api_json_member_u64(json, "operations", stats->operations);
    api_json_member_u64(json, "user_bytes", stats->user_bytes);
    api_json_member_u64(json, "groups", stats->groups);
    api_json_object_end(json);
    begin_member(json, "reads");
    api_json_member_u64(json, "gets", stats->gets);
    api_json_member_u64(json, "live_cursors", stats->live_cursors);
    api_json_member_u64(json, "live_snapshots", stats->live_snapshots);
    api_json_object_end(json);
    begin_member(json, "compaction");
    api_json_member_u64(json, "flushes", stats->flushes);
    api_json_member_u64(json, "flush_bytes", stats->flush_bytes);
    api_json_member_u64(json, "compactions", stats->compactions);
    api_json_member_u64(json, "trivial_moves", stats->trivial_moves);
    api_json_member_u64(json, "running", stats->running_compactions);
    api_json_member_u64(json, "pending_bytes", stats->pending_compaction_bytes);
    api_json_member_u64(json, "merged_bytes_per_second",
                        stats->merged_bytes_per_second);
    api_json_member_double(json, "pending_seconds", stats->pending_seconds);
    api_json_member_double(json, "write_amplification",
                           write_amplification(stats));
    api_json_object_end(json);
    write_stalls(json, stats);
}

static void write_hits(struct api_json *json, uint64_t hits, uint64_t misses)
{
    uint64_t all = hits + misses;

    api_json_member_u64(json, "hits", hits);
    api_json_member_u64(json, "misses", misses);
    api_json_member_double(json, "hit_rate",
                           all == 0 ? 0 : (double)hits / (double)all);
}

static void write_caches(struct api_json *json, const struct ldb_stats *stats)
{
    begin_member(json, "caches");
    begin_member(json, "block");
    write_hits(json, stats->block_cache_hits, stats->block_cache_misses);
    api_json_member_u64(json, "bytes", stats->block_cache_bytes);
    api_json_member_u64(json, "capacity_bytes",
                        stats->block_cache_capacity_bytes);
    api_json_object_end(json);
    begin_member(json, "table");
    write_hits(json, stats->table_cache_hits, stats->table_cache_misses);
    api_json_member_u64(json, "open", stats->open_tables);
    api_json_member_u64(json, "capacity", stats->open_tables_max);
    api_json_member_u64(json, "pinned_bytes", stats->table_memory_bytes);
    api_json_object_end(json);
    api_json_object_end(json);
}

static void write_engine(struct api_json *json, const struct ldb_stats *stats)
{
    begin_member(json, "engine");
    write_levels(json, stats);
    write_files(json, stats);
    write_work(json, stats);
    write_caches(json, stats);
    api_json_object_end(json);
}

/* ---- disk and process ---- */

static void write_disk(struct api_json *json, const struct api_context *context,
                       const struct ldb_stats *stats)
{
    uint64_t free_bytes;

    begin_member(json, "disk");
    api_json_member_u64(json, "table_bytes", table_bytes(stats));
    /* Left out where the system does not tell. */
    if (context->env->ops->free_space(context->env, context->data_dir, NULL,
                                      &free_bytes) == LDB_OK)
        api_json_member_u64(json, "free_bytes", free_bytes);
    api_json_member_u64(json, "reserve_bytes", context->disk_reserve_bytes);
    api_json_object_end(json);
}

static void write_process(struct api_json *json,
                          const struct api_context *context)
{
    struct api_process_figures f = {0};

    if (context->process_figures == NULL)
        return;
    context->process_figures(context->service, &f);
    begin_member(json, "process");
    api_json_member_u64(json, "resident_bytes", f.resident_bytes);
    api_json_member_u64(json, "resident_max_bytes", f.resident_max_bytes);
    api_json_member_u64(json, "cpu_user_us", f.cpu_user_us);
    api_json_member_u64(json, "cpu_system_us", f.cpu_system_us);
    api_json_member_u64(json, "open_files", f.open_files);
    api_json_member_u64(json, "threads", f.threads);
    api_json_member_u64(json, "connections", f.connections);
    api_json_member_u64(json, "connections_total", f.connections_total);
    api_json_member_u64(json, "upload_bytes", f.upload_bytes);
    api_json_member_u64(json, "upload_bytes_max", f.upload_bytes_max);
    api_json_object_end(json);
}

void api_stats_finish(struct api_exchange *x)
{
    static const char *const allowed[] = {NULL};
    static const char *const types[] = {API_TYPE_JSON};
    struct ldb_buf body = LDB_BUF_INIT(STATS_MAX);
    struct api_json json = api_json_make(&body);
    struct api_params params;
    struct ldb_stats stats;
    size_t choice;

    if (!api_params_parse(x, allowed, &params) ||
        !api_accept(x, types, 1, &choice))
        return;
    ldb_stats(x->context->db, &stats);
    api_json_object_begin(&json);
    write_node(&json, x->context);
    write_limits(&json, &x->context->limits);
    write_requests(&json, x->context->metrics);
    write_engine(&json, &stats);
    write_disk(&json, x->context, &stats);
    write_process(&json, x->context);
    api_json_object_end(&json);
    if (json.status == LDB_OK)
        json.status = ldb_buf_append_byte(&body, '\n');
    if (json.status == LDB_OK)
        api_answer_buf(x, 200, API_TYPE_JSON, &body);
    else
        api_answer_status(x, json.status, NULL);
    ldb_buf_release(&body);
}
