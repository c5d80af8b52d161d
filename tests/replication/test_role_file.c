/* Decisions about the role, and when flags win over them. */
#include "replication/role_file.h"

#include <stdio.h>
#include <string.h>

#include "replication/sidecar.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/sidecar_env.h"

#define DIR SIDECAR_ENV_DIR

static struct ldb_env *env;

static int setup(void **state)
{
    (void)state;
    env = sidecar_env_create();
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    return 0;
}

static const struct repl_assignment leads = {.role = REPL_ROLE_LEADER};
static const struct repl_assignment follows_a = {.role = REPL_ROLE_FOLLOWER,
                                                 .leader_url = "http://a:1"};
static const struct repl_assignment follows_b = {.role = REPL_ROLE_FOLLOWER,
                                                 .leader_url = "http://b:1"};

static void store(const struct repl_role_file *file)
{
    struct ldb_error err = {0};

    assert_ldb_ok(repl_role_file_store(env, DIR, file, &err), &err);
}

static void what_is_stored_comes_back(void **state)
{
    static const struct repl_role_file files[] = {
        {.now = {.role = REPL_ROLE_LEADER},
         .configured = {.role = REPL_ROLE_FOLLOWER, .leader_url = "http://a"}},
        {.now = {.role = REPL_ROLE_FOLLOWER, .leader_url = "http://a:1"},
         .configured = {.role = REPL_ROLE_LEADER}},
        {.now = {.role = REPL_ROLE_LEADER},
         .configured = {.role = REPL_ROLE_LEADER},
         .is_promotion_open = true,
         .epoch_floor = {.number = 70, .base = LDB_SEQUENCE_MAX},
         .file_floor = 1 << 20},
    };
    struct repl_role_file loaded;
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_status(LDB_NOT_FOUND,
                      repl_role_file_load(env, DIR, &err, &loaded), NULL);
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        store(&files[i]);
        assert_ldb_ok(repl_role_file_load(env, DIR, &err, &loaded), &err);
        assert_memory_equal(&loaded, &files[i], sizeof loaded);
    }
    assert_ldb_ok(repl_role_file_remove(env, DIR, &err), &err);
    assert_ldb_status(LDB_NOT_FOUND,
                      repl_role_file_load(env, DIR, &err, &loaded), NULL);
}

static void a_url_that_would_break_a_line_is_refused(void **state)
{
    static const char *const urls[] = {"http://a b", "a\nb", "-", "\x7f"};
    struct repl_role_file file = {.now = {.role = REPL_ROLE_FOLLOWER}};
    char longest[REPL_URL_SIZE + 1];
    struct ldb_error err = {0};

    (void)state;
    for (size_t i = 0; i < sizeof urls / sizeof urls[0]; i++) {
        (void)snprintf(file.now.leader_url, sizeof file.now.leader_url, "%s",
                       urls[i]);
        assert_false(repl_role_url_is_storable(urls[i]));
        assert_ldb_status(LDB_INVALID_ARGUMENT,
                          repl_role_file_store(env, DIR, &file, &err), NULL);
    }
    memset(longest, 'a', sizeof longest);
    longest[REPL_URL_SIZE] = '\0';
    assert_false(repl_role_url_is_storable(longest));
    longest[REPL_URL_SIZE - 1] = '\0';
    assert_true(repl_role_url_is_storable(longest));
    assert_true(repl_role_url_is_storable(""));
}

static void a_url_has_one_spelling(void **state)
{
    char longest[REPL_URL_SIZE + 9];
    char out[REPL_URL_SIZE];

    (void)state;
    repl_role_url_copy("http://a:1/", out);
    assert_string_equal(out, "http://a:1");
    repl_role_url_copy("http://a:1", out);
    assert_string_equal(out, "http://a:1");
    repl_role_url_copy("", out);
    assert_string_equal(out, "");
    memset(longest, 'a', sizeof longest);
    longest[sizeof longest - 1] = '\0';
    repl_role_url_copy(longest, out);
    assert_int_equal(strlen(out), REPL_URL_SIZE - 1);
}

