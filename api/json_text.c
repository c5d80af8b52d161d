#include "api/json_text.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "replication/json_document.h"
#include "storage/base/writer.h"

/* ---- encodings ---- */

bool api_encoding_parse(struct ldb_slice name, enum api_encoding *out)
{
    static const enum api_encoding known[] = {
        API_ENCODING_UTF8, API_ENCODING_BASE64, API_ENCODING_HEX};

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++) {
        if (ldb_slice_equal(name, ldb_slice_str(api_encoding_name(known[i])))) {
            *out = known[i];
            return true;
        }
    }
    return false;
}

const char *api_encoding_name(enum api_encoding encoding)
{
    switch (encoding) {
    case API_ENCODING_UTF8:
        return "utf8";
    case API_ENCODING_BASE64:
        return "base64";
    case API_ENCODING_HEX:
        return "hex";
    case API_ENCODING_BASE64URL:
        return "base64url";
    }
    return "utf8";
}

/*
 * The bounds of the second byte (RFC 3629 section 4) shut out long forms,
 * surrogates and what is beyond U+10FFFF.
 */
size_t api_utf8_sequence_len(const uint8_t *p, size_t left)
{
    uint8_t first = p[0];
    uint8_t low = 0x80;
    uint8_t high = 0xbf;
    size_t len;

    if (first < 0x80)
        return 1;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    len = first < 0xe0 ? 2 : first < 0xf0 ? 3 : 4;
    if (left < len)
        return 0;
    if (first == 0xe0)
        low = 0xa0;
    else if (first == 0xed)
        high = 0x9f;
    else if (first == 0xf0)
        low = 0x90;
    else if (first == 0xf4)
        high = 0x8f;
    if (p[1] < low || p[1] > high)
        return 0;
    for (size_t i = 2; i < len; i++) {
        if ((p[i] & 0xc0) != 0x80)
            return 0;
    }
    return len;
}

bool api_utf8_valid(struct ldb_slice bytes)
{
    size_t i = 0;

    while (i < bytes.len) {
        size_t len;
        uint64_t eight;

        /* Eight ASCII bytes at a time: most text is nothing else. */
        if (bytes.len - i >= sizeof(eight)) {
            memcpy(&eight, bytes.data + i, sizeof(eight));
            if ((eight & UINT64_C(0x8080808080808080)) == 0) {
                i += sizeof(eight);
                continue;
            }
        }
        len = api_utf8_sequence_len(bytes.data + i, bytes.len - i);
        if (len == 0)
            return false;
        i += len;
    }
    return true;
}

enum api_encoding api_encoding_for(enum api_encoding asked,
                                   struct ldb_slice key, struct ldb_slice value)
{
    if (asked == API_ENCODING_UTF8 &&
        !(api_utf8_valid(key) && api_utf8_valid(value)))
        return API_ENCODING_BASE64;
    return asked;
}

int api_hex_digit(uint8_t c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    if (c >= 'a' && c <= 'f')
        return c - 'a' + 10;
    if (c >= 'A' && c <= 'F')
        return c - 'A' + 10;
    return -1;
}

static bool decode_hex(struct ldb_slice text, uint8_t *out, size_t *out_len)
{
    if (text.len % 2 != 0)
        return false;
    for (size_t i = 0; i < text.len; i += 2) {
        int high = api_hex_digit(text.data[i]);
        int low = api_hex_digit(text.data[i + 1]);

        if (high < 0 || low < 0)
            return false;
        out[i / 2] = (uint8_t)(high << 4 | low);
    }
    *out_len = text.len / 2;
    return true;
}

static const char base64_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
static const char base64url_digits[] =
    "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

