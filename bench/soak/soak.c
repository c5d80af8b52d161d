/*
 * A mixed load at full speed for a bounded time, watched each second; then
 * what it left on disk against what it would be, compacted. See README.md.
 */
#define _GNU_SOURCE
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine.h"

#define KEY_LEN     16
#define VALUE_POOL  (1u << 20)
#define THREADS_MAX 32
#define HIST_SUB    32 /* buckets per power of two of nanoseconds */
#define HIST_SIZE   (64 * HIST_SUB)
#define SLOW_NS     100000000u /* a write over 100 ms is told */
#define SLOW_MAX    4096
#define SAMPLE_US   20000 /* between two looks at the engine's figures */
#define SAMPLES     4096  /* of them kept: over a minute */
/* Between two probes: what holds up a write for 100 ms, and is the disk's,
 * holds up one that began in it for most of that. */
#define PROBE_PAUSE_US  25000
#define PROBES          4096       /* of them kept: over a minute */
#define PROBE_BYTES_MAX (64 << 20) /* of its file, which begins anew then */
#define SCAN_ENTRIES    20
/* Of 1000 operations; the rest are puts. */
#define DELETES  100
#define GETS     200
#define SCANS    20
#define SYNC_OF  1000 /* one put in so many asks for a sync */
#define QUIET_S  3    /* settled: so long without a byte written */
#define SETTLE_S 600  /* waited for at most */

static struct {
    struct engine_options engine;
    uint64_t seconds;
    uint64_t bytes;
    size_t value_len;
    unsigned threads;
    uint64_t seed;
} cfg = {
    .engine = {.write_buffer_bytes = 4 << 20,
               .table_bytes = 2 << 20,
               .block_cache_bytes = 8 << 20,
               .level1_bytes = 10 << 20,
               .open_tables_max = 500},
    .seconds = 60,
    .bytes = UINT64_C(2) << 30,
    .value_len = 1000,
    .threads = 2,
    .seed = 301,
};

struct hist {
    uint64_t count;
    uint64_t max;
    uint64_t bucket[HIST_SIZE];
};

struct worker {
    pthread_t thread;
    uint64_t random;
    _Atomic(uint64_t) operations;
    struct hist writes;
};

struct slow_write {
    uint64_t begun; /* nanoseconds */
    uint64_t ended;
    bool sync;
};

struct sample {
    uint64_t at;
    struct engine_figures figures;
};

struct probe {
    uint64_t begun; /* nanoseconds */
    uint64_t ended;
};

static struct worker workers[THREADS_MAX];
static atomic_bool stopping;
static char pool[VALUE_POOL];
static uint64_t key_count;
static uint64_t started;

/* Protects all below. */
static pthread_mutex_t mu = PTHREAD_MUTEX_INITIALIZER;
static struct slow_write slow[SLOW_MAX];
static size_t slow_count; /* may pass SLOW_MAX: those are not kept */
static struct sample samples[SAMPLES];
static size_t sample_count; /* all taken; the newest SAMPLES are there */
static struct probe probes[PROBES];
static size_t probe_count; /* all that ended; the newest PROBES are there */
static uint64_t probe_us;  /* the longest since it was printed */

void soak_die(const char *what, const char *why)
{
    fprintf(stderr, "soak: %s: %s\n", what, why);
    exit(1);
}

