#include "service/lifecycle.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "api/context.h"
#include "api/feeds.h"
#include "api/role.h"
#include "api/sequence_wait.h"
#include "api/snapshots.h"
#include "replication/leader.h"
#include "replication/node.h"
#include "service/access_log.h"
#include "service/engine_options.h"
#include "service/http_server.h"
#include "service/http_tls.h"
#include "service/process_figures.h"
#include "service/token_file.h"
#include "service/version.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/*
 * Free space beyond two memtables that healing waits for, so that it does not
 * run into a full disk again at once. Chosen.
 */
#define HEAL_SPACE_BYTES ((uint64_t)16 << 20)

struct svc_service {
    const struct svc_config *config; /* borrowed */
    struct ldb_env *env;             /* borrowed */
    struct repl_node node;
    struct repl_epoch epoch;
    bool is_new_epoch;
    struct ldb_db *db;
    struct ldb_recovery recovery;
    struct api_context context;
    bool has_context;
    struct repl_digest_index *digests; /* NULL: read-only */
    struct repl_leader *leader;        /* the same */
    bool slots_fail;     /* as last logged: they could not be stored */
    struct svc_tls *tls; /* NULL: none */
    struct svc_access_log *access_log; /* NULL: off */
    /* Requests come before it is set (release; acquire where they look). */
    _Atomic(struct svc_http_server *) http;
    enum ldb_health health;    /* as last logged */
    bool heals;                /* the epoch below was begun for healing */
    struct repl_epoch healing; /* is the epoch once the database is reopened */
};

/* ---- starting ---- */

/* The engine's; somebody watches, so that there is a context, and a leader. */
static void on_durable(void *context)
{
    struct svc_service *service = context;

    api_feeds_durable(service->context.feeds);
    repl_leader_durable(service->leader);
}

/* Nothing is written before this is OK. */
static enum ldb_status check_cluster(const struct svc_service *service,
                                     struct ldb_error *err)
{
    const char *wanted = service->config->cluster_id;

    if (wanted[0] == '\0')
        return LDB_OK;
    if (!service->node.has_identity)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%s has no identity, --cluster-id %s",
                             service->config->data_dir, wanted);
    if (strcmp(wanted, service->node.identity.cluster_id) != 0)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%s is of cluster %s, --cluster-id %s",
                             service->config->data_dir,
                             service->node.identity.cluster_id, wanted);
    return LDB_OK;
}

static enum ldb_status load_node(struct svc_service *service,
                                 struct ldb_error *err)
{
    repl_node_release(&service->node);
    return repl_node_load(&service->node, service->env,
                          service->config->data_dir, err);
}

/* The epoch that this process writes in, or shows when it only reads. */
static enum ldb_status begin_epoch(struct svc_service *service,
                                   struct ldb_error *err)
{
    const struct repl_epoch *last;
    struct ldb_stats stats;
    enum ldb_status s;

    if (service->config->read_only) {
        last = repl_epoch_history_last(&service->node.history);
        if (last != NULL)
            service->epoch = *last;
        return LDB_OK;
    }
    ldb_stats(service->db, &stats);
    s = repl_node_begin(&service->node, &service->recovery,
                        stats.journal_number, err, &service->epoch,
                        &service->is_new_epoch);
    if (s == LDB_OK)
        s = ldb_raise_sequence(service->db, service->epoch.base, err);
    return s;
}

static enum ldb_status open_database(struct svc_service *service,
                                     struct ldb_error *err)
{
    struct ldb_options options;
    enum ldb_status s;

    /* A newer format or another cluster's folder: nothing may be written. */
    s = load_node(service, err);
    if (s == LDB_OK)
        s = check_cluster(service, err);
    if (s != LDB_OK)
        return s;
    svc_engine_options(service->config, service->env, &options);
    options.on_durable = on_durable;
    options.on_durable_context = service;
    s = ldb_open(service->config->data_dir, &options, &service->recovery, err,
                 &service->db);
    /* Again: until now another process may have held and changed it. */
    if (s == LDB_OK)
        s = load_node(service, err);
    if (s == LDB_OK)
        s = begin_epoch(service, err);
    return s;
}

