#include "api/batch_json.h"

#include <string.h>

#include "api/json_text.h"
#include "storage/base/buf.h"
#include "storage/base/checked.h"

struct parse {
    struct ldb_arena *arena;  /* for what the write keeps */
    struct ldb_arena scratch; /* for what the batch copies; per operation */
    const struct api_limits *limits;
    enum api_encoding encoding; /* of the document */
    struct ldb_batch *batch;
    struct api_batch_json out;
    struct api_problem *problem;
    const char *list; /* "ops" or "if": what index counts */
    size_t index;
};

static bool fail(struct parse *p, enum api_problem_kind kind, const char *what)
{
    *p->problem = (struct api_problem){
        .kind = kind, .has_index = p->list != NULL, .index = p->index};
    if (p->list != NULL)
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
    if (!check_members(p, op, names))
        return false;
    if (!has_start && !range.has_end)
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "a delete-range has \"start\" or \"end\"");
    if (has_start && !keep_key(p, op, "start", encoding, &range.start))
        return false;
    if (range.has_end && !keep_key(p, op, "end", encoding, &range.end))
        return false;
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
    if (!json_is_object(op) || !json_is_string(name))
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "an operation is an object with \"op\"");
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
    if (!json_is_object(object))
        return fail(p, API_PROBLEM_BAD_BATCH, "a condition is an object");
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
    p->out.conditions[p->out.condition_count++] = condition;
    return true;
}

static size_t count_ranges(const json_t *ops)
{
    size_t count = 0;

    for (size_t i = 0; i < json_array_size(ops); i++) {
        const json_t *name = json_object_get(json_array_get(ops, i), "op");

        count += json_is_string(name) && op_is(name, "delete-range");
    }
    return count;
}

/* Zeroed room for count structs in the arena. */
static void *room(struct parse *p, size_t count, size_t size)
{
    size_t bytes;
    void *block;

    if (!ldb_size_mul(count == 0 ? 1 : count, size, &bytes))
        return NULL;
    block = ldb_arena_alloc_aligned(p->arena, bytes);
    if (block != NULL)
        memset(block, 0, bytes);
    return block;
}

static bool parse_lists(struct parse *p, const json_t *ops,
                        const json_t *conditions)
{
    p->out.ranges = room(p, count_ranges(ops), sizeof(*p->out.ranges));
    p->out.conditions =
        room(p, json_array_size(conditions), sizeof(*p->out.conditions));
    if (p->out.ranges == NULL || p->out.conditions == NULL)
        return fail_no_memory(p);
    p->list = "if";
    for (p->index = 0; p->index < json_array_size(conditions); p->index++) {
        if (!parse_condition(p, json_array_get(conditions, p->index)))
            return false;
    }
    p->list = "ops";
    for (p->index = 0; p->index < json_array_size(ops); p->index++) {
        if (!parse_op(p, json_array_get(ops, p->index)))
            return false;
    }
    return true;
}

static bool parse_document(struct parse *p, json_t *root)
{
    static const char *const names[] = {"ops", "if", "encoding", NULL};
    const json_t *ops = json_object_get(root, "ops");
    const json_t *conditions = json_object_get(root, "if");

    if (!json_is_object(root))
        return fail(p, API_PROBLEM_BAD_BATCH, "a batch is a JSON object");
    if (!check_members(p, root, names) ||
        !take_encoding(p, root, API_ENCODING_UTF8, &p->encoding))
        return false;
    if (!json_is_array(ops))
        return fail(p, API_PROBLEM_BAD_BATCH, "\"ops\" is a list");
    if (conditions != NULL && !json_is_array(conditions))
        return fail(p, API_PROBLEM_BAD_BATCH, "\"if\" is a list");
    return parse_lists(p, ops, conditions);
}

bool api_batch_json_parse(struct ldb_arena *arena,
                          const struct api_limits *limits,
                          struct ldb_slice text, struct ldb_buf *body,
                          struct ldb_batch *batch, struct api_batch_json *out,
                          struct api_problem *problem)
{
    struct parse p = {
        .arena = arena, .limits = limits, .batch = batch, .problem = problem};
    char why[256];
    json_t *root;
    bool is_ok;

    root = api_json_parse(text, API_BATCH_JSON_DEPTH_MAX, why, sizeof(why));
    if (body != NULL)
        ldb_buf_release(body);
    if (root == NULL)
        return why[0] == '\0' ? fail_no_memory(&p)
                              : fail(&p, API_PROBLEM_BAD_BATCH, why);
    ldb_arena_init(&p.scratch, 0);
    is_ok = parse_document(&p, root);
    ldb_arena_release(&p.scratch);
    json_decref(root);
    if (is_ok)
        *out = p.out;
    return is_ok;
}
