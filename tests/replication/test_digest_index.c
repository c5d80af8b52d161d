/*
 * Digests by a thread that reads real files, held up by the test where the
 * order of things matters.
 */
#include "replication/digest_index.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"
#include "tests/support/patience.h"

#define DIR       "db"
#define FILES     64
#define SECOND_US UINT64_C(1000000)

/* Locking: all but fault, env and index is guarded by mu. */
struct fixture {
    struct env_fault *fault;
    struct ldb_env *env;
    struct repl_digest_index *index;
    struct ldb_mutex mu;
    struct ldb_cond changed;
    bool is_shut;          /* opening a table waits */
    unsigned arrived;      /* opens of tables that came so far */
    unsigned order[FILES]; /* their numbers */
    unsigned told;         /* asks that are done */
};

static void gate(void *context, enum env_fault_kind kind, const char *path)
{
    struct fixture *f = context;
    const char *name = strrchr(path, '/');

    if (kind != ENV_FAULT_OPEN_SEQUENTIAL || name == NULL ||
        strstr(name, ".ldb") == NULL)
        return;
    ldb_mutex_lock(&f->mu);
    if (f->arrived < FILES)
        f->order[f->arrived] = (unsigned)strtoul(name + 1, NULL, 10);
    f->arrived++;
    ldb_cond_broadcast(&f->changed);
    while (f->is_shut)
        ldb_cond_wait(&f->changed, &f->mu);
    ldb_mutex_unlock(&f->mu);
}

static void open_index(struct fixture *f)
{
    struct ldb_error err = {0};

    assert_ldb_ok(repl_digest_index_open(f->env, DIR, &err, &f->index), &err);
}

static void close_index(struct fixture *f)
{
    struct ldb_error err = {0};

    assert_ldb_ok(repl_digest_index_close(f->index, &err), &err);
    f->index = NULL;
}

static int setup(void **state)
{
    struct fixture *f = ldb_mem_zalloc(1, sizeof(*f));

    assert_non_null(f);
    ldb_mutex_init(&f->mu);
    ldb_cond_init(&f->changed);
    f->fault = env_fault_create(NULL);
    f->env = env_fault_env(f->fault);
    env_fault_set_clock(f->fault, SECOND_US);
    assert_ldb_ok(f->env->ops->create_dir(f->env, DIR, NULL), NULL);
    assert_ldb_ok(repl_sidecar_make_folder(f->env, DIR, NULL), NULL);
    env_fault_set_call_hook(f->fault, gate, f);
    open_index(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    if (f->index != NULL)
        close_index(f);
    env_fault_destroy(f->fault);
    ldb_cond_release(&f->changed);
    ldb_mutex_release(&f->mu);
    ldb_mem_free(f);
    return 0;
}

/* ---- files ---- */

static void table_path(char out[64], uint64_t number)
{
    snprintf(out, 64, DIR "/%06llu.ldb", (unsigned long long)number);
}

/* Of number bytes, each of that value. */
static void put_table(struct fixture *f, uint64_t number)
{
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);
    char path[64];
    uint8_t *at;

    table_path(path, number);
    assert_ldb_ok(ldb_buf_extend(&bytes, number, &at), NULL);
    memset(at, (int)number, number);
    assert_ldb_ok(ldb_env_replace_file(f->env, DIR, path, DIR "/t",
                                       ldb_slice_of_buf(&bytes), NULL),
                  NULL);
    ldb_buf_release(&bytes);
}

static struct repl_digest_file a_table(uint64_t number)
{
    return (struct repl_digest_file){
        .type = LDB_FILE_TABLE, .number = number, .size = number};
}

static struct ldb_digest digest_of(uint64_t number)
{
    struct ldb_digester *digester = ldb_digester_create();
    uint8_t byte = (uint8_t)number;
    struct ldb_digest digest;

    assert_non_null(digester);
    for (uint64_t i = 0; i < number; i++)
        ldb_digester_add(digester, ldb_slice_make(&byte, 1));
    digest = ldb_digester_result(digester);
    ldb_digester_destroy(digester);
    return digest;
}

