#include "tests/support/sim_peace.h"

#include <inttypes.h>
#include <stdio.h>

#include "storage/base/status.h"
#include "tests/support/sim_events.h"
#include "tests/support/sim_final.h"
#include "tests/support/sim_operator.h"
#include "tests/support/sim_versions.h"

/* For everybody to be the same once all is well: some backoffs, each of a few
 * seconds, and the longest wait for an answer. */
#define PEACE_US (UINT64_C(600) * 1000000)

/* Nothing has moved for so long: nothing will. */
#define CALM_US (UINT64_C(3) * 1000000)

/* Looks at who leads, until one does. */
#define SETTLE_ROUNDS 30

/* An operator looks after who is still not level by then. */
#define PATIENCE_US (UINT64_C(60) * 1000000)

/* For a folder to be copied: with no fault on the way; and where less of the
 * journals is kept than one copy takes, so that it depends on luck. */
#define BOOTSTRAP_US      (UINT64_C(60) * 1000000)
#define BOOTSTRAP_LONG_US (UINT64_C(600) * 1000000)

/* Journals that are written meanwhile, at most: what is kept of them, a block
 * of the disk at least for each, has room for many times that. */
#define BOOTSTRAP_BYTES  ((uint64_t)16 << 10)
#define BOOTSTRAP_PASSES 3

/* Of a link that takes a table some tenths of a second, and of writes that are
 * slower yet. The leader merges its tables once meanwhile, so many writes after
 * it holds a version at most. */
#define BOOTSTRAP_DELAY_US 10000
#define BOOTSTRAP_WRITE_US 20000
#define BOOTSTRAP_MERGE    30

static void make_peace(struct sim_cluster *c)
{
    sim_end_trouble(c);
    sim_client_await(&c->client);
    sim_await_changes(c);
}

/* All run; the one that led last first, then the others find it. */
static void raise_all(struct sim_cluster *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        if (sim_node_at(c, i)->is_worn || sim_is_sick(sim_node_at(c, i)))
            sim_node_stop(sim_node_at(c, i));
    }
    for (unsigned n = 0; n < c->count; n++) {
        unsigned i = (c->leader + n) % c->count;
        struct sim_node *node = sim_node_at(c, i);

        if (node->state == SIM_NODE_OPENING)
            LDB_IGNORE(sim_node_await_start(node));
        /* One that did not start may have died of a cut all the same. */
        if (sim_env_is_dead(node->world) ||
            (node->life != NULL &&
             (node->is_to_stop || node->state == SIM_NODE_DOWN)))
            sim_bury(c, i);
        if (node->life != NULL)
            continue;
        sim_raise_node(c, i);
        if (!sim_node_await_start(node))
            sim_trace("%s does not start: %s", node->name, node->err.message);
    }
    sim_look(c);
}

static unsigned count_leaders(struct sim_cluster *c)
{
    unsigned leaders = 0;

    for (unsigned i = 0; i < c->count; i++)
        leaders += sim_node_leads(sim_node_at(c, i));
    return leaders;
}

/* Of the followers that run: the one that has synced most of the latest epoch;
 * SIM_NODES_MAX: none runs. */
