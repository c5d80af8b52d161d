/* Figures and properties (contracts: ldb.h; texts: goleveldb's). */
#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/status.h"
#include "storage/db_internal.h"

#define MIB 1048576.0

static uint64_t load(const _Atomic(uint64_t) *counter)
{
    return atomic_load_explicit(counter, memory_order_relaxed);
}

static void fill_counters(const struct ldb_db_counters *c,
                          struct ldb_stats *out)
{
    out->writes = load(&c->writes);
    out->operations = load(&c->operations);
    out->user_bytes = load(&c->user_bytes);
    out->groups = load(&c->groups);
    out->syncs = load(&c->syncs);
    out->sync_us = load(&c->sync_us);
    out->journal_written_bytes = load(&c->journal_written_bytes);
    out->gets = load(&c->gets);
    out->flushes = load(&c->flushes);
    out->flush_bytes = load(&c->flush_bytes);
    out->compactions = load(&c->compactions);
    out->trivial_moves = load(&c->trivial_moves);
    out->slowdown_count = load(&c->slowdown_count);
    out->slowdown_us = load(&c->slowdown_us);
    out->stop_count = load(&c->stop_count);
    out->stop_us = load(&c->stop_us);
    out->live_snapshots =
        atomic_load_explicit(&c->live_snapshots, memory_order_relaxed);
    out->live_cursors =
        atomic_load_explicit(&c->live_cursors, memory_order_relaxed);
}

static double level_score(const struct ldb_db *db, uint32_t level,
                          const struct ldb_level *files)
{
    double bytes_max = (double)db->options.level1_bytes;

    if (level == 0)
        return (double)files->count / db->options.l0_compaction_trigger;
    for (uint32_t i = 1; i < level; i++)
        bytes_max *= db->options.level_multiplier;
    return (double)files->bytes / bytes_max;
}

static void fill_locked(struct ldb_db *db, struct ldb_stats *out)
    LDB_REQUIRES(db->mu)
{
    const struct ldb_version *version = ldb_version_set_current(db->versions);

    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        const struct ldb_level *files = &version->levels[level];
        const struct ldb_level_counters *c = &db->level_counters[level];

        out->levels[level].tables = files->count;
        out->levels[level].bytes = files->bytes;
        out->levels[level].compaction_read_bytes = c->read_bytes;
        out->levels[level].compaction_write_bytes = c->write_bytes;
        out->levels[level].compaction_us = c->us;
        out->levels[level].compactions = c->compactions;
        out->levels[level].score = level_score(db, level, files);
    }
    ldb_version_set_manifest(db->versions, &out->manifest_number,
                             &out->manifest_bytes);
    out->journal_number = db->journal_number;
    if (db->journal != NULL) {
        out->journal_bytes = ldb_journal_writer_flushed_len(db->journal);
        out->journal_synced_bytes = ldb_journal_writer_synced_len(db->journal);
    }
    out->memtable_bytes = ldb_memtable_memory_bytes(db->mem);
    out->immutable_memtables = (unsigned)db->immutable_count;
    for (size_t i = 0; i < db->immutable_count; i++)
        out->immutable_bytes += ldb_memtable_memory_bytes(db->immutables[i]);
    out->stopped = db->is_stopped;
}

void ldb_stats(struct ldb_db *db, struct ldb_stats *out)
{
    struct ldb_cache_stats blocks;
    struct ldb_table_cache_stats tables;

    *out = (struct ldb_stats){.last_sequence = ldb_last_sequence(db)};
    fill_counters(&db->counters, out);
    ldb_mutex_lock(&db->queue_mu);
    out->queue_writes = db->queue_writes;
    out->queue_bytes = db->queue_bytes;
    ldb_mutex_unlock(&db->queue_mu);
    ldb_mutex_lock(&db->mu);
    fill_locked(db, out);
    ldb_mutex_unlock(&db->mu);
    ldb_block_cache_stats(db->block_cache, &blocks);
    out->block_cache_hits = blocks.hits;
    out->block_cache_misses = blocks.misses;
    out->block_cache_bytes = blocks.used_bytes;
    out->block_cache_capacity_bytes = blocks.capacity_bytes;
    ldb_table_cache_stats(db->tables, &tables);
    out->open_tables = tables.open_tables;
    out->open_tables_max = tables.capacity_tables;
    out->table_memory_bytes = tables.memory_bytes;
    out->table_cache_hits = tables.hits;
    out->table_cache_misses = tables.misses;
}

/* ---- properties ---- */

static const char stats_rule[] =
    "-------+------------+---------------+---------------+---------------+-----"
    "----------\n";

static enum ldb_status stats_row(struct ldb_buf *out, const char *label,
                                 uint64_t tables, uint64_t bytes, uint64_t us,
                                 uint64_t read, uint64_t written)
{
    return ldb_buf_printf(
        out, " %s | %10" PRIu64 " | %13.5f | %13.5f | %13.5f | %13.5f\n", label,
        tables, (double)bytes / MIB, (double)us / 1e6, (double)read / MIB,
        (double)written / MIB);
}