static bool is_known(struct fixture *f, uint64_t number)
{
    struct repl_digest_file file = a_table(number);
    struct ldb_digest wanted = digest_of(number);
    struct ldb_digest found;

    if (!repl_digest_index_get(f->index, &file, &found))
        return false;
    assert_true(ldb_digest_equal(&wanted, &found));
    return true;
}

static struct repl_digest_index_figures figures(struct fixture *f)
{
    struct repl_digest_index_figures out;

    repl_digest_index_figures(f->index, &out);
    return out;
}

/* ---- the gate ---- */

static void shut(struct fixture *f)
{
    ldb_mutex_lock(&f->mu);
    f->is_shut = true;
    ldb_mutex_unlock(&f->mu);
}

static void let_go(struct fixture *f)
{
    ldb_mutex_lock(&f->mu);
    f->is_shut = false;
    ldb_cond_broadcast(&f->changed);
    ldb_mutex_unlock(&f->mu);
}

static void wait_arrived(struct fixture *f, unsigned count)
{
    bool in_time = true;

    ldb_mutex_lock(&f->mu);
    while (in_time && f->arrived < count)
        in_time = ldb_cond_wait_for(&f->changed, &f->mu, PATIENCE_US);
    ldb_mutex_unlock(&f->mu);
    assert_true(in_time);
}

/* ---- asking ---- */

/* Locking: all of it is guarded by the fixture's mu once it is asked. */
struct asked {
    struct repl_digest_ask ask; /* first: done gets it back */
    unsigned calls;
    enum ldb_status status;
    struct ldb_digest digest;
    char message[LDB_ERROR_MESSAGE_SIZE];
};

static void done(struct repl_digest_ask *ask, enum ldb_status s,
                 const struct ldb_digest *digest, const struct ldb_error *err)
{
    struct asked *asked = (struct asked *)ask;
    struct fixture *f = ask->context;

    ldb_mutex_lock(&f->mu);
    asked->calls++;
    asked->status = s;
    if (s == LDB_OK)
        asked->digest = *digest;
    else
        memcpy(asked->message, err->message, sizeof(asked->message));
    f->told++;
    ldb_cond_broadcast(&f->changed);
    ldb_mutex_unlock(&f->mu);
}

static enum ldb_status ask(struct fixture *f, struct asked *asked,
                           const struct repl_digest_file *file)
{
    struct ldb_error err = {0};

    *asked = (struct asked){.ask = {.file = *file, .done = done, .context = f}};
    return repl_digest_index_ask(f->index, &asked->ask, &err, &asked->digest);
}

static void ask_table(struct fixture *f, struct asked *asked, uint64_t number)
{
    struct repl_digest_file file = a_table(number);

    assert_ldb_status(LDB_STALLED, ask(f, asked, &file), NULL);
}

static enum ldb_status wait_told(struct fixture *f, struct asked *asked)
{
    bool in_time = true;

    ldb_mutex_lock(&f->mu);
    while (in_time && asked->calls == 0)
        in_time = ldb_cond_wait_for(&f->changed, &f->mu, PATIENCE_US);
    ldb_mutex_unlock(&f->mu);
    assert_true(in_time);
    assert_int_equal(1, asked->calls);
    return asked->status;
}

/* ---- tests ---- */

static void who_asks_is_told_and_then_it_is_known(void **state)
{
    struct fixture *f = *state;
    struct ldb_digest wanted = digest_of(7);
    struct repl_digest_file as_sst = a_table(7);
    struct repl_digest_file file = a_table(7);
    struct asked first;
    struct asked second;

    put_table(f, 7);
    assert_false(is_known(f, 7));
    shut(f);
    ask_table(f, &first, 7);
    wait_arrived(f, 1);
    ask_table(f, &second, 7); /* while it is being read */
    let_go(f);
    assert_ldb_status(LDB_OK, wait_told(f, &first), NULL);
    assert_ldb_status(LDB_OK, wait_told(f, &second), NULL);
    assert_true(ldb_digest_equal(&wanted, &first.digest));
    assert_true(ldb_digest_equal(&wanted, &second.digest));
    assert_true(is_known(f, 7));
    assert_ldb_status(LDB_OK, ask(f, &first, &file), NULL);
    assert_true(ldb_digest_equal(&wanted, &first.digest));
    assert_int_equal(0, first.calls);
    /* The name that others give to tables. */
    as_sst.type = LDB_FILE_TABLE_SST;
    assert_true(repl_digest_index_get(f->index, &as_sst, &first.digest));
    assert_int_equal(1, figures(f).files_read);
    assert_int_equal(7, figures(f).bytes_read);
    assert_int_equal(1, figures(f).known);
    assert_int_equal(0, figures(f).wanted);
}

