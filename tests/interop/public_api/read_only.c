/*
 * A database opened read-only on real files: whatever the folder is like, no
 * byte, no name and no time of it changes.
 */
#include "ldb.h"

#include <dirent.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#define PATH_SIZE  512
#define PRINT_SIZE 65536

static char folder[PATH_SIZE]; /* of the test; the database is in it, "db" */
static char db_path[PATH_SIZE];

static const char *path_of(const char *name)
{
    static char path[2][PATH_SIZE * 2];
    static unsigned turn;
    char *out = path[turn++ % 2];

    (void)snprintf(out, sizeof path[0], "%s/%s", db_path, name);
    return out;
}

static struct ldb_slice text(const char *s)
{
    return (struct ldb_slice){(const uint8_t *)s, strlen(s)};
}

/* ---- what the folder looks like ---- */

/* FNV-1a, 64 bits. */
static uint64_t hash_file(const char *path)
{
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    FILE *file = fopen(path, "rb");
    int c;

    assert_non_null(file);
    while ((c = getc(file)) != EOF)
        hash = (hash ^ (uint64_t)c) * UINT64_C(0x100000001b3);
    (void)fclose(file);
    return hash;
}

static int by_name(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

/* A line a file, and one of the folder: bytes, times of content and entry. */
static void print_folder(char out[PRINT_SIZE])
{
    struct dirent **entries = NULL;
    int count = scandir(db_path, &entries, NULL, by_name);
    size_t len = 0;

    out[0] = '\0';
    for (int i = 0; i < count; i++) {
        const char *path = path_of(entries[i]->d_name);
        struct stat st;

        assert_int_equal(0, stat(path, &st));
        if (strcmp(entries[i]->d_name, "..") != 0)
            len += (size_t)snprintf(
                out + len, PRINT_SIZE - len,
                "%s %lld bytes %lld.%09ld %lld.%09ld %016llx\n",
                entries[i]->d_name, (long long)st.st_size,
                (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec,
                (long long)st.st_ctim.tv_sec, st.st_ctim.tv_nsec,
                S_ISREG(st.st_mode) ? (unsigned long long)hash_file(path) : 0);
        assert_true(len < PRINT_SIZE);
        free(entries[i]);
    }
    free(entries);
}

/* ---- kinds of folders ---- */

static struct ldb_db *open_db(bool read_only, enum ldb_status expected)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    enum ldb_status s;

    ldb_options_init(&options);
    options.read_only = read_only;
    s = ldb_open(db_path, &options, NULL, &err, &db);
    if (s != expected)
        fail_msg("open: %s: %s", ldb_status_text(s), err.message);
    return db;
}

static void put(struct ldb_db *db, const char *key, const char *value)
{
    struct ldb_error err = {0};

    assert_int_equal(LDB_OK,
                     ldb_put(db, text(key), text(value), false, &err, NULL));
}

/* a in a table, b in the journal. */
static void fill(void)
{
    struct ldb_db *db = open_db(false, LDB_OK);
    struct ldb_error err = {0};

    put(db, "a", "1");
    assert_int_equal(LDB_OK, ldb_flush(db, &err));
    put(db, "b", "2");
    assert_int_equal(LDB_OK, ldb_close(db, &err));
}

/* The first file of that end. */
static const char *find(const char *suffix)
{
    static char name[PATH_SIZE];
    DIR *dir = opendir(db_path);
    struct dirent *entry;

    name[0] = '\0';
    assert_non_null(dir);
    while ((entry = readdir(dir)) != NULL) {
        size_t len = strlen(entry->d_name);

        if (len > strlen(suffix) &&
            strcmp(entry->d_name + len - strlen(suffix), suffix) == 0)
            (void)snprintf(name, sizeof name, "%s", entry->d_name);
    }
    (void)closedir(dir);
    assert_true(name[0] != '\0');
    return name;
}

static void write_file(const char *name, const char *mode, const char *bytes)
{
    FILE *file = fopen(path_of(name), mode);

    assert_non_null(file);
    assert_true(fputs(bytes, file) >= 0);
    assert_int_equal(0, fclose(file));
}

static void make_nothing(void)
{
}

static void make_empty(void)
{
    assert_int_equal(0, mkdir(db_path, 0755));
}

static void make_torn(void)
{
    fill();
    write_file(find(".log"), "ab", "\x01\x02\x03\x04\x05\x06\x01half");
}

static void make_unlocked(void)
{
    fill();
    assert_int_equal(0, unlink(path_of("LOCK")));
    assert_int_equal(0, unlink(path_of("LOG")));
}

static void make_old_names(void)
{
    const char *name;
    char to[PATH_SIZE];

    fill();
    name = find(".ldb");
    (void)snprintf(to, sizeof to, "%.*s.sst", (int)(strlen(name) - 4), name);
    assert_int_equal(0, rename(path_of(name), path_of(to)));
}

/* What crashes and other programs leave; opened to write it is cleared. */
static void make_strays(void)
{
    fill();
    write_file("000999.ldb", "wb", "no table");
    write_file("000998.tmp", "wb", "");
    write_file("000997.dbtmp", "wb", "");
    write_file("MANIFEST-000000", "ab", "");
    write_file("CURRENT.996", "wb", "MANIFEST-000996\n");
    write_file("notes.txt", "wb", "mine");
}

static void make_without_table(void)
{
    fill();
    assert_int_equal(0, unlink(path_of(find(".ldb"))));
}

static void make_damaged_current(void)
{
    fill();
    write_file("CURRENT", "wb", "MANIFEST-xyz\n");
    (void)unlink(path_of("CURRENT.bak"));
}

static const struct kind {
    const char *name;
    void (*make)(void);
    enum ldb_status expected;
} kinds[] = {
    {"no folder", make_nothing, LDB_NOT_FOUND},
    {"an empty folder", make_empty, LDB_NOT_FOUND},
    {"table and journal", fill, LDB_OK},
    {"a torn journal", make_torn, LDB_OK},
    {"no LOCK and no LOG", make_unlocked, LDB_OK},
    {"tables named .sst", make_old_names, LDB_OK},
    {"strays", make_strays, LDB_OK},
    {"a table missing", make_without_table, LDB_CORRUPTION},
    {"a damaged CURRENT", make_damaged_current, LDB_CORRUPTION},
};

/* ---- the test ---- */

static void assert_value(struct ldb_db *db, const char *key, const char *value)
{
    struct ldb_buf found = LDB_BUF_INIT(100);
    struct ldb_error err = {0};

    assert_int_equal(LDB_OK,
                     ldb_get(db, text(key), NULL, &err, &found, NULL, NULL));
    assert_int_equal(strlen(value), found.len);
    assert_memory_equal(value, found.data, found.len);
    ldb_buf_release(&found);
}

/* Every call that would write, had it been opened to write. */
static void use(struct ldb_db *db)
{
    struct ldb_error err = {0};
    struct ldb_cursor *cursor = NULL;
    unsigned count = 0;

    assert_value(db, "a", "1");
    assert_value(db, "b", "2");
    assert_int_equal(LDB_OK, ldb_cursor_open(db, NULL, &err, &cursor));
    for (ldb_cursor_seek_first(cursor); ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor))
        count++;
    ldb_cursor_close(cursor);
    assert_int_equal(2, count);
    assert_int_equal(LDB_READ_ONLY,
                     ldb_put(db, text("c"), text("3"), true, &err, NULL));
    assert_int_equal(LDB_READ_ONLY, ldb_flush(db, &err));
    assert_int_equal(LDB_READ_ONLY, ldb_compact_range(db, NULL, NULL, &err));
    assert_int_equal(LDB_READ_ONLY, ldb_reopen(db, NULL, &err));
}

static void remove_folder(void)
{
    char command[PATH_SIZE + 16];

    (void)snprintf(command, sizeof command, "rm -rf '%s'", folder);
    /* NOLINTNEXTLINE(cert-env33-c): a folder of our own */
    assert_int_equal(0, system(command));
}

static void no_byte_and_no_time_changes(void **state)
{
    static char before[PRINT_SIZE];
    static char after[PRINT_SIZE];

    (void)state;
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        struct ldb_error err = {0};
        struct ldb_db *db;

        (void)snprintf(folder, sizeof folder, "/tmp/leveld-read-only-XXXXXX");
        assert_non_null(mkdtemp(folder));
        (void)snprintf(db_path, sizeof db_path, "%.500s/db", folder);
        kinds[i].make();
        print_folder(before);
        db = open_db(true, kinds[i].expected);
        if (db != NULL) {
            use(db);
            assert_int_equal(LDB_OK, ldb_close(db, &err));
        }
        print_folder(after);
        if (strcmp(before, after) != 0)
            fail_msg("%s: before\n%safter\n%s", kinds[i].name, before, after);
        remove_folder();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_byte_and_no_time_changes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