static enum ldb_status property_stats(const struct ldb_stats *stats,
                                      struct ldb_buf *out)
{
    uint64_t total[5] = {0};
    char label[8];
    enum ldb_status s = ldb_buf_printf(
        out,
        "Compactions\n Level |   Tables   |    Size(MB)   |    Time(sec)  |    "
        "Read(MB)   |   Write(MB)\n%s",
        stats_rule);

    for (unsigned level = 0; s == LDB_OK && level < LDB_STATS_LEVELS; level++) {
        const uint64_t row[5] = {stats->levels[level].tables,
                                 stats->levels[level].bytes,
                                 stats->levels[level].compaction_us,
                                 stats->levels[level].compaction_read_bytes,
                                 stats->levels[level].compaction_write_bytes};

        if (row[0] == 0 && row[2] == 0)
            continue;
        for (unsigned i = 0; i < 5; i++)
            total[i] += row[i];
        (void)snprintf(label, sizeof(label), "%3u  ", level);
        s = stats_row(out, label, row[0], row[1], row[2], row[3], row[4]);
    }
    if (s == LDB_OK)
        s = ldb_buf_append(out, ldb_slice_str(stats_rule));
    if (s == LDB_OK)
        s = stats_row(out, "Total", total[0], total[1], total[2], total[3],
                      total[4]);
    return s;
}

static enum ldb_status property_sstables(struct ldb_db *db, struct ldb_buf *out)
{
    ldb_sequence sequence;
    struct ldb_view *view = ldb_db_view(db, &sequence);
    enum ldb_status s = LDB_OK;

    for (uint32_t level = 0; s == LDB_OK && level < LDB_LEVEL_COUNT; level++) {
        const struct ldb_level *files = &view->version->levels[level];

        s = ldb_buf_printf(out, "--- level %u ---\n", level);
        for (size_t i = 0; s == LDB_OK && i < files->count; i++) {
            const struct ldb_file_meta *meta = files->files[i];

            s = ldb_buf_printf(out, "%" PRIu64 ":%" PRIu64 "[", meta->number,
                               meta->size);
            if (s == LDB_OK)
                s = ldb_internal_key_describe(out, meta->smallest);
            if (s == LDB_OK)
                s = ldb_buf_append(out, ldb_slice_str(" .. "));
            if (s == LDB_OK)
                s = ldb_internal_key_describe(out, meta->largest);
            if (s == LDB_OK)
                s = ldb_buf_append(out, ldb_slice_str("]\n"));
        }
    }
    ldb_db_view_release(db, view);
    return s;
}

/* "leveldb.num-files-at-level" and one digit. */
static bool parse_level(const char *name, unsigned *out_level)
{
    static const char prefix[] = "leveldb.num-files-at-level";
    size_t len = sizeof(prefix) - 1;

    if (strncmp(name, prefix, len) != 0 || name[len] < '0' ||
        name[len] >= '0' + LDB_STATS_LEVELS || name[len + 1] != '\0')
        return false;
    *out_level = (unsigned)(name[len] - '0');
    return true;
}

/* Those that are one number. */
static bool parse_number(const char *name, const struct ldb_stats *stats,
                         uint64_t *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"leveldb.approximate-memory-usage",
         stats->memtable_bytes + stats->immutable_bytes +
             stats->block_cache_bytes + stats->table_memory_bytes},
        {"leveldb.cachedblock", stats->block_cache_bytes},
        {"leveldb.openedtables", stats->open_tables},
        {"leveldb.alivesnaps", stats->live_snapshots},
        {"leveldb.aliveiters", stats->live_cursors},
    };
    unsigned level;

    if (parse_level(name, &level)) {
        *out = stats->levels[level].tables;
        return true;
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *out = numbers[i].value;
            return true;
        }
    }
    return false;
}

static enum ldb_status property_iostats(const struct ldb_stats *stats,
                                        struct ldb_buf *out)
{
    uint64_t read = 0;
    uint64_t written = stats->journal_written_bytes;

    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++) {
        read += stats->levels[level].compaction_read_bytes;
        written += stats->levels[level].compaction_write_bytes;
    }
    return ldb_buf_printf(out, "Read(MB):%.5f Write(MB):%.5f",
                          (double)read / MIB, (double)written / MIB);
}

enum ldb_status ldb_property(struct ldb_db *db, const char *name,
                             struct ldb_buf *out)
{
    struct ldb_stats stats;
    uint64_t number;

    if (strcmp(name, "leveldb.sstables") == 0)
        return property_sstables(db, out);
    ldb_stats(db, &stats);
    if (strcmp(name, "leveldb.stats") == 0)
        return property_stats(&stats, out);
    if (strcmp(name, "leveldb.iostats") == 0)
        return property_iostats(&stats, out);
    if (strcmp(name, "leveldb.writedelay") == 0)
        return ldb_buf_printf(out, "DelayN:%" PRIu64 " Delay:%.3fms Paused:%s",
                              stats.slowdown_count + stats.stop_count,
                              (double)(stats.slowdown_us + stats.stop_us) / 1e3,
                              stats.stopped ? "true" : "false");
    if (parse_number(name, &stats, &number))
        return ldb_buf_printf(out, "%" PRIu64, number);
    return LDB_NOT_FOUND;
}
