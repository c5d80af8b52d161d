#include "storage/durable.h"

#include "storage/db_internal.h"

void ldb_position_store(struct ldb_position_cell *cell,
                        const struct ldb_position *position)
{
    uint64_t turn = atomic_load_explicit(&cell->turn, memory_order_relaxed);

    atomic_store_explicit(&cell->turn, turn + 1, memory_order_relaxed);
    atomic_store_explicit(&cell->journal, position->journal,
                          memory_order_release);
    atomic_store_explicit(&cell->offset, position->offset,
                          memory_order_release);
    atomic_store_explicit(&cell->sequence, position->sequence,
                          memory_order_release);
    atomic_store_explicit(&cell->turn, turn + 2, memory_order_release);
}

struct ldb_position ldb_position_load(const struct ldb_position_cell *cell)
{
    struct ldb_position position;
    uint64_t before;
    uint64_t after;

    for (;;) {
        before = atomic_load_explicit(&cell->turn, memory_order_acquire);
        position.journal =
            atomic_load_explicit(&cell->journal, memory_order_acquire);
        position.offset =
            atomic_load_explicit(&cell->offset, memory_order_acquire);
        position.sequence =
            atomic_load_explicit(&cell->sequence, memory_order_acquire);
        after = atomic_load_explicit(&cell->turn, memory_order_relaxed);
        if (before == after && before % 2 == 0)
            return position;
        LDB_SPIN_PAUSE();
    }
}

/* ---- the database's ---- */

struct ldb_position ldb_durable_position(struct ldb_db *db)
{
    return ldb_position_load(&db->durable);
}

void ldb_durable_restart(struct ldb_db *db, uint64_t journal,
                         ldb_sequence sequence)
{
    const struct ldb_position position = {.journal = journal,
                                          .sequence = sequence};

    ldb_position_store(&db->written, &position);
    ldb_position_store(&db->durable, &position);
}

void ldb_durable_next_journal(struct ldb_db *db, uint64_t journal)
{
    struct ldb_position position = ldb_position_load(&db->written);

    position.journal = journal;
    position.offset = 0;
    ldb_position_store(&db->written, &position);
}

void ldb_durable_raise(struct ldb_db *db, ldb_sequence sequence)
{
    struct ldb_position written = ldb_position_load(&db->written);
    struct ldb_position durable = ldb_position_load(&db->durable);
    bool is_all = durable.journal == written.journal
                      ? durable.offset == written.offset
                      : written.offset == 0;

    written.sequence = sequence;
    ldb_position_store(&db->written, &written);
    if (!is_all)
        return; /* what is below it is not yet durable */
    durable.sequence = sequence;
    ldb_position_store(&db->durable, &durable);
}

bool ldb_durable_advance(struct ldb_db *db, const struct ldb_position *to)
{
    struct ldb_position now = ldb_position_load(&db->durable);

    /* A new journal's name comes with its first bytes: until then the end of
     * the one before is what is durable. */
    if (to->offset == 0 ||
        (now.journal == to->journal && now.offset >= to->offset))
        return false;
    assert(now.sequence <= to->sequence);
    ldb_position_store(&db->durable, to);
    return true;
}

/* ---- watching ---- */

void ldb_durable_tell(struct ldb_db *db)
{
    /* Acquire: what who watches has made before is seen by the callback. */
    if (atomic_load_explicit(&db->watchers, memory_order_acquire) > 0 &&
        db->options.on_durable != NULL)
        db->options.on_durable(db->options.on_durable_context);
}

void ldb_watch_begin(struct ldb_db *db)
{
    if (db->options.read_only)
        return;
    ldb_mutex_lock(&db->mu);
    (void)atomic_fetch_add_explicit(&db->watchers, 1, memory_order_release);
    /* A leader that has not seen it yet has published by then. */
    ldb_journal_sync_arm(db);
    ldb_mutex_unlock(&db->mu);
}

void ldb_watch_end(struct ldb_db *db)
{
    uint32_t before;

    if (db->options.read_only)
        return;
    before = atomic_fetch_sub_explicit(&db->watchers, 1, memory_order_relaxed);
    assert(before > 0);
    (void)before;
}

void ldb_sync_soon(struct ldb_db *db)
{
    if (db->options.read_only)
        return;
    ldb_mutex_lock(&db->mu);
    ldb_journal_sync_ask(db);
    ldb_mutex_unlock(&db->mu);
}
