/*
 * How a handler answers. Exactly one api_answer_*() per exchange; headers are
 * attached before it. Errors go through api/problem.h.
 *
 * After a write was committed nothing here may fail any more: what the answer
 * needs (struct api_entry_headers, the body's buffer) is therefore allocated
 * before the write is submitted, and the functions that take it allocate
 * nothing.
 *
 * A HEAD request is answered like its GET: the router takes the body off and
 * leaves its length in head_length (API_LENGTH_UNKNOWN: of a stream).
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_RESPONSE_H
#define API_RESPONSE_H

#include "api/exchange.h"

#define API_TYPE_BYTES         "application/octet-stream"
#define API_TYPE_JSON          "application/json"
#define API_TYPE_NDJSON        "application/x-ndjson"
#define API_TYPE_EVENTS        "text/event-stream"
#define API_TYPE_PROBLEM       "application/problem+json"
#define API_TYPE_LEVELDB_BATCH "application/vnd.leveldb.batch"

/* Digits of a 64-bit number, quotes, NUL. */
#define API_NUMBER_TEXT_SIZE 24

/* Room for the two headers that name a sequence. */
struct api_entry_headers {
    struct api_header etag;
    char etag_text[API_NUMBER_TEXT_SIZE];
    struct api_header sequence;
    char sequence_text[API_NUMBER_TEXT_SIZE];
};

/* Appends header, which lives as long as the exchange, to the answer's. */
void api_header_attach(struct api_exchange *x, struct api_header *header);

/*
 * Adds a header with copies of nothing: name is a literal, value outlives the
 * exchange. False: no memory.
 */
LDB_MUST_CHECK bool api_header_add(struct api_exchange *x, const char *name,
                                   const char *value);
/* The value printed into the arena. False: no memory. */
LDB_MUST_CHECK bool api_header_printf(struct api_exchange *x, const char *name,
                                      const char *format, ...) LDB_PRINTF(3, 4);
/* The same of a number, without printf: every answer has one. */
LDB_MUST_CHECK bool api_header_number(struct api_exchange *x, const char *name,
                                      uint64_t n);

/* ETag: "<sequence>". */
void api_header_etag(struct api_exchange *x, struct api_entry_headers *room,
                     ldb_sequence sequence);
/* Leveld-Sequence: <sequence>. */
void api_header_sequence(struct api_exchange *x, struct api_entry_headers *room,
                         ldb_sequence sequence);

/* No body. Allocates nothing. */
void api_answer_empty(struct api_exchange *x, unsigned status);

/* Takes the bytes over (body is empty afterwards). Allocates nothing. */
void api_answer_buf(struct api_exchange *x, unsigned status,
                    const char *content_type, struct ldb_buf *body);

/* Bytes that outlive the process's last answer. Allocates nothing. */
void api_answer_static(struct api_exchange *x, unsigned status,
                       const char *content_type, struct ldb_slice body);

/* Takes stream over; ops->destroy(stream) ends it. Allocates nothing. */
void api_answer_stream(struct api_exchange *x, unsigned status,
                       const char *content_type,
                       const struct api_stream_ops *ops, void *stream);

/* The same of a stream that will have length bytes, at least 1: one that ends
 * short of them is cut. */
void api_answer_stream_of(struct api_exchange *x, unsigned status,
                          const char *content_type, uint64_t length,
                          const struct api_stream_ops *ops, void *stream);

/* The answer to a HEAD whose GET would have a body of length bytes. Allocates
 * nothing. */
void api_answer_head(struct api_exchange *x, unsigned status,
                     const char *content_type, uint64_t length);

/*
 * Drops the body of an answer that was not sent (buffer freed, stream
 * destroyed). For the service, when the client left; safe to repeat.
 */
void api_response_release(struct api_response *response);

#endif
