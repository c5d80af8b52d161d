#include "tests/support/env_fault.h"

#include <errno.h>
#include <sched.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/env_conformance.h"

/* ---- fixture ---- */

struct fault_fixture {
    struct env_fixture base; /* first: the conformance suite reads it */
    struct env_fault *fault;
};

static int setup(void **state)
{
    static struct fault_fixture fixture;
    struct ldb_error err = {0};

    fixture = (struct fault_fixture){.base = {.dir = "/db"}};
    fixture.fault = env_fault_create(NULL);
    fixture.base.env = env_fault_env(fixture.fault);
    assert_ldb_ok(
        fixture.base.env->ops->create_dir(fixture.base.env, "/db", &err), &err);
    assert_ldb_ok(fixture.base.env->ops->sync_dir(fixture.base.env, "/", &err),
                  &err);
    *state = &fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fault_fixture *fixture = *state;

    env_fault_destroy(fixture->fault);
    return 0;
}

static struct ldb_writable_file *open_append(struct ldb_env *env,
                                             const char *path)
{
    struct ldb_error err = {0};
    struct ldb_writable_file *file = NULL;

    assert_ldb_ok(
        env->ops->open_writable(env, path, LDB_OPEN_APPEND, &err, &file), &err);
    return file;
}

/* Makes every kind of call once; OK when all were. Leaves nothing open. */
static enum ldb_status use_files(struct ldb_env *env, struct ldb_error *err)
{
    const struct ldb_env_ops *ops = env->ops;
    struct ldb_writable_file *file = NULL;
    enum ldb_status s;
    enum ldb_status closed;

    s = ops->open_writable(env, "/db/a", LDB_OPEN_TRUNCATE, err, &file);
    if (s != LDB_OK)
        return s;
    s = ldb_file_append(file, ldb_slice_str("0123456789"), err);
    if (s == LDB_OK)
        s = ldb_file_truncate(file, 8, err);
    if (s == LDB_OK)
        s = ldb_file_sync(file, err);
    closed = ldb_file_close(file, err);
    return s == LDB_OK ? closed : s;
}

static enum ldb_status read_files(struct ldb_env *env, struct ldb_error *err)
{
    const struct ldb_env_ops *ops = env->ops;
    struct ldb_random_file *random = NULL;
    struct ldb_sequential_file *sequential = NULL;
    struct ldb_slice got = {0};
    uint8_t scratch[4];
    uint64_t number = 0;
    size_t len = 0;
    enum ldb_status s;

    s = ops->open_random(env, "/db/a", err, &random);
    if (s == LDB_OK)
        s = ldb_random_read_at(random, 1, 4, scratch, &got, err);
    if (s == LDB_OK)
        s = ops->open_sequential(env, "/db/a", err, &sequential);
    if (s == LDB_OK)
        s = ldb_sequential_read(sequential, 4, scratch, &len, err);
    if (s == LDB_OK)
        s = (sequential->ops->skip)(sequential, 1, err);
    if (s == LDB_OK)
        s = ops->file_size(env, "/db/a", err, &number);
    if (s == LDB_OK)
        s = ops->free_space(env, "/db", err, &number);
    if (s == LDB_OK)
        s = ops->random_bytes(env, scratch, 4, err);
    if (random != NULL)
        ldb_random_close(random);
    if (sequential != NULL)
        ldb_sequential_close(sequential);
    return s;
}

static enum ldb_status visit_nothing(void *context, const char *name)
{
    (void)context;
    (void)name;
    return LDB_OK;
}

static void run_nothing(void *context)
{
    (void)context;
}

static enum ldb_status use_names(struct ldb_env *env, struct ldb_error *err)
{
    const struct ldb_env_ops *ops = env->ops;
    struct ldb_file_lock *lock = NULL;
    struct ldb_thread *thread = NULL;
    enum ldb_status s;

    s = ops->create_dir(env, "/db/d", err);
    if (s == LDB_OK)
        s = ops->remove_dir(env, "/db/d", err);
    if (s == LDB_OK)
        s = ops->link_file(env, "/db/a", "/db/b", err);
    if (s == LDB_OK)
        s = ops->rename_file(env, "/db/b", "/db/c", err);
    if (s == LDB_OK)
        s = ops->remove_file(env, "/db/c", err);
    if (s == LDB_OK)
        s = ops->sync_dir(env, "/db", err);
    if (s == LDB_OK)
        s = ops->list_dir(env, "/db", visit_nothing, NULL, err);
    if (s == LDB_OK)
        s = ops->lock_file(env, "/db/LOCK", false, err, &lock);
    if (lock != NULL)
        ops->unlock_file(env, lock);
    if (s == LDB_OK)
        s = ops->thread_start(env, "thread", run_nothing, NULL, err, &thread);
    if (thread != NULL)
        ops->thread_join(env, thread);
    return s;
}

