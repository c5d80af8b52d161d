/*
 * What befalls a simulated cluster, and when it is looked at (contract:
 * sim_cluster.h).
 */
#include "tests/support/sim_cluster.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/db_gate.h"
#include "storage/base/status.h"
#include "tests/support/oracles.h"
#include "tests/support/sim_final.h"

/* For everybody to be the same once all is well: some backoffs, each of a few
 * seconds, and the longest wait for an answer. */
#define PEACE_US (UINT64_C(600) * 1000000)

/* Nothing has moved for so long: nothing will. */
#define CALM_US (UINT64_C(3) * 1000000)

/* Looks at who leads, until one does. */
#define SETTLE_ROUNDS 30

/* An operator looks after who is still not level by then. */
#define PATIENCE_US (UINT64_C(60) * 1000000)

/* For a folder to be copied: with no fault on the way. */
#define BOOTSTRAP_US (UINT64_C(60) * 1000000)

/* Journals that are written meanwhile, at most: what is kept of them, a block
 * of the disk at least for each, has room for many times that. */
#define BOOTSTRAP_BYTES  ((uint64_t)16 << 10)
#define BOOTSTRAP_PASSES 3

/* An operator's request under way. */
struct change {
    struct cluster *cluster;
    unsigned node;
    const char *verb;
    char body[64];
};

struct cluster {
    unsigned count;
    struct sim_sizes sizes;
    struct sim_node nodes[SIM_NODES_MAX];
    struct sim_watch watches[SIM_NODES_MAX];
    struct sim_client client;
    unsigned leader;   /* whom the operator takes for it */
    unsigned changing; /* changes under way */
    struct sim_queue changed;
    uint64_t silent_until_us;
    uint64_t faulty_until_us;
    unsigned faulty; /* a node whose disk fails now */
    bool has_fault;
    uint64_t oracles; /* states that they may open yet */
    struct repl_follower_counts seen[SIM_NODES_MAX]; /* of this life of it */
    struct sim_counts *counts;
};

static struct sim_node *node_at(struct cluster *c, unsigned index)
{
    return &c->nodes[index];
}

static unsigned any_node(const struct cluster *c)
{
    return (unsigned)sim_below(c->count);
}

/* ---- looking ---- */

