/*
 * Any bytes as what clients send to a whole server: connections through the
 * in-memory pipe, the HTTP library, the handlers, a database in memory. A
 * server of its own for each input.
 *
 * The input is the bytes as they go over the wire, but for 0xff with one of the
 * digits of enum step after it. Each piece between two steps is read by the
 * server before the next is sent.
 *
 * Nothing crashes, leaks or hangs; every answer is one of HTTP, none is a 500;
 * when the clients have gone no connection and no reserve of memory is left,
 * and the server stops cleanly.
 */
#include <linux/sockios.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "service/http_pipe.h"
#include "service/lifecycle.h"

/* What one input may be, so that the library's buffer holds it. */
#define INPUT_MAX       8192
#define CONNECTIONS_MAX 4

/* Milliseconds that nothing may take. */
#define HANG_MS 15000

enum step {
    STEP_PIECE = '0',      /* what follows is sent by itself */
    STEP_CONNECTION = '1', /* on a new connection; the others stay open */
    STEP_END = '2',        /* the client sends no more */
    STEP_RESET = '3',      /* and reads no more */
};

struct client {
    int fd;
    bool has_ended; /* nothing more comes from the server */
    size_t answer_len;
    char answer[16]; /* the first bytes of what came */
};

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static struct svc_service *service;

/* ---- small things ---- */

static void must(bool is_so)
{
    if (!is_so)
        abort();
}

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

/* ---- clients ---- */

static struct client connect_client(void)
{
    struct client client = {.fd = -1};

    must(svc_http_pipe_open(svc_service_http(service), NULL, &client.fd) ==
         LDB_OK);
    return client;
}

/* Reads what is there. */
static void hear(struct client *client)
{
    char bytes[4096];
    ssize_t n;

    while (!client->has_ended &&
           (n = recv(client->fd, bytes, sizeof(bytes), MSG_DONTWAIT)) >= 0) {
        size_t room = sizeof(client->answer) - client->answer_len;
        size_t kept = (size_t)n < room ? (size_t)n : room;

        memcpy(client->answer + client->answer_len, bytes, kept);
        client->answer_len += kept;
        client->has_ended = n == 0;
    }
}

/* Waits for news of the server; what comes is read. */
static void wait_a_little(struct client *client, unsigned *waited_ms)
{
    struct pollfd fd = {.fd = client->fd, .events = POLLIN};

    if (poll(&fd, 1, 1) == 0)
        must(++*waited_ms < HANG_MS);
    if ((fd.revents & (POLLERR | POLLNVAL)) != 0)
        client->has_ended = true;
    hear(client);
}

static void send_piece(struct client *client, struct ldb_slice piece)
{
    unsigned waited_ms = 0;
    int unread = 0;

    if (piece.len == 0 || client->has_ended ||
        send(client->fd, piece.data, piece.len, MSG_NOSIGNAL | MSG_DONTWAIT) <=
            0)
        return;
    while (!client->has_ended && ioctl(client->fd, SIOCOUTQ, &unread) == 0 &&
           unread > 0)
        wait_a_little(client, &waited_ms);
}

static void check_answer(const struct client *client)
{
    static const char start[] = "HTTP/1.1 ";
    size_t len = sizeof(start) - 1;

    if (client->answer_len == 0)
        return; /* it was not to be answered */
    must(client->answer_len >= len + 3);
    must(memcmp(client->answer, start, len) == 0);
    must(memcmp(client->answer + len, "500", 3) != 0);
}

static void end_client(struct client *client, bool reads)
{
    unsigned waited_ms = 0;

    (void)shutdown(client->fd, SHUT_WR);
    while (reads && !client->has_ended)
        wait_a_little(client, &waited_ms);
    if (reads)
        check_answer(client);
    close(client->fd);
    client->fd = -1;
}

/* ---- the conversation ---- */

/* Bytes before the next step; *out_step: which, 0 at the end of the input. */
static struct ldb_slice take_piece(struct ldb_slice *left, int *out_step)
{
    size_t n = 0;
    struct ldb_slice piece;

    while (n < left->len && !(left->data[n] == 0xff && n + 1 < left->len &&
                              left->data[n + 1] >= STEP_PIECE &&
                              left->data[n + 1] <= STEP_RESET))
        n++;
    piece = ldb_slice_make(left->data, n);
    *out_step = n < left->len ? left->data[n + 1] : 0;
    if (n < left->len)
        n += 2;
    *left = ldb_slice_make(left->data + n, left->len - n);
    return piece;
}

static void talk(struct ldb_slice input)
{
    struct client clients[CONNECTIONS_MAX];
    size_t count = 1;
    int step;

    clients[0] = connect_client();
    do {
        struct client *client = &clients[count - 1];
        struct ldb_slice piece = take_piece(&input, &step);

        if (client->fd >= 0)
            send_piece(client, piece);
        if ((step == STEP_END || step == STEP_RESET) && client->fd >= 0)
            end_client(client, step == STEP_END);
        if (step == STEP_CONNECTION && count < CONNECTIONS_MAX)
            clients[count++] = connect_client();
    } while (step != 0);
    for (size_t i = 0; i < count; i++) {
        if (clients[i].fd >= 0)
            end_client(&clients[i], true);
    }
}

/* ---- the server ---- */

static void start(struct ldb_env *env, struct svc_config *config)
{
    static char data[] = "--data=db";
    static char loops[] = "--loops=1";
    static char level[] = "--log-level=error";
    static char key[] = "--key-max=64";
    static char value[] = "--value-max=64KiB";
    static char batch[] = "--batch-max=66KiB";
    static char json[] = "--json-batch-max=2KiB";
    static char page[] = "--page-max=1KiB";
    static char write_buffer[] = "--write-buffer=64KiB";
    char *argv[] = {data,  loops, level, key,         value,
                    batch, json,  page,  write_buffer};

    must(svc_config_parse(sizeof(argv) / sizeof(*argv), argv, no_environment,
                          NULL, config) == LDB_OK);
    svc_log_configure(SVC_LOG_ERROR, SVC_LOG_KEY_VALUE);
    must(svc_service_start(config, env, false, NULL, &service) == LDB_OK);
}

/* Its loop learns of the last client's end a little later. */
static void await_rest(void)
{
    struct svc_http_figures figures;

    for (unsigned ms = 0;; ms++) {
        svc_http_server_figures(svc_service_http(service), &figures);
        if (figures.connections == 0)
            break;
        must(ms < HANG_MS);
        (void)poll(NULL, 0, 1);
    }
    must(figures.upload_bytes == 0);
    must(figures.head_timeouts + figures.body_timeouts == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct svc_config config;
    struct ldb_env *env = NULL;

    if (len > INPUT_MAX)
        return 0;
    must(ldb_env_memory_create(NULL, &env) == LDB_OK);
    start(env, &config);
    talk(ldb_slice_make(bytes, len));
    await_rest();
    must(svc_service_stop(service, NULL) == LDB_OK);
    ldb_env_memory_destroy(env);
    return 0;
}
