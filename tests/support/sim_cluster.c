/*
 * A simulated cluster: its nodes come and go, and are looked at (contract:
 * sim_cluster.h).
 */
#include "tests/support/sim_cluster.h"

#include <inttypes.h>
#include <string.h>

#include "api/db_gate.h"
#include "storage/base/status.h"
#include "tests/support/oracles.h"
#include "tests/support/sim_events.h"
#include "tests/support/sim_peace.h"

/* ---- looking ---- */

/* What was counted by a follower since it was looked at. */
static void count_figures(struct sim_cluster *c, unsigned index)
{
    struct repl_follower_counts *seen = &c->seen[index];
    struct repl_follower_stats stats;

    if (!sim_node_figures(sim_node_at(c, index), &stats))
        return;
    if (stats.counts.connects < seen->connects)
        *seen = (struct repl_follower_counts){0}; /* another follower */
    c->counts->rebuilds += stats.counts.rebuilds - seen->rebuilds;
    c->counts->tables_built += stats.counts.tables_built - seen->tables_built;
    c->counts->tables_fetched +=
        stats.counts.tables_fetched - seen->tables_fetched;
    *seen = stats.counts;
}

/* Who leads, and of several the one of the latest epoch; else whoever did. */
static void note_leader(struct sim_cluster *c)
{
    uint64_t latest = 0;

    for (unsigned i = 0; i < c->count; i++) {
        const struct sim_history *history;

        if (!sim_node_leads(sim_node_at(c, i)))
            continue;
        history = sim_check_history(sim_node_at(c, i));
        if (history == NULL || history->epoch.number < latest)
            continue;
        latest = history->epoch.number;
        c->leader = i;
    }
}

/* Whose disk has not changed is looked at again, too. */
static void look_anew(struct sim_cluster *c)
{
    for (unsigned i = 0; i < c->count; i++)
        c->watches[i].looked_at = UINT64_MAX;
}

/* R1 to R3, R6 to R8, of all. */
void sim_look(struct sim_cluster *c)
{
    sim_hush(true);
    for (unsigned i = 0; i < c->count; i++) {
        sim_node_note(sim_node_at(c, i));
        /* Not buried yet, its disk is what the cut has left all the same. */
        if (sim_env_is_dead(sim_node_at(c, i)->world))
            sim_watch_forget(&c->watches[i]);
    }
    /* What a leader has lost nobody may have had of it. */
    if (c->losses != sim_truth_losses())
        look_anew(c);
    c->losses = sim_truth_losses();
    for (unsigned i = 0; i < c->count; i++)
        sim_check_folder(sim_node_at(c, i), &c->watches[i],
                         sim_node_at(c, i)->state == SIM_NODE_UP &&
                             !sim_node_at(c, i)->is_crashed);
    note_leader(c);
    sim_hush(false);
    for (unsigned i = 0; i < c->count; i++) {
        sim_check_twin(sim_node_at(c, i), &c->watches[i]);
        count_figures(c, i);
    }
}

/* R4 and R5, after a power cut. */
static void look_at_remains(struct sim_cluster *c, unsigned index)
{
    struct ldb_buf dump = LDB_BUF_INIT(ORACLES_DUMP_MAX);
    bool asks = c->oracles > 0;
    ldb_sequence sequence = 0;
    const char *why;

    if (!sim_check_opens(sim_node_at(c, index), &c->watches[index], &sequence,
                         &dump)) {
        ldb_buf_release(&dump);
        return;
    }
    c->counts->opened_by_us++;
    c->watches[index].has_current = true;
    if (asks) {
        c->oracles--;
        sim_hush(true);
        why = oracles_compare(sim_node_disk(sim_node_at(c, index)), SIM_DIR,
                              ldb_slice_of_buf(&dump));
        sim_hush(false);
        if (why != NULL)
            sim_fail("R4 %s at %" PRIu64 ": %s", sim_node_at(c, index)->name,
                     sequence, why);
        c->counts->opened_by_oracles++;
    }
    ldb_buf_release(&dump);
}

/* The dead are gone, and their disks are what was left of them. */
void sim_bury(struct sim_cluster *c, unsigned index)
{
    struct sim_node *node = sim_node_at(c, index);

    if (node->is_crashed)
        c->counts->crashes++;
    sim_node_await_end(node);
    if (!sim_env_is_dead(node->world))
        return;
    sim_env_revive(node->world);
    env_fault_fail(sim_env_fault(node->world), NULL);
    env_fault_disk_free(sim_env_fault(node->world));
    sim_watch_forget(&c->watches[index]);
    look_anew(c);
    sim_held_forget(&node->held);
    sim_look(c);
    look_at_remains(c, index);
}

