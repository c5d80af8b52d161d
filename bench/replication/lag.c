/*
 * How long a follower is behind: one write after the other, each looked for at
 * the follower at once, and between them what nobody can do without: a sync of
 * as many bytes and a round trip over the loopback. Prints a line of JSON.
 *
 *   lag --leader PORT --follower PORT --folder DIR [--seconds 10] [--turns N]
 *       [--pause-us 3000]
 *
 * A turn, every --pause-us or so:
 *   bound    append 150 bytes (a journal's record) to a file in DIR and
 *            fdatasync it; send 150 bytes to a process that sends them back
 *   put      PUT at the leader, durable there when it answers
 *   read     from that answer until the follower has answered a GET with
 *            Leveld-Min-Sequence of that write: the lag that a reader sees,
 *            the GET itself included
 *   replica  PUT with replicas=1: durable at the follower, too
 * of which quantiles are printed, in microseconds.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

#define TURNS_MAX   100000
#define RECORD_SIZE 150
#define SECOND_NS   UINT64_C(1000000000)

enum what {
    SYNC,
    TRIP,
    BOUND,
    PUT,
    READ,
    REPLICA,
    WHAT_COUNT
};

static const char *const names[WHAT_COUNT] = {
    "sync", "trip", "bound", "put", "read", "replica",
};

static uint64_t times[WHAT_COUNT][TURNS_MAX];
static uint64_t turns;
static int leader;
static int follower;
static int echo;
static int file;

static uint64_t sync_once(void)
{
    char record[RECORD_SIZE] = {1};
    uint64_t begun = nanos();

    if (write(file, record, sizeof record) != sizeof record ||
        fdatasync(file) != 0)
        die("sync", strerror(errno));
    return nanos() - begun;
}

static void pass_on(int from, int to)
{
    char bytes[RECORD_SIZE];
    size_t have = 0;

    while (have < sizeof bytes) {
        ssize_t n = recv(from, bytes + have, sizeof bytes - have, 0);

        if (n <= 0)
            exit(0); /* its end is the other process's */
        have += (size_t)n;
    }
    if (send(to, bytes, sizeof bytes, MSG_NOSIGNAL) != sizeof bytes)
        exit(0);
}

static uint64_t trip_once(void)
{
    char record[RECORD_SIZE] = {0};
    uint64_t begun = nanos();
    size_t have = 0;

    if (send(echo, record, sizeof record, MSG_NOSIGNAL) != sizeof record)
        die("send", strerror(errno));
    while (have < sizeof record) {
        ssize_t n = recv(echo, record + have, sizeof record - have, 0);

        if (n <= 0)
            die("recv", n == 0 ? "closed" : strerror(errno));
        have += (size_t)n;
    }
    return nanos() - begun;
}

static uint64_t put(const char *query, uint64_t *out_sequence)
{
    char request[512];
    struct answer answer;
    uint64_t begun;
    int len = snprintf(request, sizeof request,
                       "PUT /v1/kv/lag-mark?%s HTTP/1.1\r\nHost: localhost\r\n"
                       "Content-Length: 100\r\n\r\n%0100" PRIu64,
                       query, turns);

    begun = nanos();
    exchange(leader, request, (size_t)len, &answer);
    if (answer.status != 204 || answer.sequence == 0)
        die("PUT", "was refused");
    *out_sequence = answer.sequence;
    return nanos() - begun;
}

static uint64_t read_at_follower(uint64_t sequence)
{
    char request[512];
    struct answer answer;
    uint64_t begun;
    int len = snprintf(request, sizeof request,
                       "GET /v1/kv/lag-mark HTTP/1.1\r\nHost: localhost\r\n"
                       "Leveld-Min-Sequence: %" PRIu64 "\r\n\r\n",
                       sequence);

    begun = nanos();
    exchange(follower, request, (size_t)len, &answer);
    if (answer.status != 200)
        die("GET at the follower", "was refused");
    return nanos() - begun;
}

