/*
 * Writes to a leveld over HTTP from one thread, as fast as it answers or at a
 * given rate, and prints a line of JSON: what was written, how long each took
 * and what the load itself cost.
 *
 *   load --port P [--connections 64] [--rate N] [--count N] [--seconds 10]
 *        [--batch N] [--value 100] [--keys 1000000] [--first 0] [--ordered]
 *        [--random] [--query sync=false] [--seed 301]
 *
 * Each connection has one request under way. A request is a PUT, or with
 * --batch a batch of so many puts in LevelDB's form. At a rate (requests a
 * second) a request is due at its time: its latency counts from then, however
 * late it was sent. It ends after --count requests or --seconds, whichever
 * comes first. Keys have 16 bytes: of --keys after --first, at random or
 * ordered. Values are half compressible, or with --random not at all.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

#define CONNECTIONS_MAX 1024
#define KEY_SIZE        16
#define POOL_SIZE       (1u << 20)
#define PIECE_SIZE      100 /* of values, as in LevelDB's own benchmark */
#define HIST_SUB        32  /* buckets per power of two of nanoseconds */
#define HIST_SIZE       (64 * HIST_SUB)
#define SECOND_NS       UINT64_C(1000000000)

static struct {
    uint64_t port;
    uint64_t connections;
    uint64_t rate; /* 0: as fast as it goes */
    uint64_t count;
    uint64_t seconds;
    uint64_t batch; /* 0: PUT */
    uint64_t value_size;
    uint64_t keys;
    uint64_t first;
    uint64_t seed;
    bool is_ordered;
    bool is_random;
    const char *query;
} cfg = {
    .connections = 64,
    .count = UINT64_MAX,
    .seconds = 10,
    .value_size = 100,
    .keys = 1000000,
    .seed = 301,
    .query = "",
};

struct connection {
    int fd;
    bool is_busy;
    bool waits_to_send;
    uint64_t due; /* of the request under way */
    char *out;
    size_t out_len;
    size_t sent;
    char in[ANSWER_SIZE];
    size_t have;
};

static struct connection connections[CONNECTIONS_MAX];
static struct connection *idle[CONNECTIONS_MAX];
static size_t idle_count;
static char pool[POOL_SIZE];
static uint64_t hist[HIST_SIZE];
static int poller;
static uint64_t begun;
static uint64_t started; /* requests */
static uint64_t ended;
static uint64_t refused; /* no success */
static uint64_t last_sequence;

/* ---- figures ---- */

static size_t bucket_of(uint64_t ns)
{
    unsigned log;

    if (ns < HIST_SUB)
        return (size_t)ns;
    log = 63u - (unsigned)__builtin_clzll(ns);
    return (size_t)(log - 4) * HIST_SUB + ((ns >> (log - 5)) & (HIST_SUB - 1));
}

/* The upper end of the bucket, in microseconds. */
static double bucket_us(size_t bucket)
{
    size_t log = bucket / HIST_SUB + 4;
    uint64_t sub = bucket % HIST_SUB;

    if (bucket < HIST_SUB)
        return (double)bucket / 1e3;
    return (double)((HIST_SUB + sub + 1) << (log - 5)) / 1e3;
}

static double quantile_us(double part)
{
    uint64_t wanted = (uint64_t)((double)ended * part);
    uint64_t seen = 0;

    for (size_t i = 0; i < HIST_SIZE; i++) {
        seen += hist[i];
        if (seen > wanted)
            return bucket_us(i);
    }
    return 0;
}

static void print_figures(uint64_t end)
{
    uint64_t puts = ended * (cfg.batch == 0 ? 1 : cfg.batch);

    printf("{\"requests\":%" PRIu64 ",\"writes\":%" PRIu64
           ",\"user_bytes\":%" PRIu64 ",\"refused\":%" PRIu64
           ",\"seconds\":%.6f,\"p50_us\":%.1f,\"p99_us\":%.1f"
           ",\"cpu_us\":%.0f,\"sequence\":%" PRIu64 "}\n",
           ended, puts, puts * (KEY_SIZE + cfg.value_size), refused,
           (double)(end - begun) / 1e9, quantile_us(0.5), quantile_us(0.99),
           (double)cpu_nanos() / 1e3, last_sequence);
}

/* ---- requests ---- */

static uint64_t next_random(void)
{
    /* xorshift64* */
    cfg.seed ^= cfg.seed >> 12;
    cfg.seed ^= cfg.seed << 25;
    cfg.seed ^= cfg.seed >> 27;
    return cfg.seed * UINT64_C(2685821657736338717);
}