/* A digit's place among the digits, from 1; 0: it is none. */
#define BASE64_PLACES                                                          \
    ['A'] = 1, ['B'] = 2, ['C'] = 3, ['D'] = 4, ['E'] = 5, ['F'] = 6,          \
    ['G'] = 7, ['H'] = 8, ['I'] = 9, ['J'] = 10, ['K'] = 11, ['L'] = 12,       \
    ['M'] = 13, ['N'] = 14, ['O'] = 15, ['P'] = 16, ['Q'] = 17, ['R'] = 18,    \
    ['S'] = 19, ['T'] = 20, ['U'] = 21, ['V'] = 22, ['W'] = 23, ['X'] = 24,    \
    ['Y'] = 25, ['Z'] = 26, ['a'] = 27, ['b'] = 28, ['c'] = 29, ['d'] = 30,    \
    ['e'] = 31, ['f'] = 32, ['g'] = 33, ['h'] = 34, ['i'] = 35, ['j'] = 36,    \
    ['k'] = 37, ['l'] = 38, ['m'] = 39, ['n'] = 40, ['o'] = 41, ['p'] = 42,    \
    ['q'] = 43, ['r'] = 44, ['s'] = 45, ['t'] = 46, ['u'] = 47, ['v'] = 48,    \
    ['w'] = 49, ['x'] = 50, ['y'] = 51, ['z'] = 52, ['0'] = 53, ['1'] = 54,    \
    ['2'] = 55, ['3'] = 56, ['4'] = 57, ['5'] = 58, ['6'] = 59, ['7'] = 60,    \
    ['8'] = 61, ['9'] = 62
static const uint8_t base64_places[256] = {
    BASE64_PLACES, ['+'] = 63, ['/'] = 64};
static const uint8_t base64url_places[256] = {
    BASE64_PLACES, ['-'] = 63, ['_'] = 64};

/* The 24 bits of four digits; UINT32_MAX: one of them is no digit. */
static uint32_t base64_bits(const uint8_t places[256], const uint8_t digits[4])
{
    uint32_t a = places[digits[0]] - (uint32_t)1;
    uint32_t b = places[digits[1]] - (uint32_t)1;
    uint32_t c = places[digits[2]] - (uint32_t)1;
    uint32_t d = places[digits[3]] - (uint32_t)1;

    return (a | b | c | d) < 64 ? a << 18 | b << 12 | c << 6 | d : UINT32_MAX;
}

/* Two digits are a byte, three are two; the bits that are left are zeros. */
static bool decode_base64_rest(const uint8_t places[256],
                               struct ldb_slice digits, uint8_t *out)
{
    uint8_t four[4] = {'A', 'A', 'A', 'A'};
    uint32_t bits;

    if (digits.len == 0)
        return true;
    memcpy(four, digits.data, digits.len);
    bits = base64_bits(places, four);
    if (digits.len == 1 || bits == UINT32_MAX)
        return false;
    out[0] = (uint8_t)(bits >> 16);
    if (digits.len == 2)
        return (bits & 0xffff) == 0;
    out[1] = (uint8_t)(bits >> 8);
    return (bits & 0xff) == 0;
}

/* Digits alone, padding taken off. */
static bool decode_base64_digits(struct ldb_slice digits, bool is_url,
                                 uint8_t *out, size_t *out_len)
{
    const uint8_t *places = is_url ? base64url_places : base64_places;
    size_t left = digits.len % 4;
    size_t i = 0;
    size_t len = 0;

    for (; i < digits.len - left; i += 4, len += 3) {
        uint32_t bits = base64_bits(places, digits.data + i);

        if (bits == UINT32_MAX)
            return false;
        out[len] = (uint8_t)(bits >> 16);
        out[len + 1] = (uint8_t)(bits >> 8);
        out[len + 2] = (uint8_t)bits;
    }
    *out_len = len + (left == 0 ? 0 : left - 1);
    return left == 0 ||
           decode_base64_rest(places, ldb_slice_make(digits.data + i, left),
                              out + len);
}

/* text without its padding; false when the padding is wrong. */
static bool take_padding(struct ldb_slice *text)
{
    size_t padding = 0;

    while (padding < 2 && text->len > padding &&
           text->data[text->len - padding - 1] == '=')
        padding++;
    if (padding > 0 && text->len % 4 != 0)
        return false;
    text->len -= padding;
    return true;
}

static bool decode_base64(struct ldb_slice text, bool is_url, uint8_t *out,
                          size_t *out_len)
{
    return take_padding(&text) &&
           decode_base64_digits(text, is_url, out, out_len);
}

