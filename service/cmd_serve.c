#include "service/cmd_serve.h"

#include <poll.h>
#include <signal.h>
#include <stdlib.h>

#include "service/config.h"
#include "service/http_server.h"
#include "service/lifecycle.h"
#include "service/signals.h"

enum {
    EXIT_CLEAN = 0,
    EXIT_FAILED = 1,
    EXIT_USAGE = 2,
};

/* Between two looks at the database's health. Chosen. */
#define TICK_MS 250

static void log_failure(const char *event, const struct ldb_error *err)
{
    struct svc_log_line line;

    svc_log_begin(&line, SVC_LOG_ERROR, event);
    svc_log_error(&line, err);
    svc_log_end(&line);
}

/* Returns once a signal to stop has come. */
static void serve_until_signal(struct svc_service *service, int signals)
{
    struct pollfd fd = {.fd = signals, .events = POLLIN};

    for (;;) {
        int signal_number;

        (void)poll(&fd, 1, TICK_MS);
        signal_number = svc_signals_take(signals);
        if (signal_number == SIGHUP) {
            svc_service_reload(service);
        } else if (signal_number != 0) {
            svc_log_event(SVC_LOG_INFO, "stopping", "signal",
                          signal_number == SIGTERM ? "TERM" : "INT");
            return;
        }
        svc_service_tick(service);
    }
}

/* Until requests are over, the time is up, or a second signal has come. */
static void drain(struct svc_service *service, struct ldb_env *env, int signals,
                  uint64_t timeout_us)
{
    const struct svc_http_server *http = svc_service_http(service);
    struct pollfd fds[2] = {
        {.fd = svc_http_server_done_fd(http), .events = POLLIN},
        {.fd = signals, .events = POLLIN},
    };
    uint64_t deadline_us = env->ops->monotonic_us(env) + timeout_us;

    svc_service_drain(service);
    while (!svc_http_server_done(http)) {
        uint64_t now_us = env->ops->monotonic_us(env);
        int signal_number;

        if (now_us >= deadline_us) {
            svc_log_event(SVC_LOG_WARN, "cut", "reason", "stop timeout");
            return;
        }
        signal_number = svc_signals_take(signals);
        if (signal_number != 0 && signal_number != SIGHUP) {
            svc_log_event(SVC_LOG_WARN, "cut", "reason", "second signal");
            return;
        }
        (void)poll(fds, 2, (int)((deadline_us - now_us + 999) / 1000));
    }
}

static int run(const struct svc_config *config, int signals)
{
    struct ldb_env *env = ldb_env_posix();
    struct svc_service *service = NULL;
    struct ldb_error err = {0};
    uint64_t begun_us;
    struct svc_log_line line;

    if (svc_service_start(config, env, true, &err, &service) != LDB_OK) {
        log_failure("start-failed", &err);
        return EXIT_FAILED;
    }
    serve_until_signal(service, signals);
    begun_us = env->ops->monotonic_us(env);
    drain(service, env, signals, config->stop_timeout_us);
    if (svc_service_stop(service, &err) != LDB_OK) {
        log_failure("stop-failed", &err);
        return EXIT_FAILED;
    }
    svc_log_begin(&line, SVC_LOG_INFO, "stopped");
    svc_log_ms(&line, "stop_ms", env->ops->monotonic_us(env) - begun_us);
    svc_log_end(&line);
    return EXIT_CLEAN;
}

int svc_cmd_serve(int argc, char *const *argv)
{
    struct ldb_error err = {0};
    struct svc_config config;
    int signals = -1;
    int code;

    if (svc_config_parse(argc, argv, getenv, &err, &config) != LDB_OK) {
        fprintf(stderr, "leveld serve: %s\n", err.message);
        return EXIT_USAGE;
    }
    if (config.help) {
        svc_config_print_help(stdout);
        return EXIT_CLEAN;
    }
    svc_log_configure((enum svc_log_level)config.log_level,
                      (enum svc_log_format)config.log_format);
    if (svc_signals_open(&err, &signals) != LDB_OK) {
        log_failure("start-failed", &err);
        return EXIT_FAILED;
    }
    code = run(&config, signals);
    svc_signals_close(signals);
    return code;
}
