#include "tests/support/env_conformance.h"

#include <stdio.h>

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define READ_LIMIT 4096

/* ---- helpers ---- */

const char *env_path(const struct env_fixture *fixture, const char *name)
{
    static char paths[8][TEMP_DIR_PATH_SIZE + 64];
    static unsigned next;
    char *path = paths[next++ % 8];
    int len = snprintf(path, sizeof(paths[0]), "%s/%s", fixture->dir, name);

    assert_in_range(len, 1, sizeof(paths[0]) - 1);
    return path;
}

static struct ldb_writable_file *open_new(struct ldb_env *env, const char *path,
                                          enum ldb_open_mode mode)
{
    struct ldb_error err = {0};
    struct ldb_writable_file *file = NULL;

    assert_ldb_ok(env->ops->open_writable(env, path, mode, &err, &file), &err);
    return file;
}

static void append(struct ldb_writable_file *file, const char *text)
{
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_file_append(file, ldb_slice_str(text), &err), &err);
}

void env_put_file(struct ldb_env *env, const char *path, const char *text,
                  bool synced)
{
    struct ldb_error err = {0};
    struct ldb_writable_file *file = open_new(env, path, LDB_OPEN_TRUNCATE);

    append(file, text);
    if (synced)
        assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
}

void env_assert_file(struct ldb_env *env, const char *path, const char *text)
{
    struct ldb_error err = {0};
    struct ldb_buf content = LDB_BUF_INIT(READ_LIMIT);
    enum ldb_status s = ldb_env_read_file(env, path, &err, &content);

    if (text == NULL) {
        assert_ldb_status(LDB_NOT_FOUND, s, &err);
    } else {
        assert_ldb_ok(s, &err);
        assert_ldb_slice(ldb_slice_str(text), ldb_slice_of_buf(&content));
    }
    ldb_buf_release(&content);
}

static struct ldb_random_file *open_random(struct ldb_env *env,
                                           const char *path)
{
    struct ldb_error err = {0};
    struct ldb_random_file *file = NULL;

    assert_ldb_ok(env->ops->open_random(env, path, &err, &file), &err);
    return file;
}

static void assert_read_at(struct ldb_random_file *file, uint64_t offset,
                           const char *text)
{
    struct ldb_error err = {0};
    uint8_t scratch[READ_LIMIT];
    struct ldb_slice got = {0};

    assert_ldb_ok(
        ldb_random_read_at(file, offset, strlen(text), scratch, &got, &err),
        &err);
    assert_ldb_slice(ldb_slice_str(text), got);
}

/* ---- files ---- */

static void appended_bytes_are_read_back_by_every_kind_of_file(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "a");
    struct ldb_error err = {0};
    struct ldb_writable_file *file = open_new(f->env, path, LDB_OPEN_TRUNCATE);
    struct ldb_random_file *random;
    uint64_t size = 0;

    append(file, "hello ");
    append(file, "");
    append(file, "world");
    env_assert_file(f->env, path, "hello world"); /* unbuffered */
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    assert_ldb_ok(f->env->ops->file_size(f->env, path, &err, &size), &err);
    assert_int_equal(size, 11);
    random = open_random(f->env, path);
    assert_read_at(random, 0, "hello world");
    assert_read_at(random, 6, "world");
    assert_read_at(random, 4, "o w");
    assert_read_at(random, 11, "");
    if (random->mapping.len > 0)
        assert_ldb_slice(ldb_slice_str("hello world"), random->mapping);
    ldb_random_close(random);
}

/* text, then zeros alone: as long as a mapped file is open. */
static void assert_begins(struct ldb_env *env, const char *path,
                          const char *text)
{
    struct ldb_error err = {0};
    struct ldb_buf content = LDB_BUF_INIT(SIZE_MAX);
    size_t len = strlen(text);

    assert_ldb_ok(ldb_env_read_file(env, path, &err, &content), &err);
    assert_true(content.len >= len);
    assert_memory_equal(content.data, text, len);
    for (size_t i = len; i < content.len; i++)
        assert_int_equal(content.data[i], 0);
    ldb_buf_release(&content);
}

