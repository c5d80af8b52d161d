#include "api/snapshots.h"

#include <string.h>

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/clock_env.h"
#include "tests/support/mem_fault.h"

#define SECOND UINT64_C(1000000)

struct snapshots_fixture {
    struct api_fixture *api;
    struct clock_env clock;
    struct api_snapshots *all;
};

static int setup(void **state)
{
    struct snapshots_fixture *f = test_calloc(1, sizeof(*f));
    void *api = NULL;

    assert_int_equal(api_fixture_setup(&api), 0);
    f->api = api;
    clock_env_init(&f->clock, 50 * SECOND);
    f->all = api_snapshots_create(f->api->db, &f->clock.env);
    assert_non_null(f->all);
    *state = f;
    return 0;
}

static unsigned live(struct snapshots_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->api->db, &stats);
    return stats.live_snapshots;
}

static int teardown(void **state)
{
    struct snapshots_fixture *f = *state;
    void *api = f->api;

    api_snapshots_destroy(f->all);
    assert_int_equal(live(f), 0);
    test_free(f);
    return api_fixture_teardown(&api);
}

static struct api_snapshot_info take(struct snapshots_fixture *f,
                                     uint64_t ttl_us)
{
    struct api_snapshot_info info;
    struct ldb_error err = {0};

    assert_ldb_ok(api_snapshots_take(f->all, 10, ttl_us, &err, &info), &err);
    return info;
}

static bool is_there(struct snapshots_fixture *f,
                     const struct api_snapshot_info *info)
{
    struct api_snapshot_info infos[16];
    size_t count = api_snapshots_list(f->all, infos, 16);

    for (size_t i = 0; i < count; i++) {
        if (memcmp(&infos[i].id, &info->id, sizeof(info->id)) == 0)
            return true;
    }
    return false;
}

static void ids_are_read_as_they_are_written(void **state)
{
    static const struct {
        const char *text;
        bool is_ok;
    } rows[] = {
        {"00112233445566778899aabbccddeeff", true},
        {"00112233445566778899AABBCCDDEEFF", false},
        {"00112233445566778899aabbccddeef", false},
        {"00112233445566778899aabbccddeeff0", false},
        {"0011223344556677 899aabbccddeeff", false},
        {"", false},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_snapshot_id id;
        char text[API_SNAPSHOT_ID_SIZE];

        assert_int_equal(
            api_snapshot_id_parse(ldb_slice_str(rows[i].text), &id),
            rows[i].is_ok);
        if (!rows[i].is_ok)
            continue;
        api_snapshot_id_text(&id, text);
        assert_string_equal(text, rows[i].text);
    }
}

static void a_snapshot_shows_what_was_there(void **state)
{
    struct snapshots_fixture *f = *state;
    struct api_snapshot_info info;
    struct api_snapshot *snapshot;
    struct ldb_buf value = LDB_BUF_INIT(16);

    (void)api_put(f->api, "/v1/kv/a", "old");
    info = take(f, SECOND);
    (void)api_put(f->api, "/v1/kv/a", "new");
    assert_int_equal(info.sequence, 1);
    snapshot = api_snapshots_use(f->all, &info.id);
    assert_non_null(snapshot);
    assert_ldb_ok(ldb_get(f->api->db, ldb_slice_str("a"),
                          &(struct ldb_read_options){
                              .snapshot = api_snapshot_view(snapshot)},
                          NULL, &value, NULL, NULL),
                  NULL);
    assert_ldb_bytes("old", ldb_slice_of_buf(&value));
    ldb_buf_release(&value);
    api_snapshots_release(f->all, snapshot);
}

