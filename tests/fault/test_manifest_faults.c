/*
 * The MANIFEST under failing calls, a full disk and power cuts: whatever
 * happens at whichever call, the folder opens with the state before or after
 * the edit, and every table that it then names still exists.
 *
 * A table's file here holds nothing: the version set does not read tables.
 */
#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/version/file_names.h"
#include "storage/version/version_set.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"
#include "tests/support/version_rows.h"

#define DIR "/db"

/* Calls of one scenario are fewer; stops a loop that would not end. */
#define CALLS_MAX 1000

struct store {
    struct env_fault *fault;
    struct ldb_env *env;
    struct ldb_mutex mu; /* held throughout */
    struct ldb_version_set *set;
    uint64_t rotate_bytes;
    struct ldb_error err;
};

/* mu is held from start to end, across functions: beyond the analysis. */
LDB_NO_THREAD_SAFETY static void hold(struct ldb_mutex *mu)
{
    ldb_mutex_lock(mu);
}

LDB_NO_THREAD_SAFETY static void let_go(struct ldb_mutex *mu)
{
    ldb_mutex_unlock(mu);
}

static void open_set(struct store *store)
{
    const struct ldb_version_set_options options = {
        .env = store->env,
        .dir = DIR,
        .comparator = ldb_comparator_bytewise(),
        .mu = &store->mu,
        .manifest_rotate_bytes = store->rotate_bytes};

    assert_ldb_ok(ldb_version_set_create(&options, &store->err, &store->set),
                  &store->err);
}

static void start(struct store *store, struct env_fault *fault)
{
    *store = (struct store){.fault = fault, .env = env_fault_env(fault)};
    ldb_mutex_init(&store->mu);
    hold(&store->mu);
    open_set(store);
}

static void stop(struct store *store)
{
    ldb_version_set_destroy(store->set);
    let_go(&store->mu);
    ldb_mutex_release(&store->mu);
    env_fault_destroy(store->fault);
}

static void recover(struct store *store)
{
    ldb_version_set_destroy(store->set);
    open_set(store);
    assert_ldb_ok(ldb_version_set_recover(store->set, &store->err),
                  &store->err);
}

static char *table_path(uint64_t number)
{
    char *path = ldb_file_path(DIR, LDB_FILE_TABLE, number);

    assert_non_null(path);
    return path;
}

static enum ldb_status make_table(struct store *store, uint64_t number)
{
    struct ldb_writable_file *file = NULL;
    char *path = table_path(number);
    enum ldb_status s = store->env->ops->open_writable(
        store->env, path, LDB_OPEN_TRUNCATE, &store->err, &file);

    ldb_mem_free(path);
    if (s != LDB_OK)
        return s;
    s = ldb_file_sync(file, &store->err);
    if (s != LDB_OK) {
        (void)!ldb_file_close(file, NULL);
        return s;
    }
    return ldb_file_close(file, &store->err);
}

/* What a flush of a table does; key is one letter. */
static enum ldb_status flush(struct store *store, const char *key)
{
    uint64_t number = ldb_version_set_new_file_number(store->set);
    const struct version_row row = {1, number, 1, key, key};
    struct ldb_version_edit edit = {0};
    enum ldb_status s = make_table(store, number);

    if (s != LDB_OK)
        return s;
    version_rows_add(&edit, &row);
    ldb_version_edit_set_log_number(&edit, number);
    ldb_version_edit_set_last_sequence(&edit, number);
    s = ldb_version_set_apply(store->set, &edit, &store->err);
    ldb_version_edit_release(&edit);
    return s;
}

/* What a compaction of the level's first table does. */
static enum ldb_status rewrite(struct store *store)
{
    const struct ldb_level *level =
        &ldb_version_set_current(store->set)->levels[1];
    uint64_t number = ldb_version_set_new_file_number(store->set);
    struct ldb_version_edit edit = {0};
    struct ldb_file_meta *meta;
    enum ldb_status s = make_table(store, number);

