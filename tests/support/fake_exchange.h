/*
 * HTTP in memory: runs one request through api/'s handlers as the service
 * would, and keeps the answer. No socket, no HTTP library.
 *
 * fake_run() drives the database itself after finish (api_pass_end), so it
 * needs no loop; a write committed by another thread wakes it.
 */
#ifndef TESTS_SUPPORT_FAKE_EXCHANGE_H
#define TESTS_SUPPORT_FAKE_EXCHANGE_H

#include "api/context.h"
#include "api/exchange.h"

struct fake_request {
    const char *method; /* "GET" */
    const char *target; /* "/v1/kv/a%00b?enc=hex", as sent */
    /* "Name: value" each, NULL-ended; NULL: none. */
    const char *const *headers;
    struct ldb_slice body;
    bool is_chunked; /* no Content-Length */
    size_t read_max; /* bytes asked of a stream, and given of a body that is
                        taken in pieces, at a time; 0: 4,096 */
    bool leaves;     /* the client leaves while its write waits */
};

struct fake_answer {
    bool is_ready;
    unsigned status;
    char content_type[64];  /* "" for none */
    struct ldb_buf headers; /* "Name: value\n" each, in order */
    struct ldb_buf body;    /* of a stream: all of it */
    bool is_cut;            /* the stream failed */
    bool is_body_refused;   /* 413 before finish */
    enum api_body_kind body_kind;
    uint64_t head_length;
};

/* Runs it to the end; release the answer afterwards. */
void fake_run(struct api_context *context, const struct fake_request *request,
              struct fake_answer *out);
void fake_answer_release(struct fake_answer *answer);

/* The header's value, NUL-terminated, or NULL. Valid until release. */
const char *fake_answer_header(const struct fake_answer *answer,
                               const char *name, char *out, size_t out_size);

/*
 * An exchange alone, for functions below the handlers: begun, not routed.
 * Body and headers as in request, which stays the caller's.
 */
struct fake_exchange;
struct fake_exchange *fake_exchange_create(struct api_context *context,
                                           const struct fake_request *request);
struct api_exchange *fake_exchange_get(struct fake_exchange *fake);
void fake_exchange_destroy(struct fake_exchange *fake);
/* Waits until it was woken once more. */
void fake_exchange_wait(struct fake_exchange *fake);

/* What stands in the line "Name: value"; data NULL: it is another header's. */
struct ldb_slice fake_header_value(const char *line, const char *name);

#endif