/* ---- nodes come and go ---- */

/* What has failed stays so for a leader, but a full disk: until people start it
 * again. */
bool sim_is_sick(struct sim_node *node)
{
    bool is_sick = false;

    if (!sim_node_hold(node))
        return false;
    if (sim_node_leads(node) && api_db_gate_enter(node->context.gate)) {
        is_sick = ldb_health(node->context.db, NULL) != LDB_HEALTHY;
        api_db_gate_leave(node->context.gate);
    }
    sim_node_let_go(node);
    return is_sick;
}

void sim_raise_node(struct sim_cluster *c, unsigned index)
{
    struct sim_node *node = sim_node_at(c, index);

    if (index == c->leader && !node->is_follower)
        sim_node_set_role(node, NULL);
    else if (index != c->leader)
        sim_node_set_role(node, sim_node_at(c, c->leader));
    c->counts->restarts += node->starts > 0;
    sim_node_start(node);
}

/* Whoever is down is buried, and may come back. */
void sim_tend(struct sim_cluster *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct sim_node *node = sim_node_at(c, i);

        if (node->life != NULL && node->state == SIM_NODE_DOWN)
            sim_bury(c, i);
        if (node->life == NULL && c->changing == 0 && sim_one_in(12))
            sim_raise_node(c, i);
        if (!c->has_fault && sim_one_in(50) && sim_is_sick(node))
            sim_node_stop(node);
    }
}

/* ---- a life ---- */

static void choose_sizes(struct sim_sizes *out)
{
    *out = (struct sim_sizes){
        .write_buffer_bytes = (size_t)1 << sim_between(12, 16),
        .table_bytes = UINT64_C(1) << sim_between(12, 15),
        .level1_bytes = UINT64_C(1) << sim_between(13, 16),
        .manifest_rotate_bytes = UINT64_C(1) << sim_between(10, 14),
        .archive_bytes = UINT64_C(1) << sim_between(12, 20),
        .slot_bytes = UINT64_C(1) << sim_between(14, 20),
        .block_bytes = (size_t)1 << sim_between(9, 12),
        .immutable_memtables_max = (unsigned)sim_between(1, 4),
    };
}

static void begin(struct sim_cluster *c)
{
    choose_sizes(&c->sizes);
    c->count = sim_one_in(3) ? 2 : 3;
    for (unsigned i = 0; i < c->count; i++) {
        sim_node_init(sim_node_at(c, i), i, &c->sizes);
        sim_watch_init(&c->watches[i]);
        sim_env_slow_syncs(sim_node_at(c, i)->world, sim_below(20), 5000);
    }
    sim_client_init(&c->client, c->nodes, c->watches, c->count);
    sim_raise_node(c, 0);
    if (!sim_node_await_start(sim_node_at(c, 0)))
        sim_fail("the first start: %s", sim_node_at(c, 0)->err.message);
}

static void end(struct sim_cluster *c)
{
    struct sim_net_counts net;

    sim_net_counts(&net);
    c->counts->cuts += net.cuts;
    c->counts->reorders += net.late;
    c->counts->corruptions += net.flips;
    c->counts->epochs += sim_truth_count();
    c->counts->writes += c->client.writes;
    c->counts->acknowledged += c->client.ack_count;
    c->counts->seeds++;
    sim_client_release(&c->client);
    for (unsigned i = 0; i < c->count; i++) {
        sim_node_release(sim_node_at(c, i));
        sim_watch_release(&c->watches[i]);
    }
}

void sim_cluster_run(uint64_t seed, uint64_t steps, uint64_t oracles,
                     struct sim_counts *counts)
{
    static struct sim_cluster c; /* too large for a stack */

    sim_begin(seed);
    sim_net_begin();
    sim_truth_begin();
    c = (struct sim_cluster){.counts = counts, .oracles = oracles};
    begin(&c);
    for (uint64_t i = 0; i < steps; i++) {
        sim_befall(&c);
        sim_tend(&c);
        sim_look(&c);
        counts->steps++;
    }
    sim_peace(&c);
    end(&c);
    sim_truth_end();
    sim_net_end();
    sim_end();
}
