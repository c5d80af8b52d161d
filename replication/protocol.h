/*
 * What nodes say to each other beside the bytes of files: JSON documents under
 * /v1/replication/. Decoding trusts nothing: every member is checked, unknown
 * ones are passed over, and what is missing is an error that names it.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_PROTOCOL_H
#define REPLICATION_PROTOCOL_H

#include "replication/epoch_history.h"
#include "replication/identity.h"
#include "storage/base/digest.h"
#include "storage/include/ldb.h"
#include "storage/version/file_names.h"

/* Of this page. A node refuses another one's documents of a higher version. */
#define REPL_PROTOCOL_VERSION 1

/* Where each is asked for; files are beside them (transport.h). */
#define REPL_STATE_PATH      "/v1/replication/state"
#define REPL_ACK_PATH        "/v1/replication/ack"
#define REPL_CHECKPOINT_PATH "/v1/replication/checkpoint"

/* Bytes of a document; chosen: 100,000 tables of a checkpoint. */
#define REPL_DOCUMENT_BYTES_MAX ((size_t)32 << 20)

/* Bytes of a small one: all but a state and a checkpoint. Chosen: many times
 * what one has. */
#define REPL_MESSAGE_BYTES_MAX ((size_t)16 << 10)

/* Of the name of a comparator or a filter policy, with its NUL. Chosen. */
#define REPL_POLICY_NAME_SIZE 128

/* Of a node's own URL as others reach it, with its NUL. Chosen. */
#define REPL_URL_SIZE 512

enum repl_role {
    REPL_ROLE_LEADER,
    REPL_ROLE_FOLLOWER,
};
const char *repl_role_text(enum repl_role role); /* "leader", "follower" */

/*
 * Sequences of a list of journals ascend as their numbers do, none but the
 * newest is open. One without an operation has last = first - 1.
 */
struct repl_journal_entry {
    uint64_t number;
    uint64_t len; /* durable bytes; of a sealed one: all */
    bool is_sealed;
    bool is_archived; /* nothing but followers needs it */
    bool has_digest;  /* of a sealed one, once it was computed */
    struct ldb_digest digest;
    ldb_sequence first; /* no operation has a lower sequence */
    ldb_sequence last;  /* nor a higher one */
};

/* What makes a table's bytes a function of its entries. */
struct repl_table_options {
    char comparator[REPL_POLICY_NAME_SIZE];
    unsigned bloom_bits; /* 0: no filter */
    unsigned filter_base_lg;
    uint64_t block_bytes;
    unsigned block_restart_interval;
    bool compress;
};

/* GET /v1/replication/state */
struct repl_state {
    struct repl_identity identity; /* cluster "": none yet, and no epochs */
    enum repl_role role;
    char leader_url[REPL_URL_SIZE]; /* whom it follows; "": nobody, or itself */
    struct repl_epoch_history history; /* owned */
    uint64_t manifest_number;
    uint64_t manifest_len; /* durable bytes, at the end of a record */
    struct repl_journal_entry *journals; /* owned; oldest first, no gap */
    size_t journal_count;
    struct ldb_position durable;
    ldb_sequence last_sequence;
    uint64_t clock_us; /* its wall clock */
    struct repl_table_options table_options;
};
void repl_state_release(struct repl_state *state); /* zeroed is fine */
/* Of a node without a database, whose folder is being made anew or was never
 * whole: it knows epochs, and stands nowhere. (A MANIFEST is never empty.) */
bool repl_state_is_bare(const struct repl_state *state);

/* Where a follower stands. */
struct repl_place {
    uint64_t journal;
    uint64_t offset;
    ldb_sequence sequence;
};

/* POST /v1/replication/ack */
struct repl_ack {
    char node_id[REPL_ID_SIZE]; /* the slot's name */
    char url[REPL_URL_SIZE];    /* "" when it has none */
    uint64_t epoch;             /* the highest it has accepted; 0: none yet */
    uint64_t epoch_id;
    struct repl_place written;
    struct repl_place synced;
    struct repl_place applied;
    uint64_t manifest_number;
    uint64_t manifest_len;
    char state[32]; /* a word of a-z and '-': "streaming", "rebuilding", ... */
    uint64_t tables_built;
    uint64_t tables_fetched;
    uint64_t digest_mismatches;
};

