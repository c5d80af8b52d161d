#include "api/params.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "api/context.h"
#include "api/problem.h"
#include "storage/base/checked.h"
#include "storage/base/reader.h"

enum api_decode_result api_percent_decode(struct ldb_arena *arena,
                                          struct ldb_slice raw,
                                          struct ldb_slice *out)
{
    struct ldb_reader r = ldb_reader_make(raw);
    uint8_t *bytes;
    size_t len = 0;

    if (raw.len == 0 || memchr(raw.data, '%', raw.len) == NULL) {
        *out = raw;
        return API_DECODE_OK;
    }
    bytes = ldb_arena_alloc(arena, raw.len);
    if (bytes == NULL)
        return API_DECODE_NO_MEMORY;
    while (ldb_reader_left(&r) > 0) {
        uint8_t c;

        (void)ldb_reader_u8(&r, &c);
        if (c == '%') {
            uint8_t high;
            uint8_t low;

            (void)ldb_reader_u8(&r, &high);
            (void)ldb_reader_u8(&r, &low);
            if (r.failed || api_hex_digit(high) < 0 || api_hex_digit(low) < 0)
                return API_DECODE_BAD;
            c = (uint8_t)(api_hex_digit(high) << 4 | api_hex_digit(low));
        }
        bytes[len++] = c;
    }
    *out = ldb_slice_make(bytes, len);
    return API_DECODE_OK;
}

/* Room for a parameter's name in a message. */
#define SHOWN_SIZE 64

/* bytes for a message: cut, anything but printable ASCII as '?'. */
static const char *shown(struct ldb_slice bytes, char out[SHOWN_SIZE])
{
    size_t len = bytes.len < SHOWN_SIZE - 1 ? bytes.len : SHOWN_SIZE - 1;

    for (size_t i = 0; i < len; i++) {
        uint8_t c = bytes.data[i];

        out[i] = c > 0x20 && c < 0x7f ? (char)c : '?';
    }
    out[len] = '\0';
    return out;
}

/* ---- the query ---- */

static bool decode_part(struct api_exchange *x, struct ldb_slice raw,
                        struct ldb_slice *out)
{
    char text[SHOWN_SIZE];

    switch (api_percent_decode(x->arena, raw, out)) {
    case API_DECODE_OK:
        return true;
    case API_DECODE_BAD:
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "the query has a bad percent-encoding in '%s'",
                            shown(raw, text));
        return false;
    case API_DECODE_NO_MEMORY:
        break;
    }
    api_answer_no_memory(x);
    return false;
}

static bool name_is(struct ldb_slice name, const char *text)
{
    return ldb_slice_equal(name, ldb_slice_str(text));
}

static bool is_allowed(const char *const *allowed, struct ldb_slice name)
{
    for (; *allowed != NULL; allowed++) {
        if (name_is(name, *allowed))
            return true;
    }
    return false;
}

/* "enc, sync", or "none"; cut where it is too long. */
#define NAMES_SIZE 160
static const char *list_names(const char *const *names, char out[NAMES_SIZE])
{
    size_t len = 0;

    if (*names == NULL)
        return "none";
    out[0] = '\0';
    for (; *names != NULL && len < NAMES_SIZE; names++)
        len += (size_t)snprintf(out + len, NAMES_SIZE - len, "%s%s",
                                len == 0 ? "" : ", ", *names);
    return out;
}

static void answer_unknown(struct api_exchange *x, struct ldb_slice name,
                           const char *const *allowed)
{
    char text[SHOWN_SIZE];
    char names[NAMES_SIZE];

    api_answer_problemf(x, API_PROBLEM_MALFORMED,
                        "unknown parameter '%s'; known here: %s",
                        shown(name, text), list_names(allowed, names));
}

static bool is_repeated(const struct api_params *params, struct ldb_slice name)
{
    for (size_t i = 0; i < params->count; i++) {
        if (ldb_slice_equal(params->items[i].name, name))
            return true;
    }
    return false;
}

