#include "tests/support/temp_dir.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "tests/support/assert_ldb.h"

/* Directories that nftw() holds open at once; chosen. */
#define WALK_DEPTH 16

void temp_dir_create(struct temp_dir *dir)
{
    const char *base = getenv("TMPDIR");
    int len;

    if (base == NULL || base[0] == '\0')
        base = "/tmp";
    len = snprintf(dir->path, sizeof(dir->path), "%s/leveld-test-XXXXXX", base);
    assert_in_range(len, 1, sizeof(dir->path) - 1);
    assert_non_null(mkdtemp(dir->path));
}

static int remove_one(const char *path, const struct stat *status, int type,
                      struct FTW *walk)
{
    (void)status;
    (void)type;
    (void)walk;
    return remove(path);
}

void temp_dir_remove(struct temp_dir *dir)
{
    assert_int_equal(
        nftw(dir->path, remove_one, WALK_DEPTH, FTW_DEPTH | FTW_PHYS), 0);
}

const char *temp_dir_join(const struct temp_dir *dir, const char *name,
                          char *out)
{
    int len = snprintf(out, TEMP_DIR_PATH_SIZE, "%s/%s", dir->path, name);

    assert_in_range(len, 1, TEMP_DIR_PATH_SIZE - 1);
    return out;
}
