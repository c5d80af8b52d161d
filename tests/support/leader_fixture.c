#include "tests/support/leader_fixture.h"

#include <stdio.h>
#include <string.h>

#include "replication/sidecar.h"
#include "storage/folder_files.h"
#include "tests/support/assert_ldb.h"

#define HOUR_US UINT64_C(3600000000)

static void on_durable(void *context)
{
    struct leader_fixture *f = context;

    repl_leader_durable(f->leader);
}

void leader_fixture_prepare(struct leader_fixture *f)
{
    static const struct repl_epoch epochs[] = {
        {.number = 1, .id = 0x11, .first_journal = 2},
        {.number = 3, .id = 0xabcdef, .previous_last = 7, .base = 100},
    };
    void *state = NULL;

    *f = (struct leader_fixture){0};
    (void)db_fixture_setup(&state);
    f->base = state;
    f->env = f->base->env;
    db_fixture_close(f->base);
    f->base->options.archive_bytes = 64 << 20;
    f->base->options.archive_age_us = HOUR_US;
    f->base->options.on_durable = on_durable;
    f->base->options.on_durable_context = f;
    memset(f->identity.cluster_id, 'c', REPL_ID_SIZE - 1);
    memset(f->identity.node_id, 'a', REPL_ID_SIZE - 1);
    for (size_t i = 0; i < sizeof(epochs) / sizeof(epochs[0]); i++)
        assert_ldb_ok(
            repl_epoch_history_append(&f->history, &epochs[i], &f->err),
            &f->err);
    f->concern = repl_write_concern_create(f->env);
    assert_non_null(f->concern);
}

void leader_fixture_start(struct leader_fixture *f)
{
    struct repl_leader_options options = {
        .env = f->env,
        .concern = f->concern,
        .dir = DB_FIXTURE_DIR,
        .engine = &f->base->options,
        .identity = &f->identity,
        .history = &f->history,
    };

    db_fixture_open(f->base);
    f->db = f->base->db;
    assert_ldb_ok(repl_sidecar_make_folder(f->env, DB_FIXTURE_DIR, &f->err),
                  &f->err);
    assert_ldb_ok(
        repl_digest_index_open(f->env, DB_FIXTURE_DIR, &f->err, &f->digests),
        &f->err);
    options.db = f->db;
    options.digests = f->digests;
    assert_ldb_ok(repl_leader_create(&options, &f->err, &f->leader), &f->err);
}

void leader_fixture_stop(struct leader_fixture *f)
{
    repl_leader_close(f->leader);
    assert_ldb_ok(repl_digest_index_close(f->digests, &f->err), &f->err);
    f->digests = NULL;
    db_fixture_close(f->base);
    repl_leader_destroy(f->leader);
    f->leader = NULL;
}

int leader_fixture_setup(void **state)
{
    static struct leader_fixture f;

    leader_fixture_prepare(&f);
    leader_fixture_start(&f);
    *state = &f;
    return 0;
}

int leader_fixture_teardown(void **state)
{
    struct leader_fixture *f = *state;
    void *base = f->base;

    if (f->leader != NULL)
        leader_fixture_stop(f);
    repl_write_concern_destroy(f->concern);
    repl_epoch_history_release(&f->history);
    return db_fixture_teardown(&base);
}

ldb_sequence leader_fixture_put(struct leader_fixture *f, const char *key,
                                const char *value)
{
    ldb_sequence sequence = 0;

    assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key), ldb_slice_str(value), true,
                          &f->err, &sequence),
                  &f->err);
    return sequence;
}

static uint64_t newest_table(struct leader_fixture *f)
{
    struct ldb_folder_files files = {0};
    uint64_t newest = 0;

    assert_ldb_ok(
        ldb_folder_files_list(f->env, DB_FIXTURE_DIR, &f->err, &files),
        &f->err);
    for (size_t i = 0; i < files.count; i++) {
        if (files.files[i].type == LDB_FILE_TABLE &&
            files.files[i].number > newest)
            newest = files.files[i].number;
    }
    ldb_folder_files_release(&files);
    return newest;
}

uint64_t leader_fixture_flush_one(struct leader_fixture *f, const char *key)
{
    (void)leader_fixture_put(f, key, "value");
    db_fixture_flush(f->base);
    db_fixture_settle(f->base);
    return newest_table(f);
}

void leader_fixture_compact(struct leader_fixture *f)
{
    assert_ldb_ok(ldb_compact_range(f->db, NULL, NULL, &f->err), &f->err);
    db_fixture_settle(f->base);
}

void leader_fixture_tick(struct leader_fixture *f)
{
    assert_ldb_ok(repl_leader_tick(f->leader, &f->err), &f->err);
}

uint64_t leader_fixture_journal(struct leader_fixture *f)
{
    struct ldb_stats stats;

    ldb_stats(f->db, &stats);
    return stats.journal_number;
}

bool leader_fixture_has_file(struct leader_fixture *f, const char *name)
{
    char path[256];
    uint64_t size;

    (void)snprintf(path, sizeof(path), "%s/%s", DB_FIXTURE_DIR, name);
    return f->env->ops->file_size(f->env, path, NULL, &size) == LDB_OK;
}

struct repl_served_file *leader_fixture_file(struct leader_fixture *f,
                                             const char *name)
{
    struct repl_served_file *file = NULL;

    assert_ldb_ok(repl_served_file_open(repl_leader_files(f->leader),
                                        ldb_slice_str(name), &f->err, &file),
                  &f->err);
    assert_string_equal(repl_served_file_name(file), name);
    return file;
}

void leader_fixture_read(struct leader_fixture *f,
                         struct repl_served_file *file, struct ldb_buf *out)
{
    uint8_t piece[1000];
    size_t len;

    do {
        assert_ldb_ok(
            repl_served_file_read(file, sizeof(piece), piece, &f->err, &len),
            &f->err);
        assert_ldb_ok(ldb_buf_append(out, ldb_slice_make(piece, len)), NULL);
    } while (len > 0);
}