static void what_somebody_waits_for_comes_first(void **state)
{
    static const unsigned wanted[] = {1, 4, 2, 3};
    struct fixture *f = *state;
    struct asked asked;
    struct asked last;

    for (uint64_t i = 1; i <= 4; i++)
        put_table(f, i);
    shut(f);
    for (uint64_t i = 1; i <= 4; i++) {
        struct repl_digest_file file = a_table(i);

        assert_true(repl_digest_index_want(f->index, &file));
    }
    wait_arrived(f, 1);
    assert_int_equal(4, figures(f).wanted);
    ask_table(f, &asked, 4);
    let_go(f);
    assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
    wait_arrived(f, 4);
    put_table(f, 5);
    ask_table(f, &last, 5);
    assert_ldb_status(LDB_OK, wait_told(f, &last), NULL);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(wanted[i], f->order[i]);
    for (uint64_t i = 1; i <= 5; i++)
        assert_true(is_known(f, i));
}

static void what_cannot_be_found_out_is_told_and_tried_again(void **state)
{
    struct fixture *f = *state;
    struct repl_digest_file file = a_table(7);
    struct asked asked;

    ask_table(f, &asked, 7);
    assert_ldb_status(LDB_NOT_FOUND, wait_told(f, &asked), NULL);
    assert_non_null(strstr(asked.message, "000007.ldb"));
    assert_int_equal(0, figures(f).failures); /* it may have just gone */
    put_table(f, 7);
    file.size = 8;
    assert_ldb_status(LDB_STALLED, ask(f, &asked, &file), NULL);
    assert_ldb_status(LDB_CORRUPTION, wait_told(f, &asked), NULL);
    assert_int_equal(1, figures(f).failures);
    env_fault_fail(f->fault, &(struct env_fault_rule){.path = "000007.ldb",
                                                      .nth = 1,
                                                      .sys_errno = EIO});
    ask_table(f, &asked, 7);
    assert_ldb_status(LDB_IO, wait_told(f, &asked), NULL);
    assert_int_equal(2, figures(f).failures);
    assert_int_equal(0, figures(f).known);
    ask_table(f, &asked, 7);
    assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
}

static void what_others_have_found_out_is_known_at_once(void **state)
{
    struct fixture *f = *state;
    struct ldb_digest told = digest_of(7);
    struct repl_digest_file file = a_table(7);
    struct asked reading;
    struct asked queued;

    /* No file at all: nothing of this is read. */
    assert_true(repl_digest_index_put(f->index, &file, &told));
    assert_true(is_known(f, 7));
    /* One that is being read, and one that waits for that. */
    put_table(f, 8);
    shut(f);
    ask_table(f, &reading, 8);
    wait_arrived(f, 1);
    ask_table(f, &queued, 9);
    file = a_table(8);
    told = digest_of(8);
    assert_true(repl_digest_index_put(f->index, &file, &told));
    assert_ldb_status(LDB_OK, wait_told(f, &reading), NULL);
    file = a_table(9);
    told = digest_of(9);
    assert_true(repl_digest_index_put(f->index, &file, &told));
    assert_ldb_status(LDB_OK, wait_told(f, &queued), NULL);
    let_go(f);
    put_table(f, 10);
    ask_table(f, &queued, 10);
    assert_ldb_status(LDB_OK, wait_told(f, &queued), NULL);
    assert_int_equal(1, figures(f).files_read);
    assert_int_equal(4, figures(f).known);
}