/* What was counted by a follower since it was looked at. */
static void count_figures(struct cluster *c, unsigned index)
{
    struct repl_follower_counts *seen = &c->seen[index];
    struct repl_follower_stats stats;

    if (!sim_node_figures(node_at(c, index), &stats))
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
static void note_leader(struct cluster *c)
{
    uint64_t latest = 0;

    for (unsigned i = 0; i < c->count; i++) {
        const struct sim_history *history;

        if (!sim_node_leads(node_at(c, i)))
            continue;
        history = sim_check_history(node_at(c, i));
        if (history == NULL || history->epoch.number < latest)
            continue;
        latest = history->epoch.number;
        c->leader = i;
    }
}

/* R1 to R3, R6 to R8, of all. */
static void look(struct cluster *c)
{
    sim_hush(true);
    for (unsigned i = 0; i < c->count; i++)
        sim_node_note(node_at(c, i));
    for (unsigned i = 0; i < c->count; i++)
        sim_check_folder(node_at(c, i), &c->watches[i],
                         node_at(c, i)->state == SIM_NODE_UP &&
                             !node_at(c, i)->is_crashed);
    note_leader(c);
    sim_hush(false);
    for (unsigned i = 0; i < c->count; i++) {
        sim_check_twin(node_at(c, i), &c->watches[i]);
        count_figures(c, i);
    }
}

/* R4 and R5, after a power cut. */
static void look_at_remains(struct cluster *c, unsigned index)
{
    struct ldb_buf dump = LDB_BUF_INIT(ORACLES_DUMP_MAX);
    bool asks = c->oracles > 0;
    ldb_sequence sequence = 0;
    const char *why;

    if (!sim_check_opens(node_at(c, index), &c->watches[index], &sequence,
                         &dump)) {
        ldb_buf_release(&dump);
        return;
    }
    c->counts->opened_by_us++;
    c->watches[index].has_current = true;
    if (asks) {
        c->oracles--;
        sim_hush(true);
        why = oracles_compare(sim_node_disk(node_at(c, index)), SIM_DIR,
                              ldb_slice_of_buf(&dump));
        sim_hush(false);
        if (why != NULL)
            sim_fail("R4 %s at %" PRIu64 ": %s", node_at(c, index)->name,
                     sequence, why);
        c->counts->opened_by_oracles++;
    }
    ldb_buf_release(&dump);
}

/* The dead are gone, and their disks are what was left of them. */
static void bury(struct cluster *c, unsigned index)
{
    struct sim_node *node = node_at(c, index);

    if (node->is_crashed)
        c->counts->crashes++;
    sim_node_await_end(node);
    if (!sim_env_is_dead(node->world))
        return;
    sim_env_revive(node->world);
    env_fault_fail(sim_env_fault(node->world), NULL);
    env_fault_disk_free(sim_env_fault(node->world));
    sim_watch_forget(&c->watches[index]);
    look(c);
    look_at_remains(c, index);
}

/* ---- nodes come and go ---- */

/* What has failed stays so for a leader, but a full disk: until people start it
 * again. */
static bool is_sick(struct sim_node *node)
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

static void start_node(struct cluster *c, unsigned index)
{
    struct sim_node *node = node_at(c, index);

    if (index == c->leader && !node->is_follower)
        sim_node_set_role(node, NULL);
    else if (index != c->leader)
        sim_node_set_role(node, node_at(c, c->leader));
    c->counts->restarts += node->starts > 0;
    sim_node_start(node);
}

/* Whoever is down is buried, and may come back. */
static void tend(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        struct sim_node *node = node_at(c, i);

        if (node->life != NULL && node->state == SIM_NODE_DOWN)
            bury(c, i);
        if (node->life == NULL && c->changing == 0 && sim_one_in(12))
            start_node(c, i);
        if (!c->has_fault && sim_one_in(50) && is_sick(node))
            sim_node_stop(node);
    }
}

static void crash_node(struct cluster *c)
{
    struct sim_node *node = node_at(c, any_node(c));
    enum ldb_crash_keep keep = (enum ldb_crash_keep)sim_below(3);

    if (node->life == NULL || sim_env_is_dead(node->world))
        return;
    if (sim_one_in(3))
        sim_node_crash(node, keep);
    else
        sim_node_plan_crash(node, sim_between(1, 60), keep);
}

static void stop_node(struct cluster *c)
{
    struct sim_node *node = node_at(c, any_node(c));

    if (node->state == SIM_NODE_UP)
        sim_node_stop(node);
}

/* ---- the network ---- */

static void trouble_links(struct cluster *c)
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

static void silence_links(struct cluster *c)
{
    unsigned one = any_node(c);

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

static void end_silence(struct cluster *c)
{
    for (unsigned from = 0; from < c->count; from++) {
        for (unsigned to = 0; to < c->count; to++)
            sim_net_link(from, to)->is_silent = false;
    }
    c->silent_until_us = 0;
    sim_net_changed();
}

static void break_links(struct cluster *c)
{
    sim_net_break(any_node(c), any_node(c));
}

/* ---- disks ---- */

static void break_disk(struct cluster *c)
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
    c->faulty = any_node(c);
    if (node_at(c, c->faulty)->state != SIM_NODE_UP)
        return;
    fault = sim_env_fault(node_at(c, c->faulty)->world);
    c->has_fault = true;
    node_at(c, c->faulty)->is_worn = true;
    c->faulty_until_us = sim_now_us() + sim_between(1000, 3000000);
    c->counts->disk_faults++;
    sim_trace("the disk of %s fails", node_at(c, c->faulty)->name);
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

static void mend_disk(struct cluster *c)
{
    struct env_fault *fault;

    if (!c->has_fault)
        return;
    fault = sim_env_fault(node_at(c, c->faulty)->world);
    env_fault_fail(fault, NULL);
    env_fault_disk_free(fault);
    c->has_fault = false;
}

/* ---- operators ---- */

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
    struct cluster *c = change->cluster;
    struct ldb_buf answer = LDB_BUF_INIT((size_t)1 << 20);
    char target[64];
    unsigned status;

    (void)snprintf(target, sizeof(target), "/v1/admin/%s", change->verb);
    status = call_node(change->node, "POST", target, change->body, &answer);
    if (status == 202)
        status = await_task(change, &answer);
    sim_trace("%s of %s: %u %s", change->verb, node_at(c, change->node)->name,
              status, (const char *)answer.data);
    if (status == 200 && strcmp(change->verb, "promote") == 0)
        c->counts->promotions++;
    if (status == 200 && strcmp(change->verb, "handover") == 0)
        c->counts->handovers++;
    ldb_buf_release(&answer);
    c->changing--;
    sim_queue_wake_all(&c->changed);
    free(change);
}

