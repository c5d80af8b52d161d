#include "replication/leader.h"

#include <inttypes.h>
#include <string.h>

#include "replication/journal_list.h"
#include "storage/base/comparator.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/*
 * Locking: all is constant until close, but the history and the figures of
 * acks, which mu guards. It is the innermost: nothing is called under it.
 */
struct repl_leader {
    struct ldb_db *db;
    struct ldb_env *env;
    struct repl_write_concern *concern;
    struct repl_identity identity;
    struct repl_table_options table_options;
    struct repl_digest_index *digests;
    struct repl_slots *slots;
    struct repl_checkpoints *checkpoints;
    struct repl_served_files *files;

    struct ldb_mutex mu;
    struct repl_epoch_history history; /* guarded by mu */
    uint64_t acks;                     /* guarded by mu */
    uint64_t acks_refused;             /* guarded by mu */
    uint64_t epoch_heard;              /* guarded by mu */
};

/* ---- life ---- */

static uint64_t or_default(uint64_t value, uint64_t fallback)
{
    return value != 0 ? value : fallback;
}

static enum ldb_status describe_tables(const struct ldb_options *engine,
                                       struct ldb_error *err,
                                       struct repl_table_options *out)
{
    const struct ldb_comparator *comparator = engine->comparator != NULL
                                                  ? engine->comparator
                                                  : ldb_comparator_bytewise();
    struct ldb_options defaults;
    size_t len = strlen(comparator->name);

    ldb_options_init(&defaults);
    *out = (struct repl_table_options){
        .bloom_bits = engine->bloom_bits,
        .filter_base_lg = (unsigned)or_default(engine->filter_base_lg,
                                               defaults.filter_base_lg),
        .block_bytes = or_default(engine->block_bytes, defaults.block_bytes),
        .block_restart_interval = (unsigned)or_default(
            engine->block_restart_interval, defaults.block_restart_interval),
        .compress = engine->compress,
    };
    if (len >= sizeof(out->comparator))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "the comparator's name has %zu bytes", len);
    memcpy(out->comparator, comparator->name, len);
    return LDB_OK;
}

static enum ldb_status make_parts(struct repl_leader *leader,
                                  const struct repl_leader_options *options,
                                  struct ldb_error *err)
{
    const struct repl_slots_options slots = {
        .env = options->env,
        .dir = options->dir,
        .retained = ldb_db_retained(options->db),
        .bytes_max = options->slot_bytes,
        .on_lost = options->on_lost,
        .context = options->context,
    };
    enum ldb_status s;

    if (slots.retained == NULL)
        return ldb_error_set(err, LDB_READ_ONLY,
                             "%s: opened read-only, or a twin: it cannot lead",
                             options->dir);
    s = describe_tables(options->engine, err, &leader->table_options);
    if (s == LDB_OK)
        s = repl_leader_set_history(leader, options->history, err);
    if (s == LDB_OK)
        s = repl_slots_open(&slots, err, &leader->slots);
    if (s != LDB_OK)
        return s;
    leader->checkpoints = repl_checkpoints_create(
        options->db, options->env, options->dir, leader->digests);
    if (leader->checkpoints == NULL)
        return ldb_error_no_memory(err);
    return repl_served_files_create(options->db, options->env, options->dir,
                                    leader->checkpoints, err, &leader->files);
}

enum ldb_status repl_leader_create(const struct repl_leader_options *options,
                                   struct ldb_error *err,
                                   struct repl_leader **out)
{
    struct repl_leader *leader = ldb_mem_zalloc(1, sizeof(*leader));
    enum ldb_status s;

    if (leader == NULL)
        return ldb_error_no_memory(err);
    leader->db = options->db;
    leader->env = options->env;
    leader->digests = options->digests;
    leader->concern = options->concern;
    leader->identity = *options->identity;
    ldb_mutex_init(&leader->mu);
    s = make_parts(leader, options, err);
    if (s != LDB_OK) {
        repl_leader_destroy(leader);
        return s;
    }
    repl_write_concern_lead(leader->concern, leader->slots);
    *out = leader;
    return LDB_OK;
}