static enum ldb_status use_all(struct ldb_env *env, struct ldb_error *err)
{
    enum ldb_status s = use_files(env, err);

    if (s == LDB_OK)
        s = read_files(env, err);
    return s == LDB_OK ? use_names(env, err) : s;
}

/* ---- failing calls ---- */

static void the_nth_call_of_a_kind_fails_once(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *env = f->base.env;
    struct ldb_error err = {0};
    struct ldb_writable_file *file = open_append(env, "/db/a");

    env_fault_fail(f->fault, &(struct env_fault_rule){
                                 .kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND),
                                 .nth = 2,
                                 .sys_errno = EIO});
    assert_ldb_ok(ldb_file_append(file, ldb_slice_str("1"), &err), &err);
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_status(LDB_IO, ldb_file_append(file, ldb_slice_str("2"), &err),
                      &err);
    assert_int_equal(err.sys_errno, EIO);
    assert_ldb_message("append /db/a", &err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_str("3"), &err), &err);
    assert_int_equal(env_fault_failed(f->fault), 1);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    env_assert_file(env, "/db/a", "13");
}

static void calls_fail_from_then_on_until_the_rule_goes(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *env = f->base.env;
    struct ldb_error err = {0};

    env_put_file(env, "/db/a", "text", true);
    env_fault_fail(f->fault, &(struct env_fault_rule){.nth = 2,
                                                      .from_then_on = true,
                                                      .sys_errno = ENOSPC});
    assert_ldb_ok(env->ops->sync_dir(env, "/db", &err), &err);
    for (int i = 0; i < 3; i++)
        assert_ldb_status(LDB_NO_SPACE, env->ops->sync_dir(env, "/db", &err),
                          &err);
    assert_ldb_status(LDB_NO_SPACE, env->ops->remove_file(env, "/db/a", &err),
                      &err);
    env_fault_fail(f->fault, NULL);
    assert_int_equal(env_fault_failed(f->fault), 4);
    env_assert_file(env, "/db/a", "text");
}

static void a_rule_may_be_for_some_paths_alone(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *env = f->base.env;
    struct ldb_error err = {0};

    env_put_file(env, "/db/1.log", "", true);
    env_put_file(env, "/db/1.ldb", "", true);
    env_fault_fail(f->fault, &(struct env_fault_rule){
                                 .path = ".log", .nth = 1, .sys_errno = EIO});
    assert_ldb_ok(env->ops->remove_file(env, "/db/1.ldb", &err), &err);
    assert_ldb_status(LDB_IO, env->ops->remove_file(env, "/db/1.log", &err),
                      &err);
}

static void every_kind_of_call_can_fail(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *env = f->base.env;

    for (unsigned kind = 0; kind < ENV_FAULT_KIND_COUNT; kind++) {
        struct ldb_error err = {0};

        env_fault_fail(f->fault,
                       &(struct env_fault_rule){.kinds = ENV_FAULT_BIT(kind),
                                                .nth = 1,
                                                .sys_errno = EIO});
        assert_ldb_status(LDB_IO, use_all(env, &err), &err);
        assert_int_equal(env_fault_failed(f->fault), 1);
        env_fault_fail(f->fault, NULL);
        (void)env->ops->remove_dir(env, "/db/d", NULL);
        (void)env->ops->remove_file(env, "/db/b", NULL);
        (void)env->ops->remove_file(env, "/db/c", NULL);
        assert_ldb_ok(use_all(env, &err), &err);
    }
}

