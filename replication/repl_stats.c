#include "replication/repl_stats.h"

#include <stdio.h>

const char *repl_follower_state_text(enum repl_follower_state state)
{
    switch (state) {
    case REPL_FOLLOWER_CONNECTING:
        return "connecting";
    case REPL_FOLLOWER_COMPARING:
        return "comparing";
    case REPL_FOLLOWER_STREAMING:
        return "streaming";
    case REPL_FOLLOWER_REBUILDING:
        return "rebuilding";
    case REPL_FOLLOWER_WAITING:
        return "waiting";
    case REPL_FOLLOWER_STOPPED:
        return "stopped";
    }
    return "unknown";
}

/* ---- lag ---- */

bool repl_follower_is_level(const struct repl_follower_stats *stats)
{
    const struct ldb_position *durable = &stats->heartbeat.durable;

    /* By position: an epoch that begins raises the sequence with no byte. */
    if (!stats->has_heartbeat)
        return false;
    return stats->applied.journal > durable->journal ||
           (stats->applied.journal == durable->journal &&
            stats->applied.offset >= durable->offset);
}

/* How many of the journals' bytes lie between place and durable. What is not
 * listed any more counts as nothing. */
static uint64_t bytes_between(const struct repl_place *place,
                              const struct ldb_position *durable,
                              const struct repl_journal_entry *journals,
                              size_t journal_count)
{
    uint64_t bytes = durable->offset;

    if (place->journal > durable->journal)
        return 0;
    if (place->journal == durable->journal)
        return bytes > place->offset ? bytes - place->offset : 0;
    for (size_t i = 0; i < journal_count; i++) {
        const struct repl_journal_entry *entry = &journals[i];

        if (entry->number == place->journal)
            bytes +=
                entry->len > place->offset ? entry->len - place->offset : 0;
        else if (entry->number > place->journal &&
                 entry->number < durable->journal)
            bytes += entry->len;
    }
    return bytes;
}

void repl_follower_lag(const struct repl_follower_stats *stats, uint64_t now_us,
                       struct repl_lag *out)
{
    uint64_t taken = stats->counts.journal_bytes - stats->missing_since;
    ldb_sequence have = stats->applied.sequence;
    uint64_t since = stats->level_us;

    *out = (struct repl_lag){.is_known = stats->has_heartbeat};
    if (repl_follower_is_level(stats)) {
        if (have < stats->heartbeat.durable.sequence)
            have = stats->heartbeat.durable.sequence;
        /* A leader not heard of since may have gone on. */
        since = stats->heartbeat_us;
    }
    out->us = now_us > since ? now_us - since : 0;
    if (!stats->has_heartbeat)
        return;
    if (stats->heartbeat.last_sequence > have)
        out->sequences = stats->heartbeat.last_sequence - have;
    if (stats->missing_bytes > taken)
        out->bytes = stats->missing_bytes - taken;
}

/* ---- the board ---- */

void repl_board_init(struct repl_board *board, struct ldb_env *env)
{
    *board =
        (struct repl_board){.env = env,
                            .stats = {.state = REPL_FOLLOWER_CONNECTING,
                                      .level_us = env->ops->monotonic_us(env)}};
    repl_rate_begin(&board->received, board->stats.level_us);
    ldb_mutex_init(&board->mu);
    ldb_cond_init(&board->moved);
}

void repl_board_release(struct repl_board *board)
{
    ldb_cond_release(&board->moved);
    ldb_mutex_release(&board->mu);
}

void repl_board_close(struct repl_board *board)
{
    ldb_mutex_lock(&board->mu);
    board->is_closed = true;
    ldb_cond_broadcast(&board->moved);
    ldb_mutex_unlock(&board->mu);
}

void repl_board_read(struct repl_board *board, struct repl_follower_stats *out)
{
    uint64_t now_us = board->env->ops->monotonic_us(board->env);

    ldb_mutex_lock(&board->mu);
    *out = board->stats;
    out->bytes_per_second = repl_rate_per_second(&board->received, now_us);
    ldb_mutex_unlock(&board->mu);
}

void repl_board_set_state(struct repl_board *board,
                          enum repl_follower_state state, const char *why)
{
    ldb_mutex_lock(&board->mu);
    board->stats.state = state;
    if (why != NULL)
        (void)snprintf(board->stats.why, sizeof(board->stats.why), "%s", why);
    ldb_cond_broadcast(&board->moved);
    ldb_mutex_unlock(&board->mu);
}

void repl_board_set_epoch(struct repl_board *board, uint64_t number,
                          uint64_t id)
{
    ldb_mutex_lock(&board->mu);
    board->stats.epoch = number;
    board->stats.epoch_id = id;
    ldb_mutex_unlock(&board->mu);
}

static struct repl_place place_of(const struct ldb_twin_position *position)
{
    return (struct repl_place){.journal = position->journal,
                               .offset = position->offset,
                               .sequence = position->sequence};
}

void repl_board_set_places(struct repl_board *board,
                           const struct ldb_twin_state *at)
{
    ldb_mutex_lock(&board->mu);
    board->stats.written = place_of(&at->written);
    board->stats.synced = place_of(&at->synced);
    board->stats.applied = place_of(&at->applied);
    board->stats.manifest_number = at->manifest_number;
    board->stats.manifest_len = at->manifest_len;
    ldb_cond_broadcast(&board->moved);
    ldb_mutex_unlock(&board->mu);
}

void repl_board_add(struct repl_board *board, uint64_t *counter, uint64_t n)
{
    struct repl_follower_counts *counts = &board->stats.counts;
    bool is_received =
        counter == &counts->journal_bytes || counter == &counts->table_bytes;
    uint64_t now_us =
        is_received ? board->env->ops->monotonic_us(board->env) : 0;

    ldb_mutex_lock(&board->mu);
    *counter += n;
    if (is_received)
        repl_rate_add(&board->received, now_us, n);
    ldb_mutex_unlock(&board->mu);
}

void repl_board_heard(struct repl_board *board,
                      const struct repl_heartbeat *heartbeat,
                      const struct repl_journal_entry *journals,
                      size_t journal_count)
{
    struct repl_follower_stats *stats = &board->stats;
    uint64_t now_us = board->env->ops->monotonic_us(board->env);

    ldb_mutex_lock(&board->mu);
    stats->has_heartbeat = true;
    stats->heartbeat = *heartbeat;
    stats->heartbeat_us = now_us;
    if (repl_follower_is_level(stats))
        stats->level_us = now_us;
    stats->missing_bytes = bytes_between(&stats->written, &heartbeat->durable,
                                         journals, journal_count);
    stats->missing_since = stats->counts.journal_bytes;
    ldb_mutex_unlock(&board->mu);
}

bool repl_board_wait_synced(struct repl_board *board, ldb_sequence sequence,
                            uint64_t timeout_us)
{
    uint64_t begun = board->env->ops->monotonic_us(board->env);
    uint64_t passed = 0;
    bool is_there;

    ldb_mutex_lock(&board->mu);
    while (board->stats.synced.sequence < sequence && !board->is_closed &&
           passed < timeout_us) {
        LDB_IGNORE(ldb_cond_wait_for(&board->moved, &board->mu,
                                     timeout_us - passed)); /* looked at */
        passed = board->env->ops->monotonic_us(board->env) - begun;
    }
    is_there = board->stats.synced.sequence >= sequence;
    ldb_mutex_unlock(&board->mu);
    return is_there;
}
