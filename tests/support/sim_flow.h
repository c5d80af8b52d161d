/*
 * One request on its way and the answer to it: what the two ends of a
 * connection share (sim_net.h). Private to sim_net.c and sim_peer.c.
 */
#ifndef TESTS_SUPPORT_SIM_FLOW_H
#define TESTS_SUPPORT_SIM_FLOW_H

#include "tests/support/sim_net.h"
#include "tests/support/sim_sched.h"

#define SIM_TARGET_SIZE 256
#define SIM_HEADERS_MAX 4
#define SIM_HEADER_SIZE 64

struct sim_flow {
    unsigned refs;
    unsigned client;
    unsigned server;
    struct sim_flow *next; /* of all there are */
    struct sim_queue changed;

    const char *method;
    char target[SIM_TARGET_SIZE];
    char headers[SIM_HEADERS_MAX][SIM_HEADER_SIZE];
    size_t header_count;
    struct ldb_buf request;

    bool is_left; /* nobody waits for the answer */
    bool is_cut;  /* the connection is broken */
    bool has_head;
    unsigned status;
    struct ldb_buf head; /* lines, each with its end */
    bool is_stream;      /* chunked */
    bool is_whole;       /* all has been put into bytes */
    struct ldb_buf bytes;
    size_t taken; /* of them */
};

/* A request is sent; its caller has a reference, which leave() gives up. */
struct sim_flow *sim_flow_begin(unsigned client, unsigned server,
                                const char *method, const char *target,
                                const char *const *headers,
                                struct ldb_slice body);
void sim_flow_leave(struct sim_flow *flow);

/* Waits for the way from one end to the other to be open, and as long as it
 * takes. False: it broke, by chance too, or was not open until the deadline. */
bool sim_flow_travel(struct sim_flow *flow, unsigned from, unsigned to,
                     uint64_t deadline_us);
void sim_flow_cut(struct sim_flow *flow);

/* For the counts. */
void sim_flow_count_flip(void);
void sim_flow_count_late(void);

#endif