/* Its answer: the heartbeat. */
struct repl_heartbeat {
    uint64_t epoch;
    uint64_t epoch_id;
    struct ldb_position durable;
    ldb_sequence last_sequence;
    uint64_t manifest_number;
    uint64_t manifest_len;
    uint64_t clock_us;
    bool is_slot_lost; /* journals it needs have gone */
    bool is_awaited;   /* writes wait for followers, or did just now: each sync
                          is to be acknowledged at once */
};

struct repl_file_entry {
    char name[LDB_FILE_NAME_SIZE];
    uint64_t size;
    bool has_digest; /* false: ask for the file's head */
    struct ldb_digest digest;
};

/* The body of POST /v1/replication/checkpoint. */
struct repl_checkpoint_request {
    char node_id[REPL_ID_SIZE];
    uint64_t id;     /* of one there is, to be renewed; 0: a new one */
    bool is_release; /* let go of that one */
};

/*
 * Its answer: a version of the leader that stays until it is let go of, or a
 * minute has passed without a request for it. The files: tables by number, and
 * nothing else; MANIFEST and journals are files of their own, of which so many
 * bytes belong to it.
 */
struct repl_checkpoint {
    uint64_t id;
    uint64_t manifest_number;
    uint64_t manifest_len;
    uint64_t log_number; /* the oldest journal needed */
    ldb_sequence last_sequence;
    struct repl_file_entry *files; /* owned */
    size_t file_count;
    struct repl_journal_entry *journals; /* owned; from log_number on */
    size_t journal_count;
};
void repl_checkpoint_release(struct repl_checkpoint *checkpoint);

/*
 * Each appends its document to out, or nothing. Errors: NO_MEMORY, TOO_LARGE;
 * INVALID_ARGUMENT: a text in it is not printable ASCII.
 */
LDB_MUST_CHECK enum ldb_status repl_state_encode(const struct repl_state *state,
                                                 struct ldb_error *err,
                                                 struct ldb_buf *out);
LDB_MUST_CHECK enum ldb_status repl_ack_encode(const struct repl_ack *ack,
                                               struct ldb_error *err,
                                               struct ldb_buf *out);
LDB_MUST_CHECK enum ldb_status
repl_heartbeat_encode(const struct repl_heartbeat *heartbeat,
                      struct ldb_error *err, struct ldb_buf *out);
LDB_MUST_CHECK enum ldb_status
repl_checkpoint_request_encode(const struct repl_checkpoint_request *request,
                               struct ldb_error *err, struct ldb_buf *out);
LDB_MUST_CHECK enum ldb_status
repl_checkpoint_encode(const struct repl_checkpoint *checkpoint,
                       struct ldb_error *err, struct ldb_buf *out);

/*
 * Each fills a zeroed *out, and leaves it so on failure.
 *
 * Errors: CORRUPTION: what is wrong with which member, or the document is
 * longer than it may be; NOT_SUPPORTED: a newer version of the protocol;
 * NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status repl_state_decode(struct ldb_slice text,
                                                 struct ldb_error *err,
                                                 struct repl_state *out);
LDB_MUST_CHECK enum ldb_status repl_ack_decode(struct ldb_slice text,
                                               struct ldb_error *err,
                                               struct repl_ack *out);
LDB_MUST_CHECK enum ldb_status
repl_heartbeat_decode(struct ldb_slice text, struct ldb_error *err,
                      struct repl_heartbeat *out);
LDB_MUST_CHECK enum ldb_status
repl_checkpoint_request_decode(struct ldb_slice text, struct ldb_error *err,
                               struct repl_checkpoint_request *out);
LDB_MUST_CHECK enum ldb_status
repl_checkpoint_decode(struct ldb_slice text, struct ldb_error *err,
                       struct repl_checkpoint *out);

#endif