static void it_expires_when_nobody_uses_it(void **state)
{
    struct snapshots_fixture *f = *state;
    struct api_snapshot_info info = take(f, 10 * SECOND);

    assert_int_equal(info.expires_us, (1000 + 50 + 10) * SECOND);
    f->clock.now_us += 10 * SECOND - 1;
    api_snapshots_expire(f->all);
    assert_int_equal(api_snapshots_count(f->all), 1);
    assert_true(is_there(f, &info));
    f->clock.now_us += 1;
    /* Gone for everybody from now on, and let go of at the next tick. */
    assert_false(is_there(f, &info));
    assert_null(api_snapshots_use(f->all, &info.id));
    assert_false(api_snapshots_renew(f->all, &info.id, SECOND, &info));
    assert_false(api_snapshots_drop(f->all, &info.id));
    assert_int_equal(live(f), 1);
    api_snapshots_expire(f->all);
    assert_int_equal(live(f), 0);
    assert_int_equal(api_snapshots_count(f->all), 0);
}

static void each_use_renews_it(void **state)
{
    struct snapshots_fixture *f = *state;
    struct api_snapshot_info info = take(f, 10 * SECOND);

    for (int i = 0; i < 5; i++) {
        struct api_snapshot *snapshot;

        f->clock.now_us += 9 * SECOND;
        snapshot = api_snapshots_use(f->all, &info.id);
        assert_non_null(snapshot);
        api_snapshots_release(f->all, snapshot);
    }
    assert_true(api_snapshots_renew(f->all, &info.id, 0, &info));
    assert_int_equal(info.expires_us, f->clock.now_us + 1010 * SECOND);
    assert_true(api_snapshots_renew(f->all, &info.id, 30 * SECOND, &info));
    assert_int_equal(info.expires_us, f->clock.now_us + 1030 * SECOND);
    f->clock.now_us += 29 * SECOND;
    assert_true(api_snapshots_renew(f->all, &info.id, 0, &info));
    assert_int_equal(info.expires_us, f->clock.now_us + 1030 * SECOND);
}

static void no_renewal_outlives_its_largest_age(void **state)
{
    struct snapshots_fixture *f = *state;
    struct api_snapshot_info info = take(f, API_SNAPSHOT_TTL_MAX_US);
    uint64_t last = f->clock.now_us + API_SNAPSHOT_AGE_MAX_US;

    while (f->clock.now_us + API_SNAPSHOT_TTL_MAX_US / 2 < last) {
        f->clock.now_us += API_SNAPSHOT_TTL_MAX_US / 2;
        assert_true(api_snapshots_renew(f->all, &info.id, 0, &info));
    }
    assert_int_equal(info.expires_us, last + 1000 * SECOND);
    f->clock.now_us = last - 1;
    assert_true(api_snapshots_renew(f->all, &info.id, 0, &info));
    f->clock.now_us = last;
    assert_false(api_snapshots_renew(f->all, &info.id, 0, &info));
}

static void one_in_use_outlives_its_dropping(void **state)
{
    struct snapshots_fixture *f = *state;
    struct api_snapshot_info info = take(f, SECOND);
    struct api_snapshot *snapshot = api_snapshots_use(f->all, &info.id);

    assert_true(api_snapshots_drop(f->all, &info.id));
    assert_null(api_snapshots_use(f->all, &info.id));
    assert_int_equal(live(f), 1);
    assert_int_equal(ldb_snapshot_sequence(api_snapshot_view(snapshot)),
                     info.sequence);
    api_snapshots_release(f->all, snapshot);
    assert_int_equal(live(f), 0);
}

static void there_are_so_many_and_no_more(void **state)
{
    struct snapshots_fixture *f = *state;
    struct api_snapshot_info infos[3];
    struct ldb_error err = {0};

    for (size_t i = 0; i < 3; i++)
        assert_ldb_ok(api_snapshots_take(f->all, 3, SECOND, &err, &infos[i]),
                      &err);
    assert_int_equal(api_snapshots_take(f->all, 3, SECOND, &err, &infos[0]),
                     LDB_STALLED);
    assert_int_equal(live(f), 3);
    assert_true(api_snapshots_drop(f->all, &infos[1].id));
    assert_ldb_ok(api_snapshots_take(f->all, 3, SECOND, &err, &infos[1]), &err);
    api_snapshots_drop_all(f->all);
    assert_int_equal(api_snapshots_count(f->all), 0);
    assert_int_equal(live(f), 0);
}

