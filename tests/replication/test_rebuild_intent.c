#include "replication/rebuild_intent.h"
#include "replication/sidecar.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/sidecar_env.h"

static struct ldb_env *env;

static const struct repl_rebuild_intent full = {
    .phase = REPL_REBUILD_SWITCHING,
    .cluster_id = "0123456789abcdef0123456789abcdef",
    .epoch = {.number = 7,
              .id = UINT64_C(0xfedcba9876543210),
              .previous_last = 500,
              .base = LDB_SEQUENCE_MAX,
              .first_journal = 44},
    .is_unknown = true,
    .fork = LDB_SEQUENCE_MAX,
    .rewind = 3,
    .manifest_number = 12,
    .manifest_len = 3456,
    .manifest_digest = {{0x80, 1, 2, 3, 4, 5, 6, 7, 0xff, 9, 10, 11, 12, 13, 14,
                         15}},
};

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

static void store(const struct repl_rebuild_intent *intent)
{
    struct ldb_error err = {0};

    assert_ldb_ok(repl_rebuild_intent_store(env, SIDECAR_ENV_DIR, intent, &err),
                  &err);
}

static void what_is_stored_is_loaded(void **state)
{
    struct repl_rebuild_intent loaded = {0};
    struct repl_rebuild_intent least = {
        .cluster_id = "00000000000000000000000000000000", .epoch.number = 1};
    struct ldb_error err = {0};

    (void)state;
    store(&full);
    assert_ldb_ok(repl_rebuild_intent_load(env, SIDECAR_ENV_DIR, &err, &loaded),
                  &err);
    assert_memory_equal(&full, &loaded, sizeof(full));
    store(&least);
    loaded = (struct repl_rebuild_intent){0};
    assert_ldb_ok(repl_rebuild_intent_load(env, SIDECAR_ENV_DIR, &err, &loaded),
                  &err);
    assert_memory_equal(&least, &loaded, sizeof(least));
}

static void without_one_nothing_is_under_way(void **state)
{
    struct repl_rebuild_intent loaded = {.rewind = 9};
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_status(
        LDB_NOT_FOUND,
        repl_rebuild_intent_load(env, SIDECAR_ENV_DIR, &err, &loaded), &err);
    assert_int_equal(9, loaded.rewind);
    store(&full);
    assert_ldb_ok(repl_rebuild_intent_remove(env, SIDECAR_ENV_DIR, &err), &err);
    assert_ldb_ok(repl_rebuild_intent_remove(env, SIDECAR_ENV_DIR, &err), &err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        repl_rebuild_intent_load(env, SIDECAR_ENV_DIR, &err, &loaded), &err);
}

#define CLUSTER "cluster 0123456789abcdef0123456789abcdef\n"
#define EPOCH   "epoch 7 fedcba9876543210 5 6 12\n"
#define REST    "rewind 3\nmanifest 12 3456 8001020304050607 ff090a0b0c0d0e0f\n"

static void what_is_no_intent_is_damage(void **state)
{
    static const char *const rows[] = {
        "",
        "phase fetching\n",
        "phase dreaming\n" CLUSTER EPOCH "unknown 0\nfork 5\n" REST,
        "phase fetching\ncluster 0123456789ABCDEF0123456789abcdef\n" EPOCH
        "unknown 0\nfork 5\n" REST,
        "phase fetching\ncluster 0123\n" EPOCH "unknown 0\nfork 5\n" REST,
        "phase fetching\n" CLUSTER "epoch 7\nunknown 0\nfork 5\n" REST,
        "phase fetching\n" CLUSTER "epoch 7 fedcba9876543210\n"
        "unknown 0\nfork 5\n" REST,
        "phase fetching\n" CLUSTER "epoch 7 fedcba9876543210 6 5 12\n"
        "unknown 0\nfork 5\n" REST,
        "phase fetching\n" CLUSTER "epoch 0 fedcba9876543210 5 6 12\n"
        "unknown 0\nfork 5\n" REST,
        "phase fetching\n" CLUSTER EPOCH "unknown 2\nfork 5\n" REST,
        "phase fetching\n" CLUSTER EPOCH
        "unknown 0\nfork 72057594037927936\n" REST,
        "phase fetching\n" CLUSTER EPOCH "unknown 0\nfork 5\nrewind 3\n",
        "phase fetching\n" CLUSTER EPOCH
        "unknown 0\nfork 5\nrewind 3\nmanifest 12 3456 80 ff\n",
        "phase fetching\n" CLUSTER EPOCH "unknown 0\nfork 5\n" REST "more\n",
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_rebuild_intent loaded = {0};
        struct ldb_error err = {0};

        assert_ldb_ok(repl_sidecar_write(env, SIDECAR_ENV_DIR, "rebuild", 1,
                                         ldb_slice_str(rows[i]), &err),
                      &err);
        if (repl_rebuild_intent_load(env, SIDECAR_ENV_DIR, &err, &loaded) !=
            LDB_CORRUPTION)
            fail_msg("row %zu: %s", i, err.message);
        assert_ldb_message("leveld/rebuild", &err);
    }
}

static void its_epoch_is_told_when_it_is_the_latest(void **state)
{
    static const struct {
        uint64_t last; /* ours; 0: none */
        ldb_sequence base;
        size_t count; /* after */
        ldb_sequence told;
    } rows[] = {
        {0, 0, 1, 900},   {6, 800, 2, 900}, {6, 900, 2, 901},
        {6, 950, 2, 951}, {7, 800, 1, 800}, {8, 800, 1, 800},
    };
    struct repl_rebuild_intent intent = full;

    (void)state;
    intent.epoch.base = 900;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const struct repl_epoch ours = {.number = rows[i].last,
                                        .base = rows[i].base};
        struct repl_identity identity = {.cluster_id = "c1"};
        struct repl_epoch_history history = {0};
        struct ldb_error err = {0};

        if (rows[i].last > 0)
            assert_ldb_ok(repl_epoch_history_append(&history, &ours, &err),
                          &err);
        else
            identity.cluster_id[0] = '\0';
        assert_ldb_ok(
            repl_rebuild_intent_tell(&intent, &err, &identity, &history), &err);
        assert_string_equal(rows[i].last > 0 ? "c1" : full.cluster_id,
                            identity.cluster_id);
        assert_int_equal(rows[i].count, history.count);
        assert_int_equal(rows[i].told, repl_epoch_history_last(&history)->base);
        assert_true(history.count == 1 ||
                    repl_epoch_follows(&history.items[0], &history.items[1]));
        repl_epoch_history_release(&history);
    }
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_is_stored_is_loaded),
        TEST(without_one_nothing_is_under_way),
        TEST(what_is_no_intent_is_damage),
        TEST(its_epoch_is_told_when_it_is_the_latest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
