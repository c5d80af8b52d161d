/* What a twin says of itself, as another node reads it. */
#include "replication/twin_report.h"

#include <string.h>

#include "storage/base/buf.h"
#include "storage/base/env.h"
#include "storage/base/mem.h"
#include "storage/twin.h"
#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define BYTES_MAX ((size_t)1 << 20)

static const struct repl_identity identity = {
    .cluster_id = "0123456789abcdef0123456789abcdef",
    .node_id = "fedcba9876543210fedcba9876543210",
};

struct fixture {
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_db *leader;
    struct ldb_db *twin;
    struct ldb_error err;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    assert_ldb_ok(ldb_env_memory_create(&f.err, &f.env), &f.err);
    ldb_options_init(&f.options);
    f.options.env = f.env;
    f.options.create_if_missing = true;
    assert_ldb_ok(ldb_open("/leader", &f.options, NULL, &f.err, &f.leader),
                  &f.err);
    assert_ldb_ok(ldb_twin_open("/twin", &f.options, NULL, &f.err, &f.twin),
                  &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    assert_ldb_ok(ldb_close(f->twin, &f->err), &f->err);
    assert_ldb_ok(ldb_close(f->leader, &f->err), &f->err);
    ldb_env_memory_destroy(f->env);
    return 0;
}

static void put(struct fixture *f, const char *key)
{
    assert_ldb_ok(ldb_put(f->leader, ldb_slice_str(key), ldb_slice_str("v"),
                          true, &f->err, NULL),
                  &f->err);
}

/* All of the leader's open journal, into the twin; its number. */
static uint64_t ship(struct fixture *f, uint64_t *out_len)
{
    struct ldb_buf bytes = LDB_BUF_INIT(BYTES_MAX);
    struct ldb_stats stats;
    char *path;

    ldb_stats(f->leader, &stats);
    path = ldb_file_path("/leader", LDB_FILE_JOURNAL, stats.journal_number);
    assert_non_null(path);
    assert_ldb_ok(ldb_env_read_file(f->env, path, &f->err, &bytes), &f->err);
    ldb_mem_free(path);
    assert_ldb_ok(ldb_twin_append(f->twin, stats.journal_number, 0,
                                  ldb_slice_of_buf(&bytes), &f->err),
                  &f->err);
    *out_len = bytes.len;
    ldb_buf_release(&bytes);
    return stats.journal_number;
}

static enum ldb_status report(struct fixture *f, struct repl_state *out)
{
    static struct repl_epoch epochs[] = {{.number = 1, .id = 5},
                                         {.number = 2, .id = 6, .base = 9}};
    static const struct repl_epoch_history history = {.items = epochs,
                                                      .count = 2};
    const struct repl_twin_report from = {
        .db = f->twin,
        .env = f->env,
        .engine = &f->options,
        .identity = &identity,
        .history = &history,
        .leader_url = "http://a:1",
    };

    *out = (struct repl_state){0};
    return repl_twin_report_state(&from, &f->err, out);
}

static void it_says_whom_it_follows_and_how_far(void **state)
{
    struct fixture *f = *state;
    struct repl_state at;
    uint64_t journal;
    uint64_t len;

    put(f, "a");
    put(f, "b");
    journal = ship(f, &len);
    assert_ldb_ok(report(f, &at), &f->err);
    assert_int_equal(at.role, REPL_ROLE_FOLLOWER);
    assert_string_equal(at.leader_url, "http://a:1");
    assert_string_equal(at.identity.cluster_id, identity.cluster_id);
    assert_int_equal(at.history.count, 2);
    assert_int_equal(at.history.items[1].id, 6);
    assert_int_equal(at.last_sequence, 2);
    /* Applied, and not durable yet. */
    assert_int_equal(at.durable.sequence, 0);
    assert_int_equal(at.journal_count, 1);
    assert_int_equal(at.journals[0].number, journal);
    assert_int_equal(at.journals[0].len, 0);
    repl_state_release(&at);

    assert_ldb_ok(ldb_twin_sync(f->twin, &f->err, NULL), &f->err);
    assert_ldb_ok(report(f, &at), &f->err);
    assert_int_equal(at.durable.sequence, 2);
    assert_int_equal(at.durable.journal, journal);
    assert_int_equal(at.journals[0].len, len);
    assert_false(at.journals[0].is_sealed);
    assert_int_equal(at.journals[0].first, 1);
    assert_int_equal(at.journals[0].last, 2);
    repl_state_release(&at);
}

/* Its folder is being made anew: what is known stays known. */
static void without_a_database_it_stands_nowhere(void **state)
{
    struct fixture *f = *state;
    struct ldb_db *twin = f->twin;
    struct ldb_buf document = LDB_BUF_INIT(BYTES_MAX);
    struct repl_state at;
    struct repl_state read = {0};
    uint64_t len;

    put(f, "a");
    (void)ship(f, &len);
    f->twin = NULL;
    assert_ldb_ok(report(f, &at), &f->err);
    f->twin = twin;
    assert_ldb_ok(repl_state_encode(&at, &f->err, &document), &f->err);
    repl_state_release(&at);
    assert_ldb_ok(
        repl_state_decode(ldb_slice_of_buf(&document), &f->err, &read),
        &f->err);
    assert_string_equal(read.leader_url, "http://a:1");
    assert_int_equal(read.history.count, 2);
    assert_int_equal(read.journal_count, 0);
    assert_int_equal(read.last_sequence, 0);
    repl_state_release(&read);
    ldb_buf_release(&document);
}

/* As a document it is one that others take. */
static void others_can_read_it(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf text = LDB_BUF_INIT(BYTES_MAX);
    struct repl_state at;
    struct repl_state read = {0};
    uint64_t journal;
    uint64_t len;

    put(f, "a");
    journal = ship(f, &len);
    assert_ldb_ok(ldb_twin_seal(f->twin, journal, len, &f->err), &f->err);
    assert_ldb_ok(ldb_flush(f->leader, &f->err), &f->err);
    put(f, "b");
    (void)ship(f, &len);
    assert_ldb_ok(report(f, &at), &f->err);
    assert_int_equal(at.journal_count, 2);
    assert_true(at.journals[0].is_sealed);
    assert_ldb_ok(repl_state_encode(&at, &f->err, &text), &f->err);
    assert_ldb_ok(repl_state_decode(ldb_slice_of_buf(&text), &f->err, &read),
                  &f->err);
    assert_int_equal(read.journal_count, 2);
    assert_int_equal(read.journals[1].first, 2);
    assert_string_equal(read.table_options.comparator,
                        "leveldb.BytewiseComparator");
    repl_state_release(&read);
    repl_state_release(&at);
    ldb_buf_release(&text);
}

static void without_memory_there_is_no_report(void **state)
{
    struct fixture *f = *state;
    struct repl_state at;
    uint64_t len;

    put(f, "a");
    (void)ship(f, &len);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = report(f, &at);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            break;
        }
        assert_int_equal(s, LDB_NO_MEMORY);
        assert_null(at.journals);
    }
    repl_state_release(&at);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(it_says_whom_it_follows_and_how_far),
        TEST(without_a_database_it_stands_nowhere),
        TEST(others_can_read_it),
        TEST(without_memory_there_is_no_report),
    };

    return cmocka_run_group_tests_name("twin_report", tests, NULL, NULL);
}
