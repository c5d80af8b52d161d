#include "tests/support/heal_scene.h"

#include <stdio.h>
#include <stdlib.h>

#include "replication/held_version.h"
#include "replication/sidecar.h"
#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"

#define VALUE_LEN 100

static void print_pair(unsigned n, char key[16], char value[VALUE_LEN + 1])
{
    (void)snprintf(key, 16, "key%06u", n);
    (void)snprintf(value, VALUE_LEN + 1, "%0*u", VALUE_LEN, n);
}

/* ---- files ---- */

static void join(char out[128], const char *dir, const char *name)
{
    (void)snprintf(out, 128, "%s/%s", dir, name);
}

bool heal_scene_read(struct heal_scene *s, const char *dir, const char *name,
                     struct ldb_buf *out)
{
    struct ldb_error err = {0}; /* s->err stays as the test has it */
    enum ldb_status status;
    char path[128];

    join(path, dir, name);
    ldb_buf_clear(out);
    status = ldb_env_read_file(s->env, path, &err, out);
    if (status != LDB_NOT_FOUND)
        assert_ldb_ok(status, &err);
    return status == LDB_OK;
}

void heal_scene_write(struct heal_scene *s, const char *dir, const char *name,
                      struct ldb_slice bytes)
{
    struct ldb_writable_file *file = NULL;
    char path[128];

    join(path, dir, name);
    assert_ldb_ok(s->env->ops->open_writable(s->env, path, LDB_OPEN_TRUNCATE,
                                             &s->err, &file),
                  &s->err);
    assert_ldb_ok(ldb_file_append(file, bytes, &s->err), &s->err);
    assert_ldb_ok(ldb_file_sync(file, &s->err), &s->err);
    assert_ldb_ok(ldb_file_close(file, &s->err), &s->err);
}

const char *heal_scene_name(const struct heal_scene *s, size_t i)
{
    static char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, LDB_FILE_TABLE, s->tables[i]);
    return name;
}

void heal_scene_flip(struct heal_scene *s, const char *dir, size_t i,
                     uint64_t offset)
{
    struct ldb_buf bytes = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);

    assert_true(heal_scene_read(s, dir, heal_scene_name(s, i), &bytes));
    assert_true(offset < bytes.len);
    bytes.data[offset] ^= 0x10;
    heal_scene_write(s, dir, heal_scene_name(s, i), ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
}

bool heal_scene_is_same(struct heal_scene *s, size_t i)
{
    struct ldb_buf here = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    struct ldb_buf there = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    bool is_same;

    assert_true(
        heal_scene_read(s, HEAL_SCENE_THERE, heal_scene_name(s, i), &there));
    is_same =
        heal_scene_read(s, HEAL_SCENE_HERE, heal_scene_name(s, i), &here) &&
        ldb_slice_equal(ldb_slice_of_buf(&here), ldb_slice_of_buf(&there));
    ldb_buf_release(&here);
    ldb_buf_release(&there);
    return is_same;
}

bool heal_scene_has(struct heal_scene *s, const char *name)
{
    struct ldb_buf bytes = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    bool has = heal_scene_read(s, HEAL_SCENE_HERE, name, &bytes);

    ldb_buf_release(&bytes);
    return has;
}

struct repl_digest_file heal_scene_file(const struct heal_scene *s, size_t i)
{
    return (struct repl_digest_file){
        .type = LDB_FILE_TABLE, .number = s->tables[i], .size = s->size};
}

/* ---- setup ---- */

static struct ldb_db *open_db(struct heal_scene *s, const char *dir)
{
    struct ldb_db *db = NULL;

    assert_ldb_ok(ldb_open(dir, &s->options, NULL, &s->err, &db), &s->err);
    return db;
}

static void fill(struct heal_scene *s)
{
    for (unsigned n = 0; n < HEAL_SCENE_TABLES * HEAL_SCENE_KEYS_A_TABLE; n++) {
        char value[VALUE_LEN + 1];
        char key[16];

        print_pair(n, key, value);
        assert_ldb_ok(ldb_put(s->db, ldb_slice_str(key), ldb_slice_str(value),
                              false, &s->err, NULL),
                      &s->err);
        if (n % HEAL_SCENE_KEYS_A_TABLE == HEAL_SCENE_KEYS_A_TABLE - 1)
            assert_ldb_ok(ldb_flush(s->db, &s->err), &s->err);
    }
}

