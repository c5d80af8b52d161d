#include "tests/support/raw_server.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <gnutls/gnutls.h>
#include <gnutls/x509.h>
#include <netinet/in.h>
#include <poll.h>
#include <stdlib.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "storage/base/env.h"
#include "storage/base/mutex.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/patience.h"

#define CONNECTIONS_MAX 8
#define ANSWERS_MAX     64

struct answer {
    char *text; /* owned; NULL: not given yet */
    enum raw_server_after after;
};

/* Allocated without ldb_mem: a test may make that fail meanwhile. */
struct text {
    char *bytes;
    size_t len;
};

struct connection {
    int fd; /* -1: free */
    gnutls_session_t session;
    struct text bytes; /* of a request that is not whole */
    bool is_held;
};

/*
 * Locking: guarded by mu: all that changes while the thread runs. Sockets are
 * the thread's, but for one that is held and of which nothing is expected: on
 * that the test sends.
 */
struct raw_server {
    struct ldb_env *env;
    struct ldb_thread *thread;
    int listener;
    int wake[2]; /* a pipe: something has changed for the thread */
    char url[64];
    bool has_tls;
    bool asks_clients; /* for a certificate */
    gnutls_certificate_credentials_t credentials;

    struct ldb_mutex mu;
    struct ldb_cond changed;
    bool is_stopping;
    struct answer answers[ANSWERS_MAX];
    size_t answer_count;
    struct text requests[ANSWERS_MAX];
    size_t request_count;
    size_t connection_count;
    struct connection connections[CONNECTIONS_MAX];
};

/* ---- bytes ---- */

static void append(struct text *text, const char *bytes, size_t len)
{
    char *longer = realloc(text->bytes, text->len + len + 1);

    if (longer == NULL)
        abort();
    memcpy(longer + text->len, bytes, len);
    text->bytes = longer;
    text->len += len;
}