static uint64_t nanos(void)
{
    struct timespec ts;

    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t next_random(uint64_t *state) /* splitmix64 */
{
    uint64_t z = (*state += UINT64_C(0x9E3779B97F4A7C15));

    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

/* ---- latencies ---- */

static void hist_add(struct hist *h, uint64_t ns)
{
    size_t b = ns;

    if (ns >= HIST_SUB) {
        int shift = 58 - __builtin_clzll(ns);

        b = (size_t)(shift + 1) * HIST_SUB + ((ns >> shift) & (HIST_SUB - 1));
    }
    h->bucket[b]++;
    h->count++;
    if (ns > h->max)
        h->max = ns;
}

static double hist_us(const struct hist *h, double fraction)
{
    uint64_t want = (uint64_t)(fraction * (double)h->count);
    uint64_t seen = 0;

    for (size_t b = 0; b < HIST_SIZE; b++) {
        seen += h->bucket[b];
        if (seen <= want)
            continue;
        if (b < HIST_SUB)
            return (double)b / 1e3;
        return (double)((HIST_SUB + b % HIST_SUB) << (b / HIST_SUB - 1)) / 1e3;
    }
    return (double)h->max / 1e3;
}

/* ---- what the system says ---- */

static uint64_t proc_field(const char *file, const char *field)
{
    char line[256];
    uint64_t value = 0;
    FILE *f = fopen(file, "r");

    if (f == NULL)
        return 0;
    while (fgets(line, sizeof(line), f) != NULL)
        if (strncmp(line, field, strlen(field)) == 0)
            value = strtoull(line + strlen(field), NULL, 10);
    fclose(f);
    return value;
}

struct folder {
    uint64_t files;
    uint64_t bytes;
    uint64_t table_bytes;
};

static struct folder look_at(const char *path)
{
    struct folder out = {0};
    DIR *dir = opendir(path);
    struct dirent *e;

    while (dir != NULL && (e = readdir(dir)) != NULL) {
        const char *dot = strrchr(e->d_name, '.');
        struct stat st;

        if (e->d_name[0] == '.')
            continue;
        out.files++;
        if (fstatat(dirfd(dir), e->d_name, &st, 0) != 0 || !S_ISREG(st.st_mode))
            continue;
        out.bytes += (uint64_t)st.st_size;
        if (dot != NULL &&
            (strcmp(dot, ".ldb") == 0 || strcmp(dot, ".sst") == 0))
            out.table_bytes += (uint64_t)st.st_size;
    }
    if (dir != NULL)
        closedir(dir);
    return out;
}

/* ---- the load ---- */

static void timed_write(struct worker *w, const char *key, uint64_t pick)
{
    bool sync = next_random(&w->random) % SYNC_OF == 0;
    size_t at = next_random(&w->random) % (VALUE_POOL - cfg.value_len);
    uint64_t begun = nanos();
    uint64_t ended;

    if (pick < DELETES)
        engine_delete(key, KEY_LEN);
    else
        engine_put(key, KEY_LEN, pool + at, cfg.value_len, sync);
    ended = nanos();
    hist_add(&w->writes, ended - begun);
    if (ended - begun <= SLOW_NS)
        return;
    pthread_mutex_lock(&mu);
    if (slow_count < SLOW_MAX)
        slow[slow_count] =
            (struct slow_write){begun, ended, sync && pick >= DELETES};
    slow_count++;
    pthread_mutex_unlock(&mu);
}

static void *run_worker(void *context)
{
    struct worker *w = context;
    char key[24]; /* any number fits; KEY_LEN digits are enough */

    while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
        uint64_t pick = next_random(&w->random) % 1000;

        (void)snprintf(key, sizeof(key), "%016" PRIu64,
                       next_random(&w->random) % key_count);
        if (pick >= DELETES && pick < DELETES + GETS)
            (void)engine_get(key, KEY_LEN);
        else if (pick >= DELETES + GETS && pick < DELETES + GETS + SCANS)
            (void)engine_scan(key, KEY_LEN, SCAN_ENTRIES);
        else
            timed_write(w, key, pick);
        atomic_fetch_add_explicit(&w->operations, 1, memory_order_relaxed);
    }
    return NULL;
}

/* ---- watching ---- */

static void *run_sampler(void *context)
{
    (void)context;
    while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
        struct sample now = {.at = nanos()};

        engine_figures(&now.figures);
        pthread_mutex_lock(&mu);
        samples[sample_count++ % SAMPLES] = now;
        pthread_mutex_unlock(&mu);
        usleep(SAMPLE_US);
    }
    return NULL;
}

