/* Several files at once, into a folder that must never hold half of one. */
#include "replication/table_fetch.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/fetch_fixture.h"
#include "tests/support/mem_fault.h"

#define INCOMING "leveld/incoming"

static struct repl_fetch *create(struct fetch_fixture *f, unsigned transports)
{
    struct repl_fetch_options options = {
        .env = f->env,
        .dir = FETCH_FIXTURE_DIR,
        .peer = memory_peer_repl(f->peer),
        .transports = transports,
    };
    struct repl_fetch *fetch = NULL;

    assert_ldb_ok(repl_fetch_create(&options, &f->err, &fetch), &f->err);
    return fetch;
}

static void want_all(const struct fetch_fixture *f,
                     struct repl_fetch_file files[FETCH_FIXTURE_TABLES])
{
    for (size_t i = 0; i < FETCH_FIXTURE_TABLES; i++)
        files[i] = fetch_fixture_table(f, i);
}

static enum ldb_status fetch_all(struct fetch_fixture *f,
                                 struct repl_fetch *fetch,
                                 struct repl_fetch_file *files,
                                 enum repl_fetch_place place)
{
    return repl_fetch_files(fetch, files, FETCH_FIXTURE_TABLES, place, &f->err);
}

static const char *incoming(const struct repl_fetch_file *file)
{
    static char path[64];

    (void)snprintf(path, sizeof(path), INCOMING "/%.31s", file->name);
    return path;
}

/* Refuses the file of that name, when it is there to be looked at. */
struct refusal {
    struct fetch_fixture *f;
    const char *name;
    _Atomic(unsigned) looks;
};

static enum ldb_status refuse_named(void *context,
                                    const struct repl_fetch_file *file,
                                    struct ldb_error *err)
{
    struct refusal *refusal = context;
    struct ldb_env *env = refusal->f->env;
    char path[64];
    uint64_t size = 0;

    (void)snprintf(path, sizeof(path), FETCH_FIXTURE_DIR "/" INCOMING "/%.31s",
                   file->name);
    atomic_fetch_add(&refusal->looks, 1);
    if (env->ops->file_size(env, path, err, &size) != LDB_OK ||
        size != file->size)
        return ldb_error_set(err, LDB_IO, "it is not there");
    if (strcmp(file->name, refusal->name) != 0)
        return LDB_OK;
    return ldb_error_set(err, LDB_CORRUPTION, "nobody wants it");
}

static void what_is_refused_does_not_come_into_place(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];
    struct refusal refusal = {.f = f};
    struct repl_fetch_options options = {
        .env = f->env,
        .dir = FETCH_FIXTURE_DIR,
        .peer = memory_peer_repl(f->peer),
        .transports = 1,
        .check = refuse_named,
        .context = &refusal,
    };
    struct repl_fetch *fetch = NULL;
    char path[64];
    uint64_t size = 0;

    want_all(f, files);
    refusal.name = files[1].name;
    assert_ldb_ok(repl_fetch_create(&options, &f->err, &fetch), &f->err);
    assert_ldb_status(LDB_CORRUPTION,
                      fetch_all(f, fetch, files, REPL_FETCH_INTO_PLACE),
                      &f->err);
    assert_ldb_message("nobody wants it", &f->err);
    assert_int_equal(2, atomic_load(&refusal.looks));
    assert_int_equal(LDB_OK, files[0].status);
    assert_int_equal(LDB_CORRUPTION, files[1].status);
    (void)snprintf(path, sizeof(path), FETCH_FIXTURE_DIR "/%.31s",
                   files[1].name);
    assert_ldb_status(LDB_NOT_FOUND,
                      f->env->ops->file_size(f->env, path, &f->err, &size),
                      &f->err);
    repl_fetch_destroy(fetch);
}

static void files_come_into_place(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch *fetch = create(f, 0);
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];
    struct repl_fetch_figures figures;
    uint64_t bytes = 0;

    want_all(f, files);
    assert_ldb_ok(fetch_all(f, fetch, files, REPL_FETCH_INTO_PLACE), &f->err);
    for (size_t i = 0; i < FETCH_FIXTURE_TABLES; i++) {
        assert_int_equal(LDB_OK, files[i].status);
        assert_true(fetch_fixture_has(f, f->env, files[i].name, &files[i]));
        assert_false(
            fetch_fixture_has(f, f->env, incoming(&files[i]), &files[i]));
        bytes += files[i].size;
    }
    repl_fetch_figures(fetch, &figures);
    assert_int_equal(FETCH_FIXTURE_TABLES, figures.files);
    assert_int_equal(bytes, figures.bytes);
    /* None is no error. */
    assert_ldb_ok(
        repl_fetch_files(fetch, NULL, 0, REPL_FETCH_INTO_PLACE, &f->err),
        &f->err);
    repl_fetch_destroy(fetch);
}