    if (s != LDB_OK || level->count == 0)
        return s;
    assert_ldb_ok(
        ldb_version_edit_delete_file(&edit, 1, level->files[0]->number), NULL);
    meta = ldb_file_meta_create(number, 1, level->files[0]->smallest,
                                level->files[0]->largest);
    assert_non_null(meta);
    assert_ldb_ok(ldb_version_edit_add_file(&edit, 2, meta), NULL);
    ldb_file_meta_unref(meta);
    s = ldb_version_set_apply(store->set, &edit, &store->err);
    ldb_version_edit_release(&edit);
    return s;
}

/* Deletes what take_obsolete() gives and MANIFESTs below the current one. */
static void delete_obsolete(struct store *store)
{
    uint64_t *numbers = NULL;
    uint64_t manifest = 0;
    uint64_t len = 0;
    size_t count = 0;

    assert_ldb_ok(ldb_version_set_take_obsolete(store->set, &numbers, &count),
                  NULL);
    for (size_t i = 0; i < count; i++) {
        char *path = table_path(numbers[i]);

        assert_false(ldb_version_set_is_live(store->set, numbers[i]));
        (void)!store->env->ops->remove_file(store->env, path, NULL);
        ldb_mem_free(path);
    }
    if (count > 0) {
        ldb_version_set_manifest(store->set, &manifest, &len);
        for (uint64_t n = 0; n < manifest; n++) {
            char *path = ldb_file_path(DIR, LDB_FILE_MANIFEST, n);

            assert_non_null(path);
            (void)!store->env->ops->remove_file(store->env, path, NULL);
            ldb_mem_free(path);
        }
    }
    ldb_mem_free(numbers);
}

/* LevelDB follows CURRENT alone, so its target must be there too. */
static void check_current(struct store *store)
{
    struct ldb_buf path = LDB_BUF_INIT(256);
    uint64_t size = 0;

    assert_ldb_ok(ldb_buf_printf(&path, "%s/", DIR), NULL);
    assert_ldb_ok(
        ldb_env_read_file(store->env, DIR "/CURRENT", &store->err, &path),
        &store->err);
    assert_int_equal('\n', path.data[path.len - 1]);
    path.data[path.len - 1] = '\0';
    assert_ldb_ok(store->env->ops->file_size(
                      store->env, (const char *)path.data, &store->err, &size),
                  &store->err);
    ldb_buf_release(&path);
}

/* Opens what is there and looks for every table it names. */
static void check_opens(struct store *store)
{
    const struct ldb_version *version;

    check_current(store);
    assert_ldb_ok(ldb_version_set_recover(store->set, &store->err),
                  &store->err);
    version = ldb_version_set_current(store->set);
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        for (size_t i = 0; i < version->levels[l].count; i++) {
            uint64_t size = 0;
            char *path = table_path(version->levels[l].files[i]->number);

            assert_ldb_ok(store->env->ops->file_size(store->env, path,
                                                     &store->err, &size),
                          &store->err);
            ldb_mem_free(path);
        }
    }
}

static size_t table_count(const struct store *store)
{
    const struct ldb_version *version = ldb_version_set_current(store->set);

    return version->levels[1].count + version->levels[2].count;
}

static void make_database(struct store *store)
{
    struct ldb_version_edit edit = {0};
    struct ldb_env *env = store->env;

    assert_ldb_ok(env->ops->create_dir(env, DIR, &store->err), &store->err);
    assert_ldb_ok(env->ops->sync_dir(env, "/", &store->err), &store->err);
    assert_ldb_ok(ldb_version_set_create_new(store->set, &store->err),
                  &store->err);
    ldb_version_edit_set_log_number(
        &edit, ldb_version_set_new_file_number(store->set));
    ldb_version_edit_set_last_sequence(&edit, 0);
    assert_ldb_ok(ldb_version_set_apply(store->set, &edit, &store->err),
                  &store->err);
    assert_ldb_ok(flush(store, "a@1"), &store->err);
}

/* ---- power cuts ---- */

