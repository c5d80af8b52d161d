/* Defaults and ranges of struct ldb_options; units and names are in ldb.h. */
#include "storage/base/status.h"
#include "storage/db_internal.h"
#include "storage/table/filter_block.h"

#define KIB UINT64_C(1024)
#define MIB (KIB * KIB)

/* Of a level's multiplier. Chosen: 10^6 is level 6's by default. */
#define FACTOR_MAX 1e9

void ldb_options_init(struct ldb_options *options)
{
    *options = (struct ldb_options){
        .bloom_bits = 10,
        .filter_base_lg = LDB_FILTER_BASE_LG,
        .create_if_missing = true,
        .verify_checksums = true,
        .compress = true,
        .write_buffer_bytes = 4 * MIB,
        .immutable_memtables_max = 2,
        .table_bytes = 2 * MIB,
        .table_multiplier = 1,
        .compaction_threads = 2,
        .block_bytes = 4 * KIB,
        .block_restart_interval = 16,
        .block_cache_bytes = 8 * MIB,
        .open_tables_max = 500,
        .expand_limit_factor = 25,
        .grandparent_overlap_factor = 10,
        .source_limit_factor = 1,
        .iterator_sampling_bytes = MIB,
        .l0_compaction_trigger = 4,
        .l0_slowdown_trigger = 8,
        .l0_stop_trigger = 12,
        .pending_slowdown_bytes = 4 * KIB * MIB,
        .pending_limit_bytes = 16 * KIB * MIB,
        .level1_bytes = 100 * MIB,
        .level_multiplier = 10,
        /* The largest value and key of the HTTP surface, and their lengths. */
        .batch_bytes_max = 64 * MIB + 65 * KIB,
        .write_queue_bytes_max = 256 * MIB,
        .sync_interval_us = 100000,
        .manifest_rotate_bytes = LDB_MANIFEST_ROTATE_BYTES,
    };
}

struct range {
    const char *name;
    uint64_t value;
    uint64_t min;
    uint64_t max;
};

static enum ldb_status check_ranges(const struct ldb_options *o,
                                    struct ldb_error *err)
{
    const struct range ranges[] = {
        {"write_buffer_bytes", o->write_buffer_bytes, KIB, 4096 * MIB},
        {"immutable_memtables_max", o->immutable_memtables_max, 1,
         LDB_IMMUTABLES_MAX - 1},
        {"table_bytes", o->table_bytes, KIB, 4096 * MIB},
        {"compaction_threads", o->compaction_threads, 1,
         LDB_COMPACTION_THREADS_MAX},
        {"block_bytes", o->block_bytes, 64, 16 * MIB},
        {"block_restart_interval", o->block_restart_interval, 1, 4096},
        {"bloom_bits", o->bloom_bits, 0, 200},
        {"journal", o->journal, 0, LDB_JOURNAL_MAPPED},
        {"filter_base_lg", o->filter_base_lg, 1, 30},
        {"expand_limit_factor", o->expand_limit_factor, 1, 1000},
        {"grandparent_overlap_factor", o->grandparent_overlap_factor, 1, 1000},
        {"source_limit_factor", o->source_limit_factor, 1, 1000},
        {"iterator_sampling_bytes", o->iterator_sampling_bytes, KIB,
         UINT64_MAX},
        {"pending_slowdown_bytes", o->pending_slowdown_bytes, KIB, UINT64_MAX},
        {"l0_compaction_trigger", o->l0_compaction_trigger, 1, 1000000},
        {"l0_slowdown_trigger", o->l0_slowdown_trigger, 1, 1000000},
        {"l0_stop_trigger", o->l0_stop_trigger, 1, 1000000},
        {"level1_bytes", o->level1_bytes, KIB, UINT64_MAX},
        {"level_multiplier", o->level_multiplier, 2, 1000},
        {"batch_bytes_max", o->batch_bytes_max, KIB, KIB * MIB},
        {"write_queue_bytes_max", o->write_queue_bytes_max, KIB, UINT64_MAX},
        {"manifest_rotate_bytes", o->manifest_rotate_bytes, KIB, UINT64_MAX},
        {"sync_interval_us", o->sync_interval_us, 0, 3600 * 1000000ull},
    };

    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]); i++) {
        const struct range *r = &ranges[i];

        if (r->value < r->min || r->value > r->max)
            return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                                 "option %s is %llu, must be %llu to %llu",
                                 r->name, (unsigned long long)r->value,
                                 (unsigned long long)r->min,
                                 (unsigned long long)r->max);
    }
    if (o->l0_slowdown_trigger > o->l0_stop_trigger ||
        o->l0_compaction_trigger > o->l0_stop_trigger)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "option l0_stop_trigger is %u, below the "
                             "compaction or slowdown trigger",
                             o->l0_stop_trigger);
    if (o->pending_limit_bytes < o->pending_slowdown_bytes)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "option pending_limit_bytes is %llu, below "
                             "pending_slowdown_bytes",
                             (unsigned long long)o->pending_limit_bytes);
    return LDB_OK;
}