static void fill_pool(void)
{
    for (size_t i = 0; i < POOL_SIZE; i++) {
        bool is_new = cfg.is_random || i % PIECE_SIZE < PIECE_SIZE / 2;

        pool[i] =
            is_new ? (char)(next_random() >> 32) : pool[i - PIECE_SIZE / 2];
    }
}

/* Keys are digits, which need no escapes in a path. */
static void write_key(char *to)
{
    static uint64_t ordered;
    uint64_t n =
        cfg.is_ordered ? ordered++ % cfg.keys : next_random() % cfg.keys;

    n += cfg.first;
    for (int i = KEY_SIZE - 1; i >= 0; i--, n /= 10)
        to[i] = (char)('0' + n % 10);
}

static void write_value(char *to)
{
    memcpy(to, pool + next_random() % (POOL_SIZE - cfg.value_size),
           cfg.value_size);
}

static char *write_varint(char *to, uint64_t n)
{
    for (; n >= 0x80; n >>= 7)
        *to++ = (char)(n | 0x80);
    *to++ = (char)n;
    return to;
}

/* LevelDB's form, whose sequence is the server's to give. */
static char *write_batch(char *to)
{
    memset(to, 0, 12);
    for (int i = 0; i < 4; i++)
        to[8 + i] = (char)(cfg.batch >> (8 * i));
    to += 12;
    for (uint64_t i = 0; i < cfg.batch; i++) {
        *to++ = 1;
        to = write_varint(to, KEY_SIZE);
        write_key(to);
        to = write_varint(to + KEY_SIZE, cfg.value_size);
        write_value(to);
        to += cfg.value_size;
    }
    return to;
}

static size_t varint_size(uint64_t n)
{
    char bytes[10];

    return (size_t)(write_varint(bytes, n) - bytes);
}

static void write_request(struct connection *c)
{
    size_t body = cfg.value_size;
    char key[KEY_SIZE];
    char *at = c->out;

    if (cfg.batch > 0) {
        body = 12 + cfg.batch * (2 + KEY_SIZE + varint_size(cfg.value_size) +
                                 cfg.value_size);
        at += sprintf(at,
                      "POST /v1/batch?%s HTTP/1.1\r\nHost: localhost\r\n"
                      "Content-Type: application/vnd.leveldb.batch\r\n"
                      "Content-Length: %zu\r\n\r\n",
                      cfg.query, body);
        at = write_batch(at);
    } else {
        write_key(key);
        at += sprintf(at,
                      "PUT /v1/kv/%.*s?%s HTTP/1.1\r\nHost: localhost\r\n"
                      "Content-Length: %zu\r\n\r\n",
                      KEY_SIZE, key, cfg.query, body);
        write_value(at);
        at += body;
    }
    c->out_len = (size_t)(at - c->out);
    c->sent = 0;
    c->have = 0;
}

/* ---- connections ---- */

static void watch(struct connection *c, bool for_room, int how)
{
    struct epoll_event event = {
        .events = EPOLLIN | (for_room ? (uint32_t)EPOLLOUT : 0),
        .data.ptr = c,
    };

    c->waits_to_send = for_room;
    if (epoll_ctl(poller, how, c->fd, &event) != 0)
        die("epoll_ctl", strerror(errno));
}

static void send_more(struct connection *c)
{
    while (c->sent < c->out_len) {
        ssize_t n =
            send(c->fd, c->out + c->sent, c->out_len - c->sent, MSG_NOSIGNAL);

        if (n > 0) {
            c->sent += (size_t)n;
        } else if (n < 0 && errno == EAGAIN) {
            if (!c->waits_to_send)
                watch(c, true, EPOLL_CTL_MOD);
            return;
        } else if (n < 0 && errno != EINTR) {
            die("send", strerror(errno));
        }
    }
    if (c->waits_to_send)
        watch(c, false, EPOLL_CTL_MOD);
}

static bool is_over(uint64_t now)
{
    return started >= cfg.count || now - begun >= cfg.seconds * SECOND_NS;
}

/* When the next request is due. */
static uint64_t next_due(uint64_t now)
{
    if (cfg.rate == 0)
        return now;
    return begun + (uint64_t)((double)started * 1e9 / (double)cfg.rate);
}

static void start_due(uint64_t now)
{
    while (idle_count > 0 && !is_over(now) && next_due(now) <= now) {
        struct connection *c = idle[--idle_count];

        c->is_busy = true;
        c->due = next_due(now);
        started++;
        write_request(c);
        send_more(c);
    }
}