static void files_may_stay_where_they_came(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch *fetch = create(f, 1);
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];
    struct env_fault *copy;

    want_all(f, files);
    assert_ldb_ok(fetch_all(f, fetch, files, REPL_FETCH_INCOMING), &f->err);
    copy = env_fault_after_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    for (size_t i = 0; i < FETCH_FIXTURE_TABLES; i++) {
        assert_true(fetch_fixture_has(f, env_fault_env(copy),
                                      incoming(&files[i]), &files[i]));
        assert_false(fetch_fixture_has(f, f->env, files[i].name, &files[i]));
    }
    env_fault_destroy(copy);
    repl_fetch_destroy(fetch);
}

static void a_file_in_the_place_is_replaced(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch *fetch = create(f, 1);
    struct repl_fetch_file file = fetch_fixture_table(f, 0);

    fetch_fixture_put(f, file.name, ldb_slice_str("damaged"));
    assert_ldb_ok(
        repl_fetch_files(fetch, &file, 1, REPL_FETCH_INTO_PLACE, &f->err),
        &f->err);
    assert_true(fetch_fixture_has(f, f->env, file.name, &file));
    repl_fetch_destroy(fetch);
}

/* ---- at once ---- */

struct caller {
    struct fetch_fixture *f;
    struct repl_fetch *fetch;
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];
    enum ldb_status status;
};

static void run_fetch(void *context)
{
    struct caller *caller = context;

    caller->status =
        repl_fetch_files(caller->fetch, caller->files, FETCH_FIXTURE_TABLES,
                         REPL_FETCH_INTO_PLACE, NULL);
}

static struct ldb_thread *start(struct caller *caller)
{
    struct ldb_env *env = ldb_env_posix();
    struct ldb_thread *thread = NULL;

    want_all(caller->f, caller->files);
    memory_peer_rule(caller->f->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_HOLD,
                                                .call = MEMORY_PEER_GET});
    assert_ldb_ok(env->ops->thread_start(env, "caller", run_fetch, caller,
                                         &caller->f->err, &thread),
                  &caller->f->err);
    return thread;
}

static void join(struct ldb_thread *thread)
{
    struct ldb_env *env = ldb_env_posix();

    env->ops->thread_join(env, thread);
}

static void as_many_come_at_once_as_may(void **state)
{
    struct fetch_fixture *f = *state;
    struct caller caller = {.f = f, .fetch = create(f, 3)};
    struct ldb_thread *thread = start(&caller);

    assert_true(memory_peer_wait_held(f->peer, 3));
    assert_int_equal(3, memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
    memory_peer_let_go(f->peer);
    join(thread);
    assert_int_equal(LDB_OK, caller.status);
    assert_int_equal(FETCH_FIXTURE_TABLES,
                     memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
    repl_fetch_destroy(caller.fetch);
}

static void an_interrupt_ends_all(void **state)
{
    struct fetch_fixture *f = *state;
    struct caller caller = {.f = f, .fetch = create(f, 3)};
    struct ldb_thread *thread = start(&caller);

    assert_true(memory_peer_wait_held(f->peer, 3));
    repl_fetch_interrupt(caller.fetch);
    join(thread);
    assert_int_equal(LDB_CANCELLED, caller.status);
    for (size_t i = 0; i < FETCH_FIXTURE_TABLES; i++)
        assert_int_equal(LDB_CANCELLED, caller.files[i].status);
    assert_int_equal(3, memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
    memory_peer_forget_rules(f->peer);
    assert_ldb_status(
        LDB_CANCELLED,
        fetch_all(f, caller.fetch, caller.files, REPL_FETCH_INTO_PLACE),
        &f->err);
    repl_fetch_destroy(caller.fetch);
}

static void threads_that_cannot_be_had_are_done_without(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch *fetch = create(f, 4);
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];
    struct env_fault_rule fault = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_THREAD_START),
        .nth = 1,
        .from_then_on = true,
        .sys_errno = EAGAIN,
    };

    want_all(f, files);
    env_fault_fail(f->fault, &fault);
    assert_ldb_ok(fetch_all(f, fetch, files, REPL_FETCH_INTO_PLACE), &f->err);
    assert_true(env_fault_failed(f->fault) > 0);
    env_fault_fail(f->fault, NULL);
    repl_fetch_destroy(fetch);
}

