#include "api/batch_json.h"

#include <string.h>

#include "api/json_cut.h"
#include "storage/base/buf.h"
#include "storage/base/checked.h"
#include "storage/base/reader.h"

struct parse {
    struct ldb_arena *arena;  /* for what the write keeps */
    struct ldb_arena scratch; /* for what the batch copies; per operation */
    const struct api_limits *limits;
    enum api_encoding encoding; /* of the document */
    struct ldb_batch *batch;
    struct api_batch_json out;
    struct api_problem *problem;
    const char *list; /* "ops" or "if": what index counts; NULL: neither */
    size_t index;
    uint64_t line; /* of a bulk load; 0: none */
};

static bool fail(struct parse *p, enum api_problem_kind kind, const char *what)
{
    *p->problem = (struct api_problem){.kind = kind,
                                       .has_index = p->list != NULL,
                                       .index = p->index,
                                       .has_line = p->line != 0,
                                       .line = p->line};
    if (p->line != 0)
        api_problem_detail(p->problem, "line %llu: %s",
                           (unsigned long long)p->line, what);
    else if (p->list != NULL)
        api_problem_detail(p->problem, "%s[%zu]: %s", p->list, p->index, what);
    else
        api_problem_detail(p->problem, "%s", what);
    return false;
}

static bool fail_no_memory(struct parse *p)
{
    *p->problem = (struct api_problem){.kind = API_PROBLEM_OVERLOADED,
                                       .retry_after_s = 1};
    api_problem_detail(p->problem, "no memory for the batch");
    return false;
}

/*
 * Room for one more than count in an array that has room for the next power
 * of two; NULL: no memory.
 */
static void *grown(struct parse *p, void *array, size_t count, size_t size)
{
    size_t bytes;
    void *larger;

    if (count > 0 && (count & (count - 1)) != 0)
        return array;
    if (!ldb_size_mul(count == 0 ? 1 : count * 2, size, &bytes))
        return NULL;
    larger = ldb_arena_alloc_aligned(p->arena, bytes);
    if (larger != NULL && count > 0)
        memcpy(larger, array, count * size);
    return larger;
}

/* The object has no members but those named (NULL-ended). */
static bool check_members(struct parse *p, json_t *object,
                          const char *const *names)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        size_t i = 0;

        (void)value;
        while (names[i] != NULL && strcmp(names[i], name) != 0)
            i++;
        if (names[i] == NULL)
            return fail(p, API_PROBLEM_BAD_BATCH, "unknown member");
    }
    return true;
}

/* "encoding" of the object, or the default. */
static bool take_encoding(struct parse *p, const json_t *object,
                          enum api_encoding fallback, enum api_encoding *out)
{
    const json_t *value = json_object_get(object, "encoding");

    *out = fallback;
    if (value == NULL)
        return true;
    if (!json_is_string(value) ||
        !api_encoding_parse(api_json_string_bytes(value), out))
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "\"encoding\" is utf8, base64 or hex");
    return true;
}

/* A string member, decoded. what: for the message. */
static bool take_bytes(struct parse *p, struct ldb_arena *arena,
                       const json_t *value, enum api_encoding encoding,
                       size_t limit, const char *missing, const char *too_large,
                       struct ldb_slice *out)
{
    if (!json_is_string(value))
        return fail(p, API_PROBLEM_BAD_BATCH, missing);
    switch (
        api_text_decode(arena, encoding, api_json_string_bytes(value), out)) {
    case API_DECODE_OK:
        break;
    case API_DECODE_BAD:
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "a string is not in the encoding it should be in");
    case API_DECODE_NO_MEMORY:
        return fail_no_memory(p);
    }
    if (out->len > limit)
        return fail(p, API_PROBLEM_TOO_LARGE, too_large);
    return true;
}

static bool take_key(struct parse *p, struct ldb_arena *arena,
                     const json_t *object, const char *name,
                     enum api_encoding encoding, struct ldb_slice *out)
{
    return take_bytes(p, arena, json_object_get(object, name), encoding,
                      p->limits->key_bytes, "a key must be a string",
                      "a key is over the limit", out);
}

