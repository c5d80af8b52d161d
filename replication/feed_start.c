#include "replication/feed_start.h"

void repl_feed_start_find(const struct repl_epoch_history *history,
                          ldb_sequence last, ldb_sequence since,
                          struct repl_feed_start *out)
{
    *out = (struct repl_feed_start){.since = since};
    if (since > last) {
        out->is_lost = true;
        out->fork = last;
        return;
    }
    /* The newest epochs are asked for most. */
    for (size_t i = history->count; i-- > 0;) {
        const struct repl_epoch *epoch = &history->items[i];
        ldb_sequence end = epoch->previous_last;

        /* An epoch without a write ends where it began. */
        if (i > 0 && history->items[i - 1].base > end)
            end = history->items[i - 1].base;
        if (since >= epoch->base)
            return;
        if (since > end) {
            out->is_lost = true;
            out->fork = epoch->previous_last;
            return;
        }
        if ((since == end || since == epoch->previous_last) &&
            out->since < epoch->base)
            out->since = epoch->base;
    }
}
