#include "tests/support/oracles.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "storage/base/env.h"
#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/temp_dir.h"

static const char *oracles_dir(void)
{
    const char *dir = getenv("LEVELD_ORACLE_DIR");

    return dir == NULL ? "" : dir;
}

bool oracles_are_there(void)
{
    char path[1024];

    (void)snprintf(path, sizeof(path), "%s/ldbgo", oracles_dir());
    if (access(path, X_OK) == 0)
        return true;
    print_message("skip: no oracles in LEVELD_ORACLE_DIR; build them with "
                  "tests/interop/oracle/build.sh\n");
    return false;
}

/* ---- our dump ---- */

static void append_hex(struct ldb_buf *out, struct ldb_slice bytes, char end)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *p = NULL;

    assert_int_equal(ldb_buf_extend(out, 2 * bytes.len + 1, &p), LDB_OK);
    for (size_t i = 0; i < bytes.len; i++) {
        *p++ = (uint8_t)digits[bytes.data[i] >> 4];
        *p++ = (uint8_t)digits[bytes.data[i] & 15];
    }
    *p = (uint8_t)end;
}

void oracles_dump_ours(struct ldb_db *db, struct ldb_buf *out)
{
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_cursor_open(db, NULL, &err, &cursor), &err);
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor)) {
        append_hex(out, ldb_cursor_key(cursor), '\t');
        append_hex(out, ldb_cursor_value(cursor), '\n');
    }
    assert_ldb_ok(ldb_cursor_status(cursor, &err), &err);
    ldb_cursor_close(cursor);
}

/* ---- theirs ---- */

struct copying {
    struct ldb_env *env;
    const char *from;
    const struct temp_dir *to;
};

static enum ldb_status copy_file(void *context, const char *name)
{
    const struct copying *copying = context;
    struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);
    char from[TEMP_DIR_PATH_SIZE];
    char to[TEMP_DIR_PATH_SIZE];
    struct ldb_error err = {0};
    uint64_t number;
    FILE *file;

    /* The folder leveld/ is nothing to them. */
    if (ldb_file_name_parse(name, &number) == LDB_FILE_FOREIGN)
        return LDB_OK;
    (void)snprintf(from, sizeof(from), "%s/%s", copying->from, name);
    assert_ldb_ok(ldb_env_read_file(copying->env, from, &err, &bytes), &err);
    file = fopen(temp_dir_join(copying->to, name, to), "wb");
    assert_non_null(file);
    if (bytes.len > 0)
        assert_int_equal(fwrite(bytes.data, 1, bytes.len, file), bytes.len);
    assert_int_equal(fclose(file), 0);
    ldb_buf_release(&bytes);
    return LDB_OK;
}

static char complaint[512];

/* Runs a program on dir; its output without lines that begin with '#'. NULL,
 * or why it failed. */
static const char *run(const char *program, const char *verb, const char *dir,
                       struct ldb_buf *out)
{
    char command[1024];
    char *line = NULL;
    size_t room = 0;
    ssize_t len;
    char last[200] = "";
    FILE *pipe;

    (void)snprintf(command, sizeof(command), "'%s/%s' %s '%s' 2>&1",
                   oracles_dir(), program, verb, dir);
    pipe = popen(command, "r"); /* NOLINT(cert-env33-c): paths of our own */
    assert_non_null(pipe);
    while ((len = getline(&line, &room, pipe)) > 0) {
        (void)snprintf(last, sizeof(last), "%s", line);
        if (line[0] != '#')
            assert_int_equal(
                ldb_buf_append(out, ldb_slice_make(line, (size_t)len)), LDB_OK);
    }
    free(line);
    if (pclose(pipe) == 0)
        return NULL;
    (void)snprintf(complaint, sizeof(complaint), "%s %s: %s", program, verb,
                   last);
    return complaint;
}

static const char *compare_one(const char *program, bool is_go, const char *dir,
                               struct ldb_slice ours)
{
    struct ldb_buf theirs = LDB_BUF_INIT(ORACLES_DUMP_MAX);
    const char *why =
        run(program, is_go ? "check --strict default" : "check", dir, &theirs);

    ldb_buf_clear(&theirs);
    if (why == NULL)
        why = run(program, is_go ? "dump --strict default" : "dump", dir,
                  &theirs);
    if (why == NULL && !ldb_slice_equal(ours, ldb_slice_of_buf(&theirs))) {
        (void)snprintf(complaint, sizeof(complaint),
                       "%s reads another content: %zu bytes of dump, ours has "
                       "%zu",
                       program, theirs.len, ours.len);
        why = complaint;
    }
    ldb_buf_release(&theirs);
    return why;
}

const char *oracles_compare(struct ldb_env *env, const char *dir,
                            struct ldb_slice ours)
{
    struct temp_dir copy;
    struct copying copying = {.env = env, .from = dir, .to = &copy};
    const char *why;

    temp_dir_create(&copy);
    assert_int_equal(env->ops->list_dir(env, dir, copy_file, &copying, NULL),
                     LDB_OK);
    why = compare_one("ldbgo", true, copy.path, ours);
    if (why == NULL)
        why = compare_one("ldbcpp", false, copy.path, ours);
    temp_dir_remove(&copy);
    return why;
}
