/*
 * One session of a follower, from its first ack to its end: two threads pull
 * journals and edits, and the caller's says where we are and hears where the
 * leader is.
 *
 * Thread-safety: one caller a session.
 */
#ifndef REPLICATION_STREAMING_H
#define REPLICATION_STREAMING_H

#include "replication/client.h"
#include "replication/edit_pull.h"
#include "replication/follow_session.h"

struct repl_streaming {
    struct repl_session *session; /* borrowed, as the rest */
    struct repl_client *client;   /* for acks */
    struct repl_edit_pull *edits;
    const char *node_id;
    const char *url;      /* ours; "": none */
    uint64_t ack_us;      /* between acks when nothing is new */
    uint64_t busy_ack_us; /* and when we are behind */
    uint64_t ack_gap_us;  /* and at least, unless the leader wants each */
    uint64_t watchdog_us; /* silence of a stream that lacks bytes */
};

/*
 * Until the session has ended, and its threads with it. Acks come when
 * something was synced, at once where writes of the leader wait for that, and
 * in time when nothing was; the first one before anything is asked for, so that
 * the leader keeps what we need. Ends the session itself when an ack is refused
 * (409: REPL_END_EPOCH) or has no answer, and when the leader says that it has
 * bytes which do not come.
 */
void repl_streaming_run(struct repl_streaming *streaming);

#endif
