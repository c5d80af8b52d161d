/*
 * Small JSON documents: the body of a request that has a few members, and the
 * answer built in a buffer.
 *
 * Functions that take x and return bool answer a problem when they return
 * false. Thread-safety: the exchange's loop.
 */
#ifndef API_DOCUMENT_H
#define API_DOCUMENT_H

#include "api/exchange.h"
#include "api/json_text.h"

/* Bytes of a small document's answer; the limit of its buffer. */
#define API_DOCUMENT_MAX 4096

/*
 * Ends the document with a newline and answers it with status, or 503 when
 * writing it failed. Releases the buffer either way.
 */
void api_answer_document(struct api_exchange *x, unsigned status,
                         struct api_json *json);

/* False: answered 400, the query has a parameter. */
LDB_MUST_CHECK bool api_no_params(struct api_exchange *x);

/*
 * The body as an object with no members but names (NULL-ended); *out is NULL
 * for an empty body, else the caller's reference. A body needs Content-Type
 * application/json. False: answered 400, 415 or 503.
 */
LDB_MUST_CHECK bool api_document_read(struct api_exchange *x,
                                      const char *const *names, json_t **out);

/*
 * A member that is a duration of 1 ms to max_us; not there (or no document):
 * *out_us is left as it is. False: answered 400.
 */
LDB_MUST_CHECK bool api_document_duration(struct api_exchange *x,
                                          const json_t *document,
                                          const char *name, uint64_t max_us,
                                          uint64_t *out_us);

/* "encoding" of the document, utf8 when not there. False: answered 400. */
LDB_MUST_CHECK bool api_document_encoding(struct api_exchange *x,
                                          const json_t *document,
                                          enum api_encoding *out);

/*
 * A member that is a key, decoded into the arena. *out_given is false when it
 * is not there. False: answered 400, 413 or 503.
 */
LDB_MUST_CHECK bool api_document_key(struct api_exchange *x,
                                     const json_t *document, const char *name,
                                     enum api_encoding encoding,
                                     bool *out_given, struct ldb_slice *out);

/* A member with a time: RFC 3339, UTC, milliseconds. wall_us: since 1970. */
void api_json_member_time(struct api_json *json, const char *name,
                          uint64_t wall_us);

#endif