static void take_answer(struct connection *c)
{
    struct answer answer;

    if (!parse_answer(c->in, c->have, &answer))
        return;
    if (c->have != answer.len || c->sent != c->out_len)
        die("answer", "more than one, or too early");
    hist[bucket_of(nanos() - c->due)]++;
    ended++;
    if (answer.status / 100 != 2)
        refused++;
    if (answer.sequence > last_sequence)
        last_sequence = answer.sequence;
    c->is_busy = false;
    idle[idle_count++] = c;
}

static void receive(struct connection *c)
{
    ssize_t n = recv(c->fd, c->in + c->have, sizeof c->in - c->have, 0);

    if (n > 0) {
        c->have += (size_t)n;
        take_answer(c);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        die("recv",
            n == 0 ? "the server has closed a connection" : strerror(errno));
    }
}

static void open_connections(void)
{
    size_t room = 512 + (cfg.batch == 0 ? 1 : cfg.batch) *
                            (cfg.value_size + KEY_SIZE + 16);

    poller = epoll_create1(EPOLL_CLOEXEC);
    if (poller < 0)
        die("epoll_create1", strerror(errno));
    for (uint64_t i = 0; i < cfg.connections; i++) {
        struct connection *c = &connections[i];

        c->fd = connect_to(cfg.port);
        c->out = malloc(room);
        if (c->out == NULL || fcntl(c->fd, F_SETFL, O_NONBLOCK) != 0)
            die("connection", strerror(errno));
        watch(c, false, EPOLL_CTL_ADD);
        idle[idle_count++] = c;
    }
}

/* Waits for answers, but not past the time when a request is due. */
static void wait_for_answers(uint64_t now)
{
    struct epoll_event events[64];
    struct timespec pause = {.tv_sec = 1};
    uint64_t due = next_due(now);
    int count;

    if (cfg.rate != 0 && idle_count > 0 && !is_over(now)) {
        uint64_t ns = due > now ? due - now : 0;

        pause.tv_sec = (time_t)(ns / SECOND_NS);
        pause.tv_nsec = (long)(ns % SECOND_NS);
    }
    count = epoll_pwait2(poller, events, 64, &pause, NULL);
    if (count < 0 && errno != EINTR)
        die("epoll_pwait2", strerror(errno));
    for (int i = 0; i < count; i++) {
        struct connection *c = events[i].data.ptr;

        if ((events[i].events & EPOLLOUT) != 0)
            send_more(c);
        if ((events[i].events & ~(uint32_t)EPOLLOUT) != 0)
            receive(c);
    }
}

/* ---- options ---- */

static void parse(int argc, char **argv)
{
    const struct {
        const char *name;
        uint64_t *value;
    } numbers[] = {
        {"--port", &cfg.port},        {"--connections", &cfg.connections},
        {"--rate", &cfg.rate},        {"--count", &cfg.count},
        {"--seconds", &cfg.seconds},  {"--batch", &cfg.batch},
        {"--value", &cfg.value_size}, {"--keys", &cfg.keys},
        {"--first", &cfg.first},      {"--seed", &cfg.seed},
    };
    size_t known = sizeof numbers / sizeof numbers[0];

    for (int i = 1; i < argc; i++) {
        size_t at = 0;

        while (at < known && strcmp(argv[i], numbers[at].name) != 0)
            at++;
        if (at < known) {
            *numbers[at].value = number(argv[i], argv[i + 1]);
            i++;
        } else if (strcmp(argv[i], "--ordered") == 0) {
            cfg.is_ordered = true;
        } else if (strcmp(argv[i], "--random") == 0) {
            cfg.is_random = true;
        } else if (strcmp(argv[i], "--query") == 0 && argv[i + 1] != NULL) {
            cfg.query = argv[++i];
        } else {
            die(argv[i], "no such option");
        }
    }
    if (cfg.port == 0 || cfg.port > UINT16_MAX || cfg.connections == 0 ||
        cfg.connections > CONNECTIONS_MAX || cfg.keys == 0 || cfg.seed == 0 ||
        cfg.value_size >= POOL_SIZE || cfg.batch > 100000)
        die("load", "an option is out of range");
}

int main(int argc, char **argv)
{
    uint64_t now;

    parse(argc, argv);
    fill_pool();
    open_connections();
    begun = nanos();
    for (now = begun; !is_over(now) || idle_count < cfg.connections;
         now = nanos()) {
        start_due(now);
        wait_for_answers(now);
        if (now - begun > (cfg.seconds + 60) * SECOND_NS)
            die("load", "no answer for a minute");
    }
    print_figures(now);
    return 0;
}
