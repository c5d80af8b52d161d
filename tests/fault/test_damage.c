/*
 * Each part of each file of a database damaged in turn: a bit flipped, the file
 * cut, bytes zeroed. Nothing crashes; reading never gives a wrong value; what
 * is found names the file; and after a repair the folder is clean, opens, and
 * has all that the damage did not hit.
 *
 * LEVELD_FULL=1 takes every byte; else some of them.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/env.h"
#include "storage/base/mem.h"
#include "storage/include/ldb.h"
#include "storage/table/table_format.h"
#include "storage/verify.h"
#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"

#define DIR      "/db"
#define FILES    16
#define FILE_MAX ((size_t)1 << 20)
#define KEYS     300

/* Keys of one damaged block at most; chosen by the block size below. */
#define BLOCK_KEYS 24

enum part {
    PART_CURRENT,
    PART_MANIFEST,
    PART_JOURNAL,
    PART_TABLE_DATA,
    PART_TABLE_META, /* filter and metaindex */
    PART_TABLE_INDEX,
    PART_TABLE_FOOTER,
    PART_COUNT,
};

/* What the damage of one byte may cost, and whether `check` must see it. */
static const struct rule {
    const char *name;
    unsigned lost_max; /* keys */
    bool is_found;     /* by a check, always */
} rules[PART_COUNT] = {
    [PART_CURRENT] = {"CURRENT", 0, true},
    /* Not in its last record: that looks as if a crash had cut it. */
    [PART_MANIFEST] = {"MANIFEST", 0, false},
    /* The rest of a block of 32 KiB: all of this journal. */
    [PART_JOURNAL] = {"journal", KEYS / 3, false},
    [PART_TABLE_DATA] = {"table data", BLOCK_KEYS, true},
    [PART_TABLE_META] = {"filter or metaindex", 0, true},
    [PART_TABLE_INDEX] = {"index", KEYS / 3, true},
    /* Its padding says nothing. */
    [PART_TABLE_FOOTER] = {"footer", KEYS / 3, false},
};

struct file {
    char name[LDB_FILE_NAME_SIZE];
    enum ldb_file_type type;
    struct ldb_buf bytes;
};

struct folder {
    struct file files[FILES];
    size_t count;
};

static struct folder sound;

/* ---- the database ---- */

static void set_options(struct ldb_env *env, struct ldb_options *out)
{
    ldb_options_init(out);
    out->env = env;
    out->block_bytes = 512;
}

static void print_entry(unsigned n, char key[16], char value[48])
{
    (void)snprintf(key, 16, "key%06u", n);
    (void)snprintf(value, 48, "value-%u-%u-%u", n, n * 7919, n * 104729);
}

static void put_keys(struct ldb_db *db, unsigned from, unsigned to)
{
    struct ldb_error err = {0};

    for (unsigned n = from; n < to; n++) {
        char key[16];
        char value[48];

        print_entry(n, key, value);
        assert_ldb_ok(ldb_put(db, ldb_slice_str(key), ldb_slice_str(value),
                              false, &err, NULL),
                      &err);
    }
}

static enum ldb_status take_file(void *context, const char *name)
{
    struct ldb_env *env = context;
    struct file *file = &sound.files[sound.count];
    struct ldb_error err = {0};
    uint64_t number;
    char path[64];

    if (ldb_file_name_parse(name, &number) == LDB_FILE_LOG ||
        ldb_file_name_parse(name, &number) == LDB_FILE_LOCK)
        return LDB_OK;
    assert_true(sound.count < FILES);
    file->bytes = (struct ldb_buf)LDB_BUF_INIT(FILE_MAX);
    file->type = ldb_file_name_parse(name, &number);
    (void)snprintf(file->name, sizeof(file->name), "%s", name);
    (void)snprintf(path, sizeof(path), DIR "/%s", name);
    assert_ldb_ok(ldb_env_read_file(env, path, &err, &file->bytes), &err);
    sound.count++;
    return LDB_OK;
}

/* A third of the keys in a deep table, one in level 0, one in the journal. */
static int make_sound_folder(void **state)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_env *env = NULL;
    struct ldb_db *db = NULL;

    (void)state;
    assert_ldb_ok(ldb_env_memory_create(&err, &env), &err);
    set_options(env, &options);
    assert_ldb_ok(ldb_open(DIR, &options, NULL, &err, &db), &err);
    put_keys(db, 0, KEYS / 3);
    assert_ldb_ok(ldb_compact_range(db, NULL, NULL, &err), &err);
    put_keys(db, KEYS / 3, 2 * KEYS / 3);
    assert_ldb_ok(ldb_flush(db, &err), &err);
    put_keys(db, 2 * KEYS / 3, KEYS);
    assert_ldb_ok(ldb_close(db, &err), &err);
    assert_ldb_ok(env->ops->list_dir(env, DIR, take_file, env, &err), &err);
    ldb_env_memory_destroy(env);
    return 0;
}

