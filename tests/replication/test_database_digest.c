/* One number for a version: the same for the same, another for any other. */
#include "replication/database_digest.h"

#include <errno.h>
#include <string.h>

#include "replication/digest_index.h"
#include "storage/base/mutex.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/leader_fixture.h"
#include "tests/support/mem_fault.h"
#include "tests/support/patience.h"

/* Locking: woken is guarded by mu. */
struct waiter {
    struct ldb_mutex mu;
    struct ldb_cond changed;
    unsigned woken;
    unsigned waits; /* in all */
};

static void init_waiter(struct waiter *waiter)
{
    *waiter = (struct waiter){0};
    ldb_mutex_init(&waiter->mu);
    ldb_cond_init(&waiter->changed);
}

static void release_waiter(struct waiter *waiter)
{
    ldb_cond_release(&waiter->changed);
    ldb_mutex_release(&waiter->mu);
}

static void wake(void *context)
{
    struct waiter *waiter = context;

    ldb_mutex_lock(&waiter->mu);
    waiter->woken++;
    ldb_cond_broadcast(&waiter->changed);
    ldb_mutex_unlock(&waiter->mu);
}

static void await_wake(struct waiter *waiter)
{
    ldb_mutex_lock(&waiter->mu);
    while (waiter->woken == 0)
        assert_true(
            ldb_cond_wait_for(&waiter->changed, &waiter->mu, PATIENCE_US));
    assert_int_equal(waiter->woken, 1);
    waiter->woken = 0;
    waiter->waits++;
    ldb_mutex_unlock(&waiter->mu);
}

/* Steps to the end. */
static enum ldb_status run(struct leader_fixture *f, uint64_t epoch,
                           struct waiter *waiter,
                           struct repl_database_digest_result *out)
{
    const struct repl_database_digest_of of = {
        .db = f->db, .digests = f->digests, .epoch = epoch};
    struct repl_database_digest *digest = repl_database_digest_create();
    bool waits = true;
    enum ldb_status s = LDB_OK;

    assert_non_null(digest);
    while (s == LDB_OK && waits) {
        s = repl_database_digest_step(digest, &of, wake, waiter, &f->err,
                                      &waits, out);
        if (s == LDB_OK && waits)
            await_wake(waiter);
    }
    repl_database_digest_destroy(digest);
    return s;
}

static struct repl_database_digest_result find(struct leader_fixture *f,
                                               uint64_t epoch)
{
    struct repl_database_digest_result result = {0};
    struct waiter waiter;

    init_waiter(&waiter);
    assert_ldb_ok(run(f, epoch, &waiter, &result), &f->err);
    release_waiter(&waiter);
    return result;
}

static void it_says_which_version_it_is_of(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_database_digest_result result;
    struct ldb_stats stats;

    (void)leader_fixture_flush_one(f, "a");
    (void)leader_fixture_flush_one(f, "b");
    result = find(f, 3);
    ldb_stats(f->db, &stats);
    assert_int_equal(result.epoch, 3);
    assert_int_equal(result.manifest_number, stats.manifest_number);
    assert_int_equal(result.manifest_len, stats.manifest_bytes);
    assert_int_equal(result.sequence, 2);
    assert_int_equal(result.tables, 2);
}

static void it_is_the_same_for_the_same(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_database_digest_result first;
    struct repl_database_digest_result second;

    (void)leader_fixture_flush_one(f, "a");
    first = find(f, 3);
    (void)leader_fixture_put(f, "b", "in the journal alone");
    second = find(f, 3);
    assert_true(ldb_digest_equal(&first.digest, &second.digest));
}

static void it_is_another_for_any_other(void **state)
{
    struct leader_fixture *f = *state;
    struct ldb_digest seen[6];
    size_t count = 0;

    seen[count++] = find(f, 3).digest;
    seen[count++] = find(f, 4).digest;
    (void)leader_fixture_flush_one(f, "a");
    seen[count++] = find(f, 3).digest;
    (void)leader_fixture_flush_one(f, "a");
    seen[count++] = find(f, 3).digest;
    leader_fixture_compact(f);
    seen[count++] = find(f, 3).digest;
    (void)leader_fixture_flush_one(f, "b");
    seen[count++] = find(f, 3).digest;
    for (size_t i = 0; i < count; i++) {
        for (size_t j = 0; j < i; j++)
            assert_false(ldb_digest_equal(&seen[i], &seen[j]));
    }
}