static void a_mapped_file_holds_what_was_appended(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "m");
    struct ldb_error err = {0};
    struct ldb_writable_file *file = NULL;

    env_put_file(f->env, path, "what was there", false);
    assert_ldb_ok(
        f->env->ops->open_mapped(f->env, path, LDB_WINDOW_UNIT, &err, &file),
        &err);
    assert_begins(f->env, path, "");
    append(file, "hello ");
    append(file, "");
    append(file, "world");
    assert_begins(f->env, path, "hello world");
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    env_assert_file(f->env, path, "hello world");

    assert_ldb_ok(
        f->env->ops->open_mapped(f->env, path, LDB_WINDOW_UNIT, &err, &file),
        &err);
    append(file, "12345");
    assert_ldb_ok(ldb_file_truncate(file, 3, &err), &err);
    append(file, "abc");
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    env_assert_file(f->env, path, "123abc");
}

/* Longer than its window it goes on as any other. */
static void a_mapped_file_outgrows_its_window(void **state)
{
    enum {
        PIECE = 1000
    };
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "m");
    struct ldb_error err = {0};
    struct ldb_writable_file *file = NULL;
    struct ldb_buf content = LDB_BUF_INIT(SIZE_MAX);
    uint8_t piece[PIECE];
    size_t count = 2 * LDB_WINDOW_UNIT / PIECE;

    assert_ldb_ok(
        f->env->ops->open_mapped(f->env, path, LDB_WINDOW_UNIT, &err, &file),
        &err);
    for (size_t i = 0; i < count; i++) {
        memset(piece, (int)(1 + i % 250), PIECE);
        assert_ldb_ok(ldb_file_append(file, ldb_slice_make(piece, PIECE), &err),
                      &err);
    }
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    assert_ldb_ok(ldb_env_read_file(f->env, path, &err, &content), &err);
    assert_int_equal(content.len, count * PIECE);
    for (size_t i = 0; i < content.len; i++)
        if (content.data[i] != 1 + i / PIECE % 250)
            fail_msg("byte %zu is %u", i, content.data[i]);
    ldb_buf_release(&content);
}

static void truncate_mode_empties_and_append_mode_goes_on(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "a");
    struct ldb_error err = {0};
    struct ldb_writable_file *file;

    file = open_new(f->env, path, LDB_OPEN_APPEND); /* makes it */
    append(file, "one");
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    file = open_new(f->env, path, LDB_OPEN_APPEND);
    append(file, " two");
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    env_assert_file(f->env, path, "one two");
    file = open_new(f->env, path, LDB_OPEN_TRUNCATE);
    env_assert_file(f->env, path, "");
    append(file, "x");
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    env_assert_file(f->env, path, "x");
}

static void appends_after_a_truncate_follow_the_cut(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "a");
    struct ldb_error err = {0};
    struct ldb_writable_file *file = open_new(f->env, path, LDB_OPEN_TRUNCATE);

    append(file, "0123456789");
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_truncate(file, 10, &err), &err);
    assert_ldb_ok(ldb_file_truncate(file, 4, &err), &err);
    env_assert_file(f->env, path, "0123");
    append(file, "xy");
    env_assert_file(f->env, path, "0123xy");
    assert_ldb_ok(ldb_file_truncate(file, 0, &err), &err);
    append(file, "z");
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    env_assert_file(f->env, path, "z");
}

static void a_read_past_the_end_is_corruption_with_file_and_size(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "short");
    static const struct {
        uint64_t offset;
        size_t n;
    } rows[] = {
        {0, 6},          {5, 1},          {3, 3},        {6, 0},
        {UINT64_MAX, 1}, {UINT64_MAX, 0}, {1, SIZE_MAX},
    };
    uint8_t scratch[16];
    struct ldb_random_file *file;

    env_put_file(f->env, path, "01234", true);
    file = open_random(f->env, path);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_error err = {0};
        struct ldb_slice got = {.data = scratch, .len = 77};

        assert_ldb_status(LDB_CORRUPTION,
                          ldb_random_read_at(file, rows[i].offset, rows[i].n,
                                             scratch, &got, &err),
                          &err);
        assert_ldb_message("short", &err);
        assert_ldb_message("file ends at 5", &err);
        assert_int_equal(got.len, 77);
    }
    ldb_random_close(file);
}

