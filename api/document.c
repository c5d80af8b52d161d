#include "api/document.h"

#include <stdio.h>
#include <string.h>

#include "api/context.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/response.h"
#include "storage/base/buf.h"

/* Levels of a small document: the object and its members. */
#define DEPTH_MAX 2

void api_answer_document(struct api_exchange *x, unsigned status,
                         struct api_json *json)
{
    if (json->status == LDB_OK)
        json->status = ldb_buf_append_byte(json->buf, '\n');
    if (json->status == LDB_OK)
        api_answer_buf(x, status, API_TYPE_JSON, json->buf);
    else
        api_answer_status(x, json->status, NULL);
    ldb_buf_release(json->buf);
}

bool api_no_params(struct api_exchange *x)
{
    static const char *const allowed[] = {NULL};
    struct api_params params;

    return api_params_parse(x, allowed, &params);
}

/* ---- reading ---- */

static bool check_type(struct api_exchange *x)
{
    struct ldb_slice type;

    if (!api_header_once(x, "Content-Type", &type))
        return false;
    if (api_media_type_is(type, API_TYPE_JSON))
        return true;
    api_answer_problemf(x, API_PROBLEM_UNSUPPORTED_MEDIA_TYPE,
                        "the body is sent as %s", API_TYPE_JSON);
    return false;
}

static bool check_members(struct api_exchange *x, json_t *document,
                          const char *const *names)
{
    const char *name;
    json_t *value;

    json_object_foreach(document, name, value)
    {
        size_t i = 0;

        (void)value;
        while (names[i] != NULL && strcmp(names[i], name) != 0)
            i++;
        if (names[i] == NULL) {
            api_answer_problemf(x, API_PROBLEM_MALFORMED,
                                "the body has a member it should not have");
            return false;
        }
    }
    return true;
}

bool api_document_read(struct api_exchange *x, const char *const *names,
                       json_t **out)
{
    json_t *document;
    char why[256];

    *out = NULL;
    if (x->body.len == 0)
        return true;
    if (!check_type(x))
        return false;
    document =
        api_json_parse(ldb_slice_of_buf(&x->body), DEPTH_MAX, why, sizeof(why));
    if (document == NULL && why[0] == '\0') {
        api_answer_no_memory(x);
        return false;
    }
    if (document == NULL || !json_is_object(document)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED, "the body: %s",
                            document == NULL ? why : "an object expected");
        json_decref(document);
        return false;
    }
    if (!check_members(x, document, names)) {
        json_decref(document);
        return false;
    }
    *out = document;
    return true;
}

bool api_document_duration(struct api_exchange *x, const json_t *document,
                           const char *name, uint64_t max_us, uint64_t *out_us)
{
    const json_t *member = json_object_get(document, name);
    uint64_t us = 0;

    if (member == NULL)
        return true;
    if (!json_is_string(member) ||
        !api_duration_parse(api_json_string_bytes(member), &us) || us == 0 ||
        us > max_us) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "\"%s\" is a duration such as \"60s\", at most "
                            "%llu s",
                            name, (unsigned long long)(max_us / 1000000));
        return false;
    }
    *out_us = us;
    return true;
}

bool api_document_encoding(struct api_exchange *x, const json_t *document,
                           enum api_encoding *out)
{
    const json_t *member = json_object_get(document, "encoding");

    *out = API_ENCODING_UTF8;
    if (member == NULL ||
        (json_is_string(member) &&
         api_encoding_parse(api_json_string_bytes(member), out)))
        return true;
    api_answer_problemf(x, API_PROBLEM_MALFORMED,
                        "\"encoding\" is utf8, base64 or hex");
    return false;
}

bool api_document_key(struct api_exchange *x, const json_t *document,
                      const char *name, enum api_encoding encoding,
                      bool *out_given, struct ldb_slice *out)
{
    const json_t *member = json_object_get(document, name);
    struct ldb_slice text;
    uint8_t *copy;

    *out_given = member != NULL;
    *out = (struct ldb_slice){0};
    if (member == NULL)
        return true;
    if (!json_is_string(member)) {
        api_answer_problemf(x, API_PROBLEM_MALFORMED, "\"%s\" is a string",
                            name);
        return false;
    }
    text = api_json_string_bytes(member);
    copy = ldb_arena_dup(x->arena, text);
    if (copy == NULL) {
        api_answer_no_memory(x);
        return false;
    }
    switch (api_text_decode(x->arena, encoding, ldb_slice_make(copy, text.len),
                            out)) {
    case API_DECODE_OK:
        break;
    case API_DECODE_BAD:
        api_answer_problemf(x, API_PROBLEM_BAD_KEY,
                            "\"%s\" is not in the encoding it should be in",
                            name);
        return false;
    case API_DECODE_NO_MEMORY:
        api_answer_no_memory(x);
        return false;
    }
    if (out->len > x->context->limits.key_bytes) {
        api_answer_problemf(x, API_PROBLEM_TOO_LARGE,
                            "\"%s\" has %zu bytes, the limit of a key is %zu",
                            name, out->len, x->context->limits.key_bytes);
        return false;
    }
    return true;
}

/* ---- times ---- */

#define US_PER_DAY (UINT64_C(86400) * 1000000)

/*
 * Year, month and day of a day counted from 1970-01-01. Counted from March,
 * a year's leap day is its last, and the months' lengths repeat every five:
 * 153 days.
 */
static void date_of(uint64_t days, unsigned *year, unsigned *month,
                    unsigned *day)
{
    uint64_t shifted = days + 719468; /* from 0000-03-01 */
    uint64_t era = shifted / 146097;  /* of 400 years */
    uint64_t in_era = shifted % 146097;
    uint64_t year_of_era =
        (in_era - in_era / 1460 + in_era / 36524 - in_era / 146096) / 365;
    uint64_t in_year =
        in_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    uint64_t from_march = (5 * in_year + 2) / 153;

    *day = (unsigned)(in_year - (153 * from_march + 2) / 5 + 1);
    *month = (unsigned)(from_march < 10 ? from_march + 3 : from_march - 9);
    *year = (unsigned)(year_of_era + era * 400 + (*month <= 2 ? 1 : 0));
}

void api_json_member_time(struct api_json *json, const char *name,
                          uint64_t wall_us)
{
    uint64_t ms = wall_us % US_PER_DAY / 1000;
    unsigned year;
    unsigned month;
    unsigned day;
    char text[64];

    date_of(wall_us / US_PER_DAY, &year, &month, &day);
    (void)snprintf(text, sizeof(text), "%04u-%02u-%02uT%02u:%02u:%02u.%03uZ",
                   year, month, day, (unsigned)(ms / 3600000),
                   (unsigned)(ms / 60000 % 60), (unsigned)(ms / 1000 % 60),
                   (unsigned)(ms % 1000));
    api_json_member_text(json, name, text);
}