static void a_file_that_goes_is_forgotten(void **state)
{
    struct fixture *f = *state;
    struct asked reading;
    struct asked queued;
    struct asked again;

    for (uint64_t i = 7; i <= 9; i++)
        put_table(f, i);
    ask_table(f, &again, 7);
    assert_ldb_status(LDB_OK, wait_told(f, &again), NULL);
    repl_digest_index_drop(f->index, LDB_FILE_JOURNAL, 7);
    assert_true(is_known(f, 7));
    repl_digest_index_drop(f->index, LDB_FILE_TABLE_SST, 7);
    assert_false(is_known(f, 7));
    shut(f);
    ask_table(f, &reading, 8);
    wait_arrived(f, 2);
    ask_table(f, &queued, 9);
    repl_digest_index_drop(f->index, LDB_FILE_TABLE, 8);
    repl_digest_index_drop(f->index, LDB_FILE_TABLE, 9);
    assert_ldb_status(LDB_NOT_FOUND, wait_told(f, &reading), NULL);
    assert_ldb_status(LDB_NOT_FOUND, wait_told(f, &queued), NULL);
    /* The same name again, while what was is still being read. */
    ask_table(f, &again, 8);
    let_go(f);
    assert_ldb_status(LDB_OK, wait_told(f, &again), NULL);
    assert_true(is_known(f, 8));
    assert_int_equal(1, figures(f).known);
    assert_int_equal(0, figures(f).failures);
}

static void
what_is_known_outlives_a_restart_unless_its_file_has_gone(void **state)
{
    struct fixture *f = *state;
    struct asked asked;

    for (uint64_t i = 7; i <= 8; i++) {
        put_table(f, i);
        ask_table(f, &asked, i);
        assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
    }
    assert_ldb_ok(f->env->ops->remove_file(f->env, DIR "/000008.ldb", NULL),
                  NULL);
    close_index(f);
    open_index(f);
    assert_true(is_known(f, 7));
    assert_false(is_known(f, 8));
    assert_int_equal(0, figures(f).files_read);
    assert_int_equal(1, figures(f).known);
}

/* The thread stores before it reads on: once the next one is told, it has. */
static void what_is_new_is_stored_after_a_while(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf lines = LDB_BUF_INIT(4096);
    struct ldb_error err = {0};
    struct asked asked;

    for (uint64_t i = 6; i <= 9; i++)
        put_table(f, i);
    ask_table(f, &asked, 7);
    assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
    ask_table(f, &asked, 6);
    assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
    assert_ldb_ok(f->env->ops->remove_file(f->env, DIR "/000006.ldb", NULL),
                  NULL);
    env_fault_set_clock(f->fault, 30 * SECOND_US);
    ask_table(f, &asked, 8);
    assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
    assert_ldb_status(
        LDB_NOT_FOUND,
        repl_sidecar_read(f->env, DIR, "digests", 1, &err, &lines), &err);
    env_fault_set_clock(f->fault, 31 * SECOND_US);
    ask_table(f, &asked, 9);
    assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
    assert_ldb_ok(repl_sidecar_read(f->env, DIR, "digests", 1, &err, &lines),
                  &err);
    assert_ldb_ok(ldb_buf_append_byte(&lines, 0), &err);
    assert_non_null(strstr((const char *)lines.data, "table 7 7 "));
    assert_non_null(strstr((const char *)lines.data, "table 8 8 "));
    assert_null(strstr((const char *)lines.data, "table 9 9 "));
    /* What has gone meanwhile is forgotten there, and here. */
    assert_null(strstr((const char *)lines.data, "table 6 6 "));
    assert_false(is_known(f, 6));
    assert_true(is_known(f, 7));
    ldb_buf_release(&lines);
}

static void a_store_that_fails_is_told_and_tried_again(void **state)
{
    struct fixture *f = *state;
    struct env_fault_rule rule = {
        .path = "digests", .nth = 1, .from_then_on = true, .sys_errno = EIO};
    struct ldb_error err = {0};
    struct asked asked;

    put_table(f, 7);
    put_table(f, 8);
    ask_table(f, &asked, 7);
    assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
    assert_true(is_known(f, 7)); /* and the time until it is stored runs */
    env_fault_fail(f->fault, &rule);
    env_fault_set_clock(f->fault, 31 * SECOND_US);
    ask_table(f, &asked, 8);
    assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
    assert_int_equal(1, figures(f).store_failures);
    assert_ldb_status(LDB_IO, repl_digest_index_close(f->index, &err), &err);
    env_fault_fail(f->fault, NULL);
    open_index(f);
    assert_int_equal(0, figures(f).known);
    ask_table(f, &asked, 7);
    assert_ldb_status(LDB_OK, wait_told(f, &asked), NULL);
}

