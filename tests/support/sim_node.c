#include "tests/support/sim_node.h"

#include <stdio.h>
#include <string.h>

#include "api/node_ops.h"
#include "api/role.h"
#include "replication/rebuild_intent.h"
#include "service/engine_options.h"
#include "service/node_run_internal.h"
#include "storage/base/status.h"
#include "tests/support/sim_truth.h"

/* Between two times that a node keeps house: as service/ does. */
#define TICK_US UINT64_C(250000)

static struct sim_sizes sizes; /* of all nodes */

/* ---- service/engine_options.h ---- */

void svc_engine_options(const struct svc_config *config, struct ldb_env *env,
                        struct ldb_options *out)
{
    ldb_options_init(out);
    out->env = env;
    out->create_if_missing = config->create;
    out->write_buffer_bytes = sizes.write_buffer_bytes;
    out->immutable_memtables_max = sizes.immutable_memtables_max;
    out->table_bytes = sizes.table_bytes;
    out->level1_bytes = sizes.level1_bytes;
    out->level_multiplier = 4;
    out->block_bytes = sizes.block_bytes;
    out->row_cache_bytes = (size_t)16 << 10;
    out->manifest_rotate_bytes = sizes.manifest_rotate_bytes;
    out->archive_bytes = sizes.archive_bytes;
    out->archive_age_us = config->archive_age_us;
    out->block_cache_bytes = (size_t)64 << 10;
    out->open_tables_max = 64;
    out->batch_bytes_max = (size_t)1 << 20;
    out->write_queue_bytes_max = (size_t)4 << 20;
    out->sync_interval_us = config->sync_interval_us;
}

void sim_node_engine_options(const struct sim_node *node, struct ldb_env *env,
                             struct ldb_options *out)
{
    svc_engine_options(&node->config, env, out);
}

/* ---- making one ---- */

static char *no_environment(const char *name)
{
    (void)name;
    return NULL;
}

static void parse_config(struct sim_node *node)
{
    char *argv[6];
    int count = 0;
    struct ldb_error err = {0};

#define ADD(...)                                                               \
    ((void)snprintf(node->flags[count], sizeof(node->flags[0]), __VA_ARGS__),  \
     argv[count] = node->flags[count], count++)
    ADD("--data=%s", SIM_DIR);
    ADD("--advertise=%s", node->url);
    ADD("--peers=http://a,http://b,http://c");
    ADD("--follower-writes=reject");
    if (node->is_follower) {
        ADD("--role=follower");
        ADD("--leader=%s", node->leader);
    }
#undef ADD
    if (svc_config_parse(count, argv, no_environment, &err, &node->config) !=
        LDB_OK)
        sim_fail("configuration of %s: %s", node->name, err.message);
    node->config.slot_bytes = sizes.slot_bytes;
    node->config.disk_reserve_bytes = 0;
    node->config.sync_interval_us = 20000;
}

/*
 * A file is about to go, or the folder to be of another epoch: what it was is
 * noted first, or who looks between steps would never have seen it.
 */
static void note_before(void *context, const char *path)
{
    struct sim_node *node = context;
    const char *name = strrchr(path, '/');
    uint64_t number = 0;
    enum ldb_file_type type =
        ldb_file_name_parse(name == NULL ? path : name + 1, &number);

    /* A rebuild is over when its intent goes. */
    if (name != NULL && strcmp(name, "/" REPL_REBUILD_FILE) == 0)
        node->held.is_remade = true;
    if (type != LDB_FILE_JOURNAL && type != LDB_FILE_TABLE &&
        type != LDB_FILE_MANIFEST && strstr(path, "/epochs") == NULL &&
        strstr(path, "/role") == NULL)
        return;
    sim_hush(true);
    sim_node_note(node);
    if (type == LDB_FILE_JOURNAL)
        sim_held_note(&node->held, sim_node_disk(node), SIM_DIR);
    sim_hush(false);
}

