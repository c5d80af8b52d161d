#include "api/figures.h"

#include "api/db_gate.h"
#include "api/followers.h"
#include "api/health.h"
#include "api/problem.h"
#include "api/role.h"
#include "api/sequence_wait.h"

#define FIELD(field) (((struct api_figures *)NULL)->field)

#define KIND(field)                                                            \
    _Generic(FIELD(field), bool                                                \
             : API_FIGURE_BOOL, double                                         \
             : API_FIGURE_DOUBLE, const char *                                 \
             : API_FIGURE_TEXT, default                                        \
             : API_FIGURE_NUMBER)

#define ROW_IF(needed, group_text, name_text, field, family_id, label_text)    \
    {                                                                          \
        .group = (group_text), .name = (name_text), .kind = KIND(field),       \
        .size = sizeof(FIELD(field)),                                          \
        .offset = offsetof(struct api_figures, field),                         \
        .family = API_FAMILY_##family_id, .labels = (label_text),              \
        .need = API_NEEDS_##needed,                                            \
    }
#define ROW(group_text, name_text, field, family_id, label_text)               \
    ROW_IF(NOTHING, group_text, name_text, field, family_id, label_text)
#define FOLLOWING(group_text, name_text, field, family_id, label_text)         \
    ROW_IF(FOLLOWING, "replication.following" group_text, name_text, field,    \
           family_id, label_text)