static struct change *make_change(struct cluster *c, unsigned node,
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

static void promote(struct cluster *c, unsigned index)
{
    struct change *change;

    if (index == SIM_NODES_MAX)
        return;
    change = make_change(c, index, "promote");
    (void)snprintf(change->body, sizeof(change->body), "{\"force\":true}");
    send_change(change);
}

/* A follower is to lead when the leader is down. */
static void promote_node(struct cluster *c)
{
    unsigned index = any_node(c);

    if (c->changing == 0 && index != c->leader &&
        node_at(c, index)->state == SIM_NODE_UP &&
        node_at(c, c->leader)->life == NULL)
        promote(c, index);
}

static void hand_over(struct cluster *c)
{
    unsigned index = any_node(c);
    struct change *change;

    if (c->changing > 0 || index == c->leader ||
        node_at(c, index)->state != SIM_NODE_UP ||
        node_at(c, c->leader)->state != SIM_NODE_UP)
        return;
    change = make_change(c, c->leader, "handover");
    (void)snprintf(change->body, sizeof(change->body),
                   "{\"to\":\"%s\",\"timeout\":\"5s\"}",
                   node_at(c, index)->url);
    send_change(change);
}

static void compact(struct cluster *c)
{
    struct change *change;

    if (node_at(c, c->leader)->state != SIM_NODE_UP)
        return;
    change = make_change(c, c->leader, sim_one_in(2) ? "compact" : "flush");
    (void)snprintf(change->body, sizeof(change->body), "{}");
    send_change(change);
}

/* ---- a step ---- */

static void write_some(struct cluster *c)
{
    unsigned writes = (unsigned)sim_between(1, 4);

    for (unsigned i = 0; i < writes && c->client.under_way < 8; i++) {
        if (node_at(c, c->leader)->state == SIM_NODE_UP)
            sim_client_write(&c->client, c->leader);
    }
}

static void read_some(struct cluster *c)
{
    (void)sim_check_reads(node_at(c, any_node(c)));
}

struct event {
    unsigned weight; /* of a thousand */
    void (*happen)(struct cluster *c);
};

static const struct event events[] = {
    {700, write_some},   {60, read_some},   {30, trouble_links},
    {10, silence_links}, {40, break_links}, {24, crash_node},
    {8, stop_node},      {12, break_disk},  {30, promote_node},
    {6, hand_over},      {12, compact},
};

static void happen(struct cluster *c)
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

static void step(struct cluster *c)
{
    happen(c);
    sim_sleep_us(sim_one_in(20) ? sim_below(500000) : sim_below(5000));
    if (c->silent_until_us != 0 && sim_now_us() >= c->silent_until_us)
        end_silence(c);
    if (c->has_fault && sim_now_us() >= c->faulty_until_us)
        mend_disk(c);
    tend(c);
    look(c);
    c->counts->steps++;
}

/* ---- the end ---- */

static void await_changes(struct cluster *c)
{
    while (c->changing > 0) {
        if (!sim_queue_wait(&c->changed, PEACE_US, "changes to end"))
            sim_fail("%u changes do not end", c->changing);
    }
    look(c);
}

static void make_peace(struct cluster *c)
{
    for (unsigned from = 0; from < c->count; from++) {
        for (unsigned to = 0; to < c->count; to++)
            *sim_net_link(from, to) = (struct sim_link){0};
    }
    end_silence(c);
    mend_disk(c);
    sim_client_await(&c->client);
    await_changes(c);
    for (unsigned i = 0; i < c->count; i++)
        sim_node_plan_crash(node_at(c, i), 0, LDB_CRASH_KEEP_ALL);
}

/* Who stands still with another leader in mind is told, as people would. */
static void point_out(struct cluster *c, unsigned index)
{
    struct change *change = make_change(c, index, "demote");

    (void)snprintf(change->body, sizeof(change->body),
                   "{\"leader\":\"%s\",\"force\":true}",
                   node_at(c, c->leader)->url);
    send_change(change);
}

/* All run; the one that led last first, then the others find it. */
static void raise_all(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (node_at(c, i)->is_worn || is_sick(node_at(c, i)))
            sim_node_stop(node_at(c, i));
    }
    for (unsigned n = 0; n < c->count; n++) {
        unsigned i = (c->leader + n) % c->count;
        struct sim_node *node = node_at(c, i);

        if (node->state == SIM_NODE_OPENING)
            LDB_IGNORE(sim_node_await_start(node));
        if (node->life != NULL &&
            (node->is_to_stop || node->state == SIM_NODE_DOWN))
            bury(c, i);
        if (node->life != NULL)
            continue;
        start_node(c, i);
        if (!sim_node_await_start(node))
            sim_trace("%s does not start: %s", node->name, node->err.message);
    }
    look(c);
}

