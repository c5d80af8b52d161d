/*
 * The streams of changes that are open: how many there may be, which of them
 * wait for something to become durable, and the history they are judged by.
 *
 * A feed waits without a thread: its exchange is woken when the durable
 * position moves (api_feeds_durable(), called by the engine), when its time is
 * up (api_feeds_tick()), or when the server stops (api_feeds_end()).
 *
 * Thread-safety: any thread. mu guards all; nothing is called under it but
 * api_exchange_wake(), which does not wait.
 */
#ifndef API_FEEDS_H
#define API_FEEDS_H

#include "api/exchange.h"
#include "replication/feed_start.h"

struct api_feeds;

/* One stream; zeroed, x set. Its owner's, but what it waits for. */
struct api_feed {
    struct api_exchange *x;
    bool is_in;
    bool is_waiting; /* to be woken, once */
    uint64_t wake_at_us;
    struct api_feed *prev;
    struct api_feed *next;
};

/* db is borrowed; NULL: none yet. NULL: no memory. */
LDB_MUST_CHECK struct api_feeds *api_feeds_create(struct ldb_db *db);
/* None is open. NULL is fine. */
void api_feeds_destroy(struct api_feeds *feeds);

/* The epochs from now on, copied. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
api_feeds_set_history(struct api_feeds *feeds,
                      const struct repl_epoch_history *history);
/* What since means in it (repl_feed_start_find()). */
void api_feeds_find_start(struct api_feeds *feeds, ldb_sequence since,
                          struct repl_feed_start *out);

/*
 * The feed is open, until leave; while any is, the engine has its durable
 * position watched. False: there are max already.
 */
LDB_MUST_CHECK bool api_feeds_enter(struct api_feeds *feeds, uint64_t max,
                                    struct api_feed *feed);
/* Also ends a wait: nobody wakes it once this has returned. Not entered is
 * fine. */
void api_feeds_leave(struct api_feeds *feeds, struct api_feed *feed);

/*
 * The feed has given all up to position, and waits for more, at most until
 * wake_at_us. False: there is more, or the server stops: look again.
 */
LDB_MUST_CHECK bool api_feeds_wait(struct api_feeds *feeds,
                                   struct api_feed *feed, ldb_sequence position,
                                   uint64_t wake_at_us);

/* The durable position has moved. Does not block. */
void api_feeds_durable(struct api_feeds *feeds);
/* A few times a second: wakes those whose time is up. */
void api_feeds_tick(struct api_feeds *feeds, uint64_t now_us);
/* The database goes: feeds end, and none waits until there is another. */
void api_feeds_shut(struct api_feeds *feeds);
/* Another one, borrowed; no feed is open. */
void api_feeds_set_db(struct api_feeds *feeds, struct ldb_db *db);

/* The server stops: feeds end. */
void api_feeds_end(struct api_feeds *feeds);
bool api_feeds_are_ending(struct api_feeds *feeds);

struct api_feeds_figures {
    uint64_t open;
    uint64_t opened_total;
    uint64_t refused_total; /* for there were too many */
};
void api_feeds_figures(struct api_feeds *feeds, struct api_feeds_figures *out);

#endif
