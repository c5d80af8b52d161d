/* Figures (contract: ldb.h). Their texts are property.c's. */
#include <stdatomic.h>

#include "storage/db_internal.h"

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
    out->flushes = load(&c->flushes);
    out->flush_bytes = load(&c->flush_bytes);
    out->compactions = load(&c->compactions);
    out->trivial_moves = load(&c->trivial_moves);
    for (unsigned cause = 0; cause < LDB_STALL_COUNT; cause++) {
        bool is_stop =
            cause == LDB_STALL_MEMTABLES_STOP || cause == LDB_STALL_LEVEL0_STOP;

        out->stalls[cause].count = load(&c->stalls[cause].count);
        out->stalls[cause].us = load(&c->stalls[cause].us);
        *(is_stop ? &out->stop_count : &out->slowdown_count) +=
            out->stalls[cause].count;
        *(is_stop ? &out->stop_us : &out->slowdown_us) += out->stalls[cause].us;
    }
    out->live_snapshots =
        atomic_load_explicit(&c->live_snapshots, memory_order_relaxed);
    out->live_cursors =
        atomic_load_explicit(&c->live_cursors, memory_order_relaxed);
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
        out->levels[level].seek_compactions = c->seek_compactions;
        out->levels[level].score = version->scores[level];
    }
    ldb_version_set_manifest(db->versions, &out->manifest_number,
                             &out->manifest_bytes);
    out->manifest_sequence = ldb_version_set_recovered_sequence(db->versions);
    out->journal_number = db->journal_number;
    if (db->journal != NULL) {
        out->journal_bytes = ldb_journal_writer_flushed_len(db->journal);
        out->journal_synced_bytes = ldb_journal_writer_synced_len(db->journal);
    }
    if (db->mem != NULL) /* ldb_reopen() has put it aside */
        out->memtable_bytes = ldb_memtable_memory_bytes(db->mem);
    out->immutable_memtables = (unsigned)db->immutable_count;
    for (size_t i = 0; i < db->immutable_count; i++)
        out->immutable_bytes += ldb_memtable_memory_bytes(db->immutables[i]);
    out->stopped = db->is_stopped;
    out->running_compactions = db->compacting_count;
    out->pending_compaction_bytes = version->pending_bytes;
    out->merged_bytes_per_second = ldb_compaction_rate_merged(&db->rate);
    if (out->merged_bytes_per_second > 0)
        out->pending_seconds = (double)out->pending_compaction_bytes /
                               (double)out->merged_bytes_per_second;
}

static void fill_retained(struct ldb_db *db, struct ldb_stats *out)
{
    struct ldb_retained_figures figures = {0};

    if (db->retained != NULL)
        ldb_retained_figures(db->retained, &figures);
    out->archive_journals = figures.journals;
    out->archive_bytes = figures.bytes;
    out->archive_bytes_max = db->options.archive_bytes;
    out->oldest_sequence = figures.oldest;
    out->journal_pins = figures.pins;
    out->journal_pins_lost = figures.pins_lost;
}

void ldb_stats(struct ldb_db *db, struct ldb_stats *out)
{
    struct ldb_cache_stats blocks = {0};
    struct ldb_row_cache_stats rows = {0};
    struct ldb_table_cache_stats tables;
    struct ldb_get_counts gets;

    *out = (struct ldb_stats){
        .last_sequence = ldb_last_sequence(db),
        .durable_sequence = ldb_durable_position(db).sequence,
    };
    fill_counters(&db->counters, out);
    ldb_view_slots_counts(&db->view_slots, &gets);
    out->gets = gets.gets;
    out->row_cache_hits = gets.row_hits;
    out->row_cache_misses = gets.row_misses;
    ldb_mutex_lock(&db->queue_mu);
    out->queue_writes = db->queue_writes;
    out->queue_bytes = db->queue_bytes;
    ldb_mutex_unlock(&db->queue_mu);
    ldb_mutex_lock(&db->mu);
    fill_locked(db, out);
    ldb_mutex_unlock(&db->mu);
    if (db->block_cache != NULL)
        ldb_block_cache_stats(db->block_cache, &blocks);
    out->block_cache_hits = blocks.hits;
    out->block_cache_misses = blocks.misses;
    out->block_cache_bytes = blocks.used_bytes;
    out->block_cache_capacity_bytes = blocks.capacity_bytes;
    if (db->rows != NULL)
        ldb_row_cache_stats(db->rows, &rows);
    out->row_cache_bytes = rows.used_bytes;
    out->row_cache_capacity_bytes = rows.capacity_bytes;
    ldb_table_cache_stats(db->tables, &tables);
    out->open_tables = tables.open_tables;
    out->open_tables_max = tables.capacity_tables;
    out->table_memory_bytes = tables.memory_bytes;
    out->table_cache_hits = tables.hits;
    out->table_cache_misses = tables.misses;
    fill_retained(db, out);
}
