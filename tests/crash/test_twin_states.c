/*
 * Every state that a power cut can leave of a twin's life: while it appends,
 * seals, builds and fetches tables, installs one edit, a run, another MANIFEST,
 * and is opened again. What was not synced is kept, lost, torn, zeroed or
 * garbage, names and bytes apart (tests/support/env_crash.h).
 *
 * Of each: opened read-only it is a past state of the leader, whole batches
 * only, with all that the twin had said is durable; opened as a twin it keeps
 * what twins promise; a sample goes on to all that the leader has and has the
 * leader's folder then, and another opens as a leader. Both oracles say the
 * same of a sample as it was left.
 *
 * LEVELD_SEED=n begins with that seed; LEVELD_FULL=1 takes every position.
 */
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/env_crash.h"
#include "tests/support/oracles.h"
#include "tests/support/twin_ship.h"

#if defined(__SANITIZE_THREAD__)
#define STEP 37
#elif defined(__SANITIZE_ADDRESS__)
#define STEP 23
#else
#define STEP 5
#endif

#define LIVES           2
#define STEPS           70 /* of a life */
#define CONVERGE_ONE_IN 25
#define LEAD_ONE_IN     40
#define ORACLES_ONE_IN  300
#define PROMISES_MAX    1000

/* At a position of the record the twin had said that this was durable. */
struct promise {
    uint64_t position;
    ldb_sequence sequence;
};

struct life {
    struct leader_run *leader;
    struct ldb_env *memory;
    struct env_crash *crash;
    struct twin_ship t;
    struct promise promises[PROMISES_MAX];
    size_t promise_count;
    uint64_t made_at; /* the position where it had been opened first */
    bool has_oracles;
    /* What was looked at. */
    uint64_t states;
    uint64_t converged;
    uint64_t led;
    uint64_t shown;
};

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *given = getenv(variable);

    return given == NULL ? otherwise : strtoull(given, NULL, 10);
}

static void note_promise(struct life *life)
{
    struct ldb_twin_state at;

    ldb_twin_state(life->t.db, &at);
    assert_true(life->promise_count < PROMISES_MAX);
    life->promises[life->promise_count++] =
        (struct promise){.position = env_crash_position(life->crash),
                         .sequence = at.synced.sequence};
}

static void live(struct life *life, uint64_t seed)
{
    uint64_t random = seed;

    life->leader = leader_run_create(seed, false);
    assert_ldb_ok(ldb_env_memory_create(NULL, &life->memory), NULL);
    life->crash = env_crash_create(life->memory, NULL);
    twin_ship_init(&life->t, life->leader, env_crash_env(life->crash), seed);
    twin_ship_open(&life->t);
    life->made_at = env_crash_position(life->crash);
    for (unsigned i = 0; i < STEPS; i++) {
        leader_run_step(life->leader);
        assert_ldb_ok(twin_ship_step(&life->t), &life->t.err);
        if (bytes_next(&random) % 25 == 0) {
            twin_ship_close(&life->t);
            twin_ship_open(&life->t);
        }
        note_promise(life);
    }
    leader_run_close(life->leader);
    twin_ship_converge(&life->t);
    note_promise(life);
    twin_ship_close(&life->t);
    twin_ship_assert_same(&life->t);
}

static void end_life(struct life *life)
{
    env_crash_destroy(life->crash);
    ldb_env_memory_destroy(life->memory);
    leader_run_destroy(life->leader);
}

/* ---- a state ---- */

static ldb_sequence promised(const struct life *life, uint64_t position)
{
    ldb_sequence sequence = 0;

    for (size_t i = 0; i < life->promise_count; i++)
        if (life->promises[i].position <= position &&
            life->promises[i].sequence > sequence)
            sequence = life->promises[i].sequence;
    return sequence;
}

static bool has_current(struct ldb_env *env)
{
    uint64_t size;

    return env->ops->file_size(env, TWIN_SHIP_DIR "/CURRENT", NULL, &size) ==
           LDB_OK;
}

/* As any library finds it. */
static void look_read_only(struct life *life, struct ldb_env *env,
                           ldb_sequence sequence, bool with_oracles)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    leader_run_options(env, &options);
    options.create_if_missing = false;
    options.read_only = true;
    assert_ldb_ok(ldb_open(TWIN_SHIP_DIR, &options, NULL, &err, &db), &err);
    leader_run_assert_state(life->leader, db);
    assert_true(ldb_last_sequence(db) >= sequence);
    if (with_oracles) {
        struct ldb_buf dump = LDB_BUF_INIT(ORACLES_DUMP_MAX);
        const char *why;

        oracles_dump_ours(db, &dump);
        why = oracles_compare(env, TWIN_SHIP_DIR, ldb_slice_of_buf(&dump));
        if (why != NULL)
            fail_msg("oracles: %s", why);
        ldb_buf_release(&dump);
        life->shown++;
    }
    assert_ldb_ok(ldb_close(db, &err), &err);
}

