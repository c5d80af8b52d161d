#include "replication/identity.h"
#include "replication/sidecar.h"
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

static void ids_are_128_random_bits_in_hex(void **state)
{
    struct repl_identity one;
    struct repl_identity two;
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_OK, repl_identity_make(env, &err, &one));
    assert_int_equal(LDB_OK, repl_identity_make(env, &err, &two));
    assert_int_equal(32, strlen(one.cluster_id));
    assert_int_equal(32, strspn(one.cluster_id, "0123456789abcdef"));
    assert_string_not_equal(one.cluster_id, one.node_id);
    assert_string_not_equal(one.cluster_id, two.cluster_id);
    assert_string_not_equal(one.node_id, two.node_id);
}

static void a_stored_identity_comes_back(void **state)
{
    struct repl_identity stored;
    struct repl_identity loaded;
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(LDB_NOT_FOUND,
                     repl_identity_load(env, "db", &err, &loaded));
    assert_int_equal(LDB_OK, repl_identity_make(env, &err, &stored));
    assert_int_equal(LDB_OK, repl_identity_store(env, "db", &stored, &err));
    assert_int_equal(LDB_OK, repl_identity_load(env, "db", &err, &loaded));
    assert_string_equal(stored.cluster_id, loaded.cluster_id);
    assert_string_equal(stored.node_id, loaded.node_id);
}

#define ID "0123456789abcdef0123456789abcdef"

static void lines_that_are_no_identity_are_corruption(void **state)
{
    static const struct {
        const char *lines;
        enum ldb_status status;
    } rows[] = {
        {"cluster " ID "\nnode " ID "\n", LDB_OK},
        {"cluster " ID "\n", LDB_CORRUPTION},
        {"node " ID "\ncluster " ID "\n", LDB_CORRUPTION},
        {"cluster " ID "\nnode " ID "\nmore\n", LDB_CORRUPTION},
        {"cluster " ID "0\nnode " ID "\n", LDB_CORRUPTION},
        {"cluster 0123456789abcdef0123456789abcdeF\nnode " ID "\n",
         LDB_CORRUPTION},
        {"", LDB_CORRUPTION},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct repl_identity loaded;
        struct ldb_error err = {0};
        enum ldb_status s;

        assert_int_equal(
            LDB_OK, repl_sidecar_write(env, "db", "identity", 1,
                                       ldb_slice_str(rows[i].lines), &err));
        s = repl_identity_load(env, "db", &err, &loaded);
        if (s != rows[i].status)
            fail_msg("row %zu: %s %s", i, ldb_status_text(s), err.message);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(ids_are_128_random_bits_in_hex, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stored_identity_comes_back, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            lines_that_are_no_identity_are_corruption, setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