/* What appending to the batch said. */
static bool appended(struct parse *p, enum ldb_status s)
{
    if (s == LDB_OK)
        return true;
    if (s == LDB_TOO_LARGE)
        return fail(p, API_PROBLEM_TOO_LARGE, "the batch is over the limit");
    return fail_no_memory(p);
}

static bool parse_put(struct parse *p, json_t *op, enum api_encoding encoding)
{
    static const char *const names[] = {"op", "key", "value", "encoding", NULL};
    struct ldb_slice key;
    struct ldb_slice value;

    return check_members(p, op, names) &&
           take_key(p, &p->scratch, op, "key", encoding, &key) &&
           take_bytes(p, &p->scratch, json_object_get(op, "value"), encoding,
                      p->limits->value_bytes, "a put has a string \"value\"",
                      "a value is over the limit", &value) &&
           appended(p, ldb_batch_put(p->batch, key, value));
}

static bool parse_delete(struct parse *p, json_t *op,
                         enum api_encoding encoding)
{
    static const char *const names[] = {"op", "key", "encoding", NULL};
    struct ldb_slice key;

    return check_members(p, op, names) &&
           take_key(p, &p->scratch, op, "key", encoding, &key) &&
           appended(p, ldb_batch_delete(p->batch, key));
}

/* A key that outlives the parse. */
static bool keep_key(struct parse *p, const json_t *object, const char *name,
                     enum api_encoding encoding, struct ldb_slice *out)
{
    uint8_t *copy;

    if (!take_key(p, &p->scratch, object, name, encoding, out))
        return false;
    copy = ldb_arena_dup(p->arena, *out);
    if (copy == NULL)
        return fail_no_memory(p);
    out->data = copy;
    return true;
}

static bool parse_delete_range(struct parse *p, json_t *op,
                               enum api_encoding encoding)
{
    static const char *const names[] = {"op", "start", "end", "encoding", NULL};
    struct ldb_delete_range range = {.before_op = p->batch->count};
    bool has_start = json_object_get(op, "start") != NULL;

    range.has_end = json_object_get(op, "end") != NULL;
    if (p->out.range_count == API_BATCH_RANGES_MAX)
        return fail(p, API_PROBLEM_TOO_LARGE, "too many delete-ranges");
    if (!check_members(p, op, names))
        return false;
    if (!has_start && !range.has_end)
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "a delete-range has \"start\" or \"end\"");
    if (has_start && !keep_key(p, op, "start", encoding, &range.start))
        return false;
    if (range.has_end && !keep_key(p, op, "end", encoding, &range.end))
        return false;
    p->out.ranges = grown(p, p->out.ranges, p->out.range_count, sizeof(range));
    if (p->out.ranges == NULL)
        return fail_no_memory(p);
    p->out.ranges[p->out.range_count++] = range;
    return true;
}

static bool op_is(const json_t *name, const char *text)
{
    return ldb_slice_equal(api_json_string_bytes(name), ldb_slice_str(text));
}

static bool parse_op(struct parse *p, json_t *op)
{
    const json_t *name = json_object_get(op, "op");
    enum api_encoding encoding;

    ldb_arena_clear(&p->scratch);
    if (!json_is_string(name))
        return fail(p, API_PROBLEM_BAD_BATCH, "an operation has \"op\"");
    if (!take_encoding(p, op, p->encoding, &encoding))
        return false;
    if (op_is(name, "put"))
        return parse_put(p, op, encoding);
    if (op_is(name, "delete"))
        return parse_delete(p, op, encoding);
    if (op_is(name, "delete-range"))
        return parse_delete_range(p, op, encoding);
    return fail(p, API_PROBLEM_BAD_BATCH,
                "\"op\" is put, delete or delete-range");
}

