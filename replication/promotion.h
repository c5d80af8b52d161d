/*
 * A follower is to lead: whether it may, and above which numbers its history
 * begins, so that no sequence and no file name of it can be one of the leader's
 * that was.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_PROMOTION_H
#define REPLICATION_PROMOTION_H

#include "replication/protocol.h"

/* How far its files are numbered above all that are known: more than a leader
 * makes while nobody hears of it. */
#define REPL_PROMOTION_FILES (UINT64_C(1) << 20)

/*
 * Where the old leader does not answer nobody knows how often it was started
 * anew since it was heard, one epoch and REPL_EPOCH_SKIP each time; and where
 * it does not say that this node is to go on, another may have been promoted
 * already, and be gone. So number
 * and base lie so many of those above what is known, at random between the two:
 * above what the old leader has reached, and two nodes that are promoted at one
 * time hardly get the same. Chosen: up to 2^40 sequences in all.
 *
 * The number is not below the wall clock's seconds either, so that of two
 * promotions which did not hear of each other the later one's is the higher:
 * the node of the first one follows the second when it comes back.
 */
#define REPL_PROMOTION_SKIPS_MIN 65
#define REPL_PROMOTION_SKIPS_MAX 256

/*
 * What other nodes than the leader that was know of. One of them may have
 * followed a leader of which this node never heard: what that one has given out
 * must not be given out again. Zeroed: nothing.
 */
struct repl_hearsay {
    uint64_t epoch;            /* the highest number */
    ldb_sequence sequence;     /* the highest base or last sequence */
    uint64_t file_number;      /* the highest */
    char leads[REPL_URL_SIZE]; /* one that leads; "": none */
    uint64_t leads_in;         /* its epoch */
};

/* A node at url says so of itself. */
void repl_hearsay_add(struct repl_hearsay *heard, const char *url,
                      const struct repl_state *state);

struct repl_promotion {
    bool is_forced; /* an operator said: although it may lose writes */

    /* ---- ours ---- */
    const struct repl_epoch_history *history; /* accepted */
    ldb_sequence last;                        /* that readers see */
    ldb_sequence last_heard; /* what the leader last said was its last one */
    const char *url;         /* as others reach us; "": unknown */

    /* ---- the leader that was ---- */
    const char *leader_url;          /* "": none was known */
    const struct repl_state *leader; /* NULL: it does not answer */

    struct repl_hearsay heard; /* of the other nodes */
};

/*
 * OK: it may lead. PRECONDITION: why not, and what to do. A leader that answers
 * is never passed over by force, unless its epoch is below ours: it has to step
 * down.
 */
LDB_MUST_CHECK enum ldb_status
repl_promotion_judge(const struct repl_promotion *promotion,
                     struct ldb_error *err);

/* Whether the leader that was has stepped down for the node at url: "" is
 * none. */
bool repl_promotion_is_handover(const struct repl_state *leader,
                                const char *url);

/* What the new epoch has to be at least. Errors: NOT_SUPPORTED: sequence
 * numbers are used up; IO (random). */
LDB_MUST_CHECK enum ldb_status
repl_promotion_epoch_floor(const struct repl_promotion *promotion,
                           struct ldb_env *env, struct ldb_error *err,
                           struct repl_epoch_floor *out);

/*
 * What numbers of files have to be at least: REPL_PROMOTION_FILES above all in
 * the folder and its archive, above known, the highest heard of elsewhere, and
 * above where each epoch of the history began: of the last one no file may have
 * come. Errors: NOT_SUPPORTED: file numbers are used up; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_promotion_file_floor(struct ldb_env *env, const char *dir,
                          const struct repl_epoch_history *history,
                          uint64_t known, struct ldb_error *err, uint64_t *out);

/*
 * Sees to it that ldb_open() numbers its files above floor: by an empty journal
 * of that number, which any library replays for nothing. The folder is closed;
 * durable when OK. Again: OK.
 */
LDB_MUST_CHECK enum ldb_status
repl_promotion_raise_files(struct ldb_env *env, const char *dir, uint64_t floor,
                           struct ldb_error *err);

#endif