/*
 * What the disk alone takes for a page at a file's end, as a journal asks for
 * it: beside the database, all the time.
 */
static void *run_probe(void *context)
{
    char path[1024];
    off_t end = 0;
    int fd;

    (void)context;
    (void)snprintf(path, sizeof(path), "%s.probe", cfg.engine.dir);
    fd = open(path, O_CREAT | O_TRUNC | O_RDWR | O_CLOEXEC, 0644);
    if (fd < 0)
        soak_die(path, "cannot be made");
    while (!atomic_load_explicit(&stopping, memory_order_relaxed)) {
        struct probe probe = {.begun = nanos()};
        uint64_t us;

        if (pwrite(fd, pool, 4096, end) != 4096 || fdatasync(fd) != 0)
            soak_die(path, "write or fdatasync failed");
        probe.ended = nanos();
        us = (probe.ended - probe.begun) / 1000;
        pthread_mutex_lock(&mu);
        probes[probe_count++ % PROBES] = probe;
        if (us > probe_us)
            probe_us = us;
        pthread_mutex_unlock(&mu);
        end += 4096;
        if (end >= PROBE_BYTES_MAX && ftruncate(fd, end = 0) != 0)
            soak_die(path, "cannot be cut");
        usleep(PROBE_PAUSE_US);
    }
    close(fd);
    unlink(path);
    return NULL;
}

/* The last sample at or before a moment, or the first after it. */
static struct engine_figures figures_near(uint64_t moment, bool after)
{
    size_t first = sample_count > SAMPLES ? sample_count - SAMPLES : 0;
    struct engine_figures found = {0};

    for (size_t i = first; i < sample_count; i++) {
        const struct sample *s = &samples[i % SAMPLES];

        if (after || s->at <= moment || i == first)
            found = s->figures;
        if (s->at >= moment)
            break;
    }
    return found;
}

/* The longest probe that ran while the write did, in milliseconds. */
static uint64_t probe_beside(const struct slow_write *s)
{
    size_t first = probe_count > PROBES ? probe_count - PROBES : 0;
    uint64_t longest = 0;

    for (size_t i = first; i < probe_count; i++) {
        const struct probe *p = &probes[i % PROBES];

        if (p->begun < s->ended && p->ended > s->begun &&
            p->ended - p->begun > longest)
            longest = p->ended - p->begun;
    }
    return longest / 1000000;
}

static const char *cause_of(const struct engine_figures *a,
                            const struct engine_figures *b, uint64_t us,
                            bool sync)
{
    if (!engine_tells)
        return sync ? "unknown, asked for a sync" : "unknown";
    if (b->stop_us - a->stop_us > us / 2)
        return b->l0_tables >= 12 || a->l0_tables >= 12
                   ? "stopped: level 0"
                   : "stopped: memtables wait for their flush";
    if (b->slowdown_us - a->slowdown_us > us / 2)
        return "slowed down: level 0";
    if (b->sync_us - a->sync_us > us / 2)
        return sync ? "its sync" : "a sync before it";
    return "none of the engine's: processor or disk";
}

/* Slow writes since the last call, with mu held. Those of the running sampling
 * interval, or of the running probe, wait for the next. */