struct cuts {
    struct store *store;
    size_t low; /* tables that a crash now must, and may, bring back */
    size_t high;
    uint64_t checked;
};

static void check_cut(void *context, enum env_fault_kind kind, const char *path)
{
    static const enum ldb_crash_keep keeps[] = {
        LDB_CRASH_KEEP_NONE, LDB_CRASH_KEEP_ALL, LDB_CRASH_KEEP_TORN,
        LDB_CRASH_KEEP_TORN, LDB_CRASH_KEEP_TORN};
    struct cuts *cuts = context;

    (void)kind;
    (void)path;
    for (uint64_t i = 0; i < sizeof(keeps) / sizeof(keeps[0]); i++) {
        struct store copy;

        start(&copy, env_fault_after_cut(cuts->store->fault, keeps[i],
                                         cuts->checked * 8 + i));
        check_opens(&copy);
        assert_in_range(table_count(&copy), cuts->low, cuts->high);
        assert_ldb_ok(flush(&copy, "z@1"), &copy.err);
        recover(&copy);
        assert_in_range(table_count(&copy), cuts->low + 1, cuts->high + 1);
        stop(&copy);
    }
    cuts->checked++;
}

static void a_power_cut_at_any_call_leaves_before_or_after(void **state)
{
    static const uint64_t rotate_bytes[] = {0, 1};
    static const char *const keys[] = {"b@1", "c@1", "d@1"};

    (void)state;
    for (size_t r = 0; r < 2; r++) {
        struct store store;
        struct cuts cuts = {.store = &store, .low = 1};

        start(&store, env_fault_create(NULL));
        store.rotate_bytes = rotate_bytes[r];
        make_database(&store);
        recover(&store);
        env_fault_set_call_hook(store.fault, check_cut, &cuts);
        for (size_t i = 0; i < 3; i++) {
            cuts.high = cuts.low + 1;
            assert_ldb_ok(flush(&store, keys[i]), &store.err);
            cuts.low = cuts.high;
            assert_ldb_ok(rewrite(&store), &store.err);
            delete_obsolete(&store);
        }
        env_fault_set_call_hook(store.fault, NULL, NULL);
        assert_true(cuts.checked > 20);
        stop(&store);
    }
}

/* ---- failing calls ---- */

/*
 * The n-th call of a flush fails, at once or from then on; then the disk is
 * well again. The folder opens before and after with a sound state, and the
 * failed edit is out for good once the next one is in.
 */
static bool fail_nth_call(uint64_t n, bool from_then_on, int sys_errno,
                          bool is_reopened, uint64_t rotate_bytes)
{
    const struct env_fault_rule rule = {.kinds = ENV_FAULT_WRITES,
                                        .nth = n,
                                        .from_then_on = from_then_on,
                                        .sys_errno = sys_errno,
                                        .torn = true};
    struct store store;
    struct store copy;
    enum ldb_status s;
    bool has_failed;
    size_t count;

    start(&store, env_fault_create(NULL));
    store.rotate_bytes = rotate_bytes;
    make_database(&store);
    if (is_reopened || rotate_bytes != 0)
        recover(&store);
    env_fault_fail(store.fault, &rule);
    s = flush(&store, "b@1");
    has_failed = env_fault_failed(store.fault) > 0;
    if (s == LDB_OK)
        s = rewrite(&store);
    delete_obsolete(&store);
    env_fault_fail(store.fault, NULL);
    count = table_count(&store);
    for (int keep = LDB_CRASH_KEEP_NONE; keep <= LDB_CRASH_KEEP_ALL; keep++) {
        start(&copy,
              env_fault_after_cut(store.fault, (enum ldb_crash_keep)keep, n));
        check_opens(&copy);
        assert_in_range(table_count(&copy), count, count + (s != LDB_OK));
        stop(&copy);
    }
    assert_ldb_ok(flush(&store, "c@1"), &store.err);
    delete_obsolete(&store);
    for (int keep = LDB_CRASH_KEEP_NONE; keep <= LDB_CRASH_KEEP_ALL; keep++) {
        start(&copy,
              env_fault_after_cut(store.fault, (enum ldb_crash_keep)keep, n));
        check_opens(&copy);
        assert_int_equal(count + 1, table_count(&copy));
        stop(&copy);
    }
    stop(&store);
    return has_failed || s != LDB_OK;
}

