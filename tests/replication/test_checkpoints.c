/* Versions held for followers: they stay as long as somebody asks for them. */
#include "replication/checkpoints.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "replication/served_file.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/leader_fixture.h"
#include "tests/support/mem_fault.h"

#define NODE_A "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"
#define NODE_B "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb"

static struct repl_checkpoints *all_of(struct leader_fixture *f)
{
    return repl_leader_checkpoints(f->leader);
}

static struct repl_checkpoint make(struct leader_fixture *f, const char *node)
{
    struct repl_checkpoint checkpoint = {0};

    assert_ldb_ok(repl_checkpoints_make(all_of(f), node, &f->err, &checkpoint),
                  &f->err);
    return checkpoint;
}

static bool has_table(struct leader_fixture *f, uint64_t number)
{
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, LDB_FILE_TABLE, number);
    return leader_fixture_has_file(f, name);
}

static void it_tells_the_version_and_what_belongs_to_it(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_checkpoint checkpoint;
    struct ldb_stats stats;
    uint64_t first = leader_fixture_flush_one(f, "a");
    uint64_t second = leader_fixture_flush_one(f, "b");
    char name[LDB_FILE_NAME_SIZE];

    (void)leader_fixture_put(f, "c", "in the journal");
    checkpoint = make(f, NODE_A);
    ldb_stats(f->db, &stats);
    assert_int_not_equal(checkpoint.id, 0);
    assert_int_equal(checkpoint.manifest_number, stats.manifest_number);
    assert_int_equal(checkpoint.manifest_len, stats.manifest_bytes);
    assert_int_equal(checkpoint.log_number, stats.journal_number);
    assert_int_equal(checkpoint.last_sequence, 2);
    assert_int_equal(checkpoint.file_count, 2);
    ldb_file_name_print(name, LDB_FILE_TABLE, first);
    assert_string_equal(checkpoint.files[0].name, name);
    ldb_file_name_print(name, LDB_FILE_TABLE, second);
    assert_string_equal(checkpoint.files[1].name, name);
    assert_true(checkpoint.files[0].size > 0);
    assert_int_equal(checkpoint.journal_count, 1);
    assert_int_equal(checkpoint.journals[0].number, stats.journal_number);
    assert_int_equal(checkpoint.journals[0].len,
                     ldb_durable_position(f->db).offset);
    repl_checkpoint_release(&checkpoint);
}

static void an_old_table_keeps_its_name(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t number = leader_fixture_flush_one(f, "a");
    struct repl_checkpoint checkpoint;
    char from[64];
    char to[64];

    (void)snprintf(from, sizeof(from), DB_FIXTURE_DIR "/%06u.ldb",
                   (unsigned)number);
    (void)snprintf(to, sizeof(to), DB_FIXTURE_DIR "/%06u.sst",
                   (unsigned)number);
    leader_fixture_stop(f);
    assert_ldb_ok(f->env->ops->rename_file(f->env, from, to, &f->err), &f->err);
    leader_fixture_start(f);
    checkpoint = make(f, NODE_A);
    assert_int_equal(checkpoint.file_count, 1);
    assert_string_equal(checkpoint.files[0].name, strrchr(to, '/') + 1);
    repl_checkpoint_release(&checkpoint);
}

static void its_tables_stay_and_are_served(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t number = leader_fixture_flush_one(f, "a");
    struct repl_served_file *file;
    struct repl_checkpoint checkpoint;

    (void)leader_fixture_flush_one(f, "a");
    checkpoint = make(f, NODE_A);
    leader_fixture_compact(f);
    assert_true(has_table(f, number));
    file = leader_fixture_file(f, checkpoint.files[0].name);
    assert_ldb_ok(repl_served_file_seek(file, 0, &f->err), &f->err);
    repl_served_file_close(file);
    repl_checkpoints_drop(all_of(f), checkpoint.id);
    repl_checkpoints_drop(all_of(f), checkpoint.id);
    assert_int_equal(repl_checkpoints_count(all_of(f)), 0);
    (void)leader_fixture_flush_one(f, "b");
    assert_false(has_table(f, number));
    repl_checkpoint_release(&checkpoint);
}

