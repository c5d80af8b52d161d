#include "service/lifecycle.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <string.h>
#include <unistd.h>

#include "api/context.h"
#include "api/role.h"
#include "replication/forwarder_http.h"
#include "replication/protocol.h"
#include "service/access_log.h"
#include "service/http_server.h"
#include "service/http_tls.h"
#include "service/node_run.h"
#include "service/process_figures.h"
#include "service/token_file.h"
#include "service/version.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

struct svc_service {
    const struct svc_config *config; /* borrowed */
    struct ldb_env *env;             /* borrowed */
    struct api_context context;
    bool has_context;
    struct svc_node *node;             /* NULL: not open */
    struct repl_forwarder *forwarder;  /* NULL: none */
    struct svc_tls *tls;               /* NULL: none */
    struct svc_access_log *access_log; /* NULL: off */
    /* Requests come before it is set (release; acquire where they look). */
    _Atomic(struct svc_http_server *) http;
};

/* ---- starting ---- */

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

    s = api_context_init(context, NULL, service->env, err);
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
    context->read_only = config->read_only;
    context->sync_default = config->sync_default;
    context->follower_writes = config->follower_writes;
    context->disk_reserve_bytes = config->disk_reserve_bytes;
    context->limits.feeds_max = config->feeds_max;
    context->limits.feed_heartbeat_us = config->feed_heartbeat_us;
    context->limits.slot_bytes = config->slot_bytes;
    context->replicas_min = (unsigned)config->replicas_min;
    context->process_figures = fill_process_figures;
    context->service = service;
    return LDB_OK;
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

/* For a node that follows, or will: writes of clients go through it. */
static enum ldb_status make_forwarder(struct svc_service *service,
                                      struct ldb_error *err)
{
    const struct svc_config *config = service->config;
    struct repl_forwarder_http_options options = {.env = service->env};
    enum ldb_status s;

    if (config->read_only)
        return LDB_OK;
    if (config->replication_ca[0] != '\0')
        options.ca_file = config->replication_ca;
    if (config->replication_cert[0] != '\0') {
        options.cert_file = config->replication_cert;
        options.key_file = config->replication_key;
    }
    s = repl_forwarder_http_create(&options, err, &service->forwarder);
    service->context.forwarder = service->forwarder;
    return s;
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

/* "http://HOST:PORT" of what is listened on; "" when nothing is. */
static void print_address(struct svc_service *service, char *out, size_t size)
{
    char host[SVC_HOST_SIZE] = "";
    bool is_loopback = false;
    uint16_t port = svc_http_server_port(service->http);
    uint16_t ignored;

    out[0] = '\0';
    if (port != 0 &&
        svc_config_split_address(service->config->listen, NULL, host, &ignored,
                                 &is_loopback) == LDB_OK)
        (void)snprintf(out, size,
                       strchr(host, ':') == NULL ? "%s://%s:%u"
                                                 : "%s://[%s]:%u",
                       service->tls == NULL ? "http" : "https", host, port);
}

/* How others reach this node, as far as it is known. */
static void print_url(struct svc_service *service, char *out, size_t size)
{
    const struct svc_config *config = service->config;

    if (config->advertise[0] != '\0')
        (void)snprintf(out, size, "%s", config->advertise);
    else if (strncmp(config->listen, "0.0.0.0:", 8) == 0 ||
             strncmp(config->listen, "[::]:", 5) == 0)
        out[0] = '\0'; /* any address is none to name */
    else
        print_address(service, out, size);
}

static void log_start(struct svc_service *service,
                      const struct svc_node_opened *opened, uint64_t start_us)
{
    const struct svc_config *config = service->config;
    const struct ldb_recovery *found = &opened->recovery;
    char address[SVC_HOST_SIZE + 32];
    struct svc_log_line line;

    print_address(service, address, sizeof address);
    svc_log_begin(&line, SVC_LOG_INFO, "started");
    svc_log_text(&line, "address", address[0] == '\0' ? "none" : address);
    svc_log_text(&line, "folder", config->data_dir);
    svc_log_text(&line, "role", api_role_text(service->context.role));
    if (opened->leader_url[0] != '\0')
        svc_log_text(&line, "leader", opened->leader_url);
    svc_log_text(&line, "read_only", config->read_only ? "yes" : "no");
    svc_log_u64(&line, "epoch", opened->epoch);
    svc_log_text(&line, "new_epoch", opened->is_new_epoch ? "yes" : "no");
    svc_log_text(&line, "cluster", service->context.cluster_id);
    svc_log_text(&line, "node", service->context.node_id);
    svc_log_text(&line, "created", found->created ? "yes" : "no");
    svc_log_u64(&line, "sequence", opened->sequence);
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

/* Stops what was started, in reverse. OK: the stop was a clean one. */
static enum ldb_status release(struct svc_service *service,
                               struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    if (service->node != NULL)
        svc_node_drain(service->node);
    if (service->http != NULL)
        svc_http_server_stop(service->http);
    /* Exchanges that wait for an answer are woken by it. */
    if (service->forwarder != NULL)
        repl_forwarder_http_end(service->forwarder);
    if (service->has_context)
        api_context_close(&service->context);
    if (service->node != NULL)
        s = svc_node_close(service->node, err);
    svc_http_server_destroy(service->http);
    repl_forwarder_http_destroy(service->forwarder);
    svc_tls_destroy(service->tls);
    svc_access_log_destroy(service->access_log);
    if (service->has_context)
        api_context_release(&service->context);
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
    struct svc_node_opened opened;
    char url[REPL_URL_SIZE];
    enum ldb_status s;

    if (service == NULL)
        return ldb_error_no_memory(err);
    service->config = config;
    service->env = env;
    s = make_context(service, err);
    if (s == LDB_OK)
        s = svc_node_open(config, env, &service->context, err, &service->node);
    if (s == LDB_OK)
        svc_node_opened(service->node, &opened);
    if (s == LDB_OK)
        s = make_checkpoint_dir(service, err);
    if (s == LDB_OK)
        s = load_tokens(service, err);
    if (s == LDB_OK)
        s = start_tls(service, err);
    if (s == LDB_OK)
        s = open_access_log(service, err);
    if (s == LDB_OK)
        s = make_forwarder(service, err);
    if (s == LDB_OK)
        s = start_http(service, with_listen, err);
    if (s == LDB_OK) {
        log_start(service, &opened, start_us);
        print_url(service, url, sizeof url);
        s = svc_node_start(service->node, service->http, url, err);
    }
    if (s != LDB_OK) {
        /* The error that stopped the start is the one to tell. */
        (void)release(service, NULL);
        return s;
    }
    *out = service;
    return LDB_OK;
}

struct svc_http_server *svc_service_http(struct svc_service *service)
{
    return service->http;
}

/* ---- housekeeping ---- */

void svc_service_tick(struct svc_service *service)
{
    api_context_tick(&service->context);
    svc_node_tick(service->node);
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
    if (svc_node_reload(service->node, &err) != LDB_OK)
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
    svc_node_drain(service->node);
    api_context_drain(&service->context);
    svc_http_server_drain(service->http);
}

enum ldb_status svc_service_stop(struct svc_service *service,
                                 struct ldb_error *err)
{
    return release(service, err);
}
