/*
 * What every writing request shares: its parameters, the batch, handing it to
 * the engine, and turning the outcome into an answer.
 *
 * All memory that a good answer needs is taken before the write is submitted:
 * once it is committed, nothing can turn it into an error any more.
 *
 * Functions that take x and return bool answer a problem when they return
 * false. Thread-safety: the exchange's loop.
 */
#ifndef API_WRITE_H
#define API_WRITE_H

#include "api/params.h"
#include "api/response.h"
#include "storage/journal/write_batch.h"

struct api_write {
    struct ldb_write write;
    struct ldb_batch batch;
    struct api_entry_headers headers;
    struct ldb_buf answer; /* body of a good answer, reserved before */
};

/* An empty write whose batch takes up to batch_limit bytes. */
void api_write_init(struct api_write *w, size_t batch_limit);
void api_write_release(struct api_write *w);

/*
 * Whether this node takes writes, and sync= and replicas= into w. Answers 409
 * read-only, 409 conflict (replicas on a node without followers), 400.
 */
LDB_MUST_CHECK bool api_write_params(struct api_exchange *x,
                                     const struct api_params *params,
                                     struct api_write *w);

/*
 * Queues w; x then waits and is woken when it is done. Not OK: w is the
 * caller's again. Errors: CLOSED: this node does not lead any more; those of
 * ldb_write_submit().
 */
LDB_MUST_CHECK enum ldb_status api_write_queue(struct api_exchange *x,
                                               struct api_write *w,
                                               struct ldb_error *err);

/* The same; false: answered. */
LDB_MUST_CHECK bool api_write_submit(struct api_exchange *x,
                                     struct api_write *w);

/* Answers 200 {"sequence", "count"} out of w->answer, reserved before. */
void api_write_answer_count(struct api_exchange *x, struct api_write *w,
                            ldb_sequence sequence, uint64_t count);

/* Answers for a w that did not succeed; for PRECONDITION with key. */
void api_write_answer_failure(struct api_exchange *x, const struct api_write *w,
                              bool name_condition);

#endif
