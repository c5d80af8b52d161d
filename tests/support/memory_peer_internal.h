/*
 * What the files of the node in memory share: memory_peer.c makes it, rules and
 * counts; memory_peer_answer.c answers with documents, memory_peer_file.c with
 * bytes. Theirs alone.
 */
#ifndef TESTS_SUPPORT_MEMORY_PEER_INTERNAL_H
#define TESTS_SUPPORT_MEMORY_PEER_INTERNAL_H

#include "storage/base/mutex.h"
#include "tests/support/memory_peer.h"
#include "tests/support/served_db.h"

#define MEMORY_PEER_RULES_MAX       32
#define MEMORY_PEER_CHECKPOINTS_MAX 16

/* A path or file name, as it is remembered. */
#define MEMORY_PEER_PATH_SIZE 64

struct memory_peer_applied_rule {
    struct memory_peer_rule rule;
    char path[MEMORY_PEER_PATH_SIZE];
    bool has_path;
    unsigned seen;
    bool is_gone;
};

struct memory_peer_request {
    enum memory_peer_call call;
    char path[MEMORY_PEER_PATH_SIZE];
    uint64_t bytes;
};

struct memory_peer_held {
    uint64_t id; /* 0: free */
    char node_id[REPL_ID_SIZE];
};

/*
 * Locking.
 * Guarded by mu: all but the next two. served, options and dir are changed by
 *   set_db alone, while no call uses the database (users).
 * Guarded by held_mu, which is taken by users and before mu: next_checkpoint,
 *   held, versions.
 */
struct memory_peer {
    struct repl_peer base; /* first: cast back from it */
    struct ldb_mutex mu;
    struct ldb_cond changed; /* with mu */

    struct served_db served; /* db NULL: down */
    struct ldb_options options;
    char dir[MEMORY_PEER_PATH_SIZE];
    unsigned users; /* calls that look at the database now */
    uint64_t life;  /* of set_db calls: a call of an earlier one ends */

    struct repl_identity identity;
    struct repl_epoch_history history;
    struct memory_peer_edits edits;
    bool knows_digests;
    size_t pieces_max;
    uint64_t seed;

    struct memory_peer_applied_rule rules[MEMORY_PEER_RULES_MAX];
    size_t rule_count;
    unsigned holding; /* calls held now */
    uint64_t let_go;  /* how often */

    struct memory_peer_request *requests;
    size_t request_count;
    struct repl_ack last_ack;
    bool has_ack;

    struct ldb_mutex held_mu;
    uint64_t next_checkpoint;
    struct memory_peer_held held[MEMORY_PEER_CHECKPOINTS_MAX];
    struct served_version versions[MEMORY_PEER_CHECKPOINTS_MAX];
};

struct memory_peer_transport {
    struct repl_transport base; /* first: cast back from it */
    struct memory_peer *peer;
    bool is_interrupted; /* guarded by the peer's mu */
};

/* One call on its way. */
struct memory_peer_way {
    struct memory_peer_transport *t;
    size_t request; /* its index */
    uint64_t life;
    bool has_rule;
    struct memory_peer_rule rule;
};

/* ---- a call on its way (memory_peer.c) ---- */

/* What comes before any answer: the call is remembered, and refused or held. */
enum ldb_status memory_peer_set_out(struct memory_peer_transport *t,
                                    enum memory_peer_call call,
                                    const char *path, uint64_t from,
                                    struct ldb_error *err,
                                    struct memory_peer_way *out);

/* Whether the call's rule is this one. */
bool memory_peer_is_to(const struct memory_peer_way *way,
                       enum memory_peer_fault what);

/* Not OK: why the call goes on no more: CANCELLED, or IO as the node is down.
 */
enum ldb_status memory_peer_check_locked(const struct memory_peer *peer,
                                         const struct memory_peer_way *way,
                                         struct ldb_error *err)
    LDB_REQUIRES(peer->mu);
enum ldb_status memory_peer_check(const struct memory_peer_way *way,
                                  struct ldb_error *err);

/* OK: *out stays open until leave. */
enum ldb_status memory_peer_enter(const struct memory_peer_way *way,
                                  struct ldb_error *err, struct served_db *out);
void memory_peer_leave(struct memory_peer *peer);

/* ---- what a transport does ---- */

/* memory_peer_answer.c */
enum ldb_status memory_peer_answer(struct repl_transport *base,
                                   const char *path, struct ldb_slice body,
                                   struct ldb_error *err, struct ldb_buf *out,
                                   unsigned *out_http);

/* memory_peer_file.c */
enum ldb_status memory_peer_give(struct repl_transport *base,
                                 const struct repl_get *get,
                                 struct ldb_error *err);
enum ldb_status memory_peer_tell_head(struct repl_transport *base,
                                      const char *name, struct ldb_error *err,
                                      struct repl_file_head *out);

#endif
