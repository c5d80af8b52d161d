#include "storage/version/version_set.h"

#include <errno.h>
#include <inttypes.h>
#include <sched.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/version/current_file.h"
#include "storage/version/file_names.h"
#include "storage/version/manifest.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/env_fault.h"
#include "tests/support/mem_fault.h"
#include "tests/support/version_rows.h"

#define DIR          "/db"
#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define FILE_MAX     ((size_t)1 << 20)

/* docs/formats.md, record 1. */
#define FRESH_RECORD_1                                                         \
    "b8 30 54 46 22 00 01"                                                     \
    "01 1a 6c 65 76 65 6c 64 62 2e 42 79 74 65 77 69"                          \
    "73 65 43 6f 6d 70 61 72 61 74 6f 72 02 00 03 01 04 00"
#define FRESH_RECORD_2 "a6 91 c7 08 06 00 01 02 01 03 02 04 00"

struct fixture {
    struct env_fault *fault;
    struct ldb_env *env;
    struct ldb_mutex mu;
    struct ldb_version_set *set;
    struct ldb_version_edit edit;
    struct ldb_error err;
    uint64_t rotate_bytes;
};

/* ---- a set on a disk of its own; mu is held throughout ---- */

/* mu is held from start to end, across functions: beyond the analysis. */
LDB_NO_THREAD_SAFETY static void hold(struct ldb_mutex *mu)
{
    ldb_mutex_lock(mu);
}

LDB_NO_THREAD_SAFETY static void let_go(struct ldb_mutex *mu)
{
    ldb_mutex_unlock(mu);
}

static void open_set(struct fixture *f)
{
    const struct ldb_version_set_options options = {
        .env = f->env,
        .dir = DIR,
        .comparator = ldb_comparator_bytewise(),
        .mu = &f->mu,
        .manifest_rotate_bytes = f->rotate_bytes};

    assert_ldb_ok(ldb_version_set_create(&options, &f->err, &f->set), &f->err);
}

static void close_set(struct fixture *f)
{
    ldb_version_set_destroy(f->set);
    f->set = NULL;
}

static void recover_set(struct fixture *f)
{
    open_set(f);
    assert_ldb_ok(ldb_version_set_recover(f->set, &f->err), &f->err);
}

static int setup(void **state)
{
    struct fixture *f = calloc(1, sizeof(*f));

    assert_non_null(f);
    f->fault = env_fault_create(NULL);
    f->env = env_fault_env(f->fault);
    assert_ldb_ok(f->env->ops->create_dir(f->env, DIR, &f->err), &f->err);
    assert_ldb_ok(f->env->ops->sync_dir(f->env, "/", &f->err), &f->err);
    ldb_mutex_init(&f->mu);
    hold(&f->mu);
    open_set(f);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    close_set(f);
    ldb_version_edit_release(&f->edit);
    let_go(&f->mu);
    ldb_mutex_release(&f->mu);
    env_fault_destroy(f->fault);
    free(f);
    return 0;
}

/* An empty database whose journal is 000001.log, as the engine makes it. */
static void make_database(struct fixture *f)
{
    assert_ldb_ok(ldb_version_set_create_new(f->set, &f->err), &f->err);
    assert_int_equal(1, ldb_version_set_new_file_number(f->set));
    ldb_version_edit_set_log_number(&f->edit, 1);
    ldb_version_edit_set_last_sequence(&f->edit, 0);
    assert_ldb_ok(ldb_version_set_apply(f->set, &f->edit, &f->err), &f->err);
    ldb_version_edit_clear(&f->edit);
}

static void add(struct fixture *f, uint32_t level, uint64_t number,
                const char *smallest, const char *largest)
{
    const struct version_row row = {level, number, 1000, smallest, largest};

    version_rows_add(&f->edit, &row);
}

static void drop(struct fixture *f, uint32_t level, uint64_t number)
{
    assert_ldb_ok(ldb_version_edit_delete_file(&f->edit, level, number), NULL);
}

static enum ldb_status try_apply(struct fixture *f)
{
    enum ldb_status s = ldb_version_set_apply(f->set, &f->edit, &f->err);

    ldb_version_edit_clear(&f->edit);
    return s;
}