static void tell_slow(size_t *told, bool all)
{
    size_t kept = slow_count < SLOW_MAX ? slow_count : SLOW_MAX;
    uint64_t newest =
        sample_count == 0 ? 0 : samples[(sample_count - 1) % SAMPLES].at;
    uint64_t probed =
        probe_count == 0 ? 0 : probes[(probe_count - 1) % PROBES].begun;

    for (; *told < kept; (*told)++) {
        const struct slow_write *s = &slow[*told];
        struct engine_figures a = figures_near(s->begun, false);
        struct engine_figures b = figures_near(s->ended, true);
        uint64_t us = (s->ended - s->begun) / 1000;

        if ((s->ended > newest || s->ended > probed) && !all)
            return;
        printf("slow   at %.2f s: %" PRIu64 " ms: %s (stop +%" PRIu64
               " ms, slowdown +%" PRIu64 " ms, sync +%" PRIu64
               " ms, flushes +%" PRIu64 ", compactions +%" PRIu64
               ", level 0 %" PRIu64 ", immutables %" PRIu64 "), probe %" PRIu64
               " ms\n",
               (double)(s->begun - started) / 1e9, us / 1000,
               cause_of(&a, &b, us, s->sync), (b.stop_us - a.stop_us) / 1000,
               (b.slowdown_us - a.slowdown_us) / 1000,
               (b.sync_us - a.sync_us) / 1000, b.flushes - a.flushes,
               b.compactions - a.compactions, b.l0_tables, b.immutables,
               probe_beside(s));
    }
}

static uint64_t operations(void)
{
    uint64_t n = 0;

    for (unsigned i = 0; i < cfg.threads; i++)
        n += atomic_load_explicit(&workers[i].operations, memory_order_relaxed);
    return n;
}

/* False: the folder is larger than it may be. */
static bool watch_second(unsigned second, uint64_t *last, size_t *told)
{
    static struct engine_figures before;
    struct engine_figures now;
    struct folder folder = look_at(cfg.engine.dir);
    uint64_t done = operations();

    engine_figures(&now);
    pthread_mutex_lock(&mu);
    printf("second %u: %" PRIu64 " op/s, anon %" PRIu64
           " KiB, open files %" PRIu64 ", tables %.1f MB, folder %.1f MB, "
           "stopped %" PRIu64 " ms, slowed %" PRIu64 " ms, probe %" PRIu64
           " us\n",
           second, done - *last, proc_field("/proc/self/status", "RssAnon:"),
           look_at("/proc/self/fd").files, (double)folder.table_bytes / 1e6,
           (double)folder.bytes / 1e6, (now.stop_us - before.stop_us) / 1000,
           (now.slowdown_us - before.slowdown_us) / 1000, probe_us);
    probe_us = 0;
    tell_slow(told, false);
    pthread_mutex_unlock(&mu);
    fflush(stdout);
    before = now;
    *last = done;
    return folder.bytes <= cfg.bytes;
}

/* ---- the end ---- */

static double settle(void)
{
    uint64_t begun = nanos();
    uint64_t quiet = begun;
    uint64_t wrote = proc_field("/proc/self/io", "wchar:");

    while (nanos() - quiet < QUIET_S * 1000000000ull &&
           nanos() - begun < SETTLE_S * 1000000000ull) {
        uint64_t now;

        usleep(100000);
        now = proc_field("/proc/self/io", "wchar:");
        if (now - wrote > 100000)
            quiet = nanos();
        wrote = now;
    }
    return (double)(quiet - begun) / 1e9;
}

static void report(double seconds)
{
    static struct hist all;
    double settled = settle();
    uint64_t left = look_at(cfg.engine.dir).bytes;
    uint64_t compacted;

    for (unsigned i = 0; i < cfg.threads; i++) {
        for (size_t b = 0; b < HIST_SIZE; b++)
            all.bucket[b] += workers[i].writes.bucket[b];
        all.count += workers[i].writes.count;
        if (workers[i].writes.max > all.max)
            all.max = workers[i].writes.max;
    }
    engine_compact_all();
    (void)settle();
    compacted = look_at(cfg.engine.dir).bytes;
    printf(
        "%s: %.1f s, %" PRIu64 " operations, %" PRIu64
        " writes: p50 %.1f p99 %.1f p99.9 %.1f max %.0f us, %zu over 100 ms\n",
        engine_name, seconds, operations(), all.count, hist_us(&all, 0.5),
        hist_us(&all, 0.99), hist_us(&all, 0.999), (double)all.max / 1e3,
        slow_count);
    printf("%s: settled in %.1f s, %.1f MB on disk, %.1f MB after a full "
           "compaction: space amplification %.3f\n",
           engine_name, settled, (double)left / 1e6, (double)compacted / 1e6,
           (double)left / (double)(compacted == 0 ? 1 : compacted));
}

