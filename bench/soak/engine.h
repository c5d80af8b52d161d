/*
 * What the soak needs of an engine: ours by ldb.h, LevelDB and RocksDB by
 * their C APIs; one of engine_ldb.c and engine_c.c is linked. Any thread may
 * call anything but open and close. A failure ends the program.
 */
#ifndef BENCH_SOAK_ENGINE_H
#define BENCH_SOAK_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct engine_options {
    const char *dir;
    size_t write_buffer_bytes;
    size_t table_bytes;
    size_t block_cache_bytes;
    uint64_t level1_bytes;
    unsigned open_tables_max;
};

/* Since open; all 0 where the engine does not tell (engine_tells). */
struct engine_figures {
    uint64_t stop_us;     /* writes stopped: memtables or level 0 full */
    uint64_t slowdown_us; /* writes delayed by level-0 tables */
    uint64_t sync_us;     /* journal syncs */
    uint64_t flushes;
    uint64_t compactions;
    uint64_t l0_tables;
    uint64_t immutables;
};

extern const char *const engine_name;
extern const bool engine_tells;

void engine_open(const struct engine_options *options);
void engine_close(void);
void engine_put(const char *key, size_t key_len, const char *value,
                size_t value_len, bool sync);
void engine_delete(const char *key, size_t key_len);
/* Bytes of the value; 0: none. */
size_t engine_get(const char *key, size_t key_len);
/* Reads up to count entries from key on; how many there were. */
size_t engine_scan(const char *key, size_t key_len, size_t count);
void engine_compact_all(void);
void engine_figures(struct engine_figures *out);

/* soak.c: prints and exits. */
_Noreturn void soak_die(const char *what, const char *why);

#endif
