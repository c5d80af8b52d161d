#include "storage/folder_files.h"

#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

static enum ldb_status add_name(void *context, const char *name)
{
    struct ldb_folder_files *out = context;
    struct ldb_folder_file file = {.type = LDB_FILE_FOREIGN};
    struct ldb_folder_file *more;

    file.type = ldb_file_name_parse(name, &file.number);
    if (file.type == LDB_FILE_FOREIGN)
        return LDB_OK;
    /* Doubling: the array is full whenever the count is a power of two. */
    if ((out->count & (out->count - 1)) == 0) {
        more = ldb_mem_realloc(out->files, out->count == 0 ? 1 : out->count * 2,
                               sizeof(*more));
        if (more == NULL)
            return LDB_NO_MEMORY;
        out->files = more;
    }
    out->files[out->count++] = file;
    return LDB_OK;
}

static int compare_files(const void *a, const void *b)
{
    const struct ldb_folder_file *left = a;
    const struct ldb_folder_file *right = b;

    if (left->type != right->type)
        return left->type < right->type ? -1 : 1;
    return (left->number > right->number) - (left->number < right->number);
}

enum ldb_status ldb_folder_files_list(struct ldb_env *env, const char *dir,
                                      struct ldb_error *err,
                                      struct ldb_folder_files *out)
{
    enum ldb_status s;

    *out = (struct ldb_folder_files){0};
    s = env->ops->list_dir(env, dir, add_name, out, err);
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s == LDB_OK && out->count > 0)
        qsort(out->files, out->count, sizeof(*out->files), compare_files);
    return s;
}

void ldb_folder_files_release(struct ldb_folder_files *files)
{
    ldb_mem_free(files->files);
    *files = (struct ldb_folder_files){0};
}

bool ldb_folder_files_has(const struct ldb_folder_files *files,
                          enum ldb_file_type type, uint64_t number)
{
    const struct ldb_folder_file key = {.type = type, .number = number};

    return files->count > 0 && bsearch(&key, files->files, files->count,
                                       sizeof(key), compare_files) != NULL;
}

bool ldb_folder_files_has_table(const struct ldb_folder_files *files,
                                uint64_t number)
{
    return ldb_folder_files_has(files, LDB_FILE_TABLE, number) ||
           ldb_folder_files_has(files, LDB_FILE_TABLE_SST, number);
}

uint64_t ldb_folder_files_max(const struct ldb_folder_files *files)
{
    uint64_t max = 0;

    for (size_t i = 0; i < files->count; i++) {
        if (files->files[i].number > max)
            max = files->files[i].number;
    }
    return max;
}

bool ldb_folder_file_is_data(enum ldb_file_type type)
{
    switch (type) {
    case LDB_FILE_JOURNAL:
    case LDB_FILE_TABLE:
    case LDB_FILE_TABLE_SST:
    case LDB_FILE_MANIFEST:
    case LDB_FILE_CURRENT:
    case LDB_FILE_CURRENT_BAK:
    case LDB_FILE_CURRENT_NEXT:
        return true;
    case LDB_FILE_FOREIGN:
    case LDB_FILE_DBTMP:
    case LDB_FILE_TMP:
    case LDB_FILE_LOCK:
    case LDB_FILE_LOG:
        break;
    }
    return false;
}

bool ldb_folder_files_is_database(const struct ldb_folder_files *files)
{
    for (size_t i = 0; i < files->count; i++) {
        if (ldb_folder_file_is_data(files->files[i].type))
            return true;
    }
    return false;
}

static enum ldb_status open_as(struct ldb_env *env, const char *dir,
                               enum ldb_file_type type, uint64_t number,
                               struct ldb_error *err, uint64_t *out_size,
                               struct ldb_random_file **out)
{
    char *path = ldb_file_path(dir, type, number);
    uint64_t size = 0;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->file_size(env, path, err, &size);
    if (s == LDB_OK)
        s = env->ops->open_random(env, path, err, out);
    if (s == LDB_OK)
        *out_size = size;
    ldb_mem_free(path);
    return s;
}

enum ldb_status ldb_folder_open_table(struct ldb_env *env, const char *dir,
                                      uint64_t number, struct ldb_error *err,
                                      char out_name[LDB_FILE_NAME_SIZE],
                                      uint64_t *out_size,
                                      struct ldb_random_file **out)
{
    enum ldb_status s;

    ldb_file_name_print(out_name, LDB_FILE_TABLE, number);
    s = open_as(env, dir, LDB_FILE_TABLE, number, err, out_size, out);
    if (s != LDB_NOT_FOUND)
        return s;
    s = open_as(env, dir, LDB_FILE_TABLE_SST, number, err, out_size, out);
    if (s == LDB_OK)
        ldb_file_name_print(out_name, LDB_FILE_TABLE_SST, number);
    return s;
}
