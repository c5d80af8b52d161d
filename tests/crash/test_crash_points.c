/*
 * The power goes at each env call of a small database's life in turn: flush,
 * compaction, journal switch, MANIFEST rotation, recovery, close are all in
 * it. What survives (nothing unsynced, all of it, a torn part) opens, holds a
 * right prefix of the writes and has a CURRENT once it had one; of a sample
 * both oracles say the same as we do.
 *
 * The oracles are the programs in LEVELD_ORACLE_DIR
 * (tests/interop/oracle/build.sh).
 */
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/base/env.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/scripted_run.h"
#include "tests/support/temp_dir.h"

#define CALLS_MAX   5000 /* a life has far fewer */
#define SAMPLE_STEP 23   /* of calls; about 60 states of both lives */
#define DUMP_MAX    ((size_t)4 << 20)

#if defined(__SANITIZE_THREAD__)
#define STEP 11
#elif defined(__SANITIZE_ADDRESS__)
#define STEP 3
#else
#define STEP 1
#endif

struct cut {
    struct env_fault *fault;
    enum ldb_crash_keep keep;
    uint64_t seed;
    _Atomic(int64_t) calls_left; /* 0 and below: it was made */
};

static void on_call(void *context, enum env_fault_kind kind, const char *path)
{
    struct cut *cut = context;

    (void)kind;
    (void)path;
    if (atomic_fetch_sub(&cut->calls_left, 1) == 1)
        env_fault_power_cut(cut->fault, cut->keep, cut->seed);
}

static const char *keep_name(enum ldb_crash_keep keep)
{
    switch (keep) {
    case LDB_CRASH_KEEP_NONE:
        return "nothing unsynced";
    case LDB_CRASH_KEEP_ALL:
        return "everything";
    case LDB_CRASH_KEEP_TORN:
        return "a part";
    }
    return "";
}

static bool has_current(struct ldb_env *env)
{
    uint64_t size;

    return env->ops->file_size(env, SCRIPTED_RUN_DIR "/CURRENT", NULL, &size) ==
           LDB_OK;
}

/*
 * One life with a cut before its nth call. Hands what survived to look; false
 * when the life was shorter.
 */
static bool run_and_cut(uint64_t nth, enum ldb_crash_keep keep, bool is_second,
                        void (*look)(struct ldb_env *env, const char *what))
{
    struct cut cut = {
        .fault = env_fault_create(NULL), .keep = keep, .seed = nth};
    struct history *h = history_create(47);
    bool met;
    char what[128];

    (void)snprintf(what, sizeof(what), "%s life, call %llu, %s survives",
                   is_second ? "second" : "first", (unsigned long long)nth,
                   keep_name(keep));
    if (is_second)
        assert_int_equal(scripted_run(env_fault_env(cut.fault), h, NULL, NULL),
                         0);
    atomic_store(&cut.calls_left, (int64_t)nth);
    env_fault_set_call_hook(cut.fault, on_call, &cut);
    (void)scripted_run(env_fault_env(cut.fault), h, NULL, NULL);
    met = atomic_load(&cut.calls_left) <= 0;
    env_fault_set_call_hook(cut.fault, NULL, NULL);
    if ((is_second || history_acked_synced(h) > 0) &&
        !has_current(env_fault_env(cut.fault)))
        fail_msg("%s: CURRENT is missing", what);
    if (look != NULL)
        look(env_fault_env(cut.fault), what);
    scripted_run_verify(env_fault_env(cut.fault), h,
                        met && keep != LDB_CRASH_KEEP_ALL ? HISTORY_DURABLE
                                                          : HISTORY_ACKED,
                        what);
    history_destroy(h);
    env_fault_destroy(cut.fault);
    return met;
}

static void cut_each_call(bool is_second)
{
    uint64_t points = 0;

    for (enum ldb_crash_keep keep = LDB_CRASH_KEEP_NONE;
         keep <= LDB_CRASH_KEEP_TORN; keep++) {
        uint64_t nth = 1;

        while (run_and_cut(nth, keep, is_second, NULL)) {
            nth += STEP;
            points++;
            assert_true(nth < CALLS_MAX);
        }
    }
    print_message("%llu crash points\n", (unsigned long long)points);
    assert_true(points > 1000 / STEP);
}

static void a_cut_before_any_call_leaves_a_prefix_of_the_writes(void **state)
{
    (void)state;
    cut_each_call(false);
}

static void a_cut_from_recovery_on_leaves_a_prefix_of_the_writes(void **state)
{
    (void)state;
    cut_each_call(true);
}

/* ---- the oracles ---- */

static const char *oracles; /* their folder */
static unsigned states_compared;

/* What our engine reads, as the oracles' dump prints it. False: there is no
 * database yet. */
static bool dump_ours(struct ldb_env *env, const char *what,
                      struct ldb_buf *out)
{
    struct ldb_options options;
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    enum ldb_status s;