static unsigned count_leaders(struct cluster *c)
{
    unsigned leaders = 0;

    for (unsigned i = 0; i < c->count; i++)
        leaders += sim_node_leads(node_at(c, i));
    return leaders;
}

/* Of the followers that run: the one that has synced most of the latest epoch;
 * SIM_NODES_MAX: none runs. */
static unsigned find_heir(struct cluster *c)
{
    unsigned heir = SIM_NODES_MAX;

    for (unsigned i = 0; i < c->count; i++) {
        const struct sim_watch *watch = &c->watches[i];

        if (node_at(c, i)->state != SIM_NODE_UP)
            continue;
        if (heir == SIM_NODES_MAX ||
            watch->synced_epoch > c->watches[heir].synced_epoch ||
            (watch->synced_epoch == c->watches[heir].synced_epoch &&
             watch->synced > c->watches[heir].synced))
            heir = i;
    }
    return heir;
}

/* An operator sees to it that one leads. */
static void settle_leadership(struct cluster *c)
{
    for (unsigned round = 0; count_leaders(c) != 1; round++) {
        if (round == SETTLE_ROUNDS)
            sim_fail("%u nodes lead", count_leaders(c));
        for (unsigned i = 0; i < c->count && count_leaders(c) > 1; i++) {
            if (i != c->leader && sim_node_leads(node_at(c, i)))
                point_out(c, i);
        }
        if (count_leaders(c) == 0 && round > 2)
            promote(c, find_heir(c));
        await_changes(c);
        sim_sleep_us(5000000);
        raise_all(c);
    }
}

/* The leader's MANIFEST, as it lies on its disk. */
static const struct sim_file *manifest_of(struct cluster *c,
                                          const struct sim_history *history)
{
    static struct sim_version version; /* too large for a stack */
    const struct sim_file *file = NULL;

    sim_hush(true);
    if (sim_version_read(sim_node_disk(node_at(c, c->leader)), SIM_DIR,
                         &version))
        file = sim_truth_file(history, LDB_FILE_MANIFEST, version.manifest);
    sim_hush(false);
    return file;
}

