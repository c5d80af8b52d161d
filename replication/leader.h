/*
 * What a leader has for its followers, over an open database: its files
 * (served_file.h), versions held for who builds a folder anew (checkpoints.h),
 * and its followers by their slots (slots.h), which say how far the writes have
 * come that wait for them (write_concern.h). Made when a node begins to lead,
 * ended before it steps down.
 *
 *     repl_leader_create     after repl_node_begin() and ldb_raise_sequence()
 *     repl_leader_durable    ldb_options.on_durable
 *     repl_leader_tick       a few times a second
 *     repl_leader_end        streams end, waits are answered; nobody waits anew
 *     repl_leader_close      before ldb_close(); nobody asks any more
 *     repl_leader_destroy    after it: on_durable may come until then
 *
 * Thread-safety: any thread, but for create, close and destroy; tick on one.
 */
#ifndef REPLICATION_LEADER_H
#define REPLICATION_LEADER_H

#include "replication/checkpoints.h"
#include "replication/digest_index.h"
#include "replication/served_file.h"
#include "replication/slots.h"
#include "replication/write_concern.h"

struct repl_leader;

struct repl_leader_options {
    struct ldb_db *db;   /* borrowed until close, as is digests */
    struct ldb_env *env; /* borrowed until destroy, as is concern */
    struct repl_digest_index *digests; /* of the folder's files */
    /* Led by our slots until end; who waits there wakes in it. */
    struct repl_write_concern *concern;
    const char *dir;                  /* copied, as is the rest */
    const struct ldb_options *engine; /* that db was opened with */
    const struct repl_identity *identity;
    const struct repl_epoch_history *history; /* its last epoch is ours */
    uint64_t slot_bytes; /* of journals that a follower keeps; 0: default */
    /* Tick tells each follower that fell too far behind, or is found again; no
     * lock is held. NULL: nobody is told. */
    void (*on_lost)(void *context, const char *node_id, bool is_lost);
    void *context;
};

/*
 * DIR/leveld is there. Errors: READ_ONLY: db is read-only, or a twin; those of
 * repl_slots_open(); NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_leader_create(const struct repl_leader_options *options,
                   struct ldb_error *err, struct repl_leader **out);
/* Ends, and lets go of all that is held of the database; no file of it is open.
 * Only durable may still be called. Slots that cannot be stored now are so at
 * earlier places. Again, or NULL, is fine. */
void repl_leader_close(struct repl_leader *leader);
/* Closes, unless that was done. NULL is fine. */
void repl_leader_destroy(struct repl_leader *leader);

/* A new epoch in a running process, before its first byte (ldb_reopen()).
 * Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_leader_set_history(struct repl_leader *leader,
                        const struct repl_epoch_history *history,
                        struct ldb_error *err);

/* The durable position has moved. Does not block. */
void repl_leader_durable(struct repl_leader *leader);
/* What has its time; waits for the disk. Errors: those of repl_slots_tick(). */
LDB_MUST_CHECK enum ldb_status repl_leader_tick(struct repl_leader *leader,
                                                struct ldb_error *err);
/* It does not lead any more, or the process ends. */
void repl_leader_end(struct repl_leader *leader);
/* Disk space runs out: lets go of what can be held again (checkpoints). */
void repl_leader_free_space(struct repl_leader *leader);

/* ---- what it answers ---- */

/* The epoch it leads in. */
void repl_leader_epoch(struct repl_leader *leader, uint64_t *out_number,
                       uint64_t *out_id);

/* Where the last entry stands that is durable: its sequence is no epoch's base,
 * which ldb_durable_position() shows until the first write. */
struct ldb_position repl_leader_durable_entry(struct repl_leader *leader);
/* The sequence itself, or when it is an epoch's base that of the last entry
 * before it. */
ldb_sequence repl_leader_last_entry(struct repl_leader *leader,
                                    ldb_sequence sequence);

/* Fills a zeroed state; leader_url stays "". Errors: those of
 * repl_journal_list_take(). */
LDB_MUST_CHECK enum ldb_status repl_leader_state(struct repl_leader *leader,
                                                 struct ldb_error *err,
                                                 struct repl_state *out);

/*
 * A follower says where it stands: its slot is as it says from now on, and
 * writes that wait for it go on. Does not block.
 *
 * Errors: PRECONDITION: it is of another epoch than ours, or has synced more
 * than is durable here, so that it has another history; nothing has changed
 * then; those of repl_slots_ack().
 */
LDB_MUST_CHECK enum ldb_status repl_leader_ack(struct repl_leader *leader,
                                               const struct repl_ack *ack,
                                               struct ldb_error *err,
                                               struct repl_heartbeat *out);

struct repl_leader_figures {
    struct repl_slots_figures slots;
    struct repl_served_figures files;
    uint64_t checkpoints; /* held now */
    uint64_t acks_total;
    uint64_t acks_refused_total; /* of another epoch */
    /* The highest epoch that an ack named: above ours, somebody else leads. */
    uint64_t epoch_heard;
};
void repl_leader_figures(struct repl_leader *leader,
                         struct repl_leader_figures *out);

/* ---- its parts; alive until close ---- */

struct repl_served_files *repl_leader_files(struct repl_leader *leader);
struct repl_checkpoints *repl_leader_checkpoints(struct repl_leader *leader);
struct repl_slots *repl_leader_slots(struct repl_leader *leader);

#endif
