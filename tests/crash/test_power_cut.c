/*
 * Cycles of: open, write from several threads, cut the power at a random call,
 * open what survived, compare with the history, go on from there. Buffers are
 * small, so that flushes and compactions are under way at the cut.
 *
 * The seed is printed; LEVELD_TEST_SEED=n runs another one. Threads make a run
 * not repeatable to the call, but the same seed makes the same choices.
 */
#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "storage/base/env.h"
#include "storage/include/ldb.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/write_history.h"

#if defined(__SANITIZE_THREAD__)
#define CYCLES 40
#else
#define CYCLES 200
#endif

#define BLOCKING_WRITERS 3
#define WRITES_EACH      50 /* of one blocking writer in one cycle */
#define ASYNC_ROUNDS     12
#define ASYNC_AT_ONCE    8
#define CALLS_MAX        900 /* the cut comes within so many calls */
#define OPEN_CALLS_MAX   90  /* about those of opening */
#define LIE_CYCLES       60

struct world {
    struct env_fault *fault;
    struct history *history;
    struct ldb_db *db;
    uint64_t seed;
    enum ldb_crash_keep keep;
    _Atomic(int64_t) calls_left; /* to the cut; 0 and below: it was made */
    /* what happened, for the last line */
    uint64_t acked;
    uint64_t synced;
    uint64_t cuts_in_open;
    uint64_t cuts_in_close;
};

static uint64_t pick(struct world *w, uint64_t n)
{
    return history_random(w->history, n);
}

/* ---- the cut ---- */

static void cut_now(struct world *w)
{
    env_fault_power_cut(w->fault, w->keep, pick(w, UINT64_MAX));
}

static void on_call(void *context, enum env_fault_kind kind, const char *path)
{
    struct world *w = context;

    (void)kind;
    (void)path;
    if (atomic_fetch_sub(&w->calls_left, 1) == 1)
        cut_now(w);
}

/* ---- writers ---- */

static bool random_sync(struct world *w)
{
    return pick(w, 3) == 0;
}

static void write_blocking(void *context)
{
    struct world *w = context;

    for (int i = 0; i < WRITES_EACH; i++) {
        struct history_write *one = history_plan(w->history, random_sync(w));

        if (history_wait(w->db, one) != LDB_OK)
            break;
    }
}

static void on_done(struct ldb_write *write)
{
    (void)write;
}

/* Rounds of writes that are submitted together, and answered at the latest by
 * ldb_close(). */
static void write_async(void *context)
{
    struct world *w = context;
    struct ldb_error err = {0};

    for (int round = 0; round < ASYNC_ROUNDS; round++) {
        for (int i = 0; i < ASYNC_AT_ONCE; i++) {
            struct history_write *one =
                history_plan(w->history, random_sync(w));
            enum ldb_status s;

            one->write.done = on_done;
            s = ldb_write_submit(w->db, &one->write, &err);
            if (s != LDB_OK)
                one->write.status = s;
        }
        ldb_write_drive(w->db);
    }
}

static void run_writers(struct world *w)
{
    struct ldb_env *system = ldb_env_posix();
    struct ldb_thread *threads[BLOCKING_WRITERS + 1];
    struct ldb_error err = {0};

    for (size_t i = 0; i <= BLOCKING_WRITERS; i++)
        assert_ldb_ok(
            system->ops->thread_start(system, "writer",
                                      i == 0 ? write_async : write_blocking, w,
                                      &err, &threads[i]),
            &err);
    for (size_t i = 0; i <= BLOCKING_WRITERS; i++)
        system->ops->thread_join(system, threads[i]);
}

/* ---- a cycle ---- */

static void make_options(struct world *w, struct ldb_options *out)
{
    ldb_options_init(out);
    out->env = env_fault_env(w->fault);
    out->create_if_missing = true;
    out->write_buffer_bytes = 16 << 10;
    out->table_bytes = 8 << 10;
    out->level1_bytes = 32 << 10;
    out->level_multiplier = 4;
    out->block_bytes = 1024;
    out->manifest_rotate_bytes = 4 << 10;
}

static enum ldb_status open_db(struct world *w, struct ldb_error *err)
{
    struct ldb_options options;

    make_options(w, &options);
    w->db = NULL;
    return ldb_open("/db", &options, NULL, err, &w->db);
}

static void arm(struct world *w, uint64_t calls_max)
{
    atomic_store(&w->calls_left, 1 + (int64_t)pick(w, calls_max));
}

/* No cut comes any more; true when it was made, or is being made. */
static bool disarm(struct world *w)
{
    return atomic_exchange(&w->calls_left, INT64_MAX) <= 0;
}

/*
 * Opens and compares; what differs, or NULL. Every third time the power goes
 * again in the middle of opening, once.
 */
