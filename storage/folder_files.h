/*
 * The files of a database folder, or of its archive, as its names tell. Private
 * to storage/.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef STORAGE_FOLDER_FILES_H
#define STORAGE_FOLDER_FILES_H

#include "storage/base/env.h"
#include "storage/version/file_names.h"

struct ldb_folder_file {
    enum ldb_file_type type;
    uint64_t number;
};

/* Ascending by type, then number; foreign names are left out. */
struct ldb_folder_files {
    struct ldb_folder_file *files;
    size_t count;
};

/* Release also after a failure. */
LDB_MUST_CHECK enum ldb_status
ldb_folder_files_list(struct ldb_env *env, const char *dir,
                      struct ldb_error *err, struct ldb_folder_files *out);
void ldb_folder_files_release(struct ldb_folder_files *files);

bool ldb_folder_files_has(const struct ldb_folder_files *files,
                          enum ldb_file_type type, uint64_t number);
/* As .ldb or .sst. */
bool ldb_folder_files_has_table(const struct ldb_folder_files *files,
                                uint64_t number);
/* The greatest number in any name. */
uint64_t ldb_folder_files_max(const struct ldb_folder_files *files);
/* A journal, a table, a MANIFEST or a CURRENT: no lock, LOG or temporary file,
 * which every file of a database replaces or is made before. */
bool ldb_folder_file_is_data(enum ldb_file_type type);
/* One of those: it is, or was, a database. */
bool ldb_folder_files_is_database(const struct ldb_folder_files *files);

/*
 * Opens table number, NNNNNN.ldb or else NNNNNN.sst. NOT_FOUND: neither is
 * there. out_name: which of them.
 */
LDB_MUST_CHECK enum ldb_status
ldb_folder_open_table(struct ldb_env *env, const char *dir, uint64_t number,
                      struct ldb_error *err, char out_name[LDB_FILE_NAME_SIZE],
                      uint64_t *out_size, struct ldb_random_file **out);

#endif
