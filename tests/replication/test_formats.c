/* Files of a newer build are refused, whatever else is in them. */
#include "replication/formats.h"

#include <stdio.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/sidecar_env.h"

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

static const char *const names[] = {
    "identity", "epochs", "role",    "clean-stop", "rebuild",
    "rewinds",  "slots",  "digests", "scrub",      "twin",
};

static void put(const char *name, const char *text)
{
    struct ldb_error err = {0};
    char path[64];

    (void)snprintf(path, sizeof(path), SIDECAR_ENV_DIR "/leveld/%s", name);
    assert_ldb_ok(ldb_env_replace_file(env, SIDECAR_ENV_DIR "/leveld", path,
                                       SIDECAR_ENV_DIR "/leveld/t",
                                       ldb_slice_str(text), &err),
                  &err);
}

static void a_folder_without_any_is_fine(void **state)
{
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_ok(repl_formats_check(env, SIDECAR_ENV_DIR, &err), &err);
    assert_ldb_ok(repl_formats_check(env, "nowhere", &err), &err);
}

static void each_newer_file_is_refused_by_its_name(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct ldb_error err = {0};
        char text[64];

        (void)snprintf(text, sizeof(text), "leveld-%s 2\nanything", names[i]);
        put(names[i], text);
        assert_ldb_status(LDB_NOT_SUPPORTED,
                          repl_formats_check(env, SIDECAR_ENV_DIR, &err), &err);
        assert_non_null(strstr(err.message, names[i]));
        assert_non_null(strstr(err.message, "version 2"));
        (void)snprintf(text, sizeof(text), "leveld-%s 1\n", names[i]);
        put(names[i], text);
        assert_ldb_ok(repl_formats_check(env, SIDECAR_ENV_DIR, &err), &err);
    }
}

/* Who reads them says what is wrong. */
static void damage_is_none_of_its_business(void **state)
{
    static const char *const texts[] = {
        "",
        "leveld-slots",
        "leveld-slots 2",
        "leveld-slots x\n",
        "leveld-other 2\n",
        ("a line that is longer than any first line of ours, which cannot be "
         "a version, however it goes on\n"),
    };

    (void)state;
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        struct ldb_error err = {0};

        put("slots", texts[i]);
        assert_ldb_ok(repl_formats_check(env, SIDECAR_ENV_DIR, &err), &err);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_folder_without_any_is_fine),
        TEST(each_newer_file_is_refused_by_its_name),
        TEST(damage_is_none_of_its_business),
    };

    return cmocka_run_group_tests_name("formats", tests, NULL, NULL);
}
