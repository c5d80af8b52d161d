#include "tests/support/sim_client.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/status.h"
#include "storage/journal/write_batch.h"

#define TARGET_SIZE 64

/* Within which every write is answered, or its connection breaks, when nothing
 * is in the way any more. */
#define ANSWER_US (UINT64_C(600) * 1000000)

struct op {
    unsigned key;
    uint32_t value; /* 0: a delete */
};

/* One request. */
struct request {
    struct sim_client *client;
    unsigned node;
    bool sync;
    unsigned replicas;
    struct op ops[SIM_BATCH_MAX];
    unsigned op_count;
};

void sim_client_init(struct sim_client *client, struct sim_node *nodes,
                     struct sim_watch *watches, unsigned node_count)
{
    *client = (struct sim_client){.nodes = nodes,
                                  .watches = watches,
                                  .node_count = node_count,
                                  .next_value = 1};
}

void sim_client_release(struct sim_client *client)
{
    assert(client->under_way == 0);
    free(client->acks);
}

/* ---- what was promised ---- */

static bool has_op(const struct sim_history *history, ldb_sequence sequence,
                   const struct op *op)
{
    const struct sim_op *is = sim_truth_op(history, sequence);

    return is != NULL && is->key == op->key && is->value == op->value;
}

/* The node's history that the write was made in: those after it have it too. */
static const struct sim_history *find_history(const struct request *request,
                                              ldb_sequence first)
{
    for (size_t i = 0; i < sim_truth_count(); i++) {
        const struct sim_history *history = sim_truth_at(i);
        unsigned found = 0;

        if (history->author != request->node)
            continue;
        while (found < request->op_count &&
               has_op(history, first + found, &request->ops[found]))
            found++;
        if (found == request->op_count)
            return history;
    }
    return NULL;
}

/* Whether the node has it: it says so, or has crashed since and it is there. */
static bool has_synced(struct sim_client *client, unsigned index,
                       const struct sim_ack *ack)
{
    const struct sim_watch *watch = &client->watches[index];
    ldb_sequence sequence = 0;
    uint64_t epoch = 0;

    if (watch->synced_epoch >= ack->history->epoch.number &&
        watch->synced >= ack->last)
        return true;
    return sim_check_durable(&client->nodes[index], &sequence, &epoch) &&
           epoch >= ack->history->epoch.number && sequence >= ack->last;
}

static unsigned count_synced(struct sim_client *client,
                             const struct sim_ack *ack)
{
    unsigned count = 0;

    for (unsigned i = 0; i < client->node_count; i++)
        count += i != ack->node && has_synced(client, i, ack);
    return count;
}

static void check_replicas(struct sim_client *client, const struct sim_ack *ack)
{
    unsigned count = count_synced(client, ack);

    if (count < ack->replicas)
        sim_fail("R5 a write at %" PRIu64 " was acknowledged with replicas=%u, "
                 "and %u have it",
                 ack->last, ack->replicas, count);
}

static void add_ack(struct sim_client *client, const struct sim_ack *ack)
{
    if (client->ack_count == client->ack_room) {
        client->ack_room = client->ack_room == 0 ? 64 : client->ack_room * 2;
        client->acks =
            realloc(client->acks, client->ack_room * sizeof(*client->acks));
        if (client->acks == NULL)
            abort();
    }
    client->acks[client->ack_count++] = *ack;
}

static void take_ack(const struct request *request, ldb_sequence last)
{
    struct sim_client *client = request->client;
    struct sim_ack ack = {
        .node = request->node,
        .first = last - request->op_count + 1,
        .last = last,
        .replicas = request->replicas,
        .sync = request->sync || request->replicas > 0,
    };

    for (unsigned i = 0; i < request->op_count && ack.value == 0; i++)
        ack.value = request->ops[i].value;
    if (ack.replicas > 0) {
        for (unsigned i = 0; i < client->node_count; i++)
            sim_check_twin(&client->nodes[i], &client->watches[i]);
    }
    sim_hush(true);
    sim_node_note(&client->nodes[ack.node]);
    ack.history = find_history(request, ack.first);
    sim_hush(false);
    /* Without a sync the power may have gone since the answer. */
    if (ack.history == NULL && ack.sync)
        sim_fail("R5 %s has acknowledged a write at %" PRIu64
                 ", which does not stand there",
                 client->nodes[ack.node].name, last);
    if (ack.history == NULL)
        return;
    if (ack.replicas > 0)
        check_replicas(client, &ack);
    add_ack(client, &ack);
}