static void a_torn_append_leaves_half_of_its_bytes(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *env = f->base.env;
    struct ldb_error err = {0};
    struct ldb_writable_file *file = open_append(env, "/db/a");

    env_fault_fail(f->fault, &(struct env_fault_rule){
                                 .nth = 1, .sys_errno = EIO, .torn = true});
    assert_ldb_status(
        LDB_IO, ldb_file_append(file, ldb_slice_str("012345"), &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    env_assert_file(env, "/db/a", "012");
}

static void a_sync_after_a_failed_one_succeeds_and_does_nothing(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *env = f->base.env;
    struct ldb_error err = {0};
    struct ldb_writable_file *file = open_append(env, "/db/a");

    assert_ldb_ok(env->ops->sync_dir(env, "/db", &err), &err);
    env_fault_fail(f->fault, &(struct env_fault_rule){
                                 .kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                 .nth = 2,
                                 .sys_errno = EIO});
    assert_ldb_ok(ldb_file_append(file, ldb_slice_str("1"), &err), &err);
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_str("2"), &err), &err);
    assert_ldb_status(LDB_IO, ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    env_assert_file(env_fault_env(f->fault), "/db/a", "1");
}

/* ---- a full disk ---- */

static void a_full_disk_tears_appends_and_refuses_new_names(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *env = f->base.env;
    const struct ldb_env_ops *ops = env->ops;
    struct ldb_error err = {0};
    struct ldb_writable_file *file = open_append(env, "/db/a");
    struct ldb_writable_file *other = NULL;
    struct ldb_file_lock *lock = NULL;
    uint64_t space = 0;

    env_fault_disk_full(f->fault, 5);
    assert_ldb_ok(ops->free_space(env, "/db", &err, &space), &err);
    assert_int_equal(space, 5);
    env_put_file(env, "/db/b", "ab", true); /* there is room yet */
    assert_ldb_status(LDB_NO_SPACE,
                      ldb_file_append(file, ldb_slice_str("0123"), &err), &err);
    assert_int_equal(err.sys_errno, ENOSPC);
    env_assert_file(env, "/db/a", "012");
    assert_ldb_status(LDB_NO_SPACE,
                      ldb_file_append(file, ldb_slice_str("x"), &err), &err);

    assert_ldb_status(
        LDB_NO_SPACE,
        ops->open_writable(env, "/db/c", LDB_OPEN_TRUNCATE, &err, &other),
        &err);
    assert_ldb_status(LDB_NO_SPACE, ops->create_dir(env, "/db/d", &err), &err);
    assert_ldb_status(LDB_NO_SPACE, ops->link_file(env, "/db/a", "/db/e", &err),
                      &err);
    assert_ldb_status(LDB_NO_SPACE,
                      ops->lock_file(env, "/db/LOCK", false, &err, &lock),
                      &err);
    /* What needs no space goes on. */
    assert_ldb_ok(ops->create_dir(env, "/db", &err), &err);
    assert_ldb_ok(ldb_file_truncate(file, 1, &err), &err);
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ops->rename_file(env, "/db/b", "/db/c", &err), &err);
    assert_ldb_ok(ops->remove_file(env, "/db/c", &err), &err);

    env_fault_disk_free(f->fault);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_str("x"), &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    env_assert_file(env, "/db/a", "0x");
}

/* ---- watching ---- */

static void calls_are_counted_by_kind(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_error err = {0};

    env_fault_forget_counts(f->fault);
    assert_ldb_ok(use_all(f->base.env, &err), &err);
    assert_int_equal(env_fault_count(f->fault, 0), ENV_FAULT_KIND_COUNT);
    for (unsigned kind = 0; kind < ENV_FAULT_KIND_COUNT; kind++)
        assert_int_equal(env_fault_count(f->fault, ENV_FAULT_BIT(kind)), 1);
    assert_int_equal(env_fault_count(f->fault, ENV_FAULT_WRITES), 10);
    env_fault_forget_counts(f->fault);
    assert_int_equal(env_fault_count(f->fault, 0), 0);
}

static void the_log_has_a_line_for_each_call(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *env = f->base.env;
    struct ldb_error err = {0};
    char *log;

    env_put_file(env, "/db/before", "", true);
    env_fault_start_log(f->fault);
    assert_ldb_ok(use_files(env, &err), &err);
    env_fault_fail(f->fault,
                   &(struct env_fault_rule){.nth = 1, .sys_errno = EIO});
    assert_ldb_status(LDB_IO,
                      env->ops->rename_file(env, "/db/a", "/db/b", &err), &err);
    log = env_fault_log(f->fault);
    assert_string_equal(log, "open_writable /db/a truncate\n"
                             "append /db/a 10\n"
                             "truncate /db/a 8\n"
                             "sync /db/a\n"
                             "close /db/a\n"
                             "rename_file /db/a /db/b = EIO\n");
    free(log);
    env_fault_start_log(f->fault);
    log = env_fault_log(f->fault);
    assert_string_equal(log, "");
    free(log);
}