static bool parse_pair(struct api_exchange *x, struct ldb_slice pair,
                       const char *const *allowed, struct api_params *params)
{
    const uint8_t *equals =
        pair.len == 0 ? NULL : memchr(pair.data, '=', pair.len);
    struct api_param item;
    size_t name_len;
    char text[SHOWN_SIZE];

    if (equals == NULL) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "the query has '%s' where name=value should be",
                            shown(pair, text));
        return false;
    }
    name_len = (size_t)(equals - pair.data);
    if (!decode_part(x, ldb_slice_make(pair.data, name_len), &item.name) ||
        !decode_part(x, ldb_slice_make(equals + 1, pair.len - name_len - 1),
                     &item.value))
        return false;
    if (!is_allowed(allowed, item.name)) {
        answer_unknown(x, item.name, allowed);
        return false;
    }
    if (is_repeated(params, item.name)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "parameter '%s' is sent twice",
                            shown(item.name, text));
        return false;
    }
    /* Known names, each once: allowed lists are shorter than the array. */
    assert(params->count < API_PARAMS_MAX);
    params->items[params->count++] = item;
    return true;
}

bool api_params_parse(struct api_exchange *x, const char *const *allowed,
                      struct api_params *out)
{
    struct ldb_slice left = x->raw_query;

    out->count = 0;
    if (left.len == 0)
        return true;
    for (;;) {
        const uint8_t *end =
            left.len == 0 ? NULL : memchr(left.data, '&', left.len);
        size_t len = end == NULL ? left.len : (size_t)(end - left.data);

        if (!parse_pair(x, ldb_slice_make(left.data, len), allowed, out))
            return false;
        if (end == NULL)
            return true;
        left = ldb_slice_make(end + 1, left.len - len - 1);
    }
}

const struct ldb_slice *api_params_find(const struct api_params *params,
                                        const char *name)
{
    for (size_t i = 0; i < params->count; i++) {
        if (name_is(params->items[i].name, name))
            return &params->items[i].value;
    }
    return NULL;
}

bool api_params_bool(struct api_exchange *x, const struct api_params *params,
                     const char *name, bool *out)
{
    const struct ldb_slice *value = api_params_find(params, name);

    if (value == NULL)
        return true;
    if (name_is(*value, "true")) {
        *out = true;
        return true;
    }
    if (name_is(*value, "false")) {
        *out = false;
        return true;
    }
    api_answer_problemf(x, API_PROBLEM_MALFORMED,
                        "parameter '%s' is true or false", name);
    return false;
}

bool api_params_u64(struct api_exchange *x, const struct api_params *params,
                    const char *name, uint64_t min, uint64_t max, uint64_t *out)
{
    const struct ldb_slice *value = api_params_find(params, name);
    uint64_t number;

    if (value == NULL)
        return true;
    if (!ldb_parse_u64(*value, &number) || number < min || number > max) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "parameter '%s' is a whole number from %llu to "
                            "%llu",
                            name, (unsigned long long)min,
                            (unsigned long long)max);
        return false;
    }
    *out = number;
    return true;
}

bool api_params_encoding(struct api_exchange *x,
                         const struct api_params *params,
                         enum api_encoding *out)
{
    const struct ldb_slice *value = api_params_find(params, "encoding");

    if (value == NULL || api_encoding_parse(*value, out))
        return true;
    api_answer_problemf(x, API_PROBLEM_MALFORMED,
                        "parameter 'encoding' is utf8, base64 or hex");
    return false;
}

bool api_params_enc(struct api_exchange *x, const struct api_params *params,
                    enum api_encoding *out)
{
    const struct ldb_slice *value = api_params_find(params, "enc");

    if (value == NULL) {
        *out = API_ENCODING_UTF8;
        return true;
    }
    if (name_is(*value, "hex")) {
        *out = API_ENCODING_HEX;
        return true;
    }
    if (name_is(*value, "base64url")) {
        *out = API_ENCODING_BASE64URL;
        return true;
    }
    api_answer_problemf(x, API_PROBLEM_MALFORMED,
                        "parameter 'enc' is hex or base64url");
    return false;
}

/* ---- keys ---- */

