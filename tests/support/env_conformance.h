/*
 * What every struct ldb_env must do: one suite, run against each of them. It
 * holds for what is left out of the suite too: the env under test differs from
 * the others in nothing a database can see.
 */
#ifndef TESTS_SUPPORT_ENV_CONFORMANCE_H
#define TESTS_SUPPORT_ENV_CONFORMANCE_H

#include "storage/base/env.h"
#include "tests/support/temp_dir.h"

/* What a setup leaves in *state: an env and an empty directory in it. */
struct env_fixture {
    struct ldb_env *env;
    char dir[TEMP_DIR_PATH_SIZE];
};

/* Runs the suite; each test between setup and teardown. cmocka's result. */
int env_conformance_run(const char *name, int (*setup)(void **state),
                        int (*teardown)(void **state));

/* ---- helpers for tests of files; a failure fails the test ---- */

/* "DIR/name"; valid until the next 8 calls. Not for threads. */
const char *env_path(const struct env_fixture *fixture, const char *name);

/* Makes a file of exactly text; synced when asked. */
void env_put_file(struct ldb_env *env, const char *path, const char *text,
                  bool synced);

/* The file holds exactly text; NULL: there is no such file. */
void env_assert_file(struct ldb_env *env, const char *path, const char *text);

#endif