/* No byte is written before all that is read for it was. */
bool api_text_decode_into(enum api_encoding encoding, struct ldb_slice text,
                          uint8_t *room, struct ldb_slice *out)
{
    bool is_ok = false;
    size_t len = 0;

    assert(encoding != API_ENCODING_UTF8);
    if (encoding == API_ENCODING_HEX)
        is_ok = decode_hex(text, room, &len);
    else
        is_ok =
            decode_base64(text, encoding == API_ENCODING_BASE64URL, room, &len);
    if (is_ok)
        *out = ldb_slice_make(room, len);
    return is_ok;
}

enum api_decode_result api_text_decode(struct ldb_arena *arena,
                                       enum api_encoding encoding,
                                       struct ldb_slice text,
                                       struct ldb_slice *out)
{
    uint8_t *room;

    if (encoding == API_ENCODING_UTF8) {
        *out = text;
        return API_DECODE_OK;
    }
    room = ldb_arena_alloc(arena, text.len == 0 ? 1 : text.len);
    if (room == NULL)
        return API_DECODE_NO_MEMORY;
    return api_text_decode_into(encoding, text, room, out) ? API_DECODE_OK
                                                           : API_DECODE_BAD;
}

/* ---- strings going out ---- */

static const char hex_digits[] = "0123456789abcdef";

/* The escape of one character below 0x80 that needs one; its length. */
static size_t escape(uint8_t c, uint8_t out[API_STRING_STEP_MAX])
{
    static const char shorts[] = "\"\"\\\\\bb\ff\nn\rr\tt";

    for (size_t i = 0; i + 1 < sizeof(shorts); i += 2) {
        if ((uint8_t)shorts[i] == c) {
            out[0] = '\\';
            out[1] = (uint8_t)shorts[i + 1];
            return 2;
        }
    }
    memcpy(out, "\\u00", 4);
    out[4] = (uint8_t)hex_digits[c >> 4];
    out[5] = (uint8_t)hex_digits[c & 15];
    return 6;
}

static bool is_plain(uint8_t c)
{
    return c >= 0x20 && c != '"' && c != '\\' && c != 0x7f;
}

/* Bytes from the writer's place on that need no escape. Eight at a time; a byte
 * of 0x80 and more needs none. */
static size_t plain_run(const struct api_string_writer *w, size_t max)
{
    const uint8_t *p = w->bytes.data + w->done;
    size_t left = w->bytes.len - w->done;
    size_t len = 0;

    if (left > max)
        left = max;
    for (; left - len >= 8; len += 8) {
        uint64_t word = ldb_load_fixed64(p + len);
        uint64_t special = (api_json_escapes(word) |
                            ((word ^ API_EACH_BYTE(0x7f)) - API_EACH_BYTE(1))) &
                           ~word & API_EACH_BYTE(0x80);

        if (special != 0)
            return len + (size_t)__builtin_ctzll(special) / 8;
    }
    while (len < left && is_plain(p[len]))
        len++;
    return len;
}

static size_t next_utf8(struct api_string_writer *w, uint8_t *out, size_t max)
{
    size_t len = 0;

    while (w->done < w->bytes.len) {
        size_t run = plain_run(w, max - len);
        uint8_t escaped[API_STRING_STEP_MAX];
        size_t escaped_len;

        if (run > 0) {
            memcpy(out + len, w->bytes.data + w->done, run);
            w->done += run;
            len += run;
            continue;
        }
        if (len == max)
            break;
        escaped_len = escape(w->bytes.data[w->done], escaped);
        if (escaped_len > max - len)
            break;
        memcpy(out + len, escaped, escaped_len);
        len += escaped_len;
        w->done++;
    }
    return len;
}

static size_t next_hex(struct api_string_writer *w, uint8_t *out, size_t max)
{
    size_t len = 0;

    while (w->done < w->bytes.len && max - len >= 2) {
        uint8_t c = w->bytes.data[w->done++];

        out[len++] = (uint8_t)hex_digits[c >> 4];
        out[len++] = (uint8_t)hex_digits[c & 15];
    }
    return len;
}

