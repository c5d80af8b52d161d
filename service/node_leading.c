#include <string.h>

#include "api/feeds.h"
#include "api/role.h"
#include "api/sequence_wait.h"
#include "api/snapshots.h"
#include "replication/leader.h"
#include "replication/promotion.h"
#include "replication/rebuild_intent.h"
#include "service/engine_options.h"
#include "service/node_run_internal.h"
#include "storage/base/status.h"

/*
 * A node that leads: its folder is opened as any database, in an epoch that no
 * other node has, and closed with a mark when all of it is known to be there.
 */

/*
 * Free space beyond two memtables that healing waits for, so that it does not
 * run into a full disk again at once. Chosen.
 */
#define HEAL_SPACE_BYTES ((uint64_t)16 << 20)

/* ---- opening ---- */

/* The engine's, with a database that is open. */
static void on_durable(void *context)
{
    struct svc_node *node = context;
    struct repl_leader *leader =
        atomic_load_explicit(&node->leader, memory_order_acquire);

    api_feeds_durable(node->context->feeds);
    if (leader != NULL)
        repl_leader_durable(leader);
}

/* Nothing is written before this is OK. */
static enum ldb_status check_cluster(const struct svc_node *node,
                                     struct ldb_error *err)
{
    const char *wanted = node->config->cluster_id;

    if (wanted[0] == '\0')
        return LDB_OK;
    if (!node->repl.has_identity)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%s has no identity, --cluster-id %s",
                             node->config->data_dir, wanted);
    if (strcmp(wanted, node->repl.identity.cluster_id) != 0)
        return ldb_error_set(
            err, LDB_INVALID_ARGUMENT, "%s is of cluster %s, --cluster-id %s",
            node->config->data_dir, node->repl.identity.cluster_id, wanted);
    return LDB_OK;
}

/* A folder on its way to be another leader's has no history of its own. One
 * that was to be, and is promoted instead, has. */
static enum ldb_status check_intent(const struct svc_node *node,
                                    struct ldb_error *err)
{
    struct repl_rebuild_intent intent;
    enum ldb_status s = repl_rebuild_intent_load(
        node->env, node->config->data_dir, err, &intent);

    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s != LDB_OK)
        return s;
    if (intent.phase == REPL_REBUILD_FETCHING && node->role.is_promotion_open)
        return repl_rebuild_intent_remove(node->env, node->config->data_dir,
                                          err);
    return ldb_error_set(err, LDB_PRECONDITION,
                         "%s is being made the copy of a leader in epoch %llu: "
                         "let it follow until that is done",
                         node->config->data_dir,
                         (unsigned long long)intent.epoch.number);
}

/* The epoch that this process writes in, or shows when it only reads. */
static enum ldb_status begin_epoch(struct svc_node *node, struct ldb_error *err)
{
    const struct repl_epoch *last;
    struct ldb_stats stats;
    enum ldb_status s;

    if (node->config->read_only) {
        last = repl_epoch_history_last(&node->repl.history);
        if (last != NULL)
            node->epoch = *last;
        return LDB_OK;
    }
    ldb_stats(node->db, &stats);
    if (node->role.is_promotion_open) {
        s = repl_node_begin_promoted(&node->repl, &node->recovery,
                                     &node->role.epoch_floor,
                                     stats.journal_number, err, &node->epoch);
        node->is_new_epoch = true;
    } else {
        s = repl_node_begin(&node->repl, &node->recovery, stats.journal_number,
                            err, &node->epoch, &node->is_new_epoch);
    }
    if (s == LDB_OK)
        s = ldb_raise_sequence(node->db, node->epoch.base, err);
    return s;
}

/* The epoch stands: what a restart would do over is done. */
static enum ldb_status end_promotion(struct svc_node *node,
                                     struct ldb_error *err)
{
    struct repl_role_file role = node->role;
    enum ldb_status s;

    if (!role.is_promotion_open)
        return LDB_OK;
    role.is_promotion_open = false;
    s = repl_role_file_store(node->env, node->config->data_dir, &role, err);
    if (s == LDB_OK)
        node->role = role;
    return s;
}