static void a_list_begins_with_what_expires_first(void **state)
{
    struct snapshots_fixture *f = *state;
    struct api_snapshot_info taken[3] = {
        take(f, 3 * SECOND), take(f, 1 * SECOND), take(f, 2 * SECOND)};
    struct api_snapshot_info infos[3];

    assert_int_equal(api_snapshots_list(f->all, infos, 3), 3);
    assert_memory_equal(&infos[0].id, &taken[1].id, sizeof(infos[0].id));
    assert_memory_equal(&infos[1].id, &taken[2].id, sizeof(infos[0].id));
    assert_memory_equal(&infos[2].id, &taken[0].id, sizeof(infos[0].id));
    assert_int_equal(api_snapshots_list(f->all, infos, 2), 2);
}

static void without_memory_nothing_is_taken(void **state)
{
    struct snapshots_fixture *f = *state;
    struct ldb_error err = {0};
    struct api_snapshot_info info;

    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = api_snapshots_take(f->all, 10, SECOND, &err, &info);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_int_equal(s, LDB_NO_MEMORY);
        assert_int_equal(live(f), 0);
    }
    assert_int_equal(live(f), 1);
}

/* ---- threads ---- */

struct thread_run {
    struct snapshots_fixture *f;
    struct api_snapshot_id id;
    unsigned used;
};

static void use_often(void *context)
{
    struct thread_run *run = context;

    for (int i = 0; i < 2000; i++) {
        struct api_snapshot *snapshot =
            api_snapshots_use(run->f->all, &run->id);

        if (snapshot == NULL)
            return;
        run->used +=
            ldb_snapshot_sequence(api_snapshot_view(snapshot)) == 0 ? 1 : 0;
        api_snapshots_release(run->f->all, snapshot);
    }
}

static void threads_use_one_while_it_is_dropped(void **state)
{
    struct snapshots_fixture *f = *state;
    struct ldb_env *env = f->api->env;
    struct thread_run runs[2];
    struct ldb_thread *threads[2];
    struct api_snapshot_info info = take(f, SECOND);

    for (size_t i = 0; i < 2; i++) {
        runs[i] = (struct thread_run){.f = f, .id = info.id};
        assert_ldb_ok(env->ops->thread_start(env, "user", use_often, &runs[i],
                                             NULL, &threads[i]),
                      NULL);
    }
    for (int i = 0; i < 200; i++) {
        struct api_snapshot_info other = take(f, SECOND);

        assert_true(api_snapshots_drop(f->all, &other.id));
        api_snapshots_expire(f->all);
    }
    assert_true(api_snapshots_drop(f->all, &info.id));
    for (size_t i = 0; i < 2; i++)
        env->ops->thread_join(env, threads[i]);
    assert_int_equal(live(f), 0);
}

#define FIXTURE_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ids_are_read_as_they_are_written),
        FIXTURE_TEST(a_snapshot_shows_what_was_there),
        FIXTURE_TEST(it_expires_when_nobody_uses_it),
        FIXTURE_TEST(each_use_renews_it),
        FIXTURE_TEST(no_renewal_outlives_its_largest_age),
        FIXTURE_TEST(one_in_use_outlives_its_dropping),
        FIXTURE_TEST(there_are_so_many_and_no_more),
        FIXTURE_TEST(a_list_begins_with_what_expires_first),
        FIXTURE_TEST(without_memory_nothing_is_taken),
        FIXTURE_TEST(threads_use_one_while_it_is_dropped),
    };

    return cmocka_run_group_tests_name("snapshots", tests, NULL, NULL);
}