static void make_world(struct sim_node *node)
{
    node->world = sim_env_create(node->name);
    sim_env_watch_names(node->world, note_before, node);
}

void sim_node_init(struct sim_node *node, unsigned index,
                   const struct sim_sizes *chosen)
{
    *node = (struct sim_node){.index = index};
    sizes = *chosen;
    node->name[0] = (char)('a' + index);
    (void)snprintf(node->url, sizeof(node->url), "http://%s", node->name);
    make_world(node);
    parse_config(node);
}

void sim_node_release(struct sim_node *node)
{
    assert(node->state == SIM_NODE_DOWN && node->life == NULL);
    sim_env_destroy(node->world);
    sim_held_release(&node->held);
}

void sim_node_wipe(struct sim_node *node)
{
    assert(node->state == SIM_NODE_DOWN && node->life == NULL);
    sim_env_destroy(node->world);
    sim_held_forget(&node->held);
    make_world(node);
}

void sim_node_set_role(struct sim_node *node, const struct sim_node *leader)
{
    node->is_follower = leader != NULL;
    (void)snprintf(node->leader, sizeof(node->leader), "%s",
                   leader == NULL ? "" : leader->url);
    parse_config(node);
}

/* ---- its life ---- */

static void set_state(struct sim_node *node, enum sim_node_state state)
{
    node->state = state;
    sim_queue_wake_all(&node->changed);
}

static enum ldb_status open_node(struct sim_node *node)
{
    struct ldb_env *env = sim_env_env(node->world);
    struct svc_http_server *http;
    enum ldb_status s = api_context_init(&node->context, NULL, env, &node->err);

    if (s != LDB_OK)
        return s;
    node->context.data_dir = node->config.data_dir;
    node->context.disk_reserve_bytes = 0;
    node->context.follower_writes = node->config.follower_writes;
    s = svc_node_open(&node->config, env, &node->context, &node->err,
                      &node->svc);
    if (s != LDB_OK)
        return s;
    http = sim_net_serve(node->index, &node->context);
    return svc_node_start(node->svc, http, node->url, &node->err);
}

/* In the order of service/lifecycle.c. */
static void close_node(struct sim_node *node)
{
    struct ldb_error err = {0};
    enum ldb_status s;

    if (node->svc != NULL)
        svc_node_drain(node->svc);
    sim_net_stop(node->index);
    api_context_close(&node->context);
    if (node->svc != NULL) {
        s = svc_node_close(node->svc, &err);
        node->svc = NULL;
        sim_trace("%s closed: %s", node->name,
                  s == LDB_OK ? "ok" : err.message);
    }
    sim_net_close(node->index);
    api_context_release(&node->context);
}

static void tick(struct sim_node *node)
{
    api_context_tick(&node->context);
    svc_node_tick(node->svc);
}

static void keep_house(struct sim_node *node)
{
    uint64_t next_us = sim_now_us() + TICK_US;

    while (!node->is_to_stop) {
        uint64_t now_us = sim_now_us();

        if (now_us < next_us) {
            LDB_IGNORE(sim_queue_wait(&node->changed, next_us - now_us,
                                      "the next tick"));
            continue;
        }
        tick(node);
        next_us = sim_now_us() + TICK_US;
    }
}

static void live(void *context)
{
    struct sim_node *node = context;
    enum ldb_status s = open_node(node);

    if (s != LDB_OK) {
        sim_trace("%s does not start: %s", node->name, node->err.message);
        node->is_failed = true;
    } else {
        set_state(node, SIM_NODE_UP);
        keep_house(node);
    }
    set_state(node, SIM_NODE_CLOSING);
    while (node->users > 0)
        LDB_IGNORE(
            sim_queue_wait(&node->changed, UINT64_MAX, "who looks at it"));
    close_node(node);
    set_state(node, SIM_NODE_DOWN);
}