static enum ldb_status open_database(struct svc_node *node,
                                     struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (node->role.is_promotion_open)
        s = repl_promotion_raise_files(node->env, node->config->data_dir,
                                       node->role.file_floor, err);
    if (s != LDB_OK)
        return s;
    svc_engine_options(node->config, node->env, &node->engine);
    node->engine.on_durable = on_durable;
    node->engine.on_durable_context = node;
    s = ldb_open(node->config->data_dir, &node->engine, &node->recovery, err,
                 &node->db);
    node->is_twin = false;
    return s;
}

static void log_lost(void *context, const char *node_id, bool is_lost)
{
    struct svc_log_line line;

    (void)context;
    svc_log_begin(&line, is_lost ? SVC_LOG_WARN : SVC_LOG_INFO,
                  is_lost ? "follower-lost" : "follower-found");
    svc_log_text(&line, "node", node_id);
    svc_log_end(&line);
}

/* What followers need of this node. */
static enum ldb_status make_leader(struct svc_node *node, struct ldb_error *err)
{
    struct repl_leader_options options = {
        .db = node->db,
        .env = node->env,
        .concern = node->context->concern,
        .dir = node->config->data_dir,
        .engine = &node->engine,
        .identity = &node->repl.identity,
        .history = &node->repl.history,
        .slot_bytes = node->config->slot_bytes,
        .on_lost = log_lost,
    };
    struct repl_leader *leader = NULL;
    enum ldb_status s;

    if (node->config->read_only)
        return LDB_OK;
    s = svc_node_open_digests(node, err);
    if (s != LDB_OK)
        return s;
    options.digests = node->digests;
    s = repl_leader_create(&options, err, &leader);
    atomic_store_explicit(&node->leader, leader, memory_order_release);
    return s == LDB_OK ? svc_care_start(node, err) : s;
}

/* The leader first, and gone last: on_durable may come until the database is
 * closed. */
static enum ldb_status close_database(struct svc_node *node,
                                      struct ldb_error *err)
{
    struct repl_leader *leader = node->leader;
    enum ldb_status s = LDB_OK;

    svc_care_stop(node);
    repl_leader_close(leader);
    svc_node_close_digests(node);
    if (node->db != NULL)
        s = ldb_close(node->db, err);
    node->db = NULL;
    atomic_store_explicit(&node->leader, NULL, memory_order_release);
    repl_leader_destroy(leader);
    return s;
}

enum ldb_status svc_lead_open(struct svc_node *node, struct ldb_error *err)
{
    enum ldb_status s;

    /* A newer format or another cluster's folder: nothing may be written. */
    s = svc_node_load(node, err);
    if (s == LDB_OK)
        s = check_cluster(node, err);
    if (s == LDB_OK)
        s = check_intent(node, err);
    if (s == LDB_OK)
        s = open_database(node, err);
    /* Again: until now another process may have held and changed it. */
    if (s == LDB_OK)
        s = svc_node_load(node, err);
    if (s == LDB_OK)
        s = begin_epoch(node, err);
    if (s == LDB_OK)
        s = end_promotion(node, err);
    if (s == LDB_OK)
        s = svc_node_publish(node, &node->repl.history, err);
    if (s == LDB_OK)
        s = make_leader(node, err);
    if (s == LDB_OK)
        svc_node_publish_ids(node);
    else /* why it did not begin to lead is the error to tell */
        (void)!close_database(node, NULL);
    return s;
}

void svc_lead_show(struct svc_node *node)
{
    api_role_set(node->context->role, REPL_ROLE_LEADER, "");
    ldb_mutex_lock(&node->mu);
    node->is_bootstrapping = false; /* it may have been, and led with that */
    ldb_mutex_unlock(&node->mu);
    svc_node_take_db(node);
    api_db_gate_open(node->context->writes);
}

/* ---- closing ---- */