static void an_empty_file_opens_and_holds_nothing(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "empty");
    struct ldb_error err = {0};
    struct ldb_random_file *file;
    struct ldb_slice got = {0};
    uint8_t scratch[1];

    env_put_file(f->env, path, "", false);
    env_assert_file(f->env, path, "");
    file = open_random(f->env, path);
    assert_read_at(file, 0, "");
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_random_read_at(file, 0, 1, scratch, &got, &err),
                      &err);
    ldb_random_close(file);
}

static void sequential_reads_come_in_pieces_and_skips_jump(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "a");
    struct ldb_error err = {0};
    struct ldb_sequential_file *file = NULL;
    uint8_t scratch[16];
    size_t got = 0;

    env_put_file(f->env, path, "0123456789", false);
    assert_ldb_ok(f->env->ops->open_sequential(f->env, path, &err, &file),
                  &err);
    assert_ldb_ok(ldb_sequential_read(file, 3, scratch, &got, &err), &err);
    assert_ldb_slice(ldb_slice_str("012"), ldb_slice_make(scratch, got));
    assert_ldb_ok((file->ops->skip)(file, 2, &err), &err);
    assert_ldb_ok(ldb_sequential_read(file, 16, scratch, &got, &err), &err);
    assert_ldb_slice(ldb_slice_str("56789"), ldb_slice_make(scratch, got));
    assert_ldb_ok(ldb_sequential_read(file, 16, scratch, &got, &err), &err);
    assert_int_equal(got, 0);
    assert_ldb_ok((file->ops->skip)(file, 100, &err), &err);
    assert_ldb_ok(ldb_sequential_read(file, 16, scratch, &got, &err), &err);
    assert_int_equal(got, 0);
    assert_ldb_status(LDB_IO, (file->ops->skip)(file, UINT64_MAX, &err), &err);
    ldb_sequential_close(file);
}

static void a_removed_file_lives_on_in_its_open_handles(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "a");
    struct ldb_error err = {0};
    struct ldb_writable_file *file = open_new(f->env, path, LDB_OPEN_TRUNCATE);
    struct ldb_random_file *random;
    struct ldb_sequential_file *sequential = NULL;
    uint8_t scratch[16];
    size_t got = 0;

    append(file, "still here");
    random = open_random(f->env, path);
    assert_ldb_ok(f->env->ops->open_sequential(f->env, path, &err, &sequential),
                  &err);
    assert_ldb_ok(f->env->ops->remove_file(f->env, path, &err), &err);
    env_assert_file(f->env, path, NULL);
    append(file, "!");
    assert_ldb_ok(ldb_file_sync(file, &err), &err);
    assert_read_at(random, 6, "here");
    assert_ldb_ok(ldb_sequential_read(sequential, 16, scratch, &got, &err),
                  &err);
    assert_ldb_slice(ldb_slice_str("still here!"),
                     ldb_slice_make(scratch, got));
    assert_ldb_ok(ldb_file_close(file, &err), &err);
    ldb_random_close(random);
    ldb_sequential_close(sequential);
}

