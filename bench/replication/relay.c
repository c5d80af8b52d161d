/*
 * Passes TCP connections on and counts their bytes: what a follower costs its
 * link, heads and acks included.
 *
 *   relay PORT
 *
 * Prints the port that it listens at; then, for each line that it reads, a line
 * of JSON: bytes sent back by PORT, bytes sent to it, connections so far. Ends
 * with its standard input.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client.h"

#define PIECE_SIZE (64 * 1024)

static _Atomic(uint64_t) down;
static _Atomic(uint64_t) up;
static _Atomic(uint64_t) count;
static uint64_t target;

struct way {
    int from;
    int to;
    _Atomic(uint64_t) *counter;
};

static void send_all(int to, const char *bytes, size_t len)
{
    while (len > 0) {
        ssize_t n = send(to, bytes, len, MSG_NOSIGNAL);

        if (n <= 0)
            return; /* the other way sees the end */
        bytes += n;
        len -= (size_t)n;
    }
}

static void *pass(void *context)
{
    const struct way *way = context;
    char bytes[PIECE_SIZE];
    ssize_t n;

    while ((n = recv(way->from, bytes, sizeof bytes, 0)) > 0) {
        atomic_fetch_add(way->counter, (uint64_t)n);
        send_all(way->to, bytes, (size_t)n);
    }
    shutdown(way->to, SHUT_WR);
    return NULL;
}

static void *serve(void *context)
{
    int client = (int)(intptr_t)context;
    int server = connect_to(target);
    struct way there = {.from = client, .to = server, .counter = &up};
    struct way back = {.from = server, .to = client, .counter = &down};
    pthread_t thread;

    if (pthread_create(&thread, NULL, pass, &there) != 0)
        die("relay", "no thread");
    pass(&back);
    pthread_join(thread, NULL);
    close(client);
    close(server);
    return NULL;
}

static void *accept_all(void *context)
{
    int listener = *(const int *)context;
    int one = 1;

    for (;;) {
        int client = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
        pthread_t thread;

        if (client < 0)
            continue;
        atomic_fetch_add(&count, 1);
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        if (pthread_create(&thread, NULL, serve, (void *)(intptr_t)client) != 0)
            die("relay", "no thread");
        pthread_detach(thread);
    }
    return NULL;
}

int main(int argc, char **argv)
{
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    pthread_t thread;
    char line[64];

    if (argc != 2)
        die("relay", "takes a port");
    target = number("relay", argv[1]);
    if (listener < 0 || bind(listener, (struct sockaddr *)&at, len) != 0 ||
        listen(listener, 64) != 0 ||
        getsockname(listener, (struct sockaddr *)&at, &len) != 0 ||
        pthread_create(&thread, NULL, accept_all, &listener) != 0)
        die("relay", strerror(errno));
    printf("%u\n", ntohs(at.sin_port));
    fflush(stdout);
    while (fgets(line, sizeof line, stdin) != NULL) {
        printf("{\"down\":%" PRIu64 ",\"up\":%" PRIu64
               ",\"connections\":%" PRIu64 "}\n",
               atomic_load(&down), atomic_load(&up), atomic_load(&count));
        fflush(stdout);
    }
    return 0;
}