/* ---- sending ---- */

static void encode(const struct request *request, struct ldb_buf *out)
{
    struct ldb_batch batch;
    enum ldb_status s = LDB_OK;

    ldb_batch_init(&batch, (size_t)1 << 20);
    for (unsigned i = 0; i < request->op_count && s == LDB_OK; i++) {
        const struct op *op = &request->ops[i];
        uint8_t value[SIM_VALUE_MAX];
        char key[SIM_KEY_SIZE];

        sim_key(op->key, key);
        if (op->value == 0)
            s = ldb_batch_delete(&batch, ldb_slice_str(key));
        else
            s = ldb_batch_put(
                &batch, ldb_slice_str(key),
                ldb_slice_make(value, sim_value(op->value, value)));
    }
    if (s != LDB_OK ||
        ldb_buf_append(out, ldb_slice_of_buf(&batch.rep)) != LDB_OK)
        abort();
    ldb_batch_release(&batch);
}

static void send_request(void *context)
{
    static const char *const headers[] = {
        "Content-Type: application/vnd.leveldb.batch", "Leveld-Timeout: 2s",
        NULL};
    struct request *request = context;
    struct sim_client *client = request->client;
    struct ldb_buf body = LDB_BUF_INIT((size_t)1 << 20);
    struct ldb_buf answer = LDB_BUF_INIT((size_t)1 << 20);
    char target[TARGET_SIZE];
    unsigned status;
    const char *at;

    (void)snprintf(target, sizeof(target), "/v1/batch?sync=%s&replicas=%u",
                   request->sync ? "true" : "false", request->replicas);
    encode(request, &body);
    status = sim_net_call(request->node, "POST", target, headers,
                          ldb_slice_of_buf(&body), &answer);
    if (ldb_buf_append_byte(&answer, '\0') != LDB_OK)
        abort();
    if (status == 200) {
        at = strstr((const char *)answer.data, "\"sequence\":");
        if (at == NULL)
            sim_fail("an answer without a sequence: %s",
                     (const char *)answer.data);
        take_ack(request, strtoull(at + strlen("\"sequence\":"), NULL, 10));
    } else {
        sim_trace("a write to %s: %u %s", client->nodes[request->node].name,
                  status, (const char *)answer.data);
    }
    ldb_buf_release(&body);
    ldb_buf_release(&answer);
    client->under_way--;
    sim_queue_wake_all(&client->changed);
    free(request);
}

void sim_client_write(struct sim_client *client, unsigned node)
{
    struct request *request = calloc(1, sizeof(*request));

    if (request == NULL)
        abort();
    client->writes++;
    client->under_way++;
    request->client = client;
    request->node = node;
    request->sync = !sim_one_in(3);
    if (sim_one_in(3))
        request->replicas = (unsigned)sim_between(1, client->node_count - 1);
    request->op_count =
        sim_one_in(2) ? 1 : (unsigned)sim_between(1, SIM_BATCH_MAX);
    for (unsigned i = 0; i < request->op_count; i++) {
        request->ops[i].key = (unsigned)sim_below(SIM_KEYS);
        request->ops[i].value = sim_one_in(6) ? 0 : client->next_value++;
    }
    sim_spawn_detached("client", send_request, request);
}

void sim_client_await(struct sim_client *client)
{
    while (client->under_way > 0) {
        if (!sim_queue_wait(&client->changed, ANSWER_US, "writes to end"))
            sim_fail("%u writes are not answered", client->under_way);
    }
}
