/*
 * A database on a fault env of its own, with small buffers, for tests of one
 * module of storage/: as setup and teardown of a cmocka test. Everything that
 * is not expected to fail is asserted.
 */
#ifndef TESTS_SUPPORT_DB_FIXTURE_H
#define TESTS_SUPPORT_DB_FIXTURE_H

#include "storage/include/ldb.h"
#include "storage/version/file_names.h"
#include "tests/support/env_fault.h"

#define DB_FIXTURE_DIR "/db"

struct db_fixture {
    struct env_fault *fault;
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_recovery recovery; /* of the last open */
    struct ldb_db *db;            /* NULL: closed */
    struct ldb_error err;
};

/* *state becomes the fixture; the database is open and empty. */
int db_fixture_setup(void **state);
int db_fixture_teardown(void **state);

void db_fixture_open(struct db_fixture *f);
void db_fixture_close(struct db_fixture *f);
/* Both. */
void db_fixture_reopen(struct db_fixture *f);
/* Nothing unsynced is left of it; then it is open again. */
void db_fixture_power_cut(struct db_fixture *f);

/* The sequence that it got. */
ldb_sequence db_fixture_put(struct db_fixture *f, const char *key,
                            const char *value);
ldb_sequence db_fixture_delete(struct db_fixture *f, const char *key);
void db_fixture_flush(struct db_fixture *f);
/*
 * Who waits for a flush or a compaction goes on before its thread is done: the
 * old view, the old journal and the old tables go after that. Returns once no
 * flush and no compaction is under way.
 */
void db_fixture_settle(struct db_fixture *f);

/*
 * A compaction thread has looked for work since; true: it found none and none
 * runs. With several threads only "false" is sure.
 */
bool db_fixture_has_nothing_to_compact(struct db_fixture *f);

/* Puts "key000000" + n for n of [from, to), 100 bytes each. */
void db_fixture_fill(struct db_fixture *f, unsigned from, unsigned to);
/* They are all there. */
void db_fixture_assert_filled(struct db_fixture *f, unsigned from, unsigned to);

/* key has that value; NULL: it is absent. */
void db_fixture_assert_value(struct db_fixture *f, const char *key,
                             const char *value);

/* Files of that type in the folder. */
unsigned db_fixture_count_files(struct db_fixture *f, enum ldb_file_type type);

/* A file of the folder with these bytes, as if somebody had put it there. */
void db_fixture_write_file(struct db_fixture *f, const char *name,
                           struct ldb_slice bytes);
/* The bytes of one, appended to out. */
void db_fixture_read_file(struct db_fixture *f, const char *name,
                          struct ldb_buf *out);

/* Calls of the kinds whose path has that text fail from now on. */
void db_fixture_fail(struct db_fixture *f, unsigned kinds, const char *path,
                     int sys_errno);

#endif