static void fill_process_figures(void *context, struct api_process_figures *out)
{
    const struct svc_service *service = context;
    const struct svc_http_server *server =
        atomic_load_explicit(&service->http, memory_order_acquire);
    struct svc_http_figures http;
    struct svc_line_sink_figures log;

    svc_process_figures_read(out);
    svc_access_log_figures(service->access_log, &log);
    out->log_lines = log.lines;
    out->log_lines_dropped = log.dropped;
    if (server == NULL)
        return; /* it has not told yet that it runs */
    svc_http_server_figures(server, &http);
    out->connections = http.connections;
    out->connections_total = http.connections_total;
    out->connections_refused = http.refused;
    out->header_timeouts = http.head_timeouts;
    out->body_timeouts = http.body_timeouts;
    out->answer_timeouts = http.answer_timeouts;
    out->upload_bytes = http.upload_bytes;
    out->upload_bytes_max = http.upload_bytes_max;
    out->answer_bytes = http.answer_bytes;
    out->answer_bytes_max = http.answer_bytes_max;
}

static enum ldb_status make_context(struct svc_service *service,
                                    struct ldb_error *err)
{
    const struct svc_config *config = service->config;
    struct api_context *context = &service->context;
    enum ldb_status s;

    s = api_context_init(context, service->db, service->env, err);
    if (s != LDB_OK)
        return s;
    service->has_context = true;
    context->limits.key_bytes = (size_t)config->key_bytes_max;
    context->limits.value_bytes = (size_t)config->value_bytes_max;
    context->limits.batch_bytes = (size_t)config->batch_bytes_max;
    context->limits.json_batch_bytes = (size_t)config->json_batch_bytes_max;
    context->limits.page_bytes = (size_t)config->page_bytes_max;
    context->version = SVC_VERSION;
    context->commit = SVC_COMMIT;
    context->data_dir = config->data_dir;
    context->checkpoint_dir = config->checkpoint_dir;
    context->cluster_id = service->node.identity.cluster_id;
    context->node_id = service->node.identity.node_id;
    context->epoch = service->epoch.number;
    context->read_only = config->read_only;
    context->sync_default = config->sync_default;
    context->disk_reserve_bytes = config->disk_reserve_bytes;
    context->limits.feeds_max = config->feeds_max;
    context->limits.feed_heartbeat_us = config->feed_heartbeat_us;
    context->limits.slot_bytes = config->slot_bytes;
    context->replicas_min = (unsigned)config->replicas_min;
    context->process_figures = fill_process_figures;
    context->service = service;
    s = api_feeds_set_history(context->feeds, &service->node.history);
    if (s != LDB_OK)
        return ldb_error_no_memory(err);
    return api_sequence_waits_set_history(context->sequence_waits,
                                          &service->node.history, err);
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

/* What followers need of this node; before the first request. */
static enum ldb_status make_leader(struct svc_service *service,
                                   struct ldb_error *err)
{
    const struct svc_config *config = service->config;
    struct ldb_options engine;
    struct repl_leader_options options = {
        .db = service->db,
        .env = service->env,
        .concern = service->context.concern,
        .dir = config->data_dir,
        .engine = &engine,
        .identity = &service->node.identity,
        .history = &service->node.history,
        .slot_bytes = config->slot_bytes,
        .on_lost = log_lost,
    };
    enum ldb_status s;

    if (config->read_only)
        return LDB_OK;
    svc_engine_options(config, service->env, &engine);
    s = repl_digest_index_open(service->env, config->data_dir, err,
                               &service->digests);
    if (s != LDB_OK)
        return s;
    options.digests = service->digests;
    s = repl_leader_create(&options, err, &service->leader);
    service->context.digests = service->digests;
    service->context.leader = service->leader;
    return s;
}

static enum ldb_status make_checkpoint_dir(struct svc_service *service,
                                           struct ldb_error *err)
{
    const char *path = service->config->checkpoint_dir;

    return path[0] == '\0' ? LDB_OK
                           : ldb_env_create_folder(service->env, path, err);
}

static enum ldb_status load_tokens(struct svc_service *service,
                                   struct ldb_error *err)
{
    const char *path = service->config->tokens;
    struct svc_log_line line;
    enum ldb_status s;
    size_t count;