static const char *open_and_check(struct world *w, enum history_must must)
{
    struct ldb_error err = {0};
    const char *why;
    enum ldb_status s;

    if (pick(w, 3) == 0) {
        w->keep = (enum ldb_crash_keep)pick(w, 3);
        if (w->keep != LDB_CRASH_KEEP_ALL)
            must = HISTORY_DURABLE;
        arm(w, OPEN_CALLS_MAX);
    }
    s = open_db(w, &err);
    if (disarm(w)) {
        w->cuts_in_open++;
        if (w->db != NULL)
            (void)!ldb_close(w->db, NULL);
        s = open_db(w, &err);
    }
    assert_ldb_ok(s, &err);
    why = history_check(w->history, w->db, must);
    if (why == NULL)
        history_settle(w->history, w->db);
    return why;
}

/* Writes until the power goes, at the latest after closing. Returns what must
 * have survived. */
static enum history_must write_and_cut(struct world *w)
{
    bool closes_first = pick(w, 8) == 0;
    struct ldb_error err = {0};
    bool is_cut = false;
    enum ldb_status s;

    w->keep = (enum ldb_crash_keep)pick(w, 3);
    arm(w, closes_first ? 8 * CALLS_MAX : CALLS_MAX);
    run_writers(w);
    if (!closes_first) {
        is_cut = true;
        if (!disarm(w))
            cut_now(w);
    }
    s = ldb_close(w->db, &err);
    is_cut = disarm(w) || is_cut;
    w->acked += history_acked(w->history);
    w->synced += history_acked_synced(w->history);
    if (is_cut)
        return w->keep == LDB_CRASH_KEEP_ALL ? HISTORY_ACKED : HISTORY_DURABLE;
    assert_ldb_ok(s, &err);
    w->cuts_in_close++;
    cut_now(w);
    return HISTORY_ACKED; /* a close makes all of it durable */
}

static void create_world(struct world *w, uint64_t seed)
{
    const char *given = getenv("LEVELD_TEST_SEED");

    *w = (struct world){.seed =
                            given == NULL ? seed : strtoull(given, NULL, 10)};
    print_message("LEVELD_TEST_SEED=%llu\n", (unsigned long long)w->seed);
    w->fault = env_fault_create(NULL);
    w->history = history_create(w->seed);
    (void)disarm(w);
    env_fault_set_call_hook(w->fault, on_call, w);
}

static void destroy_world(struct world *w)
{
    history_destroy(w->history);
    env_fault_destroy(w->fault);
}

/* Both kinds of rare cuts are wanted, however the threads made the choices
 * fall; they come within a few cycles more. */
static bool is_enough(const struct world *w, int cycle)
{
    return cycle >= CYCLES && ((w->cuts_in_open > 0 && w->cuts_in_close > 0) ||
                               cycle >= 10 * CYCLES);
}

static void a_power_cut_at_any_moment_loses_no_durable_write(void **state)
{
    enum history_must must = HISTORY_ACKED;
    struct world w;
    int cycle;

    (void)state;
    create_world(&w, 20240917);
    for (cycle = 0; !is_enough(&w, cycle); cycle++) {
        const char *why = open_and_check(&w, must);

        if (why != NULL)
            fail_msg("cycle %d: %s", cycle, why);
        must = write_and_cut(&w);
    }
    assert_null(open_and_check(&w, must));
    assert_int_equal(ldb_close(w.db, NULL), LDB_OK);
    print_message("%d cycles: %llu writes acknowledged, %llu of them durable; "
                  "%llu more cuts while opening, %llu after a close\n",
                  cycle, (unsigned long long)w.acked,
                  (unsigned long long)w.synced,
                  (unsigned long long)w.cuts_in_open,
                  (unsigned long long)w.cuts_in_close);
    /* The cycles did what they are for. */
    assert_true(w.synced > (uint64_t)cycle && w.acked > w.synced);
    assert_true(w.cuts_in_open > 0 && w.cuts_in_close > 0);
    destroy_world(&w);
}

/*
 * The same cycles on a disk that answers syncs of journals at once and makes
 * nothing durable, which is what a database does that answers its writers
 * before the sync. The history has to see a loss, or it proves nothing above.
 */
static void a_write_answered_before_its_sync_is_found_out(void **state)
{
    enum history_must must = HISTORY_ACKED;
    const char *why = NULL;
    struct world w;
    int cycle;

    (void)state;
    create_world(&w, 20240918);
    env_fault_lie_about_syncs(w.fault, ".log");
    for (cycle = 0; cycle < LIE_CYCLES; cycle++) {
        why = open_and_check(&w, must);
        if (why != NULL)
            break;
        must = write_and_cut(&w);
    }
    assert_non_null(why);
    print_message("cycle %d: %s\n", cycle, why);
    (void)!ldb_close(w.db, NULL);
    destroy_world(&w);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_any_moment_loses_no_durable_write),
        cmocka_unit_test(a_write_answered_before_its_sync_is_found_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
