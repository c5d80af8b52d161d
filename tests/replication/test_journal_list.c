/* The journals as others are told of them: no gap, durable lengths. */
#include "replication/journal_list.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/leader_fixture.h"
#include "tests/support/mem_fault.h"

static struct repl_journal_list take(struct leader_fixture *f, uint64_t number)
{
    struct repl_journal_list list = {0};

    assert_ldb_ok(
        repl_journal_list_take(f->db, f->digests, number, &f->err, &list),
        &f->err);
    return list;
}

static void an_open_journal_is_as_long_as_it_is_durable(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_journal_list list = take(f, 0);

    assert_int_equal(list.count, 1);
    assert_int_equal(list.entries[0].number, leader_fixture_journal(f));
    assert_int_equal(list.entries[0].len, 0);
    assert_int_equal(list.entries[0].first, 1);
    assert_int_equal(list.entries[0].last, 0);
    assert_false(list.entries[0].is_sealed);
    repl_journal_list_release(&list);
    (void)leader_fixture_put(f, "a", "1");
    (void)db_fixture_put(f->base, "b", "not synced");
    list = take(f, 0);
    assert_int_equal(list.entries[0].len, ldb_durable_position(f->db).offset);
    assert_int_equal(list.entries[0].last, 1);
    assert_int_equal(list.durable.offset, list.entries[0].len);
    assert_int_equal(list.durable.sequence, 1);
    repl_journal_list_release(&list);
    repl_journal_list_release(&list);
}

static void an_epochs_base_is_in_no_journal(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_journal_list list;

    assert_ldb_ok(ldb_raise_sequence(f->db, 100, &f->err), &f->err);
    list = take(f, 0);
    assert_int_equal(list.entries[0].first, 1);
    assert_int_equal(list.entries[0].last, 0);
    repl_journal_list_release(&list);
    (void)leader_fixture_put(f, "a", "1");
    list = take(f, 0);
    assert_int_equal(list.entries[0].last, 101);
    repl_journal_list_release(&list);
}

static void sealed_ones_come_first_with_all_they_have(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_journal_list list;

    for (unsigned i = 0; i < 3; i++)
        (void)leader_fixture_flush_one(f, "a");
    list = take(f, 0);
    assert_int_equal(list.count, 4);
    for (size_t i = 0; i < 3; i++) {
        const struct repl_journal_entry *entry = &list.entries[i];

        assert_true(entry->is_sealed && entry->is_archived);
        assert_true(entry->len > 0);
        assert_int_equal(entry->first, i + 1);
        assert_int_equal(entry->last, i + 1);
        assert_true(entry->number < list.entries[i + 1].number);
    }
    assert_false(list.entries[3].is_sealed);
    assert_int_equal(list.entries[3].len, 0);
    assert_int_equal(list.entries[3].last, 3);
    repl_journal_list_release(&list);
}

static void it_begins_where_it_is_asked_to(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_journal_list all;
    struct repl_journal_list some;

    for (unsigned i = 0; i < 3; i++)
        (void)leader_fixture_flush_one(f, "a");
    all = take(f, 0);
    some = take(f, all.entries[1].number);
    assert_int_equal(some.count, 3);
    assert_int_equal(some.entries[0].number, all.entries[1].number);
    repl_journal_list_release(&some);
    some = take(f, all.entries[3].number + 1);
    assert_int_equal(some.count, 0);
    repl_journal_list_release(&some);
    repl_journal_list_release(&all);
}

/* Digest of a journal, waited for. */
static void digest(struct leader_fixture *f,
                   const struct repl_journal_entry *entry)
{
    const struct repl_digest_file file = {
        .type = LDB_FILE_JOURNAL, .number = entry->number, .size = entry->len};
    const struct ldb_digest digest = {.bytes = {1, 2, 3}};

    assert_true(repl_digest_index_put(f->digests, &file, &digest));
}

static void a_digest_is_told_once_it_is_known(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_journal_list list;

    (void)leader_fixture_flush_one(f, "a");
    list = take(f, 0);
    assert_int_equal(list.count, 2);
    digest(f, &list.entries[0]);
    repl_journal_list_release(&list);
    list = take(f, 0);
    assert_true(list.entries[0].has_digest);
    assert_false(list.entries[1].has_digest);
    repl_journal_list_release(&list);
}

static void many_are_listed_by_one_call(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_journal_list list;

    for (unsigned i = 0; i < 100; i++) {
        (void)leader_fixture_put(f, "a", "1");
        db_fixture_flush(f->base);
    }
    list = take(f, 0);
    assert_int_equal(list.count, 101);
    for (size_t i = 1; i < list.count; i++) {
        assert_true(list.entries[i - 1].number < list.entries[i].number);
        assert_int_equal(list.entries[i].first, list.entries[i - 1].last + 1);
    }
    repl_journal_list_release(&list);
}

static void each_allocation_may_fail(void **state)
{
    struct leader_fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        struct repl_journal_list list = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_journal_list_take(f->db, NULL, 0, &f->err, &list);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            repl_journal_list_release(&list);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        assert_null(list.entries);
    }
}

static void a_database_that_only_reads_has_none(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_journal_list list = {0};

    leader_fixture_stop(f);
    f->base->options.read_only = true;
    db_fixture_open(f->base);
    assert_ldb_status(
        LDB_READ_ONLY,
        repl_journal_list_take(f->base->db, NULL, 0, &f->err, &list), &f->err);
    db_fixture_close(f->base);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, leader_fixture_setup,                \
                                    leader_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(an_open_journal_is_as_long_as_it_is_durable),
        TEST(an_epochs_base_is_in_no_journal),
        TEST(sealed_ones_come_first_with_all_they_have),
        TEST(it_begins_where_it_is_asked_to),
        TEST(a_digest_is_told_once_it_is_known),
        TEST(many_are_listed_by_one_call),
        TEST(each_allocation_may_fail),
        TEST(a_database_that_only_reads_has_none),
    };

    return cmocka_run_group_tests_name("journal_list", tests, NULL, NULL);
}