    if (path[0] == '\0')
        return LDB_OK;
    s = svc_token_file_load(service->env, path, service->context.tokens, err,
                            &count);
    if (s != LDB_OK)
        return s;
    svc_log_begin(&line, SVC_LOG_INFO, "tokens-loaded");
    svc_log_text(&line, "file", path);
    svc_log_u64(&line, "tokens", count);
    svc_log_end(&line);
    return LDB_OK;
}

static enum ldb_status start_tls(struct svc_service *service,
                                 struct ldb_error *err)
{
    const struct svc_tls_files files = {
        .certificate = service->config->tls_cert,
        .key = service->config->tls_key,
        .client_ca = service->config->tls_client_ca,
    };

    if (files.certificate[0] == '\0')
        return LDB_OK;
    return svc_tls_create(service->env, &files, err, &service->tls);
}

static unsigned loop_count(const struct svc_config *config)
{
    long cores;

    if (config->loops != 0)
        return (unsigned)config->loops;
    cores = sysconf(_SC_NPROCESSORS_ONLN);
    return cores < 1 ? 1 : cores > 256 ? 256 : (unsigned)cores;
}

static enum ldb_status open_access_log(struct svc_service *service,
                                       struct ldb_error *err)
{
    const struct svc_config *config = service->config;
    const struct svc_access_options options = {
        .env = service->env,
        .form = (enum svc_access_form)config->access_log,
        .path = config->access_log_file,
        .slow_us = config->slow_request_us,
        .log_format = (enum svc_log_format)config->log_format,
    };

    return svc_access_log_create(&options, err, &service->access_log);
}

static enum ldb_status start_http(struct svc_service *service, bool with_listen,
                                  struct ldb_error *err)
{
    const struct svc_config *config = service->config;
    char host[SVC_HOST_SIZE];
    bool is_loopback = false;
    struct svc_http_options options = {
        .context = &service->context,
        .env = service->env,
        .loops = loop_count(config),
        .connections_max = (unsigned)config->connections_max,
        .idle_timeout_s =
            (unsigned)((config->idle_timeout_us + 999999) / 1000000),
        .head_timeout_us = config->header_timeout_us,
        .body_timeout_us = config->body_timeout_us,
        .upload_budget_bytes = config->upload_budget_bytes,
        .answer_budget_bytes = config->answer_budget_bytes,
        .tls = service->tls,
        .access_log = service->access_log,
    };
    struct svc_http_server *http = NULL;
    enum ldb_status s;