/* Whether the follower has all that the leader has; else why not. */
static bool is_level(struct cluster *c, unsigned index,
                     char why[LDB_ERROR_MESSAGE_SIZE])
{
    const struct sim_history *history =
        sim_check_history(node_at(c, c->leader));
    const struct sim_file *manifest = manifest_of(c, history);
    struct repl_follower_stats stats;
    ldb_sequence last = history->record_count == 0
                            ? 0
                            : history->records[history->record_count - 1].last;

    (void)snprintf(why, LDB_ERROR_MESSAGE_SIZE, "it does not follow");
    if (!sim_node_figures(node_at(c, index), &stats))
        return false;
    (void)snprintf(
        why, LDB_ERROR_MESSAGE_SIZE,
        "%s, synced %" PRIu64 " of %" PRIu64 " (%" PRIu64 " at %" PRIu64
        ", heard %" PRIu64 " at %" PRIu64 "), MANIFEST-%06" PRIu64 " %" PRIu64
        " (heard %" PRIu64 ") of %06" PRIu64 " %zu; %.100s",
        repl_follower_state_text(stats.state), stats.synced.sequence, last,
        stats.written.journal, stats.written.offset,
        stats.heartbeat.durable.journal, stats.heartbeat.durable.offset,
        stats.manifest_number, stats.manifest_len, stats.heartbeat.manifest_len,
        manifest->number, manifest->bytes.len, stats.why);
    return stats.state == REPL_FOLLOWER_STREAMING &&
           stats.synced.sequence >= last &&
           stats.manifest_number == manifest->number &&
           stats.manifest_len == manifest->bytes.len &&
           sim_check_reads(node_at(c, index));
}

/* Whether all are, for so long that nothing goes on at the leader either. */
static bool are_level(struct cluster *c, char why[LDB_ERROR_MESSAGE_SIZE],
                      unsigned *out_who)
{
    for (unsigned i = 0; i < c->count; i++) {
        *out_who = i;
        if (i != c->leader && !is_level(c, i, why))
            return false;
    }
    return true;
}

/* Whether it can follow nobody: it has taken, or begun, a later epoch than the
 * leader's. */
static bool knows_later_epoch(struct cluster *c, unsigned index)
{
    const struct sim_history *ours = sim_check_history(node_at(c, index));
    const struct sim_history *theirs = sim_check_history(node_at(c, c->leader));

    return ours != NULL && theirs != NULL &&
           ours->epoch.number > theirs->epoch.number;
}

/* Then it is to lead: by itself where it was about to, or as people say. */
static void give_way(struct cluster *c, unsigned index)
{
    unsigned before = c->leader;

    sim_node_stop(node_at(c, before));
    bury(c, before);
    if (node_at(c, index)->life == NULL)
        start_node(c, index);
    if (sim_node_await_start(node_at(c, index)) &&
        !sim_node_leads(node_at(c, index)))
        promote(c, index);
    await_changes(c);
    raise_all(c);
}

static void await_levels(struct cluster *c)
{
    uint64_t begun_us = sim_now_us();
    uint64_t told_us = begun_us;
    uint64_t level_us = UINT64_MAX;
    char why[LDB_ERROR_MESSAGE_SIZE] = "";
    unsigned who = 0;

    while (sim_now_us() < level_us || sim_now_us() - level_us < CALM_US) {
        look(c);
        if (are_level(c, why, &who)) {
            if (level_us == UINT64_MAX)
                level_us = sim_now_us();
        } else {
            level_us = UINT64_MAX;
        }
        if (sim_now_us() - begun_us > PEACE_US)
            sim_fail("%s is not level with %s: %s", node_at(c, who)->name,
                     node_at(c, c->leader)->name, why);
        if (level_us == UINT64_MAX && sim_now_us() - told_us > PATIENCE_US) {
            told_us = sim_now_us();
            raise_all(c);
            if (knows_later_epoch(c, who))
                give_way(c, who);
            else
                point_out(c, who);
        }
        sim_sleep_us(100000);
    }
}

static void compare_all(struct cluster *c)
{
    struct sim_node *leader = node_at(c, c->leader);

    if (!sim_node_leads(leader))
        sim_fail("%s does not lead", leader->name);
    for (unsigned i = 0; i < c->count; i++) {
        if (i != c->leader)
            sim_final_same(leader, node_at(c, i));
        if (!sim_check_reads(node_at(c, i)))
            sim_fail("%s cannot be read", node_at(c, i)->name);
    }
    sim_final_changes(leader);
}

/* ---- R10 ---- */

/* A write now and then, until the node has had all that there was at once;
 * returns the bytes of journals that were written meanwhile. */
