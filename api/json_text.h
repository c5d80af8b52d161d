/*
 * Text of JSON: keys and values as strings, a small writer for answers, and
 * jansson behind size and depth limits for what comes in.
 *
 * Keys and values are bytes. As utf8 they are the string itself where they
 * are UTF-8 (RFC 3629: shortest form, no surrogates), else the item falls
 * back to base64 and says so.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef API_JSON_TEXT_H
#define API_JSON_TEXT_H

#include <jansson.h>

#include "storage/base/arena.h"
#include "storage/base/buf.h"

enum api_encoding {
    API_ENCODING_UTF8,
    API_ENCODING_BASE64,    /* RFC 4648 section 4, padded */
    API_ENCODING_HEX,       /* lower case out, either in */
    API_ENCODING_BASE64URL, /* RFC 4648 section 5, not padded: URLs, cursors */
};

/* utf8, base64, hex; false for any other name. */
LDB_MUST_CHECK bool api_encoding_parse(struct ldb_slice name,
                                       enum api_encoding *out);
const char *api_encoding_name(enum api_encoding encoding);

bool api_utf8_valid(struct ldb_slice bytes);

/* Bytes of the UTF-8 sequence at p, of which left > 0 are there; 0: none. */
size_t api_utf8_sequence_len(const uint8_t *p, size_t left);

/* The value of a hex digit; -1: it is none. */
int api_hex_digit(uint8_t c);

/* What one item is written in: asked, unless that cannot carry the bytes. */
enum api_encoding api_encoding_for(enum api_encoding asked,
                                   struct ldb_slice key,
                                   struct ldb_slice value);

enum api_decode_result {
    API_DECODE_OK,
    API_DECODE_BAD,
    API_DECODE_NO_MEMORY,
};

/* A word with that byte in all eight places. */
#define API_EACH_BYTE(c) (UINT64_C(0x0101010101010101) * (c))

/*
 * Where the eight bytes of word have a quote, a backslash or a control
 * character, by the high bit of the byte; the other bits say nothing, nor does
 * that of a byte which is no ASCII. Exact up to the first: subtracting
 * API_EACH_BYTE(n) sets the high bit of a byte below n, and borrows from none
 * before the first one.
 */
static inline uint64_t api_json_escapes(uint64_t word)
{
    return ((word ^ API_EACH_BYTE('"')) - API_EACH_BYTE(1)) |
           ((word ^ API_EACH_BYTE('\\')) - API_EACH_BYTE(1)) |
           (word - API_EACH_BYTE(0x20));
}

/*
 * The bytes that text stands for. utf8: text itself, borrowed (it is valid:
 * jansson or the URL's decoder looked). Else decoded into the arena; base64
 * with or without padding, its unused bits zero.
 */
LDB_MUST_CHECK enum api_decode_result
api_text_decode(struct ldb_arena *arena, enum api_encoding encoding,
                struct ldb_slice text, struct ldb_slice *out);

/*
 * The same for an encoding but utf8, into room for text.len bytes, which may be
 * text's own. False: text is not in the encoding.
 */
LDB_MUST_CHECK bool api_text_decode_into(enum api_encoding encoding,
                                         struct ldb_slice text, uint8_t *room,
                                         struct ldb_slice *out);

/* ---- a JSON string, piece by piece ---- */

/*
 * Writes the inside of a JSON string (no quotes) in pieces, so that a value
 * of any size takes constant memory. Start: {encoding, bytes, 0}.
 */
struct api_string_writer {
    enum api_encoding encoding;
    struct ldb_slice bytes; /* borrowed; valid UTF-8 when written as utf8 */
    size_t done;            /* of bytes */
};

/* Room that api_string_next() needs to make progress: \u0000. */
#define API_STRING_STEP_MAX 6

/* Digits of UINT64_MAX. */
#define API_U64_TEXT_MAX 20

/*
 * Writes up to max bytes, as many as fit in whole steps; 0 with max >=
 * API_STRING_STEP_MAX: the end.
 */
size_t api_string_next(struct api_string_writer *writer, uint8_t *out,
                       size_t max);

/*
 * Appends the inside of a JSON string (no quotes) whole; bytes are valid UTF-8
 * when written as utf8. After a failure a part of it may stand in out.
 *
 * Errors: NO_MEMORY, TOO_LARGE.
 */
LDB_MUST_CHECK enum ldb_status api_string_append(enum api_encoding encoding,
                                                 struct ldb_slice bytes,
                                                 struct ldb_buf *out);

/* Writes a number in decimal, without a NUL; returns its length. */
size_t api_u64_text(uint64_t value, uint8_t out[API_U64_TEXT_MAX]);

/* ---- documents going out ---- */

/* Levels of nesting of a document of ours; chosen: /stats needs 5. */
#define API_JSON_DEPTH_MAX 16

/*
 * Appends a document to a buffer. Failure is sticky: write all, then look at
 * status once.
 */
struct api_json {
    struct ldb_buf *buf;
    enum ldb_status status;
    unsigned depth;
    bool needs_comma[API_JSON_DEPTH_MAX];
};

struct api_json api_json_make(struct ldb_buf *buf);
void api_json_object_begin(struct api_json *json);
void api_json_object_end(struct api_json *json);
void api_json_array_begin(struct api_json *json);
void api_json_array_end(struct api_json *json);
/* A member's name, plain ASCII; then write its value. */
void api_json_name(struct api_json *json, const char *name);
void api_json_u64(struct api_json *json, uint64_t value);
void api_json_bool(struct api_json *json, bool value);
void api_json_null(struct api_json *json);
/* Three decimals; not finite: null. */
void api_json_double(struct api_json *json, double value);
/* bytes in the encoding; invalid UTF-8 as utf8: U+FFFD for each bad byte. */
void api_json_bytes(struct api_json *json, enum api_encoding encoding,
                    struct ldb_slice bytes);
/* A string of ours or of an error message. */
void api_json_text(struct api_json *json, const char *text);

/* Shorthands for name and value. */
void api_json_member_u64(struct api_json *json, const char *name,
                         uint64_t value);
void api_json_member_bool(struct api_json *json, const char *name, bool value);
void api_json_member_text(struct api_json *json, const char *name,
                          const char *text);
void api_json_member_double(struct api_json *json, const char *name,
                            double value);

/* ---- documents coming in ---- */

/*
 * A whole document, an object or array, nested at most depth_max deep, no
 * name twice in an object, strings UTF-8. NULL: why says what is wrong (or is
 * "" when there was no memory). The caller owns a reference.
 */
LDB_MUST_CHECK json_t *api_json_parse(struct ldb_slice text, unsigned depth_max,
                                      char *why, size_t why_size);

/* The string's bytes, borrowed from it. */
struct ldb_slice api_json_string_bytes(const json_t *string);

/* Makes jansson allocate through ldb_mem_*. Before any other use. */
void api_json_use_ldb_mem(void);

#endif
