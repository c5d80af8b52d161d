#define _GNU_SOURCE
#include "client.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static uint64_t read_clock(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (uint64_t)t.tv_sec * 1000000000u + (uint64_t)t.tv_nsec;
}

uint64_t nanos(void)
{
    return read_clock(CLOCK_MONOTONIC);
}

uint64_t cpu_nanos(void)
{
    return read_clock(CLOCK_PROCESS_CPUTIME_ID);
}

void sleep_nanos(uint64_t ns)
{
    struct timespec t = {.tv_sec = (time_t)(ns / 1000000000u),
                         .tv_nsec = (long)(ns % 1000000000u)};

    while (nanosleep(&t, &t) != 0 && errno == EINTR)
        continue;
}

uint64_t number(const char *option, const char *text)
{
    char *end = NULL;
    unsigned long long value;

    if (text == NULL || *text < '0' || *text > '9')
        die(option, "takes a whole number");
    errno = 0;
    value = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0')
        die(option, "takes a whole number");
    return value;
}

int connect_to(uint64_t port)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons((uint16_t)port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    int one = 1;

    if (fd < 0 || connect(fd, (struct sockaddr *)&to, sizeof to) != 0 ||
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one) != 0)
        die("connect", strerror(errno));
    return fd;
}

/* The value of a head's line, which ends the text there; NULL: none. */
static const char *find_header(const char *head, const char *name)
{
    size_t len = strlen(name);

    for (const char *at = strstr(head, "\r\n"); at != NULL;
         at = strstr(at, "\r\n")) {
        at += 2;
        if (strncasecmp(at, name, len) == 0 && at[len] == ':')
            return at + len + 1;
    }
    return NULL;
}

bool parse_answer(const char *bytes, size_t len, struct answer *out)
{
    char head[ANSWER_SIZE];
    const char *end = memmem(bytes, len, "\r\n\r\n", 4);
    const char *value;
    size_t head_len;

    if (end == NULL)
        return false;
    head_len = (size_t)(end - bytes);
    memcpy(head, bytes, head_len);
    head[head_len] = '\0';
    if (strncmp(head, "HTTP/1.1 ", 9) != 0)
        die("answer", head);
    *out = (struct answer){.status = (unsigned)strtoul(head + 9, NULL, 10)};
    value = find_header(head, "Leveld-Sequence");
    if (value != NULL)
        out->sequence = strtoull(value, NULL, 10);
    out->len = head_len + 4;
    value = find_header(head, "Content-Length");
    if (value != NULL)
        out->len += strtoull(value, NULL, 10);
    else if (out->status != 204)
        die("an answer of no length", head);
    if (out->len > ANSWER_SIZE)
        die("too long an answer", head);
    return out->len <= len;
}

void exchange(int fd, const char *request, size_t len, struct answer *out)
{
    char bytes[ANSWER_SIZE];
    size_t have = 0;

    if (send(fd, request, len, MSG_NOSIGNAL) != (ssize_t)len)
        die("send", strerror(errno));
    do {
        ssize_t n = recv(fd, bytes + have, sizeof bytes - have, 0);

        if (n <= 0)
            die("recv", n == 0 ? "closed" : strerror(errno));
        have += (size_t)n;
    } while (!parse_answer(bytes, have, out));
}