void repl_leader_close(struct repl_leader *leader)
{
    if (leader == NULL || leader->db == NULL)
        return;
    if (leader->files != NULL)
        repl_leader_end(leader);
    leader->db = NULL;
    repl_checkpoints_destroy(leader->checkpoints);
    leader->checkpoints = NULL;
    LDB_IGNORE(repl_slots_close(leader->slots, NULL));
    leader->slots = NULL;
}

void repl_leader_destroy(struct repl_leader *leader)
{
    if (leader == NULL)
        return;
    repl_leader_close(leader);
    repl_served_files_destroy(leader->files);
    repl_epoch_history_release(&leader->history);
    ldb_mutex_release(&leader->mu);
    ldb_mem_free(leader);
}

enum ldb_status
repl_leader_set_history(struct repl_leader *leader,
                        const struct repl_epoch_history *history,
                        struct ldb_error *err)
{
    struct repl_epoch_history copy = {0};
    struct repl_epoch_history old;
    enum ldb_status s = repl_epoch_history_copy(history, err, &copy);

    if (s != LDB_OK)
        return s;
    assert(copy.count > 0);
    ldb_mutex_lock(&leader->mu);
    old = leader->history;
    leader->history = copy;
    ldb_mutex_unlock(&leader->mu);
    repl_epoch_history_release(&old);
    return LDB_OK;
}

void repl_leader_durable(struct repl_leader *leader)
{
    repl_served_files_durable(leader->files);
}

enum ldb_status repl_leader_tick(struct repl_leader *leader,
                                 struct ldb_error *err)
{
    struct ldb_position durable = repl_leader_durable_entry(leader);

    repl_served_files_tick(leader->files);
    repl_checkpoints_tick(leader->checkpoints);
    repl_write_concern_tick(leader->concern);
    return repl_slots_tick(leader->slots, &durable, err);
}

void repl_leader_end(struct repl_leader *leader)
{
    repl_write_concern_end(leader->concern);
    repl_served_files_end(leader->files);
}

void repl_leader_free_space(struct repl_leader *leader)
{
    repl_checkpoints_clear(leader->checkpoints);
}

/* ---- what it answers ---- */

void repl_leader_epoch(struct repl_leader *leader, uint64_t *out_number,
                       uint64_t *out_id)
{
    const struct repl_epoch *last;

    ldb_mutex_lock(&leader->mu);
    last = repl_epoch_history_last(&leader->history);
    *out_number = last->number;
    *out_id = last->id;
    ldb_mutex_unlock(&leader->mu);
}

ldb_sequence repl_leader_last_entry(struct repl_leader *leader,
                                    ldb_sequence sequence)
{
    ldb_mutex_lock(&leader->mu);
    sequence = repl_epoch_history_last_entry(&leader->history, sequence);
    ldb_mutex_unlock(&leader->mu);
    return sequence;
}

struct ldb_position repl_leader_durable_entry(struct repl_leader *leader)
{
    struct ldb_position durable = ldb_durable_position(leader->db);

    durable.sequence = repl_leader_last_entry(leader, durable.sequence);
    return durable;
}

static enum ldb_status copy_history(struct repl_leader *leader,
                                    struct ldb_error *err,
                                    struct repl_epoch_history *out)
{
    enum ldb_status s;

    ldb_mutex_lock(&leader->mu);
    s = repl_epoch_history_copy(&leader->history, err, out);
    ldb_mutex_unlock(&leader->mu);
    return s;
}

enum ldb_status repl_leader_state(struct repl_leader *leader,
                                  struct ldb_error *err, struct repl_state *out)
{
    struct repl_journal_list journals = {0};
    struct repl_epoch_history history = {0};
    struct ldb_stats stats;
    enum ldb_status s = copy_history(leader, err, &history);