/* ---- failures ---- */

static void after_a_failure_no_other_is_begun(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch *fetch = create(f, 1);
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];

    want_all(f, files);
    memory_peer_rule(f->peer, &(struct memory_peer_rule){
                                  .what = MEMORY_PEER_STATUS,
                                  .path = files[2].name,
                                  .http = 404,
                              });
    assert_ldb_status(LDB_NOT_FOUND,
                      fetch_all(f, fetch, files, REPL_FETCH_INTO_PLACE),
                      &f->err);
    assert_ldb_message("fetch ", &f->err);
    assert_ldb_message(files[2].name, &f->err);
    for (size_t i = 0; i < FETCH_FIXTURE_TABLES; i++) {
        enum ldb_status expected = LDB_OK;

        if (i == 2)
            expected = LDB_NOT_FOUND;
        else if (i > 2)
            expected = LDB_CANCELLED;
        assert_int_equal(expected, files[i].status);
        assert_int_equal(
            i < 2, fetch_fixture_has(f, f->env, files[i].name, &files[i]));
    }
    /* The rest of them, later. */
    memory_peer_forget_rules(f->peer);
    assert_ldb_ok(fetch_all(f, fetch, files, REPL_FETCH_INTO_PLACE), &f->err);
    repl_fetch_destroy(fetch);
}

static void a_wrong_file_does_not_come_into_place(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch *fetch = create(f, 0);
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];

    want_all(f, files);
    memory_peer_rule(f->peer, &(struct memory_peer_rule){
                                  .what = MEMORY_PEER_FLIP,
                                  .path = files[0].name,
                                  .bytes = 100,
                              });
    assert_ldb_status(LDB_CORRUPTION,
                      fetch_all(f, fetch, files, REPL_FETCH_INTO_PLACE),
                      &f->err);
    assert_false(fetch_fixture_has(f, f->env, files[0].name, &files[0]));
    repl_fetch_destroy(fetch);
}

static void a_folder_that_cannot_be_synced_makes_none_ok(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch *fetch = create(f, 0);
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];
    struct env_fault_rule fault = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC_DIR),
        .nth = 1,
        .sys_errno = EIO,
    };

    want_all(f, files);
    env_fault_fail(f->fault, &fault);
    assert_ldb_status(LDB_IO, fetch_all(f, fetch, files, REPL_FETCH_INTO_PLACE),
                      &f->err);
    for (size_t i = 0; i < FETCH_FIXTURE_TABLES; i++)
        assert_int_equal(LDB_IO, files[i].status);
    env_fault_fail(f->fault, NULL);
    repl_fetch_destroy(fetch);
}

/* Of the fixture's tables. */
static bool is_among(void *context, const char *name)
{
    const struct repl_fetch_file *files = context;

    for (size_t i = 0; i < FETCH_FIXTURE_TABLES; i++) {
        if (strcmp(files[i].name, name) == 0)
            return true;
    }
    return false;
}

static void what_is_not_wanted_any_more_is_swept(void **state)
{
    static const char *const others[] = {
        INCOMING "/000900.ldb", INCOMING "/000901.sst", INCOMING "/000902.log"};
    static const char *const kept[] = {INCOMING "/MANIFEST-000007",
                                       INCOMING "/notes", "000903.ldb"};
    struct fetch_fixture *f = *state;
    struct repl_fetch *fetch = create(f, 1);
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];
    struct ldb_slice bytes = ldb_slice_str("bytes");

    want_all(f, files);
    fetch_fixture_put(f, incoming(&files[1]), bytes);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        fetch_fixture_put(f, others[i], bytes);
        fetch_fixture_put(f, kept[i], bytes);
    }
    assert_ldb_ok(repl_fetch_sweep(fetch, is_among, files, &f->err), &f->err);
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        assert_int_equal(UINT64_MAX, fetch_fixture_len(f, others[i]));
        assert_int_equal(bytes.len, fetch_fixture_len(f, kept[i]));
    }
    assert_int_equal(bytes.len, fetch_fixture_len(f, incoming(&files[1])));
    assert_ldb_ok(repl_fetch_sweep(fetch, NULL, NULL, &f->err), &f->err);
    assert_int_equal(UINT64_MAX, fetch_fixture_len(f, incoming(&files[1])));
    repl_fetch_destroy(fetch);
}

