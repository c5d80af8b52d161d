/*
 * Who writes to a simulated cluster: batches over HTTP, several at a time, and
 * what was promised for each that was acknowledged (R5).
 */
#ifndef TESTS_SUPPORT_SIM_CLIENT_H
#define TESTS_SUPPORT_SIM_CLIENT_H

#include "tests/support/sim_check.h"

#define SIM_BATCH_MAX 6

/* A write that was answered 200. */
struct sim_ack {
    unsigned node;
    const struct sim_history *history; /* it stands in */
    ldb_sequence first;
    ldb_sequence last;
    unsigned replicas;
    bool sync;
    uint32_t value; /* of its first put; 0: it has none */
};

struct sim_client {
    struct sim_node *nodes;
    struct sim_watch *watches;
    unsigned node_count;
    uint32_t next_value;
    unsigned under_way;
    struct sim_queue changed;
    struct sim_ack *acks;
    size_t ack_count;
    size_t ack_room;
    uint64_t writes;
};

void sim_client_init(struct sim_client *client, struct sim_node *nodes,
                     struct sim_watch *watches, unsigned node_count);
void sim_client_release(struct sim_client *client);

/* Sends a batch by chance to the node, and does not wait for its answer. */
void sim_client_write(struct sim_client *client, unsigned node);
/* Until all are answered, or their connections broken. */
void sim_client_await(struct sim_client *client);

#endif
