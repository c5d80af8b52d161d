/* A sequence from before: here, at an epoch's end, or lost between two. */
#include "replication/feed_start.h"

#include "tests/support/assert_ldb.h"

static struct repl_epoch epochs[] = {
    {.number = 1, .previous_last = 0, .base = 0},
    {.number = 2, .previous_last = 100, .base = 1000},
    {.number = 3, .previous_last = 100, .base = 5000}, /* 2 wrote nothing */
    {.number = 4, .previous_last = 5050, .base = 9000},
};

static void each_sequence_has_its_place(void **state)
{
    static const struct row {
        const char *name;
        ldb_sequence since;
        bool is_lost;
        ldb_sequence expected; /* since, or lost: the fork */
    } rows[] = {
        {"the beginning", 0, false, 0},
        {"within the first", 50, false, 50},
        {"at its end, and that of one without a write", 100, false, 5000},
        {"just after it", 101, true, 100},
        {"just before the next base", 999, true, 100},
        {"the base of one without a write", 1000, false, 5000},
        {"after that", 1001, true, 100},
        {"a base", 5000, false, 5000},
        {"within the third", 5001, false, 5001},
        {"at its end", 5050, false, 9000},
        {"after its end", 5051, true, 5050},
        {"the last base", 9000, false, 9000},
        {"the last write", 9010, false, 9010},
        {"what nobody was given", 9011, true, 9010},
        {"the greatest", LDB_SEQUENCE_MAX, true, 9010},
    };
    const struct repl_epoch_history history = {.items = epochs, .count = 4};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_feed_start start;

        print_message("%s\n", rows[i].name);
        repl_feed_start_find(&history, 9010, rows[i].since, &start);
        assert_int_equal(start.is_lost, rows[i].is_lost);
        assert_int_equal(start.is_lost ? start.fork : start.since,
                         rows[i].expected);
    }
}

static void without_epochs_all_up_to_the_last_is_here(void **state)
{
    const struct repl_epoch_history none = {0};
    struct repl_feed_start start;

    (void)state;
    repl_feed_start_find(&none, 7, 7, &start);
    assert_false(start.is_lost);
    assert_int_equal(start.since, 7);
    repl_feed_start_find(&none, 7, 8, &start);
    assert_true(start.is_lost);
    assert_int_equal(start.fork, 7);
}

/* A folder taken over from another library: nothing of ours before. */
static void the_first_epoch_may_begin_above_what_was_found(void **state)
{
    struct repl_epoch first = {.number = 1, .previous_last = 40, .base = 1040};
    const struct repl_epoch_history history = {.items = &first, .count = 1};
    struct repl_feed_start start;

    (void)state;
    repl_feed_start_find(&history, 1040, 40, &start);
    assert_int_equal(start.since, 1040);
    repl_feed_start_find(&history, 1040, 41, &start);
    assert_true(start.is_lost);
    repl_feed_start_find(&history, 1040, 39, &start);
    assert_false(start.is_lost);
    assert_int_equal(start.since, 39);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_sequence_has_its_place),
        cmocka_unit_test(without_epochs_all_up_to_the_last_is_here),
        cmocka_unit_test(the_first_epoch_may_begin_above_what_was_found),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