/* Up to three bytes as two to four digits; padded unless for a URL. */
static size_t base64_step(const uint8_t *p, size_t left, bool is_url,
                          uint8_t out[4])
{
    const char *digits = is_url ? base64url_digits : base64_digits;
    uint32_t bits = (uint32_t)p[0] << 16;

    if (left > 1)
        bits |= (uint32_t)p[1] << 8;
    if (left > 2)
        bits |= p[2];
    out[0] = (uint8_t)digits[bits >> 18];
    out[1] = (uint8_t)digits[bits >> 12 & 63];
    out[2] = left > 1 ? (uint8_t)digits[bits >> 6 & 63] : (uint8_t)'=';
    out[3] = left > 2 ? (uint8_t)digits[bits & 63] : (uint8_t)'=';
    return is_url && left < 3 ? left + 1 : 4;
}

static size_t next_base64(struct api_string_writer *w, bool is_url,
                          uint8_t *out, size_t max)
{
    size_t len = 0;

    while (w->done < w->bytes.len && max - len >= 4) {
        size_t left = w->bytes.len - w->done;

        len += base64_step(w->bytes.data + w->done, left, is_url, out + len);
        w->done += left < 3 ? left : 3;
    }
    return len;
}

size_t api_string_next(struct api_string_writer *writer, uint8_t *out,
                       size_t max)
{
    switch (writer->encoding) {
    case API_ENCODING_UTF8:
        return next_utf8(writer, out, max);
    case API_ENCODING_HEX:
        return next_hex(writer, out, max);
    case API_ENCODING_BASE64:
        return next_base64(writer, false, out, max);
    case API_ENCODING_BASE64URL:
        return next_base64(writer, true, out, max);
    }
    return 0;
}

enum ldb_status api_string_append(enum api_encoding encoding,
                                  struct ldb_slice bytes, struct ldb_buf *out)
{
    struct api_string_writer writer = {.encoding = encoding, .bytes = bytes};
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && writer.done < bytes.len) {
        uint8_t step[API_STRING_STEP_MAX];

        /* No byte is written as less than one. */
        s = ldb_buf_reserve(out, bytes.len - writer.done);
        if (s != LDB_OK)
            return s;
        out->len += api_string_next(&writer, out->data + out->len,
                                    out->capacity - out->len);
        if (writer.done < bytes.len) /* the next step needs more room */
            s = ldb_buf_append(
                out, ldb_slice_make(
                         step, api_string_next(&writer, step, sizeof(step))));
    }
    return s;
}

/* "00", "01", ... */
static const char digit_pairs[] = "00010203040506070809"
                                  "10111213141516171819"
                                  "20212223242526272829"
                                  "30313233343536373839"
                                  "40414243444546474849"
                                  "50515253545556575859"
                                  "60616263646566676869"
                                  "70717273747576777879"
                                  "80818283848586878889"
                                  "90919293949596979899";

static size_t count_digits(uint64_t value)
{
    size_t count = 1;

    for (; value >= 10000; value /= 10000)
        count += 4;
    return count + (value >= 10) + (value >= 100) + (value >= 1000);
}

size_t api_u64_text(uint64_t value, uint8_t out[API_U64_TEXT_MAX])
{
    size_t len = count_digits(value);
    uint8_t *end = out + len;

    for (; value >= 100; value /= 100) {
        end -= 2;
        memcpy(end, digit_pairs + value % 100 * 2, 2);
    }
    if (value >= 10)
        memcpy(out, digit_pairs + value * 2, 2);
    else
        out[0] = (uint8_t)('0' + value);
    return len;
}

/* ---- the document writer ---- */

struct api_json api_json_make(struct ldb_buf *buf)
{
    return (struct api_json){.buf = buf, .status = LDB_OK};
}

static void append(struct api_json *json, const void *bytes, size_t len)
{
    if (json->status == LDB_OK)
        json->status = ldb_buf_append(json->buf, ldb_slice_make(bytes, len));
}

static void before_value(struct api_json *json)
{
    if (json->needs_comma[json->depth])
        append(json, ",", 1);
    json->needs_comma[json->depth] = true;
}