static bool parse_condition(struct parse *p, json_t *object)
{
    static const char *const names[] = {"key", "sequence", "exists", "encoding",
                                        NULL};
    const json_t *sequence = json_object_get(object, "sequence");
    const json_t *exists = json_object_get(object, "exists");
    struct ldb_condition condition = {0};
    enum api_encoding encoding;
    ldb_sequence *wanted;

    ldb_arena_clear(&p->scratch);
    if (p->out.condition_count == API_BATCH_CONDITIONS_MAX)
        return fail(p, API_PROBLEM_TOO_LARGE, "too many conditions");
    if (!check_members(p, object, names) ||
        !take_encoding(p, object, p->encoding, &encoding) ||
        !keep_key(p, object, "key", encoding, &condition.key))
        return false;
    if ((sequence != NULL) == (exists != NULL))
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "a condition has either \"sequence\" or \"exists\"");
    if (exists != NULL) {
        if (!json_is_boolean(exists))
            return fail(p, API_PROBLEM_BAD_BATCH,
                        "\"exists\" is true or false");
        condition.kind =
            json_is_true(exists) ? LDB_CONDITION_PRESENT : LDB_CONDITION_ABSENT;
    } else {
        if (!json_is_integer(sequence) || json_integer_value(sequence) < 0 ||
            (uint64_t)json_integer_value(sequence) > LDB_SEQUENCE_MAX)
            return fail(p, API_PROBLEM_BAD_BATCH,
                        "\"sequence\" is a sequence number");
        wanted = ldb_arena_alloc_aligned(p->arena, sizeof(*wanted));
        if (wanted == NULL)
            return fail_no_memory(p);
        *wanted = (ldb_sequence)json_integer_value(sequence);
        condition.kind = LDB_CONDITION_SEQUENCE_IN;
        condition.sequences = wanted;
        condition.sequence_count = 1;
    }
    p->out.conditions =
        grown(p, p->out.conditions, p->out.condition_count, sizeof(condition));
    if (p->out.conditions == NULL)
        return fail_no_memory(p);
    p->out.conditions[p->out.condition_count++] = condition;
    return true;
}

/* ---- the document ---- */

static bool cut_document(struct parse *p, struct ldb_slice text,
                         struct api_json_member *members, size_t count)
{
    const char *why;
    size_t at;

    if (text.len == 0)
        return fail(p, API_PROBLEM_BAD_BATCH, "the body is empty");
    if (api_json_cut(text, members, count, &at, &why))
        return true;
    *p->problem = (struct api_problem){.kind = API_PROBLEM_BAD_BATCH};
    api_problem_detail(p->problem, "JSON, byte %zu: %s", at, why);
    return false;
}

/* One element of a list, through jansson. */
static bool parse_element(struct parse *p, struct ldb_slice text,
                          bool (*parse_one)(struct parse *p, json_t *object))
{
    char why[256];
    json_t *object;
    bool is_ok;

    if (text.data[0] != '{')
        return fail(p, API_PROBLEM_BAD_BATCH, "an object expected");
    object = api_json_parse(text, API_BATCH_JSON_DEPTH_MAX, why, sizeof(why));
    if (object == NULL)
        return why[0] == '\0' ? fail_no_memory(p)
                              : fail(p, API_PROBLEM_BAD_BATCH, why);
    is_ok = parse_one(p, object);
    json_decref(object);
    return is_ok;
}

static bool parse_list(struct parse *p, const char *name, struct ldb_slice list,
                       bool (*parse_one)(struct parse *p, json_t *object))
{
    struct ldb_reader r = ldb_reader_make(list);
    struct ldb_slice element;

    p->list = name;
    p->index = 0;
    (void)!api_json_take(&r, '[');
    if (api_json_peek(&r) == ']')
        return api_json_take(&r, ']');
    for (;; p->index++) {
        if (!api_json_take_value(&r, &element))
            return fail(p, API_PROBLEM_BAD_BATCH, "a value expected");
        if (!parse_element(p, element, parse_one))
            return false;
        if (api_json_take(&r, ']'))
            break;
        if (!api_json_take(&r, ','))
            return fail(p, API_PROBLEM_BAD_BATCH, ", or ] expected after it");
    }
    assert(ldb_reader_left(&r) == 0); /* the list was cut out at its bracket */
    return true;
}

