#include "replication/digest_file.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/retained.h"

/* In dir, or in folder of it. */
static enum ldb_status open_as(struct ldb_env *env, const char *dir,
                               const char *folder, enum ldb_file_type type,
                               uint64_t number, struct ldb_error *err,
                               struct ldb_sequential_file **out)
{
    char name[LDB_FILE_NAME_SIZE];
    char *path;
    enum ldb_status s;

    ldb_file_name_print(name, type, number);
    path = ldb_mem_printf("%s/%s%s", dir, folder, name);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->open_sequential(env, path, err, out);
    ldb_mem_free(path);
    return s;
}

static enum ldb_status open_file(struct ldb_env *env, const char *dir,
                                 const struct repl_digest_file *file,
                                 struct ldb_error *err,
                                 struct ldb_sequential_file **out)
{
    enum ldb_status s =
        open_as(env, dir, "", file->type, file->number, err, out);

    if (s != LDB_NOT_FOUND)
        return s;
    if (file->type == LDB_FILE_TABLE)
        return open_as(env, dir, "", LDB_FILE_TABLE_SST, file->number, err,
                       out);
    /* It has its name in the archive before that in the folder goes. */
    return open_as(env, dir, LDB_ARCHIVE_FOLDER "/", LDB_FILE_JOURNAL,
                   file->number, err, out);
}

static enum ldb_status read_bytes(struct ldb_sequential_file *file,
                                  const struct repl_digest_file *wanted,
                                  const struct repl_digest_reading *reading,
                                  struct ldb_error *err,
                                  struct ldb_digester *digester)
{
    bool is_table = wanted->type == LDB_FILE_TABLE;
    uint64_t left = wanted->size;
    size_t got = 1;

    /* A table is read until it ends. */
    while (left > 0 || (is_table && got > 0)) {
        enum ldb_status s;

        if (!reading->goes_on(reading->context))
            return ldb_error_set(err, LDB_CANCELLED, "given up");
        s = ldb_sequential_read(file, REPL_DIGEST_READ_SIZE, reading->scratch,
                                &got, err);
        if (s != LDB_OK)
            return s;
        if (got == 0 && left > 0)
            return ldb_error_set(err, LDB_CORRUPTION,
                                 "it ends at byte %" PRIu64 " of %" PRIu64,
                                 wanted->size - left, wanted->size);
        if (got > left && is_table)
            return ldb_error_set(err, LDB_CORRUPTION,
                                 "it goes on behind byte %" PRIu64,
                                 wanted->size);
        if (got > left)
            got = (size_t)left;
        ldb_digester_add(digester, ldb_slice_make(reading->scratch, got));
        left -= got;
    }
    return LDB_OK;
}

enum ldb_status repl_digest_file_read(struct ldb_env *env, const char *dir,
                                      const struct repl_digest_file *file,
                                      const struct repl_digest_reading *reading,
                                      struct ldb_error *err,
                                      struct ldb_digest *out)
{
    struct ldb_sequential_file *opened = NULL;
    struct ldb_digester *digester = ldb_digester_create();
    char name[LDB_FILE_NAME_SIZE];
    enum ldb_status s;

    if (digester == NULL)
        s = ldb_error_no_memory(err);
    else
        s = open_file(env, dir, file, err, &opened);
    if (s == LDB_OK)
        s = read_bytes(opened, file, reading, err, digester);
    if (s == LDB_OK)
        *out = ldb_digester_result(digester);
    if (opened != NULL)
        ldb_sequential_close(opened);
    ldb_digester_destroy(digester);
    if (s == LDB_OK)
        return LDB_OK;
    ldb_file_name_print(name, file->type, file->number);
    return ldb_error_prefix(err, s, "digest of %s", name);
}
