/* A closed database on disk, as the offline commands find one. */
#ifndef TESTS_SUPPORT_SMALL_DB_H
#define TESTS_SUPPORT_SMALL_DB_H

#include "tests/support/temp_dir.h"

struct small_db {
    struct temp_dir dir;
    char path[TEMP_DIR_PATH_SIZE]; /* of the database, which is in dir */
};

/*
 * a=1 and b=2 in table 000003.ldb; in journal 000002.log the delete of a and a
 * put of the key "\xff\0\x7f" with no value.
 */
void small_db_create(struct small_db *db);
void small_db_remove(struct small_db *db);

#endif