static void what_is_not_there_is_not_found(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env *env = f->env;
    const char *path = env_path(f, "missing");
    const char *deep = env_path(f, "missing/file");
    const char *other = env_path(f, "other");
    struct ldb_error err = {0};
    struct ldb_writable_file *writable = NULL;
    struct ldb_random_file *random = NULL;
    struct ldb_sequential_file *sequential = NULL;
    struct ldb_file_lock *lock = NULL;
    uint64_t size = 7;

#define NOT_FOUND(call)                                                        \
    assert_ldb_status(LDB_NOT_FOUND, call, &err);                              \
    assert_ldb_message("missing", &err)
    NOT_FOUND(ops->open_random(env, path, &err, &random));
    NOT_FOUND(ops->open_sequential(env, path, &err, &sequential));
    NOT_FOUND(
        ops->open_writable(env, deep, LDB_OPEN_TRUNCATE, &err, &writable));
    NOT_FOUND(ops->file_size(env, path, &err, &size));
    NOT_FOUND(ops->remove_file(env, path, &err));
    NOT_FOUND(ops->remove_dir(env, path, &err));
    NOT_FOUND(ops->create_dir(env, deep, &err));
    NOT_FOUND(ops->rename_file(env, path, other, &err));
    NOT_FOUND(ops->link_file(env, path, other, &err));
    NOT_FOUND(ops->sync_dir(env, path, &err));
    NOT_FOUND(ops->lock_file(env, path, true, &err, &lock));
#undef NOT_FOUND
    assert_null(random);
    assert_null(sequential);
    assert_null(writable);
    assert_null(lock);
    assert_int_equal(size, 7);
}

static void a_directory_is_no_file_and_a_file_no_directory(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env *env = f->env;
    const char *dir = env_path(f, "dir");
    const char *file = env_path(f, "file");
    const char *below = env_path(f, "file/below");
    struct ldb_error err = {0};
    struct ldb_writable_file *writable = NULL;
    struct ldb_random_file *random = NULL;
    struct ldb_sequential_file *sequential = NULL;
    uint64_t size = 0;

    assert_ldb_ok(ops->create_dir(env, dir, &err), &err);
    env_put_file(env, file, "x", false);
    assert_ldb_status(
        LDB_IO, ops->open_writable(env, dir, LDB_OPEN_APPEND, &err, &writable),
        &err);
    assert_ldb_status(LDB_IO, ops->open_random(env, dir, &err, &random), &err);
    assert_ldb_status(LDB_IO, ops->open_sequential(env, dir, &err, &sequential),
                      &err);
    assert_ldb_status(LDB_IO, ops->file_size(env, dir, &err, &size), &err);
    assert_ldb_status(LDB_IO, ops->remove_file(env, dir, &err), &err);
    assert_ldb_status(LDB_IO, ops->rename_file(env, file, dir, &err), &err);
    assert_ldb_status(LDB_IO, ops->rename_file(env, dir, file, &err), &err);
    assert_ldb_status(LDB_IO, ops->create_dir(env, file, &err), &err);
    assert_ldb_status(LDB_IO, ops->remove_dir(env, file, &err), &err);
    assert_ldb_status(LDB_IO, ops->sync_dir(env, file, &err), &err);
    assert_ldb_status(LDB_IO, ops->open_random(env, below, &err, &random),
                      &err);
    assert_ldb_status(
        LDB_IO,
        ops->open_writable(env, below, LDB_OPEN_APPEND, &err, &writable), &err);
}

/* ---- directories ---- */

struct name_set {
    char names[8][32];
    size_t count;
    size_t stop_at; /* refuse this many-th name; 0: never */
};

static enum ldb_status collect_name(void *context, const char *name)
{
    struct name_set *set = context;

    assert_true(set->count < 8);
    (void)snprintf(set->names[set->count++], sizeof(set->names[0]), "%s", name);
    return set->count == set->stop_at ? LDB_STALLED : LDB_OK;
}

static bool name_set_has(const struct name_set *set, const char *name)
{
    for (size_t i = 0; i < set->count; i++)
        if (strcmp(set->names[i], name) == 0)
            return true;
    return false;
}

