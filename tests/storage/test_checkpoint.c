/* Copies of an open database: they open, hold one state, and come whole or not
 * at all. */
#include <errno.h>
#include <stdatomic.h>
#include <stdio.h>

#include "storage/include/ldb.h"
#include "storage/verify.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"
#include "tests/support/watcher.h"

#define COPY "/copy"

static struct ldb_db *open_copy(struct ldb_env *env)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    ldb_options_init(&options);
    options.env = env;
    options.create_if_missing = false;
    assert_ldb_ok(ldb_open(COPY, &options, NULL, &err, &db), &err);
    return db;
}

/* 0..n of db_fixture_fill() in three places: deep, level 0, journal. */
static void fill(struct db_fixture *f)
{
    db_fixture_fill(f, 0, 300);
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_fill(f, 300, 600);
    db_fixture_flush(f);
    db_fixture_fill(f, 600, 900);
}

/* The keys of fill() and no others but those the writer adds in order. */
static unsigned count_copy(struct ldb_db *db)
{
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};
    unsigned count = 0;

    assert_ldb_ok(ldb_cursor_open(db, NULL, &err, &cursor), &err);
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor)) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", count);
        assert_ldb_slice(ldb_slice_str(key), ldb_cursor_key(cursor));
        count++;
    }
    assert_ldb_ok(ldb_cursor_status(cursor, &err), &err);
    ldb_cursor_close(cursor);
    return count;
}

static void a_checkpoint_opens_with_what_was_written(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_verify_summary sum = {0};
    struct ldb_db *copy;

    fill(f);
    assert_ldb_ok(ldb_checkpoint(f->db, COPY, &f->err), &f->err);
    db_fixture_fill(f, 900, 1000); /* not in it any more */
    assert_ldb_ok(
        ldb_verify_folder(COPY, &f->options, NULL, NULL, &f->err, &sum),
        &f->err);
    assert_int_equal(sum.damages + sum.notes, 0);
    copy = open_copy(f->env);
    assert_int_equal(count_copy(copy), 900);
    assert_ldb_ok(ldb_close(copy, &f->err), &f->err);
    db_fixture_assert_filled(f, 0, 1000);
}

static void a_folder_that_is_not_empty_is_refused(void **state)
{
    struct db_fixture *f = *state;

    fill(f);
    assert_ldb_status(LDB_EXISTS,
                      ldb_checkpoint(f->db, DB_FIXTURE_DIR, &f->err), &f->err);
    assert_ldb_ok(ldb_checkpoint(f->db, COPY, &f->err), &f->err);
    assert_ldb_status(LDB_EXISTS, ldb_checkpoint(f->db, COPY, &f->err),
                      &f->err);
    db_fixture_assert_filled(f, 0, 900);
}

static void without_links_tables_are_copied(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_db *copy;

    fill(f);
    db_fixture_fail(f, ENV_FAULT_BIT(ENV_FAULT_LINK_FILE), NULL, EXDEV);
    assert_ldb_ok(ldb_checkpoint(f->db, COPY, &f->err), &f->err);
    env_fault_fail(f->fault, NULL);
    copy = open_copy(f->env);
    assert_int_equal(count_copy(copy), 900);
    assert_ldb_ok(ldb_close(copy, &f->err), &f->err);
}

static void one_that_is_cancelled_leaves_nothing(void **state)
{
    struct db_fixture *f = *state;
    struct watcher watcher;
    struct ldb_db *copy;
    unsigned looks;

    fill(f);
    for (looks = 1;; looks++) {
        enum ldb_status s;

        watcher_init(&watcher, looks);
        s = ldb_checkpoint_with(f->db, COPY, &watcher.progress, &f->err);
        if (s == LDB_OK)
            break;
        assert_ldb_status(LDB_CANCELLED, s, &f->err);
    }
    assert_true(looks >= 4); /* MANIFEST and tables */
    assert_int_equal(watcher.done, watcher.total);
    copy = open_copy(f->env);
    assert_int_equal(count_copy(copy), 900);
    assert_ldb_ok(ldb_close(copy, &f->err), &f->err);
}

/* ---- beside a writer ---- */

struct writer {
    struct db_fixture *f;
    _Atomic(bool) stop;
    unsigned written;
};

