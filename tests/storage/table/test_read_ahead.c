#include "storage/table/read_ahead.h"

#include <errno.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"

#define PATH     "/table"
#define FILE_LEN (3 * LDB_READ_AHEAD_SIZE + 77)

struct fixture {
    struct env_fault *fault;
    struct ldb_env *env;
    struct ldb_read_ahead_budget budget;
    struct ldb_error err;
};

static uint8_t contents[FILE_LEN];

static int setup(void **state)
{
    static struct fixture f;
    struct ldb_writable_file *file = NULL;
    uint64_t seed = 1;

    bytes_fill(&seed, contents, sizeof(contents));
    f = (struct fixture){.fault = env_fault_create(NULL)};
    atomic_init(&f.budget.left, 1);
    f.env = env_fault_env(f.fault);
    assert_ldb_ok(f.env->ops->open_writable(f.env, PATH, LDB_OPEN_TRUNCATE,
                                            &f.err, &file),
                  &f.err);
    assert_ldb_ok(
        ldb_file_append(file, ldb_slice_make(contents, FILE_LEN), &f.err),
        &f.err);
    assert_ldb_ok(ldb_file_close(file, &f.err), &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    /* Each was closed, and each attempt gave back what it took. */
    assert_int_equal(atomic_load(&f->budget.left), 1);
    env_fault_destroy(f->fault);
    return 0;
}

static struct ldb_read_ahead *try_open(struct fixture *f)
{
    return ldb_read_ahead_open(f->env, PATH, FILE_LEN, &f->budget);
}

static struct ldb_read_ahead *open_ahead(struct fixture *f)
{
    struct ldb_read_ahead *ahead = try_open(f);

    assert_non_null(ahead);
    return ahead;
}

static void assert_reads(struct fixture *f, struct ldb_read_ahead *ahead,
                         uint64_t offset, size_t len)
{
    struct ldb_slice got;

    assert_true(ldb_read_ahead_reaches(ahead, offset, len));
    assert_ldb_ok(ldb_read_ahead_read(ahead, offset, len, &f->err, &got),
                  &f->err);
    assert_ldb_slice(ldb_slice_make(contents + offset, len), got);
}

static uint64_t calls(struct fixture *f)
{
    return env_fault_count(f->fault, ENV_FAULT_BIT(ENV_FAULT_READ) |
                                         ENV_FAULT_BIT(ENV_FAULT_SKIP));
}

static void small_pieces_come_out_of_few_large_reads(void **state)
{
    struct fixture *f = *state;
    struct ldb_read_ahead *ahead = open_ahead(f);
    uint64_t offset = 0;
    uint64_t seed = 2;

    while (offset < FILE_LEN) {
        size_t len = 1 + (size_t)(bytes_next(&seed) % 5000);

        if (len > FILE_LEN - offset)
            len = (size_t)(FILE_LEN - offset);
        assert_reads(f, ahead, offset, len);
        assert_reads(f, ahead, offset, len); /* again, from memory */
        offset += len;
    }
    assert_in_range(calls(f), 4, 5);
    ldb_read_ahead_close(ahead);
}

static void gaps_are_passed_over_and_large_ones_not_read(void **state)
{
    struct fixture *f = *state;

    for (uint64_t seed = 1; seed < 200; seed++) {
        struct ldb_read_ahead *ahead = open_ahead(f);
        uint64_t dice = seed;
        uint64_t offset = 0;

        for (;;) {
            size_t len =
                (size_t)(bytes_next(&dice) % (LDB_READ_AHEAD_SIZE + 1));

            offset += bytes_next(&dice) % 2 * (bytes_next(&dice) % FILE_LEN);
            if (offset > FILE_LEN || len > FILE_LEN - offset)
                break;
            assert_reads(f, ahead, offset, len);
            offset += len;
        }
        ldb_read_ahead_close(ahead);
    }
}

static void a_gap_beyond_its_memory_costs_one_skip_and_one_read(void **state)
{
    struct fixture *f = *state;
    struct ldb_read_ahead *ahead = open_ahead(f);

    assert_reads(f, ahead, 10, 20);
    env_fault_forget_counts(f->fault);
    assert_reads(f, ahead, FILE_LEN - 50, 50);
    assert_int_equal(calls(f), 2);
    ldb_read_ahead_close(ahead);
}

static void what_lies_behind_or_is_too_large_is_out_of_reach(void **state)
{
    struct fixture *f = *state;
    struct ldb_read_ahead *ahead = open_ahead(f);

    assert_true(ldb_read_ahead_reaches(ahead, 0, LDB_READ_AHEAD_SIZE));
    assert_false(ldb_read_ahead_reaches(ahead, 0, LDB_READ_AHEAD_SIZE + 1));
    assert_false(ldb_read_ahead_reaches(ahead, 5, SIZE_MAX));
    assert_reads(f, ahead, 1000, LDB_READ_AHEAD_SIZE);
    assert_false(ldb_read_ahead_reaches(ahead, 999, 1));
    assert_true(ldb_read_ahead_reaches(ahead, 1000, 1));
    ldb_read_ahead_close(ahead);
}

/* Its memory is no more than a small file needs. */
static void a_small_file_takes_memory_of_its_size(void **state)
{
    struct fixture *f = *state;
    struct ldb_read_ahead *ahead =
        ldb_read_ahead_open(f->env, PATH, 100, &f->budget);

    assert_non_null(ahead);
    assert_reads(f, ahead, 0, 100);
    assert_false(ldb_read_ahead_reaches(ahead, 0, 101));
    ldb_read_ahead_close(ahead);
}

static void a_file_that_ends_too_early_is_corruption(void **state)
{
    static const struct {
        uint64_t offset;
        size_t len;
        const char *message;
    } rows[] = {
        {FILE_LEN - 10, 11, "10 of 11 bytes are in the file"},
        {FILE_LEN, 1, "0 of 1 bytes are in the file"},
        {FILE_LEN + 1000000, 7, "0 of 7 bytes are in the file"},
    };
    struct fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_read_ahead *ahead = open_ahead(f);
        struct ldb_slice got = {0};

        f->err = (struct ldb_error){0};
        assert_ldb_status(LDB_CORRUPTION,
                          ldb_read_ahead_read(ahead, rows[i].offset,
                                              rows[i].len, &f->err, &got),
                          &f->err);
        assert_string_equal(f->err.message, rows[i].message);
        assert_null(got.data);
        /* Again: the file is no longer, and nobody is led astray. */
        assert_true(ldb_read_ahead_reaches(ahead, rows[i].offset, rows[i].len));
        assert_ldb_status(LDB_CORRUPTION,
                          ldb_read_ahead_read(ahead, rows[i].offset,
                                              rows[i].len, &f->err, &got),
                          &f->err);
        ldb_read_ahead_close(ahead);
    }
}