static enum ldb_status copy_name(void *context, const char *name)
{
    struct heal_scene *s = context;
    char from[128];
    char to[128];
    uint64_t number;

    if (ldb_file_name_parse(name, &number) == LDB_FILE_FOREIGN)
        return LDB_OK;
    join(from, HEAL_SCENE_HERE, name);
    join(to, HEAL_SCENE_THERE, name);
    return ldb_env_copy_file(s->env, from, to, UINT64_MAX, &s->err);
}

static void note_tables(struct heal_scene *s)
{
    struct repl_held_version held = {0};

    assert_ldb_ok(repl_held_version_take(s->db, &s->err, &held), &s->err);
    assert_int_equal(HEAL_SCENE_TABLES, held.table_count);
    for (size_t i = 0; i < held.table_count; i++) {
        s->tables[i] = held.tables[i].number;
        assert_true(i == 0 || held.tables[i].size == s->size);
        s->size = held.tables[i].size;
    }
    repl_held_version_release(&held);
}

int heal_scene_setup(void **state)
{
    struct heal_scene *s = calloc(1, sizeof(*s));

    assert_non_null(s);
    s->fault = env_fault_create(NULL);
    s->env = env_fault_env(s->fault);
    s->peer = memory_peer_create();
    ldb_options_init(&s->options);
    s->options.env = s->env;
    s->options.create_if_missing = true;
    s->options.compress = false;
    s->options.block_bytes = 1024;
    s->options.disable_block_cache = true; /* damage is met at once */
    s->options.l0_compaction_trigger = 100;
    s->options.l0_slowdown_trigger = 100;
    s->options.l0_stop_trigger = 100;
    s->options.archive_bytes = (uint64_t)16 << 20;
    s->options.archive_age_us = UINT64_C(3600000000);
    s->db = open_db(s, HEAL_SCENE_HERE);
    fill(s);
    assert_ldb_ok(ldb_close(s->db, &s->err), &s->err);
    assert_ldb_ok(ldb_env_create_folder(s->env, HEAL_SCENE_THERE, &s->err),
                  &s->err);
    assert_ldb_ok(
        s->env->ops->list_dir(s->env, HEAL_SCENE_HERE, copy_name, s, &s->err),
        &s->err);
    s->db = open_db(s, HEAL_SCENE_HERE);
    s->other = open_db(s, HEAL_SCENE_THERE);
    note_tables(s);
    memory_peer_set_db(s->peer, s->other, &s->options, HEAL_SCENE_THERE);
    assert_ldb_ok(repl_sidecar_make_folder(s->env, HEAL_SCENE_HERE, &s->err),
                  &s->err);
    assert_ldb_ok(
        repl_digest_index_open(s->env, HEAL_SCENE_HERE, &s->err, &s->digests),
        &s->err);
    *state = s;
    return 0;
}

int heal_scene_teardown(void **state)
{
    struct heal_scene *s = *state;

    env_fault_fail(s->fault, NULL);
    (void)!repl_digest_index_close(s->digests, NULL);
    memory_peer_set_db(s->peer, NULL, NULL, NULL);
    (void)!ldb_close(s->db, NULL);
    if (s->other != NULL)
        (void)!ldb_close(s->other, NULL);
    memory_peer_destroy(s->peer);
    env_fault_destroy(s->fault);
    free(s);
    return 0;
}

/* ---- reading ---- */

enum ldb_status heal_scene_get(struct heal_scene *s, unsigned n)
{
    struct ldb_buf found = LDB_BUF_INIT(VALUE_LEN * 2);
    char value[VALUE_LEN + 1];
    enum ldb_status status;
    char key[16];

    print_pair(n, key, value);
    status =
        ldb_get(s->db, ldb_slice_str(key), NULL, &s->err, &found, NULL, NULL);
    if (status == LDB_OK)
        assert_ldb_slice(ldb_slice_str(value), ldb_slice_of_buf(&found));
    else
        assert_ldb_status(LDB_CORRUPTION, status, &s->err);
    ldb_buf_release(&found);
    return status;
}

void heal_scene_assert_whole(struct heal_scene *s)
{
    for (unsigned n = 0; n < HEAL_SCENE_TABLES * HEAL_SCENE_KEYS_A_TABLE; n++)
        assert_ldb_ok(heal_scene_get(s, n), &s->err);
}
