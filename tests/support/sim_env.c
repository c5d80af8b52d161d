#include "tests/support/sim_env.h"

#include <stdlib.h>
#include <string.h>

#include "storage/base/status.h"
#include "tests/support/sim_sched.h"

/* The wall's clock of a world stands some time after 2020. */
#define WALL_US (UINT64_C(50) * 365 * 24 * 3600 * 1000000)

/* Calls of the disk between which others run for sure. Chosen: some in each
 * flush. */
#define YIELD_ONE_IN 16

struct sim_env {
    struct ldb_env env; /* first: ops get it back */
    const char *name;
    struct env_fault *fault;
    struct ldb_env *disk;
    bool is_dead;
    uint64_t clock_ahead_us;
    uint64_t slow_one_in;
    uint64_t slow_us;
    uint64_t changes;

    void (*watch)(void *context, const char *path);
    void *watcher;

    uint64_t crash_in; /* 0: none is planned */
    enum ldb_crash_keep crash_keep;
    void (*told)(void *context);
    void *context;
};

static struct ldb_env *disk_of(struct ldb_env *env)
{
    return ((struct sim_env *)env)->disk;
}

/* ---- each call ---- */

static void carry_out_crash(struct sim_env *world)
{
    sim_env_crash(world, world->crash_keep);
    if (world->told != NULL)
        world->told(world->context);
}

/* The hook of the disk's env: no lock is held. */
static void before_call(void *context, enum env_fault_kind kind,
                        const char *path)
{
    struct sim_env *world = context;
    unsigned bit = ENV_FAULT_BIT(kind);

    if (sim_is_hushed())
        return;
    if ((kind == ENV_FAULT_RENAME_FILE || kind == ENV_FAULT_REMOVE_FILE) &&
        world->watch != NULL && !world->is_dead)
        world->watch(world->watcher, path);
    if ((bit & ENV_FAULT_WRITES) != 0) {
        world->changes++;
        if (world->crash_in > 0 && --world->crash_in == 0)
            carry_out_crash(world);
    }
    if ((bit & (ENV_FAULT_BIT(ENV_FAULT_SYNC) |
                ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR))) != 0 &&
        !world->is_dead && world->slow_one_in > 0)
        sim_sleep_us(sim_one_in(world->slow_one_in) ? sim_below(world->slow_us)
                                                    : sim_below(100));
    else if (sim_one_in(YIELD_ONE_IN))
        sim_yield();
}

/* ---- files: the disk's ---- */

static enum ldb_status open_writable(struct ldb_env *env, const char *path,
                                     enum ldb_open_mode mode,
                                     struct ldb_error *err,
                                     struct ldb_writable_file **out)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->open_writable(disk, path, mode, err, out);
}

static enum ldb_status open_mapped(struct ldb_env *env, const char *path,
                                   uint64_t window, struct ldb_error *err,
                                   struct ldb_writable_file **out)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->open_mapped(disk, path, window, err, out);
}

static enum ldb_status open_random(struct ldb_env *env, const char *path,
                                   struct ldb_error *err,
                                   struct ldb_random_file **out)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->open_random(disk, path, err, out);
}

static enum ldb_status open_sequential(struct ldb_env *env, const char *path,
                                       struct ldb_error *err,
                                       struct ldb_sequential_file **out)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->open_sequential(disk, path, err, out);
}

static enum ldb_status file_size(struct ldb_env *env, const char *path,
                                 struct ldb_error *err, uint64_t *out_size)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->file_size(disk, path, err, out_size);
}

static enum ldb_status list_dir(struct ldb_env *env, const char *path,
                                ldb_list_visit visit, void *context,
                                struct ldb_error *err)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->list_dir(disk, path, visit, context, err);
}

static enum ldb_status create_dir(struct ldb_env *env, const char *path,
                                  struct ldb_error *err)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->create_dir(disk, path, err);
}

static enum ldb_status remove_dir(struct ldb_env *env, const char *path,
                                  struct ldb_error *err)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->remove_dir(disk, path, err);
}

static enum ldb_status remove_file(struct ldb_env *env, const char *path,
                                   struct ldb_error *err)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->remove_file(disk, path, err);
}

static enum ldb_status rename_file(struct ldb_env *env, const char *from,
                                   const char *to, struct ldb_error *err)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->rename_file(disk, from, to, err);
}

static enum ldb_status link_file(struct ldb_env *env, const char *from,
                                 const char *to, struct ldb_error *err)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->link_file(disk, from, to, err);
}

static enum ldb_status sync_dir(struct ldb_env *env, const char *path,
                                struct ldb_error *err)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->sync_dir(disk, path, err);
}

static enum ldb_status lock_file(struct ldb_env *env, const char *path,
                                 bool shared, struct ldb_error *err,
                                 struct ldb_file_lock **out)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->lock_file(disk, path, shared, err, out);
}

static void unlock_file(struct ldb_env *env, struct ldb_file_lock *lock)
{
    struct ldb_env *disk = disk_of(env);

    disk->ops->unlock_file(disk, lock);
}