/* ---- power cuts ---- */

struct open_things {
    struct ldb_writable_file *writable;
    struct ldb_random_file *random;
    struct ldb_sequential_file *sequential;
    struct ldb_file_lock *lock;
};

static struct open_things open_all(struct ldb_env *env)
{
    struct open_things things = {.writable = open_append(env, "/db/a")};
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_file_append(things.writable, ldb_slice_str("0123"), &err),
                  &err);
    assert_ldb_ok(env->ops->open_random(env, "/db/a", &err, &things.random),
                  &err);
    assert_ldb_ok(
        env->ops->open_sequential(env, "/db/a", &err, &things.sequential),
        &err);
    assert_ldb_ok(
        env->ops->lock_file(env, "/db/LOCK", false, &err, &things.lock), &err);
    return things;
}

static void after_a_cut_the_old_env_fails_and_can_be_closed(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *old = f->base.env;
    struct ldb_env *fresh;
    struct open_things things = open_all(old);
    struct ldb_error err = {0};
    struct ldb_thread *thread = NULL;
    struct ldb_file_lock *lock = NULL;
    struct ldb_slice got = {0};
    uint8_t scratch[4];
    size_t len = 0;

    assert_ldb_ok(
        old->ops->thread_start(old, "thread", run_nothing, NULL, &err, &thread),
        &err);
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_ALL, 0);
    fresh = env_fault_env(f->fault);
    assert_ptr_not_equal(fresh, old);
#define DEAD(call)                                                             \
    assert_ldb_status(LDB_IO, call, &err);                                     \
    assert_ldb_message("power was cut", &err)
    DEAD(ldb_file_append(things.writable, ldb_slice_str("x"), &err));
    DEAD(ldb_file_truncate(things.writable, 0, &err));
    DEAD(ldb_file_sync(things.writable, &err));
    DEAD(ldb_random_read_at(things.random, 0, 4, scratch, &got, &err));
    DEAD(ldb_sequential_read(things.sequential, 4, scratch, &len, &err));
    DEAD(use_files(old, &err));
    DEAD(read_files(old, &err));
    DEAD(use_names(old, &err));
    /* Its lock holds up nobody. */
    assert_ldb_ok(fresh->ops->lock_file(fresh, "/db/LOCK", false, &err, &lock),
                  &err);
    fresh->ops->unlock_file(fresh, lock);
    DEAD(ldb_file_close(things.writable, &err));
#undef DEAD
    ldb_random_close(things.random);
    ldb_sequential_close(things.sequential);
    old->ops->unlock_file(old, things.lock);
    old->ops->thread_join(old, thread);
    assert_true(old->ops->wall_us(old) > 0);
    assert_true(old->ops->monotonic_us(old) > 0);
    env_assert_file(fresh, "/db/a", "0123");
    assert_ldb_ok(use_all(fresh, &err), &err);
}

static void a_cut_keeps_what_was_synced(void **state)
{
    static const struct {
        const char *name;
        enum ldb_crash_keep keep;
        const char *synced;   /* file and name synced, then more appended */
        const char *unsynced; /* name synced, bytes not */
        const char *unnamed;  /* bytes synced, name not */
        const char *removed;  /* durable, then removed */
    } rows[] = {
        {"none", LDB_CRASH_KEEP_NONE, "synced", "", NULL, "removed"},
        {"all", LDB_CRASH_KEEP_ALL, "synced, more", "bytes", "bytes", NULL},
    };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fault_fixture f = *(const struct fault_fixture *)*state;
        struct ldb_env *env = env_fault_env(f.fault);
        struct ldb_error err = {0};
        struct ldb_writable_file *file;

        env_put_file(env, "/db/synced", "synced", true);
        env_put_file(env, "/db/unsynced", "bytes", false);
        env_put_file(env, "/db/removed", "removed", true);
        assert_ldb_ok(env->ops->sync_dir(env, "/db", &err), &err);
        env_put_file(env, "/db/unnamed", "bytes", true);
        assert_ldb_ok(env->ops->remove_file(env, "/db/removed", &err), &err);
        file = open_append(env, "/db/synced");
        assert_ldb_ok(ldb_file_append(file, ldb_slice_str(", more"), &err),
                      &err);
        assert_ldb_ok(ldb_file_close(file, &err), &err);

        print_message("keep %s\n", rows[i].name);
        env_fault_power_cut(f.fault, rows[i].keep, 0);
        env = env_fault_env(f.fault);
        env_assert_file(env, "/db/synced", rows[i].synced);
        env_assert_file(env, "/db/unsynced", rows[i].unsynced);
        env_assert_file(env, "/db/unnamed", rows[i].unnamed);
        env_assert_file(env, "/db/removed", rows[i].removed);
        (void)env->ops->remove_file(env, "/db/unnamed", NULL);
    }
}