static int release_sound_folder(void **state)
{
    (void)state;
    for (size_t i = 0; i < sound.count; i++)
        ldb_buf_release(&sound.files[i].bytes);
    return 0;
}

static void write_file(struct ldb_env *env, const char *name,
                       struct ldb_slice bytes)
{
    struct ldb_writable_file *file = NULL;
    struct ldb_error err = {0};
    char path[64];

    (void)snprintf(path, sizeof(path), DIR "/%s", name);
    assert_ldb_ok(
        env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, &err, &file),
        &err);
    assert_ldb_ok(ldb_file_append(file, bytes, &err), &err);
    assert_ldb_ok(ldb_file_close(file, &err), &err);
}

/* The sound folder with other bytes in file `which`. */
static struct ldb_env *make_folder(size_t which, struct ldb_slice bytes)
{
    struct ldb_error err = {0};
    struct ldb_env *env = NULL;

    assert_ldb_ok(ldb_env_memory_create(&err, &env), &err);
    assert_ldb_ok(env->ops->create_dir(env, DIR, &err), &err);
    for (size_t i = 0; i < sound.count; i++)
        write_file(env, sound.files[i].name,
                   i == which ? bytes
                              : ldb_slice_of_buf(&sound.files[i].bytes));
    return env;
}

/* ---- which part a byte belongs to ---- */

static enum part part_of(const struct file *file, size_t at)
{
    struct ldb_slice bytes = ldb_slice_of_buf(&file->bytes);
    struct ldb_footer footer = {0};

    if (file->type == LDB_FILE_MANIFEST)
        return PART_MANIFEST;
    if (file->type == LDB_FILE_JOURNAL)
        return PART_JOURNAL;
    if (file->type != LDB_FILE_TABLE)
        return PART_CURRENT;
    assert_true(
        ldb_footer_read(ldb_slice_make(bytes.data + bytes.len - LDB_FOOTER_SIZE,
                                       LDB_FOOTER_SIZE),
                        &footer));
    if (at >= bytes.len - LDB_FOOTER_SIZE)
        return PART_TABLE_FOOTER;
    if (at >= footer.index.offset)
        return PART_TABLE_INDEX;
    if (at >= footer.metaindex.offset)
        return PART_TABLE_META;
    /* The filter of 10 bits a key stands right before the metaindex. */
    return at + KEYS / 3 * 10 / 8 > footer.metaindex.offset ? PART_TABLE_META
                                                            : PART_TABLE_DATA;
}

/* ---- judging ---- */

/* Keys that are gone; a wrong value or a nameless error fails the test. */
static unsigned count_lost(struct ldb_db *db, const char *what, bool is_sound)
{
    unsigned lost = 0;

    for (unsigned n = 0; n < KEYS; n++) {
        struct ldb_buf value = LDB_BUF_INIT(FILE_MAX);
        struct ldb_error err = {0};
        char key[16];
        char expected[48];
        enum ldb_status s;

        print_entry(n, key, expected);
        s = ldb_get(db, ldb_slice_str(key), NULL, &err, &value, NULL, NULL);
        lost += s != LDB_OK;
        if (s == LDB_OK &&
            !ldb_slice_equal(ldb_slice_of_buf(&value), ldb_slice_str(expected)))
            fail_msg("%s: wrong value of %s", what, key);
        if (s != LDB_OK && s != LDB_NOT_FOUND &&
            (is_sound || strstr(err.message, ".ldb") == NULL))
            fail_msg("%s: %s: %s", what, key, err.message);
        ldb_buf_release(&value);
    }
    return lost;
}

static void walk(struct ldb_db *db)
{
    struct ldb_cursor *cursor = NULL;

    if (ldb_cursor_open(db, NULL, NULL, &cursor) != LDB_OK)
        return;
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);)
        ldb_cursor_next(cursor);
    for (ldb_cursor_seek_last(cursor); ldb_cursor_valid(cursor);)
        ldb_cursor_prev(cursor);
    (void)!ldb_cursor_status(cursor, NULL);
    ldb_cursor_close(cursor);
}

/* Opened read-only, so that repair finds the damage as it was. */
static void read_damaged(struct ldb_env *env, const char *what)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    set_options(env, &options);
    options.read_only = true;
    if (ldb_open(DIR, &options, NULL, &err, &db) != LDB_OK) {
        if (err.message[0] == '\0')
            fail_msg("%s: open fails without a message", what);
        return;
    }
    (void)count_lost(db, what, false);
    walk(db);
    assert_ldb_ok(ldb_close(db, &err), &err);
}

static uint64_t damages_in(struct ldb_env *env, const char *what)
{
    struct ldb_verify_summary sum = {0};
    struct ldb_options options;
    struct ldb_error err = {0};

    set_options(env, &options);
    if (ldb_verify_folder(DIR, &options, NULL, NULL, &err, &sum) != LDB_OK)
        fail_msg("%s: check: %s", what, err.message);
    return sum.damages;
}