static void there_are_limits(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_options options = {
        .env = f->env,
        .dir = FETCH_FIXTURE_DIR,
        .peer = memory_peer_repl(f->peer),
        .transports = REPL_FETCH_TRANSPORTS_MAX + 1,
    };
    struct repl_fetch *fetch = NULL;

    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      repl_fetch_create(&options, &f->err, &fetch), &f->err);
    options.transports = REPL_FETCH_TRANSPORTS_MAX;
    assert_ldb_ok(repl_fetch_create(&options, &f->err, &fetch), &f->err);
    repl_fetch_destroy(fetch);
    repl_fetch_destroy(NULL);
}

static void no_memory_is_told(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_options options = {
        .env = f->env,
        .dir = FETCH_FIXTURE_DIR,
        .peer = memory_peer_repl(f->peer),
        .transports = 1,
    };
    uint64_t n;

    for (n = 1;; n++) {
        struct repl_fetch_file file = fetch_fixture_table(f, 0);
        struct repl_fetch *fetch = NULL;
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_fetch_create(&options, &f->err, &fetch);
        if (s == LDB_OK)
            s = repl_fetch_files(fetch, &file, 1, REPL_FETCH_INTO_PLACE,
                                 &f->err);
        repl_fetch_destroy(fetch);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    }
    assert_true(n > 8);
}

/* ---- power cuts ---- */

struct cut_check {
    struct fetch_fixture *f;
    const struct repl_fetch_file *files;
    unsigned cuts;
    unsigned found; /* files in their place after a cut */
};

/* What a start after a cut here finds in the folder is whole. */
static void check_cut(void *context, enum env_fault_kind kind, const char *path)
{
    static const enum ldb_crash_keep keeps[] = {
        LDB_CRASH_KEEP_NONE, LDB_CRASH_KEEP_ALL, LDB_CRASH_KEEP_TORN};
    struct cut_check *check = context;

    (void)kind;
    (void)path;
    for (size_t k = 0; k < sizeof(keeps) / sizeof(keeps[0]); k++) {
        struct env_fault *copy =
            env_fault_after_cut(check->f->fault, keeps[k], check->cuts);

        for (size_t i = 0; i < FETCH_FIXTURE_TABLES; i++)
            check->found +=
                fetch_fixture_has(check->f, env_fault_env(copy),
                                  check->files[i].name, &check->files[i]);
        env_fault_destroy(copy);
    }
    check->cuts++;
}

static void no_power_cut_leaves_half_a_file_in_place(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch *fetch = create(f, 1);
    struct repl_fetch_file files[FETCH_FIXTURE_TABLES];
    struct cut_check check = {.f = f, .files = files};
    struct env_fault *copy;

    want_all(f, files);
    memory_peer_set_pieces(f->peer, 2000, 5);
    memory_peer_rule(f->peer, &(struct memory_peer_rule){
                                  .what = MEMORY_PEER_CUT,
                                  .call = MEMORY_PEER_GET,
                                  .bytes = 3000,
                                  .times = 1,
                              });
    env_fault_set_call_hook(f->fault, check_cut, &check);
    assert_ldb_ok(fetch_all(f, fetch, files, REPL_FETCH_INTO_PLACE), &f->err);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_true(check.cuts > 30);
    assert_true(check.found > 0);
    /* And OK means that all of them survive. */
    copy = env_fault_after_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    for (size_t i = 0; i < FETCH_FIXTURE_TABLES; i++)
        assert_true(fetch_fixture_has(f, env_fault_env(copy), files[i].name,
                                      &files[i]));
    env_fault_destroy(copy);
    repl_fetch_destroy(fetch);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fetch_fixture_setup,                 \
                                    fetch_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(files_come_into_place),
        TEST(what_is_refused_does_not_come_into_place),
        TEST(files_may_stay_where_they_came),
        TEST(a_file_in_the_place_is_replaced),
        TEST(as_many_come_at_once_as_may),
        TEST(an_interrupt_ends_all),
        TEST(threads_that_cannot_be_had_are_done_without),
        TEST(after_a_failure_no_other_is_begun),
        TEST(a_wrong_file_does_not_come_into_place),
        TEST(a_folder_that_cannot_be_synced_makes_none_ok),
        TEST(what_is_not_wanted_any_more_is_swept),
        TEST(there_are_limits),
        TEST(no_memory_is_told),
        TEST(no_power_cut_leaves_half_a_file_in_place),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
