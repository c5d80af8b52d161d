/*
 * Any bytes as one JSON document, through our reader and through jansson: the
 * same verdict, and the same members, elements and values in the same order.
 *
 * Not compared: the range of real numbers, which the reader lets be; a NUL
 * outside of strings, which jansson passes over in places; what is nested
 * deeper than the reader was told to go.
 */
#include "api/json_reader.h"

#include <string.h>

#include "storage/base/buf.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

#define INPUT_MAX 8192

/* What a string is decoded into. */
static uint8_t room[INPUT_MAX];

static void check_string(const struct api_json_string *ours,
                         struct ldb_slice theirs)
{
    assert(ours->len <= ours->raw.len && ours->raw.len <= INPUT_MAX);
    assert(ldb_slice_equal(api_json_string_get(ours, room), theirs));
}

static void check_kind(const struct api_json_value *ours, const json_t *theirs)
{
    switch (ours->kind) {
    case API_JSON_OBJECT:
        assert(json_is_object(theirs));
        break;
    case API_JSON_ARRAY:
        assert(json_is_array(theirs));
        break;
    case API_JSON_STRING:
        assert(json_is_string(theirs));
        check_string(&ours->string, api_json_string_bytes(theirs));
        break;
    case API_JSON_INTEGER:
        assert(json_is_integer(theirs));
        assert(json_integer_value(theirs) == ours->integer);
        break;
    case API_JSON_REAL:
        assert(json_is_real(theirs));
        break;
    case API_JSON_TRUE:
        assert(json_is_true(theirs));
        break;
    case API_JSON_FALSE:
        assert(json_is_false(theirs));
        break;
    case API_JSON_NULL:
        assert(json_is_null(theirs));
        break;
    }
}

/* One level down in both. Recursion: the depth is bounded. */
static void check_inside(struct api_json_reader *r, json_t *theirs)
{
    struct api_json_value value;
    struct api_json_string name;
    bool is_ok = json_is_object(theirs) ? api_json_reader_object(r)
                                        : api_json_reader_array(r);
    void *member = json_object_iter(theirs);
    size_t i = 0;

    assert(is_ok);
    for (;;) {
        json_t *inner;
        uint8_t first;

        if (json_is_object(theirs)) {
            is_ok = api_json_reader_member(r, &name);
            assert(is_ok == (member != NULL));
            if (!is_ok)
                break;
            check_string(&name, ldb_slice_str(json_object_iter_key(member)));
            inner = json_object_iter_value(member);
            member = json_object_iter_next(theirs, member);
        } else {
            is_ok = api_json_reader_element(r);
            assert(is_ok == (i < json_array_size(theirs)));
            if (!is_ok)
                break;
            inner = json_array_get(theirs, i++);
        }
        first = api_json_reader_peek(r);
        if (first == '{' || first == '[') {
            check_inside(r, inner);
            continue;
        }
        is_ok = api_json_reader_value(r, &value);
        assert(is_ok);
        check_kind(&value, inner);
    }
}

/* Whole, without looking at what is in it. */
static bool accepts(struct ldb_slice text, struct api_json_reader *r)
{
    struct api_json_value value;
    uint8_t first;

    *r = api_json_reader_make(text, API_JSON_READER_DEPTH_MAX);
    first = api_json_reader_peek(r);
    return (first == '{' || first == '[') && api_json_reader_value(r, &value) &&
           api_json_reader_end(r);
}

static void check_refusal(const struct api_json_reader *r)
{
    char why[128];

    assert(r->p >= r->text && r->p <= r->end);
    if (r->why != NULL) {
        api_json_reader_explain(r, why, sizeof(why));
        assert(strncmp(why, "JSON, byte ", 11) == 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ldb_slice text = ldb_slice_make(bytes, len);
    struct api_json_reader r;
    json_error_t error;
    json_t *root;
    bool is_ok;

    if (len == 0 || len > INPUT_MAX)
        return -1;
    is_ok = accepts(text, &r);
    if (!is_ok)
        check_refusal(&r);
    root = json_loadb((const char *)bytes, len, JSON_ALLOW_NUL, &error);
    if (memchr(bytes, 0, len) != NULL) {
        assert(!is_ok);
    } else if (root == NULL) {
        assert(!is_ok || strstr(error.text, "real number overflow") != NULL);
    } else if (!is_ok) {
        assert(r.why != NULL && strstr(r.why, "nested deeper") != NULL);
    }
    json_decref(root);
    /* A name that stands twice is once in jansson's tree. */
    root = json_loadb((const char *)bytes, len,
                      JSON_ALLOW_NUL | JSON_REJECT_DUPLICATES, NULL);
    if (root != NULL && is_ok) {
        r = api_json_reader_make(text, API_JSON_READER_DEPTH_MAX);
        check_inside(&r, root);
        is_ok = api_json_reader_end(&r);
        assert(is_ok);
    }
    json_decref(root);
    return 0;
}