/* Replaces a file; at call cut_at the power goes. */
struct cutter {
    struct env_fault *fault;
    uint64_t calls;
    uint64_t cut_at;
};

static void cut_at_call(void *context, enum env_fault_kind kind,
                        const char *path)
{
    struct cutter *cutter = context;

    (void)kind;
    assert_true(path[0] == '/');
    if (++cutter->calls == cutter->cut_at)
        env_fault_power_cut(cutter->fault, LDB_CRASH_KEEP_TORN, cutter->cut_at);
}

static void a_replaced_file_is_old_or_new_wherever_the_power_goes(void **state)
{
    const struct fault_fixture *f = *state;
    struct cutter cutter = {.fault = f->fault};

    for (cutter.cut_at = 1;; cutter.cut_at++) {
        struct ldb_env *env = env_fault_env(f->fault);
        struct ldb_buf content = LDB_BUF_INIT(16);
        struct ldb_error err = {0};
        enum ldb_status s;

        env_fault_set_call_hook(f->fault, NULL, NULL);
        assert_ldb_ok(ldb_env_replace_file(env, "/db", "/db/a", "/db/t",
                                           ldb_slice_str("old"), &err),
                      &err);
        cutter.calls = 0;
        env_fault_set_call_hook(f->fault, cut_at_call, &cutter);
        s = ldb_env_replace_file(env, "/db", "/db/a", "/db/t",
                                 ldb_slice_str("new"), &err);
        env_fault_set_call_hook(f->fault, NULL, NULL);
        if (s == LDB_OK)
            break;
        assert_ldb_message("power was cut", &err);
        assert_ldb_ok(
            ldb_env_read_file(env_fault_env(f->fault), "/db/a", &err, &content),
            &err);
        assert_true(
            ldb_slice_equal(ldb_slice_of_buf(&content), ldb_slice_str("old")) ||
            ldb_slice_equal(ldb_slice_of_buf(&content), ldb_slice_str("new")));
        ldb_buf_release(&content);
        assert_true(cutter.cut_at < 100);
    }
    assert_int_equal(cutter.cut_at, 7); /* six calls: each was tried */
}

/* In one run: before each call, look at what a cut would leave. */
static void look_at_copy(void *context, enum env_fault_kind kind,
                         const char *path)
{
    struct cutter *cutter = context;
    struct env_fault *copy =
        env_fault_after_cut(cutter->fault, LDB_CRASH_KEEP_NONE, 0);

    (void)path;
    cutter->calls++;
    if (kind == ENV_FAULT_SYNC_DIR) /* renamed, not yet durable */
        cutter->cut_at = cutter->calls;
    env_assert_file(env_fault_env(copy), "/db/a", "old");
    env_fault_destroy(copy);
}

static void a_hook_may_look_at_what_a_cut_would_leave(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_env *env = f->base.env;
    struct cutter cutter = {.fault = f->fault};
    struct env_fault *copy;
    struct ldb_error err = {0};

    env_put_file(env, "/db/a", "old", true);
    assert_ldb_ok(env->ops->sync_dir(env, "/db", &err), &err);
    env_fault_set_call_hook(f->fault, look_at_copy, &cutter);
    assert_ldb_ok(ldb_env_replace_file(env, "/db", "/db/a", "/db/t",
                                       ldb_slice_str("new"), &err),
                  &err);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_int_equal(cutter.calls, 6);
    assert_int_equal(cutter.cut_at, 6);
    copy = env_fault_after_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    env_assert_file(env_fault_env(copy), "/db/a", "new");
    env_fault_destroy(copy);
}

/* A thread appends and syncs until the power goes, counting what it is told. */
struct writer {
    struct ldb_env *env;
    uint64_t acknowledged;
    atomic_uint_fast64_t begun; /* relaxed: a figure to wait for */
};