    scripted_run_options(env, &options);
    options.create_if_missing = false;
    options.read_only = true;
    s = ldb_open(SCRIPTED_RUN_DIR, &options, NULL, &err, &db);
    if (s == LDB_NOT_FOUND)
        return false;
    if (s != LDB_OK)
        fail_msg("%s: open: %s", what, err.message);
    assert_ldb_ok(ldb_cursor_open(db, NULL, &err, &cursor), &err);
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor)) {
        const struct ldb_slice parts[] = {ldb_cursor_key(cursor),
                                          ldb_cursor_value(cursor)};

        for (size_t part = 0; part < 2; part++) {
            for (size_t i = 0; i < parts[part].len; i++) {
                char hex[3];

                (void)snprintf(hex, sizeof(hex), "%02x", parts[part].data[i]);
                assert_int_equal(ldb_buf_append(out, ldb_slice_make(hex, 2)),
                                 LDB_OK);
            }
            assert_int_equal(
                ldb_buf_append(out, ldb_slice_str(part == 0 ? "\t" : "\n")),
                LDB_OK);
        }
    }
    assert_ldb_ok(ldb_cursor_status(cursor, &err), &err);
    ldb_cursor_close(cursor);
    assert_ldb_ok(ldb_close(db, &err), &err);
    return true;
}

struct copying {
    struct ldb_env *env;
    const struct temp_dir *to;
};

static enum ldb_status copy_file(void *context, const char *name)
{
    const struct copying *copying = context;
    struct ldb_buf bytes = LDB_BUF_INIT(DUMP_MAX);
    char from[TEMP_DIR_PATH_SIZE];
    char to[TEMP_DIR_PATH_SIZE];
    struct ldb_error err = {0};
    FILE *file;

    (void)snprintf(from, sizeof(from), SCRIPTED_RUN_DIR "/%s", name);
    assert_ldb_ok(ldb_env_read_file(copying->env, from, &err, &bytes), &err);
    file = fopen(temp_dir_join(copying->to, name, to), "wb");
    assert_non_null(file);
    if (bytes.len > 0)
        assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
    ldb_buf_release(&bytes);
    return LDB_OK;
}

/* Runs an oracle on dir; its output without lines that begin with '#'. */
static void run_oracle(const char *program, const char *verb, const char *dir,
                       const char *what, struct ldb_buf *out)
{
    char command[1024];
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    char last[200] = "";
    FILE *pipe;

    (void)snprintf(command, sizeof(command), "'%s/%s' %s '%s' 2>&1", oracles,
                   program, verb, dir);
    pipe = popen(command, "r"); /* NOLINT(cert-env33-c): paths of our own */
    assert_non_null(pipe);
    while ((len = getline(&line, &room, pipe)) > 0) {
        (void)snprintf(last, sizeof(last), "%s", line);
        if (line[0] != '#')
            assert_int_equal(
                ldb_buf_append(out, ldb_slice_make(line, (size_t)len)), LDB_OK);
    }
    free(line);
    if (pclose(pipe) != 0)
        fail_msg("%s: %s %s: %s", what, program, verb, last);
}

static void compare_with_oracles(struct ldb_env *env, const char *what)
{
    static const char *const programs[] = {"ldbgo", "ldbcpp"};
    struct ldb_buf ours = LDB_BUF_INIT(DUMP_MAX);
    struct temp_dir dir;
    struct copying copying = {.env = env, .to = &dir};

    if (!dump_ours(env, what, &ours)) {
        ldb_buf_release(&ours);
        return;
    }
    temp_dir_create(&dir);
    assert_int_equal(
        env->ops->list_dir(env, SCRIPTED_RUN_DIR, copy_file, &copying, NULL),
        LDB_OK);
    for (size_t i = 0; i < 2; i++) {
        struct ldb_buf theirs = LDB_BUF_INIT(DUMP_MAX);

        run_oracle(programs[i], i == 0 ? "check --strict default" : "check",
                   dir.path, what, &theirs);
        ldb_buf_clear(&theirs);
        run_oracle(programs[i], i == 0 ? "dump --strict default" : "dump",
                   dir.path, what, &theirs);
        if (!ldb_slice_equal(ldb_slice_of_buf(&ours),
                             ldb_slice_of_buf(&theirs)))
            fail_msg("%s: %s reads another content", what, programs[i]);
        ldb_buf_release(&theirs);
    }
    temp_dir_remove(&dir);
    ldb_buf_release(&ours);
    states_compared++;
}

static void both_oracles_read_what_a_cut_leaves_as_we_do(void **state)
{
    char path[1024];

    (void)state;
    oracles = getenv("LEVELD_ORACLE_DIR");
    (void)snprintf(path, sizeof(path), "%s/ldbgo",
                   oracles == NULL ? "" : oracles);
    if (oracles == NULL || access(path, X_OK) != 0) {
        print_message("skip: no oracles in LEVELD_ORACLE_DIR; build them with "
                      "tests/interop/oracle/build.sh\n");
        skip();
    }
    states_compared = 0;
    for (int life = 0; life < 2; life++) {
        enum ldb_crash_keep keep = LDB_CRASH_KEEP_NONE;
        uint64_t nth = 1;

        while (run_and_cut(nth, keep, life == 1, compare_with_oracles)) {
            nth += SAMPLE_STEP;
            keep = (enum ldb_crash_keep)((keep + 1) % 3);
        }
    }
    print_message("%u states, read alike by both oracles\n", states_compared);
    assert_true(states_compared > 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_cut_before_any_call_leaves_a_prefix_of_the_writes),
        cmocka_unit_test(a_cut_from_recovery_on_leaves_a_prefix_of_the_writes),
        cmocka_unit_test(both_oracles_read_what_a_cut_leaves_as_we_do),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
