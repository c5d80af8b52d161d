/*
 * Checkpoints taken while threads write: each holds every write answered before
 * it began, none that began after it was made, and all up to some sequence
 * number, each whole; both reference programs read it as we do.
 */
#include <stdatomic.h>
#include <stdio.h>

#include "storage/base/env.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/oracles.h"
#include "tests/support/write_history.h"

#define CHECKPOINTS   6
#define WRITERS       2
#define WRITES_MAX    4000 /* of a writer */
#define WRITES_BEFORE 150  /* of this thread, before each checkpoint */

struct world {
    struct ldb_env *env;
    struct ldb_db *db;
    struct history *history;
    /* Ticks when a checkpoint begins and when it is made. */
    _Atomic(uint64_t) clock;
    _Atomic(bool) is_over;
};

/* One write. On the history's scale a tick lasts from the clock's step to the
 * next; what is answered within one is known from the next on. */
static void write_one(struct world *w)
{
    struct history_write *write = history_plan(w->history, false);

    assert_non_null(write);
    write->begun_at = atomic_load(&w->clock);
    write->answered_at = HISTORY_NEVER;
    assert_ldb_ok(history_wait(w->db, write), &write->write.error);
    write->answered_at = atomic_load(&w->clock) + 1;
}

static void write_on(void *context)
{
    struct world *w = context;

    for (unsigned i = 0; i < WRITES_MAX && !atomic_load(&w->is_over); i++)
        write_one(w);
}

static void start(struct world *w, struct ldb_thread *threads[WRITERS])
{
    struct ldb_options options;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_memory_create(&err, &w->env), &err);
    ldb_options_init(&options);
    options.env = w->env;
    options.write_buffer_bytes = 8 << 10;
    options.table_bytes = 8 << 10;
    options.level1_bytes = 32 << 10;
    assert_ldb_ok(ldb_open("/db", &options, NULL, &err, &w->db), &err);
    for (unsigned i = 0; i < WRITERS; i++)
        assert_ldb_ok(w->env->ops->thread_start(w->env, "writer", write_on, w,
                                                &err, &threads[i]),
                      &err);
}

static void path_of(unsigned n, char out[16])
{
    (void)snprintf(out, 16, "/copy%u", n);
}

/* The copy, opened without changing it, against what was written. */
static void check_copy(struct world *w, unsigned n, uint64_t moment)
{
    struct ldb_options options;
    struct ldb_buf dump = LDB_BUF_INIT(ORACLES_DUMP_MAX);
    struct ldb_error err = {0};
    struct ldb_db *copy = NULL;
    const char *why;
    char path[16];

    path_of(n, path);
    ldb_options_init(&options);
    options.env = w->env;
    options.read_only = true;
    assert_ldb_ok(ldb_open(path, &options, NULL, &err, &copy), &err);
    why = history_check_at(w->history, copy, HISTORY_ACKED, moment);
    if (why != NULL)
        fail_msg("%s: %s", path, why);
    oracles_dump_ours(copy, &dump);
    assert_ldb_ok(ldb_close(copy, &err), &err);
    assert_true(dump.len > 0);
    why = oracles_compare(w->env, path, ldb_slice_of_buf(&dump));
    if (why != NULL)
        fail_msg("%s: %s", path, why);
    ldb_buf_release(&dump);
}

static void a_checkpoint_amid_writes_is_a_state_that_was(void **state)
{
    struct world w = {0};
    struct ldb_thread *threads[WRITERS];
    uint64_t moments[CHECKPOINTS];
    struct ldb_error err = {0};

    (void)state;
    if (!oracles_are_there())
        skip();
    w.history = history_create(1);
    start(&w, threads);
    for (unsigned n = 0; n < CHECKPOINTS; n++) {
        char path[16];

        for (unsigned i = 0; i < WRITES_BEFORE; i++)
            write_one(&w);
        path_of(n, path);
        moments[n] = atomic_fetch_add(&w.clock, 1) + 1;
        assert_ldb_ok(ldb_checkpoint(w.db, path, &err), &err);
        (void)atomic_fetch_add(&w.clock, 1);
    }
    atomic_store(&w.is_over, true);
    for (unsigned i = 0; i < WRITERS; i++)
        w.env->ops->thread_join(w.env, threads[i]);
    for (unsigned n = 0; n < CHECKPOINTS; n++)
        check_copy(&w, n, moments[n]);
    assert_ldb_ok(ldb_close(w.db, &err), &err);
    history_destroy(w.history);
    ldb_env_memory_destroy(w.env);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_checkpoint_amid_writes_is_a_state_that_was),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