/* The bytes of one table are others, by the same name and length. */
static void bytes_of_a_table_count(void **state)
{
    struct leader_fixture *f = *state;
    const struct ldb_digest another = {.bytes = {1}};
    struct repl_database_digest_result first;
    struct repl_database_digest_result second;
    struct repl_digest_file file = {.type = LDB_FILE_TABLE};
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);
    char name[LDB_FILE_NAME_SIZE];

    file.number = leader_fixture_flush_one(f, "a");
    ldb_file_name_print(name, LDB_FILE_TABLE, file.number);
    db_fixture_read_file(f->base, name, &bytes);
    file.size = bytes.len;
    ldb_buf_release(&bytes);
    first = find(f, 3);
    repl_digest_index_drop(f->digests, LDB_FILE_TABLE, file.number);
    assert_true(repl_digest_index_put(f->digests, &file, &another));
    second = find(f, 3);
    assert_false(ldb_digest_equal(&first.digest, &second.digest));
}

static void digests_that_are_known_cost_no_wait(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_database_digest_result result;
    struct waiter waiter;

    init_waiter(&waiter);
    for (unsigned i = 0; i < 3; i++)
        (void)leader_fixture_flush_one(f, "a");
    assert_ldb_ok(run(f, 3, &waiter, &result), &f->err);
    assert_true(waiter.waits > 0 && waiter.waits <= 3);
    waiter.waits = 0;
    assert_ldb_ok(run(f, 3, &waiter, &result), &f->err);
    assert_int_equal(waiter.waits, 0);
    release_waiter(&waiter);
}

static void a_table_that_cannot_be_read_is_told(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_database_digest_result result;
    struct waiter waiter;

    init_waiter(&waiter);
    (void)leader_fixture_flush_one(f, "a");
    db_fixture_fail(f->base,
                    ENV_FAULT_BIT(ENV_FAULT_READ) |
                        ENV_FAULT_BIT(ENV_FAULT_READ_AT) |
                        ENV_FAULT_BIT(ENV_FAULT_OPEN_SEQUENTIAL) |
                        ENV_FAULT_BIT(ENV_FAULT_OPEN_RANDOM),
                    ".ldb", EIO);
    assert_ldb_status(LDB_IO, run(f, 3, &waiter, &result), &f->err);
    env_fault_fail(f->base->fault, NULL);
    assert_ldb_ok(run(f, 3, &waiter, &result), &f->err);
    release_waiter(&waiter);
}

static void each_allocation_may_fail(void **state)
{
    struct leader_fixture *f = *state;

    (void)leader_fixture_flush_one(f, "a");
    (void)find(f, 3);
    for (uint64_t n = 1;; n++) {
        const struct repl_database_digest_of of = {
            .db = f->db, .digests = f->digests, .epoch = 3};
        struct repl_database_digest_result result;
        struct repl_database_digest *digest;
        bool waits = true;
        enum ldb_status s = LDB_NO_MEMORY;

        mem_fault_start(n, MEM_FAULT_ONCE);
        digest = repl_database_digest_create();
        if (digest != NULL)
            s = repl_database_digest_step(digest, &of, wake, NULL, &f->err,
                                          &waits, &result);
        repl_database_digest_destroy(digest);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            assert_false(waits);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    }
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, leader_fixture_setup,                \
                                    leader_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_says_which_version_it_is_of),
        TEST(it_is_the_same_for_the_same),
        TEST(it_is_another_for_any_other),
        TEST(bytes_of_a_table_count),
        TEST(digests_that_are_known_cost_no_wait),
        TEST(a_table_that_cannot_be_read_is_told),
        TEST(each_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("database_digest", tests, NULL, NULL);
}
