/*
 * A version with real tables in memory, written as texts: a table is
 * "a@9=one b@8d c@7=three", its entries in order (a put and its value; a
 * delete mark).
 */
#ifndef TESTS_SUPPORT_VERSION_TABLES_H
#define TESTS_SUPPORT_VERSION_TABLES_H

#include "storage/table/table_cache.h"
#include "storage/version/version.h"

#define VERSION_TABLES_DIR "/db"

struct version_tables {
    struct ldb_env *env;
    struct ldb_table_options options;
    struct ldb_table_cache *cache;
    struct ldb_table_read read;
    struct ldb_version_edit edit;
};

void version_tables_init(struct version_tables *tables);
/* The versions made of it are gone. */
void version_tables_release(struct version_tables *tables);

/* Writes table number and adds it to the level of the next version. */
void version_tables_add(struct version_tables *tables, uint32_t level,
                        uint64_t number, const char *entries);

/* Flips a bit in the table's first data block. */
void version_tables_damage(struct version_tables *tables, uint64_t number);

/* The version of all tables added so far; one reference. */
struct ldb_version *version_tables_make(struct version_tables *tables);

/*
 * All entries from the iterator's position on, as the texts above; backwards:
 * from there to the start. out is appended to.
 */
void version_tables_walk(struct ldb_iterator *it, bool backwards,
                         struct ldb_buf *out);

#endif