static void directories_are_made_listed_and_removed(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env *env = f->env;
    const char *dir = env_path(f, "sub");
    const char *file = env_path(f, "sub/a");
    const char *inner = env_path(f, "sub/inner/");
    struct ldb_error err = {0};
    struct name_set set = {.count = 0};

    assert_ldb_ok(ops->create_dir(env, dir, &err), &err);
    assert_ldb_ok(ops->create_dir(env, dir, &err), &err); /* there already */
    assert_ldb_ok(ops->list_dir(env, dir, collect_name, &set, &err), &err);
    assert_int_equal(set.count, 0);
    env_put_file(env, file, "x", false);
    assert_ldb_ok(ops->create_dir(env, inner, &err), &err);
    assert_ldb_ok(ops->sync_dir(env, dir, &err), &err);
    assert_ldb_ok(ops->list_dir(env, dir, collect_name, &set, &err), &err);
    assert_int_equal(set.count, 2);
    assert_true(name_set_has(&set, "a"));
    assert_true(name_set_has(&set, "inner"));

    set = (struct name_set){.stop_at = 1};
    assert_ldb_status(LDB_STALLED,
                      ops->list_dir(env, dir, collect_name, &set, &err), &err);
    assert_int_equal(set.count, 1);

    assert_ldb_status(LDB_IO, ops->remove_dir(env, dir, &err), &err);
    assert_ldb_ok(ops->remove_dir(env, inner, &err), &err);
    assert_ldb_ok(ops->remove_file(env, file, &err), &err);
    assert_ldb_ok(ops->remove_dir(env, dir, &err), &err);
    assert_ldb_status(LDB_NOT_FOUND,
                      ops->list_dir(env, dir, collect_name, &set, &err), &err);
}

static void rename_replaces_and_the_old_file_lives_in_its_handles(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env *env = f->env;
    const char *from = env_path(f, "from");
    const char *to = env_path(f, "to");
    struct ldb_error err = {0};
    struct ldb_random_file *old;

    env_put_file(env, from, "new", true);
    env_put_file(env, to, "old", true);
    old = open_random(env, to);
    assert_ldb_ok(ops->rename_file(env, from, to, &err), &err);
    env_assert_file(env, from, NULL);
    env_assert_file(env, to, "new");
    assert_read_at(old, 0, "old");
    ldb_random_close(old);
    assert_ldb_ok(ops->rename_file(env, to, to, &err), &err);
    env_assert_file(env, to, "new");
}

static void files_and_directories_move_between_directories(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env *env = f->env;
    struct ldb_error err = {0};

    assert_ldb_ok(ops->create_dir(env, env_path(f, "d1"), &err), &err);
    assert_ldb_ok(ops->create_dir(env, env_path(f, "d2"), &err), &err);
    env_put_file(env, env_path(f, "d1/a"), "text", false);
    assert_ldb_ok(
        ops->rename_file(env, env_path(f, "d1/a"), env_path(f, "d2/b"), &err),
        &err);
    env_assert_file(env, env_path(f, "d1/a"), NULL);
    env_assert_file(env, env_path(f, "d2/b"), "text");
    assert_ldb_ok(
        ops->rename_file(env, env_path(f, "d2"), env_path(f, "d1/d3"), &err),
        &err);
    env_assert_file(env, env_path(f, "d1/d3/b"), "text");
    assert_ldb_status(
        LDB_IO,
        ops->rename_file(env, env_path(f, "d1"), env_path(f, "d1/d3/x"), &err),
        &err);
    env_assert_file(env, env_path(f, "d1/d3/b"), "text");
}

static void a_link_is_a_second_name_of_the_same_file(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env *env = f->env;
    const char *one = env_path(f, "one");
    const char *two = env_path(f, "two");
    struct ldb_error err = {0};
    struct ldb_writable_file *file = open_new(env, one, LDB_OPEN_TRUNCATE);

    append(file, "a");
    assert_ldb_ok(ops->link_file(env, one, two, &err), &err);
    append(file, "b");
    env_assert_file(env, two, "ab");
    assert_ldb_status(LDB_EXISTS, ops->link_file(env, one, two, &err), &err);
    assert_ldb_message("two", &err);
    assert_ldb_ok(ops->remove_file(env, one, &err), &err);
    env_assert_file(env, two, "ab");
    assert_ldb_ok(ldb_file_close(file, &err), &err);
}

/* ---- locks ---- */

