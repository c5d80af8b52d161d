/*
 * Where in a history somebody stands who comes with a sequence that he was
 * given earlier: maybe under an epoch that has ended since. What an old leader
 * handed out and nobody kept lies between two epochs: a sequence there names a
 * write that was lost.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_FEED_START_H
#define REPLICATION_FEED_START_H

#include "replication/epoch_history.h"

struct repl_feed_start {
    bool is_lost;       /* the sequence is of no write that stands */
    ldb_sequence fork;  /* lost: the last one before it that does */
    ldb_sequence since; /* else: what follows on the sequence is after this */
};

/*
 * last: the last sequence of the history. since at the end of an epoch goes on
 * at the base of the next one: nothing lies between.
 */
void repl_feed_start_find(const struct repl_epoch_history *history,
                          ldb_sequence last, ldb_sequence since,
                          struct repl_feed_start *out);

#endif
