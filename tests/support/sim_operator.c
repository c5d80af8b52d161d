#include "tests/support/sim_operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/status.h"

/* For a change to end, however it does: it waits for other nodes, some of which
 * are not there. */
#define CHANGE_US (UINT64_C(600) * 1000000)

/* An operator's request under way. */
struct change {
    struct sim_cluster *cluster;
    unsigned node;
    const char *verb;
    char body[64];
};

/* The answer's text has a NUL behind it. */
static unsigned call_node(unsigned node, const char *method, const char *target,
                          const char *body, struct ldb_buf *out)
{
    static const char *const headers[] = {"Content-Type: application/json",
                                          NULL};
    unsigned status =
        sim_net_call(node, method, target, headers, ldb_slice_str(body), out);

    if (ldb_buf_append_byte(out, '\0') != LDB_OK)
        abort();
    return status;
}

/* Of a task: how it ended, once it has; 0: its node went away. */
static unsigned await_task(const struct change *change, struct ldb_buf *answer)
{
    const char *text = (const char *)answer->data;
    const char *id = strstr(text, "\"id\":\"");
    char target[64];
    unsigned status = 0;

    if (id == NULL)
        sim_fail("a task without an id: %s", text);
    (void)snprintf(target, sizeof(target), "/v1/admin/tasks/%lu",
                   strtoul(id + strlen("\"id\":\""), NULL, 10));
    do {
        sim_sleep_us(50000);
        status = call_node(change->node, "GET", target, "", answer);
        text = (const char *)answer->data;
    } while (status == 200 && (strstr(text, "\"queued\"") != NULL ||
                               strstr(text, "\"running\"") != NULL));
    return status == 200 && strstr(text, "\"done\"") == NULL ? 500 : status;
}

static void ask_change(void *context)
{
    struct change *change = context;
    struct sim_cluster *c = change->cluster;
    struct ldb_buf answer = LDB_BUF_INIT((size_t)1 << 20);
    char target[64];
    unsigned status;

    (void)snprintf(target, sizeof(target), "/v1/admin/%s", change->verb);
    status = call_node(change->node, "POST", target, change->body, &answer);
    if (status == 202)
        status = await_task(change, &answer);
    sim_trace("%s of %s: %u %s", change->verb,
              sim_node_at(c, change->node)->name, status,
              (const char *)answer.data);
    if (status == 200 && strcmp(change->verb, "promote") == 0)
        c->counts->promotions++;
    if (status == 200 && strcmp(change->verb, "handover") == 0)
        c->counts->handovers++;
    ldb_buf_release(&answer);
    c->changing--;
    sim_queue_wake_all(&c->changed);
    free(change);
}

static struct change *make_change(struct sim_cluster *c, unsigned node,
                                  const char *verb)
{
    struct change *change = calloc(1, sizeof(*change));

    if (change == NULL)
        abort();
    *change = (struct change){.cluster = c, .node = node, .verb = verb};
    return change;
}

static void send_change(struct change *change)
{
    change->cluster->changing++;
    sim_spawn_detached(change->verb, ask_change, change);
}

void sim_promote(struct sim_cluster *c, unsigned index)
{
    struct change *change;

    if (index == SIM_NODES_MAX)
        return;
    change = make_change(c, index, "promote");
    (void)snprintf(change->body, sizeof(change->body), "{\"force\":true}");
    send_change(change);
}

void sim_hand_over(struct sim_cluster *c)
{
    unsigned index = sim_any_node(c);
    struct change *change;

    if (c->changing > 0 || index == c->leader ||
        sim_node_at(c, index)->state != SIM_NODE_UP ||
        sim_node_at(c, c->leader)->state != SIM_NODE_UP)
        return;
    change = make_change(c, c->leader, "handover");
    (void)snprintf(change->body, sizeof(change->body),
                   "{\"to\":\"%s\",\"timeout\":\"5s\"}",
                   sim_node_at(c, index)->url);
    send_change(change);
}

void sim_compact(struct sim_cluster *c)
{
    struct change *change;

    if (sim_node_at(c, c->leader)->state != SIM_NODE_UP)
        return;
    change = make_change(c, c->leader, sim_one_in(2) ? "compact" : "flush");
    (void)snprintf(change->body, sizeof(change->body), "{}");
    send_change(change);
}

/* Who stands still with another leader in mind is told, as people would. */
void sim_point_out(struct sim_cluster *c, unsigned index)
{
    struct change *change = make_change(c, index, "demote");

    (void)snprintf(change->body, sizeof(change->body),
                   "{\"leader\":\"%s\",\"force\":true}",
                   sim_node_at(c, c->leader)->url);
    send_change(change);
}

void sim_await_changes(struct sim_cluster *c)
{
    while (c->changing > 0) {
        if (!sim_queue_wait(&c->changed, CHANGE_US, "changes to end"))
            sim_fail("%u changes do not end", c->changing);
    }
    sim_look(c);
}
