#include "tests/support/db_fixture.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/env.h"
#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"

#define FILL_LEN 100
#define FILE_MAX ((size_t)16 << 20)

int db_fixture_setup(void **state)
{
    static struct db_fixture f;

    f = (struct db_fixture){.fault = env_fault_create(NULL)};
    f.env = env_fault_env(f.fault);
    ldb_options_init(&f.options);
    f.options.env = f.env;
    f.options.create_if_missing = true;
    f.options.write_buffer_bytes = (size_t)1 << 20;
    f.options.block_bytes = 1024;
    db_fixture_open(&f);
    *state = &f;
    return 0;
}

int db_fixture_teardown(void **state)
{
    struct db_fixture *f = *state;

    env_fault_fail(f->fault, NULL);
    if (f->db != NULL)
        (void)!ldb_close(f->db, NULL);
    env_fault_destroy(f->fault);
    return 0;
}

void db_fixture_open(struct db_fixture *f)
{
    assert_ldb_ok(
        ldb_open(DB_FIXTURE_DIR, &f->options, &f->recovery, &f->err, &f->db),
        &f->err);
}

void db_fixture_close(struct db_fixture *f)
{
    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    f->db = NULL;
}

void db_fixture_reopen(struct db_fixture *f)
{
    db_fixture_close(f);
    db_fixture_open(f);
}

void db_fixture_power_cut(struct db_fixture *f)
{
    env_fault_power_cut(f->fault, LDB_CRASH_KEEP_NONE, 1);
    (void)!ldb_close(f->db, NULL); /* its env is dead */
    f->env = env_fault_env(f->fault);
    f->options.env = f->env;
    db_fixture_open(f);
}

ldb_sequence db_fixture_put(struct db_fixture *f, const char *key,
                            const char *value)
{
    ldb_sequence sequence = 0;

    assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key), ldb_slice_str(value),
                          false, &f->err, &sequence),
                  &f->err);
    return sequence;
}

ldb_sequence db_fixture_delete(struct db_fixture *f, const char *key)
{
    ldb_sequence sequence = 0;

    assert_ldb_ok(
        ldb_delete(f->db, ldb_slice_str(key), false, &f->err, &sequence),
        &f->err);
    return sequence;
}

void db_fixture_flush(struct db_fixture *f)
{
    assert_ldb_ok(ldb_flush(f->db, &f->err), &f->err);
}

void db_fixture_settle(struct db_fixture *f)
{
    ldb_mutex_lock(&f->db->mu);
    while (f->db->is_flushing || f->db->compacting_count > 0)
        ldb_cond_wait(&f->db->work_done, &f->db->mu);
    ldb_mutex_unlock(&f->db->mu);
}

bool db_fixture_has_nothing_to_compact(struct db_fixture *f)
{
    struct ldb_slice none = ldb_slice_str("zzz");
    bool has_nothing;

    /* Who ends a manual compaction, here of no table, goes on looking before mu
     * is free. */
    assert_ldb_ok(ldb_compact_range(f->db, &none, NULL, &f->err), &f->err);
    ldb_mutex_lock(&f->db->mu);
    has_nothing = f->db->compacting_count == 0;
    ldb_mutex_unlock(&f->db->mu);
    return has_nothing;
}

static void print_filled(unsigned n, char key[16], char value[FILL_LEN + 1])
{
    (void)snprintf(key, 16, "key%06u", n);
    (void)snprintf(value, FILL_LEN + 1, "%0*u", FILL_LEN, n);
}

void db_fixture_fill(struct db_fixture *f, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        char key[16];
        char value[FILL_LEN + 1];

        print_filled(n, key, value);
        (void)db_fixture_put(f, key, value);
    }
}

void db_fixture_assert_filled(struct db_fixture *f, unsigned from, unsigned to)
{
    for (unsigned n = from; n < to; n++) {
        char key[16];
        char value[FILL_LEN + 1];

        print_filled(n, key, value);
        db_fixture_assert_value(f, key, value);
    }
}

void db_fixture_assert_value(struct db_fixture *f, const char *key,
                             const char *value)
{
    struct ldb_buf found = LDB_BUF_INIT(FILE_MAX);
    enum ldb_status s =
        ldb_get(f->db, ldb_slice_str(key), NULL, &f->err, &found, NULL, NULL);

    if (value == NULL) {
        assert_ldb_status(LDB_NOT_FOUND, s, &f->err);
    } else {
        assert_ldb_ok(s, &f->err);
        assert_ldb_slice(ldb_slice_str(value), ldb_slice_of_buf(&found));
    }
    ldb_buf_release(&found);
}

struct counting {
    enum ldb_file_type type;
    unsigned count;
};

static enum ldb_status count_name(void *context, const char *name)
{
    struct counting *counting = context;
    uint64_t number;

    counting->count += ldb_file_name_parse(name, &number) == counting->type;
    return LDB_OK;
}

unsigned db_fixture_count_files(struct db_fixture *f, enum ldb_file_type type)
{
    struct counting counting = {.type = type};

    assert_ldb_ok(f->env->ops->list_dir(f->env, DB_FIXTURE_DIR, count_name,
                                        &counting, &f->err),
                  &f->err);
    return counting.count;
}

static const char *path_of(const char *name, char out[128])
{
    (void)snprintf(out, 128, DB_FIXTURE_DIR "/%s", name);
    return out;
}

void db_fixture_write_file(struct db_fixture *f, const char *name,
                           struct ldb_slice bytes)
{
    struct ldb_writable_file *file = NULL;
    char path[128];

    assert_ldb_ok(f->env->ops->open_writable(f->env, path_of(name, path),
                                             LDB_OPEN_TRUNCATE, &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_append(file, bytes, &f->err), &f->err);
    assert_ldb_ok(ldb_file_sync(file, &f->err), &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
}

void db_fixture_read_file(struct db_fixture *f, const char *name,
                          struct ldb_buf *out)
{
    char path[128];

    assert_ldb_ok(ldb_env_read_file(f->env, path_of(name, path), &f->err, out),
                  &f->err);
}

void db_fixture_fail(struct db_fixture *f, unsigned kinds, const char *path,
                     int sys_errno)
{
    env_fault_fail(f->fault, &(struct env_fault_rule){.kinds = kinds,
                                                      .path = path,
                                                      .nth = 1,
                                                      .from_then_on = true,
                                                      .sys_errno = sys_errno});
}
