/*
 * What a request may do: its bearer token's scope for the route, and its
 * prefix for every key that it names. Without tokens in force all is allowed.
 *
 * Functions answer a problem when they return false: 401 unauthorized, 403
 * forbidden, 400. Thread-safety: the exchange's loop.
 */
#ifndef API_AUTH_H
#define API_AUTH_H

#include "api/batch_json.h"

/*
 * Reads Authorization, once a request, before its handler runs. scope is the
 * route's, one bit; 0: anybody. Sets x->token.
 */
LDB_MUST_CHECK bool api_auth_check(struct api_exchange *x, unsigned scope);

/* At the end of the exchange. */
void api_auth_release(struct api_exchange *x);

/* Whether the token may touch the key. Answers nothing. */
bool api_auth_has_key(const struct api_exchange *x, struct ldb_slice key);

/* The same, and 403 when not. */
LDB_MUST_CHECK bool api_auth_key(struct api_exchange *x, struct ldb_slice key);

/* All keys of [lower, upper), upper NULL: to the end. */
bool api_auth_has_range(const struct api_exchange *x, struct ldb_slice lower,
                        const struct ldb_slice *upper);
LDB_MUST_CHECK bool api_auth_range(struct api_exchange *x,
                                   struct ldb_slice lower,
                                   const struct ldb_slice *upper);

/* All keys of operations, conditions and ranges. */
bool api_auth_has_batch(const struct api_exchange *x,
                        const struct ldb_batch *batch,
                        const struct api_batch_json *json);
LDB_MUST_CHECK bool api_auth_batch(struct api_exchange *x,
                                   const struct ldb_batch *batch,
                                   const struct api_batch_json *json);

/* What the functions above answer for keys that are not the token's. */
void api_auth_problem(struct api_problem *out);

#endif