static void start(pthread_t *thread, void *(*body)(void *), void *context)
{
    if (pthread_create(thread, NULL, body, context) != 0)
        soak_die("thread", "cannot be started");
}

static void run(void)
{
    pthread_t sampler;
    pthread_t probe;
    uint64_t last = 0;
    size_t told = 0;
    bool fits = true;

    started = nanos();
    start(&sampler, run_sampler, NULL);
    start(&probe, run_probe, NULL);
    for (unsigned i = 0; i < cfg.threads; i++) {
        workers[i].random = cfg.seed * 1000 + i;
        start(&workers[i].thread, run_worker, &workers[i]);
    }
    for (unsigned second = 1; fits && second <= cfg.seconds; second++) {
        uint64_t due = started + second * 1000000000ull;
        uint64_t now = nanos();

        if (now < due)
            usleep((useconds_t)((due - now) / 1000));
        fits = watch_second(second, &last, &told);
    }
    atomic_store(&stopping, true);
    for (unsigned i = 0; i < cfg.threads; i++)
        pthread_join(workers[i].thread, NULL);
    pthread_join(sampler, NULL);
    pthread_join(probe, NULL);
    pthread_mutex_lock(&mu);
    tell_slow(&told, true);
    pthread_mutex_unlock(&mu);
    if (!fits)
        printf("stopped: the folder is larger than --bytes\n");
    report((double)(nanos() - started) / 1e9);
}

/* ---- command line ---- */

static void parse_flag(const char *flag, const char *value)
{
    uint64_t n = strtoull(value, NULL, 10);

    if (strcmp(flag, "--db") == 0)
        cfg.engine.dir = value;
    else if (strcmp(flag, "--seconds") == 0)
        cfg.seconds = n;
    else if (strcmp(flag, "--bytes") == 0)
        cfg.bytes = n;
    else if (strcmp(flag, "--value-size") == 0)
        cfg.value_len = (size_t)n;
    else if (strcmp(flag, "--threads") == 0)
        cfg.threads = (unsigned)n;
    else if (strcmp(flag, "--seed") == 0)
        cfg.seed = n;
    else if (strcmp(flag, "--write-buffer") == 0)
        cfg.engine.write_buffer_bytes = (size_t)n;
    else if (strcmp(flag, "--table-size") == 0)
        cfg.engine.table_bytes = (size_t)n;
    else if (strcmp(flag, "--block-cache") == 0)
        cfg.engine.block_cache_bytes = (size_t)n;
    else if (strcmp(flag, "--level-base") == 0)
        cfg.engine.level1_bytes = n;
    else
        soak_die("unknown flag", flag);
}

/* Half of each value repeats, as in kvbench: snappy halves it. */
static void fill_pool(void)
{
    uint64_t state = cfg.seed;

    for (size_t at = 0; at + 100 <= VALUE_POOL; at += 100)
        for (size_t i = 0; i < 50; i++)
            pool[at + i] = pool[at + 50 + i] =
                (char)(' ' + next_random(&state) % 95);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            soak_die("flag without a value", argv[i]);
        parse_flag(argv[i], argv[i + 1]);
    }
    if (cfg.engine.dir == NULL || cfg.seconds == 0 || cfg.threads == 0 ||
        cfg.threads > THREADS_MAX || cfg.value_len == 0 ||
        cfg.value_len > VALUE_POOL / 2)
        soak_die("flags", "--db is needed, others are out of range");
    /* What lives is a quarter of what the folder may have. */
    key_count = cfg.bytes / 4 / (cfg.value_len + KEY_LEN) + 1;
    fill_pool();
    engine_open(&cfg.engine);
    run();
    engine_close();
    return 0;
}