static void a_second_opener_is_refused_until_the_first_lets_go(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env *env = f->env;
    const char *path = env_path(f, "LOCK");
    struct ldb_error err = {0};
    struct ldb_file_lock *first = NULL;
    struct ldb_file_lock *second = NULL;

    assert_ldb_ok(ops->lock_file(env, path, false, &err, &first), &err);
    assert_ldb_status(LDB_LOCKED,
                      ops->lock_file(env, path, false, &err, &second), &err);
    assert_ldb_message("LOCK", &err);
    assert_ldb_message("this process", &err);
    assert_ldb_status(LDB_LOCKED,
                      ops->lock_file(env, path, true, &err, &second), &err);
    assert_null(second);
    ops->unlock_file(env, first);
    env_assert_file(env, path, ""); /* never removed */
    assert_ldb_ok(ops->lock_file(env, path, false, &err, &second), &err);
    ops->unlock_file(env, second);
}

static void readers_share_a_lock_and_keep_a_writer_out(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env *env = f->env;
    const char *path = env_path(f, "LOCK");
    struct ldb_error err = {0};
    struct ldb_file_lock *first = NULL;
    struct ldb_file_lock *second = NULL;
    struct ldb_file_lock *writer = NULL;

    env_put_file(env, path, "", false);
    assert_ldb_ok(ops->lock_file(env, path, true, &err, &first), &err);
    assert_ldb_ok(ops->lock_file(env, path, true, &err, &second), &err);
    assert_ldb_status(LDB_LOCKED,
                      ops->lock_file(env, path, false, &err, &writer), &err);
    ops->unlock_file(env, first);
    assert_ldb_status(LDB_LOCKED,
                      ops->lock_file(env, path, false, &err, &writer), &err);
    ops->unlock_file(env, second);
    assert_ldb_ok(ops->lock_file(env, path, false, &err, &writer), &err);
    ops->unlock_file(env, writer);
}

/* ---- clock, random, space, threads ---- */

static void clocks_random_bytes_and_free_space_answer(void **state)
{
    const struct env_fixture *f = *state;
    const struct ldb_env_ops *ops = f->env->ops;
    struct ldb_env *env = f->env;
    struct ldb_error err = {0};
    uint8_t a[32] = {0};
    uint8_t b[32] = {0};
    uint64_t before = ops->monotonic_us(env);
    uint64_t bytes = 0;

    assert_true(ops->monotonic_us(env) >= before);
    assert_true(ops->wall_us(env) > UINT64_C(1600000000000000)); /* 2020 */
    assert_ldb_ok(ops->random_bytes(env, a, sizeof(a), &err), &err);
    assert_ldb_ok(ops->random_bytes(env, b, sizeof(b), &err), &err);
    assert_memory_not_equal(a, b, sizeof(a));
    assert_ldb_ok(ops->free_space(env, f->dir, &err, &bytes), &err);
    assert_true(bytes > 0);
}

/* Appends and syncs of one file may run side by side; so may reads. */
struct crowd {
    struct ldb_writable_file *file;
    struct ldb_random_file *random;
    enum ldb_status statuses[4];
};

#define CROWD_ROUNDS 200

static void crowd_append(void *context)
{
    struct crowd *crowd = context;

    for (int i = 0; i < CROWD_ROUNDS && crowd->statuses[0] == LDB_OK; i++)
        crowd->statuses[0] =
            ldb_file_append(crowd->file, ldb_slice_str("0123456789"), NULL);
}

static void crowd_sync(void *context)
{
    struct crowd *crowd = context;

    for (int i = 0; i < 20 && crowd->statuses[1] == LDB_OK; i++)
        crowd->statuses[1] = ldb_file_sync(crowd->file, NULL);
}

static enum ldb_status crowd_read(const struct crowd *crowd)
{
    enum ldb_status s = LDB_OK;

    for (uint64_t i = 0; i < CROWD_ROUNDS && s == LDB_OK; i++) {
        uint8_t scratch[4];
        struct ldb_slice got = {0};

        s = ldb_random_read_at(crowd->random, i % 6, 4, scratch, &got, NULL);
        if (s == LDB_OK && got.data[0] != 'a' + i % 6)
            s = LDB_CORRUPTION;
    }
    return s;
}