/* Keys lost by it, after the repair. */
static unsigned repair_and_count(struct ldb_env *env, const char *what)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    unsigned lost;

    set_options(env, &options);
    options.create_if_missing = false;
    if (ldb_repair(DIR, &options, NULL, NULL, &err) != LDB_OK)
        fail_msg("%s: repair: %s", what, err.message);
    if (damages_in(env, what) != 0)
        fail_msg("%s: not clean after the repair", what);
    if (ldb_open(DIR, &options, NULL, &err, &db) != LDB_OK)
        fail_msg("%s: open after the repair: %s", what, err.message);
    lost = count_lost(db, what, true);
    walk(db);
    assert_ldb_ok(ldb_close(db, &err), &err);
    return lost;
}

static void try_bytes(size_t which, struct ldb_slice bytes, const char *what,
                      unsigned lost_max, bool is_found)
{
    struct ldb_env *env = make_folder(which, bytes);
    unsigned lost;

    if (damages_in(env, what) == 0 && is_found)
        fail_msg("%s: not found by a check", what);
    read_damaged(env, what);
    lost = repair_and_count(env, what);
    if (lost > lost_max)
        fail_msg("%s: %u keys lost, %u may be", what, lost, lost_max);
    ldb_env_memory_destroy(env);
}

static size_t step(size_t some)
{
    const char *full = getenv("LEVELD_FULL");

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
    some *= 3; /* still below the length of a footer */
#endif
    return full != NULL && strcmp(full, "1") == 0 ? 1 : some;
}

/* ---- flips, cuts, zeros ---- */

static void a_flipped_bit_costs_no_more_than_its_part(void **state)
{
    unsigned tried[PART_COUNT] = {0};
    size_t stride = step(13);

    (void)state;
    for (size_t i = 0; i < sound.count; i++) {
        struct ldb_slice from = ldb_slice_of_buf(&sound.files[i].bytes);
        uint8_t *bytes = ldb_mem_dup(from.data, from.len);

        assert_non_null(bytes);
        for (size_t at = 0; at < from.len; at += stride) {
            enum part part = part_of(&sound.files[i], at);
            char what[80];

            (void)snprintf(what, sizeof(what), "%s: bit of byte %zu of %s",
                           rules[part].name, at, sound.files[i].name);
            bytes[at] ^= (uint8_t)(1U << at % 8);
            try_bytes(i, ldb_slice_make(bytes, from.len), what,
                      rules[part].lost_max, rules[part].is_found);
            bytes[at] = from.data[at];
            tried[part]++;
        }
        ldb_mem_free(bytes);
    }
    for (size_t part = 0; part < PART_COUNT; part++) {
        print_message("%s: %u\n", rules[part].name, tried[part]);
        assert_true(tried[part] > 0);
    }
}

static void a_cut_file_costs_no_other_file(void **state)
{
    size_t stride = step(97);

    (void)state;
    for (size_t i = 0; i < sound.count; i++) {
        struct ldb_slice from = ldb_slice_of_buf(&sound.files[i].bytes);
        enum part part = part_of(&sound.files[i], 0);

        for (size_t len = 0; len < from.len; len += stride) {
            char what[80];

            (void)snprintf(what, sizeof(what), "%s cut to %zu",
                           sound.files[i].name, len);
            try_bytes(i, ldb_slice_make(from.data, len), what,
                      part <= PART_MANIFEST ? 0 : KEYS / 3, false);
        }
    }
}

static void a_run_of_zeros_costs_no_other_file(void **state)
{
    size_t stride = step(211);

    (void)state;
    for (size_t i = 0; i < sound.count; i++) {
        struct ldb_slice from = ldb_slice_of_buf(&sound.files[i].bytes);
        enum part part = part_of(&sound.files[i], 0);
        uint8_t *bytes = ldb_mem_dup(from.data, from.len);

        assert_non_null(bytes);
        for (size_t at = 0; at < from.len; at += stride) {
            size_t len = from.len - at < 64 ? from.len - at : 64;
            char what[80];

            (void)snprintf(what, sizeof(what), "%s zeroed at %zu",
                           sound.files[i].name, at);
            memset(bytes + at, 0, len);
            try_bytes(i, ldb_slice_make(bytes, from.len), what,
                      part <= PART_MANIFEST ? 0 : KEYS / 3, false);
            memcpy(bytes + at, from.data + at, len);
        }
        ldb_mem_free(bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_flipped_bit_costs_no_more_than_its_part),
        cmocka_unit_test(a_cut_file_costs_no_other_file),
        cmocka_unit_test(a_run_of_zeros_costs_no_other_file),
    };

    return cmocka_run_group_tests(tests, make_sound_folder,
                                  release_sound_folder);
}