static enum ldb_status free_space(struct ldb_env *env, const char *path,
                                  struct ldb_error *err, uint64_t *out_bytes)
{
    struct ldb_env *disk = disk_of(env);

    return disk->ops->free_space(disk, path, err, out_bytes);
}

/* ---- clock, chance, threads: the scheduler's ---- */

static uint64_t monotonic_us(struct ldb_env *env)
{
    return ((struct sim_env *)env)->clock_ahead_us + sim_now_us();
}

static uint64_t wall_us(struct ldb_env *env)
{
    return WALL_US + monotonic_us(env);
}

static enum ldb_status random_bytes(struct ldb_env *env, uint8_t *out, size_t n,
                                    struct ldb_error *err)
{
    (void)env;
    (void)err;
    for (size_t i = 0; i < n; i++)
        out[i] = (uint8_t)(sim_random() >> 56);
    return LDB_OK;
}

static enum ldb_status thread_start(struct ldb_env *env, const char *name,
                                    void (*body)(void *context), void *context,
                                    struct ldb_error *err,
                                    struct ldb_thread **out)
{
    (void)env;
    (void)err;
    *out = (struct ldb_thread *)(void *)sim_spawn(name, body, context);
    return LDB_OK;
}

static void thread_join(struct ldb_env *env, struct ldb_thread *thread)
{
    (void)env;
    sim_join((struct sim_fiber *)(void *)thread);
}

static const struct ldb_env_ops ops = {
    .open_writable = open_writable,
    .open_mapped = open_mapped,
    .open_random = open_random,
    .open_sequential = open_sequential,
    .file_size = file_size,
    .list_dir = list_dir,
    .create_dir = create_dir,
    .remove_dir = remove_dir,
    .remove_file = remove_file,
    .rename_file = rename_file,
    .link_file = link_file,
    .sync_dir = sync_dir,
    .lock_file = lock_file,
    .unlock_file = unlock_file,
    .free_space = free_space,
    .wall_us = wall_us,
    .monotonic_us = monotonic_us,
    .random_bytes = random_bytes,
    .thread_start = thread_start,
    .thread_join = thread_join,
};

/* ---- the world ---- */

static struct sim_env *create(const char *name, struct env_fault *fault)
{
    struct sim_env *world = calloc(1, sizeof(*world));

    if (world == NULL)
        abort();
    world->env.ops = &ops;
    world->name = name;
    world->fault = fault;
    world->disk = env_fault_env(fault);
    return world;
}

struct sim_env *sim_env_create(const char *name)
{
    struct sim_env *world = create(name, env_fault_create(NULL));

    world->clock_ahead_us = sim_below(UINT64_C(3600) * 1000000);
    env_fault_set_call_hook(world->fault, before_call, world);
    return world;
}

void sim_env_destroy(struct sim_env *world)
{
    if (world == NULL)
        return;
    env_fault_destroy(world->fault);
    free(world);
}

struct ldb_env *sim_env_env(struct sim_env *world)
{
    return &world->env;
}

struct env_fault *sim_env_fault(struct sim_env *world)
{
    return world->fault;
}

struct sim_env *sim_env_of(struct ldb_env *env)
{
    assert(env->ops == &ops);
    return (struct sim_env *)env;
}

const char *sim_env_name(const struct sim_env *world)
{
    return world->name;
}

/* ---- power ---- */

void sim_env_crash(struct sim_env *world, enum ldb_crash_keep keep)
{
    world->crash_in = 0;
    if (world->is_dead)
        return;
    world->is_dead = true;
    sim_trace("%s loses power, keep %d", world->name, (int)keep);
    env_fault_power_cut(world->fault, keep, sim_random());
}

void sim_env_plan_crash(struct sim_env *world, uint64_t calls,
                        enum ldb_crash_keep keep, void (*told)(void *context),
                        void *context)
{
    world->crash_in = calls;
    world->crash_keep = keep;
    world->told = told;
    world->context = context;
}

bool sim_env_is_dead(const struct sim_env *world)
{
    return world->is_dead;
}

void sim_env_revive(struct sim_env *world)
{
    assert(world->is_dead);
    world->is_dead = false;
    world->disk = env_fault_env(world->fault);
}

struct sim_env *sim_env_after_cut(struct sim_env *world,
                                  enum ldb_crash_keep keep)
{
    return create(world->name,
                  env_fault_after_cut(world->fault, keep, sim_random()));
}

void sim_env_watch_names(struct sim_env *world,
                         void (*watch)(void *context, const char *path),
                         void *context)
{
    world->watch = watch;
    world->watcher = context;
}

/* ---- slowness ---- */

void sim_env_slow_syncs(struct sim_env *world, uint64_t one_in, uint64_t max_us)
{
    world->slow_one_in = one_in;
    world->slow_us = max_us;
}

uint64_t sim_env_changes(const struct sim_env *world)
{
    return world->changes;
}