static void crowd_read_first(void *context)
{
    struct crowd *crowd = context;

    crowd->statuses[2] = crowd_read(crowd);
}

static void crowd_read_second(void *context)
{
    struct crowd *crowd = context;

    crowd->statuses[3] = crowd_read(crowd);
}

static void threads_append_sync_and_read_side_by_side(void **state)
{
    static void (*const bodies[4])(void *) = {
        crowd_append, crowd_sync, crowd_read_first, crowd_read_second};
    const struct env_fixture *f = *state;
    struct ldb_env *env = f->env;
    const char *path = env_path(f, "a");
    struct ldb_error err = {0};
    struct ldb_thread *threads[4] = {NULL};
    struct crowd crowd = {.file = NULL};
    uint64_t size = 0;

    env_put_file(env, env_path(f, "b"), "abcdefghij", true);
    crowd.file = open_new(env, path, LDB_OPEN_TRUNCATE);
    crowd.random = open_random(env, env_path(f, "b"));
    for (size_t i = 0; i < 4; i++)
        assert_ldb_ok(env->ops->thread_start(env, "a-name-longer-than-15",
                                             bodies[i], &crowd, &err,
                                             &threads[i]),
                      &err);
    for (size_t i = 0; i < 4; i++)
        env->ops->thread_join(env, threads[i]);
    for (size_t i = 0; i < 4; i++)
        assert_int_equal(crowd.statuses[i], LDB_OK);
    assert_ldb_ok(ldb_file_close(crowd.file, &err), &err);
    ldb_random_close(crowd.random);
    assert_ldb_ok(env->ops->file_size(env, path, &err, &size), &err);
    assert_int_equal(size, CROWD_ROUNDS * 10);
}

/* ---- the helpers of env.c ---- */

static void a_whole_file_is_read_up_to_the_buffers_limit(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "a");
    struct ldb_error err = {0};
    struct ldb_buf exact = LDB_BUF_INIT(7);
    struct ldb_buf small = LDB_BUF_INIT(6);

    env_put_file(f->env, path, "12345", false);
    assert_ldb_ok(ldb_buf_append(&exact, ldb_slice_str("ab")), NULL);
    assert_ldb_ok(ldb_env_read_file(f->env, path, &err, &exact), &err);
    assert_ldb_bytes("ab12345", ldb_slice_of_buf(&exact));
    assert_ldb_ok(ldb_buf_append(&small, ldb_slice_str("ab")), NULL);
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_env_read_file(f->env, path, &err, &small), &err);
    assert_ldb_message(path, &err);
    assert_ldb_bytes("ab", ldb_slice_of_buf(&small));
    ldb_buf_release(&exact);
    ldb_buf_release(&small);
}

static void replacing_a_file_leaves_no_temporary(void **state)
{
    const struct env_fixture *f = *state;
    const char *path = env_path(f, "a");
    const char *temporary = env_path(f, "a.tmp");
    const char *dir = env_path(f, "dir");
    struct ldb_error err = {0};

    env_put_file(f->env, temporary, "stray", false);
    assert_ldb_ok(ldb_env_replace_file(f->env, f->dir, path, temporary,
                                       ldb_slice_str("one"), &err),
                  &err);
    assert_ldb_ok(ldb_env_replace_file(f->env, f->dir, path, temporary,
                                       ldb_slice_str("two"), &err),
                  &err);
    env_assert_file(f->env, path, "two");
    env_assert_file(f->env, temporary, NULL);
    assert_ldb_ok(f->env->ops->create_dir(f->env, dir, &err), &err);
    assert_ldb_status(LDB_IO,
                      ldb_env_replace_file(f->env, f->dir, dir, temporary,
                                           ldb_slice_str("x"), &err),
                      &err);
    env_assert_file(f->env, temporary, NULL);
}

/* ---- no memory ---- */

static enum ldb_status use_everything(const struct env_fixture *f,
                                      struct ldb_error *err)
{
    struct ldb_env *env = f->env;
    const struct ldb_env_ops *ops = env->ops;
    struct ldb_buf content = LDB_BUF_INIT(READ_LIMIT);
    struct ldb_random_file *random = NULL;
    struct ldb_file_lock *lock = NULL;
    struct name_set set = {.count = 0};
    uint8_t scratch[4];
    struct ldb_slice got;
    enum ldb_status s;