#define FOLLOWING_PLACE(name_text)                                             \
    FOLLOWING("." #name_text, "journal", following.stats.name_text.journal,    \
              FOLLOWING_JOURNAL, "position=\"" #name_text "\""),               \
        FOLLOWING("." #name_text, "offset", following.stats.name_text.offset,  \
                  FOLLOWING_OFFSET, "position=\"" #name_text "\""),            \
        FOLLOWING("." #name_text, "sequence",                                  \
                  following.stats.name_text.sequence, FOLLOWING_SEQUENCE,      \
                  "position=\"" #name_text "\"")
#define FOLLOWING_COUNT(name_text, field, family_id)                           \
    FOLLOWING(".counts", name_text, following.stats.counts.field, family_id,   \
              NULL)
#define REBUILD(name_text, field, family_id, label_text)                       \
    FOLLOWING(".rebuild", name_text, following.field, family_id, label_text)
#define STALL(group_text, cause, label_text)                                   \
    ROW(group_text, "count", stats.stalls[cause].count, STALLS, label_text),   \
        ROW(group_text, "us", stats.stalls[cause].us, STALL_TIME, label_text)

/* Those of family NONE are sums and ratios, which Prometheus makes itself. */
static const struct api_figure figures_table[] = {
    ROW("", "epoch", epoch, EPOCH, NULL),
    ROW("", "sequence", stats.last_sequence, SEQUENCE, NULL),
    ROW("", "durable_sequence", stats.durable_sequence, DURABLE_SEQUENCE, NULL),
    ROW("", "oldest_sequence", stats.oldest_sequence, OLDEST_SEQUENCE, NULL),
    ROW("", "start_time_seconds", start_time_seconds, START_TIME, NULL),
    ROW("", "uptime_seconds", uptime_seconds, UPTIME, NULL),
    ROW("", "read_only", read_only, READ_ONLY, NULL),
    ROW("", "ready", ready, READY, NULL),
    ROW("limits", "key_bytes", limits.key_bytes, LIMIT_BYTES, "limit=\"key\""),
    ROW("limits", "value_bytes", limits.value_bytes, LIMIT_BYTES,
        "limit=\"value\""),
    ROW("limits", "batch_bytes", limits.batch_bytes, LIMIT_BYTES,
        "limit=\"batch\""),
    ROW("limits", "json_batch_bytes", limits.json_batch_bytes, LIMIT_BYTES,
        "limit=\"json_batch\""),
    ROW("limits", "multiget_bytes", limits.multiget_bytes, LIMIT_BYTES,
        "limit=\"multiget\""),
    ROW("limits", "range_items_default", limits.range_items_default,
        LIMIT_ITEMS, "limit=\"range_default\""),
    ROW("limits", "range_items_max", limits.range_items_max, LIMIT_ITEMS,
        "limit=\"range_max\""),
    ROW("limits", "snapshots", limits.snapshots_max, LIMIT_ITEMS,
        "limit=\"snapshots\""),
    ROW("limits", "backups", limits.backups_max, LIMIT_ITEMS,
        "limit=\"backups\""),
    ROW("limits", "page_bytes", limits.page_bytes, LIMIT_BYTES,
        "limit=\"page\""),
    ROW("limits", "feeds", limits.feeds_max, LIMIT_ITEMS, "limit=\"feeds\""),
    ROW("limits", "slot_bytes", limits.slot_bytes, LIMIT_BYTES,
        "limit=\"slot\""),
    ROW("limits", "delete_range_keys", delete_range_keys, LIMIT_ITEMS,
        "limit=\"delete_range_keys\""),
    ROW(API_GROUP_LEVELS, "tables", stats.levels[0].tables, LEVEL_TABLES, NULL),
    ROW(API_GROUP_LEVELS, "bytes", stats.levels[0].bytes, LEVEL_BYTES, NULL),
    ROW(API_GROUP_LEVELS, "score", stats.levels[0].score, LEVEL_SCORE, NULL),
    ROW(API_GROUP_LEVELS, "compactions", stats.levels[0].compactions,
        LEVEL_COMPACTIONS, NULL),
    ROW(API_GROUP_LEVELS, "seek_compactions", stats.levels[0].seek_compactions,
        LEVEL_SEEKS, NULL),
    ROW(API_GROUP_LEVELS, "read_bytes", stats.levels[0].compaction_read_bytes,
        LEVEL_READ, NULL),
    ROW(API_GROUP_LEVELS, "written_bytes",
        stats.levels[0].compaction_write_bytes, LEVEL_WRITTEN, NULL),
    ROW(API_GROUP_LEVELS, "compaction_us", stats.levels[0].compaction_us,
        LEVEL_TIME, NULL),
    ROW("engine.manifest", "number", stats.manifest_number, MANIFEST_NUMBER,
        NULL),
    ROW("engine.manifest", "bytes", stats.manifest_bytes, MANIFEST_BYTES, NULL),
    ROW("engine.manifest", "sequence", stats.manifest_sequence,
        MANIFEST_SEQUENCE, NULL),
    ROW("engine.journal", "number", stats.journal_number, JOURNAL_NUMBER, NULL),
    ROW("engine.journal", "bytes", stats.journal_bytes, JOURNAL_BYTES, NULL),
    ROW("engine.journal", "synced_bytes", stats.journal_synced_bytes,
        JOURNAL_SYNCED, NULL),
    ROW("engine.journal", "written_bytes_total", stats.journal_written_bytes,
        JOURNAL_WRITTEN, NULL),
    ROW("engine.journal", "syncs", stats.syncs, JOURNAL_SYNCS, NULL),
    ROW("engine.journal", "sync_us", stats.sync_us, JOURNAL_SYNC_TIME, NULL),
    ROW("engine.archive", "journals", stats.archive_journals, ARCHIVE_JOURNALS,
        NULL),
    ROW("engine.archive", "bytes", stats.archive_bytes, ARCHIVE_BYTES, NULL),
    ROW("engine.archive", "bytes_max", stats.archive_bytes_max,
        ARCHIVE_BYTES_MAX, NULL),
    ROW("engine.archive", "pins", stats.journal_pins, JOURNAL_PINS, NULL),
    ROW("engine.archive", "pins_lost", stats.journal_pins_lost,
        JOURNAL_PINS_LOST, NULL),
    ROW("engine.memtable", "bytes", stats.memtable_bytes, MEMTABLE_BYTES, NULL),
    ROW("engine.memtable", "immutable_count", stats.immutable_memtables,
        IMMUTABLES, NULL),
    ROW("engine.memtable", "immutable_bytes", stats.immutable_bytes,
        IMMUTABLE_BYTES, NULL),
    ROW("engine.writes", "count", stats.writes, WRITES, NULL),
    ROW("engine.writes", "operations", stats.operations, WRITE_OPERATIONS,
        NULL),
    ROW("engine.writes", "user_bytes", stats.user_bytes, WRITE_BYTES, NULL),
    ROW("engine.writes", "groups", stats.groups, WRITE_GROUPS, NULL),
    ROW("engine.reads", "gets", stats.gets, GETS, NULL),
    ROW("engine.reads", "live_cursors", stats.live_cursors, CURSORS, NULL),
    ROW("engine.reads", "live_snapshots", stats.live_snapshots, SNAPSHOTS,
        NULL),
    ROW("engine.compaction", "flushes", stats.flushes, FLUSHES, NULL),
    ROW("engine.compaction", "flush_bytes", stats.flush_bytes, FLUSH_BYTES,
        NULL),
    ROW("engine.compaction", "compactions", stats.compactions, COMPACTIONS,
        NULL),
    ROW("engine.compaction", "trivial_moves", stats.trivial_moves,
        TRIVIAL_MOVES, NULL),
    ROW("engine.compaction", "running", stats.running_compactions,
        COMPACTIONS_RUNNING, NULL),
    ROW("engine.compaction", "pending_bytes", stats.pending_compaction_bytes,
        PENDING_BYTES, NULL),
    ROW("engine.compaction", "merged_bytes_per_second",
        stats.merged_bytes_per_second, MERGE_RATE, NULL),
    ROW("engine.compaction", "pending_seconds", stats.pending_seconds,
        PENDING_SECONDS, NULL),
    ROW("engine.compaction", "write_amplification", write_amplification,
        WRITE_AMPLIFICATION, NULL),
    ROW("engine.stalls", "slowdown_count", stats.slowdown_count, NONE, NULL),
    ROW("engine.stalls", "slowdown_us", stats.slowdown_us, NONE, NULL),
    ROW("engine.stalls", "stop_count", stats.stop_count, NONE, NULL),
    ROW("engine.stalls", "stop_us", stats.stop_us, NONE, NULL),
    ROW("engine.stalls", "stopped", stats.stopped, STOPPED, NULL),
    ROW("engine.stalls", "queue_writes", stats.queue_writes, WRITE_QUEUE, NULL),
    ROW("engine.stalls", "queue_bytes", stats.queue_bytes, WRITE_QUEUE_BYTES,
        NULL),
    STALL("engine.stalls.level0_slowdown", LDB_STALL_LEVEL0_SLOWDOWN,
          "cause=\"level0_slowdown\""),
    STALL("engine.stalls.pending_slowdown", LDB_STALL_PENDING_SLOWDOWN,
          "cause=\"pending_slowdown\""),
    STALL("engine.stalls.memtables_stop", LDB_STALL_MEMTABLES_STOP,
          "cause=\"memtables_stop\""),
    STALL("engine.stalls.level0_stop", LDB_STALL_LEVEL0_STOP,
          "cause=\"level0_stop\""),
    ROW("engine.caches.block", "hits", stats.block_cache_hits, CACHE_HITS,
        "cache=\"block\""),
    ROW("engine.caches.block", "misses", stats.block_cache_misses, CACHE_MISSES,
        "cache=\"block\""),
    ROW("engine.caches.block", "hit_rate", block_hit_rate, NONE, NULL),
    ROW("engine.caches.block", "bytes", stats.block_cache_bytes, BLOCK_CACHE,
        NULL),
    ROW("engine.caches.block", "capacity_bytes",
        stats.block_cache_capacity_bytes, BLOCK_CACHE_CAPACITY, NULL),
    ROW("engine.caches.row", "hits", stats.row_cache_hits, CACHE_HITS,
        "cache=\"row\""),
    ROW("engine.caches.row", "misses", stats.row_cache_misses, CACHE_MISSES,
        "cache=\"row\""),
    ROW("engine.caches.row", "hit_rate", row_hit_rate, NONE, NULL),
    ROW("engine.caches.row", "bytes", stats.row_cache_bytes, ROW_CACHE, NULL),
    ROW("engine.caches.row", "capacity_bytes", stats.row_cache_capacity_bytes,
        ROW_CACHE_CAPACITY, NULL),
    ROW("engine.caches.table", "hits", stats.table_cache_hits, CACHE_HITS,
        "cache=\"table\""),
    ROW("engine.caches.table", "misses", stats.table_cache_misses, CACHE_MISSES,
        "cache=\"table\""),
    ROW("engine.caches.table", "hit_rate", table_hit_rate, NONE, NULL),
    ROW("engine.caches.table", "open", stats.open_tables, OPEN_TABLES, NULL),
    ROW("engine.caches.table", "capacity", stats.open_tables_max,
        OPEN_TABLES_MAX, NULL),
    ROW("engine.caches.table", "pinned_bytes", stats.table_memory_bytes,
        TABLE_MEMORY, NULL),
    ROW("changes", "feeds", feeds.open, FEEDS, NULL),
    ROW("changes", "feeds_total", feeds.opened_total, FEEDS_OPENED, NULL),
    ROW("changes", "feeds_refused", feeds.refused_total, FEEDS_REFUSED, NULL),
    ROW("changes", "heartbeat_us", limits.feed_heartbeat_us, FEED_HEARTBEAT,
        NULL),
    ROW("replication", "replicas_min", replicas_min, REPLICAS_MIN, NULL),
    ROW_IF(LEADER, "replication", "followers", leader.slots.slots, FOLLOWERS,
           NULL),
    ROW_IF(LEADER, "replication", "followers_alive", leader.slots.alive,
           FOLLOWERS_ALIVE, NULL),
    ROW_IF(LEADER, "replication", "followers_lost", leader.slots.lost,
           FOLLOWERS_LOST, NULL),
    ROW_IF(LEADER, "replication", "slots_lost", leader.slots.lost_total,
           SLOTS_LOST, NULL),
    ROW_IF(LEADER, "replication", "slots_evicted", leader.slots.evicted_total,
           SLOTS_EVICTED, NULL),
    ROW_IF(LEADER, "replication", "journal_bytes", leader.slots.kept_bytes,
           SLOT_JOURNALS, NULL),
    ROW_IF(LEADER, "replication", "lag_sequences", lag_sequences, LAG_SEQUENCES,
           NULL),
    ROW_IF(LEADER, "replication", "lag_bytes", lag_bytes, LAG_BYTES, NULL),
    ROW_IF(LEADER, "replication", "lag_us", lag_us, LAG_TIME, NULL),
    ROW_IF(LEADER, "replication", "acks", leader.acks_total, ACKS, NULL),
    ROW_IF(LEADER, "replication", "acks_refused", leader.acks_refused_total,
           ACKS_REFUSED, NULL),
    ROW_IF(LEADER, "replication", "epoch_heard", leader.epoch_heard,
           EPOCH_HEARD, NULL),
    ROW_IF(LEADER, "replication", "checkpoints", leader.checkpoints,
           CHECKPOINTS, NULL),
    ROW("replication.writes", "waiting", concern.waiting, REPLICATED_WAITING,
        NULL),
    ROW("replication.writes", "replicated", concern.met_total,
        REPLICATED_WRITES, "outcome=\"replicated\""),
    ROW("replication.writes", "timed_out", concern.timed_out_total,
        REPLICATED_WRITES, "outcome=\"timed_out\""),
    ROW("replication.writes", "unknown", concern.ended_total, REPLICATED_WRITES,
        "outcome=\"unknown\""),
    ROW_IF(LEADER, "replication.files", "open", leader.files.open, FILES_OPEN,
           NULL),
    ROW_IF(LEADER, "replication.files", "waiting", leader.files.waiting,
           FILES_WAITING, NULL),
    ROW_IF(LEADER, "replication.files", "opened", leader.files.opened_total,
           FILES_OPENED, NULL),
    ROW_IF(LEADER, "replication.files", "bytes", leader.files.bytes_total,
           FILES_BYTES, NULL),
    ROW_IF(DIGESTS, "replication.digests", "known", digests.known, DIGESTS,
           NULL),
    ROW_IF(DIGESTS, "replication.digests", "wanted", digests.wanted,
           DIGESTS_WANTED, NULL),
    ROW_IF(DIGESTS, "replication.digests", "files", digests.files_read,
           DIGESTS_READ, NULL),
    ROW_IF(DIGESTS, "replication.digests", "bytes", digests.bytes_read,
           DIGESTS_BYTES, NULL),
    ROW_IF(DIGESTS, "replication.digests", "failures", digests.failures,
           DIGESTS_FAILED, NULL),
    ROW_IF(DIGESTS, "replication.digests", "store_failures",
           digests.store_failures, DIGESTS_UNSTORED, NULL),
    ROW("replication.diverged", "rewinds", diverged_rewinds, DIVERGED_REWINDS,
        NULL),
    ROW("replication.diverged", "files", diverged_files, DIVERGED_FILES, NULL),
    ROW("replication.diverged", "bytes", diverged_bytes, DIVERGED_BYTES, NULL),
    FOLLOWING("", "state", following_state, NONE, NULL),
    FOLLOWING("", "why", following_why, NONE, NULL),
    FOLLOWING("", "leader", following_leader, NONE, NULL),
    FOLLOWING("", "epoch", following.stats.epoch, FOLLOWING_EPOCH, NULL),
    FOLLOWING("", "bytes_per_second", following.stats.bytes_per_second,
              FOLLOWING_RATE, NULL),
    FOLLOWING_PLACE(written),
    FOLLOWING_PLACE(synced),
    FOLLOWING_PLACE(applied),
    FOLLOWING(".manifest", "number", following.stats.manifest_number,
              FOLLOWING_MANIFEST, NULL),
    FOLLOWING(".manifest", "bytes", following.stats.manifest_len,
              FOLLOWING_MANIFEST_BYTES, NULL),
    FOLLOWING(".heard", "journal", following.stats.heartbeat.durable.journal,
              LEADER_JOURNAL, NULL),
    FOLLOWING(".heard", "offset", following.stats.heartbeat.durable.offset,
              LEADER_OFFSET, NULL),
    FOLLOWING(".heard", "sequence", following.stats.heartbeat.durable.sequence,
              LEADER_DURABLE, NULL),
    FOLLOWING(".heard", "last_sequence",
              following.stats.heartbeat.last_sequence, LEADER_SEQUENCE, NULL),
    FOLLOWING(".heard", "manifest_number",
              following.stats.heartbeat.manifest_number, LEADER_MANIFEST, NULL),
    FOLLOWING(".heard", "manifest_bytes",
              following.stats.heartbeat.manifest_len, LEADER_MANIFEST_BYTES,
              NULL),
    FOLLOWING(".heard", "slot_lost", following.stats.heartbeat.is_slot_lost,
              LEADER_SLOT_LOST, NULL),
    FOLLOWING(".heard", "age_us", heard_age_us, LEADER_AGE, NULL),
    FOLLOWING(".lag", "known", following.lag.is_known, FOLLOWING_LAG_KNOWN,
              NULL),
    FOLLOWING(".lag", "sequences", following.lag.sequences,
              FOLLOWING_LAG_SEQUENCES, NULL),
    FOLLOWING(".lag", "bytes", following.lag.bytes, FOLLOWING_LAG_BYTES, NULL),
    FOLLOWING(".lag", "us", following.lag.us, FOLLOWING_LAG, NULL),
    FOLLOWING_COUNT("connects", connects, FOLLOWING_CONNECTS),
    FOLLOWING_COUNT("failures", failures, FOLLOWING_FAILURES),
    FOLLOWING_COUNT("rebuilds", rebuilds, FOLLOWING_REBUILDS),
    FOLLOWING_COUNT("journal_bytes", journal_bytes, FOLLOWING_JOURNAL_BYTES),
    FOLLOWING_COUNT("journals_sealed", journals_sealed, FOLLOWING_SEALED),
    FOLLOWING_COUNT("syncs", syncs, FOLLOWING_SYNCS),
    FOLLOWING_COUNT("acks", acks, FOLLOWING_ACKS),
    FOLLOWING_COUNT("edits", edits, FOLLOWING_EDITS),
    FOLLOWING_COUNT("installs", installs, FOLLOWING_INSTALLS),
    FOLLOWING_COUNT("tables_built", tables_built, FOLLOWING_BUILT),
    FOLLOWING_COUNT("tables_fetched", tables_fetched, FOLLOWING_FETCHED),
    FOLLOWING_COUNT("fetched_bytes", table_bytes, FOLLOWING_FETCHED_BYTES),
    FOLLOWING_COUNT("digest_mismatches", digest_mismatches,
                    FOLLOWING_MISMATCHES),
    FOLLOWING_COUNT("stalls", stalls, FOLLOWING_STALLS),
    REBUILD("running", is_rebuilding, REBUILDING, NULL),
    FOLLOWING(".rebuild", "step", following_step, NONE, NULL),
    REBUILD("files_digested", rebuild.files_digested, REBUILD_DIGESTED, NULL),
    REBUILD("tables_wanted", rebuild.tables_wanted, REBUILD_TABLES,
            "part=\"wanted\""),
    REBUILD("tables_kept", rebuild.tables_kept, REBUILD_TABLES,
            "part=\"kept\""),
    REBUILD("tables_fetched", rebuild.tables_fetched, REBUILD_TABLES,
            "part=\"fetched\""),
    REBUILD("bytes_wanted", rebuild.bytes_wanted, REBUILD_BYTES,
            "part=\"wanted\""),
    REBUILD("bytes_fetched", rebuild.bytes_fetched, REBUILD_BYTES,
            "part=\"fetched\""),
    REBUILD("files_set_aside", rebuild.files_set_aside, REBUILD_ASIDE_FILES,
            NULL),
    REBUILD("entries_set_aside", rebuild.entries_set_aside,
            REBUILD_ASIDE_ENTRIES, NULL),
    REBUILD("elapsed_us", rebuild_us, REBUILD_TIME, NULL),
    ROW_IF(SCRUB, "scrub", "rate_bytes", scrub.rate_bytes, SCRUB_RATE, NULL),
    ROW_IF(SCRUB, "scrub", "running", scrub.is_running, SCRUB_RUNNING, NULL),
    ROW_IF(SCRUB, "scrub", "files", scrub.files_total, SCRUB_FILES, NULL),
    ROW_IF(SCRUB, "scrub", "bytes", scrub.bytes_total, SCRUB_BYTES, NULL),
    ROW_IF(SCRUB, "scrub", "mismatches", scrub.mismatches_total,
           SCRUB_MISMATCHES, NULL),
    ROW_IF(SCRUB, "scrub", "failures", scrub.failures_total, SCRUB_FAILURES,
           NULL),
    ROW_IF(SCRUB, "scrub", "passes", scrub.passes_total, SCRUB_PASSES, NULL),
    ROW_IF(SCRUB, "scrub", "last_pass_time_us", scrub.last_pass_us, SCRUB_LAST,
           NULL),
    ROW_IF(SCRUB, "scrub", "last_pass_us", scrub.last_pass_duration_us,
           SCRUB_DURATION, NULL),
    ROW_IF(HEAL, "heal", "suspected", heal.suspected, HEAL_SUSPECTED, NULL),
    ROW_IF(HEAL, "heal", "damaged", heal.damaged, HEAL_DAMAGED, NULL),
    ROW_IF(HEAL, "heal", "found", heal.found_total, HEAL_FOUND, NULL),
    ROW_IF(HEAL, "heal", "healed", heal.healed_total, HEAL_HEALED, NULL),
    ROW_IF(HEAL, "heal", "failures", heal.failures_total, HEAL_FAILURES, NULL),
    ROW_IF(HEAL, "heal", "discarded", heal.discarded_total, HEAL_DISCARDED,
           NULL),
    ROW_IF(HEAL, "heal", "bytes", heal.bytes_total, HEAL_BYTES, NULL),
    ROW("admin", "tasks_queued", tasks.queued, TASKS, "state=\"queued\""),
    ROW("admin", "tasks_running", tasks.running, TASKS, "state=\"running\""),
    ROW("admin", "tasks_ended", tasks.ended, TASKS_ENDED, NULL),
    ROW("admin", "tasks_failed", tasks.failed, TASKS_FAILED, NULL),
    ROW("admin", "backups_running", backups.running, BACKUPS, NULL),
    ROW("admin", "backups", backups.begun, BACKUPS_BEGUN, NULL),
    ROW("admin", "backup_bytes", backups.bytes, BACKUP_BYTES, NULL),
    ROW("admin", "waiting_requests", waiting_requests, WAITING, NULL),
    ROW("disk", "table_bytes", table_bytes, NONE, NULL),
    ROW_IF(FREE_BYTES, "disk", "free_bytes", free_bytes, DISK_FREE, NULL),
    ROW("disk", "reserve_bytes", reserve_bytes, DISK_RESERVE, NULL),
    ROW_IF(PROCESS, "process", "resident_bytes", process.resident_bytes,
           RESIDENT, NULL),
    ROW_IF(PROCESS, "process", "resident_max_bytes", process.resident_max_bytes,
           RESIDENT_MAX, NULL),
    ROW_IF(PROCESS, "process", "cpu_user_us", process.cpu_user_us, CPU_BY_MODE,
           "mode=\"user\""),
    ROW_IF(PROCESS, "process", "cpu_system_us", process.cpu_system_us,
           CPU_BY_MODE, "mode=\"system\""),
    ROW_IF(PROCESS, "process", NULL, cpu_us, CPU, NULL),
    ROW_IF(PROCESS, "process", "open_files", process.open_files, OPEN_FILES,
           NULL),
    ROW_IF(PROCESS, "process", "open_files_max", process.open_files_max,
           OPEN_FILES_MAX, NULL),
    ROW_IF(PROCESS, "process", "threads", process.threads, THREADS, NULL),
    ROW_IF(PROCESS, "process", "connections", process.connections,
           HTTP_CONNECTIONS, NULL),
    ROW_IF(PROCESS, "process", "connections_total", process.connections_total,
           HTTP_ACCEPTED, NULL),
    ROW_IF(PROCESS, "process", "connections_refused",
           process.connections_refused, HTTP_REFUSED, NULL),
    ROW_IF(PROCESS, "process", "header_timeouts", process.header_timeouts,
           HTTP_TIMEOUTS, "part=\"header\""),
    ROW_IF(PROCESS, "process", "body_timeouts", process.body_timeouts,
           HTTP_TIMEOUTS, "part=\"body\""),
    ROW_IF(PROCESS, "process", "answer_timeouts", process.answer_timeouts,
           HTTP_TIMEOUTS, "part=\"answer\""),
    ROW_IF(PROCESS, "process", "upload_bytes", process.upload_bytes,
           HTTP_UPLOAD, NULL),
    ROW_IF(PROCESS, "process", "upload_bytes_max", process.upload_bytes_max,
           HTTP_UPLOAD_BUDGET, NULL),
    ROW_IF(PROCESS, "process", "answer_bytes", process.answer_bytes,
           HTTP_ANSWER, NULL),
    ROW_IF(PROCESS, "process", "answer_bytes_max", process.answer_bytes_max,
           HTTP_ANSWER_BUDGET, NULL),
    ROW_IF(PROCESS, "process", "log_lines", process.log_lines, LOG_LINES, NULL),
    ROW_IF(PROCESS, "process", "log_lines_dropped", process.log_lines_dropped,
           LOG_LINES_DROPPED, NULL),
};

#undef STALL
#undef REBUILD
#undef FOLLOWING_COUNT
#undef FOLLOWING_PLACE
#undef FOLLOWING
#undef ROW
#undef ROW_IF
#undef FIELD

const struct api_figure *api_figures_table(size_t *out_count)
{
    *out_count = sizeof(figures_table) / sizeof(figures_table[0]);
    return figures_table;
}

/* ---- gathering ---- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Bytes written to disk for each byte that users wrote. */
static double write_amplification(const struct ldb_stats *stats)
{
    uint64_t written = stats->journal_written_bytes;

    if (stats->user_bytes == 0)
        return 0;
    for (size_t i = 0; i < LDB_STATS_LEVELS; i++)
        written += stats->levels[i].compaction_write_bytes;
    return (double)written / (double)stats->user_bytes;
}

static double hit_rate(uint64_t hits, uint64_t misses)
{
    uint64_t all = hits + misses;

    return all == 0 ? 0 : (double)hits / (double)all;
}

/* The longest of each, of followers that are alive. */
static void gather_lag(const struct api_followers *followers,
                       struct api_figures *out)
{
    for (size_t i = 0; i < followers->count; i++) {
        const struct repl_slot *slot = &followers->slots[i];

        if (!slot->is_alive)
            continue;
        out->lag_sequences = larger(out->lag_sequences, slot->lag_sequences);
        out->lag_bytes = larger(out->lag_bytes, slot->lag_bytes);
        out->lag_us = larger(out->lag_us, slot->lag_us);
    }
}

/* Inside the gate. */
static void gather_replication(const struct api_context *context,
                               struct api_figures *out)
{
    out->has_leader = context->leader != NULL;
    if (out->has_leader)
        repl_leader_figures(context->leader, &out->leader);
    out->has_digests = context->digests != NULL;
    if (out->has_digests)
        repl_digest_index_figures(context->digests, &out->digests);
}

/* Inside the gate. */
static void gather_care(const struct api_context *context,
                        struct api_figures *out)
{
    out->has_scrub = context->scrub != NULL;
    if (out->has_scrub)
        repl_scrub_figures(context->scrub, &out->scrub);
    out->has_heal = context->heal != NULL;
    if (out->has_heal)
        repl_heal_figures(context->heal, &out->heal);
}

static void gather_engine(const struct api_context *context,
                          struct api_figures *out)
{
    const struct ldb_stats *stats = &out->stats;

    /* Without a database its figures are 0. */
    if (!api_db_gate_enter(context->gate))
        return;
    ldb_stats(context->db, &out->stats);
    gather_replication(context, out);
    gather_care(context, out);
    api_db_gate_leave(context->gate);
    out->table_bytes = 0;
    for (size_t i = 0; i < LDB_STATS_LEVELS; i++)
        out->table_bytes += stats->levels[i].bytes;
    out->write_amplification = write_amplification(stats);
    out->block_hit_rate =
        hit_rate(stats->block_cache_hits, stats->block_cache_misses);
    out->row_hit_rate =
        hit_rate(stats->row_cache_hits, stats->row_cache_misses);
    out->table_hit_rate =
        hit_rate(stats->table_cache_hits, stats->table_cache_misses);
}

/* Whether there is a database or not. */
static void gather_following(const struct api_context *context,
                             struct api_figures *out)
{
    struct api_following *following = &out->following;
    uint64_t heard_us;
    uint64_t now_us;

    out->following_state = "";
    out->following_why = "";
    out->following_step = "";
    out->following_leader = "";
    if (context->node_ops == NULL ||
        !context->node_ops->following(context->node, following))
        return;
    out->has_following = true;
    api_role_leader_url(context->role, out->leader_url);
    out->following_state = repl_follower_state_text(following->stats.state);
    out->following_why = following->stats.why;
    out->following_leader = out->leader_url;
    out->following_step = repl_build_step_text(following->rebuild.step);
    heard_us = following->stats.heartbeat_us;
    now_us = api_now_us(context);
    if (following->stats.has_heartbeat && now_us > heard_us)
        out->heard_age_us = now_us - heard_us;
}

static uint64_t load(const _Atomic(uint64_t) *count)
{
    return atomic_load_explicit(count, memory_order_relaxed);
}

void api_figures_gather(const struct api_context *context,
                        const struct api_followers *followers,
                        struct api_figures *out)
{
    struct ldb_env *env = context->env;
    struct api_problem problem;

    *out = (struct api_figures){
        .epoch = context->epoch,
        .start_time_seconds = (double)context->started_wall_us / 1e6,
        .uptime_seconds =
            (double)(api_now_us(context) - context->started_us) / 1e6,
        .read_only = context->read_only,
        .reason = api_not_ready_reason(context, &problem),
        .limits = context->limits,
        .delete_range_keys = LDB_DELETE_RANGE_KEYS_MAX,
        .reserve_bytes = context->disk_reserve_bytes,
        .replicas_min = context->replicas_min,
        .diverged_rewinds = load(&context->diverged.rewinds),
        .diverged_files = load(&context->diverged.files),
        .diverged_bytes = load(&context->diverged.bytes),
        .has_process = context->process_figures != NULL,
    };
    out->ready = out->reason == NULL;
    gather_engine(context, out);
    gather_lag(followers, out);
    gather_following(context, out);
    api_feeds_figures(context->feeds, &out->feeds);
    repl_write_concern_figures(context->concern, &out->concern);
    api_tasks_figures(context->tasks, &out->tasks);
    api_backups_figures(context->backups, &out->backups);
    out->waiting_requests = api_sequence_waits_count(context->sequence_waits);
    out->has_free_bytes = env->ops->free_space(env, context->data_dir, NULL,
                                               &out->free_bytes) == LDB_OK;
    if (context->process_figures != NULL)
        context->process_figures(context->service, &out->process);
    out->cpu_us = out->process.cpu_user_us + out->process.cpu_system_us;
}

/* ---- reading ---- */

bool api_figure_is_of_level(const struct api_figure *row)
{
    const size_t first = offsetof(struct api_figures, stats.levels);

    return row->offset >= first &&
           row->offset < first + sizeof(((struct ldb_stats *)NULL)->levels);
}

bool api_figure_is_known(const struct api_figures *figures,
                         const struct api_figure *row)
{
    switch (row->need) {
    case API_NEEDS_NOTHING:
        break;
    case API_NEEDS_FREE_BYTES:
        return figures->has_free_bytes;
    case API_NEEDS_PROCESS:
        return figures->has_process;
    case API_NEEDS_LEADER:
        return figures->has_leader;
    case API_NEEDS_DIGESTS:
        return figures->has_digests;
    case API_NEEDS_SCRUB:
        return figures->has_scrub;
    case API_NEEDS_HEAL:
        return figures->has_heal;
    case API_NEEDS_FOLLOWING:
        return figures->has_following;
    }
    return true;
}

static const void *place_of(const struct api_figures *figures,
                            const struct api_figure *row, size_t level)
{
    assert(level < LDB_STATS_LEVELS);
    return (const char *)figures + row->offset +
           level * sizeof(figures->stats.levels[0]);
}

uint64_t api_figure_number(const struct api_figures *figures,
                           const struct api_figure *row, size_t level)
{
    const void *place = place_of(figures, row, level);

    assert(row->kind == API_FIGURE_NUMBER);
    if (row->size == sizeof(uint64_t))
        return *(const uint64_t *)place;
    assert(row->size == sizeof(uint32_t));
    return *(const uint32_t *)place;
}

bool api_figure_bool(const struct api_figures *figures,
                     const struct api_figure *row)
{
    assert(row->kind == API_FIGURE_BOOL);
    return *(const bool *)place_of(figures, row, 0);
}

double api_figure_double(const struct api_figures *figures,
                         const struct api_figure *row, size_t level)
{
    assert(row->kind == API_FIGURE_DOUBLE);
    return *(const double *)place_of(figures, row, level);
}

const char *api_figure_text(const struct api_figures *figures,
                            const struct api_figure *row)
{
    assert(row->kind == API_FIGURE_TEXT);
    return *(const char *const *)place_of(figures, row, 0);
}
