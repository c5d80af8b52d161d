/*
 * What the programs of this folder share: a socket on the loopback, the clock,
 * and the answer of an HTTP server. They end with a line on standard error when
 * something is not as it should be: no figure is better than a wrong one.
 */
#ifndef BENCH_REPLICATION_CLIENT_H
#define BENCH_REPLICATION_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Room for an answer: heads are short, and bodies are JSON documents. */
#define ANSWER_SIZE 16384

struct answer {
    unsigned status;
    uint64_t sequence; /* Leveld-Sequence; 0: none */
    size_t len;        /* of head and body */
};

_Noreturn void die(const char *what, const char *why);

uint64_t nanos(void);     /* monotonic */
uint64_t cpu_nanos(void); /* this process's, so far */
void sleep_nanos(uint64_t ns);

/* A value after an option, as a whole number; dies otherwise. */
uint64_t number(const char *option, const char *text);

/* A connection to 127.0.0.1, without delay. */
int connect_to(uint64_t port);

/*
 * Takes the answer at the beginning of len bytes; false: it is not whole yet.
 * Dies of what is no answer with a length.
 */
bool parse_answer(const char *bytes, size_t len, struct answer *out);

/* Sends all and waits for the one answer to it. */
void exchange(int fd, const char *request, size_t len, struct answer *out);

#endif
