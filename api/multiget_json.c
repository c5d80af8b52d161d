#include "api/multiget_json.h"

/* Levels of the body: the object and the list; one more is already wrong, the
 * message for it better. */
#define DEPTH_MAX 3

static bool fail(struct api_problem *problem, const char *what)
{
    *problem = (struct api_problem){.kind = API_PROBLEM_MALFORMED};
    api_problem_detail(problem, "%s", what);
    return false;
}

static bool fail_json(struct api_problem *problem,
                      const struct api_json_reader *r)
{
    char why[API_PROBLEM_DETAIL_SIZE];

    api_json_reader_explain(r, why, sizeof(why));
    return fail(problem, why);
}

static bool fail_name(struct api_problem *problem, const char *what,
                      const struct api_json_string *name)
{
    *problem = (struct api_problem){.kind = API_PROBLEM_MALFORMED};
    api_problem_detail(problem, "%s member \"%.*s\"", what,
                       api_json_string_shown(name),
                       (const char *)name->raw.data);
    return false;
}

static bool fail_key(struct api_problem *problem, enum api_problem_kind kind,
                     uint64_t index, const struct api_limits *limits)
{
    *problem =
        (struct api_problem){.kind = kind, .has_index = true, .index = index};
    api_problem_detail(
        problem, "keys[%llu]: a string of the encoding, at most %zu bytes",
        (unsigned long long)index, limits->key_bytes);
    return false;
}

/* Counts the keys, and remembers where they begin. */
static bool read_keys(struct api_json_reader *r,
                      const struct api_limits *limits,
                      struct api_multiget_json *get,
                      struct api_problem *problem)
{
    struct api_json_value value;

    if (api_json_reader_peek(r) != '[') {
        if (!api_json_reader_value(r, &value))
            return fail_json(problem, r);
        return fail(problem, "\"keys\" is a list");
    }
    if (!api_json_reader_array(r))
        return fail_json(problem, r);
    get->keys = *r;
    while (api_json_reader_element(r)) {
        if (!api_json_reader_value(r, &value))
            break;
        if (value.kind != API_JSON_STRING)
            return fail_key(problem, API_PROBLEM_MALFORMED, get->key_count,
                            limits);
        get->key_count++;
    }
    if (r->why != NULL)
        return fail_json(problem, r);
    if (get->key_count <= limits->range_items_max)
        return true;
    *problem = (struct api_problem){.kind = API_PROBLEM_TOO_LARGE};
    api_problem_detail(problem, "%llu keys, the limit is %llu",
                       (unsigned long long)get->key_count,
                       (unsigned long long)limits->range_items_max);
    return false;
}

enum member {
    MEMBER_KEYS,
    MEMBER_VALUES,
    MEMBER_ENCODING,
    MEMBER_SNAPSHOT,
    MEMBER_COUNT,
};

/* A member but the list. */
static bool take_setting(enum member member, const struct api_json_value *value,
                         struct api_multiget_json *get,
                         struct api_problem *problem)
{
    switch (member) {
    case MEMBER_VALUES:
        get->with_values = value->kind == API_JSON_TRUE;
        return get->with_values || value->kind == API_JSON_FALSE ||
               fail(problem, "\"values\" is true or false");
    case MEMBER_ENCODING:
        return api_json_value_encoding(value, &get->encoding) ||
               fail(problem, "\"encoding\" is utf8, base64 or hex");
    case MEMBER_SNAPSHOT:
        get->has_snapshot = true;
        get->snapshot = value->string;
        return value->kind == API_JSON_STRING ||
               fail(problem, "\"snapshot\" is a string");
    case MEMBER_KEYS:
    case MEMBER_COUNT:
        break;
    }
    return false;
}

static bool read_member(struct api_json_reader *r,
                        const struct api_limits *limits,
                        const struct api_json_string *name, unsigned *seen,
                        struct api_multiget_json *get,
                        struct api_problem *problem)
{
    static const char *const names[MEMBER_COUNT] = {"keys", "values",
                                                    "encoding", "snapshot"};
    struct api_json_value value;
    unsigned i = 0;

    while (i < MEMBER_COUNT && !api_json_string_is(name, names[i]))
        i++;
    if (i == MEMBER_COUNT)
        return fail_name(problem, "unknown", name);
    if ((*seen & 1u << i) != 0)
        return fail_name(problem, "duplicate", name);
    *seen |= 1u << i;
    if (i == MEMBER_KEYS)
        return read_keys(r, limits, get, problem);
    if (!api_json_reader_value(r, &value))
        return fail_json(problem, r);
    return take_setting((enum member)i, &value, get, problem);
}

bool api_multiget_json_parse(const struct api_limits *limits,
                             struct ldb_slice text,
                             struct api_multiget_json *out,
                             struct api_problem *problem)
{
    struct api_json_reader r = api_json_reader_make(text, DEPTH_MAX);
    struct api_multiget_json get = {.with_values = true};
    struct api_json_string name;
    unsigned seen = 0;

    if (!api_json_reader_object(&r))
        return fail_json(problem, &r);
    while (api_json_reader_member(&r, &name)) {
        if (!read_member(&r, limits, &name, &seen, &get, problem))
            return false;
    }
    if (r.why != NULL || !api_json_reader_end(&r))
        return fail_json(problem, &r);
    if ((seen & 1u << MEMBER_KEYS) == 0)
        return fail(problem, "\"keys\" is a list");
    *out = get;
    return true;
}

bool api_multiget_json_next(struct api_multiget_json *get,
                            const struct api_limits *limits,
                            struct ldb_buf *room, struct ldb_slice *out,
                            struct api_problem *problem)
{
    struct api_json_value value;
    bool is_there;
    uint64_t index = get->taken;

    assert(index < get->key_count);
    is_there = api_json_reader_element(&get->keys) &&
               api_json_reader_value(&get->keys, &value) &&
               value.kind == API_JSON_STRING;
    assert(is_there); /* it was judged before */
    get->taken++;
    switch (api_json_string_decode(&value.string, get->encoding, room, out)) {
    case API_DECODE_OK:
        return out->len <= limits->key_bytes ||
               fail_key(problem, API_PROBLEM_TOO_LARGE, index, limits);
    case API_DECODE_BAD:
        return fail_key(problem, API_PROBLEM_BAD_KEY, index, limits);
    case API_DECODE_NO_MEMORY:
        break;
    }
    *problem = (struct api_problem){.kind = API_PROBLEM_OVERLOADED,
                                    .retry_after_s = 1};
    api_problem_detail(problem, "no memory for a key");
    return false;
}
