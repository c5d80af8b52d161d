/* Streams that wait: woken once, by what they wait for, or by their time. */
#include "api/feeds.h"

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

/* An exchange that counts. */
struct counted {
    struct api_exchange x; /* first: ops get it back */
    unsigned wakes;
};

static void count_wake(struct api_exchange *x)
{
    ((struct counted *)(void *)x)->wakes++;
}

static const struct api_exchange_ops counting_ops = {.wake = count_wake};

struct fixture {
    struct ldb_env *env;
    struct ldb_db *db;
    struct ldb_error err;
    struct api_feeds *feeds;
};

static void on_durable(void *context)
{
    struct fixture *f = context;

    api_feeds_durable(f->feeds);
}

static int setup(void **state)
{
    static struct fixture f;
    struct ldb_options options;

    f = (struct fixture){0};
    ldb_options_init(&options);
    assert_ldb_ok(ldb_env_memory_create(&f.err, &f.env), &f.err);
    options.env = f.env;
    options.on_durable = on_durable;
    options.on_durable_context = &f;
    assert_ldb_ok(ldb_open("/db", &options, NULL, &f.err, &f.db), &f.err);
    f.feeds = api_feeds_create(f.db);
    assert_non_null(f.feeds);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    api_feeds_destroy(f->feeds);
    ldb_env_memory_destroy(f->env);
    return 0;
}

static ldb_sequence put(struct fixture *f)
{
    ldb_sequence sequence = 0;

    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("v"), true,
                          &f->err, &sequence),
                  &f->err);
    return sequence;
}

static void enter(struct fixture *f, struct api_feed *feed,
                  struct counted *counted)
{
    *counted = (struct counted){.x.ops = &counting_ops};
    *feed = (struct api_feed){.x = &counted->x};
    assert_true(api_feeds_enter(f->feeds, 10, feed));
}

static void a_write_wakes_who_waits_once(void **state)
{
    struct fixture *f = *state;
    struct counted counted;
    struct api_feed feed;

    enter(f, &feed, &counted);
    assert_int_equal(put(f), 1);
    assert_int_equal(counted.wakes, 0);
    /* It has not seen it yet. */
    assert_false(api_feeds_wait(f->feeds, &feed, 0, UINT64_MAX));
    assert_true(api_feeds_wait(f->feeds, &feed, 1, UINT64_MAX));
    assert_int_equal(put(f), 2);
    assert_int_equal(counted.wakes, 1);
    assert_int_equal(put(f), 3);
    assert_int_equal(counted.wakes, 1);
    assert_true(api_feeds_wait(f->feeds, &feed, 3, UINT64_MAX));
    api_feeds_leave(f->feeds, &feed);
    api_feeds_leave(f->feeds, &feed);
    assert_int_equal(put(f), 4);
    assert_int_equal(counted.wakes, 1);
}

static void its_time_wakes_it(void **state)
{
    struct fixture *f = *state;
    struct counted early;
    struct counted late;
    struct api_feed first;
    struct api_feed second;

    enter(f, &first, &early);
    enter(f, &second, &late);
    assert_true(api_feeds_wait(f->feeds, &first, 0, 100));
    assert_true(api_feeds_wait(f->feeds, &second, 0, 200));
    api_feeds_tick(f->feeds, 99);
    assert_int_equal(early.wakes, 0);
    api_feeds_tick(f->feeds, 100);
    assert_int_equal(early.wakes, 1);
    assert_int_equal(late.wakes, 0);
    api_feeds_tick(f->feeds, 300);
    assert_int_equal(early.wakes, 1);
    assert_int_equal(late.wakes, 1);
    api_feeds_leave(f->feeds, &first);
    api_feeds_leave(f->feeds, &second);
}

static void the_stop_wakes_all_and_nobody_waits_after_it(void **state)
{
    struct fixture *f = *state;
    struct counted counted;
    struct api_feed feed;

    enter(f, &feed, &counted);
    assert_true(api_feeds_wait(f->feeds, &feed, 0, UINT64_MAX));
    assert_false(api_feeds_are_ending(f->feeds));
    api_feeds_end(f->feeds);
    assert_true(api_feeds_are_ending(f->feeds));
    assert_int_equal(counted.wakes, 1);
    assert_false(api_feeds_wait(f->feeds, &feed, 0, UINT64_MAX));
    api_feeds_leave(f->feeds, &feed);
}

static void there_are_only_so_many(void **state)
{
    struct fixture *f = *state;
    struct counted counted[4];
    struct api_feed feeds[4];
    struct api_feeds_figures figures;

    for (unsigned i = 0; i < 3; i++) {
        enter(f, &feeds[i], &counted[i]);
        (void)i;
    }
    feeds[3] = (struct api_feed){.x = &counted[3].x};
    assert_false(api_feeds_enter(f->feeds, 3, &feeds[3]));
    api_feeds_figures(f->feeds, &figures);
    assert_int_equal(figures.open, 3);
    assert_int_equal(figures.opened_total, 3);
    assert_int_equal(figures.refused_total, 1);
    api_feeds_leave(f->feeds, &feeds[1]); /* in the middle of the list */
    assert_true(api_feeds_enter(f->feeds, 3, &feeds[3]));
    api_feeds_leave(f->feeds, &feeds[0]);
    api_feeds_leave(f->feeds, &feeds[2]);
    api_feeds_leave(f->feeds, &feeds[3]);
    api_feeds_figures(f->feeds, &figures);
    assert_int_equal(figures.open, 0);
}

static void the_history_is_a_copy(void **state)
{
    struct fixture *f = *state;
    struct repl_epoch epochs[] = {
        {.number = 1, .previous_last = 0, .base = 0},
        {.number = 2, .previous_last = 1, .base = 10},
    };
    const struct repl_epoch_history history = {.items = epochs, .count = 2};
    struct repl_feed_start start;

    (void)put(f);
    assert_ldb_ok(ldb_raise_sequence(f->db, 10, &f->err), &f->err);
    api_feeds_find_start(f->feeds, 5, &start);
    assert_false(start.is_lost);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_int_equal(api_feeds_set_history(f->feeds, &history), LDB_NO_MEMORY);
    assert_true(mem_fault_stop());
    assert_ldb_ok(api_feeds_set_history(f->feeds, &history), NULL);
    epochs[1].previous_last = 7;
    api_feeds_find_start(f->feeds, 5, &start);
    assert_true(start.is_lost);
    assert_int_equal(start.fork, 1);
    api_feeds_find_start(f->feeds, 11, &start);
    assert_true(start.is_lost);
    assert_int_equal(start.fork, 10);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_write_wakes_who_waits_once),
        TEST(its_time_wakes_it),
        TEST(the_stop_wakes_all_and_nobody_waits_after_it),
        TEST(there_are_only_so_many),
        TEST(the_history_is_a_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
