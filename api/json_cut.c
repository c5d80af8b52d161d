#include "api/json_cut.h"

#include <string.h>

#include "storage/base/slice.h"

uint8_t api_json_peek(struct ldb_reader *r)
{
    while (r->p < r->end &&
           (*r->p == ' ' || *r->p == '\t' || *r->p == '\n' || *r->p == '\r'))
        r->p++;
    return r->p < r->end ? *r->p : 0;
}

bool api_json_take(struct ldb_reader *r, uint8_t c)
{
    uint8_t taken;

    if (api_json_peek(r) != c)
        return false;
    return ldb_reader_u8(r, &taken);
}

/* Goes past a string, the reader on its first quote. */
static bool skip_string(struct ldb_reader *r)
{
    uint8_t c;

    (void)ldb_reader_u8(r, &c);
    while (ldb_reader_u8(r, &c)) {
        if (c == '"')
            return true;
        if (c == '\\')
            (void)ldb_reader_u8(r, &c);
    }
    return false;
}

/* Goes past an object or list; what is in it, jansson judges. */
static bool skip_nested(struct ldb_reader *r)
{
    size_t depth = 0;

    while (ldb_reader_left(r) > 0) {
        uint8_t c = *r->p;

        if (c == '"') {
            if (!skip_string(r))
                return false;
            continue;
        }
        (void)ldb_reader_u8(r, &c);
        if (c == '{' || c == '[')
            depth++;
        else if ((c == '}' || c == ']') && --depth == 0)
            return true;
    }
    return false;
}

bool api_json_take_value(struct ldb_reader *r, struct ldb_slice *out)
{
    uint8_t first = api_json_peek(r);
    const uint8_t *start = r->p;
    bool is_whole = true;

    if (first == '"') {
        is_whole = skip_string(r);
    } else if (first == '{' || first == '[') {
        is_whole = skip_nested(r);
    } else { /* a number or a word */
        while (r->p < r->end && strchr(",]} \t\r\n", *r->p) == NULL)
            r->p++;
        is_whole = r->p > start;
    }
    *out = ldb_slice_make(start, (size_t)(r->p - start));
    return is_whole;
}

/* The member whose name this is, quotes around it. */
static struct api_json_member *member_of(struct api_json_member *members,
                                         size_t count, struct ldb_slice name)
{
    struct ldb_slice inner = ldb_slice_make(name.data + 1, name.len - 2);

    for (size_t i = 0; i < count; i++) {
        if (ldb_slice_equal(inner, ldb_slice_str(members[i].name)))
            return &members[i];
    }
    return NULL;
}

/* One member; NULL or what is wrong. */
static const char *cut_member(struct ldb_reader *r,
                              struct api_json_member *members, size_t count)
{
    struct api_json_member *member;
    struct ldb_slice name;

    if (api_json_peek(r) != '"' || !api_json_take_value(r, &name) ||
        !api_json_take(r, ':'))
        return "\"name\": expected";
    member = member_of(members, count, name);
    if (member == NULL)
        return "unknown member";
    if (member->value.len != 0)
        return "duplicate member";
    if (!api_json_take_value(r, &member->value))
        return "the value is cut short";
    return NULL;
}

static const char *cut_object(struct ldb_reader *r,
                              struct api_json_member *members, size_t count)
{
    if (!api_json_take(r, '{'))
        return "an object expected";
    if (api_json_peek(r) != '}') {
        do {
            const char *why = cut_member(r, members, count);

            if (why != NULL)
                return why;
        } while (api_json_take(r, ','));
    }
    if (!api_json_take(r, '}'))
        return ", or } expected";
    if (api_json_peek(r) != 0 || ldb_reader_left(r) > 0)
        return "more after the document";
    return NULL;
}

bool api_json_cut(struct ldb_slice text, struct api_json_member *members,
                  size_t count, size_t *out_at, const char **out_why)
{
    struct ldb_reader r = ldb_reader_make(text);
    const char *why;

    for (size_t i = 0; i < count; i++)
        members[i].value = (struct ldb_slice){0};
    why = cut_object(&r, members, count);
    if (why == NULL)
        return true;
    *out_at = text.len - ldb_reader_left(&r);
    *out_why = why;
    return false;
}
