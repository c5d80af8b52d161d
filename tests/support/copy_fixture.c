#include "tests/support/copy_fixture.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "replication/folder_peer.h"
#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"

#define PATH_SIZE 128
#define FILE_MAX  ((size_t)16 << 20)

#define ARCHIVE "/leveld/archive"

/* ---- the leader ---- */

static void begin(struct copy_fixture *f)
{
    struct ldb_recovery found = {0};
    struct ldb_stats stats;
    bool is_new = false;

    assert_ldb_ok(repl_node_load(&f->node, f->env, COPY_LEADER_DIR, &f->err),
                  &f->err);
    assert_ldb_ok(
        ldb_open(COPY_LEADER_DIR, &f->options, &found, &f->err, &f->db),
        &f->err);
    ldb_stats(f->db, &stats);
    assert_ldb_ok(repl_node_begin(&f->node, &found, stats.journal_number + 1,
                                  &f->err, &f->epoch, &is_new),
                  &f->err);
    assert_ldb_ok(ldb_raise_sequence(f->db, f->epoch.base, &f->err), &f->err);
}

void copy_open(struct copy_fixture *f)
{
    *f = (struct copy_fixture){0};
    assert_ldb_ok(ldb_env_memory_create(&f->err, &f->env), &f->err);
    ldb_options_init(&f->options);
    f->options.env = f->env;
    f->options.write_buffer_bytes = 64 << 10;
    f->options.archive_bytes = 1 << 20;
    f->options.archive_age_us = UINT64_C(3600) * 1000000;
    begin(f);
    assert_ldb_ok(f->env->ops->create_dir(f->env, COPY_DIR, &f->err), &f->err);
    assert_ldb_ok(repl_folder_peer_create(f->env, COPY_DIR, &f->err, &f->peer),
                  &f->err);
    assert_ldb_ok(f->peer->open(f->peer, &f->err, &f->files), &f->err);
}

void copy_stop(struct copy_fixture *f)
{
    ldb_sequence last;

    if (f->db == NULL)
        return;
    last = ldb_last_sequence(f->db);
    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    f->db = NULL;
    assert_ldb_ok(repl_node_end(&f->node, last, &f->err), &f->err);
    repl_node_release(&f->node);
}

void copy_restart(struct copy_fixture *f)
{
    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    f->db = NULL;
    repl_node_release(&f->node); /* no mark: so it is a new epoch */
    begin(f);
}

void copy_close(struct copy_fixture *f)
{
    copy_stop(f);
    f->files->ops->destroy(f->files);
    repl_peer_destroy(f->peer);
    ldb_env_memory_destroy(f->env);
}

void copy_write(struct copy_fixture *f, unsigned count)
{
    char key[32];
    char value[200];

    for (unsigned i = 0; i < count; i++) {
        (void)snprintf(key, sizeof(key), "key%08u", f->written++);
        memset(value, 'a' + (int)(f->written % 26), sizeof(value));
        assert_ldb_ok(ldb_put(f->db, ldb_slice_str(key),
                              ldb_slice_make(value, sizeof(value)),
                              i + 1 == count, &f->err, NULL),
                      &f->err);
    }
}

/* ---- the copy ---- */

static void path_in(const char *dir, const char *name, char out[PATH_SIZE])
{
    int n = snprintf(out, PATH_SIZE, "%s/%s", dir, name);

    assert_true(n > 0 && n < PATH_SIZE);
}

static void write_file(struct copy_fixture *f, const char *path,
                       struct ldb_slice bytes)
{
    struct ldb_writable_file *file = NULL;

    assert_ldb_ok(f->env->ops->open_writable(f->env, path, LDB_OPEN_TRUNCATE,
                                             &f->err, &file),
                  &f->err);
    assert_ldb_ok(ldb_file_append(file, bytes, &f->err), &f->err);
    assert_ldb_ok(ldb_file_close(file, &f->err), &f->err);
}

void copy_put(struct copy_fixture *f, const char *name, struct ldb_slice bytes)
{
    char path[PATH_SIZE];

    path_in(COPY_DIR, name, path);
    write_file(f, path, bytes);
}

void copy_leaders_file(struct copy_fixture *f, const char *name,
                       struct ldb_buf *out)
{
    char path[PATH_SIZE];

    path_in(COPY_LEADER_DIR, name, path);
    ldb_buf_clear(out);
    assert_ldb_ok(ldb_env_read_file(f->env, path, &f->err, out), &f->err);
}

