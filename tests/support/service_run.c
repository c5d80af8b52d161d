#include "tests/support/service_run.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/http_server.h"
#include "storage/base/env.h"
#include "tests/support/patience.h"

void service_run_init(struct service_run *run, const char *dir)
{
    *run = (struct service_run){.fault = env_fault_create(NULL)};
    run->env = env_fault_env(run->fault);
    (void)snprintf(run->dir, sizeof run->dir, "%s", dir);
    svc_log_configure(SVC_LOG_ERROR, SVC_LOG_KEY_VALUE);
}

void service_run_release(struct service_run *run)
{
    assert_null(run->service);
    http_client_destroy(run->client);
    env_fault_destroy(run->fault);
    *run = (struct service_run){0};
}

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static void add_flag(struct service_run *run, int *count, const char *format,
                     ...) LDB_PRINTF(3, 4);

static void add_flag(struct service_run *run, int *count, const char *format,
                     ...)
{
    va_list arguments;

    assert_true(*count < SERVICE_RUN_FLAGS_MAX);
    va_start(arguments, format);
    (void)vsnprintf(run->flags[*count], SERVICE_RUN_FLAG_SIZE, format,
                    arguments);
    va_end(arguments);
    (*count)++;
}

static enum ldb_status start(struct service_run *run, struct ldb_error *err,
                             va_list flags)
{
    char *argv[SERVICE_RUN_FLAGS_MAX];
    enum ldb_status s;
    const char *flag;
    int count = 0;

    assert_null(run->service);
    add_flag(run, &count, "--data=%s", run->dir);
    add_flag(run, &count, "--loops=1");
    add_flag(run, &count, "--listen=127.0.0.1:%u", run->port);
    while ((flag = va_arg(flags, const char *)) != NULL)
        add_flag(run, &count, "%s", flag);
    for (int i = 0; i < count; i++)
        argv[i] = run->flags[i];
    s = svc_config_parse(count, argv, no_environment, err, &run->config);
    if (s == LDB_OK)
        s = svc_service_start(&run->config, run->env, true, err, &run->service);
    if (s != LDB_OK)
        return s;
    if (run->port == 0) {
        run->port = svc_http_server_port(svc_service_http(run->service));
        (void)snprintf(run->url, sizeof run->url, "http://127.0.0.1:%u",
                       run->port);
    }
    http_client_destroy(run->client);
    run->client = http_client_over_tcp(run->port);
    return LDB_OK;
}

void service_run_start(struct service_run *run, ...)
{
    struct ldb_error err = {0};
    va_list flags;

    va_start(flags, run);
    if (start(run, &err, flags) != LDB_OK)
        fail_msg("start of %s: %s", run->dir, err.message);
    va_end(flags);
}

enum ldb_status service_run_try_start(struct service_run *run,
                                      struct ldb_error *err, ...)
{
    enum ldb_status s;
    va_list flags;

    va_start(flags, err);
    s = start(run, err, flags);
    va_end(flags);
    return s;
}

static void drain(struct service_run *run)
{
    struct svc_http_server *http = svc_service_http(run->service);
    struct pollfd fd = {.fd = svc_http_server_done_fd(http), .events = POLLIN};

    /* Kept connections are the client's. */
    http_client_destroy(run->client);
    run->client = NULL;
    svc_service_drain(run->service);
    (void)poll(&fd, 1, PATIENCE_S * 1000);
}

void service_run_stop(struct service_run *run)
{
    struct ldb_error err = {0};
    enum ldb_status s;

    if (run->service == NULL)
        return;
    drain(run);
    s = svc_service_stop(run->service, &err);
    run->service = NULL;
    if (s != LDB_OK)
        fail_msg("stop of %s: %s", run->dir, err.message);
}

void service_run_crash(struct service_run *run)
{
    http_client_destroy(run->client);
    run->client = NULL;
    env_fault_power_cut(run->fault, LDB_CRASH_KEEP_NONE, 0);
    (void)!svc_service_stop(run->service, NULL);
    run->service = NULL;
    run->env = env_fault_env(run->fault);
}

void service_run_tick(struct service_run *run)
{
    if (run->service != NULL)
        svc_service_tick(run->service);
}

/* ---- requests ---- */

struct http_reply service_run_call(struct service_run *run, const char *method,
                                   const char *target, const char *body)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          "Leveld-Timeout: 5m", NULL};

    return http_call(run->client, method, target, headers, body,
                     body == NULL ? 0 : strlen(body));
}

long service_run_status(struct service_run *run, const char *method,
                        const char *target, const char *body)
{
    struct http_reply reply = service_run_call(run, method, target, body);
    long status = reply.status;

    http_reply_release(&reply);
    return status;
}

uint64_t service_run_put(struct service_run *run, const char *key,
                         const char *value)
{
    struct http_reply reply;
    char target[128];
    char text[32];

    (void)snprintf(target, sizeof target, "/v1/kv/%s", key);
    reply = http_call(run->client, "PUT", target, NULL, value, strlen(value));
    if (reply.status != 204)
        fail_msg("PUT %s: %ld %s", key, reply.status, http_reply_text(&reply));
    assert_true(
        http_reply_header(&reply, "Leveld-Sequence", text, sizeof text));
    http_reply_release(&reply);
    return strtoull(text, NULL, 10);
}

bool service_run_has(struct service_run *run, const char *key,
                     const char *value)
{
    struct http_reply reply;
    char target[128];
    bool is_so;

    (void)snprintf(target, sizeof target, "/v1/kv/%s", key);
    reply = http_call(run->client, "GET", target, NULL, NULL, 0);
    is_so = reply.status == 200 && strcmp(http_reply_text(&reply), value) == 0;
    http_reply_release(&reply);
    return is_so;
}

static void header_of(struct service_run *run, const char *name, char *out,
                      size_t size)
{
    struct http_reply reply =
        http_call(run->client, "GET", "/healthz", NULL, NULL, 0);

    assert_true(http_reply_header(&reply, name, out, size));
    http_reply_release(&reply);
}

bool service_run_leads(struct service_run *run)
{
    char text[32];

    header_of(run, "Leveld-Role", text, sizeof text);
    return strcmp(text, "leader") == 0;
}

uint64_t service_run_epoch(struct service_run *run)
{
    char text[32];

    header_of(run, "Leveld-Epoch", text, sizeof text);
    return strtoull(text, NULL, 10);
}

void service_run_await_at(const char *what, bool (*check)(void *context),
                          void *context, struct service_run *const *all)
{
    struct ldb_env *env = ldb_env_posix();
    uint64_t deadline_us = env->ops->monotonic_us(env) + PATIENCE_US;

    while (!check(context)) {
        if (env->ops->monotonic_us(env) > deadline_us)
            fail_msg("%s: not within %d s", what, PATIENCE_S);
        for (size_t i = 0; all[i] != NULL; i++)
            service_run_tick(all[i]);
        (void)poll(NULL, 0, 1); /* others have a turn */
    }
}
