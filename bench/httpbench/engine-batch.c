/* engine-batch: one thread writes one batch again and again, without HTTP.
 *
 *   cc -O2 -o engine-batch engine-batch.c -lleveld
 *   engine-batch DIR BATCHFILE SECONDS
 *
 * BATCHFILE is a batch in LevelDB's form (run makes one), all lengths below
 * 128. Options as `leveld serve` has them. Prints {"rps":..,"cpu_us":..}:
 * batches a second, and processor time of a batch, flushes and compactions
 * among it.
 */
#include <ldb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

static double seconds(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static double cpu_us(void)
{
    struct rusage r;

    getrusage(RUSAGE_SELF, &r);
    return (double)(r.ru_utime.tv_sec + r.ru_stime.tv_sec) * 1e6 +
           (double)(r.ru_utime.tv_usec + r.ru_stime.tv_usec);
}

static int fail(const char *what)
{
    fprintf(stderr, "engine-batch: %s\n", what);
    return 1;
}

/* Puts alone; 0: that is no such batch. */
static int read_batch(const char *path, struct ldb_batch *out)
{
    static unsigned char bytes[1 << 20];
    FILE *file = fopen(path, "rb");
    size_t len = file == NULL ? 0 : fread(bytes, 1, sizeof bytes, file);
    size_t at = 12;

    if (file != NULL)
        fclose(file);
    while (at + 3 < len) {
        size_t key_len = bytes[at + 1];
        size_t value_at = at + 3 + key_len;
        size_t value_len = value_at <= len ? bytes[value_at - 1] : 128;

        if (bytes[at] != 1 || key_len > 127 || value_len > 127 ||
            value_at + value_len > len ||
            ldb_batch_put(out, (struct ldb_slice){bytes + at + 2, key_len},
                          (struct ldb_slice){bytes + value_at, value_len}))
            return 0;
        at = value_at + value_len;
    }
    return at == len;
}

int main(int argc, char **argv)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_batch *batch;
    struct ldb_db *db;
    unsigned long count = 0;
    double begin, cpu, took;

    if (argc != 4)
        return fail("DIR BATCHFILE SECONDS");
    ldb_options_init(&options);
    options.row_cache_bytes = (size_t)16 << 20;
    if (ldb_batch_create((size_t)1 << 21, &err, &batch) ||
        !read_batch(argv[2], batch))
        return fail(argv[2]);
    if (ldb_open(argv[1], &options, NULL, &err, &db))
        return fail(err.message);
    begin = seconds();
    cpu = cpu_us();
    do {
        struct ldb_write write = {.batch = batch};

        if (ldb_write_wait(db, &write))
            return fail(write.error.message);
        count++;
        took = seconds() - begin;
    } while (took < atof(argv[3]));
    printf("{\"rps\": %.1f, \"cpu_us\": %.1f}\n", (double)count / took,
           (cpu_us() - cpu) / (double)count);
    return ldb_close(db, &err) != LDB_OK;
}