/* Of the test that is running: what is let go once the index closes. */
static struct fixture *closing;
static void (*join_thread)(struct ldb_env *env, struct ldb_thread *thread);

static void join_and_let_go(struct ldb_env *env, struct ldb_thread *thread)
{
    let_go(closing);
    join_thread(env, thread);
}

/* While a file is being read, and others wait for their turn. */
static void whoever_waits_is_told_at_the_end(void **state)
{
    struct fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env_ops changed = *ops;
    struct repl_digest_file known = a_table(4);
    struct ldb_digest digest = digest_of(4);
    struct asked asked[4];

    closing = f;
    join_thread = ops->thread_join;
    changed.thread_join = join_and_let_go;
    close_index(f); /* its thread reads ops */
    f->env->ops = &changed;
    open_index(f);
    for (uint64_t i = 1; i <= 4; i++)
        put_table(f, i);
    assert_true(repl_digest_index_put(f->index, &known, &digest));
    shut(f);
    for (uint64_t i = 1; i <= 3; i++)
        ask_table(f, &asked[i - 1], i);
    ask_table(f, &asked[3], 1);
    wait_arrived(f, 1);
    close_index(f);
    for (size_t i = 0; i < 4; i++)
        assert_ldb_status(LDB_CLOSED, wait_told(f, &asked[i]), NULL);
    f->env->ops = ops;
    /* No other file was begun. */
    assert_int_equal(1, f->arrived);
    open_index(f);
    assert_int_equal(1, figures(f).known);
    assert_true(is_known(f, 4));
}

static void a_newer_format_is_refused(void **state)
{
    struct fixture *f = *state;
    struct repl_digest_index *index = NULL;
    struct ldb_error err = {0};

    close_index(f);
    assert_ldb_ok(repl_sidecar_write(f->env, DIR, "digests", 2,
                                     ldb_slice_str("new\n"), &err),
                  &err);
    assert_ldb_status(LDB_NOT_SUPPORTED,
                      repl_digest_index_open(f->env, DIR, &err, &index), &err);
    assert_null(index);
    assert_ldb_ok(repl_digest_index_close(NULL, &err), &err);
}

static void failures_at_open_leave_nothing(void **state)
{
    struct fixture *f = *state;
    struct env_fault_rule rule = {.nth = 1, .sys_errno = EAGAIN};
    struct repl_digest_file file = a_table(7);
    struct ldb_digest digest = digest_of(7);
    struct repl_digest_index *index = NULL;
    struct ldb_error err = {0};

    put_table(f, 7);
    assert_true(repl_digest_index_put(f->index, &file, &digest));
    close_index(f);
    rule.kinds = ENV_FAULT_BIT(ENV_FAULT_THREAD_START);
    env_fault_fail(f->fault, &rule);
    assert_ldb_status(LDB_IO, repl_digest_index_open(f->env, DIR, &err, &index),
                      &err);
    env_fault_fail(f->fault, NULL);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_digest_index_open(f->env, DIR, &err, &index);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
    }
    f->index = index;
    mem_fault_start(1, MEM_FAULT_FOREVER);
    file = a_table(8);
    assert_false(repl_digest_index_want(f->index, &file));
    assert_false(repl_digest_index_put(f->index, &file, &digest));
    assert_true(mem_fault_stop());
    assert_true(is_known(f, 7));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(who_asks_is_told_and_then_it_is_known,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(what_somebody_waits_for_comes_first,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_cannot_be_found_out_is_told_and_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(
            what_others_have_found_out_is_known_at_once, setup, teardown),
        cmocka_unit_test_setup_teardown(a_file_that_goes_is_forgotten, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(
            what_is_known_outlives_a_restart_unless_its_file_has_gone, setup,
            teardown),
        cmocka_unit_test_setup_teardown(what_is_new_is_stored_after_a_while,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(
            a_store_that_fails_is_told_and_tried_again, setup, teardown),
        cmocka_unit_test_setup_teardown(whoever_waits_is_told_at_the_end, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_newer_format_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(failures_at_open_leave_nothing, setup,
                                        teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
