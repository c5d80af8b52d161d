/*
 * Every state that a power cut can leave while a folder is made the leader's:
 * a new one, one whose newest journal has a tail of its own, and one that has
 * led, whose file names mean other files. What was not synced is kept, lost,
 * torn, zeroed or garbage, names and bytes apart (tests/support/env_crash.h).
 *
 * Of each: opened read-only it is a past state of its own history or of the
 * leader's, whole batches only, or nothing; a sample is rebuilt to the end,
 * some of them after another program has opened and closed the folder for
 * writing: then it is the leader's twin, and all that was its alone is kept.
 * Both oracles say the same of a sample as it was left.
 *
 * LEVELD_SEED=n begins with that seed; LEVELD_FULL=1 takes every position.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/env_crash.h"
#include "tests/support/oracles.h"
#include "tests/support/rebuild_scene.h"

#if defined(__SANITIZE_THREAD__)
#define STEP 7
#elif defined(__SANITIZE_ADDRESS__)
#define STEP 3
#else
#define STEP 2
#endif

#define REBUILD_ONE_IN 4
#define TOUCH_ONE_IN   16
#define ATTEMPTS_MAX   100
#define ORACLES_ONE_IN 25

enum life_kind {
    LIFE_NEW,
    LIFE_TAIL,
    LIFE_LED,
    LIFE_KIND_COUNT,
};

struct life {
    enum life_kind kind;
    struct ldb_env *memory;
    struct env_crash *crash;
    struct rebuild_scene *scene;
    uint64_t begin; /* the positions of the rebuild */
    uint64_t end;
    bool has_oracles;
    /* What was looked at. */
    uint64_t states;
    uint64_t empty;
    uint64_t own;
    uint64_t rebuilt;
    uint64_t touched;
    uint64_t shown;
};

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *given = getenv(variable);

    return given == NULL ? otherwise : strtoull(given, NULL, 10);
}

static void release(struct life *life)
{
    rebuild_scene_destroy(life->scene);
    env_crash_destroy(life->crash);
    ldb_env_memory_destroy(life->memory);
}

static void prepare(struct life *life, uint64_t seed)
{
    struct rebuild_scene *scene;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_memory_create(NULL, &life->memory), NULL);
    life->crash = env_crash_create(life->memory, NULL);
    life->scene = rebuild_scene_create(seed, env_crash_env(life->crash));
    scene = life->scene;
    assert_ldb_ok(ldb_env_create_folder(scene->env, REBUILD_DIR, &err), &err);
    rebuild_scene_live(scene, 50);
    if (life->kind != LIFE_NEW) {
        rebuild_scene_follow(scene);
        rebuild_scene_promote(scene);
    }
    if (life->kind == LIFE_LED)
        rebuild_scene_lead(scene, 150, true);
    if (life->kind != LIFE_NEW) {
        rebuild_scene_tail(scene, 6);
        rebuild_scene_tail_journals(scene, 2, 3);
    }
    rebuild_scene_write(scene, 15);
    rebuild_scene_settle(scene);
    rebuild_scene_write(scene, 5);
}

/* False: no name means two files, though it should. Which numbers tables get
 * is a matter of threads. */
static bool live(struct life *life, uint64_t seed)
{
    struct repl_build_options options;
    struct repl_build *build = NULL;
    struct ldb_error err = {0};
    bool is_as_wanted;

    prepare(life, seed);
    life->begin = env_crash_position(life->crash);
    rebuild_scene_options(life->scene, life->scene->env, &options);
    options.is_accepted = true;
    assert_ldb_ok(repl_build_create(&options, &err, &build), &err);
    assert_ldb_ok(repl_build_fetch(build, &err), &err);
    is_as_wanted = repl_build_is_gentle(build) == (life->kind == LIFE_TAIL);
    assert_ldb_ok(repl_build_switch(build, &err), &err);
    repl_build_destroy(build);
    life->end = env_crash_position(life->crash);
    return is_as_wanted;
}

static void end_life(struct life *life)
{
    rebuild_scene_assert_adopted(life->scene, life->scene->env);
    rebuild_scene_assert_aside(life->scene, life->scene->env);
    rebuild_scene_assert_same(life->scene, life->scene->env);
    release(life);
}

/* ---- a state ---- */

static enum ldb_status see_name(void *context, const char *name)
{
    unsigned *types = context;
    uint64_t number;

    *types |= 1u << ldb_file_name_parse(name, &number);
    return LDB_OK;
}

/* While CURRENT is being set, LevelDB follows the old one, goleveldb and we a
 * CURRENT.N that is whole: a state of the folder either. */
static bool is_settled(struct ldb_env *env, bool *out_has_current)
{
    unsigned types = 0;

    assert_ldb_ok(env->ops->list_dir(env, REBUILD_DIR, see_name, &types, NULL),
                  NULL);
    *out_has_current = (types & 1u << LDB_FILE_CURRENT) != 0;
    return *out_has_current && (types & 1u << LDB_FILE_CURRENT_NEXT) == 0;
}

