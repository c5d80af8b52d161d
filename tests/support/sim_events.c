#include "tests/support/sim_events.h"

#include <errno.h>

#include "tests/support/sim_operator.h"

/* ---- nodes ---- */

static void crash_node(struct sim_cluster *c)
{
    struct sim_node *node = sim_node_at(c, sim_any_node(c));
    enum ldb_crash_keep keep = (enum ldb_crash_keep)sim_below(3);

    if (node->life == NULL || sim_env_is_dead(node->world))
        return;
    if (sim_one_in(3))
        sim_node_crash(node, keep);
    else
        sim_node_plan_crash(node, sim_between(1, 60), keep);
}

static void stop_node(struct sim_cluster *c)
{
    struct sim_node *node = sim_node_at(c, sim_any_node(c));

    if (node->state == SIM_NODE_UP)
        sim_node_stop(node);
}

/* A follower is to lead when the leader is down. */
static void promote_node(struct sim_cluster *c)
{
    unsigned index = sim_any_node(c);

    if (c->changing == 0 && index != c->leader &&
        sim_node_at(c, index)->state == SIM_NODE_UP &&
        sim_node_at(c, c->leader)->life == NULL)
        sim_promote(c, index);
}

/* ---- the network ---- */

static void trouble_links(struct sim_cluster *c)
{
    for (unsigned from = 0; from < c->count; from++) {
        for (unsigned to = 0; to < c->count; to++) {
            struct sim_link *link = sim_net_link(from, to);

            link->delay_us = sim_one_in(2) ? 0 : sim_below(5000);
            link->cut_one_in = sim_one_in(3) ? sim_between(5, 100) : 0;
            link->flip_one_in = sim_one_in(6) ? sim_between(5, 100) : 0;
            link->late_one_in = sim_one_in(3) ? sim_between(3, 50) : 0;
            link->piece_max =
                sim_one_in(2) ? 0 : (size_t)1 << sim_between(3, 12);
        }
    }
}

static void silence_links(struct sim_cluster *c)
{
    unsigned one = sim_any_node(c);

    c->counts->silences++;
    for (unsigned other = 0; other < c->count; other++) {
        if (other == one || sim_one_in(3))
            continue;
        /* One way or both. */
        sim_net_link(one, other)->is_silent = !sim_one_in(3);
        sim_net_link(other, one)->is_silent = !sim_one_in(3);
    }
    c->silent_until_us = sim_now_us() + sim_between(1000, 20000000);
}

static void end_silence(struct sim_cluster *c)
{
    for (unsigned from = 0; from < c->count; from++) {
        for (unsigned to = 0; to < c->count; to++)
            sim_net_link(from, to)->is_silent = false;
    }
    c->silent_until_us = 0;
    sim_net_changed();
}

static void break_links(struct sim_cluster *c)
{
    sim_net_break(sim_any_node(c), sim_any_node(c));
}

/* ---- disks ---- */

static void break_disk(struct sim_cluster *c)
{
    static const unsigned kinds[] = {
        ENV_FAULT_BIT(ENV_FAULT_APPEND),
        ENV_FAULT_BIT(ENV_FAULT_SYNC),
        ENV_FAULT_BIT(ENV_FAULT_SYNC) | ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR),
        ENV_FAULT_BIT(ENV_FAULT_RENAME_FILE),
        ENV_FAULT_BIT(ENV_FAULT_READ_AT) | ENV_FAULT_BIT(ENV_FAULT_READ),
        ENV_FAULT_WRITES,
    };
    struct env_fault_rule rule = {.nth = sim_between(1, 20)};
    struct env_fault *fault;

    if (c->has_fault)
        return;
    c->faulty = sim_any_node(c);
    if (sim_node_at(c, c->faulty)->state != SIM_NODE_UP)
        return;
    fault = sim_env_fault(sim_node_at(c, c->faulty)->world);
    c->has_fault = true;
    sim_node_at(c, c->faulty)->is_worn = true;
    c->faulty_until_us = sim_now_us() + sim_between(1000, 3000000);
    c->counts->disk_faults++;
    sim_trace("the disk of %s fails", sim_node_at(c, c->faulty)->name);
    if (sim_one_in(3)) {
        env_fault_disk_full(fault, sim_below(20000));
        return;
    }
    rule.kinds = kinds[sim_below(sizeof(kinds) / sizeof(kinds[0]))];
    rule.from_then_on = sim_one_in(3);
    rule.sys_errno = sim_one_in(3) ? ENOSPC : EIO;
    rule.torn = sim_one_in(2);
    env_fault_fail(fault, &rule);
}

static void mend_disk(struct sim_cluster *c)
{
    struct env_fault *fault;

    if (!c->has_fault)
        return;
    fault = sim_env_fault(sim_node_at(c, c->faulty)->world);
    env_fault_fail(fault, NULL);
    env_fault_disk_free(fault);
    c->has_fault = false;
}

/* ---- clients ---- */

static void write_some(struct sim_cluster *c)
{
    unsigned writes = (unsigned)sim_between(1, 4);

    for (unsigned i = 0; i < writes && c->client.under_way < 8; i++) {
        if (sim_node_at(c, c->leader)->state == SIM_NODE_UP)
            sim_client_write(&c->client, c->leader);
    }
}

static void read_some(struct sim_cluster *c)
{
    (void)sim_check_reads(sim_node_at(c, sim_any_node(c)));
}

/* ---- what next ---- */

struct event {
    unsigned weight; /* of a thousand */
    void (*happen)(struct sim_cluster *c);
};

static const struct event events[] = {
    {700, write_some},   {60, read_some},   {30, trouble_links},
    {10, silence_links}, {40, break_links}, {24, crash_node},
    {8, stop_node},      {12, break_disk},  {30, promote_node},
    {6, sim_hand_over},  {12, sim_compact},
};

static void happen(struct sim_cluster *c)
{
    uint64_t left = sim_below(1000);

    for (size_t i = 0; i < sizeof(events) / sizeof(events[0]); i++) {
        if (left < events[i].weight) {
            events[i].happen(c);
            return;
        }
        left -= events[i].weight;
    }
}

void sim_befall(struct sim_cluster *c)
{
    happen(c);
    sim_sleep_us(sim_one_in(20) ? sim_below(500000) : sim_below(5000));
    if (c->silent_until_us != 0 && sim_now_us() >= c->silent_until_us)
        end_silence(c);
    if (c->has_fault && sim_now_us() >= c->faulty_until_us)
        mend_disk(c);
}

void sim_end_trouble(struct sim_cluster *c)
{
    for (unsigned from = 0; from < c->count; from++) {
        for (unsigned to = 0; to < c->count; to++)
            *sim_net_link(from, to) = (struct sim_link){0};
    }
    end_silence(c);
    mend_disk(c);
    for (unsigned i = 0; i < c->count; i++)
        sim_node_plan_crash(sim_node_at(c, i), 0, LDB_CRASH_KEEP_ALL);
}