static bool parse_document(struct parse *p, struct ldb_slice text)
{
    struct api_json_member members[] = {
        {.name = "ops"}, {.name = "if"}, {.name = "encoding"}};
    struct ldb_slice ops;
    struct ldb_slice conditions;
    struct ldb_slice encoding;

    if (!cut_document(p, text, members, sizeof(members) / sizeof(members[0])))
        return false;
    ops = members[0].value;
    conditions = members[1].value;
    encoding = members[2].value;
    if (ops.len == 0 || ops.data[0] != '[')
        return fail(p, API_PROBLEM_BAD_BATCH, "\"ops\" is a list");
    if (conditions.len != 0 && conditions.data[0] != '[')
        return fail(p, API_PROBLEM_BAD_BATCH, "\"if\" is a list");
    if (encoding.len != 0 &&
        (encoding.data[0] != '"' ||
         !api_encoding_parse(
             ldb_slice_make(encoding.data + 1, encoding.len - 2),
             &p->encoding)))
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "\"encoding\" is utf8, base64 or hex");
    return (conditions.len == 0 ||
            parse_list(p, "if", conditions, parse_condition)) &&
           parse_list(p, "ops", ops, parse_op);
}

bool api_batch_json_parse(struct ldb_arena *arena,
                          const struct api_limits *limits,
                          struct ldb_slice text, struct ldb_batch *batch,
                          struct api_batch_json *out,
                          struct api_problem *problem)
{
    struct parse p = {
        .arena = arena, .limits = limits, .batch = batch, .problem = problem};
    bool is_ok;

    ldb_arena_init(&p.scratch, 0);
    is_ok = parse_document(&p, text);
    ldb_arena_release(&p.scratch);
    if (is_ok)
        *out = p.out;
    return is_ok;
}

/* ---- a bulk load ---- */

/*
 * The lines of text. A delete-range behind others is taken back: it is seen
 * once it is parsed.
 */
static bool parse_lines(struct parse *p, struct ldb_slice text, size_t *used)
{
    struct ldb_reader r = ldb_reader_make(text);

    *used = 0;
    while (ldb_reader_left(&r) > 0 && p->out.range_count == 0) {
        const uint8_t *end = memchr(r.p, '\n', ldb_reader_left(&r));
        size_t len = end == NULL ? ldb_reader_left(&r) : (size_t)(end - r.p);
        struct ldb_reader line = ldb_reader_make(ldb_slice_make(r.p, len));

        p->line++;
        (void)api_json_peek(&line); /* past blanks */
        if (ldb_reader_left(&line) > 0 &&
            !parse_element(p, ldb_slice_make(line.p, ldb_reader_left(&line)),
                           parse_op))
            return false;
        if (p->out.range_count > 0 && p->batch->count > 0) {
            p->out = (struct api_batch_json){0};
            p->line--;
            break;
        }
        r.p += end == NULL ? len : len + 1;
        *used = text.len - ldb_reader_left(&r);
    }
    return true;
}

bool api_batch_json_lines(struct ldb_arena *arena,
                          const struct api_limits *limits,
                          enum api_encoding encoding, struct ldb_slice text,
                          struct ldb_batch *batch, struct api_batch_json *out,
                          size_t *out_used, uint64_t *line,
                          struct api_problem *problem)
{
    struct parse p = {
        .arena = arena,
        .limits = limits,
        .encoding = encoding,
        .batch = batch,
        .problem = problem,
        .line = *line,
    };
    bool is_ok;

    ldb_arena_init(&p.scratch, 0);
    is_ok = parse_lines(&p, text, out_used);
    ldb_arena_release(&p.scratch);
    *line = p.line;
    if (is_ok)
        *out = p.out;
    return is_ok;
}
