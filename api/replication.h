/*
 * What the resources under /v1/replication share. They are a leader's: its
 * files, its followers.
 *
 * Functions that take x and return bool answer a problem when they return
 * false. Thread-safety: the exchange's loop.
 */
#ifndef API_REPLICATION_H
#define API_REPLICATION_H

#include "api/exchange.h"

struct repl_leader;

/* The leader that this node is; NULL: answered 409 read-only, 421 not-leader
 * with whom to ask, or 503 no-leader. x is inside the gate. */
LDB_MUST_CHECK struct repl_leader *
api_replication_leader(struct api_exchange *x);

/* Leveld-Epoch-Id, beside the Leveld-Epoch that all answers have. */
LDB_MUST_CHECK bool api_replication_epoch_id(struct api_exchange *x,
                                             struct repl_leader *leader);

/* No parameters and conditions, and JSON is an answer; for begin or finish. */
LDB_MUST_CHECK bool api_replication_no_params(struct api_exchange *x);
/* The same of a request whose body is JSON. */
LDB_MUST_CHECK bool api_replication_body_is_json(struct api_exchange *x);

/*
 * What a failure of replication/ means to who asked: as api_answer_status(),
 * but PRECONDITION is 409 conflict, GONE 410 expired, STALLED 503 overloaded.
 */
void api_replication_answer_status(struct api_exchange *x,
                                   enum ldb_status status,
                                   const struct ldb_error *err);
/* Of a body that cannot be decoded: 400 malformed, or 503. */
void api_replication_answer_bad_body(struct api_exchange *x,
                                     enum ldb_status status,
                                     const struct ldb_error *err);
/* 200 with the document, taken over, or what the status means. */
void api_replication_answer_document(struct api_exchange *x,
                                     enum ldb_status status,
                                     const struct ldb_error *err,
                                     struct ldb_buf *document);

#endif
