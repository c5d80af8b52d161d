#include "api/json_reader.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/writer.h"

/* Bytes of the longest name or word that a string is compared with. */
#define WORD_MAX 16

/* Bytes of an unknown name in a message; chosen: a name of ours mistyped. */
#define SHOWN_MAX 40

static bool fail(struct api_json_reader *r, const char *why)
{
    if (r->why == NULL)
        r->why = why;
    return false;
}

struct api_json_reader api_json_reader_make(struct ldb_slice text,
                                            unsigned depth_max)
{
    static const uint8_t none[1];
    const uint8_t *start = text.len == 0 ? none : text.data;

    assert(depth_max > 0 && depth_max <= API_JSON_READER_DEPTH_MAX);
    return (struct api_json_reader){.text = start,
                                    .p = start,
                                    .end = start + text.len,
                                    .depth_max = depth_max};
}

void api_json_reader_skip_blanks(struct api_json_reader *r)
{
    while (r->p < r->end &&
           (*r->p == ' ' || *r->p == '\n' || *r->p == '\r' || *r->p == '\t'))
        r->p++;
}

bool api_json_reader_at_end(struct api_json_reader *r)
{
    api_json_reader_skip_blanks(r);
    return r->p == r->end;
}

bool api_json_reader_end(struct api_json_reader *r)
{
    if (r->why != NULL)
        return false;
    assert(r->depth == 0);
    return api_json_reader_at_end(r) || fail(r, "more after the document");
}

void api_json_reader_explain(const struct api_json_reader *r, char *out,
                             size_t size)
{
    (void)snprintf(out, size, "JSON, byte %zu: %s%s", (size_t)(r->p - r->text),
                   r->why, r->p == r->end ? " (cut short)" : "");
}

/* ---- strings ---- */

/*
 * The first byte from p on that is a quote, a backslash, a control character
 * or no ASCII; end when there is none. Eight at a time.
 */
static const uint8_t *plain_end(const uint8_t *p, const uint8_t *end)
{
    for (; end - p >= 8; p += 8) {
        uint64_t word = ldb_load_fixed64(p);
        uint64_t special =
            (api_json_escapes(word) | word) & API_EACH_BYTE(0x80);

        if (special != 0)
            return p + __builtin_ctzll(special) / 8;
    }
    while (p < end && *p != '"' && *p != '\\' && *p >= 0x20 && *p < 0x80)
        p++;
    return p;
}