static void look_as_twin(struct life *life, struct ldb_env *env,
                         ldb_sequence sequence)
{
    static struct twin_ship t;
    struct ldb_twin_state at;

    twin_ship_init(&t, life->leader, env, life->states + 1);
    twin_ship_open(&t);
    ldb_twin_state(t.db, &at);
    assert_true(at.applied.sequence >= sequence);
    twin_ship_check(&t);
    if (life->states % CONVERGE_ONE_IN == 0) {
        twin_ship_converge(&t);
        twin_ship_check(&t);
        twin_ship_close(&t);
        twin_ship_assert_same(&t);
        life->converged++;
        return;
    }
    twin_ship_close(&t);
}

static void look_as_leader(struct life *life, struct ldb_env *env)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    leader_run_options(env, &options);
    options.create_if_missing = false;
    assert_ldb_ok(ldb_open(TWIN_SHIP_DIR, &options, NULL, &err, &db), &err);
    leader_run_assert_state(life->leader, db);
    assert_ldb_ok(
        ldb_put(db, ldb_slice_str("z"), ldb_slice_str("1"), true, &err, NULL),
        &err);
    assert_ldb_ok(ldb_close(db, &err), &err);
    life->led++;
}

static void look_at(struct life *life, const struct env_crash_disk *disk,
                    uint64_t position, enum env_crash_keep keep, uint64_t *seen)
{
    ldb_sequence sequence = promised(life, position);
    uint64_t hash;
    struct ldb_env *env = env_crash_disk_state(disk, keep, position, &hash);
    bool is_read_alike =
        keep != ENV_CRASH_KEEP_GARBLED && keep != ENV_CRASH_KEEP_ZEROS;

    if (hash == *seen) {
        ldb_env_memory_destroy(env);
        return;
    }
    *seen = hash;
    life->states++;
    if (position >= life->made_at)
        assert_true(has_current(env));
    if (position >= life->made_at)
        look_read_only(life, env, sequence,
                       life->has_oracles && is_read_alike &&
                           life->states % ORACLES_ONE_IN == 0);
    if (position >= life->made_at && life->states % LEAD_ONE_IN == 1)
        look_as_leader(life, env);
    else
        look_as_twin(life, env, sequence);
    ldb_env_memory_destroy(env);
}

static void look_at_life(struct life *life)
{
    struct env_crash_disk *disk =
        env_crash_disk_create(life->crash, ENV_CRASH_NO_MISTAKE);
    uint64_t end = env_crash_position(life->crash);
    uint64_t step = number_from("LEVELD_FULL", 0) == 1 ? 1 : STEP;
    uint64_t seen[ENV_CRASH_KEEP_COUNT] = {0};

    for (uint64_t p = 0; p <= end; p += step) {
        env_crash_disk_advance(disk, p);
        for (unsigned keep = 0; keep < ENV_CRASH_KEEP_COUNT; keep++) {
            if (keep == ENV_CRASH_KEEP_PAGES) /* no journal is mapped */
                continue;
            look_at(life, disk, p, (enum env_crash_keep)keep, &seen[keep]);
        }
    }
    env_crash_disk_destroy(disk);
}

static void every_state_is_a_past_one_of_the_leader_and_goes_on(void **state)
{
    uint64_t first = number_from("LEVELD_SEED", 11);
    bool has_oracles = oracles_are_there();

    (void)state;
    for (uint64_t seed = first; seed < first + LIVES; seed++) {
        static struct life life;

        life = (struct life){.has_oracles = has_oracles};
        print_message("LEVELD_SEED=%llu\n", (unsigned long long)seed);
        live(&life, seed);
        look_at_life(&life);
        print_message(
            "%llu states of %llu positions; %llu went on to the end, "
            "%llu led, %llu were shown to both oracles; %u runs, %u "
            "folded, %u of another MANIFEST, %u tables built\n",
            (unsigned long long)life.states,
            (unsigned long long)env_crash_position(life.crash),
            (unsigned long long)life.converged, (unsigned long long)life.led,
            (unsigned long long)life.shown, life.t.counts.installed,
            life.t.counts.folded, life.t.counts.rotated, life.t.counts.built);
        assert_true(life.converged > 0 && life.led > 0);
        assert_true(life.t.counts.folded > 0 && life.t.counts.rotated > 0);
        end_life(&life);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_is_a_past_one_of_the_leader_and_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