enum ldb_status svc_lead_settle(struct svc_node *node, struct ldb_error *err,
                                ldb_sequence *out_last)
{
    struct ldb_write write = {.sync = true};
    struct ldb_batch *batch = NULL;
    enum ldb_status s;

    s = ldb_batch_create(1024, err, &batch);
    if (s != LDB_OK)
        return s;
    write.batch = batch;
    s = ldb_write_wait(node->db, &write);
    if (s != LDB_OK && err != NULL)
        *err = write.error;
    *out_last = ldb_last_sequence(node->db);
    ldb_batch_destroy(batch);
    return s;
}

enum ldb_status svc_lead_close(struct svc_node *node, bool mark,
                               struct ldb_error *err)
{
    ldb_sequence last = 0;
    enum ldb_status s = LDB_OK;
    enum ldb_status closed;

    if (!node->config->read_only)
        s = svc_lead_settle(node, err, &last);
    closed = close_database(node, s == LDB_OK ? err : NULL);
    s = s == LDB_OK ? closed : s;
    if (s == LDB_OK && mark && !node->config->read_only)
        s = repl_node_end(&node->repl, last, err);
    return s;
}

/* ---- housekeeping ---- */

static const char *health_text(enum ldb_health health)
{
    switch (health) {
    case LDB_HEALTHY:
        return "healthy";
    case LDB_HEALTH_DISK_FULL:
        return "disk-full";
    case LDB_HEALTH_SYNC_FAILED:
        return "sync-failed";
    case LDB_HEALTH_WRITE_FAILED:
        return "write-failed";
    case LDB_HEALTH_BACKGROUND:
        return "background-failing";
    case LDB_HEALTH_CORRUPTION:
        return "corruption";
    }
    return "unknown";
}

static void log_health(struct svc_node *node, enum ldb_health health,
                       const struct ldb_error *why)
{
    struct svc_log_line line;

    if (health == node->health)
        return;
    node->health = health;
    svc_log_begin(&line, health == LDB_HEALTHY ? SVC_LOG_INFO : SVC_LOG_ERROR,
                  "health");
    svc_log_text(&line, "health", health_text(health));
    if (health != LDB_HEALTHY)
        svc_log_error(&line, why);
    svc_log_end(&line);
}

/* Whether reopening can help: the disk was full, and is not any more. */
static bool has_space_again(struct svc_node *node, const struct ldb_error *why)
{
    uint64_t wanted = 2 * node->config->write_buffer_bytes + HEAL_SPACE_BYTES;
    uint64_t free_bytes;

    return why->status == LDB_NO_SPACE &&
           node->env->ops->free_space(node->env, node->config->data_dir, NULL,
                                      &free_bytes) == LDB_OK &&
           free_bytes >= wanted;
}

/*
 * The epoch that heals. What was not synced is gone from the disk before it
 * says where the one before ended: else a process that dies here would, at its
 * next start, find writes of the one before that lie beyond its end.
 */
static enum ldb_status begin_healing(struct svc_node *node,
                                     struct ldb_error *err)
{
    struct ldb_stats stats;
    ldb_sequence last = 0;
    enum ldb_status s = ldb_cut_unsynced(node->db, err, &last);

    ldb_stats(node->db, &stats);
    if (s == LDB_OK)
        s = repl_node_begin_epoch(&node->repl, last, stats.journal_number + 1,
                                  err, &node->healing);
    node->heals = s == LDB_OK;
    return s;
}

/*
 * Reopens in place under a new epoch. The epoch is durable and the sequence
 * raised first, while writes are still refused, so that no write can come in
 * between under a number that was handed out before.
 */
static enum ldb_status heal(struct svc_node *node, struct ldb_error *err)
{
    struct ldb_recovery recovery = {0};
    enum ldb_status s = LDB_OK;