static void write_on(void *context)
{
    struct writer *writer = context;
    struct ldb_error err = {0};

    for (unsigned n = 900; !atomic_load(&writer->stop) || n < 1000; n++) {
        char key[16];

        (void)snprintf(key, sizeof(key), "key%06u", n);
        if (ldb_put(writer->f->db, ldb_slice_str(key), ldb_slice_str("v"),
                    false, &err, NULL) != LDB_OK)
            return;
        if (n % 200 == 0 && ldb_flush(writer->f->db, &err) != LDB_OK)
            return;
        writer->written = n + 1;
    }
}

static void a_checkpoint_beside_writes_is_a_prefix_of_them(void **state)
{
    struct db_fixture *f = *state;
    struct writer writer = {.f = f};
    struct ldb_thread *thread = NULL;
    struct ldb_db *copy;
    unsigned count;
    char path[32];

    fill(f);
    assert_ldb_ok(f->env->ops->thread_start(f->env, "writer", write_on, &writer,
                                            &f->err, &thread),
                  &f->err);
    for (int i = 0; i < 10; i++) {
        (void)snprintf(path, sizeof(path), COPY "%d", i);
        assert_ldb_ok(ldb_checkpoint(f->db, i == 9 ? COPY : path, &f->err),
                      &f->err);
    }
    atomic_store(&writer.stop, true);
    f->env->ops->thread_join(f->env, thread);
    assert_true(writer.written >= 1000);
    copy = open_copy(f->env);
    count = count_copy(copy); /* asserts that none is left out */
    assert_in_range(count, 900, writer.written);
    assert_int_equal(ldb_last_sequence(copy), count);
    assert_ldb_ok(ldb_close(copy, &f->err), &f->err);
}

/* ---- at any point ---- */

static void look_after_cut(struct db_fixture *f, enum ldb_crash_keep keep,
                           uint64_t seed)
{
    struct env_fault *after = env_fault_after_cut(f->fault, keep, seed);
    struct ldb_env *env = env_fault_env(after);
    struct ldb_error err = {0};
    uint64_t size;

    if (env->ops->file_size(env, COPY "/CURRENT", NULL, &size) == LDB_OK) {
        struct ldb_db *copy = open_copy(env);

        assert_int_equal(count_copy(copy), 900);
        assert_ldb_ok(ldb_close(copy, &err), &err);
    }
    env_fault_destroy(after);
}

struct cut {
    struct db_fixture *f;
    uint64_t calls;
};

static void on_call(void *context, enum env_fault_kind kind, const char *path)
{
    struct cut *cut = context;

    (void)kind;
    (void)path;
    cut->calls++;
    for (enum ldb_crash_keep keep = LDB_CRASH_KEEP_NONE;
         keep <= LDB_CRASH_KEEP_TORN; keep++)
        look_after_cut(cut->f, keep, cut->calls);
}

static void a_cut_leaves_no_current_or_a_whole_copy(void **state)
{
    struct db_fixture *f = *state;
    struct cut cut = {.f = f};

    fill(f);
    db_fixture_settle(f); /* the calls are those of the checkpoint alone */
    env_fault_set_call_hook(f->fault, on_call, &cut);
    assert_ldb_ok(ldb_checkpoint(f->db, COPY, &f->err), &f->err);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_true(cut.calls > 10);
    look_after_cut(f, LDB_CRASH_KEEP_NONE, 0);
}

static void a_failed_checkpoint_is_gone_and_can_be_repeated(void **state)
{
    struct db_fixture *f = *state;
    struct ldb_db *copy;
    unsigned failed = 0;

    fill(f);
    for (uint64_t nth = 1;; nth++) {
        enum ldb_status s;

        env_fault_fail(f->fault, &(struct env_fault_rule){.path = COPY,
                                                          .nth = nth,
                                                          .sys_errno = EIO});
        s = ldb_checkpoint(f->db, COPY, &f->err);
        env_fault_fail(f->fault, NULL);
        if (s == LDB_OK)
            break;
        failed++;
    }
    assert_true(failed > 5);
    copy = open_copy(f->env);
    assert_int_equal(count_copy(copy), 900);
    assert_ldb_ok(ldb_close(copy, &f->err), &f->err);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, db_fixture_setup,                \
                                    db_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_checkpoint_opens_with_what_was_written),
        CASE(a_folder_that_is_not_empty_is_refused),
        CASE(without_links_tables_are_copied),
        CASE(one_that_is_cancelled_leaves_nothing),
        CASE(a_checkpoint_beside_writes_is_a_prefix_of_them),
        CASE(a_cut_leaves_no_current_or_a_whole_copy),
        CASE(a_failed_checkpoint_is_gone_and_can_be_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