static void a_node_has_one(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_checkpoint first = make(f, NODE_A);
    struct repl_checkpoint other = make(f, NODE_B);
    struct repl_checkpoint second = make(f, NODE_A);

    assert_int_equal(repl_checkpoints_count(all_of(f)), 2);
    assert_false(repl_checkpoints_renew(all_of(f), first.id));
    assert_true(repl_checkpoints_renew(all_of(f), second.id));
    assert_true(repl_checkpoints_renew(all_of(f), other.id));
    repl_checkpoint_release(&first);
    repl_checkpoint_release(&other);
    repl_checkpoint_release(&second);
}

static void without_a_request_it_ends(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t now_us = UINT64_C(1000000000);
    uint64_t number = leader_fixture_flush_one(f, "a");
    struct repl_checkpoint checkpoint;
    uint64_t size;

    env_fault_set_clock(f->base->fault, now_us);
    checkpoint = make(f, NODE_A);
    now_us += REPL_CHECKPOINT_IDLE_US - 1;
    env_fault_set_clock(f->base->fault, now_us);
    repl_checkpoints_tick(all_of(f));
    assert_true(repl_checkpoints_renew(all_of(f), checkpoint.id));
    now_us += REPL_CHECKPOINT_IDLE_US - 1;
    env_fault_set_clock(f->base->fault, now_us);
    repl_checkpoints_tick(all_of(f));
    assert_true(repl_checkpoints_use_table(all_of(f), number, &size));
    assert_false(repl_checkpoints_use_table(all_of(f), number + 1, &size));
    assert_int_equal(size, checkpoint.files[0].size);
    now_us += REPL_CHECKPOINT_IDLE_US - 1;
    env_fault_set_clock(f->base->fault, now_us);
    repl_checkpoints_tick(all_of(f));
    assert_int_equal(repl_checkpoints_count(all_of(f)), 1);
    now_us += 1;
    env_fault_set_clock(f->base->fault, now_us);
    assert_false(repl_checkpoints_renew(all_of(f), checkpoint.id));
    repl_checkpoints_tick(all_of(f));
    assert_int_equal(repl_checkpoints_count(all_of(f)), 0);
    repl_checkpoint_release(&checkpoint);
}

/* A reader that is slow, but reads. */
static void reading_one_of_its_tables_renews_it(void **state)
{
    struct leader_fixture *f = *state;
    uint64_t now_us = UINT64_C(1000000000);
    struct repl_served_file *file;
    struct repl_checkpoint checkpoint;
    struct ldb_buf value = LDB_BUF_INIT(4 << 20);
    uint64_t seed = 1;
    uint8_t *piece;
    size_t len;

    /* More than a megabyte that nothing compresses. */
    assert_ldb_ok(ldb_buf_reserve(&value, 3 << 20), NULL);
    piece = value.data;
    bytes_fill(&seed, piece, 3 << 20);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("a"),
                          ldb_slice_make(piece, 3 << 20), true, &f->err, NULL),
                  &f->err);
    db_fixture_flush(f->base);
    env_fault_set_clock(f->base->fault, now_us);
    checkpoint = make(f, NODE_A);
    file = leader_fixture_file(f, checkpoint.files[0].name);
    assert_ldb_ok(repl_served_file_seek(file, 0, &f->err), &f->err);
    env_fault_set_clock(f->base->fault, now_us + REPL_CHECKPOINT_IDLE_US - 1);
    assert_ldb_ok(repl_served_file_read(file, 2 << 20, piece, &f->err, &len),
                  &f->err);
    assert_true(len > 1 << 20);
    env_fault_set_clock(f->base->fault, now_us + REPL_CHECKPOINT_IDLE_US);
    repl_checkpoints_tick(all_of(f));
    assert_int_equal(repl_checkpoints_count(all_of(f)), 1);
    repl_served_file_close(file);
    repl_checkpoint_release(&checkpoint);
    ldb_buf_release(&value);
}

