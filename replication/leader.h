/*
 * What a leader has for its followers, over an open database: its files
 * (served_file.h), their digests (digest_index.h), versions held for who builds
 * a folder anew (checkpoints.h), the followers by their slots (slots.h), and
 * the writes that wait for them (write_concern.h). Made when a node begins to
 * lead, ended before it steps down.
 *
 *     repl_leader_create     after repl_node_begin() and ldb_raise_sequence()
 *     repl_leader_durable    ldb_options.on_durable
 *     repl_leader_tick       a few times a second
 *     repl_leader_end        streams end, waits are answered; nobody waits anew
 *     repl_leader_destroy    before ldb_close()
 *
 * Thread-safety: any thread, but for create and destroy.
 */
#ifndef REPLICATION_LEADER_H
#define REPLICATION_LEADER_H

#include "replication/protocol.h"

struct repl_checkpoints;
struct repl_digest_index;
struct repl_leader;
struct repl_served_files;
struct repl_slots;
struct repl_write_concern;

struct repl_leader_options {
    struct ldb_db *db; /* borrowed until destroy, as is env */
    struct ldb_env *env;
    const char *dir;                  /* copied, as is the rest */
    const struct ldb_options *engine; /* that db was opened with */
    const struct repl_identity *identity;
    const struct repl_epoch_history *history; /* its last epoch is ours */
    uint64_t slot_bytes; /* of journals that a follower holds at most */
};

/* Errors: READ_ONLY: db is read-only, or a twin; those of the sidecar's files;
 * NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_leader_create(const struct repl_leader_options *options,
                   struct ldb_error *err, struct repl_leader **out);
/* NULL is fine. No file of it is open. */
void repl_leader_destroy(struct repl_leader *leader);

/* A new epoch in a running process (ldb_reopen()). Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
repl_leader_set_history(struct repl_leader *leader,
                        const struct repl_epoch_history *history,
                        struct ldb_error *err);

/* The durable position has moved. Does not block. */
void repl_leader_durable(struct repl_leader *leader);
/* What has its time. May write a small file of the sidecar. */
void repl_leader_tick(struct repl_leader *leader);
/* It does not lead any more, or the process ends. */
void repl_leader_end(struct repl_leader *leader);

/* ---- what it answers ---- */

/* Fills a zeroed state, but for leader_url, which stays "". Errors:
 * NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status repl_leader_state(struct repl_leader *leader,
                                                 struct ldb_error *err,
                                                 struct repl_state *out);

/*
 * A follower says where it stands: its slot is as it says from now on, and
 * writes that wait for it go on.
 *
 * Errors: PRECONDITION: it is of another epoch than ours (nothing is changed);
 * those of the slots.
 */
LDB_MUST_CHECK enum ldb_status repl_leader_ack(struct repl_leader *leader,
                                               const struct repl_ack *ack,
                                               struct ldb_error *err,
                                               struct repl_heartbeat *out);

/* ---- its parts; alive until destroy ---- */

struct repl_served_files *repl_leader_files(struct repl_leader *leader);
struct repl_digest_index *repl_leader_digests(struct repl_leader *leader);
struct repl_checkpoints *repl_leader_checkpoints(struct repl_leader *leader);
struct repl_slots *repl_leader_slots(struct repl_leader *leader);
struct repl_write_concern *repl_leader_concern(struct repl_leader *leader);

#endif