    s = ops->create_dir(env, env_path(f, "d"), err);
    if (s == LDB_OK)
        s = ldb_env_replace_file(env, env_path(f, "d"), env_path(f, "d/a"),
                                 env_path(f, "d/t"), ldb_slice_str("text"),
                                 err);
    if (s == LDB_OK)
        s = ops->rename_file(env, env_path(f, "d/a"), env_path(f, "b"), err);
    if (s == LDB_OK)
        s = ops->link_file(env, env_path(f, "b"), env_path(f, "d/a"), err);
    if (s == LDB_OK)
        s = ops->sync_dir(env, f->dir, err);
    if (s == LDB_OK)
        s = ops->lock_file(env, env_path(f, "LOCK"), false, err, &lock);
    if (s == LDB_OK)
        s = ops->list_dir(env, f->dir, collect_name, &set, err);
    if (s == LDB_OK)
        s = ops->open_random(env, env_path(f, "b"), err, &random);
    if (s == LDB_OK)
        s = ldb_random_read_at(random, 0, 4, scratch, &got, err);
    if (s == LDB_OK)
        s = ldb_env_read_file(env, env_path(f, "d/a"), err, &content);
    if (s == LDB_OK && content.len != 4)
        s = ldb_error_set(err, LDB_CORRUPTION, "lost bytes");
    if (random != NULL)
        ldb_random_close(random);
    if (lock != NULL)
        ops->unlock_file(env, lock);
    (void)ops->remove_file(env, env_path(f, "d/a"), NULL);
    (void)ops->remove_file(env, env_path(f, "b"), NULL);
    ldb_buf_release(&content);
    return s;
}

static void every_failed_allocation_is_reported_and_harmless(void **state)
{
    const struct env_fixture *f = *state;

    for (uint64_t n = 1;; n++) {
        struct ldb_error err = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = use_everything(f, &err);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        /* The temporary's clean-up may be what failed: then all is well. */
        if (s != LDB_OK)
            assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_true(n < 1000);
    }
}

int env_conformance_run(const char *name, int (*setup)(void **state),
                        int (*teardown)(void **state))
{
#define TEST(function)                                                         \
    {                                                                          \
#function, function, setup, teardown, NULL                             \
    }
    const struct CMUnitTest env_tests[] = {
        TEST(appended_bytes_are_read_back_by_every_kind_of_file),
        TEST(a_mapped_file_holds_what_was_appended),
        TEST(a_mapped_file_outgrows_its_window),
        TEST(truncate_mode_empties_and_append_mode_goes_on),
        TEST(appends_after_a_truncate_follow_the_cut),
        TEST(a_read_past_the_end_is_corruption_with_file_and_size),
        TEST(an_empty_file_opens_and_holds_nothing),
        TEST(sequential_reads_come_in_pieces_and_skips_jump),
        TEST(a_removed_file_lives_on_in_its_open_handles),
        TEST(what_is_not_there_is_not_found),
        TEST(a_directory_is_no_file_and_a_file_no_directory),
        TEST(directories_are_made_listed_and_removed),
        TEST(rename_replaces_and_the_old_file_lives_in_its_handles),
        TEST(files_and_directories_move_between_directories),
        TEST(a_link_is_a_second_name_of_the_same_file),
        TEST(a_second_opener_is_refused_until_the_first_lets_go),
        TEST(readers_share_a_lock_and_keep_a_writer_out),
        TEST(clocks_random_bytes_and_free_space_answer),
        TEST(threads_append_sync_and_read_side_by_side),
        TEST(a_whole_file_is_read_up_to_the_buffers_limit),
        TEST(replacing_a_file_leaves_no_temporary),
        TEST(every_failed_allocation_is_reported_and_harmless),
    };
#undef TEST

    return cmocka_run_group_tests_name(name, env_tests, NULL, NULL);
}