    /* The MANIFEST first: what its edits say of journals has happened then. */
    ldb_stats(leader->db, &stats);
    if (s == LDB_OK)
        s = repl_journal_list_take(leader->db, leader->digests, 0, err,
                                   &journals);
    if (s != LDB_OK) {
        repl_epoch_history_release(&history);
        return s;
    }
    *out = (struct repl_state){
        .identity = leader->identity,
        .role = REPL_ROLE_LEADER,
        .history = history,
        .manifest_number = stats.manifest_number,
        .manifest_len = stats.manifest_bytes,
        .journals = journals.entries,
        .journal_count = journals.count,
        .durable = journals.durable,
        .last_sequence = ldb_last_sequence(leader->db),
        .clock_us = leader->env->ops->wall_us(leader->env),
        .table_options = leader->table_options,
    };
    return LDB_OK;
}

/* Counts the ack. False: it is not of our epoch, which *out is. */
static bool take_ack(struct repl_leader *leader, const struct repl_ack *ack,
                     struct repl_epoch *out)
{
    bool is_ours;

    ldb_mutex_lock(&leader->mu);
    *out = *repl_epoch_history_last(&leader->history);
    is_ours = ack->epoch == out->number && ack->epoch_id == out->id;
    leader->acks++;
    if (!is_ours)
        leader->acks_refused++;
    if (ack->epoch > leader->epoch_heard)
        leader->epoch_heard = ack->epoch;
    ldb_mutex_unlock(&leader->mu);
    return is_ours;
}

enum ldb_status repl_leader_ack(struct repl_leader *leader,
                                const struct repl_ack *ack,
                                struct ldb_error *err,
                                struct repl_heartbeat *out)
{
    struct ldb_position durable = ldb_durable_position(leader->db);
    struct repl_epoch epoch;
    struct ldb_stats stats;
    bool is_lost = false;
    enum ldb_status s;

    if (!take_ack(leader, ack, &epoch))
        return ldb_error_set(err, LDB_PRECONDITION,
                             "the ack is of epoch %" PRIu64 " (%016" PRIx64
                             "), this node leads in epoch %" PRIu64
                             " (%016" PRIx64 ")",
                             ack->epoch, ack->epoch_id, epoch.number, epoch.id);
    ldb_stats(leader->db, &stats);
    /* Only durable bytes were ever shipped, of a journal or of the MANIFEST: it
     * is no follower of ours. */
    if (ack->synced.sequence > durable.sequence &&
        ack->synced.sequence > stats.manifest_sequence)
        return ldb_error_set(err, LDB_PRECONDITION,
                             "the follower has synced %" PRIu64
                             ", this node has %" PRIu64,
                             ack->synced.sequence, durable.sequence);
    s = repl_slots_ack(leader->slots, ack, err, &is_lost);
    if (s != LDB_OK)
        return s;
    repl_write_concern_acked(leader->concern);
    *out = (struct repl_heartbeat){
        .epoch = epoch.number,
        .epoch_id = epoch.id,
        .durable = ldb_durable_position(leader->db),
        .last_sequence = ldb_last_sequence(leader->db),
        .manifest_number = stats.manifest_number,
        .manifest_len = stats.manifest_bytes,
        .clock_us = leader->env->ops->wall_us(leader->env),
        .is_slot_lost = is_lost,
        .is_awaited = repl_write_concern_is_awaited(leader->concern),
    };
    return LDB_OK;
}

void repl_leader_figures(struct repl_leader *leader,
                         struct repl_leader_figures *out)
{
    *out = (struct repl_leader_figures){
        .checkpoints = repl_checkpoints_count(leader->checkpoints),
    };
    repl_slots_figures(leader->slots, &out->slots);
    repl_served_files_figures(leader->files, &out->files);
    ldb_mutex_lock(&leader->mu);
    out->acks_total = leader->acks;
    out->acks_refused_total = leader->acks_refused;
    out->epoch_heard = leader->epoch_heard;
    ldb_mutex_unlock(&leader->mu);
}

/* ---- its parts ---- */

struct repl_served_files *repl_leader_files(struct repl_leader *leader)
{
    return leader->files;
}

struct repl_checkpoints *repl_leader_checkpoints(struct repl_leader *leader)
{
    return leader->checkpoints;
}

struct repl_slots *repl_leader_slots(struct repl_leader *leader)
{
    return leader->slots;
}
