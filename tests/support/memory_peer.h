/*
 * A node to follow, without a network: a repl_peer that serves the folder of a
 * database opened in the same test, durable bytes alone, as a leader does over
 * HTTP. Whatever happens on a network happens when a rule says so.
 *
 *     struct memory_peer *peer = memory_peer_create();
 *
 *     memory_peer_hook(peer, &options);
 *     ... ldb_open("/leader", &options, NULL, &err, &db) ...
 *     memory_peer_set_db(peer, db, &options, "/leader");
 *     memory_peer_rule(peer, &(struct memory_peer_rule){
 *                                .what = MEMORY_PEER_CUT,
 *                                .path = ".log", .bytes = 1000, .times = 1});
 *     ... memory_peer_repl(peer) is what to follow ...
 *     memory_peer_set_db(peer, NULL, NULL, NULL);
 *     ... ldb_close(db, &err) ...
 *     memory_peer_destroy(peer);
 *
 * It answers GET state, POST ack and POST checkpoint under /v1/replication/,
 * and files of every kind, archived journals too. Its identity and its epoch
 * are made up (epoch 1, base 0) unless they are set.
 *
 * Thread-safety: any thread, but create and destroy. Aborts without memory.
 */
#ifndef TESTS_SUPPORT_MEMORY_PEER_H
#define TESTS_SUPPORT_MEMORY_PEER_H

#include "replication/protocol.h"
#include "replication/transport.h"
#include "storage/include/ldb.h"

struct memory_peer;

struct memory_peer *memory_peer_create(void);
/* Its transports are destroyed, and it has no database. NULL is fine. */
void memory_peer_destroy(struct memory_peer *peer);

/* Valid as long as the peer. */
struct repl_peer *memory_peer_repl(struct memory_peer *peer);

/* ---- the database ---- */

/* Before the open: who follows is woken when more is durable. */
void memory_peer_hook(struct memory_peer *peer, struct ldb_options *options);

/*
 * What to serve from now on; options as it was opened with, dir its path there.
 * db NULL: nothing: the node is down, calls under way end with IO and others
 * are refused. Returns once none uses the one before.
 */
void memory_peer_set_db(struct memory_peer *peer, struct ldb_db *db,
                        const struct ldb_options *options, const char *dir);

/* Files have grown: those who follow look again. Otherwise they do when more of
 * a journal is durable (memory_peer_hook), and every few milliseconds. */
void memory_peer_wake(struct memory_peer *peer);

/* ---- who it says it is ---- */

void memory_peer_set_identity(struct memory_peer *peer,
                              const struct repl_identity *identity);
/* Copied. Its last epoch is the heartbeat's, and that which an ack has to have;
 * any other is refused with 409. */
void memory_peer_set_history(struct memory_peer *peer,
                             const struct repl_epoch_history *history);
void memory_peer_identity(struct memory_peer *peer, struct repl_identity *out);

/* Changes states, heartbeats and checkpoints before they are encoded; members
 * of NULL: as they are. On the caller's thread, with no lock held. */
struct memory_peer_edits {
    void (*state)(void *context, struct repl_state *state);
    void (*heartbeat)(void *context, struct repl_heartbeat *heartbeat);
    void (*checkpoint)(void *context, struct repl_checkpoint *checkpoint);
    void *context;
};
void memory_peer_set_edits(struct memory_peer *peer,
                           const struct memory_peer_edits *edits);

/* false: no digest of a file is known, as after a start; true at first. */
void memory_peer_set_knows_digests(struct memory_peer *peer, bool knows);

/* ---- what happens to calls ---- */

/* Bytes come in pieces of 1 to max at random; 0: as large as they are read, as
 * at first. */
void memory_peer_set_pieces(struct memory_peer *peer, size_t max,
                            uint64_t seed);

enum memory_peer_fault {
    MEMORY_PEER_REFUSE, /* no answer: IO */
    MEMORY_PEER_STATUS, /* an answer of HTTP status `http`, a problem body */
    MEMORY_PEER_CUT,    /* a file's bytes up to offset `bytes`, then IO */
    MEMORY_PEER_END,    /* up to there, then an end as if all was well */
    MEMORY_PEER_SILENT, /* up to there, then nothing until the call's idle_us
                           or an interrupt; without idle_us IO at 30 s */
    MEMORY_PEER_FLIP,   /* a bit of the byte at offset `bytes` is another one */
    MEMORY_PEER_HOLD, /* the call waits before its answer until it is let go */
    MEMORY_PEER_BABBLE, /* the answer is no JSON, or one byte too many */
};

enum memory_peer_call {
    MEMORY_PEER_ANY,
    MEMORY_PEER_CALL, /* state, ack, checkpoint */
    MEMORY_PEER_GET,
    MEMORY_PEER_HEAD,
};

/*
 * The first rule that a call fits decides about it, and no other. Bytes before
 * the rule's offset come as they are; a call that begins behind it is not of
 * the rule.
 */
struct memory_peer_rule {
    enum memory_peer_fault what;
    enum memory_peer_call call;
    const char *path; /* part of the path or file name; NULL: any. Copied. */
    unsigned skip;    /* calls that fit and are let pass first */
    unsigned times;   /* calls it is for, then it is used up; 0: all */
    uint64_t bytes;
    unsigned http;
};
void memory_peer_rule(struct memory_peer *peer,
                      const struct memory_peer_rule *rule);
/* No rule is left; held calls go on. */
void memory_peer_forget_rules(struct memory_peer *peer);

/* Waits until so many calls are held at once; false: they were not in time.
 * Then they can be let go, and those rules of HOLD are gone. */
bool memory_peer_wait_held(struct memory_peer *peer, unsigned calls);
void memory_peer_let_go(struct memory_peer *peer);

/* ---- what has happened ---- */

/* Calls begun whose path or name has that text (NULL: any). */
uint64_t memory_peer_count(struct memory_peer *peer, enum memory_peer_call call,
                           const char *path);
/* Bytes of files given. */
uint64_t memory_peer_bytes(struct memory_peer *peer, const char *name);
/* The last ack that was taken; false: none was. */
bool memory_peer_last_ack(struct memory_peer *peer, struct repl_ack *out);
/* Waits until an ack was taken whose applied sequence is at least that; false:
 * none was in time (patience.h). */
bool memory_peer_wait_applied(struct memory_peer *peer, ldb_sequence sequence);
bool memory_peer_wait_synced(struct memory_peer *peer, ldb_sequence sequence);
/* Checkpoints held now: let go of, renewed or replaced by their node alone. */
unsigned memory_peer_checkpoints(struct memory_peer *peer);
/* As a minute without a request does. */
void memory_peer_expire_checkpoints(struct memory_peer *peer);

#endif