static void a_failure_of_any_call_leaves_a_sound_folder(void **state)
{
    (void)state;
    for (int variant = 0; variant < 16; variant++) {
        uint64_t n = 1;

        while (fail_nth_call(n, (variant & 1) != 0,
                             (variant & 2) != 0 ? ENOSPC : EIO,
                             (variant & 4) != 0, (variant & 8) != 0 ? 1 : 0)) {
            n++;
            assert_true(n < CALLS_MAX);
        }
        assert_true(n > 4);
    }
}

static void a_full_disk_leaves_a_sound_folder(void **state)
{
    (void)state;
    for (uint64_t budget = 0; budget < 400; budget += 7) {
        for (int is_reopened = 0; is_reopened < 2; is_reopened++) {
            struct store store;
            size_t count;

            start(&store, env_fault_create(NULL));
            make_database(&store);
            if (is_reopened)
                recover(&store);
            env_fault_disk_full(store.fault, budget);
            for (const char *key = "bcdefgh"; *key != '\0'; key++) {
                const char text[] = {*key, '@', '1', '\0'};

                (void)!flush(&store, text);
                delete_obsolete(&store);
            }
            count = table_count(&store);
            env_fault_disk_free(store.fault);
            assert_ldb_ok(flush(&store, "z@1"), &store.err);
            delete_obsolete(&store);
            env_fault_power_cut(store.fault, LDB_CRASH_KEEP_NONE, 0);
            ldb_version_set_destroy(store.set);
            store.env = env_fault_env(store.fault);
            open_set(&store);
            check_opens(&store);
            assert_int_equal(count + 1, table_count(&store));
            stop(&store);
        }
    }
}

/* ---- what a failure does to the tables of its edit ---- */

static void take(struct store *store, uint64_t *out_number, size_t *out_count)
{
    uint64_t *numbers = NULL;

    assert_ldb_ok(
        ldb_version_set_take_obsolete(store->set, &numbers, out_count), NULL);
    *out_number = *out_count > 0 ? numbers[0] : 0;
    ldb_mem_free(numbers);
}

static void a_failed_sync_keeps_the_tables_until_a_new_manifest(void **state)
{
    const struct env_fault_rule rule = {.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                        .path = "MANIFEST",
                                        .nth = 1,
                                        .sys_errno = EIO};
    struct store store;
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t number = 0;
    uint64_t len = 0;
    size_t count = 0;
    uint64_t failed;

    (void)state;
    start(&store, env_fault_create(NULL));
    make_database(&store);
    ldb_version_set_manifest(store.set, &before, &len);
    failed = ldb_version_set_next_file_number(store.set);
    env_fault_fail(store.fault, &rule);
    assert_ldb_status(LDB_IO, flush(&store, "b@1"), &store.err);
    assert_ldb_message("MANIFEST-000000", &store.err);
    assert_int_equal(1, table_count(&store));
    assert_true(ldb_version_set_is_live(store.set, failed));
    take(&store, &number, &count);
    assert_int_equal(0, count);

    assert_ldb_ok(flush(&store, "c@1"), &store.err);
    ldb_version_set_manifest(store.set, &after, &len);
    assert_true(after > before);
    assert_false(ldb_version_set_is_live(store.set, failed));
    take(&store, &number, &count);
    assert_int_equal(1, count);
    assert_int_equal(failed, number);
    stop(&store);
}