static void lines_that_are_no_role_are_corruption(void **state)
{
    static const struct {
        const char *lines;
        enum ldb_status status;
    } rows[] = {
        {"now leader -\nconfigured leader -\n", LDB_OK},
        {"now leader -\nconfigured follower x\npromotion 3 1 2\n", LDB_OK},
        {"now leader -\n", LDB_CORRUPTION},
        {"configured leader -\nnow leader -\n", LDB_CORRUPTION},
        {"now other -\nconfigured leader -\n", LDB_CORRUPTION},
        {"now leader\nconfigured leader -\n", LDB_CORRUPTION},
        {"now leader -\nconfigured leader -\nx\n", LDB_CORRUPTION},
        {"now leader -\nconfigured leader -\npromotion 3 1\n", LDB_CORRUPTION},
        {"now leader -\nconfigured leader -\npromotion x 1 2\n",
         LDB_CORRUPTION},
        {"now leader -\nconfigured leader -\npromotion 3 1 2\nx y\n",
         LDB_CORRUPTION},
        {"now follower x\nconfigured leader -\npromotion 3 1 2\n",
         LDB_CORRUPTION},
        {"now leader -\nconfigured leader -\n"
         "promotion 3 72057594037927936 2\n",
         LDB_CORRUPTION},
        {"now leader -\nconfigured leader -\n"
         "promotion 3 1 9223372036854775808\n",
         LDB_CORRUPTION},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct repl_role_file loaded;
        struct ldb_error err = {0};
        enum ldb_status s;

        assert_ldb_ok(repl_sidecar_write(env, DIR, "role", 1,
                                         ldb_slice_str(rows[i].lines), &err),
                      &err);
        s = repl_role_file_load(env, DIR, &err, &loaded);
        if (s != rows[i].status)
            fail_msg("row %zu: %s %s", i, ldb_status_text(s), err.message);
    }
}

/* ---- deciding ---- */

static struct repl_role_file decide(const struct repl_assignment *flags,
                                    bool want_kept)
{
    struct repl_role_file decided;
    struct ldb_error err = {0};
    bool is_kept = !want_kept;

    assert_ldb_ok(repl_role_decide(env, DIR, flags, &err, &decided, &is_kept),
                  &err);
    assert_int_equal(is_kept, want_kept);
    assert_memory_equal(&decided.configured, flags, sizeof *flags);
    return decided;
}

static bool has_file(void)
{
    struct repl_role_file loaded;

    return repl_role_file_load(env, DIR, NULL, &loaded) == LDB_OK;
}

static void without_a_decision_the_flags_say(void **state)
{
    struct repl_role_file decided;

    (void)state;
    decided = decide(&follows_a, false);
    assert_memory_equal(&decided.now, &follows_a, sizeof follows_a);
    assert_false(decided.is_promotion_open);
    assert_false(has_file());
}

static void a_decision_outlives_a_restart_with_the_same_flags(void **state)
{
    const struct repl_role_file promoted = {.now = leads,
                                            .configured = follows_a};
    struct repl_role_file decided;

    (void)state;
    store(&promoted);
    decided = decide(&follows_a, true);
    assert_int_equal(decided.now.role, REPL_ROLE_LEADER);
    assert_true(has_file());
}

static void flags_that_have_changed_win(void **state)
{
    const struct repl_role_file promoted = {.now = leads,
                                            .configured = follows_a};
    struct repl_role_file decided;

    (void)state;
    store(&promoted);
    decided = decide(&follows_b, false);
    assert_memory_equal(&decided.now, &follows_b, sizeof follows_b);
    /* For good: the flags of before do not bring it back. */
    assert_false(has_file());
    decided = decide(&follows_a, false);
    assert_int_equal(decided.now.role, REPL_ROLE_FOLLOWER);
}

static void a_promotion_that_was_begun_is_ended(void **state)
{
    const struct repl_role_file open = {.now = leads,
                                        .configured = follows_a,
                                        .is_promotion_open = true,
                                        .epoch_floor = {5, 7},
                                        .file_floor = 9};
    struct repl_role_file decided;

    (void)state;
    store(&open);
    decided = decide(&follows_b, true);
    assert_int_equal(decided.now.role, REPL_ROLE_LEADER);
    assert_true(decided.is_promotion_open);
    assert_int_equal(decided.epoch_floor.number, 5);
    assert_int_equal(decided.epoch_floor.base, 7);
    assert_int_equal(decided.file_floor, 9);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(what_is_stored_comes_back),
        TEST(a_url_that_would_break_a_line_is_refused),
        TEST(a_url_has_one_spelling),
        TEST(lines_that_are_no_role_are_corruption),
        TEST(without_a_decision_the_flags_say),
        TEST(a_decision_outlives_a_restart_with_the_same_flags),
        TEST(flags_that_have_changed_win),
        TEST(a_promotion_that_was_begun_is_ended),
    };

    return cmocka_run_group_tests_name("role_file", tests, NULL, NULL);
}
