#include "api/context.h"

#include "api/backup.h"
#include "api/db_gate.h"
#include "api/feeds.h"
#include "api/json_text.h"
#include "api/metrics.h"
#include "api/role.h"
#include "api/router.h"
#include "api/sequence_wait.h"
#include "api/snapshots.h"
#include "api/tasks.h"
#include "api/tokens.h"
#include "replication/leader.h"
#include "storage/base/status.h"

static const struct api_limits default_limits = {
    .key_bytes = 65536,
    .value_bytes = (size_t)64 << 20,
    /* A value and a key of the largest size and the batch around them. */
    .batch_bytes = 68157440,
    .json_batch_bytes = (size_t)96 << 20,
    .multiget_bytes = (size_t)8 << 20,
    .range_items_default = 100,
    .range_items_max = 10000,
    .snapshots_max = 4096,
    .backups_max = 2,
    .page_bytes = (size_t)8 << 20,
    .feeds_max = 256,
    .feed_heartbeat_us = UINT64_C(10000000),
    .slot_bytes = REPL_SLOT_BYTES,
};

enum ldb_status api_context_init(struct api_context *context, struct ldb_db *db,
                                 struct ldb_env *env, struct ldb_error *err)
{
    *context = (struct api_context){
        .env = env,
        .limits = default_limits,
        .version = "",
        .commit = "unknown",
        .data_dir = "",
        .checkpoint_dir = "",
        .cluster_id = "",
        .node_id = "",
        .sync_default = true,
        .disk_reserve_bytes = (uint64_t)64 << 20,
        .retry_after_s = 1,
    };
    api_json_use_ldb_mem();
    context->gate = api_db_gate_create();
    context->writes = api_db_gate_create();
    context->role = api_role_create();
    context->metrics = api_metrics_create(api_route_none() + 1);
    context->snapshots = api_snapshots_create(db, env);
    context->sequence_waits = api_sequence_waits_create(db, env);
    context->feeds = api_feeds_create(db);
    context->tasks = api_tasks_create(env);
    context->backups = api_backups_create();
    context->tokens = api_token_store_create();
    context->concern = repl_write_concern_create(env);
    if (context->gate == NULL || context->writes == NULL ||
        context->role == NULL || context->concern == NULL ||
        context->metrics == NULL || context->snapshots == NULL ||
        context->sequence_waits == NULL || context->feeds == NULL ||
        context->tasks == NULL || context->backups == NULL ||
        context->tokens == NULL) {
        api_context_release(context);
        return ldb_error_no_memory(err);
    }
    context->started_us = api_now_us(context);
    context->started_wall_us = env->ops->wall_us(env);
    if (db == NULL)
        return LDB_OK;
    api_context_take_db(context, db);
    api_db_gate_open(context->writes);
    return LDB_OK;
}

/* ---- exchanging the database ---- */

void api_context_shut(struct api_context *context,
                      const struct api_db_gate_reason *reason)
{
    api_db_gate_shut(context->gate, reason);
    if (context->leader != NULL)
        repl_leader_end(context->leader);
    api_sequence_waits_shut(context->sequence_waits);
    api_feeds_shut(context->feeds);
}

void api_context_drop_db(struct api_context *context)
{
    assert(api_db_gate_is_closing(context->gate));
    api_snapshots_drop_all(context->snapshots);
    context->leader = NULL;
    context->digests = NULL;
    context->tables = NULL;
    context->scrub = NULL;
    context->heal = NULL;
    context->db = NULL;
}

void api_context_take_db(struct api_context *context, struct ldb_db *db)
{
    context->db = db;
    api_snapshots_set_db(context->snapshots, db);
    api_sequence_waits_set_db(context->sequence_waits, db);
    api_feeds_set_db(context->feeds, db);
    api_db_gate_open(context->gate);
}

/* ---- housekeeping ---- */

static void measure_writes(struct api_context *context, uint64_t now_us)
{
    struct ldb_stats stats;

    if (!api_retry_is_due(&context->retry, now_us))
        return;
    ldb_stats(context->db, &stats);
    if (api_retry_update(&context->retry, &stats, now_us))
        atomic_store_explicit(&context->retry_after_s,
                              api_retry_after_s(&context->retry, &stats),
                              memory_order_relaxed);
}

void api_context_tick(struct api_context *context)
{
    uint64_t now_us = api_now_us(context);

    api_feeds_tick(context->feeds, now_us);
    api_tasks_tick(context->tasks);
    if (!api_db_gate_enter(context->gate))
        return;
    api_snapshots_expire(context->snapshots);
    api_sequence_waits_tick(context->sequence_waits);
    measure_writes(context, now_us);
    api_db_gate_leave(context->gate);
}

void api_context_drain(struct api_context *context)
{
    /* Neither ends by itself: files that are followed, and writes that wait
     * for followers, who do not come any more. */
    if (api_db_gate_enter(context->gate)) {
        if (context->leader != NULL)
            repl_leader_end(context->leader);
        api_db_gate_leave(context->gate);
    }
    api_sequence_waits_close(context->sequence_waits);
    api_feeds_end(context->feeds);
    api_tasks_close(context->tasks);
}

void api_context_close(struct api_context *context)
{
    if (context->sequence_waits != NULL)
        api_sequence_waits_close(context->sequence_waits);
    if (context->tasks != NULL)
        api_tasks_stop(context->tasks);
    if (context->backups != NULL)
        api_backups_close(context->backups);
    if (context->snapshots != NULL)
        api_snapshots_drop_all(context->snapshots);
}

void api_context_release(struct api_context *context)
{
    api_context_close(context);
    api_snapshots_destroy(context->snapshots);
    context->snapshots = NULL;
    api_sequence_waits_destroy(context->sequence_waits);
    context->sequence_waits = NULL;
    api_feeds_destroy(context->feeds);
    context->feeds = NULL;
    api_tasks_destroy(context->tasks);
    context->tasks = NULL;
    api_backups_destroy(context->backups);
    context->backups = NULL;
    api_token_store_destroy(context->tokens);
    context->tokens = NULL;
    repl_write_concern_destroy(context->concern);
    context->concern = NULL;
    api_metrics_destroy(context->metrics);
    context->metrics = NULL;
    api_role_destroy(context->role);
    context->role = NULL;
    api_db_gate_destroy(context->writes);
    context->writes = NULL;
    api_db_gate_destroy(context->gate);
    context->gate = NULL;
}
