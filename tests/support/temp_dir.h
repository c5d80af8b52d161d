/*
 * A directory of its own for a test, under $TMPDIR or /tmp, removed with all
 * that is in it.
 */
#ifndef TESTS_SUPPORT_TEMP_DIR_H
#define TESTS_SUPPORT_TEMP_DIR_H

#define TEMP_DIR_PATH_SIZE 256

struct temp_dir {
    char path[TEMP_DIR_PATH_SIZE];
};

/* Makes it; a failure fails the test. */
void temp_dir_create(struct temp_dir *dir);

/* Removes it and everything below. */
void temp_dir_remove(struct temp_dir *dir);

/* "PATH/name" into out, which has TEMP_DIR_PATH_SIZE bytes; returns out. */
const char *temp_dir_join(const struct temp_dir *dir, const char *name,
                          char *out);

#endif