static unsigned find_heir(struct sim_cluster *c)
{
    unsigned heir = SIM_NODES_MAX;

    for (unsigned i = 0; i < c->count; i++) {
        const struct sim_watch *watch = &c->watches[i];

        if (sim_node_at(c, i)->state != SIM_NODE_UP)
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
static void settle_leadership(struct sim_cluster *c)
{
    for (unsigned round = 0; count_leaders(c) != 1; round++) {
        if (round == SETTLE_ROUNDS)
            sim_fail("%u nodes lead", count_leaders(c));
        for (unsigned i = 0; i < c->count && count_leaders(c) > 1; i++) {
            if (i != c->leader && sim_node_leads(sim_node_at(c, i)))
                sim_point_out(c, i);
        }
        if (count_leaders(c) == 0 && round > 2)
            sim_promote(c, find_heir(c));
        sim_await_changes(c);
        sim_sleep_us(5000000);
        raise_all(c);
    }
}

/* ---- all the same ---- */

/* The leader's MANIFEST, as it lies on its disk. */
static const struct sim_file *manifest_of(struct sim_cluster *c,
                                          const struct sim_history *history)
{
    static struct sim_version version; /* too large for a stack */
    const struct sim_file *file = NULL;

    sim_hush(true);
    if (sim_version_read(sim_node_disk(sim_node_at(c, c->leader)), SIM_DIR,
                         &version))
        file = sim_truth_file(history, LDB_FILE_MANIFEST, version.manifest);
    sim_hush(false);
    return file;
}

/* Whether the follower has all that the leader has; else why not. */
static bool is_level(struct sim_cluster *c, unsigned index,
                     char why[LDB_ERROR_MESSAGE_SIZE])
{
    const struct sim_history *history =
        sim_check_history(sim_node_at(c, c->leader));
    const struct sim_file *manifest = manifest_of(c, history);
    struct repl_follower_stats stats;
    ldb_sequence last = history->record_count == 0
                            ? 0
                            : history->records[history->record_count - 1].last;

    (void)snprintf(why, LDB_ERROR_MESSAGE_SIZE, "it does not follow");
    if (!sim_node_figures(sim_node_at(c, index), &stats))
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
           sim_check_reads(sim_node_at(c, index));
}

/* Whether all are, for so long that nothing goes on at the leader either. */
static bool are_level(struct sim_cluster *c, char why[LDB_ERROR_MESSAGE_SIZE],
                      unsigned *out_who)
{
    for (unsigned i = 0; i < c->count; i++) {
        *out_who = i;
        if (i != c->leader && !is_level(c, i, why))
            return false;
    }
    return true;
}

/* Who can follow nobody, nor can whoever is being made its twin: it has taken,
 * or begun, a later epoch than the leader's, the latest of all. SIM_NODES_MAX:
 * nobody. */
static unsigned find_later_epoch(struct sim_cluster *c)
{
    const struct sim_history *latest =
        sim_check_history(sim_node_at(c, c->leader));
    unsigned found = SIM_NODES_MAX;

    for (unsigned i = 0; i < c->count; i++) {
        const struct sim_history *history =
            sim_check_history(sim_node_at(c, i));

        if (history == NULL || latest == NULL ||
            history->epoch.number <= latest->epoch.number)
            continue;
        latest = history;
        found = i;
    }
    return found;
}

/* Then it is to lead: by itself where it was about to, or as people say. */
static void give_way(struct sim_cluster *c, unsigned index)
{
    unsigned before = c->leader;

    sim_node_stop(sim_node_at(c, before));
    sim_bury(c, before);
    if (sim_node_at(c, index)->life == NULL)
        sim_raise_node(c, index);
    if (sim_node_await_start(sim_node_at(c, index)) &&
        !sim_node_leads(sim_node_at(c, index)))
        sim_promote(c, index);
    sim_await_changes(c);
    raise_all(c);
}

static void help(struct sim_cluster *c, unsigned who)
{
    unsigned later = find_later_epoch(c);

    if (later != SIM_NODES_MAX)
        give_way(c, later);
    else
        sim_point_out(c, who);
}

static void await_levels(struct sim_cluster *c)
{
    uint64_t begun_us = sim_now_us();
    uint64_t told_us = begun_us;
    uint64_t level_us = UINT64_MAX;
    char why[LDB_ERROR_MESSAGE_SIZE] = "";
    unsigned who = 0;

    while (sim_now_us() < level_us || sim_now_us() - level_us < CALM_US) {
        sim_look(c);
        if (are_level(c, why, &who)) {
            if (level_us == UINT64_MAX)
                level_us = sim_now_us();
        } else {
            level_us = UINT64_MAX;
        }
        if (sim_now_us() - begun_us > PEACE_US)
            sim_fail("%s is not level with %s: %s", sim_node_at(c, who)->name,
                     sim_node_at(c, c->leader)->name, why);
        if (level_us == UINT64_MAX && sim_now_us() - told_us > PATIENCE_US) {
            told_us = sim_now_us();
            raise_all(c);
            help(c, who);
        }
        sim_sleep_us(100000);
    }
}

static void compare_all(struct sim_cluster *c)
{
    struct sim_node *leader = sim_node_at(c, c->leader);

    if (!sim_node_leads(leader))
        sim_fail("%s does not lead", leader->name);
    for (unsigned i = 0; i < c->count; i++) {
        if (i != c->leader)
            sim_final_same(leader, sim_node_at(c, i));
        if (!sim_check_reads(sim_node_at(c, i)))
            sim_fail("%s cannot be read", sim_node_at(c, i)->name);
    }
    sim_final_changes(leader);
}

/* ---- R10 ---- */

/* Tables are merged once, while the node takes the version that is held for
 * it. merge_in: writes until then; 0: it has begun. */
static void merge_when_due(struct sim_cluster *c, unsigned index,
                           uint64_t *merge_in)
{
    struct sim_versions versions;

    sim_versions_read(index, &versions);
    if (versions.made > 0 && *merge_in > 0 && --*merge_in == 0)
        sim_compact(c);
}

/* What is kept bounds how long a bootstrap may take. */
static bool keeps_enough(const struct sim_cluster *c)
{
    return c->sizes.archive_bytes >= 8 * BOOTSTRAP_BYTES &&
           c->sizes.slot_bytes >= 8 * BOOTSTRAP_BYTES;
}

/* A write now and then, until the node has had all that there was at once;
 * returns the bytes of journals that were written meanwhile. */
static uint64_t write_until_level(struct sim_cluster *c, struct sim_node *node,
                                  struct repl_follower_stats *stats)
{
    const struct sim_history *history =
        sim_check_history(sim_node_at(c, c->leader));
    uint64_t merge_in = sim_between(1, BOOTSTRAP_MERGE);
    uint64_t before = sim_truth_bytes(history);
    uint64_t begun_us = sim_now_us();
    uint64_t limit_us = keeps_enough(c) ? BOOTSTRAP_US : BOOTSTRAP_LONG_US;

    while (stats->state != REPL_FOLLOWER_STREAMING ||
           !repl_follower_is_level(stats)) {
        if (sim_now_us() - begun_us > limit_us)
            sim_fail("R10 the bootstrap of %s does not end: %s", node->name,
                     stats->why);
        if (c->client.under_way < 2)
            sim_client_write(&c->client, c->leader);
        sim_sleep_us(BOOTSTRAP_WRITE_US);
        merge_when_due(c, node->index, &merge_in);
        sim_look(c);
        LDB_IGNORE(sim_node_figures(node, stats));
    }
    return sim_truth_bytes(history) - before;
}

/*
 * In the time that what is kept allows for nothing of a version goes that the
 * node was given, whatever was merged; and it is one pass, and one more each
 * time that compactions of such small tables leave it behind.
 */
static void check_bootstrap(struct sim_cluster *c, struct sim_node *node,
                            const struct repl_follower_stats *stats,
                            uint64_t written)
{
    struct sim_versions versions;

    if (written >= BOOTSTRAP_BYTES || !keeps_enough(c))
        return;
    sim_versions_read(node->index, &versions);
    if (versions.refused > 0)
        sim_fail("R10 %s of the version that was held for %s was refused to "
                 "it, and %" PRIu64 " more",
                 versions.table, node->name, versions.refused - 1);
    if (stats->counts.rebuilds > BOOTSTRAP_PASSES)
        sim_fail("R10 the bootstrap of %s took %" PRIu64 " passes", node->name,
                 stats->counts.rebuilds);
}

/* A machine is lost, and another takes its place while the leader is written
 * to, over a link that is faster than that, but slow. */
static void bootstrap(struct sim_cluster *c)
{
    unsigned index =
        (c->leader + (unsigned)sim_between(1, c->count - 1)) % c->count;
    struct sim_node *node = sim_node_at(c, index);
    struct sim_link *link = sim_net_link(c->leader, index);
    struct repl_follower_stats stats = {0};
    uint64_t written;

    sim_node_stop(node);
    sim_bury(c, index);
    sim_node_wipe(node);
    sim_watch_release(&c->watches[index]);
    sim_watch_init(&c->watches[index]);
    sim_versions_forget(index);
    c->seen[index] = (struct repl_follower_counts){0};
    *link = (struct sim_link){.delay_us = BOOTSTRAP_DELAY_US, .piece_max = 512};
    sim_raise_node(c, index);
    if (!sim_node_await_start(node))
        sim_fail("R10 %s does not start: %s", node->name, node->err.message);
    written = write_until_level(c, node, &stats);
    check_bootstrap(c, node, &stats, written);
    *link = (struct sim_link){0};
    sim_client_await(&c->client);
    sim_await_changes(c);
    c->counts->bootstraps++;
}

/* ---- the end ---- */

static void close_all(struct sim_cluster *c)
{
    for (unsigned i = 0; i < c->count; i++) {
        sim_node_stop(sim_node_at(c, i));
        sim_bury(c, i);
    }
    sim_look(c);
}

void sim_peace(struct sim_cluster *c)
{
    make_peace(c);
    raise_all(c);
    settle_leadership(c);
    await_levels(c);
    compare_all(c);
    sim_final_acks(&c->client, sim_node_at(c, c->leader));
    bootstrap(c);
    await_levels(c);
    compare_all(c);
    close_all(c);
}