static enum ldb_status check_filter(const struct ldb_filter_policy *filter,
                                    struct ldb_error *err)
{
    if (filter != NULL && ldb_filter_policy_is_builtin(filter))
        return LDB_OK;
    if (filter == NULL || filter->name == NULL || filter->create == NULL ||
        filter->may_match == NULL)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "a filter policy needs a name, create and "
                             "may_match");
    return LDB_OK;
}

static enum ldb_status check_policies(const struct ldb_options *o,
                                      struct ldb_error *err)
{
    enum ldb_status s =
        o->filter == NULL ? LDB_OK : check_filter(o->filter, err);

    if (o->comparator->name == NULL || o->comparator->compare == NULL)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "a comparator needs a name and compare");
    for (size_t i = 0; s == LDB_OK && i < o->alt_filter_count; i++)
        s = check_filter(o->alt_filters[i], err);
    return s;
}

/* 0 has been filled in, or means none. Not a number fails too. */
static bool is_factor(double value)
{
    return value >= 0 && value <= FACTOR_MAX;
}

static enum ldb_status check_factors(const struct ldb_options *o,
                                     struct ldb_error *err)
{
    const char *bad =
        is_factor(o->table_multiplier) ? NULL : "table_multiplier";

    for (unsigned level = 0; bad == NULL && level < LDB_LEVELS; level++) {
        if (!is_factor(o->table_multipliers[level]))
            bad = "table_multipliers";
        if (!is_factor(o->level_multipliers[level]))
            bad = "level_multipliers";
    }
    if (bad == NULL)
        return LDB_OK;
    return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                         "option %s is not between 0 and %.0f", bad,
                         FACTOR_MAX);
}

#define FILL(field)                                                            \
    do {                                                                       \
        if (out->field == 0)                                                   \
            out->field = defaults.field;                                       \
    } while (0)

enum ldb_status ldb_options_complete(const struct ldb_options *options,
                                     struct ldb_error *err,
                                     struct ldb_options *out)
{
    struct ldb_options defaults;
    enum ldb_status s;

    ldb_options_init(&defaults);
    *out = options == NULL ? defaults : *options;
    FILL(write_buffer_bytes);
    FILL(immutable_memtables_max);
    FILL(table_bytes);
    FILL(table_multiplier);
    FILL(compaction_threads);
    FILL(block_bytes);
    FILL(block_restart_interval);
    FILL(block_cache_bytes);
    FILL(filter_base_lg);
    FILL(open_tables_max);
    FILL(expand_limit_factor);
    FILL(grandparent_overlap_factor);
    FILL(source_limit_factor);
    FILL(iterator_sampling_bytes);
    FILL(pending_slowdown_bytes);
    FILL(pending_limit_bytes);
    FILL(l0_compaction_trigger);
    FILL(l0_slowdown_trigger);
    FILL(l0_stop_trigger);
    FILL(level1_bytes);
    FILL(level_multiplier);
    FILL(batch_bytes_max);
    FILL(write_queue_bytes_max);
    FILL(manifest_rotate_bytes);
    if (out->env == NULL)
        out->env = ldb_env_posix();
    if (out->comparator == NULL)
        out->comparator = ldb_comparator_bytewise();
    s = check_policies(out, err);
    if (s == LDB_OK)
        s = check_factors(out, err);
    return s == LDB_OK ? check_ranges(out, err) : s;
}