static bool answer_bad_key(struct api_exchange *x, const char *where)
{
    api_answer_problemf(x, API_PROBLEM_BAD_KEY,
                        "the key in %s cannot be decoded", where);
    return false;
}

/* A percent-decoded key, decoded as enc says, and its length checked. */
static bool finish_key(struct api_exchange *x, enum api_encoding enc,
                       struct ldb_slice text, const char *where,
                       struct ldb_slice *out)
{
    switch (api_text_decode(x->arena, enc, text, out)) {
    case API_DECODE_OK:
        break;
    case API_DECODE_BAD:
        return answer_bad_key(x, where);
    case API_DECODE_NO_MEMORY:
        api_answer_no_memory(x);
        return false;
    }
    if (out->len > x->context->limits.key_bytes) {
        api_answer_problemf(x, API_PROBLEM_TOO_LARGE,
                            "the key in %s has %zu bytes, the limit is %zu",
                            where, out->len, x->context->limits.key_bytes);
        return false;
    }
    return true;
}

bool api_params_key(struct api_exchange *x, const struct api_params *params,
                    const char *name, enum api_encoding enc, bool *out_given,
                    struct ldb_slice *out)
{
    const struct ldb_slice *value = api_params_find(params, name);

    *out_given = value != NULL;
    if (value == NULL) {
        *out = (struct ldb_slice){0};
        return true;
    }
    return finish_key(x, enc, *value, name, out);
}

bool api_path_key(struct api_exchange *x, enum api_encoding enc,
                  struct ldb_slice *out)
{
    struct ldb_slice text;

    switch (api_percent_decode(x->arena, x->raw_rest, &text)) {
    case API_DECODE_OK:
        break;
    case API_DECODE_BAD:
        return answer_bad_key(x, "the path");
    case API_DECODE_NO_MEMORY:
        api_answer_no_memory(x);
        return false;
    }
    return finish_key(x, enc, text, "the path", out);
}

/* ---- durations and headers ---- */

bool api_duration_parse(struct ldb_slice text, uint64_t *out_us)
{
    static const struct {
        const char *unit;
        uint64_t us;
    } units[] = {
        {"ms", 1000},
        {"s", 1000000},
        {"m", UINT64_C(60) * 1000000},
        {"h", UINT64_C(3600) * 1000000},
    };
    size_t digits = 0;
    uint64_t number;

    while (digits < text.len && text.data[digits] >= '0' &&
           text.data[digits] <= '9')
        digits++;
    if (!ldb_parse_u64(ldb_slice_make(text.data, digits), &number))
        return false;
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (!name_is(ldb_slice_make(text.data + digits, text.len - digits),
                     units[i].unit))
            continue;
        if (number > API_DURATION_MAX_US / units[i].us)
            return false;
        *out_us = number * units[i].us;
        return true;
    }
    return false;
}

void api_answer_repeated_header(struct api_exchange *x, const char *name)
{
    api_answer_problemf(x, API_PROBLEM_MALFORMED,
                        "header %s is sent more than once", name);
}

/* ---- media types ---- */

static bool is_blank(uint8_t c)
{
    return c == ' ' || c == '\t';
}

static struct ldb_slice trim(struct ldb_slice s)
{
    while (s.len > 0 && is_blank(s.data[0])) {
        s.data++;
        s.len--;
    }
    while (s.len > 0 && is_blank(s.data[s.len - 1]))
        s.len--;
    return s;
}

/* Cuts off what stands before the next separator, trimmed. */
static struct ldb_slice next_part(struct ldb_slice *left, char separator)
{
    const uint8_t *end =
        left->len == 0 ? NULL : memchr(left->data, separator, left->len);
    size_t len = end == NULL ? left->len : (size_t)(end - left->data);
    struct ldb_slice part = ldb_slice_make(left->data, len);

    if (end == NULL)
        *left = (struct ldb_slice){0};
    else
        *left = ldb_slice_make(end + 1, left->len - len - 1);
    return trim(part);
}

static bool equals_ignoring_case(struct ldb_slice s, const char *text)
{
    size_t len = strlen(text);

    return s.len == len &&
           (len == 0 || strncasecmp((const char *)s.data, text, len) == 0);
}