static void a_failed_append_that_is_cut_off_costs_its_tables_alone(void **state)
{
    const struct env_fault_rule rule = {.kinds =
                                            ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                        .path = "MANIFEST",
                                        .nth = 1,
                                        .sys_errno = ENOSPC,
                                        .torn = true};
    struct store store;
    uint64_t before = 0;
    uint64_t after = 0;
    uint64_t number = 0;
    uint64_t len = 0;
    size_t count = 0;
    uint64_t failed;

    (void)state;
    start(&store, env_fault_create(NULL));
    make_database(&store);
    ldb_version_set_manifest(store.set, &before, &len);
    failed = ldb_version_set_next_file_number(store.set);
    env_fault_fail(store.fault, &rule);
    assert_ldb_status(LDB_NO_SPACE, flush(&store, "b@1"), &store.err);
    take(&store, &number, &count);
    assert_int_equal(1, count);
    assert_int_equal(failed, number);
    assert_ldb_ok(flush(&store, "c@1"), &store.err);
    ldb_version_set_manifest(store.set, &after, &len);
    assert_int_equal(before, after);
    recover(&store);
    assert_int_equal(2, table_count(&store));
    stop(&store);
}

static void a_manifest_that_could_not_be_begun_is_removed(void **state)
{
    const struct env_fault_rule rule = {.kinds =
                                            ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                        .path = "MANIFEST",
                                        .nth = 1,
                                        .from_then_on = true,
                                        .sys_errno = ENOSPC,
                                        .torn = true};
    struct store store;
    char *path;
    uint64_t number;
    uint64_t size = 0;

    (void)state;
    start(&store, env_fault_create(NULL));
    make_database(&store);
    recover(&store);
    env_fault_fail(store.fault, &rule);
    assert_ldb_status(LDB_NO_SPACE, flush(&store, "b@1"), &store.err);
    number = ldb_version_set_next_file_number(store.set) - 1;
    path = ldb_file_path(DIR, LDB_FILE_MANIFEST, number);
    assert_non_null(path);
    assert_ldb_status(LDB_NOT_FOUND,
                      store.env->ops->file_size(store.env, path, NULL, &size),
                      NULL);
    ldb_mem_free(path);
    stop(&store);
}

static void every_failed_allocation_is_survived(void **state)
{
    (void)state;
    for (int is_reopened = 0; is_reopened < 2; is_reopened++) {
        for (uint64_t n = 1; n < CALLS_MAX; n++) {
            const struct version_row row = {1, 90, 1, "b@1", "b@1"};
            struct ldb_version_edit edit = {0};
            struct store store;
            enum ldb_status s;
            bool has_failed;

            start(&store, env_fault_create(NULL));
            make_database(&store);
            if (is_reopened)
                recover(&store);
            assert_ldb_ok(make_table(&store, 90), &store.err);
            version_rows_add(&edit, &row);
            assert_ldb_ok(
                ldb_version_edit_delete_file(&edit, 1,
                                             ldb_version_set_current(store.set)
                                                 ->levels[1]
                                                 .files[0]
                                                 ->number),
                NULL);
            mem_fault_start(n, MEM_FAULT_ONCE);
            s = ldb_version_set_apply(store.set, &edit, &store.err);
            has_failed = mem_fault_stop();
            ldb_version_edit_release(&edit);
            if (s != LDB_OK)
                assert_ldb_status(LDB_NO_MEMORY, s, &store.err);
            delete_obsolete(&store);
            assert_ldb_ok(flush(&store, "c@1"), &store.err);
            delete_obsolete(&store);
            ldb_version_set_destroy(store.set);
            open_set(&store);
            check_opens(&store);
            assert_int_equal(2, table_count(&store));
            stop(&store);
            if (!has_failed)
                break;
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_power_cut_at_any_call_leaves_before_or_after),
        cmocka_unit_test(a_failure_of_any_call_leaves_a_sound_folder),
        cmocka_unit_test(a_full_disk_leaves_a_sound_folder),
        cmocka_unit_test(a_failed_sync_keeps_the_tables_until_a_new_manifest),
        cmocka_unit_test(
            a_failed_append_that_is_cut_off_costs_its_tables_alone),
        cmocka_unit_test(a_manifest_that_could_not_be_begun_is_removed),
        cmocka_unit_test(every_failed_allocation_is_survived),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