    if (with_listen) {
        s = svc_config_split_address(config->listen, err, host, &options.port,
                                     &is_loopback);
        if (s != LDB_OK)
            return s;
        options.host = host;
    }
    s = svc_http_server_start(&options, err, &http);
    if (s == LDB_OK)
        atomic_store_explicit(&service->http, http, memory_order_release);
    return s;
}

static void log_start(struct svc_service *service, uint64_t start_us)
{
    const struct svc_config *config = service->config;
    const struct ldb_recovery *found = &service->recovery;
    char host[SVC_HOST_SIZE] = "";
    char address[SVC_HOST_SIZE + 32] = "none";
    bool is_loopback = false;
    struct svc_log_line line;
    uint16_t port = svc_http_server_port(service->http);

    if (port != 0 && svc_config_split_address(config->listen, NULL, host, &port,
                                              &is_loopback) == LDB_OK)
        snprintf(address, sizeof address,
                 strchr(host, ':') == NULL ? "%s://%s:%u" : "%s://[%s]:%u",
                 service->tls == NULL ? "http" : "https", host,
                 svc_http_server_port(service->http));
    svc_log_begin(&line, SVC_LOG_INFO, "started");
    svc_log_text(&line, "address", address);
    svc_log_text(&line, "folder", config->data_dir);
    svc_log_text(&line, "role", api_role_text(service->context.role));
    svc_log_text(&line, "read_only", config->read_only ? "yes" : "no");
    svc_log_u64(&line, "epoch", service->epoch.number);
    svc_log_text(&line, "new_epoch", service->is_new_epoch ? "yes" : "no");
    svc_log_text(&line, "cluster", service->node.identity.cluster_id);
    svc_log_text(&line, "node", service->node.identity.node_id);
    svc_log_text(&line, "created", found->created ? "yes" : "no");
    svc_log_u64(&line, "sequence", ldb_last_sequence(service->db));
    svc_log_u64(&line, "journals_replayed", found->journals_replayed);
    svc_log_u64(&line, "records_replayed", found->records_replayed);
    svc_log_u64(&line, "bytes_dropped", found->bytes_dropped);
    svc_log_u64(&line, "tail_bytes", found->tail_bytes);
    svc_log_u64(&line, "tables_written", found->tables_written);
    svc_log_ms(&line, "recovery_ms", found->duration_us);
    svc_log_ms(&line, "start_ms",
               service->env->ops->monotonic_us(service->env) - start_us);
    svc_log_text(&line, "version", SVC_VERSION);
    svc_log_end(&line);
    if (found->bytes_dropped != 0) {
        svc_log_begin(&line, SVC_LOG_WARN, "journal-damage");
        svc_log_text(&line, "folder", config->data_dir);
        svc_log_u64(&line, "bytes_dropped", found->bytes_dropped);
        svc_log_end(&line);
    }
}

/* Lets go of all that is held of the database, and closes it. No request runs;
 * those that waited for something are woken. Again is fine. */
static enum ldb_status close_database(struct svc_service *service,
                                      struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (service->has_context)
        api_context_close(&service->context);
    repl_leader_close(service->leader);
    /* Digests that cannot be stored are found out anew. */
    LDB_IGNORE(repl_digest_index_close(service->digests, NULL));
    service->digests = NULL;
    if (service->db != NULL)
        s = ldb_close(service->db, err);
    service->db = NULL;
    return s;
}

/* Stops what was started, in reverse; the first error is kept. */
static enum ldb_status release(struct svc_service *service,
                               struct ldb_error *err)
{
    enum ldb_status s;

    if (service->http != NULL)
        svc_http_server_stop(service->http);
    s = close_database(service, err);
    svc_http_server_destroy(service->http);
    svc_tls_destroy(service->tls);
    svc_access_log_destroy(service->access_log);
    repl_leader_destroy(service->leader);
    if (service->has_context)
        api_context_release(&service->context);
    repl_node_release(&service->node);
    ldb_mem_free(service);
    return s;
}

enum ldb_status svc_service_start(const struct svc_config *config,
                                  struct ldb_env *env, bool with_listen,
                                  struct ldb_error *err,
                                  struct svc_service **out)
{
    struct svc_service *service = ldb_mem_zalloc(1, sizeof *service);
    uint64_t start_us = env->ops->monotonic_us(env);
    enum ldb_status s;

    if (service == NULL)
        return ldb_error_no_memory(err);
    service->config = config;
    service->env = env;
    s = open_database(service, err);
    if (s == LDB_OK)
        s = make_context(service, err);
    if (s == LDB_OK)
        s = make_leader(service, err);
    if (s == LDB_OK)
        s = make_checkpoint_dir(service, err);
    if (s == LDB_OK)
        s = load_tokens(service, err);
    if (s == LDB_OK)
        s = start_tls(service, err);
    if (s == LDB_OK)
        s = open_access_log(service, err);
    if (s == LDB_OK)
        s = start_http(service, with_listen, err);
    if (s != LDB_OK) {
        /* The error that stopped the start is the one to tell. */
        (void)release(service, NULL);
        return s;
    }
    log_start(service, start_us);
    *out = service;
    return LDB_OK;
}

struct svc_http_server *svc_service_http(struct svc_service *service)
{
    return service->http;
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

static void log_health(struct svc_service *service, enum ldb_health health,
                       const struct ldb_error *why)
{
    struct svc_log_line line;

    if (health == service->health)
        return;
    service->health = health;
    svc_log_begin(&line, health == LDB_HEALTHY ? SVC_LOG_INFO : SVC_LOG_ERROR,
                  "health");
    svc_log_text(&line, "health", health_text(health));
    if (health != LDB_HEALTHY)
        svc_log_error(&line, why);
    svc_log_end(&line);
}

/* Whether reopening can help: the disk was full, and is not any more. */
static bool has_space_again(struct svc_service *service,
                            const struct ldb_error *why)
{
    uint64_t wanted =
        2 * service->config->write_buffer_bytes + HEAL_SPACE_BYTES;
    uint64_t free_bytes;

    return why->status == LDB_NO_SPACE &&
           service->env->ops->free_space(service->env,
                                         service->config->data_dir, NULL,
                                         &free_bytes) == LDB_OK &&
           free_bytes >= wanted;
}

/*
 * Reopens in place under a new epoch. The epoch is durable and the sequence
 * raised first, while writes are still refused, so that no write can come in
 * between under a number that was handed out before.
 */
static enum ldb_status heal(struct svc_service *service, struct ldb_error *err)
{
    struct ldb_recovery recovery = {0};
    struct ldb_stats stats;
    enum ldb_status s = LDB_OK;

