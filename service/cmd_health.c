#include "service/cmd_health.h"

#include <stdio.h>
#include <string.h>

#include "replication/client.h"
#include "replication/transport_http.h"
#include "storage/base/buf.h"
#include "storage/base/env.h"
#include "storage/base/slice.h"
#include "storage/base/status.h"

enum {
    EXIT_HEALTHY = 0,
    EXIT_UNHEALTHY = 1,
    EXIT_USAGE = 2,
};

#define USAGE "health URL [--ca FILE] [--cert FILE --key FILE]"

/* Chosen: less together than the 10 s that the image gives its check, so that
 * this tells itself why it failed. */
#define CONNECT_US UINT64_C(1000000)
#define HEAD_US    UINT64_C(3000000) /* connecting is part of it */
#define BODY_US    UINT64_C(1000000)

/* Of an answer; /readyz has some hundred bytes. Chosen. */
#define ANSWER_MAX ((size_t)64 << 10)

struct arguments {
    char origin[REPL_URL_SIZE]; /* "http://HOST:PORT" */
    const char *path;           /* what follows it, or "/readyz" */
    const char *ca;             /* NULL: none */
    const char *cert;
    const char *key;
};

/* ---- the command line ---- */

static bool fail_usage(const char *what, const char *argument)
{
    fprintf(stderr, "leveld health: %s%s\nUsage: leveld " USAGE "\n", what,
            argument);
    return false;
}

/* Takes URL apart. False: said why. */
static bool take_url(const char *url, struct arguments *out)
{
    const char *host = strstr(url, "://");
    size_t len;

    if (host == NULL)
        return fail_usage("not a URL like http://HOST:PORT: ", url);
    host += strlen("://");
    len = (size_t)(host - url) + strcspn(host, "/");
    if (len >= sizeof out->origin)
        return fail_usage("too long a URL: ", url);
    memcpy(out->origin, url, len);
    out->origin[len] = '\0';
    out->path =
        url[len] == '\0' || url[len + 1] == '\0' ? "/readyz" : url + len;
    return true;
}

/* Where the value of such a flag goes, or NULL. */
static const char **place_of(struct arguments *arguments, const char *flag)
{
    if (strcmp(flag, "--ca") == 0)
        return &arguments->ca;
    if (strcmp(flag, "--cert") == 0)
        return &arguments->cert;
    if (strcmp(flag, "--key") == 0)
        return &arguments->key;
    return NULL;
}

/* False: said why. */
static bool take_arguments(int argc, char *const *argv, struct arguments *out)
{
    const char *url = NULL;

    *out = (struct arguments){0};
    for (int i = 0; i < argc; i++) {
        const char **place = place_of(out, argv[i]);

        if (place != NULL && i + 1 == argc)
            return fail_usage(argv[i], ": a file is missing");
        if (place != NULL)
            *place = argv[++i];
        else if (url == NULL && argv[i][0] != '-')
            url = argv[i];
        else
            return fail_usage("unknown argument ", argv[i]);
    }
    if (url == NULL)
        return fail_usage("whom to ask?", "");
    return take_url(url, out);
}

/* ---- the question ---- */

static enum ldb_status ask(const struct arguments *arguments,
                           struct repl_peer *peer, struct ldb_error *err,
                           struct ldb_buf *answer)
{
    struct repl_transport *transport = NULL;
    struct repl_client client;
    enum ldb_status s = peer->open(peer, err, &transport);

    if (s != LDB_OK)
        return s;
    repl_client_init(&client, transport);
    s = repl_client_call(&client, arguments->path, (struct ldb_slice){0}, err,
                         answer);
    transport->ops->destroy(transport);
    return s;
}

static int run(const struct arguments *arguments)
{
    struct ldb_buf answer = LDB_BUF_INIT(ANSWER_MAX);
    struct repl_http_options options;
    struct repl_peer *peer = NULL;
    struct ldb_error err = {0};
    int code = EXIT_USAGE;
    enum ldb_status s;

    repl_http_options_init(&options);
    options.env = ldb_env_posix();
    options.url = arguments->origin;
    options.ca_file = arguments->ca;
    options.cert_file = arguments->cert;
    options.key_file = arguments->key;
    options.connect_timeout_us = CONNECT_US;
    options.head_timeout_us = HEAD_US;
    options.low_speed_us = BODY_US;
    s = repl_http_peer_create(&options, &err, &peer);
    if (s == LDB_OK) {
        s = ask(arguments, peer, &err, &answer);
        code = s == LDB_OK ? EXIT_HEALTHY : EXIT_UNHEALTHY;
    }
    if (s == LDB_OK)
        (void)fwrite(answer.data, 1, answer.len, stdout);
    else
        fprintf(stderr, "leveld health: %s\n", err.message);
    repl_peer_destroy(peer);
    ldb_buf_release(&answer);
    return code;
}

int svc_cmd_health(int argc, char *const *argv)
{
    struct arguments arguments;

    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            printf("Usage: leveld " USAGE "\n");
            return EXIT_HEALTHY;
        }
    }
    if (!take_arguments(argc, argv, &arguments))
        return EXIT_USAGE;
    return run(&arguments);
}
