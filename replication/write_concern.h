/*
 * Writes that wait until N followers have synced them. Nobody holds a thread:
 * who waits is woken by the ack that brings the N-th, by the tick after its
 * deadline, or by the end of the leadership.
 *
 *     repl_write_concern_lead(concern, slots)     this node leads
 *     repl_slots_ack(...)                         on each ack, then
 *     repl_write_concern_acked(concern)
 *     repl_write_concern_end(concern)             before it stops to lead, and
 *                                                 before slots are closed
 *
 * Thread-safety: any thread. mu guards all; wake is called under it, so that
 * nobody is woken after repl_write_concern_leave(). Order: mu, then that of
 * the slots.
 */
#ifndef REPLICATION_WRITE_CONCERN_H
#define REPLICATION_WRITE_CONCERN_H

#include "replication/slots.h"

/* Of replicas=N: no more followers than there are slots for. */
#define REPL_REPLICAS_MAX REPL_SLOTS_MAX

struct repl_write_concern;

enum repl_concern_outcome {
    REPL_CONCERN_WAITING,
    REPL_CONCERN_MET,       /* N followers have synced it */
    REPL_CONCERN_TIMED_OUT, /* it stands here; fewer have synced it */
    REPL_CONCERN_ENDED,     /* this node leads no more: nobody knows */
};

/* A write that waits; zeroed, the upper half set. */
struct repl_concern_wait {
    ldb_sequence sequence; /* its last one */
    unsigned replicas;     /* 1..REPL_REPLICAS_MAX */
    uint64_t deadline_us;  /* monotonic */
    /* Called once, outcome set and not WAITING. Must not block, nor call the
     * concern; wait may be freed in it. */
    void (*wake)(struct repl_concern_wait *wait);
    void *context;

    enum repl_concern_outcome outcome;
    struct repl_concern_wait *next; /* the concern's own, as are the rest */
    struct repl_concern_wait *prev;
    bool is_waiting;
};

/* It does not lead at first. env is borrowed. NULL: no memory. */
LDB_MUST_CHECK struct repl_write_concern *
repl_write_concern_create(struct ldb_env *env);
/* Nobody waits. NULL is fine. */
void repl_write_concern_destroy(struct repl_write_concern *concern);

/* From now on slots (borrowed until end) say what followers have synced. */
void repl_write_concern_lead(struct repl_write_concern *concern,
                             struct repl_slots *slots);
/* All who wait are woken, ENDED; so is each later one, at once. */
void repl_write_concern_end(struct repl_write_concern *concern);

/*
 * The write is durable here. Returns its outcome when that is known at once:
 * MET; ENDED; TIMED_OUT when the deadline has passed. WAITING: wake is called.
 */
LDB_MUST_CHECK enum repl_concern_outcome
repl_write_concern_wait(struct repl_write_concern *concern,
                        struct repl_concern_wait *wait);

/* It waits no more: wake is not called from here on. Not waiting is fine. */
void repl_write_concern_leave(struct repl_write_concern *concern,
                              struct repl_concern_wait *wait);

/* A follower has synced more; its slot says so already. Cheap when nobody
 * waits. */
void repl_write_concern_acked(struct repl_write_concern *concern);

/* A few times a second: those past their deadline time out. */
void repl_write_concern_tick(struct repl_write_concern *concern);

/* How many followers have synced the sequence: for the answer of one that
 * timed out. 0 when it does not lead. */
unsigned repl_write_concern_synced_by(struct repl_write_concern *concern,
                                      ldb_sequence sequence);

/* Whether a write waits, or one came in the last ten seconds: then another may
 * wait for the next ack. */
bool repl_write_concern_is_awaited(struct repl_write_concern *concern);

/* How many followers there are, dead ones too; 0 when it does not lead. */
unsigned repl_write_concern_followers(struct repl_write_concern *concern);

struct repl_write_concern_figures {
    uint64_t waiting;
    uint64_t met_total; /* at once, or after a wait */
    uint64_t timed_out_total;
    uint64_t ended_total;
};
void repl_write_concern_figures(struct repl_write_concern *concern,
                                struct repl_write_concern_figures *out);

#endif
