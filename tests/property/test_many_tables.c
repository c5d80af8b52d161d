/*
 * A database of very many small tables opens within bounded memory, and without
 * opening any table: what it costs grows with the MANIFEST alone.
 *
 * LEVELD_TABLES=100000 is the long form; how long it takes is measured by
 * bench/open.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "storage/include/ldb.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/temp_dir.h"

#define TABLES       2000 /* short form */
#define VALUE_LEN    4000 /* a table each */
#define MEMORY_MAX   ((uint64_t)200 << 20)
#define OPENS_MAX    20 /* files; and lengths asked for */
#define LISTINGS_MAX 5  /* the archive's with it */

static uint64_t table_count(void)
{
    const char *text = getenv("LEVELD_TABLES");

    return text == NULL ? TABLES : strtoull(text, NULL, 10);
}

static void options_of(uint64_t count, struct ldb_options *options)
{
    ldb_options_init(options);
    options->no_sync = true;
    options->compress = false;
    options->block_bytes = 1024; /* one entry a block, and a table */
    options->table_bytes = 1024;
    options->write_buffer_bytes = (size_t)(count * (VALUE_LEN + 200) + 65536);
    options->level1_bytes = UINT64_C(1) << 40;
    options->l0_compaction_trigger = 10;
}

static struct ldb_slice key_of(uint64_t n, char out[32])
{
    (void)snprintf(out, 32, "key%08" PRIu64, n);
    return ldb_slice_str(out);
}

/* The even keys, then the odd ones: tables that have to be merged. */
static enum ldb_status put_half(struct ldb_db *db, uint64_t from,
                                uint64_t count)
{
    static char value[VALUE_LEN];
    enum ldb_status s = LDB_OK;
    char key[32];

    for (uint64_t n = from; s == LDB_OK && n < count; n += 2)
        s = ldb_put(db, key_of(n, key), ldb_slice_make(value, VALUE_LEN), false,
                    NULL, NULL);
    return s == LDB_OK ? ldb_flush(db, NULL) : s;
}

static enum ldb_status fill(const char *path, uint64_t count)
{
    struct ldb_options options;
    struct ldb_db *db = NULL;
    enum ldb_status s, closed;

    options_of(count, &options);
    s = ldb_open(path, &options, NULL, NULL, &db);
    if (s != LDB_OK)
        return s;
    s = put_half(db, 0, count);
    if (s == LDB_OK)
        s = put_half(db, 1, count);
    if (s == LDB_OK)
        s = ldb_compact_range(db, NULL, NULL, NULL);
    closed = ldb_close(db, NULL);
    return s == LDB_OK ? closed : s;
}

/* In a process of its own: what it allocated is not in the way. */
static void fill_apart(const char *path, uint64_t count)
{
    pid_t child = fork();
    int status = 0;

    assert_true(child >= 0);
    if (child == 0)
        _exit(fill(path, count) == LDB_OK ? 0 : 1);
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

/* Of this process, in no file. */
static uint64_t memory_bytes(void)
{
    static const char name[] = "RssAnon:";
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    uint64_t kib = 0;

    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        if (strncmp(line, name, sizeof(name) - 1) == 0)
            kib = strtoull(line + sizeof(name) - 1, NULL, 10);
    }
    (void)fclose(file);
    assert_true(kib > 0);
    return kib << 10;
}

static uint64_t counted(struct env_fault *fault, enum env_fault_kind kind)
{
    return env_fault_count(fault, ENV_FAULT_BIT(kind));
}

static void assert_costs(struct env_fault *fault, uint64_t before)
{
    uint64_t after = memory_bytes();

    print_message("%.1f MiB more\n",
                  after < before ? 0 : (double)(after - before) / 1048576);
    assert_true(after < before + MEMORY_MAX);
    assert_true(counted(fault, ENV_FAULT_OPEN_RANDOM) +
                    counted(fault, ENV_FAULT_OPEN_SEQUENTIAL) +
                    counted(fault, ENV_FAULT_OPEN_WRITABLE) <=
                OPENS_MAX);
    assert_true(counted(fault, ENV_FAULT_FILE_SIZE) <= OPENS_MAX);
    assert_in_range(counted(fault, ENV_FAULT_LIST_DIR), 1, LISTINGS_MAX);
}

static void many_tables_open_without_a_look_at_each(void **state)
{
    uint64_t count = table_count();
    struct env_fault *fault = env_fault_create(ldb_env_posix());
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    struct ldb_stats stats;
    struct temp_dir dir;
    char path[TEMP_DIR_PATH_SIZE];
    uint64_t tables = 0;
    uint64_t before;
    char key[32];

    (void)state;
    print_message("LEVELD_TABLES=%" PRIu64 "%s\n", count,
                  count == TABLES ? ", the short form" : "");
    temp_dir_create(&dir);
    (void)temp_dir_join(&dir, "db", path);
    fill_apart(path, count);
    options_of(count, &options);
    options.env = env_fault_env(fault);
    options.no_sync = false;
    before = memory_bytes();
    assert_ldb_ok(ldb_open(path, &options, NULL, &err, &db), &err);
    assert_costs(fault, before);
    ldb_stats(db, &stats);
    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++)
        tables += stats.levels[level].tables;
    assert_in_range(tables, count * 9 / 10, count + 1);
    for (uint64_t n = 0; n < count; n += count / 100)
        assert_ldb_ok(ldb_get(db, key_of(n, key), NULL, &err, NULL, NULL, NULL),
                      &err);
    assert_ldb_ok(ldb_close(db, &err), &err);
    temp_dir_remove(&dir);
    env_fault_destroy(fault);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(many_tables_open_without_a_look_at_each),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