/* As any library finds it. */
static void look_read_only(struct life *life, struct ldb_env *env,
                           bool with_oracles)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    bool has_current = false;
    enum ldb_status s;

    leader_run_options(env, &options);
    options.create_if_missing = false;
    options.read_only = true;
    s = ldb_open(REBUILD_DIR, &options, NULL, &err, &db);
    if (s == LDB_NOT_FOUND && life->kind == LIFE_NEW) {
        life->empty++;
        return;
    }
    assert_ldb_ok(s, &err);
    rebuild_scene_assert_past(life->scene, env, db);
    life->empty += ldb_last_sequence(db) == 0;
    life->own += life->scene->fork != 0 &&
                 ldb_last_sequence(db) > life->scene->fork &&
                 ldb_last_sequence(db) < life->scene->fork + REBUILD_TAIL_MAX;
    with_oracles = is_settled(env, &has_current) && with_oracles;
    assert_true(life->kind == LIFE_NEW || has_current);
    if (with_oracles) {
        struct ldb_buf dump = LDB_BUF_INIT(ORACLES_DUMP_MAX);
        const char *why;

        oracles_dump_ours(db, &dump);
        why = oracles_compare(env, REBUILD_DIR, ldb_slice_of_buf(&dump));
        if (why != NULL)
            fail_msg("oracles: %s", why);
        ldb_buf_release(&dump);
        life->shown++;
    }
    assert_ldb_ok(ldb_close(db, &err), &err);
}

/* Another program opens the folder for writing, and closes it. */
static void touch(struct life *life, struct ldb_env *env)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    leader_run_options(env, &options);
    assert_ldb_ok(ldb_open(REBUILD_DIR, &options, NULL, &err, &db), &err);
    assert_ldb_ok(ldb_close(db, &err), &err);
    life->touched++;
}

static void rebuild(struct life *life, struct ldb_env *env)
{
    struct ldb_error err = {0};

    /* The folder's own name was durable, but a state has no empty folders. */
    assert_ldb_ok(ldb_env_create_folder(env, REBUILD_DIR, &err), &err);
    if (life->states % TOUCH_ONE_IN == 0)
        touch(life, env);
    rebuild_scene_build(life->scene, env, true);
    rebuild_scene_assert_adopted(life->scene, env);
    rebuild_scene_assert_aside(life->scene, env);
    rebuild_scene_assert_twin(life->scene, env);
    life->rebuilt++;
}

static void look_at(struct life *life, const struct env_crash_disk *disk,
                    uint64_t position, enum env_crash_keep keep, uint64_t *seen)
{
    uint64_t hash;
    struct ldb_env *env = env_crash_disk_state(disk, keep, position, &hash);
    bool is_read_alike =
        keep != ENV_CRASH_KEEP_GARBLED && keep != ENV_CRASH_KEEP_ZEROS;

    if (hash != *seen) {
        *seen = hash;
        life->states++;
        look_read_only(life, env,
                       life->has_oracles && is_read_alike &&
                           life->states % ORACLES_ONE_IN == 0);
        if (life->states % REBUILD_ONE_IN == 0)
            rebuild(life, env);
    }
    ldb_env_memory_destroy(env);
}

static void look_at_life(struct life *life)
{
    struct env_crash_disk *disk =
        env_crash_disk_create(life->crash, ENV_CRASH_NO_MISTAKE);
    uint64_t step = number_from("LEVELD_FULL", 0) == 1 ? 1 : STEP;
    uint64_t seen[ENV_CRASH_KEEP_COUNT] = {0};

    for (uint64_t p = life->begin; p <= life->end; p += step) {
        env_crash_disk_advance(disk, p);
        for (unsigned keep = 0; keep < ENV_CRASH_KEEP_COUNT; keep++) {
            if (keep == ENV_CRASH_KEEP_PAGES) /* no journal is mapped */
                continue;
            look_at(life, disk, p, (enum env_crash_keep)keep, &seen[keep]);
        }
    }
    env_crash_disk_destroy(disk);
}

static void look_at_kind(enum life_kind kind)
{
    static struct life life;
    uint64_t seed = number_from("LEVELD_SEED", 21) + (uint64_t)kind;

    life = (struct life){.kind = kind, .has_oracles = oracles_are_there()};
    for (unsigned n = 1; !live(&life, seed); n++) {
        assert_true(n < ATTEMPTS_MAX);
        release(&life);
        seed += LIFE_KIND_COUNT;
    }
    print_message("LEVELD_SEED=%llu\n", (unsigned long long)seed - kind);
    look_at_life(&life);
    print_message("%llu states of %llu positions: %llu empty, %llu of our own "
                  "history; %llu rebuilt, %llu of them after another program, "
                  "%llu shown to both oracles\n",
                  (unsigned long long)life.states,
                  (unsigned long long)(life.end - life.begin),
                  (unsigned long long)life.empty, (unsigned long long)life.own,
                  (unsigned long long)life.rebuilt,
                  (unsigned long long)life.touched,
                  (unsigned long long)life.shown);
    assert_true(life.rebuilt > 0 && life.touched > 0);
    assert_true((life.empty > 0) == (kind != LIFE_TAIL));
    assert_true((life.own > 0) == (kind != LIFE_NEW));
    end_life(&life);
}

static void a_new_folder_is_nothing_or_the_leaders(void **state)
{
    (void)state;
    look_at_kind(LIFE_NEW);
}

static void a_tail_of_its_own_is_there_or_set_aside(void **state)
{
    (void)state;
    look_at_kind(LIFE_TAIL);
}

static void one_that_has_led_is_its_own_nothing_or_the_leaders(void **state)
{
    (void)state;
    look_at_kind(LIFE_LED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_new_folder_is_nothing_or_the_leaders),
        cmocka_unit_test(a_tail_of_its_own_is_there_or_set_aside),
        cmocka_unit_test(one_that_has_led_is_its_own_nothing_or_the_leaders),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
