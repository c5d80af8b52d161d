/*
 * A node of a simulated cluster: `leveld serve` without its sockets. The node
 * of service/node_run.h with the handlers of api/, in a world of its own
 * (sim_env.h), served over the simulated network (sim_net.h).
 *
 * A node's life is one fiber that opens the folder, keeps house a few times a
 * second, and closes it when it is told to stop, or when the power goes: then
 * everything fails that it does, until it is gone.
 *
 * Stands for service/engine_options.c too: what a configuration does not say
 * of the engine is small here, so that a few writes fill files.
 */
#ifndef TESTS_SUPPORT_SIM_NODE_H
#define TESTS_SUPPORT_SIM_NODE_H

#include "api/context.h"
#include "replication/repl_stats.h"
#include "service/config.h"
#include "tests/support/sim_env.h"
#include "tests/support/sim_held.h"
#include "tests/support/sim_net.h"
#include "tests/support/sim_sched.h"

struct svc_node;

#define SIM_DIR "data"

enum sim_node_state {
    SIM_NODE_DOWN,
    SIM_NODE_OPENING,
    SIM_NODE_UP,
    SIM_NODE_CLOSING,
};

/* What nodes have in common; chosen anew for each seed. */
struct sim_sizes {
    size_t write_buffer_bytes;
    uint64_t table_bytes;
    uint64_t level1_bytes;
    uint64_t manifest_rotate_bytes;
    uint64_t archive_bytes;
    uint64_t slot_bytes;
    size_t block_bytes;
    unsigned immutable_memtables_max;
};

struct sim_node {
    unsigned index;
    char name[2]; /* "a" */
    char url[16]; /* "http://a" */
    struct sim_env *world;
    struct svc_config config;
    char flags[6][64];
    bool is_follower; /* as its flags say */
    char leader[16];  /* URL; of a follower */

    enum sim_node_state state;
    bool is_to_stop;
    bool is_crashed; /* since it was started */
    struct sim_fiber *life;
    struct sim_queue changed;
    struct api_context context;
    unsigned users;       /* who look at it: it is not closed meanwhile */
    struct svc_node *svc; /* while it is open */
    struct ldb_error err; /* why it could not be opened */
    bool is_failed;       /* to open, the last time */
    bool is_worn;         /* its disk has failed since it was started */
    bool was_to_lead;     /* since who looks has last forgotten it */
    struct sim_held held; /* in its folder */
    uint64_t starts;
};

void sim_node_init(struct sim_node *node, unsigned index,
                   const struct sim_sizes *chosen);
/* Down. */
void sim_node_release(struct sim_node *node);

/* The folder is lost, and the machine another. Down. */
void sim_node_wipe(struct sim_node *node);

/* As what it begins at the next start; leader: of a follower, or NULL. */
void sim_node_set_role(struct sim_node *node, const struct sim_node *leader);

/* Begins to open it; it is DOWN, and its power on. */
void sim_node_start(struct sim_node *node);
/* Until it is UP; false: it could not be opened, and is DOWN. */
bool sim_node_await_start(struct sim_node *node);

/* Begins to close it; then, or crashed, waits until it is DOWN. */
void sim_node_stop(struct sim_node *node);
void sim_node_await_end(struct sim_node *node);

/* The power goes, now or at a moment to come; it is to be awaited and its world
 * revived before the next start. */
void sim_node_crash(struct sim_node *node, enum ldb_crash_keep keep);
void sim_node_plan_crash(struct sim_node *node, uint64_t calls,
                         enum ldb_crash_keep keep);

/* It is UP, and leads at this moment. */
bool sim_node_leads(const struct sim_node *node);
/* That is what it is to do, running or not. */
bool sim_node_is_to_lead(struct sim_node *node);

/* Its folder becomes known to sim_truth.h; all stands still. */
void sim_node_note(struct sim_node *node);

/* True: it is UP, and stays open until let go. */
bool sim_node_hold(struct sim_node *node);
void sim_node_let_go(struct sim_node *node);
/* What it says of itself as a follower; false: it is none, or not UP. */
bool sim_node_figures(struct sim_node *node, struct repl_follower_stats *out);

/* The folder's env from outside: its disk as it is, until the next power cut.
 */
struct ldb_env *sim_node_disk(struct sim_node *node);

/* How databases of such a folder are opened by others. */
void sim_node_engine_options(const struct sim_node *node, struct ldb_env *env,
                             struct ldb_options *out);

#endif
