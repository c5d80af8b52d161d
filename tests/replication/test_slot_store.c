#include "replication/slot_store.h"

#include <stdio.h>

#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/sidecar_env.h"

#define DIR    SIDECAR_ENV_DIR
#define NODE_A "000102030405060708090a0b0c0d0e0f"
#define NODE_B "101112131415161718191a1b1c1d1e1f"
#define LINE_A "slot " NODE_A " 7 100 20 http://a:4100\n"
#define LINE_B "slot " NODE_B " 0 0 0 -\n"

static struct ldb_env *env;
static struct repl_slot_record *records;

static int setup(void **state)
{
    (void)state;
    env = sidecar_env_create();
    records = ldb_mem_zalloc(REPL_SLOTS_MAX, sizeof(*records));
    assert_non_null(records);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_mem_free(records);
    ldb_env_memory_destroy(env);
    return 0;
}

static void save(const char *lines)
{
    struct ldb_error err = {0};

    assert_ldb_ok(repl_slot_store_save(env, DIR, ldb_slice_str(lines), &err),
                  &err);
}

static size_t load(void)
{
    struct ldb_error err = {0};
    size_t count = SIZE_MAX;

    assert_ldb_ok(repl_slot_store_load(env, DIR, &err, records, &count), &err);
    return count;
}

static void slots_have_these_lines(void **state)
{
    static const struct repl_slot_record two[] = {
        {NODE_A, "http://a:4100", {7, 100, 20}},
        {NODE_B, "", {0, 0, 0}},
        {NODE_B, "http://a b/", {0, 0, 0}}, /* no URL */
    };
    struct ldb_buf lines = LDB_BUF_INIT(4096);
    struct ldb_error err = {0};

    (void)state;
    for (size_t i = 0; i < 3; i++)
        assert_ldb_ok(repl_slot_store_print(&two[i], &lines), &err);
    assert_ldb_slice(ldb_slice_str(LINE_A LINE_B LINE_B),
                     ldb_slice_of_buf(&lines));
    ldb_buf_release(&lines);
}

static void what_was_saved_is_loaded(void **state)
{
    (void)state;
    assert_int_equal(0, load()); /* there is no file */
    save(LINE_A LINE_B);
    assert_int_equal(2, load());
    assert_string_equal(NODE_A, records[0].node_id);
    assert_string_equal("http://a:4100", records[0].url);
    assert_int_equal(7, records[0].place.journal);
    assert_int_equal(100, records[0].place.offset);
    assert_int_equal(20, records[0].place.sequence);
    assert_string_equal(NODE_B, records[1].node_id);
    assert_string_equal("", records[1].url);
    assert_int_equal(0, records[1].place.journal);
    save("");
    assert_int_equal(0, load());
}

static void what_is_damaged_has_no_slots(void **state)
{
    static const char *const rows[] = {
        LINE_B LINE_A, /* not in order */
        LINE_A LINE_A,
        LINE_A "slot\n",
        LINE_A "\n",
        "slots " NODE_A " 7 100 20 -\n",
        "slot 0001 7 100 20 -\n",
        "slot X00102030405060708090a0b0c0d0e0f 7 100 20 -\n",
        "slot " NODE_A " 7 100 72057594037927936 -\n",
        "slot " NODE_A " 7 -1 20 -\n",
        "slot " NODE_A " x 1 20 -\n",
        "slot " NODE_A " 7 1 20 http://\x7f\n",
        "slot " NODE_A " 7 1 20 - -\n",
    };
    struct ldb_error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        save(rows[i]);
        if (load() != 0)
            fail_msg("row %zu: %s", i, rows[i]);
    }
    assert_ldb_ok(ldb_env_replace_file(env, DIR, DIR "/leveld/slots", DIR "/t",
                                       ldb_slice_str("x"), &err),
                  &err);
    assert_int_equal(0, load());
}

static void a_newer_format_is_refused(void **state)
{
    struct ldb_error err = {0};
    size_t count = 0;

    (void)state;
    assert_ldb_ok(
        repl_sidecar_write(env, DIR, "slots", 2, ldb_slice_str("new\n"), &err),
        &err);
    assert_ldb_status(LDB_NOT_SUPPORTED,
                      repl_slot_store_load(env, DIR, &err, records, &count),
                      &err);
}

static void no_more_are_loaded_than_there_may_be(void **state)
{
    struct ldb_buf lines = LDB_BUF_INIT(1 << 20);
    struct repl_slot_record record = {.place = {7, 1, 1}};
    struct ldb_error err = {0};

    (void)state;
    for (unsigned i = 0; i <= REPL_SLOTS_MAX; i++) {
        if (i == REPL_SLOTS_MAX) {
            assert_ldb_ok(
                repl_slot_store_save(env, DIR, ldb_slice_of_buf(&lines), &err),
                &err);
            assert_int_equal(REPL_SLOTS_MAX, load());
        }
        snprintf(record.node_id, sizeof(record.node_id), "%032x", i);
        assert_ldb_ok(repl_slot_store_print(&record, &lines), &err);
    }
    assert_ldb_ok(
        repl_slot_store_save(env, DIR, ldb_slice_of_buf(&lines), &err), &err);
    assert_int_equal(0, load());
    ldb_buf_release(&lines);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(slots_have_these_lines, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_was_saved_is_loaded, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_damaged_has_no_slots, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_newer_format_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(no_more_are_loaded_than_there_may_be,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
