#include "replication/twin_report.h"

#include <stdio.h>

#include "storage/base/env.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/twin.h"

static void fill_options(const struct ldb_options *engine,
                         struct repl_table_options *out)
{
    const struct ldb_comparator *comparator = engine->comparator == NULL
                                                  ? ldb_comparator_bytewise()
                                                  : engine->comparator;

    (void)snprintf(out->comparator, sizeof out->comparator, "%s",
                   comparator->name);
    out->bloom_bits = engine->bloom_bits;
    out->filter_base_lg = engine->filter_base_lg;
    out->block_bytes = engine->block_bytes;
    out->block_restart_interval = engine->block_restart_interval;
    out->compress = engine->compress;
}

static enum ldb_status fill_journals(const struct ldb_twin_state *twin,
                                     struct ldb_error *err,
                                     struct repl_state *out)
{
    struct repl_journal_entry *journals;
    ldb_sequence before = 0;

    if (twin->journal_count == 0)
        return LDB_OK;
    journals = ldb_mem_zalloc(twin->journal_count, sizeof *journals);
    if (journals == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; i < twin->journal_count; i++) {
        const struct ldb_twin_journal *from = &twin->journals[i];
        /* Of the newest one the end, or all of it, may not be durable yet. */
        uint64_t durable =
            from->number == twin->synced.journal ? twin->synced.offset : 0;

        journals[i] = (struct repl_journal_entry){
            .number = from->number,
            .len = from->is_sealed ? from->len : durable,
            .is_sealed = from->is_sealed,
            .first = before + 1,
            .last = from->last_sequence < before ? before : from->last_sequence,
        };
        before = journals[i].last;
    }
    out->journals = journals;
    out->journal_count = twin->journal_count;
    return LDB_OK;
}

static enum ldb_status fill_places(struct ldb_db *db, struct ldb_error *err,
                                   struct repl_state *out)
{
    struct ldb_twin_state twin;

    ldb_twin_state(db, &twin);
    out->manifest_number = twin.manifest_number;
    out->manifest_len = twin.manifest_len;
    out->durable = (struct ldb_position){
        .journal = twin.synced.journal,
        .offset = twin.synced.offset,
        .sequence = twin.synced.sequence,
    };
    out->last_sequence = ldb_last_sequence(db);
    return fill_journals(&twin, err, out);
}

enum ldb_status repl_twin_report_state(const struct repl_twin_report *report,
                                       struct ldb_error *err,
                                       struct repl_state *out)
{
    struct repl_state state = {
        .identity = *report->identity,
        .role = REPL_ROLE_FOLLOWER,
        .clock_us = report->env->ops->wall_us(report->env),
    };
    enum ldb_status s;

    (void)snprintf(state.leader_url, sizeof state.leader_url, "%s",
                   report->leader_url);
    fill_options(report->engine, &state.table_options);
    s = repl_epoch_history_copy(report->history, err, &state.history);
    if (s == LDB_OK && report->db != NULL)
        s = fill_places(report->db, err, &state);
    if (s == LDB_OK)
        *out = state;
    else
        repl_state_release(&state);
    return s;
}