static void write_until_the_cut(void *context)
{
    struct writer *writer = context;
    struct ldb_writable_file *file = open_append(writer->env, "/db/a");

    while (ldb_file_append(file, ldb_slice_str("x"), NULL) == LDB_OK &&
           ldb_file_sync(file, NULL) == LDB_OK) {
        writer->acknowledged++;
        (void)atomic_fetch_add_explicit(&writer->begun, 1,
                                        memory_order_relaxed);
    }
    (void)ldb_file_close(file, NULL);
}

static void no_acknowledged_byte_is_lost_when_threads_run(void **state)
{
    const struct fault_fixture *f = *state;
    struct ldb_error err = {0};

    for (int round = 0; round < 20; round++) {
        struct ldb_env *env = env_fault_env(f->fault);
        struct writer writer = {.env = env};
        struct ldb_thread *thread = NULL;
        uint64_t size = 0;

        env_put_file(env, "/db/a", "", true);
        assert_ldb_ok(env->ops->sync_dir(env, "/db", &err), &err);
        assert_ldb_ok(env->ops->thread_start(env, "writer", write_until_the_cut,
                                             &writer, &err, &thread),
                      &err);
        while (atomic_load_explicit(&writer.begun, memory_order_relaxed) < 10)
            (void)sched_yield();
        env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
        env->ops->thread_join(env, thread);
        env = env_fault_env(f->fault);
        assert_ldb_ok(env->ops->file_size(env, "/db/a", &err, &size), &err);
        assert_true(size >= writer.acknowledged);
        assert_true(size <= writer.acknowledged + 1);
    }
}

/* ---- over another env ---- */

static void it_wraps_the_systems_files_too(void **state)
{
    struct env_fault *fault = env_fault_create(ldb_env_posix());
    struct ldb_env *env = env_fault_env(fault);
    struct temp_dir dir;
    char path[TEMP_DIR_PATH_SIZE];
    struct ldb_error err = {0};

    (void)state;
    temp_dir_create(&dir);
    (void)temp_dir_join(&dir, "a", path);
    env_put_file(env, path, "text", true);
    env_fault_fail(fault, &(struct env_fault_rule){
                              .kinds = ENV_FAULT_BIT(ENV_FAULT_REMOVE_FILE),
                              .nth = 1,
                              .sys_errno = EACCES});
    assert_ldb_status(LDB_IO, env->ops->remove_file(env, path, &err), &err);
    env_assert_file(ldb_env_posix(), path, "text");
    env_fault_destroy(fault);
    temp_dir_remove(&dir);
}

static void the_clock_stands_where_it_was_set(void **state)
{
    struct env_fault *fault = env_fault_create(NULL);
    struct ldb_env *env = env_fault_env(fault);

    (void)state;
    env_fault_set_clock(fault, 7);
    assert_int_equal(env->ops->monotonic_us(env), 7);
    env_fault_set_clock(fault, 0);
    assert_true(env->ops->monotonic_us(env) > 7);
    env_fault_destroy(fault);
}

static void destroying_nothing_is_fine(void **state)
{
    (void)state;
    env_fault_destroy(NULL);
}

int main(void)
{
#define TEST(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(the_nth_call_of_a_kind_fails_once),
        TEST(calls_fail_from_then_on_until_the_rule_goes),
        TEST(a_rule_may_be_for_some_paths_alone),
        TEST(every_kind_of_call_can_fail),
        TEST(a_torn_append_leaves_half_of_its_bytes),
        TEST(a_sync_after_a_failed_one_succeeds_and_does_nothing),
        TEST(a_full_disk_tears_appends_and_refuses_new_names),
        TEST(calls_are_counted_by_kind),
        TEST(the_log_has_a_line_for_each_call),
        TEST(after_a_cut_the_old_env_fails_and_can_be_closed),
        TEST(a_cut_keeps_what_was_synced),
        TEST(a_replaced_file_is_old_or_new_wherever_the_power_goes),
        TEST(a_hook_may_look_at_what_a_cut_would_leave),
        TEST(no_acknowledged_byte_is_lost_when_threads_run),
        cmocka_unit_test(it_wraps_the_systems_files_too),
        cmocka_unit_test(the_clock_stands_where_it_was_set),
        cmocka_unit_test(destroying_nothing_is_fine),
    };
    int failed = env_conformance_run("fault env over memory", setup, teardown);

    return failed + cmocka_run_group_tests(tests, NULL, NULL);
}
