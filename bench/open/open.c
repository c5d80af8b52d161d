/*
 * How long it takes to open a database of many small tables:
 *
 *   open FOLDER [TABLES [ROUNDS]]
 *
 * makes it where there is none (100,000 tables of 4 KiB), then opens and closes
 * it ROUNDS (5) times. A line a round: wall clock and processor time of the
 * open, what the process holds in memory more for it, and the close.
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "ldb.h"

#define VALUE_LEN 4000

static void check(const char *what, enum ldb_status s,
                  const struct ldb_error *err)
{
    if (s == LDB_OK)
        return;
    fprintf(stderr, "%s: %s\n", what, err->message);
    exit(1);
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

static void put_half(struct ldb_db *db, uint64_t from, uint64_t count)
{
    static uint8_t value[VALUE_LEN];
    struct ldb_error err = {0};
    char key[32];

    for (uint64_t n = from; n < count; n += 2) {
        int len = snprintf(key, sizeof(key), "key%08" PRIu64, n);

        check("put",
              ldb_put(db, (struct ldb_slice){(const uint8_t *)key, (size_t)len},
                      (struct ldb_slice){value, VALUE_LEN}, false, &err, NULL),
              &err);
    }
    check("flush", ldb_flush(db, &err), &err);
}

/* The even keys, then the odd ones: tables that have to be merged. */
static void fill(const char *path, uint64_t count)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    options_of(count, &options);
    check("make", ldb_open(path, &options, NULL, &err, &db), &err);
    put_half(db, 0, count);
    put_half(db, 1, count);
    check("compact", ldb_compact_range(db, NULL, NULL, &err), &err);
    check("close", ldb_close(db, &err), &err);
}

static double now(clockid_t clock)
{
    struct timespec t;

    clock_gettime(clock, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static double memory_mib(void)
{
    FILE *file = fopen("/proc/self/status", "r");
    char line[256];
    long kib = 0;

    while (file != NULL && fgets(line, sizeof(line), file) != NULL)
        (void)sscanf(line, "RssAnon: %ld", &kib);
    if (file != NULL)
        fclose(file);
    return (double)kib / 1024;
}

static void open_once(const char *path, uint64_t count)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    struct ldb_stats stats;
    uint64_t tables = 0;
    double memory, wall, cpu, opened;

    options_of(count, &options);
    options.create_if_missing = false;
    options.no_sync = false;
    memory = memory_mib();
    cpu = now(CLOCK_PROCESS_CPUTIME_ID);
    wall = now(CLOCK_MONOTONIC);
    check("open", ldb_open(path, &options, NULL, &err, &db), &err);
    opened = now(CLOCK_MONOTONIC);
    cpu = now(CLOCK_PROCESS_CPUTIME_ID) - cpu;
    memory = memory_mib() - memory;
    ldb_stats(db, &stats);
    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++)
        tables += stats.levels[level].tables;
    printf("tables %" PRIu64 " open_ms %.1f cpu_ms %.1f memory_mib %.1f",
           tables, opened - wall, cpu, memory);
    wall = now(CLOCK_MONOTONIC);
    check("close", ldb_close(db, &err), &err);
    printf(" close_ms %.1f\n", now(CLOCK_MONOTONIC) - wall);
    fflush(stdout);
}

/* Each in a process of its own, with memory of its own. */
static void apart(void (*run)(const char *path, uint64_t count),
                  const char *path, uint64_t count)
{
    pid_t child = fork();
    int status = 1;

    if (child == 0) {
        run(path, count);
        exit(0);
    }
    if (child < 0 || waitpid(child, &status, 0) != child || status != 0)
        exit(1);
}

int main(int argc, char **argv)
{
    uint64_t count = argc > 2 ? strtoull(argv[2], NULL, 10) : 100000;
    int rounds = argc > 3 ? atoi(argv[3]) : 5;

    if (argc < 2) {
        fprintf(stderr, "usage: open FOLDER [TABLES [ROUNDS]]\n");
        return 2;
    }
    if (access(argv[1], F_OK) != 0)
        apart(fill, argv[1], count);
    for (int i = 0; i < rounds; i++)
        apart(open_once, argv[1], count);
    return 0;
}