static void apply(struct fixture *f)
{
    assert_ldb_ok(try_apply(f), &f->err);
}

static void assert_level(struct fixture *f, uint32_t level, const char *numbers)
{
    const struct ldb_version *version = ldb_version_set_current(f->set);

    assert_file_numbers(numbers, version->levels[level].files,
                        version->levels[level].count);
}

static int compare_u64(const void *a, const void *b)
{
    const uint64_t *left = a;
    const uint64_t *right = b;

    return (*left > *right) - (*left < *right);
}

/* take_obsolete() gives exactly these, as "3 7", in any order. */
static void assert_obsolete(struct fixture *f, const char *expected)
{
    struct ldb_buf text = LDB_BUF_INIT(FILE_MAX);
    uint64_t *numbers = NULL;
    size_t count = 0;

    assert_ldb_ok(ldb_version_set_take_obsolete(f->set, &numbers, &count),
                  &f->err);
    if (count > 0)
        qsort(numbers, count, sizeof(*numbers), compare_u64);
    for (size_t i = 0; i < count; i++)
        assert_ldb_ok(
            ldb_buf_printf(&text, "%s%" PRIu64, i == 0 ? "" : " ", numbers[i]),
            NULL);
    assert_ldb_slice(ldb_slice_str(expected), ldb_slice_of_buf(&text));
    ldb_mem_free(numbers);
    ldb_buf_release(&text);
}

static bool has_file(struct fixture *f, const char *name)
{
    uint64_t size = 0;
    char *path = ldb_mem_printf("%s/%s", DIR, name);
    enum ldb_status s;

    assert_non_null(path);
    s = f->env->ops->file_size(f->env, path, NULL, &size);
    ldb_mem_free(path);
    return s == LDB_OK;
}

static struct ldb_buf read_file(struct fixture *f, const char *name)
{
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    char *path = ldb_mem_printf("%s/%s", DIR, name);

    assert_non_null(path);
    assert_ldb_ok(ldb_env_read_file(f->env, path, &f->err, &bytes), &f->err);
    ldb_mem_free(path);
    return bytes;
}

