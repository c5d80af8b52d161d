#include "replication/digest_table.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static struct repl_digest_table table;

static int setup(void **state)
{
    (void)state;
    assert_true(repl_digest_table_init(&table));
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_digest_table_release(&table);
    return 0;
}

static struct repl_digest_file a_table(uint64_t number, uint64_t size)
{
    return (struct repl_digest_file){
        .type = LDB_FILE_TABLE, .number = number, .size = size};
}

static struct repl_digest_entry *add(uint64_t number, uint64_t size)
{
    struct repl_digest_file file = a_table(number, size);
    struct repl_digest_entry *entry = repl_digest_table_add(&table, &file);

    assert_non_null(entry);
    return entry;
}

static struct repl_digest_entry *find(uint64_t number, uint64_t size)
{
    struct repl_digest_file file = a_table(number, size);

    return repl_digest_table_find(&table, &file);
}

static struct ldb_digest digest_of(uint8_t byte)
{
    return (struct ldb_digest){{byte}};
}

static void set(struct repl_digest_entry *entry, uint8_t byte)
{
    struct ldb_digest digest = digest_of(byte);

    repl_digest_table_set(&table, entry, &digest);
}

static void a_file_is_its_name_and_its_bytes(void **state)
{
    struct repl_digest_file journal = {
        .type = LDB_FILE_JOURNAL, .number = 7, .size = 100};
    struct repl_digest_entry *entry = add(7, 100);

    (void)state;
    assert_ptr_equal(entry, find(7, 100));
    assert_null(find(7, 101));
    assert_null(find(8, 100));
    assert_null(repl_digest_table_find(&table, &journal));
    assert_ptr_equal(entry,
                     repl_digest_table_find_name(&table, LDB_FILE_TABLE, 7));
    assert_null(repl_digest_table_find_name(&table, LDB_FILE_JOURNAL, 7));
}

/* More than there are buckets at first, twice over; numbers that share one. */
static void many_are_found_and_each_comes_once(void **state)
{
    const uint64_t count = 1000;
    struct repl_digest_entry *entry = NULL;
    uint64_t seen = 0;

    (void)state;
    for (uint64_t i = 0; i < count; i++)
        (void)add(i * 64, i);
    for (uint64_t i = 0; i < count; i++)
        assert_non_null(find(i * 64, i));
    while ((entry = repl_digest_table_next(&table, entry)) != NULL) {
        assert_false(entry->is_urgent);
        entry->is_urgent = true; /* a mark */
        seen++;
    }
    assert_int_equal(count, seen);
    for (uint64_t i = 0; i < count; i += 2)
        repl_digest_table_remove(&table, find(i * 64, i));
    for (uint64_t i = 0; i < count; i++)
        assert_true((find(i * 64, i) != NULL) == (i % 2 == 1));
    assert_int_equal(count / 2, table.count);
}

static void urgent_ones_come_first_each_in_its_turn(void **state)
{
    static const uint64_t wanted[] = {4, 2, 1, 3, 5};

    (void)state;
    for (uint64_t i = 1; i <= 5; i++)
        repl_digest_table_queue(&table, add(i, 10), i == 4);
    assert_int_equal(5, table.queued);
    /* The one in the middle is asked for, then the first; again it stays
     * where it is. */
    repl_digest_table_queue(&table, find(2, 10), true);
    repl_digest_table_queue(&table, find(4, 10), true);
    repl_digest_table_queue(&table, find(4, 10), false);
    for (size_t i = 0; i < 5; i++) {
        struct repl_digest_entry *entry = repl_digest_table_take(&table);

        assert_non_null(entry);
        assert_int_equal(wanted[i], entry->file.number);
        assert_int_equal(REPL_DIGEST_READING, entry->state);
    }
    assert_null(repl_digest_table_take(&table));
    assert_int_equal(0, table.queued);
}

static void what_is_known_replaces_what_was_known_of_other_bytes(void **state)
{
    (void)state;
    set(add(7, 100), 1);
    set(add(8, 100), 2);
    repl_digest_table_queue(&table, add(7, 101), false);
    set(add(7, 102), 3);
    assert_null(find(7, 100));
    assert_non_null(find(8, 100));
    /* Wanted, not known: whoever waits for it is told when it was looked. */
    assert_non_null(find(7, 101));
    assert_int_equal(3, find(7, 102)->digest.bytes[0]);
    assert_int_equal(2, table.known);
    set(find(7, 102), 4);
    assert_int_equal(4, find(7, 102)->digest.bytes[0]);
    assert_int_equal(2, table.known);
}

static void
a_queued_one_that_is_known_or_removed_is_queued_no_more(void **state)
{
    (void)state;
    for (uint64_t i = 1; i <= 3; i++)
        repl_digest_table_queue(&table, add(i, 10), false);
    set(find(1, 10), 1);
    repl_digest_table_remove(&table, find(3, 10));
    assert_int_equal(1, table.queued);
    assert_int_equal(1, table.known);
    assert_int_equal(2, repl_digest_table_take(&table)->file.number);
    assert_null(repl_digest_table_take(&table));
    repl_digest_table_remove(&table, find(1, 10));
    assert_int_equal(0, table.known);
}

static void a_held_one_outlives_its_removal(void **state)
{
    struct repl_digest_entry *held = add(7, 100);

    (void)state;
    held->is_held = true;
    repl_digest_table_remove(&table, held);
    assert_null(find(7, 100));
    assert_true(held->is_removed);
    /* The same file again is another entry. */
    assert_ptr_not_equal(held, add(7, 100));
    assert_false(repl_digest_table_let_go(held));
    held = find(7, 100);
    held->is_held = true;
    assert_true(repl_digest_table_let_go(held));
    assert_ptr_equal(held, find(7, 100));
}

static void failing_allocations_are_told(void **state)
{
    struct repl_digest_table other;
    struct repl_digest_file file;

    (void)state;
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_false(repl_digest_table_init(&other));
    assert_true(mem_fault_stop());
    repl_digest_table_release(&other);
    mem_fault_start(1, MEM_FAULT_ONCE);
    file = a_table(1, 1);
    assert_null(repl_digest_table_add(&table, &file));
    assert_true(mem_fault_stop());
    /* Without memory for more buckets all goes on. */
    for (uint64_t i = 0; i < 64; i++)
        (void)add(i, 1);
    mem_fault_start(2, MEM_FAULT_ONCE);
    (void)add(64, 1);
    assert_true(mem_fault_stop());
    assert_int_equal(64, table.bucket_count);
    assert_non_null(find(0, 1));
    assert_non_null(find(64, 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_file_is_its_name_and_its_bytes, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(many_are_found_and_each_comes_once,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(urgent_ones_come_first_each_in_its_turn,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_is_known_replaces_what_was_known_of_other_bytes, setup,
            teardown),
        cmocka_unit_test_setup_teardown(
            a_queued_one_that_is_known_or_removed_is_queued_no_more, setup,
            teardown),
        cmocka_unit_test_setup_teardown(a_held_one_outlives_its_removal, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(failing_allocations_are_told, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