static void send_all(struct connection *c, const char *text)
{
    size_t len = strlen(text);
    size_t at = 0;

    while (at < len) {
        ssize_t n = c->session != NULL
                        ? gnutls_record_send(c->session, text + at, len - at)
                        : send(c->fd, text + at, len - at, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* the client has gone: that may be the test */
        at += (size_t)n;
    }
}

static ssize_t receive(struct connection *c, void *out, size_t size)
{
    return c->session != NULL ? gnutls_record_recv(c->session, out, size)
                              : recv(c->fd, out, size, 0);
}

static void end(struct connection *c, enum raw_server_after after)
{
    struct linger at_once = {.l_onoff = 1};

    if (after == RAW_SERVER_RESET)
        (void)setsockopt(c->fd, SOL_SOCKET, SO_LINGER, &at_once,
                         sizeof(at_once)); /* else it ends, in another way */
    if (c->session != NULL)
        gnutls_deinit(c->session);
    (void)close(c->fd); /* nothing is to be done about it */
    free(c->bytes.bytes);
    *c = (struct connection){.fd = -1};
}

/* ---- requests ---- */

/* Bytes of the request at the beginning of the text; 0: it is not whole. */
static size_t request_len(const char *text, size_t len)
{
    const char *head_end = len == 0 ? NULL : memmem(text, len, "\r\n\r\n", 4);
    size_t head_len;
    size_t body_len = 0;

    if (head_end == NULL)
        return 0;
    head_len = (size_t)(head_end - text) + 4;
    for (const char *line = text; line < head_end;
         line =
             (const char *)memchr(line, '\n', (size_t)(head_end + 4 - line)) +
             1)
        if (strncasecmp(line, "Content-Length:", 15) == 0)
            body_len = strtoul(line + 15, NULL, 10);
    return len - head_len < body_len ? 0 : head_len + body_len;
}

/* A whole request is answered as soon as there is an answer. */
static void answer_locked(struct raw_server *server, struct connection *c)
    LDB_REQUIRES(server->mu)
{
    size_t len = request_len(c->bytes.bytes, c->bytes.len);
    size_t index = server->request_count;
    const struct answer *answer;

    if (len == 0 || c->is_held || index >= server->answer_count)
        return;
    append(&server->requests[index], c->bytes.bytes, len);
    server->request_count++;
    memmove(c->bytes.bytes, c->bytes.bytes + len, c->bytes.len - len);
    c->bytes.len -= len;
    answer = &server->answers[index];
    send_all(c, answer->text);
    if (answer->after == RAW_SERVER_HOLD)
        c->is_held = true;
    else if (answer->after != RAW_SERVER_KEEP)
        end(c, answer->after);
    ldb_cond_broadcast(&server->changed);
}

static void receive_locked(struct raw_server *server, struct connection *c)
    LDB_REQUIRES(server->mu)
{
    char piece[4096];
    ssize_t n = receive(c, piece, sizeof(piece));

    if (n <= 0) {
        end(c, RAW_SERVER_CLOSE);
        ldb_cond_broadcast(&server->changed);
        return;
    }
    append(&c->bytes, piece, (size_t)n);
}

static void accept_locked(struct raw_server *server) LDB_REQUIRES(server->mu)
{
    int fd = accept(server->listener, NULL, NULL);
    struct connection *c = NULL;

    for (size_t i = 0; c == NULL && i < CONNECTIONS_MAX; i++)
        if (server->connections[i].fd < 0)
            c = &server->connections[i];
    if (fd < 0 || c == NULL)
        abort();
    *c = (struct connection){.fd = fd};
    server->connection_count++;
    if (!server->has_tls)
        return;
    if (gnutls_init(&c->session, GNUTLS_SERVER) != 0 ||
        gnutls_set_default_priority(c->session) != 0 ||
        gnutls_credentials_set(c->session, GNUTLS_CRD_CERTIFICATE,
                               server->credentials) != 0)
        abort();
    if (server->asks_clients) {
        gnutls_certificate_server_set_request(c->session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(c->session, NULL, 0);
    }
    gnutls_transport_set_int(c->session, fd);
    /* Of a client that is refused nothing more comes. */
    if (gnutls_handshake(c->session) != 0)
        end(c, RAW_SERVER_CLOSE);
}

/* ---- the thread ---- */

/* Waits for any of them, and says which have something. */
static void wait_for_work(struct raw_server *server,
                          struct pollfd fds[CONNECTIONS_MAX + 2])
{
    fds[0] = (struct pollfd){.fd = server->wake[0], .events = POLLIN};
    fds[1] = (struct pollfd){.fd = server->listener, .events = POLLIN};
    ldb_mutex_lock(&server->mu);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        fds[i + 2] =
            (struct pollfd){.fd = server->connections[i].fd, .events = POLLIN};
    ldb_mutex_unlock(&server->mu);
    (void)poll(fds, CONNECTIONS_MAX + 2, -1); /* a signal: it looks again */
}

static void run(void *context)
{
    struct raw_server *server = context;
    struct pollfd fds[CONNECTIONS_MAX + 2];
    bool is_stopping = false;
    char byte;

    while (!is_stopping) {
        wait_for_work(server, fds);
        if (fds[0].revents != 0 && read(server->wake[0], &byte, 1) != 1)
            abort();
        ldb_mutex_lock(&server->mu);
        for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
            struct connection *c = &server->connections[i];

            /* The one that was asked about, and is still there. */
            if (fds[i + 2].revents != 0 && c->fd >= 0 && c->fd == fds[i + 2].fd)
                receive_locked(server, c);
            if (c->fd >= 0)
                answer_locked(server, c);
        }
        if (fds[1].revents != 0)
            accept_locked(server);
        is_stopping = server->is_stopping;
        ldb_mutex_unlock(&server->mu);
    }
}

static void wake(struct raw_server *server)
{
    if (write(server->wake[1], "", 1) != 1)
        abort();
}

/* ---- start and stop ---- */

/* Text that is read alone. */
static gnutls_datum_t datum_of(const char *text)
{
    return (gnutls_datum_t){.data = (unsigned char *)(uintptr_t)text,
                            .size = (unsigned)strlen(text)};
}

static void load_tls(struct raw_server *server,
                     const struct raw_server_tls *tls)
{
    gnutls_datum_t certificate = datum_of(tls->certificate);
    gnutls_datum_t key = datum_of(tls->key);

    assert_int_equal(
        0, gnutls_certificate_allocate_credentials(&server->credentials));
    assert_int_equal(
        0, gnutls_certificate_set_x509_key_mem(
               server->credentials, &certificate, &key, GNUTLS_X509_FMT_PEM));
    if (tls->client_ca != NULL) {
        gnutls_datum_t ca = datum_of(tls->client_ca);

        assert_int_equal(1, gnutls_certificate_set_x509_trust_mem(
                                server->credentials, &ca, GNUTLS_X509_FMT_PEM));
        server->asks_clients = true;
    }
    server->has_tls = true;
}

static void listen_on_loopback(struct raw_server *server)
{
    struct sockaddr_in address = {
        .sin_family = AF_INET,
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
    socklen_t len = sizeof(address);

    server->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(server->listener >= 0);
    assert_int_equal(0, bind(server->listener, (struct sockaddr *)&address,
                             sizeof(address)));
    assert_int_equal(0, listen(server->listener, CONNECTIONS_MAX));
    assert_int_equal(
        0, getsockname(server->listener, (struct sockaddr *)&address, &len));
    (void)snprintf(server->url, sizeof(server->url), "%s://127.0.0.1:%u",
                   server->has_tls ? "https" : "http", ntohs(address.sin_port));
}

struct raw_server *raw_server_start(const struct raw_server_tls *tls)
{
    struct raw_server *server = calloc(1, sizeof(*server));
    struct ldb_error err = {0};

    assert_non_null(server);
    server->env = ldb_env_posix();
    ldb_mutex_init(&server->mu);
    ldb_cond_init(&server->changed);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        server->connections[i].fd = -1;
    if (tls != NULL)
        load_tls(server, tls);
    listen_on_loopback(server);
    assert_int_equal(0, pipe2(server->wake, O_CLOEXEC));
    assert_ldb_ok(server->env->ops->thread_start(server->env, "raw-server", run,
                                                 server, &err, &server->thread),
                  &err);
    return server;
}

void raw_server_stop(struct raw_server *server)
{
    ldb_mutex_lock(&server->mu);
    server->is_stopping = true;
    ldb_mutex_unlock(&server->mu);
    wake(server);
    server->env->ops->thread_join(server->env, server->thread);
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (server->connections[i].fd >= 0)
            end(&server->connections[i], RAW_SERVER_CLOSE);
    for (size_t i = 0; i < ANSWERS_MAX; i++) {
        free(server->answers[i].text);
        free(server->requests[i].bytes);
    }
    (void)close(server->listener); /* nothing was written to these */
    (void)close(server->wake[0]);
    (void)close(server->wake[1]);
    if (server->has_tls)
        gnutls_certificate_free_credentials(server->credentials);
    ldb_cond_release(&server->changed);
    ldb_mutex_release(&server->mu);
    free(server);
}

const char *raw_server_url(const struct raw_server *server)
{
    return server->url;
}

/* ---- what the test says ---- */

void raw_server_answer(struct raw_server *server, const char *text,
                       enum raw_server_after after)
{
    char *copy = strdup(text);

    if (copy == NULL)
        abort();
    ldb_mutex_lock(&server->mu);
    assert_true(server->answer_count < ANSWERS_MAX);
    server->answers[server->answer_count++] =
        (struct answer){.text = copy, .after = after};
    ldb_mutex_unlock(&server->mu);
    wake(server);
}

static struct connection *find_held_locked(struct raw_server *server)
    LDB_REQUIRES(server->mu)
{
    for (size_t i = 0; i < CONNECTIONS_MAX; i++)
        if (server->connections[i].fd >= 0 && server->connections[i].is_held)
            return &server->connections[i];
    return NULL;
}

void raw_server_push(struct raw_server *server, const char *text,
                     enum raw_server_after after)
{
    struct connection *held;
    bool is_in_time = true;

    ldb_mutex_lock(&server->mu);
    while ((held = find_held_locked(server)) == NULL && is_in_time)
        is_in_time =
            ldb_cond_wait_for(&server->changed, &server->mu, PATIENCE_US);
    if (held != NULL) {
        send_all(held, text);
        held->is_held = after == RAW_SERVER_HOLD;
        if (after == RAW_SERVER_CLOSE || after == RAW_SERVER_RESET)
            end(held, after);
    }
    ldb_mutex_unlock(&server->mu);
    assert_non_null(held);
    wake(server);
}

size_t raw_server_requests(struct raw_server *server)
{
    size_t count;

    ldb_mutex_lock(&server->mu);
    count = server->request_count;
    ldb_mutex_unlock(&server->mu);
    return count;
}

size_t raw_server_connections(struct raw_server *server)
{
    size_t count;

    ldb_mutex_lock(&server->mu);
    count = server->connection_count;
    ldb_mutex_unlock(&server->mu);
    return count;
}

const char *raw_server_request(struct raw_server *server, size_t index,
                               struct ldb_buf *out)
{
    ldb_buf_clear(out);
    ldb_mutex_lock(&server->mu);
    assert_true(index < server->request_count);
    assert_ldb_ok(
        ldb_buf_append(out, ldb_slice_make(server->requests[index].bytes,
                                           server->requests[index].len)),
        NULL);
    ldb_mutex_unlock(&server->mu);
    assert_ldb_ok(ldb_buf_append_byte(out, '\0'), NULL);
    out->len--;
    return (const char *)out->data;
}

/* ---- certificates ---- */

static void take_pem(gnutls_datum_t *pem, struct ldb_buf *out)
{
    ldb_buf_clear(out);
    assert_ldb_ok(ldb_buf_append(out, ldb_slice_make(pem->data, pem->size)),
                  NULL);
    assert_ldb_ok(ldb_buf_append_byte(out, '\0'), NULL);
    out->len--;
    gnutls_free(pem->data);
}

void raw_server_make_pair(struct ldb_buf *certificate, struct ldb_buf *key)
{
    static const unsigned char loopback[] = {127, 0, 0, 1};
    gnutls_x509_privkey_t secret;
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem;

    assert_int_equal(0, gnutls_x509_privkey_init(&secret));
    assert_int_equal(0,
                     gnutls_x509_privkey_generate(
                         secret, GNUTLS_PK_ECDSA,
                         GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0));
    assert_int_equal(0, gnutls_x509_crt_init(&crt));
    assert_int_equal(0, gnutls_x509_crt_set_version(crt, 3));
    assert_int_equal(0, gnutls_x509_crt_set_serial(crt, "\1", 1));
    assert_int_equal(0, gnutls_x509_crt_set_activation_time(crt, time(NULL)));
    assert_int_equal(
        0, gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600));
    assert_int_equal(0, gnutls_x509_crt_set_basic_constraints(crt, 1, -1));
    assert_int_equal(0, gnutls_x509_crt_set_subject_alt_name(
                            crt, GNUTLS_SAN_IPADDRESS, loopback,
                            sizeof(loopback), GNUTLS_FSAN_SET));
    assert_int_equal(0, gnutls_x509_crt_set_key(crt, secret));
    assert_int_equal(
        0, gnutls_x509_crt_sign2(crt, crt, secret, GNUTLS_DIG_SHA256, 0));
    assert_int_equal(0,
                     gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem));
    take_pem(&pem, certificate);
    assert_int_equal(
        0, gnutls_x509_privkey_export2(secret, GNUTLS_X509_FMT_PEM, &pem));
    take_pem(&pem, key);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(secret);
}