static uint64_t write_until_level(struct cluster *c, struct sim_node *node,
                                  struct repl_follower_stats *stats)
{
    const struct sim_history *history =
        sim_check_history(node_at(c, c->leader));
    uint64_t before = sim_truth_bytes(history);
    uint64_t begun_us = sim_now_us();

    while (stats->state != REPL_FOLLOWER_STREAMING ||
           !repl_follower_is_level(stats)) {
        if (sim_now_us() - begun_us > BOOTSTRAP_US)
            sim_fail("R10 the bootstrap of %s does not end: %s", node->name,
                     stats->why);
        if (c->client.under_way < 2)
            sim_client_write(&c->client, c->leader);
        sim_sleep_us(10000);
        look(c);
        LDB_IGNORE(sim_node_figures(node, stats));
    }
    return sim_truth_bytes(history) - before;
}

/* A machine is lost, and another takes its place while the leader is written
 * to, over a link that is faster than that, but slow. */
static void bootstrap(struct cluster *c)
{
    unsigned index =
        (c->leader + (unsigned)sim_between(1, c->count - 1)) % c->count;
    struct sim_node *node = node_at(c, index);
    struct sim_link *link = sim_net_link(c->leader, index);
    struct repl_follower_stats stats = {0};
    uint64_t written;

    sim_node_stop(node);
    bury(c, index);
    sim_node_wipe(node);
    sim_watch_release(&c->watches[index]);
    sim_watch_init(&c->watches[index]);
    c->seen[index] = (struct repl_follower_counts){0};
    *link = (struct sim_link){.delay_us = 3000, .piece_max = 512};
    start_node(c, index);
    if (!sim_node_await_start(node))
        sim_fail("R10 %s does not start: %s", node->name, node->err.message);
    written = write_until_level(c, node, &stats);
    /* What is kept bounds how long a bootstrap may take. One pass, and one more
     * each time that compactions of such small tables leave it behind. */
    if (stats.counts.rebuilds > BOOTSTRAP_PASSES && written < BOOTSTRAP_BYTES &&
        c->sizes.archive_bytes >= 8 * BOOTSTRAP_BYTES &&
        c->sizes.slot_bytes >= 8 * BOOTSTRAP_BYTES)
        sim_fail("R10 the bootstrap of %s took %" PRIu64 " passes", node->name,
                 stats.counts.rebuilds);
    *link = (struct sim_link){0};
    sim_client_await(&c->client);
    c->counts->bootstraps++;
}

static void close_all(struct cluster *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        sim_node_stop(node_at(c, i));
        bury(c, i);
    }
    look(c);
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

static void begin(struct cluster *c)
{
    choose_sizes(&c->sizes);
    c->count = sim_one_in(3) ? 2 : 3;
    for (unsigned i = 0; i < c->count; i++) {
        sim_node_init(node_at(c, i), i, &c->sizes);
        sim_watch_init(&c->watches[i]);
        sim_env_slow_syncs(node_at(c, i)->world, sim_below(20), 5000);
    }
    sim_client_init(&c->client, c->nodes, c->watches, c->count);
    start_node(c, 0);
    if (!sim_node_await_start(node_at(c, 0)))
        sim_fail("the first start: %s", node_at(c, 0)->err.message);
}

static void end(struct cluster *c)
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
        sim_node_release(node_at(c, i));
        sim_watch_release(&c->watches[i]);
    }
}

void sim_cluster_run(uint64_t seed, uint64_t steps, uint64_t oracles,
                     struct sim_counts *counts)
{
    static struct cluster c; /* too large for a stack */

    sim_begin(seed);
    sim_net_begin();
    sim_truth_begin();
    c = (struct cluster){.counts = counts, .oracles = oracles};
    begin(&c);
    for (uint64_t i = 0; i < steps; i++)
        step(&c);
    make_peace(&c);
    raise_all(&c);
    settle_leadership(&c);
    await_levels(&c);
    compare_all(&c);
    sim_final_acks(&c.client, node_at(&c, c.leader));
    bootstrap(&c);
    await_levels(&c);
    compare_all(&c);
    close_all(&c);
    end(&c);
    sim_truth_end();
    sim_net_end();
    sim_end();
}
