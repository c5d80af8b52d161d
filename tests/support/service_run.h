/*
 * A whole service in a test's process: its folder in memory, reached over TCP
 * on a port of its own or over its pipes, configured by flags. Several make a
 * cluster.
 *
 *     struct service_run a;
 *
 *     service_run_init(&a, "a");
 *     service_run_start(&a, "--role=leader", NULL);
 *     ... a.url, a.client ...
 *     service_run_stop(&a);
 *     service_run_release(&a);
 *
 * What must not fail is asserted. Housekeeping runs in service_run_tick() and
 * while something is awaited.
 */
#ifndef TESTS_SUPPORT_SERVICE_RUN_H
#define TESTS_SUPPORT_SERVICE_RUN_H

#include "service/lifecycle.h"
#include "tests/support/env_fault.h"
#include "tests/support/http_client.h"

#define SERVICE_RUN_FLAGS_MAX 24
#define SERVICE_RUN_FLAG_SIZE 160

struct service_run {
    struct env_fault *fault;
    struct ldb_env *env;
    char dir[16];
    char flags[SERVICE_RUN_FLAGS_MAX][SERVICE_RUN_FLAG_SIZE];
    struct svc_config config;
    struct svc_service *service; /* NULL: it does not run */
    unsigned port;               /* the same at each start */
    char url[64];                /* "http://127.0.0.1:PORT" */
    struct http_client *client;
};

void service_run_init(struct service_run *run, const char *dir);
/* Stopped. */
void service_run_release(struct service_run *run);

/* flags: "--name=value" each, NULL-ended. */
void service_run_start(struct service_run *run, ...);
/* The same, may fail. */
enum ldb_status service_run_try_start(struct service_run *run,
                                      struct ldb_error *err, ...);
/* Drained, then stopped; a clean stop. NULL service: nothing. */
void service_run_stop(struct service_run *run);
/* Without a clean stop: what was not synced is gone. */
void service_run_crash(struct service_run *run);

/* Its housekeeping, once. */
void service_run_tick(struct service_run *run);

/* A request with a JSON body (NULL: none) and its whole answer. */
struct http_reply service_run_call(struct service_run *run, const char *method,
                                   const char *target, const char *body);
/* Its status, and nothing of the rest. */
long service_run_status(struct service_run *run, const char *method,
                        const char *target, const char *body);

/* PUT of a text that must give 204; the sequence. */
uint64_t service_run_put(struct service_run *run, const char *key,
                         const char *value);
/* Whether a GET gives that text. */
bool service_run_has(struct service_run *run, const char *key,
                     const char *value);

/* The value of Leveld-Role, and of Leveld-Epoch, of an answer of /healthz. */
bool service_run_leads(struct service_run *run);
uint64_t service_run_epoch(struct service_run *run);

/* Waits, with housekeeping of all (NULL-ended), until the check holds; fails
 * the test after PATIENCE_S. */
#define service_run_await(what, check, context, ...)                           \
    service_run_await_at((what), (check), (context),                           \
                         (struct service_run *const[]){__VA_ARGS__, NULL})
void service_run_await_at(const char *what, bool (*check)(void *context),
                          void *context, struct service_run *const *all);

#endif