    if (!service->heals) {
        ldb_stats(service->db, &stats);
        s = repl_node_begin_epoch(
            &service->node, ldb_last_sequence(service->db),
            stats.journal_number + 1, err, &service->healing);
        if (s != LDB_OK)
            return s;
        service->heals = true;
    }
    /* Nobody may take the gap for something that has come. */
    s = api_sequence_waits_set_history(service->context.sequence_waits,
                                       &service->node.history, err);
    if (s == LDB_OK && api_feeds_set_history(service->context.feeds,
                                             &service->node.history) != LDB_OK)
        return ldb_error_no_memory(err);
    /* Followers take the epoch in before its first byte. */
    if (s == LDB_OK)
        s = repl_leader_set_history(service->leader, &service->node.history,
                                    err);
    if (s == LDB_OK)
        s = ldb_raise_sequence(service->db, service->healing.base, err);
    if (s == LDB_OK)
        s = ldb_reopen(service->db, &recovery, err);
    if (s == LDB_OK)
        s = ldb_raise_sequence(service->db, service->healing.base, err);
    if (s != LDB_OK)
        return s;
    service->heals = false;
    service->epoch = service->healing;
    service->context.epoch = service->epoch.number;
    /* They may show writes that are lost now. */
    api_snapshots_drop_all(service->context.snapshots);
    return LDB_OK;
}

/* The oldest half of what is kept for readers of changes. */
static void cut_archive(struct svc_service *service, uint64_t free_bytes)
{
    struct ldb_stats stats;
    struct svc_log_line line;

    ldb_stats(service->db, &stats);
    if (stats.archive_bytes == 0)
        return;
    ldb_archive_trim(service->db, stats.archive_bytes / 2);
    svc_log_begin(&line, SVC_LOG_WARN, "archive-cut");
    svc_log_text(&line, "reason", "less free space than --disk-reserve");
    svc_log_u64(&line, "bytes", stats.archive_bytes / 2);
    svc_log_u64(&line, "free_bytes", free_bytes);
    svc_log_end(&line);
}

/* Tables that stay for followers which copy the folder. */
static void drop_checkpoints(struct svc_service *service, uint64_t free_bytes)
{
    struct repl_leader_figures figures;
    struct svc_log_line line;

    repl_leader_figures(service->leader, &figures);
    if (figures.checkpoints == 0)
        return;
    repl_leader_free_space(service->leader);
    svc_log_begin(&line, SVC_LOG_WARN, "checkpoints-dropped");
    svc_log_text(&line, "reason", "less free space than --disk-reserve");
    svc_log_u64(&line, "checkpoints", figures.checkpoints);
    svc_log_u64(&line, "free_bytes", free_bytes);
    svc_log_end(&line);
}

/* What is kept for others goes before writes have no room. */
static void keep_room(struct svc_service *service)
{
    const struct svc_config *config = service->config;
    uint64_t free_bytes = UINT64_MAX;

    if (config->read_only)
        return;
    if (config->archive_bytes != 0)
        ldb_archive_trim(service->db, UINT64_MAX);
    if (service->env->ops->free_space(service->env, config->data_dir, NULL,
                                      &free_bytes) != LDB_OK ||
        free_bytes >= config->disk_reserve_bytes)
        return;
    drop_checkpoints(service, free_bytes);
    if (config->archive_bytes != 0)
        cut_archive(service, free_bytes);
}

static void tick_leader(struct svc_service *service)
{
    struct ldb_error why = {0};
    struct svc_log_line line;
    bool fails;

    if (service->leader == NULL)
        return;
    fails = repl_leader_tick(service->leader, &why) != LDB_OK;
    if (fails == service->slots_fail)
        return;
    service->slots_fail = fails;
    svc_log_begin(&line, fails ? SVC_LOG_ERROR : SVC_LOG_INFO,
                  fails ? "slots-not-stored" : "slots-stored");
    if (fails)
        svc_log_error(&line, &why);
    svc_log_end(&line);
}

void svc_service_tick(struct svc_service *service)
{
    struct ldb_error why = {0};
    enum ldb_health health = ldb_health(service->db, &why);
    struct ldb_error err = {0};
    struct svc_log_line line;
    bool is_healed;

    api_context_tick(&service->context);
    tick_leader(service);
    keep_room(service);
    log_health(service, health, &why);
    if ((health != LDB_HEALTH_SYNC_FAILED &&
         health != LDB_HEALTH_WRITE_FAILED) ||
        service->config->read_only || !has_space_again(service, &why))
        return;
    is_healed = heal(service, &err) == LDB_OK;
    svc_log_begin(&line, is_healed ? SVC_LOG_INFO : SVC_LOG_ERROR,
                  is_healed ? "healed" : "heal-failed");
    svc_log_u64(&line, "epoch", service->epoch.number);
    if (!is_healed)
        svc_log_error(&line, &err);
    svc_log_end(&line);
}

static void log_reload_failure(const struct ldb_error *err)
{
    struct svc_log_line line;

    svc_log_begin(&line, SVC_LOG_ERROR, "reload-failed");
    svc_log_error(&line, err);
    svc_log_end(&line);
}

void svc_service_reload(struct svc_service *service)
{
    struct ldb_error err = {0};

    svc_access_log_reopen(service->access_log);
    if (load_tokens(service, &err) != LDB_OK)
        log_reload_failure(&err);
    if (service->tls == NULL)
        return;
    if (svc_tls_load(service->tls, &err) != LDB_OK)
        log_reload_failure(&err);
    else
        svc_log_event(SVC_LOG_INFO, "certificate-loaded", "file",
                      service->config->tls_cert);
}

/* ---- stopping ---- */

void svc_service_drain(struct svc_service *service)
{
    api_context_drain(&service->context);
    svc_http_server_drain(service->http);
}

/*
 * Waits until every write submitted before is done and durable, and tells the
 * last sequence. Not OK: the stop is no clean one.
 */
static enum ldb_status settle(struct svc_service *service,
                              struct ldb_error *err, ldb_sequence *out_last)
{
    struct ldb_write write = {.sync = true};
    struct ldb_batch *batch = NULL;
    enum ldb_status s;

    s = ldb_batch_create(1024, err, &batch);
    if (s != LDB_OK)
        return s;
    write.batch = batch;
    s = ldb_write_wait(service->db, &write);
    if (s != LDB_OK && err != NULL)
        *err = write.error;
    *out_last = ldb_last_sequence(service->db);
    ldb_batch_destroy(batch);
    return s;
}

enum ldb_status svc_service_stop(struct svc_service *service,
                                 struct ldb_error *err)
{
    struct repl_node *node = &service->node;
    ldb_sequence last = 0;
    enum ldb_status s = LDB_OK;
    enum ldb_status closed;

    svc_http_server_stop(service->http);
    if (!service->config->read_only)
        s = settle(service, err, &last);
    if (s == LDB_OK) {
        s = close_database(service, err);
        if (s == LDB_OK && !service->config->read_only)
            s = repl_node_end(node, last, err);
    }
    closed = release(service, s == LDB_OK ? err : NULL);
    return s != LDB_OK ? s : closed;
}
