/*
 * Reads JSON (RFC 8259) over a whole text in memory, value by value, without
 * allocating: for the bodies that carry keys and values. What it accepts,
 * jansson accepts, and the other way round (docs/decisions/0023), but for the
 * size of numbers with a fraction or exponent, which no body of ours has.
 *
 * The caller goes along with the text:
 *
 *     more = api_json_reader_object(&r);
 *     while (more && (more = api_json_reader_member(&r, &name)))
 *         more = api_json_reader_value(&r, &value);
 *     if (r.why == NULL && api_json_reader_end(&r))
 *         ... the text was one object
 *
 * Failure is sticky: r.why is set, at byte r.p, and every later call fails.
 * That a name stands twice in an object is for the caller to see.
 *
 * Thread-safety: one caller at a time per reader. The text is borrowed.
 */
#ifndef API_JSON_READER_H
#define API_JSON_READER_H

#include <string.h>

#include "api/json_text.h"

/* Levels of nesting that a reader can be told to allow. */
#define API_JSON_READER_DEPTH_MAX 64

struct api_json_reader {
    const uint8_t *text;
    const uint8_t *p; /* next byte */
    const uint8_t *end;
    uint64_t objects; /* bit i: level i is an object, else an array */
    unsigned depth;   /* levels open */
    unsigned depth_max;
    bool is_first;   /* nothing of the innermost level was taken */
    const char *why; /* what was expected; NULL: all is well */
};

/* A string: its UTF-8 is valid, its escapes are sound. */
struct api_json_string {
    struct ldb_slice raw; /* as it stands between the quotes, borrowed */
    size_t len;           /* with escapes resolved; raw.len: there are none */
};

enum api_json_kind {
    API_JSON_OBJECT,
    API_JSON_ARRAY,
    API_JSON_STRING,
    API_JSON_INTEGER, /* of 64 bits, signed */
    API_JSON_REAL,    /* has a fraction or an exponent */
    API_JSON_TRUE,
    API_JSON_FALSE,
    API_JSON_NULL,
};

struct api_json_value {
    enum api_json_kind kind;
    struct api_json_string string; /* of a STRING */
    int64_t integer;               /* of an INTEGER */
};

/* depth_max: 1 to API_JSON_READER_DEPTH_MAX. */
struct api_json_reader api_json_reader_make(struct ldb_slice text,
                                            unsigned depth_max);

/* Goes past blanks. */
void api_json_reader_skip_blanks(struct api_json_reader *r);

/* The next byte that is no blank, not taken; 0 at the end. */
static inline uint8_t api_json_reader_peek(struct api_json_reader *r)
{
    /* Most texts have no blanks. */
    if (r->p == r->end || *r->p <= ' ')
        api_json_reader_skip_blanks(r);
    return r->p < r->end ? *r->p : 0;
}

/* Whether nothing but blanks is left. */
bool api_json_reader_at_end(struct api_json_reader *r);

/* Goes into an object or array; false: it is none. */
LDB_MUST_CHECK bool api_json_reader_object(struct api_json_reader *r);
LDB_MUST_CHECK bool api_json_reader_array(struct api_json_reader *r);

/*
 * Whether one more member, element comes in what was gone into last; of a
 * member the name is taken. False: it has ended and was left, or a failure.
 */
LDB_MUST_CHECK bool api_json_reader_member(struct api_json_reader *r,
                                           struct api_json_string *out_name);
LDB_MUST_CHECK bool api_json_reader_element(struct api_json_reader *r);

/* Takes a value; what is in an object or array is judged and left out. */
LDB_MUST_CHECK bool api_json_reader_value(struct api_json_reader *r,
                                          struct api_json_value *out);

/* False: something comes after the document. */
LDB_MUST_CHECK bool api_json_reader_end(struct api_json_reader *r);

/* Why and at which byte a reader failed, for a message. */
void api_json_reader_explain(const struct api_json_reader *r, char *out,
                             size_t size);

/* ---- strings ---- */

/*
 * The string's bytes: in the text where it has no escapes, else in room, which
 * has s->len bytes.
 */
struct ldb_slice api_json_string_get(const struct api_json_string *s,
                                     uint8_t *room);

/* The same with escapes, against text of s->len bytes. */
bool api_json_string_equals(const struct api_json_string *s, const char *text);

/* Whether the string's bytes are text; inline, for texts that are constants. */
static inline bool api_json_string_is(const struct api_json_string *s,
                                      const char *text)
{
    size_t len = strlen(text);

    if (s->len != len)
        return false;
    return s->raw.len == len ? memcmp(s->raw.data, text, len) == 0
                             : api_json_string_equals(s, text);
}

/* Bytes of its text that a message shows, for %.*s. */
int api_json_string_shown(const struct api_json_string *s);

/*
 * The bytes that a string in an encoding stands for: in the text where they
 * stand there, else in room, whose content goes. BAD: it is not so encoded;
 * NO_MEMORY: also when room's limit is below s->len.
 */
LDB_MUST_CHECK enum api_decode_result
api_json_string_decode(const struct api_json_string *s,
                       enum api_encoding encoding, struct ldb_buf *room,
                       struct ldb_slice *out);

/* A value that names an encoding; false: it does not. */
LDB_MUST_CHECK bool api_json_value_encoding(const struct api_json_value *value,
                                            enum api_encoding *out);

#endif
