#include "service/engine_options.h"

void svc_engine_options(const struct svc_config *config, struct ldb_env *env,
                        struct ldb_options *out)
{
    ldb_options_init(out);
    out->env = env;
    out->create_if_missing = config->create && !config->read_only;
    out->read_only = config->read_only;
    out->strict_journal = config->strict_journal;
    out->verify_checksums = config->verify_checksums;
    out->compress = config->compress;
    out->bloom_bits = (unsigned)config->bloom_bits;
    out->write_buffer_bytes = (size_t)config->write_buffer_bytes;
    out->immutable_memtables_max = (unsigned)config->immutable_memtables_max;
    out->table_bytes = config->table_bytes;
    out->compaction_rate_bytes = config->compaction_rate_bytes;
    out->pending_slowdown_bytes = config->pending_slowdown_bytes;
    out->pending_limit_bytes = config->pending_limit_bytes;
    out->compaction_threads = (unsigned)config->compaction_threads;
    out->block_bytes = (size_t)config->block_bytes;
    out->block_cache_bytes = (size_t)config->block_cache_bytes;
    out->row_cache_bytes = (size_t)config->row_cache_bytes;
    out->open_tables_max = (unsigned)config->open_tables_max;
    out->l0_compaction_trigger = (unsigned)config->l0_compaction_trigger;
    out->l0_slowdown_trigger = (unsigned)config->l0_slowdown_trigger;
    out->l0_stop_trigger = (unsigned)config->l0_stop_trigger;
    out->level1_bytes = config->level1_bytes;
    out->seek_compaction = config->seek_compaction;
    out->journal = (enum ldb_journal)config->journal;
    out->batch_bytes_max = (size_t)config->batch_bytes_max;
    out->write_queue_bytes_max = (size_t)config->write_queue_bytes_max;
    out->sync_interval_us = config->sync_interval_us;
    out->archive_bytes = config->archive_bytes;
    out->archive_age_us = config->archive_age_us;
}