static void its_journals_stay(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_checkpoint checkpoint;
    struct repl_served_file *file;

    leader_fixture_stop(f);
    f->base->options.archive_age_us = 0; /* nothing stays by itself */
    leader_fixture_start(f);
    (void)leader_fixture_put(f, "a", "1");
    checkpoint = make(f, NODE_A);
    db_fixture_flush(f->base);
    (void)leader_fixture_flush_one(f, "b");
    ldb_archive_trim(f->db, UINT64_MAX);
    file = leader_fixture_file(f, "000004.log");
    repl_served_file_close(file);
    assert_int_equal(checkpoint.journals[0].number, 4);
    /* The engine has the last word. */
    ldb_archive_trim(f->db, 0);
    assert_false(repl_checkpoints_renew(all_of(f), checkpoint.id));
    repl_checkpoints_tick(all_of(f));
    assert_int_equal(repl_checkpoints_count(all_of(f)), 0);
    repl_checkpoint_release(&checkpoint);
}

static void there_are_only_so_many(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_checkpoint checkpoint = {0};
    char node[REPL_ID_SIZE];

    for (unsigned i = 0; i <= REPL_CHECKPOINTS_MAX; i++) {
        (void)snprintf(node, sizeof(node), "%032u", i);
        if (i < REPL_CHECKPOINTS_MAX) {
            checkpoint = make(f, node);
            repl_checkpoint_release(&checkpoint);
        }
    }
    assert_ldb_status(
        LDB_STALLED,
        repl_checkpoints_make(all_of(f), node, &f->err, &checkpoint), &f->err);
    (void)snprintf(node, sizeof(node), "%032u", 3);
    checkpoint = make(f, node);
    repl_checkpoint_release(&checkpoint);
    repl_checkpoints_clear(all_of(f));
    assert_int_equal(repl_checkpoints_count(all_of(f)), 0);
}

static void each_allocation_may_fail(void **state)
{
    struct leader_fixture *f = *state;

    (void)leader_fixture_flush_one(f, "a");
    for (uint64_t n = 1;; n++) {
        struct repl_checkpoint checkpoint = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_checkpoints_make(all_of(f), NODE_A, &f->err, &checkpoint);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            repl_checkpoint_release(&checkpoint);
            break;
        }
        if (s == LDB_OK) /* a digest will be wanted later */
            repl_checkpoint_release(&checkpoint);
        else
            assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
        repl_checkpoints_clear(all_of(f));
    }
}

static void a_missing_table_is_told(void **state)
{
    struct leader_fixture *f = *state;
    struct repl_checkpoint checkpoint = {0};
    uint64_t number = leader_fixture_flush_one(f, "a");
    char path[64];

    (void)snprintf(path, sizeof(path), DB_FIXTURE_DIR "/%06u.ldb",
                   (unsigned)number);
    assert_ldb_ok(f->env->ops->remove_file(f->env, path, &f->err), &f->err);
    assert_ldb_status(
        LDB_CORRUPTION,
        repl_checkpoints_make(all_of(f), NODE_A, &f->err, &checkpoint),
        &f->err);
    db_fixture_fail(f->base, ENV_FAULT_BIT(ENV_FAULT_LIST_DIR), NULL, EIO);
    assert_ldb_status(
        LDB_IO, repl_checkpoints_make(all_of(f), NODE_A, &f->err, &checkpoint),
        &f->err);
    env_fault_fail(f->base->fault, NULL);
    assert_int_equal(repl_checkpoints_count(all_of(f)), 0);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, leader_fixture_setup,                \
                                    leader_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(it_tells_the_version_and_what_belongs_to_it),
        TEST(an_old_table_keeps_its_name),
        TEST(its_tables_stay_and_are_served),
        TEST(a_node_has_one),
        TEST(without_a_request_it_ends),
        TEST(reading_one_of_its_tables_renews_it),
        TEST(its_journals_stay),
        TEST(there_are_only_so_many),
        TEST(each_allocation_may_fail),
        TEST(a_missing_table_is_told),
    };

    return cmocka_run_group_tests_name("checkpoints", tests, NULL, NULL);
}
