/*
 * A leader that lives at random and a twin that takes its files in random cuts
 * and orders, is closed and opened, and loses power: what a twin promises holds
 * after every step, and at the end the two folders are the same.
 *
 * The seed is printed; LEVELD_SEED=n begins with another one,
 * LEVELD_TWIN_RUNS=n takes so many.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/twin_ship.h"

#if defined(__SANITIZE_THREAD__)
#define RUNS 4
#elif defined(__SANITIZE_ADDRESS__)
#define RUNS 8
#else
#define RUNS 25
#endif

#define STEPS       150
#define CHECK_EVERY 4

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *given = getenv(variable);

    return given == NULL ? otherwise : strtoull(given, NULL, 10);
}

/* The power goes, or the twin is closed; it comes back. */
static void restart(struct twin_ship *t, struct env_fault *fault,
                    uint64_t *seed)
{
    static const enum ldb_crash_keep keeps[] = {
        LDB_CRASH_KEEP_NONE, LDB_CRASH_KEEP_ALL, LDB_CRASH_KEEP_TORN};

    if (bytes_next(seed) % 3 == 0) {
        twin_ship_close(t);
    } else {
        env_fault_power_cut(fault, keeps[bytes_next(seed) % 3],
                            bytes_next(seed));
        LDB_IGNORE(ldb_close(t->db, NULL)); /* its env is dead */
        t->options.env = env_fault_env(fault);
    }
    twin_ship_open(t);
}

static void add_counts(unsigned *to, const struct twin_ship *t)
{
    unsigned counts[sizeof(t->counts) / sizeof(unsigned)];

    memcpy(counts, &t->counts, sizeof(t->counts));
    for (size_t i = 0; i < sizeof(counts) / sizeof(counts[0]); i++)
        to[i] += counts[i];
}

static void run(uint64_t seed, unsigned *counts)
{
    struct leader_run *leader = leader_run_create(seed, false);
    struct env_fault *fault = env_fault_create(NULL);
    uint64_t random = seed * 7 + 1;
    static struct twin_ship t;

    twin_ship_init(&t, leader, env_fault_env(fault), seed + 1000);
    twin_ship_open(&t);
    for (unsigned i = 0; i < STEPS; i++) {
        leader_run_step(leader);
        assert_ldb_ok(twin_ship_step(&t), &t.err);
        if (bytes_next(&random) % 20 == 0)
            restart(&t, fault, &random);
        if (i % CHECK_EVERY == 0)
            twin_ship_check(&t);
    }
    leader_run_close(leader);
    twin_ship_converge(&t);
    twin_ship_check(&t);
    twin_ship_close(&t);
    twin_ship_assert_same(&t);
    add_counts(counts, &t);
    env_fault_destroy(fault);
    leader_run_destroy(leader);
}

static void a_twin_follows_and_comes_to_the_same_folder(void **state)
{
    uint64_t first = number_from("LEVELD_SEED", 1);
    uint64_t runs = number_from("LEVELD_TWIN_RUNS", RUNS);
    static struct twin_ship sum;
    unsigned counts[sizeof(sum.counts) / sizeof(unsigned)] = {0};

    (void)state;
    for (uint64_t seed = first; seed < first + runs; seed++) {
        print_message("LEVELD_SEED=%llu\n", (unsigned long long)seed);
        run(seed, counts);
    }
    memcpy(&sum.counts, counts, sizeof(counts));
    print_message("tables: %u built, %u differed, %u fetched; runs: %u, %u "
                  "folded, %u of another MANIFEST; refused: %u for a journal, "
                  "%u for a memtable\n",
                  sum.counts.built, sum.counts.differed, sum.counts.fetched,
                  sum.counts.installed, sum.counts.folded, sum.counts.rotated,
                  sum.counts.too_early, sum.counts.stalled);
    assert_true(sum.counts.built > 0 && sum.counts.fetched > 0 &&
                sum.counts.folded > 0 && sum.counts.rotated > 0 &&
                sum.counts.too_early > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_twin_follows_and_comes_to_the_same_folder),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
