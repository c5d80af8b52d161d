/*
 * The followers of a leader, each a slot with its node id for a name: what it
 * said last, and when; which journals are kept for it. Names and places are in
 * leveld/slots, so that after a restart the same journals are kept before
 * anybody has asked.
 *
 * A slot pins the journal up to which its follower has synced, and with it all
 * later ones, up to a number of bytes; beyond, or once the engine itself had to
 * let one go (storage/retained.h), the slot is lost: nothing is kept for it,
 * and it is told so in each heartbeat. It is found again once it says that it
 * stands at a place from which all journals are here, within those bytes. A
 * follower that has no journal yet needs none, and is not lost.
 *
 * How far a follower has synced counts for write concern (write_concern.h)
 * whether or not it is alive or lost: what it has on its disk it has. What
 * leveld/slots says counts for nothing there.
 *
 * Thread-safety: any thread. mu guards all; no file is touched under it, and
 * none at all but by tick and close.
 */
#ifndef REPLICATION_SLOTS_H
#define REPLICATION_SLOTS_H

#include "replication/slot_store.h"
#include "storage/retained.h"

/* Bytes of journals that one slot keeps. Chosen: a minute or two of writes as
 * fast as one disk takes them. */
#define REPL_SLOT_BYTES (UINT64_C(1) << 30)

/* A follower not heard of for so long is not alive: some heartbeats, each at
 * most a second after the one before. Chosen. */
#define REPL_SLOT_ALIVE_US (UINT64_C(5) * 1000000)

struct repl_slots;

struct repl_slots_options {
    struct ldb_env *env;           /* borrowed */
    const char *dir;               /* the database's; copied */
    struct ldb_retained *retained; /* of the open database; borrowed */
    uint64_t bytes_max;            /* a slot; 0: REPL_SLOT_BYTES */
    /* Tick tells each slot that was lost, or found, since the last one; no lock
     * is held. NULL: nobody is told. */
    void (*on_lost)(void *context, const char *node_id, bool is_lost);
    void *context;
};

/* One slot as it is now. */
struct repl_slot {
    char node_id[REPL_ID_SIZE];
    bool has_ack;        /* since open; else ack is zeroed but for its url and
                            the place up to which it had synced at least */
    struct repl_ack ack; /* the last one */
    uint64_t heard_us;   /* monotonic, of the last ack; 0: none since open */
    bool is_alive;
    bool is_lost;
    uint64_t journal;       /* kept from here on; 0: lost */
    uint64_t kept_bytes;    /* of sealed journals, from that one on */
    uint64_t lag_sequences; /* durable here and not applied there; 0 without
                               an ack, as are the next two */
    uint64_t lag_bytes;     /* of the journals here, durable and not synced
                               there; as of the last tick, as kept_bytes */
    uint64_t lag_us;        /* for how long it has lacked the first of them */
};

/*
 * Reads leveld/slots and pins. DIR/leveld is there. A damaged file is no error:
 * there are no slots then, until their followers are heard of.
 *
 * Errors: NOT_SUPPORTED: a newer format; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_slots_open(const struct repl_slots_options *options, struct ldb_error *err,
                struct repl_slots **out);

/* Stores where all stand, and unpins; before the database is closed. NULL is
 * fine. Errors: what storing failed with: then leveld/slots names earlier
 * places, and more is kept. */
LDB_MUST_CHECK enum ldb_status repl_slots_close(struct repl_slots *slots,
                                                struct ldb_error *err);

/*
 * A follower has spoken, under the epoch of this leader: its slot, made when it
 * is new, moves to where it says it stands; *out_is_lost is for the heartbeat.
 * When all slots are taken, the follower longest dead gives up its own.
 * Does not block.
 *
 * Errors: STALLED: all slots are taken, by living followers; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status repl_slots_ack(struct repl_slots *slots,
                                              const struct repl_ack *ack,
                                              struct ldb_error *err,
                                              bool *out_is_lost);

/* The follower will not come back: its slot goes. False: there is none. */
bool repl_slots_remove(struct repl_slots *slots, const char *node_id);

/*
 * The highest sequences that followers have synced, in descending order: of the
 * first the highest, of the N-th what N of them have. Returns how many, at most
 * max; only those heard of since open count.
 */
size_t repl_slots_synced(struct repl_slots *slots, ldb_sequence *out,
                         size_t max);

/*
 * A few times a second, one caller, not on a loop; durable->sequence is that of
 * an entry, here and below: a leader's jumps to the base of its epoch before it
 * has any (repl_epoch_history_last_entry()). Looks which slots are lost now,
 * notes for lag_us what is durable, and stores what has changed, which waits
 * for the disk. Errors: those of repl_sidecar_write(): it is tried again, a
 * second later at the soonest; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_slots_tick(struct repl_slots *slots, const struct ldb_position *durable,
                struct ldb_error *err);

/* All slots by node id from the first one above after ("": from the first), up
 * to max; returns how many. */
size_t repl_slots_list(struct repl_slots *slots,
                       const struct ldb_position *durable, const char *after,
                       struct repl_slot *out, size_t max);

struct repl_slots_figures {
    uint64_t slots;
    uint64_t alive;
    uint64_t lost;
    uint64_t kept_bytes;    /* of sealed journals, from the oldest kept on */
    uint64_t lost_total;    /* times a slot was lost, since open */
    uint64_t evicted_total; /* slots that gave way to a new one, since open */
};
void repl_slots_figures(struct repl_slots *slots,
                        struct repl_slots_figures *out);

#endif
