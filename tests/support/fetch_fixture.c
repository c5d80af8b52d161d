#include "tests/support/fetch_fixture.h"

#include <stdlib.h>

#include "storage/db_internal.h"
#include "tests/support/assert_ldb.h"

#define WRITES_A_TABLE 20
#define ARCHIVE_BYTES  (UINT64_C(64) << 20)

/* All is durable, and no thread of the leader has anything to do: what happens
 * from now on is the test's doing. */
static void settle(struct leader_run *leader)
{
    struct ldb_batch batch;
    struct ldb_write write = {.batch = &batch, .sync = true};

    ldb_batch_init(&batch, leader->options.batch_bytes_max);
    assert_ldb_ok(ldb_write_wait(leader->db, &write), &write.error);
    ldb_batch_release(&batch);
    ldb_mutex_lock(&leader->db->mu);
    while (leader->db->is_flushing || leader->db->compacting_count > 0)
        ldb_cond_wait(&leader->db->work_done, &leader->db->mu);
    ldb_mutex_unlock(&leader->db->mu);
}

int fetch_fixture_setup(void **state)
{
    struct fetch_fixture *f = calloc(1, sizeof(*f));
    struct repl_peer *peer;

    assert_non_null(f);
    f->peer = memory_peer_create();
    f->leader = leader_run_create(7, true);
    memory_peer_hook(f->peer, &f->leader->options);
    f->leader->options.archive_bytes = ARCHIVE_BYTES;
    leader_run_reopen(f->leader);
    for (unsigned t = 0; t < FETCH_FIXTURE_TABLES; t++) {
        for (unsigned w = 0; w < WRITES_A_TABLE; w++)
            leader_run_write(f->leader);
        leader_run_flush(f->leader);
    }
    leader_run_write(f->leader);
    memory_peer_set_db(f->peer, f->leader->db, &f->leader->options, LEADER_DIR);
    settle(f->leader);
    f->fault = env_fault_create(NULL);
    f->env = env_fault_env(f->fault);
    assert_ldb_ok(ldb_env_create_folder(f->env, FETCH_FIXTURE_DIR, &f->err),
                  &f->err);
    peer = memory_peer_repl(f->peer);
    assert_ldb_ok(peer->open(peer, &f->err, &f->transport), &f->err);
    repl_client_init(&f->client, f->transport);
    assert_ldb_ok(repl_client_checkpoint(&f->client,
                                         "f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0f0",
                                         &f->err, &f->checkpoint),
                  &f->err);
    assert_int_equal(FETCH_FIXTURE_TABLES, f->checkpoint.file_count);
    *state = f;
    return 0;
}

int fetch_fixture_teardown(void **state)
{
    struct fetch_fixture *f = *state;

    repl_checkpoint_release(&f->checkpoint);
    f->transport->ops->destroy(f->transport);
    memory_peer_set_db(f->peer, NULL, NULL, NULL);
    leader_run_destroy(f->leader);
    memory_peer_destroy(f->peer);
    env_fault_destroy(f->fault);
    free(f);
    return 0;
}

struct repl_fetch_file fetch_fixture_table(const struct fetch_fixture *f,
                                           size_t i)
{
    const struct repl_file_entry *entry = &f->checkpoint.files[i];
    struct repl_fetch_file wanted = {
        .size = entry->size,
        .has_digest = entry->has_digest,
        .digest = entry->digest,
    };

    assert_true(i < f->checkpoint.file_count);
    (void)snprintf(wanted.name, sizeof(wanted.name), "%s", entry->name);
    return wanted;
}

struct repl_fetch_file fetch_fixture_manifest(const struct fetch_fixture *f)
{
    struct repl_fetch_file wanted = {
        .size = f->checkpoint.manifest_len,
        .is_prefix = true,
    };

    ldb_file_name_print(wanted.name, LDB_FILE_MANIFEST,
                        f->checkpoint.manifest_number);
    return wanted;
}

static void join(char out[96], const char *dir, const char *path)
{
    (void)snprintf(out, 96, "%s/%s", dir, path);
}

void fetch_fixture_leaders(struct fetch_fixture *f, const char *name,
                           struct ldb_buf *out)
{
    char path[96];

    join(path, LEADER_DIR, name);
    ldb_buf_clear(out);
    assert_ldb_ok(ldb_env_read_file(f->leader->env, path, &f->err, out),
                  &f->err);
}

bool fetch_fixture_has(struct fetch_fixture *f, struct ldb_env *env,
                       const char *path, const struct repl_fetch_file *wanted)
{
    struct ldb_buf leaders = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_buf ours = LDB_BUF_INIT(LEADER_FILE_MAX);
    char whole[96];
    enum ldb_status s;

    join(whole, FETCH_FIXTURE_DIR, path);
    s = ldb_env_read_file(env, whole, &f->err, &ours);
    if (s != LDB_NOT_FOUND) {
        assert_ldb_ok(s, &f->err);
        fetch_fixture_leaders(f, wanted->name, &leaders);
        assert_true(leaders.len >= wanted->size);
        assert_ldb_slice(ldb_slice_make(leaders.data, (size_t)wanted->size),
                         ldb_slice_of_buf(&ours));
    }
    ldb_buf_release(&leaders);
    ldb_buf_release(&ours);
    return s == LDB_OK;
}

uint64_t fetch_fixture_len(struct fetch_fixture *f, const char *path)
{
    uint64_t size = UINT64_MAX;
    char whole[96];
    enum ldb_status s;

    join(whole, FETCH_FIXTURE_DIR, path);
    s = f->env->ops->file_size(f->env, whole, &f->err, &size);
    if (s != LDB_NOT_FOUND)
        assert_ldb_ok(s, &f->err);
    return size;
}

void fetch_fixture_put(struct fetch_fixture *f, const char *path,
                       struct ldb_slice bytes)
{
    struct ldb_writable_file *file = NULL;
    char whole[96];

    join(whole, FETCH_FIXTURE_DIR, path);
    assert_ldb_ok(f->env->ops->open_writable(f->env, whole, LDB_OPEN_TRUNCATE,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_append(file, bytes, &f->err), &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
}