void copy_take_file(struct copy_fixture *f, const char *name, uint64_t len)
{
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);

    copy_leaders_file(f, name, &bytes);
    copy_put(f, name,
             ldb_slice_make(bytes.data, len < bytes.len ? len : bytes.len));
    ldb_buf_release(&bytes);
}

void copy_remove(struct copy_fixture *f, const char *name)
{
    char path[PATH_SIZE];

    path_in(COPY_DIR, name, path);
    assert_ldb_ok(f->env->ops->remove_file(f->env, path, &f->err), &f->err);
}

uint64_t copy_leaders_len(struct copy_fixture *f, const char *name)
{
    char path[PATH_SIZE];
    uint64_t size = UINT64_MAX;
    enum ldb_status s;

    path_in(COPY_LEADER_DIR, name, path);
    s = f->env->ops->file_size(f->env, path, &f->err, &size);
    assert_true(s == LDB_OK || s == LDB_NOT_FOUND);
    return size;
}

/* ---- names ---- */

#define NAMES_MAX 512

struct names {
    char of[NAMES_MAX][LDB_FILE_NAME_SIZE];
    size_t count;
};

static enum ldb_status add_name(void *context, const char *name)
{
    struct names *names = context;

    assert_true(names->count < NAMES_MAX);
    (void)snprintf(names->of[names->count++], LDB_FILE_NAME_SIZE, "%s", name);
    return LDB_OK;
}

static int by_name(const void *a, const void *b)
{
    return strcmp(a, b);
}

/* A file of the leader's, a folder's path before its name; false: it has gone,
 * or is a folder. */
static bool take_one(struct copy_fixture *f, const char *folder,
                     const char *name)
{
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    char dir[PATH_SIZE];
    char path[PATH_SIZE];
    uint64_t size;
    bool is_there;

    (void)snprintf(dir, sizeof(dir), COPY_LEADER_DIR "%s", folder);
    path_in(dir, name, path);
    is_there = f->env->ops->file_size(f->env, path, NULL, &size) == LDB_OK &&
               ldb_env_read_file(f->env, path, NULL, &bytes) == LDB_OK;
    if (is_there) {
        (void)snprintf(dir, sizeof(dir), COPY_DIR "%s", folder);
        assert_ldb_ok(f->env->ops->create_dir(f->env, dir, &f->err), &f->err);
        path_in(dir, name, path);
        write_file(f, path, ldb_slice_of_buf(&bytes));
    }
    ldb_buf_release(&bytes);
    return is_there;
}

static void list_names(struct copy_fixture *f, const char *folder,
                       struct names *out)
{
    char from[PATH_SIZE];

    out->count = 0;
    (void)snprintf(from, sizeof(from), COPY_LEADER_DIR "%s", folder);
    (void)f->env->ops->list_dir(f->env, from, add_name, out, &f->err);
    qsort(out->of, out->count, sizeof(out->of[0]), by_name);
}

static void take_names(struct copy_fixture *f, const char *folder,
                       const struct names *names)
{
    for (size_t i = 0; i < names->count; i++) {
        if (!take_one(f, folder, names->of[i]))
            (void)take_one(f, ARCHIVE, names->of[i]);
    }
}

/*
 * Who reads the copy meanwhile sees no journal before all of the one before it
 * is there, in the archive or beside it: the archive is taken first, then by
 * name, and what moves to the archive meanwhile is taken from there at once.
 */
void copy_take(struct copy_fixture *f)
{
    static struct names own;
    static struct names names;

    list_names(f, "", &own);
    list_names(f, "/leveld", &names);
    take_names(f, "/leveld", &names);
    list_names(f, ARCHIVE, &names); /* none: nothing was archived yet */
    take_names(f, ARCHIVE, &names);
    take_names(f, "", &own);
}

uint64_t copy_journal(struct copy_fixture *f, unsigned i)
{
    static struct names names;
    uint64_t found = 0;

    names.count = 0;
    assert_ldb_ok(f->env->ops->list_dir(f->env, COPY_LEADER_DIR, add_name,
                                        &names, &f->err),
                  &f->err);
    for (unsigned n = 0; n <= i; n++) {
        uint64_t next = UINT64_MAX;

        for (size_t k = 0; k < names.count; k++) {
            uint64_t number;

            if (ldb_file_name_parse(names.of[k], &number) == LDB_FILE_JOURNAL &&
                number > found && number < next)
                next = number;
        }
        if (next == UINT64_MAX)
            return 0;
        found = next;
    }
    return found;
}
