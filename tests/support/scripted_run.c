#include "tests/support/scripted_run.h"

#include "storage/base/env.h"
#include "tests/support/assert_ldb.h"

#define WRITES_A_ROUND 5
#define ROUNDS         3
#define ASYNC_WRITES   3

void scripted_run_options(struct ldb_env *env, struct ldb_options *out)
{
    ldb_options_init(out);
    out->env = env;
    out->create_if_missing = true;
    out->write_buffer_bytes = 12 << 10;
    out->table_bytes = 8 << 10;
    out->level1_bytes = 16 << 10;
    out->level_multiplier = 4;
    out->block_bytes = 1024;
    out->l0_compaction_trigger = 2;
    out->row_cache_bytes = 16 << 10;
    out->manifest_rotate_bytes = 1 << 10;
    out->immutable_memtables_max = 3;
}

/* A failed call says why. Counted. */
static unsigned note(enum ldb_status s, const struct ldb_error *err)
{
    if (s == LDB_OK)
        return 0;
    assert_int_equal(err->status, s);
    assert_string_not_equal(err->message, "");
    return 1;
}

static unsigned write_some(struct ldb_db *db, struct history *h)
{
    unsigned failures = 0;

    for (int i = 0; i < WRITES_A_ROUND; i++) {
        struct history_write *w = history_plan(h, i % 3 == 0);

        if (w == NULL) {
            failures++;
            continue;
        }
        failures += note(history_wait(db, w), &w->write.error);
    }
    return failures;
}

static void on_done(struct ldb_write *write)
{
    (void)write;
}

/* Submitted together; answered at the latest by ldb_close(). */
static unsigned write_async(struct ldb_db *db, struct history *h)
{
    unsigned failures = 0;

    for (int i = 0; i < ASYNC_WRITES; i++) {
        struct history_write *w = history_plan(h, i % 2 == 0);
        struct ldb_error err = {0};
        enum ldb_status s;

        if (w == NULL) {
            failures++;
            continue;
        }
        w->write.done = on_done;
        s = ldb_write_submit(db, &w->write, &err);
        if (s != LDB_OK)
            w->write.status = s;
        failures += note(s, &err);
    }
    ldb_write_drive(db);
    return failures;
}

unsigned scripted_run(struct ldb_env *env, struct history *h,
                      void (*before_close)(void *context), void *context)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    unsigned failures = 0;

    scripted_run_options(env, &options);
    failures +=
        note(ldb_open(SCRIPTED_RUN_DIR, &options, NULL, &err, &db), &err);
    if (db == NULL)
        return failures;
    for (int round = 0; round < ROUNDS; round++) {
        failures += write_some(db, h);
        err = (struct ldb_error){0};
        failures += note(ldb_flush(db, &err), &err);
    }
    err = (struct ldb_error){0};
    failures += note(ldb_compact_range(db, NULL, NULL, &err), &err);
    failures += write_async(db, h);
    failures += write_some(db, h);
    if (before_close != NULL)
        before_close(context);
    err = (struct ldb_error){0};
    failures += note(ldb_close(db, &err), &err);
    return failures;
}

void scripted_run_verify(struct ldb_env *env, struct history *h,
                         enum history_must must, const char *what)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    enum ldb_status s;
    const char *why;

    scripted_run_options(env, &options);
    s = ldb_open(SCRIPTED_RUN_DIR, &options, NULL, &err, &db);
    if (s != LDB_OK)
        fail_msg("%s: open: %s", what, err.message);
    why = history_check(h, db, must);
    if (why != NULL)
        fail_msg("%s: %s", what, why);
    assert_ldb_ok(ldb_put(db, ldb_slice_str("k000"), ldb_slice_str("again"),
                          true, &err, NULL),
                  &err);
    assert_ldb_ok(ldb_delete(db, ldb_slice_str("k000"), true, &err, NULL),
                  &err);
    assert_ldb_ok(ldb_flush(db, &err), &err);
    assert_int_equal(ldb_health(db, NULL), LDB_HEALTHY);
    history_settle(h, db);
    assert_ldb_ok(ldb_close(db, &err), &err);
}
