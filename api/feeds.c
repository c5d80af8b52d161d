#include "api/feeds.h"

#include "storage/base/mem.h"
#include "storage/base/mutex.h"

struct api_feeds {
    struct ldb_db *db; /* constant to who is inside the gate */
    struct ldb_mutex mu;
    struct repl_epoch_history history; /* guarded by mu, as is all below */
    struct api_feed *first;
    bool is_shut;
    bool is_ending;
    struct api_feeds_figures figures;
};

struct api_feeds *api_feeds_create(struct ldb_db *db)
{
    struct api_feeds *feeds = ldb_mem_zalloc(1, sizeof(*feeds));

    if (feeds == NULL)
        return NULL;
    feeds->db = db;
    ldb_mutex_init(&feeds->mu);
    return feeds;
}

void api_feeds_destroy(struct api_feeds *feeds)
{
    if (feeds == NULL)
        return;
    assert(feeds->first == NULL);
    repl_epoch_history_release(&feeds->history);
    ldb_mutex_release(&feeds->mu);
    ldb_mem_free(feeds);
}

/* ---- the history ---- */

enum ldb_status api_feeds_set_history(struct api_feeds *feeds,
                                      const struct repl_epoch_history *history)
{
    struct repl_epoch_history copy = {0};
    struct repl_epoch_history old;
    enum ldb_status s = repl_epoch_history_copy(history, NULL, &copy);

    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&feeds->mu);
    old = feeds->history;
    feeds->history = copy;
    ldb_mutex_unlock(&feeds->mu);
    repl_epoch_history_release(&old);
    return LDB_OK;
}

void api_feeds_find_start(struct api_feeds *feeds, ldb_sequence since,
                          struct repl_feed_start *out)
{
    ldb_mutex_lock(&feeds->mu);
    repl_feed_start_find(&feeds->history, ldb_last_sequence(feeds->db), since,
                         out);
    ldb_mutex_unlock(&feeds->mu);
}

/* ---- who is here ---- */

bool api_feeds_enter(struct api_feeds *feeds, uint64_t max,
                     struct api_feed *feed)
{
    bool has_room;

    ldb_mutex_lock(&feeds->mu);
    has_room = feeds->figures.open < max;
    if (has_room) {
        feed->is_in = true;
        feed->prev = NULL;
        feed->next = feeds->first;
        if (feeds->first != NULL)
            feeds->first->prev = feed;
        feeds->first = feed;
        feeds->figures.open++;
        feeds->figures.opened_total++;
    } else {
        feeds->figures.refused_total++;
    }
    ldb_mutex_unlock(&feeds->mu);
    if (has_room)
        ldb_watch_begin(feeds->db);
    return has_room;
}

void api_feeds_leave(struct api_feeds *feeds, struct api_feed *feed)
{
    if (!feed->is_in)
        return;
    ldb_mutex_lock(&feeds->mu);
    if (feed->prev != NULL)
        feed->prev->next = feed->next;
    else
        feeds->first = feed->next;
    if (feed->next != NULL)
        feed->next->prev = feed->prev;
    feed->is_in = false;
    feed->is_waiting = false;
    feeds->figures.open--;
    ldb_mutex_unlock(&feeds->mu);
    ldb_watch_end(feeds->db);
}

/* ---- waiting ---- */

bool api_feeds_wait(struct api_feeds *feeds, struct api_feed *feed,
                    ldb_sequence position, uint64_t wake_at_us)
{
    bool waits;

    ldb_mutex_lock(&feeds->mu);
    /* Who moves the position takes mu afterwards, and finds it waiting. */
    waits = !feeds->is_ending && !feeds->is_shut &&
            ldb_durable_position(feeds->db).sequence <= position;
    feed->is_waiting = waits;
    feed->wake_at_us = wake_at_us;
    ldb_mutex_unlock(&feeds->mu);
    return waits;
}

/* Wakes those whose time is now. */
static void wake_due(struct api_feeds *feeds, uint64_t now_us)
{
    ldb_mutex_lock(&feeds->mu);
    for (struct api_feed *f = feeds->first; f != NULL; f = f->next) {
        if (!f->is_waiting || f->wake_at_us > now_us)
            continue;
        f->is_waiting = false;
        api_exchange_wake(f->x);
    }
    ldb_mutex_unlock(&feeds->mu);
}

void api_feeds_durable(struct api_feeds *feeds)
{
    wake_due(feeds, UINT64_MAX);
}

void api_feeds_tick(struct api_feeds *feeds, uint64_t now_us)
{
    wake_due(feeds, now_us);
}

void api_feeds_shut(struct api_feeds *feeds)
{
    ldb_mutex_lock(&feeds->mu);
    feeds->is_shut = true;
    ldb_mutex_unlock(&feeds->mu);
    wake_due(feeds, UINT64_MAX);
}

void api_feeds_set_db(struct api_feeds *feeds, struct ldb_db *db)
{
    ldb_mutex_lock(&feeds->mu);
    assert(feeds->first == NULL);
    feeds->db = db;
    feeds->is_shut = false;
    ldb_mutex_unlock(&feeds->mu);
}

void api_feeds_end(struct api_feeds *feeds)
{
    ldb_mutex_lock(&feeds->mu);
    feeds->is_ending = true;
    ldb_mutex_unlock(&feeds->mu);
    wake_due(feeds, UINT64_MAX);
}

bool api_feeds_are_ending(struct api_feeds *feeds)
{
    bool are_ending;

    ldb_mutex_lock(&feeds->mu);
    are_ending = feeds->is_ending || feeds->is_shut;
    ldb_mutex_unlock(&feeds->mu);
    return are_ending;
}

void api_feeds_figures(struct api_feeds *feeds, struct api_feeds_figures *out)
{
    ldb_mutex_lock(&feeds->mu);
    *out = feeds->figures;
    ldb_mutex_unlock(&feeds->mu);
}
