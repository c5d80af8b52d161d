/*
 * The request's own text: percent-encoding, keys in paths, query parameters,
 * numbers, booleans, durations.
 *
 * A query is name=value pairs between '&'. Names and values are
 * percent-encoded bytes; '+' is a plus sign (RFC 3986; only HTML forms make a
 * blank of it). A parameter the resource does not know, one sent twice, and
 * one without '=' are errors: nothing a client asks for is ignored.
 *
 * Functions that take x and return bool answer a problem when they return
 * false.
 *
 * Thread-safety: the exchange's loop.
 */
#ifndef API_PARAMS_H
#define API_PARAMS_H

#include "api/exchange.h"
#include "api/json_text.h"

/* Parameters of one request; more are an error. Chosen: no resource has as
 * many. */
#define API_PARAMS_MAX 16

/* Decodes %XX; any byte may come out. Result in the arena, or raw itself. */
LDB_MUST_CHECK enum api_decode_result
api_percent_decode(struct ldb_arena *arena, struct ldb_slice raw,
                   struct ldb_slice *out);

struct api_param {
    struct ldb_slice name;  /* decoded */
    struct ldb_slice value; /* decoded */
};

struct api_params {
    struct api_param items[API_PARAMS_MAX];
    size_t count;
};

/*
 * Splits and decodes x->raw_query. allowed is a NULL-ended list of names.
 * False: answered 400 malformed (or 503).
 */
LDB_MUST_CHECK bool api_params_parse(struct api_exchange *x,
                                     const char *const *allowed,
                                     struct api_params *out);

/* The value, or NULL when it was not sent. */
const struct ldb_slice *api_params_find(const struct api_params *params,
                                        const char *name);

/*
 * Typed values. Not sent: *out is left as it is. False: answered 400.
 */
LDB_MUST_CHECK bool api_params_bool(struct api_exchange *x,
                                    const struct api_params *params,
                                    const char *name, bool *out);
LDB_MUST_CHECK bool api_params_u64(struct api_exchange *x,
                                   const struct api_params *params,
                                   const char *name, uint64_t min, uint64_t max,
                                   uint64_t *out);
/* encoding=utf8|base64|hex */
LDB_MUST_CHECK bool api_params_encoding(struct api_exchange *x,
                                        const struct api_params *params,
                                        enum api_encoding *out);

/*
 * enc=hex|base64url: how keys in path and query are written beyond their
 * percent-encoding; API_ENCODING_UTF8 (plain bytes) when not sent.
 */
LDB_MUST_CHECK bool api_params_enc(struct api_exchange *x,
                                   const struct api_params *params,
                                   enum api_encoding *out);

/* A key in the query, out of its parameter's value. False: answered. */
LDB_MUST_CHECK bool api_params_key(struct api_exchange *x,
                                   const struct api_params *params,
                                   const char *name, enum api_encoding enc,
                                   bool *out_given, struct ldb_slice *out);

/* The key in x->raw_rest: bad-key or too-large when false. */
LDB_MUST_CHECK bool api_path_key(struct api_exchange *x, enum api_encoding enc,
                                 struct ldb_slice *out);

/*
 * "500ms", "2s", "5m", "1h": digits and a unit, at most 24 hours (chosen: no
 * request waits longer), in microseconds.
 */
LDB_MUST_CHECK bool api_duration_parse(struct ldb_slice text, uint64_t *out_us);
#define API_DURATION_MAX_US (UINT64_C(24) * 3600 * 1000000)

/* 400: a header that may be sent once was sent more often. */
void api_answer_repeated_header(struct api_exchange *x, const char *name);

/*
 * The header's value; *out is {NULL, 0} when it was not sent. False: it was
 * sent more than once, answered 400.
 */
LDB_MUST_CHECK static inline bool
api_header_once(struct api_exchange *x, const char *name, struct ldb_slice *out)
{
    unsigned count = 0;

    *out = api_exchange_header(x, name, &count);
    if (LDB_LIKELY(count <= 1))
        return true;
    api_answer_repeated_header(x, name);
    return false;
}

/* ---- media types ---- */

/*
 * Whether a Content-Type value is the media type (case-insensitive), with no
 * charset but utf-8.
 */
bool api_media_type_is(struct ldb_slice value, const char *type);

/*
 * Which of count types the Accept header likes best (the first among equals);
 * 0 without one. count: none of them is acceptable.
 */
size_t api_accept_choose(struct ldb_slice accept, const char *const *types,
                         size_t count);

/* The same for x; false: answered 406 naming the types. */
LDB_MUST_CHECK bool api_accept(struct api_exchange *x, const char *const *types,
                               size_t count, size_t *out_choice);

#endif