/* The number that four hex digits at p make; -1: they are not there. */
static int32_t four_digits(const uint8_t *p, const uint8_t *end)
{
    int32_t value = 0;

    if (end - p < 4)
        return -1;
    for (size_t i = 0; i < 4; i++) {
        int digit = api_hex_digit(p[i]);

        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    return value;
}

/* Of \uXXXX at p, or of two that are a surrogate pair (RFC 8259 section 7). */
static size_t decode_unicode(const uint8_t *p, const uint8_t *end,
                             uint32_t *out)
{
    int32_t high = four_digits(p + 2, end);
    int32_t low;

    if (high < 0 || (high >= 0xdc00 && high <= 0xdfff))
        return 0;
    *out = (uint32_t)high;
    if (high < 0xd800 || high > 0xdbff)
        return 6;
    if (end - p < 12 || p[6] != '\\' || p[7] != 'u')
        return 0;
    low = four_digits(p + 8, end);
    if (low < 0xdc00 || low > 0xdfff)
        return 0;
    *out =
        0x10000 + ((uint32_t)(high - 0xd800) << 10) + (uint32_t)(low - 0xdc00);
    return 12;
}

/* Bytes of the escape whose backslash is at p, and its character; 0: none. */
static size_t decode_escape(const uint8_t *p, const uint8_t *end, uint32_t *out)
{
    static const char letters[] = "\"\\/bfnrt";
    static const char characters[] = "\"\\/\b\f\n\r\t";

    if (end - p < 2)
        return 0;
    if (p[1] == 'u')
        return decode_unicode(p, end, out);
    for (size_t i = 0; i < sizeof(letters) - 1; i++) {
        if ((uint8_t)letters[i] == p[1]) {
            *out = (uint8_t)characters[i];
            return 2;
        }
    }
    return 0;
}

/* A character in UTF-8; returns its length. */
static size_t encode_utf8(uint32_t c, uint8_t out[4])
{
    size_t len = c < 0x80 ? 1 : c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
    static const uint8_t marks[] = {0, 0, 0xc0, 0xe0, 0xf0};

    for (size_t i = len - 1; i > 0; i--) {
        out[i] = (uint8_t)(0x80 | (c & 0x3f));
        c >>= 6;
    }
    out[0] = (uint8_t)(marks[len] | c);
    return len;
}

/* Goes past what plain_end() stopped at; adds what an escape will shrink by. */
static bool take_special(struct api_json_reader *r, size_t *shrinks)
{
    uint8_t encoded[4];
    uint32_t character;
    size_t len;

    if (*r->p == '\\') {
        len = decode_escape(r->p, r->end, &character);
        if (len == 0)
            return fail(r, "an escape that JSON does not have, or half a "
                           "surrogate pair");
        *shrinks += len - encode_utf8(character, encoded);
        r->p += len;
        return true;
    }
    if (*r->p < 0x20)
        return fail(r, "a control character in a string has to be escaped");
    do {
        len = api_utf8_sequence_len(r->p, (size_t)(r->end - r->p));
        if (len == 0)
            return fail(r, "a string is not UTF-8");
        r->p += len;
    } while (r->p < r->end && *r->p >= 0x80);
    return true;
}

/* The quote is next. */
static bool take_string(struct api_json_reader *r, struct api_json_string *out)
{
    const uint8_t *start = r->p + 1;
    size_t shrinks = 0;

    r->p = start;
    for (;;) {
        r->p = plain_end(r->p, r->end);
        if (r->p == r->end)
            return fail(r, "a string's closing \" expected");
        if (*r->p == '"')
            break;
        if (!take_special(r, &shrinks))
            return false;
    }
    out->raw = ldb_slice_make(start, (size_t)(r->p - start));
    out->len = out->raw.len - shrinks;
    r->p++;
    return true;
}

struct ldb_slice api_json_string_get(const struct api_json_string *s,
                                     uint8_t *room)
{
    const uint8_t *p = s->raw.data;
    const uint8_t *end = p + s->raw.len;
    uint8_t *out = room;

    if (s->raw.len == s->len)
        return s->raw;
    while (p < end) {
        const uint8_t *escape = memchr(p, '\\', (size_t)(end - p));
        size_t run = (size_t)((escape == NULL ? end : escape) - p);
        uint32_t character;
        uint8_t encoded[4];
        size_t len;

        memcpy(out, p, run);
        out += run;
        p += run;
        if (p == end)
            break;
        len = decode_escape(p, end, &character);
        assert(len > 0); /* it was judged when it was taken */
        p += len;
        len = encode_utf8(character, encoded);
        memcpy(out, encoded, len);
        out += len;
    }
    assert((size_t)(out - room) == s->len);
    return ldb_slice_make(room, s->len);
}

bool api_json_string_equals(const struct api_json_string *s, const char *text)
{
    uint8_t room[WORD_MAX];

    return s->len <= sizeof(room) &&
           ldb_slice_equal(api_json_string_get(s, room), ldb_slice_str(text));
}

int api_json_string_shown(const struct api_json_string *s)
{
    return (int)(s->raw.len < SHOWN_MAX ? s->raw.len : SHOWN_MAX);
}

enum api_decode_result api_json_string_decode(const struct api_json_string *s,
                                              enum api_encoding encoding,
                                              struct ldb_buf *room,
                                              struct ldb_slice *out)
{
    struct ldb_slice text;

    if (encoding == API_ENCODING_UTF8 && s->raw.len == s->len) {
        *out = s->raw;
        return API_DECODE_OK;
    }
    ldb_buf_clear(room);
    if (ldb_buf_reserve(room, s->len) != LDB_OK)
        return API_DECODE_NO_MEMORY;
    text = api_json_string_get(s, room->data);
    if (encoding == API_ENCODING_UTF8) {
        *out = text;
        return API_DECODE_OK;
    }
    return api_text_decode_into(encoding, text, room->data, out)
               ? API_DECODE_OK
               : API_DECODE_BAD;
}

bool api_json_value_encoding(const struct api_json_value *value,
                             enum api_encoding *out)
{
    uint8_t room[WORD_MAX];

    return value->kind == API_JSON_STRING &&
           value->string.len <= sizeof(room) &&
           api_encoding_parse(api_json_string_get(&value->string, room), out);
}

/* ---- numbers and words ---- */

static const uint8_t *digits_end(const uint8_t *p, const uint8_t *end)
{
    while (p < end && *p >= '0' && *p <= '9')
        p++;
    return p;
}

/* Takes one digit or more. */
static bool take_digits(struct api_json_reader *r)
{
    const uint8_t *start = r->p;

    r->p = digits_end(start, r->end);
    return r->p > start || fail(r, "a digit expected");
}

/* The sign that may be before it was taken. */
static bool take_integer(struct api_json_reader *r, bool is_negative,
                         struct ldb_slice digits, int64_t *out)
{
    uint64_t limit = (uint64_t)INT64_MAX + (is_negative ? 1 : 0);
    uint64_t magnitude = 0;

    for (size_t i = 0; i < digits.len; i++) {
        if (__builtin_mul_overflow(magnitude, 10, &magnitude) ||
            __builtin_add_overflow(magnitude, digits.data[i] - '0',
                                   &magnitude) ||
            magnitude > limit)
            return fail(r, "an integer is too big: it has 64 bits");
    }
    *out = (int64_t)(is_negative ? 0 - magnitude : magnitude);
    return true;
}

static bool take_number(struct api_json_reader *r, struct api_json_value *out)
{
    bool is_negative = *r->p == '-';
    const uint8_t *digits = r->p + (is_negative ? 1 : 0);
    size_t digit_count;

    r->p = digits;
    if (!take_digits(r))
        return false;
    digit_count = (size_t)(r->p - digits);
    if (*digits == '0' && digit_count > 1)
        return fail(r, "a number does not begin with 0");
    out->kind = API_JSON_INTEGER;
    if (r->p < r->end && *r->p == '.') {
        out->kind = API_JSON_REAL;
        r->p++;
        if (!take_digits(r))
            return false;
    }
    if (r->p < r->end && (*r->p == 'e' || *r->p == 'E')) {
        out->kind = API_JSON_REAL;
        r->p++;
        if (r->p < r->end && (*r->p == '+' || *r->p == '-'))
            r->p++;
        if (!take_digits(r))
            return false;
    }
    return out->kind == API_JSON_REAL ||
           take_integer(r, is_negative, ldb_slice_make(digits, digit_count),
                        &out->integer);
}

static bool take_word(struct api_json_reader *r, struct api_json_value *out)
{
    static const struct {
        const char *word;
        enum api_json_kind kind;
    } words[] = {{"true", API_JSON_TRUE},
                 {"false", API_JSON_FALSE},
                 {"null", API_JSON_NULL}};
    struct ldb_slice left = ldb_slice_make(r->p, (size_t)(r->end - r->p));

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        struct ldb_slice word = ldb_slice_str(words[i].word);

        if (ldb_slice_starts_with(left, word)) {
            r->p += word.len;
            out->kind = words[i].kind;
            return true;
        }
    }
    return fail(r, "a value expected");
}

