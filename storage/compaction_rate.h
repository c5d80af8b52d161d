/*
 * How fast compaction gets on, measured: bytes a second of the time in which at
 * least one compaction runs, the last half minute of it counting most. Moves
 * that rewrite nothing count as time alone.
 *
 * Thread-safety: none of its own; struct ldb_db keeps one under mu.
 */
#ifndef STORAGE_COMPACTION_RATE_H
#define STORAGE_COMPACTION_RATE_H

#include <stdint.h>

/* Zero it to begin. */
struct ldb_compaction_rate {
    unsigned running;
    uint64_t since_us; /* time before it has been counted; while running */
    uint64_t busy_us;
    uint64_t merged_bytes;  /* of inputs */
    uint64_t drained_bytes; /* of them, from level 0 */
};

void ldb_compaction_rate_begin(struct ldb_compaction_rate *rate,
                               uint64_t now_us);
/* One ends that began before; the bytes are those it got done. */
void ldb_compaction_rate_end(struct ldb_compaction_rate *rate, uint64_t now_us,
                             uint64_t merged_bytes, uint64_t drained_bytes);

/* Bytes a second; 0: not known yet. */
uint64_t ldb_compaction_rate_merged(const struct ldb_compaction_rate *rate);
uint64_t ldb_compaction_rate_drained(const struct ldb_compaction_rate *rate);

#endif