static void turn(void)
{
    uint64_t sequence;

    times[SYNC][turns] = sync_once();
    times[TRIP][turns] = trip_once();
    times[BOUND][turns] = times[SYNC][turns] + times[TRIP][turns];
    times[PUT][turns] = put("sync=true", &sequence);
    times[READ][turns] = read_at_follower(sequence);
    times[REPLICA][turns] = put("replicas=1", &sequence);
    turns++;
}

/* ---- around it ---- */

/* A process that sends back what it is sent. */
static void start_echo(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int one = 1;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int fd;
    pid_t pid;

    if (listener < 0 || bind(listener, (struct sockaddr *)&at, len) != 0 ||
        listen(listener, 1) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &len) != 0)
        die("echo", strerror(errno));
    pid = fork();
    if (pid < 0)
        die("fork", strerror(errno));
    if (pid > 0) {
        close(listener);
        echo = connect_to(ntohs(at.sin_port));
        return;
    }
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    fd = accept(listener, NULL, NULL);
    if (fd < 0 || setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one))
        exit(1);
    for (;;)
        pass_on(fd, fd);
}

static int by_time(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;

    return x < y ? -1 : x > y;
}

static double quantile_us(const uint64_t *sorted, uint64_t count, double part)
{
    uint64_t at = (uint64_t)((double)count * part);

    return (double)sorted[at < count ? at : count - 1] / 1e3;
}

static void print_figures(void)
{
    printf("{\"turns\":%" PRIu64, turns);
    for (size_t i = 0; i < WHAT_COUNT; i++) {
        qsort(times[i], turns, sizeof times[i][0], by_time);
        printf(",\"%s\":{\"p50\":%.1f,\"p99\":%.1f,\"max\":%.1f}", names[i],
               quantile_us(times[i], turns, 0.5),
               quantile_us(times[i], turns, 0.99),
               quantile_us(times[i], turns, 1));
    }
    printf("}\n");
}

int main(int argc, char **argv)
{
    uint64_t leader_port = 0;
    uint64_t follower_port = 0;
    uint64_t seconds = 10;
    uint64_t turns_wanted = TURNS_MAX;
    uint64_t pause_us = 3000;
    const char *folder = NULL;
    char path[4096];
    uint64_t begun;

    for (int i = 1; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--leader") == 0)
            leader_port = number(argv[i], argv[i + 1]);
        else if (strcmp(argv[i], "--follower") == 0)
            follower_port = number(argv[i], argv[i + 1]);
        else if (strcmp(argv[i], "--seconds") == 0)
            seconds = number(argv[i], argv[i + 1]);
        else if (strcmp(argv[i], "--turns") == 0)
            turns_wanted = number(argv[i], argv[i + 1]);
        else if (strcmp(argv[i], "--pause-us") == 0)
            pause_us = number(argv[i], argv[i + 1]);
        else if (strcmp(argv[i], "--folder") == 0)
            folder = argv[i + 1];
        else
            die(argv[i], "no such option");
    }
    if (leader_port == 0 || follower_port == 0 || folder == NULL ||
        argc % 2 == 0 || turns_wanted == 0 || turns_wanted > TURNS_MAX)
        die("lag", "--leader, --follower and --folder are needed");
    snprintf(path, sizeof path, "%s/lag.probe", folder);
    file =
        open(path, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND | O_CLOEXEC, 0600);
    if (file < 0)
        die(path, strerror(errno));
    start_echo();
    leader = connect_to(leader_port);
    follower = connect_to(follower_port);
    begun = nanos();
    srand48(301);
    while (turns < turns_wanted && nanos() - begun < seconds * SECOND_NS) {
        turn();
        /* Never in step with anything that is done at an interval. */
        sleep_nanos((uint64_t)((0.5 + drand48()) * (double)pause_us * 1e3));
    }
    (void)unlink(path);
    print_figures();
    return 0;
}