/* ---- structure ---- */

static bool enter(struct api_json_reader *r, bool is_object)
{
    if (r->depth == r->depth_max)
        return fail(r, "nested deeper than it may be");
    r->objects &= ~(UINT64_C(1) << r->depth);
    r->objects |= (uint64_t)is_object << r->depth;
    r->depth++;
    r->p++;
    r->is_first = true;
    return true;
}

bool api_json_reader_object(struct api_json_reader *r)
{
    if (r->why != NULL)
        return false;
    if (api_json_reader_peek(r) != '{')
        return fail(r, "an object expected");
    return enter(r, true);
}

bool api_json_reader_array(struct api_json_reader *r)
{
    if (r->why != NULL)
        return false;
    if (api_json_reader_peek(r) != '[')
        return fail(r, "a list expected");
    return enter(r, false);
}

/* Whether the innermost level goes on; takes its comma, or its bracket. */
static bool goes_on(struct api_json_reader *r, uint8_t bracket, const char *why)
{
    bool is_first = r->is_first;
    uint8_t next;

    if (r->why != NULL)
        return false;
    assert(r->depth > 0);
    next = api_json_reader_peek(r);
    r->is_first = false;
    if (next == bracket) {
        r->p++;
        r->depth--;
        return false;
    }
    if (is_first)
        return true;
    if (next != ',')
        return fail(r, why);
    r->p++;
    return true;
}

bool api_json_reader_element(struct api_json_reader *r)
{
    return goes_on(r, ']', ", or ] expected");
}

/* jansson has no NUL in names. */
static bool has_nul(const struct api_json_string *s)
{
    const uint8_t *p = s->raw.data;
    const uint8_t *end = p + s->raw.len;

    if (s->raw.len == s->len)
        return false;
    while ((p = memchr(p, '\\', (size_t)(end - p))) != NULL) {
        uint32_t character = 1;

        p += decode_escape(p, end, &character);
        if (character == 0)
            return true;
    }
    return false;
}

bool api_json_reader_member(struct api_json_reader *r,
                            struct api_json_string *out_name)
{
    if (!goes_on(r, '}', ", or } expected"))
        return false;
    if (api_json_reader_peek(r) != '"')
        return fail(r, "\"name\": expected");
    if (!take_string(r, out_name))
        return false;
    if (has_nul(out_name))
        return fail(r, "a name has no \\u0000");
    if (api_json_reader_peek(r) != ':')
        return fail(r, ": expected");
    r->p++;
    return true;
}

/* A value, or the way into it. */
static bool begin_value(struct api_json_reader *r, struct api_json_value *out)
{
    uint8_t next = api_json_reader_peek(r);

    if (next == '"') {
        out->kind = API_JSON_STRING;
        return take_string(r, &out->string);
    }
    if (next == '{' || next == '[') {
        out->kind = next == '{' ? API_JSON_OBJECT : API_JSON_ARRAY;
        return enter(r, next == '{');
    }
    if (next == '-' || (next >= '0' && next <= '9'))
        return take_number(r, out);
    return take_word(r, out);
}

bool api_json_reader_value(struct api_json_reader *r,
                           struct api_json_value *out)
{
    unsigned outer = r->depth;
    struct api_json_value inner;
    struct api_json_string name;

    if (r->why != NULL || !begin_value(r, out))
        return false;
    while (r->depth > outer) {
        bool is_object = (r->objects >> (r->depth - 1) & 1) != 0;
        bool has_more = is_object ? api_json_reader_member(r, &name)
                                  : api_json_reader_element(r);

        if (has_more && !begin_value(r, &inner))
            return false;
        if (r->why != NULL)
            return false;
    }
    return true;
}