/* name=value of a media type's parameter; quotes are taken off. */
static bool parameter(struct ldb_slice part, const char *name,
                      struct ldb_slice *out_value)
{
    struct ldb_slice left = part;

    if (!equals_ignoring_case(next_part(&left, '='), name))
        return false;
    left = trim(left);
    if (left.len >= 2 && left.data[0] == '"' && left.data[left.len - 1] == '"')
        left = ldb_slice_make(left.data + 1, left.len - 2);
    *out_value = left;
    return true;
}

bool api_media_type_is(struct ldb_slice value, const char *type)
{
    if (!equals_ignoring_case(next_part(&value, ';'), type))
        return false;
    while (value.len > 0) {
        struct ldb_slice charset;

        if (parameter(next_part(&value, ';'), "charset", &charset) &&
            !equals_ignoring_case(charset, "utf-8"))
            return false;
    }
    return true;
}

/* "1", "0.8", "0.333": in thousandths; false: not a weight. */
static bool parse_weight(struct ldb_slice text, unsigned *out)
{
    unsigned value;

    if (text.len == 0 || text.len > 5 ||
        (text.data[0] != '0' && text.data[0] != '1') ||
        (text.len > 1 && text.data[1] != '.'))
        return false;
    value = (unsigned)(text.data[0] - '0') * 1000;
    for (size_t i = 2; i < text.len; i++) {
        static const unsigned scale[] = {100, 10, 1};

        if (text.data[i] < '0' || text.data[i] > '9')
            return false;
        value += (unsigned)(text.data[i] - '0') * scale[i - 2];
    }
    if (value > 1000)
        return false;
    *out = value;
    return true;
}

/* How closely a media range names type: 0 not, 1 all, 2 type/all, 3 exactly. */
static unsigned range_matches(struct ldb_slice range, const char *type)
{
    const char *slash = strchr(type, '/');
    size_t major = (size_t)(slash - type) + 1;

    if (equals_ignoring_case(range, "*/*"))
        return 1;
    if (equals_ignoring_case(range, type))
        return 3;
    if (range.len == major + 1 && range.data[major] == '*' &&
        strncasecmp((const char *)range.data, type, major) == 0)
        return 2;
    return 0;
}

/* The weight that accept gives to type: of the range that fits closest. */
static unsigned weight_of(struct ldb_slice accept, const char *type)
{
    unsigned closest = 0;
    unsigned weight = 0;

    while (accept.len > 0) {
        struct ldb_slice element = next_part(&accept, ',');
        unsigned fit = range_matches(next_part(&element, ';'), type);
        unsigned q = 1000;
        bool is_valid = true;

        while (element.len > 0) {
            struct ldb_slice text;

            if (parameter(next_part(&element, ';'), "q", &text))
                is_valid = parse_weight(text, &q);
        }
        if (is_valid && fit > closest) {
            closest = fit;
            weight = q;
        }
    }
    return weight;
}

size_t api_accept_choose(struct ldb_slice accept, const char *const *types,
                         size_t count)
{
    size_t choice = count;
    unsigned best = 0;

    if (trim(accept).len == 0)
        return 0;
    for (size_t i = 0; i < count; i++) {
        unsigned weight = weight_of(accept, types[i]);

        if (weight > best) {
            best = weight;
            choice = i;
        }
    }
    return choice;
}

bool api_accept(struct api_exchange *x, const char *const *types, size_t count,
                size_t *out_choice)
{
    unsigned sent = 0;
    struct ldb_slice accept = api_exchange_header(x, "Accept", &sent);
    size_t choice = api_accept_choose(accept, types, count);

    if (choice < count) {
        *out_choice = choice;
        return true;
    }
    if (count == 1)
        api_answer_problemf(x, API_PROBLEM_NOT_ACCEPTABLE,
                            "this resource is %s", types[0]);
    else
        api_answer_problemf(x, API_PROBLEM_NOT_ACCEPTABLE,
                            "this resource is %s or %s", types[0], types[1]);
    return false;
}