static void begin(struct api_json *json, char bracket)
{
    before_value(json);
    append(json, &bracket, 1);
    json->depth++;
    assert(json->depth < API_JSON_DEPTH_MAX);
    json->needs_comma[json->depth] = false;
}

static void end(struct api_json *json, char bracket)
{
    assert(json->depth > 0);
    json->depth--;
    append(json, &bracket, 1);
}

void api_json_object_begin(struct api_json *json)
{
    begin(json, '{');
}

void api_json_object_end(struct api_json *json)
{
    end(json, '}');
}

void api_json_array_begin(struct api_json *json)
{
    begin(json, '[');
}

void api_json_array_end(struct api_json *json)
{
    end(json, ']');
}

void api_json_name(struct api_json *json, const char *name)
{
    before_value(json);
    append(json, "\"", 1);
    append(json, name, strlen(name));
    append(json, "\":", 2);
    /* The value that follows is no new element. */
    json->needs_comma[json->depth] = false;
}

void api_json_u64(struct api_json *json, uint64_t value)
{
    uint8_t digits[API_U64_TEXT_MAX];
    size_t len = api_u64_text(value, digits);

    before_value(json);
    append(json, digits, len);
}

void api_json_bool(struct api_json *json, bool value)
{
    before_value(json);
    append(json, value ? "true" : "false", value ? 4 : 5);
}

void api_json_null(struct api_json *json)
{
    before_value(json);
    append(json, "null", 4);
}

void api_json_double(struct api_json *json, double value)
{
    if (!isfinite(value)) {
        api_json_null(json);
        return;
    }
    before_value(json);
    if (json->status == LDB_OK)
        json->status = ldb_buf_printf(json->buf, "%.3f", value);
}

static void append_string(struct api_json *json, enum api_encoding encoding,
                          struct ldb_slice bytes)
{
    if (json->status == LDB_OK)
        json->status = api_string_append(encoding, bytes, json->buf);
}

/* Texts that are not UTF-8 come from error messages with foreign names. */
static void append_repaired(struct api_json *json, struct ldb_slice bytes)
{
    size_t i = 0;

    while (i < bytes.len) {
        size_t good = 0;

        while (i + good < bytes.len) {
            size_t len = api_utf8_sequence_len(bytes.data + i + good,
                                               bytes.len - i - good);

            if (len == 0)
                break;
            good += len;
        }
        append_string(json, API_ENCODING_UTF8,
                      ldb_slice_make(bytes.data + i, good));
        i += good;
        if (i < bytes.len) {
            append(json, "\xef\xbf\xbd", 3); /* U+FFFD */
            i++;
        }
    }
}

void api_json_bytes(struct api_json *json, enum api_encoding encoding,
                    struct ldb_slice bytes)
{
    before_value(json);
    append(json, "\"", 1);
    if (encoding == API_ENCODING_UTF8 && !api_utf8_valid(bytes))
        append_repaired(json, bytes);
    else
        append_string(json, encoding, bytes);
    append(json, "\"", 1);
}

void api_json_text(struct api_json *json, const char *text)
{
    api_json_bytes(json, API_ENCODING_UTF8, ldb_slice_str(text));
}

void api_json_member_u64(struct api_json *json, const char *name,
                         uint64_t value)
{
    api_json_name(json, name);
    api_json_u64(json, value);
}

void api_json_member_bool(struct api_json *json, const char *name, bool value)
{
    api_json_name(json, name);
    api_json_bool(json, value);
}

void api_json_member_text(struct api_json *json, const char *name,
                          const char *text)
{
    api_json_name(json, name);
    api_json_text(json, text);
}

void api_json_member_double(struct api_json *json, const char *name,
                            double value)
{
    api_json_name(json, name);
    api_json_double(json, value);
}

/* ---- documents coming in ---- */

json_t *api_json_parse(struct ldb_slice text, unsigned depth_max, char *why,
                       size_t why_size)
{
    return repl_json_parse(text, depth_max, why, why_size);
}

struct ldb_slice api_json_string_bytes(const json_t *string)
{
    return ldb_slice_make(json_string_value(string),
                          json_string_length(string));
}

void api_json_use_ldb_mem(void)
{
    repl_json_use_ldb_mem();
}