void sim_node_start(struct sim_node *node)
{
    assert(node->state == SIM_NODE_DOWN && node->life == NULL);
    assert(!sim_env_is_dead(node->world));
    node->is_to_stop = false;
    node->is_failed = false;
    node->is_crashed = false;
    node->is_worn = false;
    node->err = (struct ldb_error){0};
    node->starts++;
    sim_net_revive(node->index);
    set_state(node, SIM_NODE_OPENING);
    node->life = sim_spawn(node->name, live, node);
}

bool sim_node_await_start(struct sim_node *node)
{
    while (node->state == SIM_NODE_OPENING)
        LDB_IGNORE(
            sim_queue_wait(&node->changed, UINT64_MAX, "a node to open"));
    if (!node->is_failed)
        return true;
    sim_node_await_end(node);
    return false;
}

void sim_node_stop(struct sim_node *node)
{
    node->is_to_stop = true;
    sim_queue_wake_all(&node->changed);
}

void sim_node_await_end(struct sim_node *node)
{
    if (node->life == NULL)
        return;
    sim_join(node->life);
    node->life = NULL;
    assert(node->state == SIM_NODE_DOWN);
}

/* ---- power ---- */

static void note_crash(void *context)
{
    struct sim_node *node = context;

    node->is_crashed = true;
    node->is_to_stop = true;
    sim_net_kill(node->index);
    sim_queue_wake_all(&node->changed);
}

void sim_node_crash(struct sim_node *node, enum ldb_crash_keep keep)
{
    if (sim_env_is_dead(node->world))
        return;
    sim_env_crash(node->world, keep);
    note_crash(node);
}

void sim_node_plan_crash(struct sim_node *node, uint64_t calls,
                         enum ldb_crash_keep keep)
{
    sim_env_plan_crash(node->world, calls, keep, note_crash, node);
}

/* ---- looking at it ---- */

bool sim_node_is_to_lead(struct sim_node *node)
{
    struct repl_role_file file;
    struct ldb_error err = {0};
    enum ldb_status s;

    if (node->svc != NULL)
        return node->svc->role.now.role == REPL_ROLE_LEADER;
    s = repl_role_file_load(sim_node_disk(node), SIM_DIR, &err, &file);
    if (s != LDB_OK && s != LDB_NOT_FOUND)
        sim_fail("the role of %s: %s", node->name, err.message);
    /* Flags that were changed win. */
    if (s == LDB_OK &&
        (file.configured.role == REPL_ROLE_FOLLOWER) == node->is_follower &&
        strcmp(file.configured.leader_url, node->leader) == 0)
        return file.now.role == REPL_ROLE_LEADER;
    return !node->is_follower;
}

void sim_node_note(struct sim_node *node)
{
    bool leads = sim_node_is_to_lead(node);

    node->was_to_lead = node->was_to_lead || leads;
    sim_truth_note(node->index, leads, sim_node_disk(node), SIM_DIR);
}

bool sim_node_hold(struct sim_node *node)
{
    if (node->state != SIM_NODE_UP || node->is_crashed)
        return false;
    node->users++;
    return true;
}

void sim_node_let_go(struct sim_node *node)
{
    node->users--;
    sim_queue_wake_all(&node->changed);
}

bool sim_node_figures(struct sim_node *node, struct repl_follower_stats *out)
{
    struct api_following following = {0};
    bool follows;

    if (!sim_node_hold(node))
        return false;
    follows = !sim_node_leads(node) &&
              node->context.node_ops->following(node->context.node, &following);
    if (follows)
        *out = following.stats;
    sim_node_let_go(node);
    return follows;
}

bool sim_node_leads(const struct sim_node *node)
{
    return node->state == SIM_NODE_UP && !node->is_crashed &&
           api_role_get(node->context.role) == REPL_ROLE_LEADER &&
           node->svc->leader != NULL;
}

struct ldb_env *sim_node_disk(struct sim_node *node)
{
    return env_fault_below(sim_env_fault(node->world));
}