static void after_a_failed_call_nothing_is_in_reach(void **state)
{
    static const enum env_fault_kind kinds[] = {ENV_FAULT_READ, ENV_FAULT_SKIP};
    struct fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        const struct env_fault_rule rule = {
            .kinds = ENV_FAULT_BIT(kinds[i]), .nth = 1, .sys_errno = EIO};
        struct ldb_read_ahead *ahead = open_ahead(f);
        struct ldb_slice got = {0};

        assert_reads(f, ahead, 0, 10);
        env_fault_fail(f->fault, &rule);
        assert_ldb_status(
            LDB_IO,
            ldb_read_ahead_read(ahead, FILE_LEN - 10, 10, &f->err, &got),
            &f->err);
        env_fault_fail(f->fault, NULL);
        assert_null(got.data);
        assert_false(ldb_read_ahead_reaches(ahead, FILE_LEN - 10, 10));
        ldb_read_ahead_close(ahead);
    }
}

static void no_more_are_open_than_the_budget_has(void **state)
{
    struct fixture *f = *state;
    struct ldb_read_ahead *ahead = open_ahead(f);

    assert_null(try_open(f));
    assert_null(try_open(f));
    ldb_read_ahead_close(ahead);
    ldb_read_ahead_close(NULL);
    ldb_read_ahead_close(open_ahead(f));
}

static void what_cannot_be_opened_is_none_and_takes_no_budget(void **state)
{
    const struct env_fault_rule rule = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_OPEN_SEQUENTIAL),
        .nth = 1,
        .sys_errno = EMFILE};
    struct fixture *f = *state;

    assert_null(ldb_read_ahead_open(f->env, "/none", 100, &f->budget));
    env_fault_fail(f->fault, &rule);
    assert_null(try_open(f));
    env_fault_fail(f->fault, NULL);
    for (uint64_t n = 1;; n++) {
        struct ldb_read_ahead *ahead;

        mem_fault_start(n, MEM_FAULT_ONCE);
        ahead = try_open(f);
        if (!mem_fault_stop()) {
            assert_non_null(ahead);
            ldb_read_ahead_close(ahead);
            break;
        }
        assert_null(ahead);
    }
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(small_pieces_come_out_of_few_large_reads),
        TEST(gaps_are_passed_over_and_large_ones_not_read),
        TEST(a_gap_beyond_its_memory_costs_one_skip_and_one_read),
        TEST(what_lies_behind_or_is_too_large_is_out_of_reach),
        TEST(a_small_file_takes_memory_of_its_size),
        TEST(a_file_that_ends_too_early_is_corruption),
        TEST(after_a_failed_call_nothing_is_in_reach),
        TEST(no_more_are_open_than_the_budget_has),
        TEST(what_cannot_be_opened_is_none_and_takes_no_budget),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