static void assert_file_hex(struct fixture *f, const char *name,
                            const char *hex)
{
    struct ldb_buf bytes = read_file(f, name);

    assert_ldb_hex(hex, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

static uint64_t manifest_number(const struct fixture *f)
{
    uint64_t number = 0;
    uint64_t len = 0;

    ldb_version_set_manifest(f->set, &number, &len);
    return number;
}

/* ---- making and reading a database ---- */

static void a_fresh_database_has_goleveldbs_bytes(void **state)
{
    struct fixture *f = *state;

    assert_ldb_ok(ldb_version_set_create_new(f->set, &f->err), &f->err);
    assert_file_hex(f, "MANIFEST-000000", FRESH_RECORD_1);
    assert_file_hex(f, "CURRENT",
                    "4d 41 4e 49 46 45 53 54 2d 30 30 30 30 30 30 0a");
    assert_false(has_file(f, "CURRENT.bak"));
    assert_int_equal(1, ldb_version_set_new_file_number(f->set));
    ldb_version_edit_set_log_number(&f->edit, 1);
    ldb_version_edit_set_last_sequence(&f->edit, 0);
    apply(f);
    assert_file_hex(f, "MANIFEST-000000", FRESH_RECORD_1 FRESH_RECORD_2);
    assert_int_equal(0, manifest_number(f));
}

/* The record of a MANIFEST that holds just one, without its chunk header. */
static void assert_only_record(struct fixture *f, const char *name,
                               const char *hex)
{
    struct ldb_buf bytes = read_file(f, name);

    assert_true(bytes.len > 7);
    assert_int_equal(bytes.len - 7, ldb_load_fixed32(bytes.data + 4) & 0xffff);
    assert_ldb_hex(hex, ldb_slice_make(bytes.data + 7, bytes.len - 7));
    ldb_buf_release(&bytes);
}

#define COMPARATOR_FIELD                                                       \
    "01 1a 6c 65 76 65 6c 64 62 2e 42 79 74 65 77 69"                          \
    "73 65 43 6f 6d 70 61 72 61 74 6f 72"

static void reopening_begins_a_manifest_and_sets_current(void **state)
{
    struct fixture *f = *state;

    make_database(f);
    close_set(f);
    recover_set(f);
    assert_int_equal(0, manifest_number(f));
    assert_int_equal(2, ldb_version_set_new_file_number(f->set));
    ldb_version_edit_set_log_number(&f->edit, 2);
    ldb_version_edit_set_last_sequence(&f->edit, 0);
    apply(f);
    assert_int_equal(3, manifest_number(f));
    assert_only_record(f, "MANIFEST-000003",
                       COMPARATOR_FIELD "02 02 03 04 04 00");
    assert_file_hex(f, "CURRENT",
                    "4d 41 4e 49 46 45 53 54 2d 30 30 30 30 30 33 0a");
    assert_file_hex(f, "CURRENT.bak",
                    "4d 41 4e 49 46 45 53 54 2d 30 30 30 30 30 30 0a");
}

static void a_snapshot_is_the_state_after_the_edit_each_table_once(void **state)
{
    struct fixture *f = *state;
    const struct version_row row = {0, 2, 233, "key0001@3", "key0002@2"};

    make_database(f);
    close_set(f);
    recover_set(f);
    assert_int_equal(2, ldb_version_set_new_file_number(f->set));
    assert_int_equal(3, ldb_version_set_new_file_number(f->set));
    ldb_version_edit_set_log_number(&f->edit, 3);
    ldb_version_edit_set_last_sequence(&f->edit, 3);
    version_rows_add(&f->edit, &row);
    apply(f);
    assert_only_record(f, "MANIFEST-000004",
                       COMPARATOR_FIELD
                       "02 03 03 05 04 03 07 00 02 e9 01"
                       "0f 6b 65 79 30 30 30 31 01 03 00 00 00 00 00 00"
                       "0f 6b 65 79 30 30 30 32 01 02 00 00 00 00 00 00");
}

static void a_compactions_edit_says_neither_journal_nor_sequence(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf bytes;

    make_database(f);
    add(f, 1, ldb_version_set_new_file_number(f->set), "a@1", "b@1");
    apply(f);
    bytes = read_file(f, "MANIFEST-000000");
    assert_ldb_hex("03 03 07 01 02 e8 07"
                   "09 61 01 01 00 00 00 00 00 00"
                   "09 62 01 01 00 00 00 00 00 00",
                   ldb_slice_make(bytes.data + 54 + 7, bytes.len - 54 - 7));
    ldb_buf_release(&bytes);
}

static void what_was_applied_is_recovered(void **state)
{
    struct fixture *f = *state;
    struct ldb_buf pointer = version_rows_key("m@5");
    struct ldb_slice found;

    make_database(f);
    add(f, 0, ldb_version_set_new_file_number(f->set), "a@9", "b@7");
    add(f, 2, ldb_version_set_new_file_number(f->set), "c@3", "d@4");
    ldb_version_edit_set_log_number(&f->edit, 1);
    ldb_version_edit_set_last_sequence(&f->edit, 9);
    assert_ldb_ok(
        ldb_version_edit_set_pointer(&f->edit, 2, ldb_slice_of_buf(&pointer)),
        NULL);
    apply(f);
    drop(f, 0, 2);
    add(f, 1, 2, "a@9", "b@7");
    apply(f);
    for (int round = 0; round < 2; round++) {
        close_set(f);
        recover_set(f);
        assert_level(f, 0, "");
        assert_level(f, 1, "2");
        assert_level(f, 2, "3");
        assert_int_equal(1, ldb_version_set_log_number(f->set));
        assert_int_equal(0, ldb_version_set_prev_log_number(f->set));
        assert_int_equal(9, ldb_version_set_recovered_sequence(f->set));
        found = ldb_version_set_compact_pointer(f->set, 2);
        assert_ldb_slice(ldb_slice_of_buf(&pointer), found);
        assert_int_equal(0, ldb_version_set_compact_pointer(f->set, 1).len);
        apply(f); /* an empty edit: a new MANIFEST with the same state */
    }
    ldb_buf_release(&pointer);
}

static void a_folder_without_database_is_not_found(void **state)
{
    struct fixture *f = *state;

    assert_ldb_status(LDB_NOT_FOUND, ldb_version_set_recover(f->set, &f->err),
                      &f->err);
}

static void file_numbers_are_not_used_twice(void **state)
{
    struct fixture *f = *state;

    make_database(f);
    ldb_version_set_mark_used(f->set, 41);
    ldb_version_set_mark_used(f->set, 7);
    ldb_version_set_mark_used(f->set, UINT64_MAX);
    assert_int_equal(42, ldb_version_set_new_file_number(f->set));
    assert_int_equal(43, ldb_version_set_next_file_number(f->set));
    apply(f);
    close_set(f);
    recover_set(f);
    assert_int_equal(43, ldb_version_set_new_file_number(f->set));
}

/* A folder whose MANIFEST-000005 has just this record. */
static void write_manifest(struct fixture *f, const char *hex)
{
    struct ldb_buf record = LDB_BUF_INIT(FILE_MAX);
    struct ldb_manifest *manifest = NULL;

    bytes_from_hex(hex, &record);
    assert_ldb_ok(ldb_manifest_create(f->env, DIR, 5, ldb_slice_of_buf(&record),
                                      &f->err, &manifest),
                  &f->err);
    ldb_manifest_close(manifest);
    assert_ldb_ok(ldb_current_set(f->env, DIR, 5, &f->err), &f->err);
    ldb_buf_release(&record);
}

static void a_previous_journal_must_be_flushed_first(void **state)
{
    struct fixture *f = *state;

    write_manifest(f, COMPARATOR_FIELD "02 03 03 09 04 04 09 02");
    close_set(f);
    recover_set(f);
    assert_int_equal(2, ldb_version_set_prev_log_number(f->set));
    assert_ldb_status(LDB_INVALID_ARGUMENT, try_apply(f), &f->err);
    ldb_version_edit_set_log_number(&f->edit, 4);
    apply(f);
    assert_int_equal(0, ldb_version_set_prev_log_number(f->set));
    apply(f);
}

static void append_to_file(struct fixture *f, const char *name, const char *hex)
{
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    struct ldb_writable_file *file = NULL;
    char *path = ldb_mem_printf("%s/%s", DIR, name);

    assert_non_null(path);
    bytes_from_hex(hex, &bytes);
    assert_ldb_ok(f->env->ops->open_writable(f->env, path, LDB_OPEN_APPEND,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_append(file, ldb_slice_of_buf(&bytes), &f->err),
                  &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
    ldb_mem_free(path);
    ldb_buf_release(&bytes);
}

static void a_torn_tail_is_the_end_and_damage_before_it_is_not(void **state)
{
    struct fixture *f = *state;
    uint64_t number = 0;
    uint64_t len = 0;

    make_database(f);
    close_set(f);
    append_to_file(f, "MANIFEST-000000", "11 22 33 44 06 00 01 02 07");
    recover_set(f);
    assert_int_equal(1, ldb_version_set_log_number(f->set));
    ldb_version_set_manifest(f->set, &number, &len);
    assert_int_equal(54, len);
    close_set(f);
    /* Now the chunk is whole and its checksum wrong, and more follows. */
    append_to_file(f, "MANIFEST-000000", "03 02 04 00" FRESH_RECORD_2);
    open_set(f);
    assert_ldb_status(LDB_CORRUPTION, ldb_version_set_recover(f->set, &f->err),
                      &f->err);
    assert_ldb_message("MANIFEST-000000", &f->err);
}

/* ---- obsolete tables ---- */

static void a_table_without_readers_is_obsolete_at_once(void **state)
{
    struct fixture *f = *state;

    make_database(f);
    add(f, 0, 2, "a@1", "b@1");
    apply(f);
    assert_obsolete(f, "");
    assert_true(ldb_version_set_is_live(f->set, 2));
    drop(f, 0, 2);
    add(f, 1, 3, "a@1", "b@1");
    apply(f);
    assert_false(ldb_version_set_is_live(f->set, 2));
    assert_true(ldb_version_set_is_live(f->set, 3));
    assert_obsolete(f, "2");
    assert_obsolete(f, "");
}

static void a_moved_table_is_never_obsolete(void **state)
{
    struct fixture *f = *state;

    make_database(f);
    add(f, 1, 2, "a@1", "b@1");
    apply(f);
    drop(f, 1, 2);
    add(f, 2, 2, "a@1", "b@1");
    apply(f);
    assert_obsolete(f, "");
    assert_true(ldb_version_set_is_live(f->set, 2));
}

static void count_call(void *context)
{
    int *calls = context;

    (*calls)++;
}

/* Versions 1: {2}, 2: {2 3}, 3: {3 4}, 4: {5}; released in a given order. */
static void a_table_lives_as_long_as_a_version_that_names_it(void **state)
{
    struct fixture *f = *state;
    static const struct {
        int order[3]; /* which of versions 1 to 3 goes when */
        const char *obsolete[3];
    } rows[] = {
        {{1, 2, 3}, {"", "2", "3 4"}}, {{3, 2, 1}, {"4", "3", "2"}},
        {{2, 1, 3}, {"", "2", "3 4"}}, {{1, 3, 2}, {"", "4", "2 3"}},
        {{2, 3, 1}, {"", "3 4", "2"}}, {{3, 1, 2}, {"4", "", "2 3"}},
    };

    make_database(f);
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ldb_version *held[4] = {NULL};
        int calls = 0;
        int expected_calls = 0;

        close_set(f);
        f->env->ops->remove_file(f->env, DIR "/CURRENT", NULL);
        open_set(f);
        make_database(f);
        ldb_version_set_on_obsolete(f->set, count_call, &calls);
        add(f, 1, 2, "a@1", "b@1");
        apply(f);
        held[1] = ldb_version_ref(ldb_version_set_current(f->set));
        add(f, 1, 3, "c@1", "d@1");
        apply(f);
        held[2] = ldb_version_ref(ldb_version_set_current(f->set));
        drop(f, 1, 2);
        add(f, 1, 4, "e@1", "f@1");
        apply(f);
        held[3] = ldb_version_ref(ldb_version_set_current(f->set));
        drop(f, 1, 3);
        drop(f, 1, 4);
        add(f, 1, 5, "a@1", "f@1");
        apply(f);
        assert_obsolete(f, "");
        for (int step = 0; step < 3; step++) {
            ldb_version_unref(held[rows[i].order[step]]);
            expected_calls += rows[i].obsolete[step][0] != '\0';
            assert_int_equal(expected_calls, calls);
            assert_obsolete(f, rows[i].obsolete[step]);
        }
        assert_true(ldb_version_set_is_live(f->set, 5));
        assert_false(ldb_version_set_is_live(f->set, 4));
    }
}
/* ---- many appliers ---- */

enum {
    APPLIERS = 4,
    APPLIES = 50
};

struct applier {
    struct fixture *f;
    unsigned index;
    struct ldb_thread *thread;
};

/* Adds tables of its own key and takes the one before away again, and lets a
 * version go without mu, as readers do. */
static void apply_many(void *context)
{
    struct applier *applier = context;
    struct ldb_version_set *set = applier->f->set;
    struct ldb_mutex *mu = &applier->f->mu;
    const char key[] = {(char)('a' + applier->index), '@', '1', '\0'};
    uint64_t last = 0;

    for (int i = 0; i < APPLIES; i++) {
        struct version_row row = {1, 0, 1, key, key};
        struct ldb_version_edit edit = {0};
        struct ldb_version *version;

        ldb_mutex_lock(mu);
        row.number = ldb_version_set_new_file_number(set);
        version = ldb_version_ref(ldb_version_set_current(set));
        version_rows_add(&edit, &row);
        if (last != 0)
            assert_ldb_ok(ldb_version_edit_delete_file(&edit, 1, last), NULL);
        assert_ldb_ok(ldb_version_set_apply(set, &edit, NULL), NULL);
        assert_true(ldb_version_set_is_live(set, row.number));
        ldb_mutex_unlock(mu);
        last = row.number;
        ldb_version_edit_release(&edit);
        ldb_version_unref(version);
    }
}

/* Lets the others run while this one is between two calls of a change. */
static void give_way(void *context, enum env_fault_kind kind, const char *path)
{
    (void)context;
    (void)kind;
    (void)path;
    for (int i = 0; i < 10; i++)
        (void)sched_yield();
}

static void appliers_take_turns_and_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct applier appliers[APPLIERS];
    uint64_t *numbers = NULL;
    size_t count = 0;

    f->rotate_bytes = 500; /* every few edits a new MANIFEST */
    close_set(f);
    open_set(f);
    make_database(f);
    env_fault_set_call_hook(f->fault, give_way, NULL);
    let_go(&f->mu);
    for (unsigned i = 0; i < APPLIERS; i++) {
        appliers[i] = (struct applier){.f = f, .index = i};
        assert_ldb_ok(f->env->ops->thread_start(f->env, "applier", apply_many,
                                                &appliers[i], &f->err,
                                                &appliers[i].thread),
                      &f->err);
    }
    for (unsigned i = 0; i < APPLIERS; i++)
        f->env->ops->thread_join(f->env, appliers[i].thread);
    hold(&f->mu);
    assert_int_equal(APPLIERS,
                     ldb_version_set_current(f->set)->levels[1].count);
    assert_ldb_ok(ldb_version_set_take_obsolete(f->set, &numbers, &count),
                  &f->err);
    assert_int_equal(APPLIERS * (APPLIES - 1), count);
    ldb_mem_free(numbers);
    close_set(f);
    recover_set(f);
    assert_int_equal(APPLIERS,
                     ldb_version_set_current(f->set)->levels[1].count);
}

/* ---- following another database's MANIFEST ---- */

#define TWIN "/twin"

/* A set in a folder of its own that goes where f->set's MANIFEST goes. mu is
 * f's. */
static struct ldb_version_set *open_twin(struct fixture *f)
{
    const struct ldb_version_set_options options = {
        .env = f->env,
        .dir = TWIN,
        .comparator = ldb_comparator_bytewise(),
        .mu = &f->mu};
    struct ldb_version_set *twin = NULL;

    assert_ldb_ok(ldb_version_set_create(&options, &f->err, &twin), &f->err);
    return twin;
}

static struct ldb_version_set *make_twin(struct fixture *f)
{
    struct ldb_version_set *twin = open_twin(f);

    assert_ldb_ok(f->env->ops->create_dir(f->env, TWIN, &f->err), &f->err);
    assert_ldb_ok(f->env->ops->sync_dir(f->env, "/", &f->err), &f->err);
    assert_ldb_ok(ldb_version_set_create_new(twin, &f->err), &f->err);
    return twin;
}

static struct ldb_version_set *reopen_twin(struct fixture *f,
                                           struct ldb_version_set *twin)
{
    ldb_version_set_destroy(twin);
    twin = open_twin(f);
    assert_ldb_ok(ldb_version_set_recover(twin, &f->err), &f->err);
    assert_ldb_ok(ldb_version_set_resume(twin, &f->err), &f->err);
    return twin;
}

/* What stands in the leader's MANIFEST behind ours, or all of another one. */
static enum ldb_status follow(struct fixture *f, struct ldb_version_set *twin)
{
    struct ldb_manifest_run run;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    uint64_t number = manifest_number(f);
    uint64_t ours = 0;
    uint64_t len = 0;
    char *path = ldb_mem_printf(DIR "/MANIFEST-%06" PRIu64, number);
    struct ldb_slice rest;
    enum ldb_status s;

    assert_non_null(path);
    assert_ldb_ok(ldb_env_read_file(f->env, path, &f->err, &bytes), &f->err);
    ldb_version_set_manifest(twin, &ours, &len);
    len = ours == number ? len : 0;
    rest = ldb_slice_make(bytes.data + len, bytes.len - len);
    s = ldb_manifest_run_read(&run, ldb_comparator_bytewise(),
                              ldb_version_set_current(twin), number, len, rest,
                              &f->err);
    assert_ldb_ok(s, &f->err);
    assert_int_equal(run.len, rest.len);
    s = ldb_version_set_follow(twin, &run, rest, &f->err);
    ldb_manifest_run_release(&run);
    ldb_buf_release(&bytes);
    ldb_mem_free(path);
    return s;
}

static void assert_same_file(struct fixture *f, const char *name)
{
    struct ldb_buf theirs = read_file(f, name);
    struct ldb_buf ours = LDB_BUF_INIT(FILE_MAX);
    char *path = ldb_mem_printf(TWIN "/%s", name);

    assert_non_null(path);
    assert_ldb_ok(ldb_env_read_file(f->env, path, &f->err, &ours), &f->err);
    assert_ldb_slice(ldb_slice_of_buf(&theirs), ldb_slice_of_buf(&ours));
    ldb_mem_free(path);
    ldb_buf_release(&ours);
    ldb_buf_release(&theirs);
}

/* Same MANIFEST, same CURRENT, same tables and scalars. */
static void assert_twin(struct fixture *f, struct ldb_version_set *twin)
{
    const struct ldb_version *theirs = ldb_version_set_current(f->set);
    const struct ldb_version *ours = ldb_version_set_current(twin);
    char *name = ldb_mem_printf("MANIFEST-%06" PRIu64, manifest_number(f));

    assert_non_null(name);
    assert_same_file(f, name);
    assert_same_file(f, "CURRENT");
    ldb_mem_free(name);
    assert_int_equal(ldb_version_set_log_number(f->set),
                     ldb_version_set_log_number(twin));
    assert_int_equal(ldb_version_set_recovered_sequence(f->set),
                     ldb_version_set_recovered_sequence(twin));
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        assert_int_equal(theirs->levels[level].count,
                         ours->levels[level].count);
        assert_ldb_slice(ldb_version_set_compact_pointer(f->set, level),
                         ldb_version_set_compact_pointer(twin, level));
        for (size_t i = 0; i < ours->levels[level].count; i++)
            assert_int_equal(theirs->levels[level].files[i]->number,
                             ours->levels[level].files[i]->number);
    }
}

/* A flush of the leader: table number of level 0. */
static void apply_flush(struct fixture *f, ldb_sequence sequence)
{
    add(f, 0, ldb_version_set_new_file_number(f->set), "a@9", "b@7");
    ldb_version_edit_set_log_number(&f->edit,
                                    ldb_version_set_new_file_number(f->set));
    ldb_version_edit_set_last_sequence(&f->edit, sequence);
    apply(f);
}

static void a_twin_goes_where_its_leader_goes(void **state)
{
    struct fixture *f = *state;
    struct ldb_version_set *twin = make_twin(f);
    struct ldb_buf pointer = version_rows_key("m@5");

    make_database(f);
    assert_ldb_ok(follow(f, twin), &f->err);
    assert_twin(f, twin);
    apply_flush(f, 9); /* one record */
    assert_ldb_ok(follow(f, twin), &f->err);
    assert_twin(f, twin);
    apply_flush(f, 10); /* several */
    drop(f, 0, 2);
    add(f, 1, 2, "a@9", "b@7");
    assert_ldb_ok(
        ldb_version_edit_set_pointer(&f->edit, 0, ldb_slice_of_buf(&pointer)),
        NULL);
    apply(f);
    drop(f, 1, 2);
    add(f, 2, 20, "a@9", "b@7");
    apply(f);
    assert_ldb_ok(follow(f, twin), &f->err);
    assert_twin(f, twin);
    twin = reopen_twin(f, twin);
    assert_twin(f, twin);
    close_set(f); /* another MANIFEST */
    recover_set(f);
    apply_flush(f, 12);
    apply_flush(f, 13);
    assert_ldb_ok(follow(f, twin), &f->err);
    assert_twin(f, twin);
    apply_flush(f, 14);
    assert_ldb_ok(follow(f, twin), &f->err);
    twin = reopen_twin(f, twin);
    assert_twin(f, twin);
    ldb_buf_release(&pointer);
    ldb_version_set_destroy(twin);
}

static void a_run_that_does_not_begin_at_our_end_is_refused(void **state)
{
    struct fixture *f = *state;
    struct ldb_version_set *twin = make_twin(f);
    struct ldb_manifest_run run = {.number = 0, .offset = 40};

    assert_ldb_status(
        LDB_INVALID_ARGUMENT,
        ldb_version_set_follow(twin, &run, (struct ldb_slice){0}, &f->err),
        &f->err);
    run.number = 5;
    assert_ldb_status(
        LDB_INVALID_ARGUMENT,
        ldb_version_set_follow(twin, &run, (struct ldb_slice){0}, &f->err),
        &f->err);
    ldb_version_set_destroy(twin);
}

/* The calls of the n-th kind of run. */
static void prepare_run(struct fixture *f, unsigned kind)
{
    if (kind == 2) {
        close_set(f);
        recover_set(f);
    }
    for (unsigned i = 0; i < (kind == 1 ? 2 : 1); i++)
        apply_flush(f, 20 + i);
}

/* Each call fails once; a power cut then, or not; tried again it works. */
static void a_run_that_failed_is_tried_again(void **state)
{
    struct fixture *f = *state;
    struct ldb_version_set *twin = make_twin(f);
    unsigned failures[3] = {0};

    make_database(f);
    assert_ldb_ok(follow(f, twin), &f->err);
    for (unsigned kind = 0; kind < 3; kind++) {
        for (uint64_t n = 1;; n++) {
            const struct env_fault_rule rule = {.kinds = ENV_FAULT_WRITES,
                                                .path = TWIN,
                                                .nth = n,
                                                .sys_errno = EIO,
                                                .torn = n % 2 == 0};
            const struct ldb_version *before = ldb_version_set_current(twin);
            enum ldb_status s;

            prepare_run(f, kind);
            env_fault_fail(f->fault, &rule);
            s = follow(f, twin);
            env_fault_fail(f->fault, NULL);
            if (s == LDB_OK)
                break;
            failures[kind]++;
            assert_ldb_status(LDB_IO, s, &f->err);
            assert_ptr_equal(before, ldb_version_set_current(twin));
            if (n % 4 == 0)
                twin = reopen_twin(f, twin);
            if (n % 4 != 0 || ldb_version_set_log_number(twin) !=
                                  ldb_version_set_log_number(f->set))
                assert_ldb_ok(follow(f, twin), &f->err);
            assert_twin(f, twin);
        }
        assert_twin(f, twin);
    }
    assert_true(failures[0] > 2 && failures[1] > 6 && failures[2] > 12);
    ldb_version_set_destroy(twin);
}

static void current_is_settled_when_a_twin_goes_on(void **state)
{
    struct fixture *f = *state;
    struct ldb_version_set *twin = make_twin(f);
    struct ldb_writable_file *file = NULL;

    make_database(f);
    assert_ldb_ok(follow(f, twin), &f->err);
    close_set(f);
    recover_set(f);
    apply_flush(f, 13);
    assert_ldb_ok(follow(f, twin), &f->err);
    /* As if the rename of CURRENT.3 had not come: CURRENT names what is gone.
     */
    assert_ldb_ok(f->env->ops->open_writable(f->env, TWIN "/CURRENT",
                                             LDB_OPEN_TRUNCATE, &f->err, &file),
                  &f->err);
    assert_ldb_ok(
        ldb_file_append(file, ldb_slice_str("MANIFEST-000000\n"), &f->err),
        &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
    assert_ldb_ok(f->env->ops->open_writable(f->env, TWIN "/CURRENT.4",
                                             LDB_OPEN_TRUNCATE, &f->err, &file),
                  &f->err);
    assert_ldb_ok(
        ldb_file_append(file, ldb_slice_str("MANIFEST-000004\n"), &f->err),
        &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
    assert_int_equal(4, manifest_number(f));
    twin = reopen_twin(f, twin);
    assert_twin(f, twin);
    ldb_version_set_destroy(twin);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_fresh_database_has_goleveldbs_bytes),
        TEST(reopening_begins_a_manifest_and_sets_current),
        TEST(a_snapshot_is_the_state_after_the_edit_each_table_once),
        TEST(a_compactions_edit_says_neither_journal_nor_sequence),
        TEST(what_was_applied_is_recovered),
        TEST(a_folder_without_database_is_not_found),
        TEST(file_numbers_are_not_used_twice),
        TEST(a_previous_journal_must_be_flushed_first),
        TEST(a_torn_tail_is_the_end_and_damage_before_it_is_not),
        TEST(a_table_without_readers_is_obsolete_at_once),
        TEST(a_moved_table_is_never_obsolete),
        TEST(appliers_take_turns_and_lose_nothing),
        TEST(a_table_lives_as_long_as_a_version_that_names_it),
        TEST(a_twin_goes_where_its_leader_goes),
        TEST(a_run_that_does_not_begin_at_our_end_is_refused),
        TEST(a_run_that_failed_is_tried_again),
        TEST(current_is_settled_when_a_twin_goes_on),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