    if (!node->heals)
        s = begin_healing(node, err);
    if (s != LDB_OK)
        return s;
    /* Nobody may take the gap for something that has come. */
    s = svc_node_publish(node, &node->repl.history, err);
    /* Followers take the epoch in before its first byte. */
    if (s == LDB_OK && node->leader != NULL)
        s = repl_leader_set_history(node->leader, &node->repl.history, err);
    if (s == LDB_OK)
        s = ldb_raise_sequence(node->db, node->healing.base, err);
    if (s == LDB_OK)
        s = ldb_reopen(node->db, &recovery, err);
    if (s == LDB_OK)
        s = ldb_raise_sequence(node->db, node->healing.base, err);
    if (s != LDB_OK)
        return s;
    node->heals = false;
    node->epoch = node->healing;
    /* They may show writes that are lost now. */
    api_snapshots_drop_all(node->context->snapshots);
    return LDB_OK;
}

/* The oldest half of what is kept for readers of changes. */
static void cut_archive(struct svc_node *node, uint64_t free_bytes)
{
    struct ldb_stats stats;
    struct svc_log_line line;

    ldb_stats(node->db, &stats);
    if (stats.archive_bytes == 0)
        return;
    ldb_archive_trim(node->db, stats.archive_bytes / 2);
    svc_log_begin(&line, SVC_LOG_WARN, "archive-cut");
    svc_log_text(&line, "reason", "less free space than --disk-reserve");
    svc_log_u64(&line, "bytes", stats.archive_bytes / 2);
    svc_log_u64(&line, "free_bytes", free_bytes);
    svc_log_end(&line);
}

/* Tables that stay for followers which copy the folder. */
static void drop_checkpoints(struct svc_node *node, uint64_t free_bytes)
{
    struct repl_leader_figures figures;
    struct svc_log_line line;

    repl_leader_figures(node->leader, &figures);
    if (figures.checkpoints == 0)
        return;
    repl_leader_free_space(node->leader);
    svc_log_begin(&line, SVC_LOG_WARN, "checkpoints-dropped");
    svc_log_text(&line, "reason", "less free space than --disk-reserve");
    svc_log_u64(&line, "checkpoints", figures.checkpoints);
    svc_log_u64(&line, "free_bytes", free_bytes);
    svc_log_end(&line);
}

/* What is kept for others goes before writes have no room. */
static void keep_room(struct svc_node *node)
{
    const struct svc_config *config = node->config;
    uint64_t free_bytes = UINT64_MAX;

    if (config->read_only)
        return;
    if (config->archive_bytes != 0)
        ldb_archive_trim(node->db, UINT64_MAX);
    if (node->env->ops->free_space(node->env, config->data_dir, NULL,
                                   &free_bytes) != LDB_OK ||
        free_bytes >= config->disk_reserve_bytes)
        return;
    drop_checkpoints(node, free_bytes);
    if (config->archive_bytes != 0)
        cut_archive(node, free_bytes);
}

static void tick_leader(struct svc_node *node)
{
    struct ldb_error why = {0};
    struct svc_log_line line;
    bool fails;

    if (node->leader == NULL)
        return;
    fails = repl_leader_tick(node->leader, &why) != LDB_OK;
    if (fails == node->slots_fail)
        return;
    node->slots_fail = fails;
    svc_log_begin(&line, fails ? SVC_LOG_ERROR : SVC_LOG_INFO,
                  fails ? "slots-not-stored" : "slots-stored");
    if (fails)
        svc_log_error(&line, &why);
    svc_log_end(&line);
}

void svc_lead_tick(struct svc_node *node)
{
    struct ldb_error why = {0};
    enum ldb_health health = ldb_health(node->db, &why);
    struct ldb_error err = {0};
    struct svc_log_line line;
    bool is_healed;

    tick_leader(node);
    keep_room(node);
    log_health(node, health, &why);
    svc_care_health(node, health, &why);
    if ((health != LDB_HEALTH_SYNC_FAILED &&
         health != LDB_HEALTH_WRITE_FAILED) ||
        node->config->read_only || !has_space_again(node, &why))
        return;
    is_healed = heal(node, &err) == LDB_OK;
    svc_log_begin(&line, is_healed ? SVC_LOG_INFO : SVC_LOG_ERROR,
                  is_healed ? "healed" : "heal-failed");
    svc_log_u64(&line, "epoch", node->epoch.number);
    if (!is_healed)
        svc_log_error(&line, &err);
    svc_log_end(&line);
}
