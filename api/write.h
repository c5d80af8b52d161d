/*
 * What every writing request shares: its parameters, the batch, handing it to
 * the engine, waiting for followers to have it (replicas=N), and turning the
 * outcome into an answer.
 *
 * All memory that a good answer needs is taken before the write is submitted:
 * once it is committed, nothing can turn it into an error any more but
 * followers that do not come in time, and then the answer says that it stands.
 *
 * Functions that take x and return bool answer a problem when they return
 * false. Thread-safety: the exchange's loop.
 */
#ifndef API_WRITE_H
#define API_WRITE_H

#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "replication/write_concern.h"
#include "storage/journal/write_batch.h"

struct api_write {
    struct ldb_write write; /* first: cast back from it */
    struct ldb_batch batch;
    unsigned replicas;       /* followers that have to sync it; 0: none */
    unsigned replicas_asked; /* of them, by the request itself */
    bool is_part; /* more of the request follows, and waits for them */
    ldb_sequence waits_for;        /* that they have to have, when it waited */
    struct repl_concern_wait wait; /* the same: its outcome */
    struct api_entry_headers headers;
    struct ldb_buf answer; /* body of a good answer, reserved before */
};

/* An empty write whose batch takes up to batch_limit bytes. */
void api_write_init(struct api_write *w, size_t batch_limit);
void api_write_release(struct api_write *w);

/*
 * Whether this node takes writes, and sync= and replicas= into w, the latter
 * raised to what the server asks of all. Answers 409 read-only, 409 conflict
 * (the request asks for more followers than there are), 503 stalled (so does
 * the server), 400.
 */
LDB_MUST_CHECK bool api_write_params(struct api_exchange *x,
                                     const struct api_params *params,
                                     struct api_write *w);

/*
 * Queues w; x then waits and is woken when it is done, and w->replicas
 * followers have synced it, or not within Leveld-Timeout from its commit on.
 * Not OK: w is the caller's again. Errors: CLOSED: this node does not lead any
 * more; those of ldb_write_submit().
 */
LDB_MUST_CHECK enum ldb_status api_write_queue(struct api_exchange *x,
                                               struct api_write *w,
                                               struct ldb_error *err);

/* The same; false: answered. */
LDB_MUST_CHECK bool api_write_submit(struct api_exchange *x,
                                     struct api_write *w);

/* w is done: whether it is committed, and where followers have to have it. */
LDB_MUST_CHECK bool api_write_is_good(const struct api_write *w);

/* Answers 200 {"sequence", "count"} out of w->answer, reserved before. */
void api_write_answer_count(struct api_exchange *x, struct api_write *w,
                            ldb_sequence sequence, uint64_t count);

/* Why w is not good: of one that is committed that it stands, and where. */
void api_write_problem(struct api_exchange *x, const struct api_write *w,
                       struct api_problem *out);
/* Answers so; for PRECONDITION with key. */
void api_write_answer_failure(struct api_exchange *x, const struct api_write *w,
                              bool name_condition);

#endif
