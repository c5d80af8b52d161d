#include "api/batch_json.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/buf.h"
#include "storage/base/checked.h"

/* Levels of nesting of an operation or condition, which is flat; one more is
 * already wrong, the message for it better. */
#define ELEMENT_DEPTH_MAX 2
/* Of a document: two more, its own and the list's. */
#define DOCUMENT_DEPTH_MAX (ELEMENT_DEPTH_MAX + 2)

struct parse {
    struct ldb_arena *arena; /* for what the write keeps */
    struct ldb_buf key_room; /* for what does not stand in the text as it is */
    struct ldb_buf value_room;
    const struct api_limits *limits;
    enum api_encoding encoding; /* of the document */
    bool has_encoding;          /* it was given */
    bool has_list;              /* a list was begun: it took encoding for
                                   granted */
    struct ldb_batch *batch;
    struct api_batch_json out;
    struct api_problem *problem;
    const char *list; /* "ops" or "if": what index counts; NULL: neither */
    size_t index;
    uint64_t line; /* of a bulk load; 0: none */
};

/* ---- what is wrong ---- */

static bool fail(struct parse *p, enum api_problem_kind kind,
                 const char *format, ...) LDB_PRINTF(3, 4);

static bool fail(struct parse *p, enum api_problem_kind kind,
                 const char *format, ...)
{
    char what[API_PROBLEM_DETAIL_SIZE];
    va_list args;

    va_start(args, format);
    (void)vsnprintf(what, sizeof(what), format, args);
    va_end(args);
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

static bool fail_json(struct parse *p, const struct api_json_reader *r)
{
    char why[API_PROBLEM_DETAIL_SIZE];

    api_json_reader_explain(r, why, sizeof(why));
    return fail(p, API_PROBLEM_BAD_BATCH, "%s", why);
}

static bool fail_encoding_name(struct parse *p)
{
    return fail(p, API_PROBLEM_BAD_BATCH,
                "\"encoding\" is utf8, base64 or hex");
}

static bool fail_name(struct parse *p, const char *what,
                      const struct api_json_string *name)
{
    return fail(p, API_PROBLEM_BAD_BATCH, "%s member \"%.*s\"", what,
                api_json_string_shown(name), (const char *)name->raw.data);
}

/* ---- an operation or condition as it stands there ---- */

/* What an operation or condition may have. */
#define MEMBERS(X)                                                             \
    X(OP, "op")                                                                \
    X(KEY, "key")                                                              \
    X(VALUE, "value")                                                          \
    X(START, "start")                                                          \
    X(END, "end")                                                              \
    X(SEQUENCE, "sequence")                                                    \
    X(EXISTS, "exists")                                                        \
    X(ENCODING, "encoding")

enum member {
#define MEMBER_ENUMERATOR(id, name) MEMBER_##id,
    MEMBERS(MEMBER_ENUMERATOR) MEMBER_COUNT,
};

static const char *const member_names[MEMBER_COUNT] = {
#define MEMBER_NAME(id, name) [MEMBER_##id] = (name),
    MEMBERS(MEMBER_NAME)};

#define BIT(member) (1u << (member))

struct element {
    unsigned seen; /* BIT of each member that is there */
    struct api_json_value values[MEMBER_COUNT];
};

/* NULL: it is not there. */
static const struct api_json_value *value_of(const struct element *e,
                                             enum member member)
{
    return (e->seen & BIT(member)) != 0 ? &e->values[member] : NULL;
}

/* MEMBER_COUNT: none of them. */
static enum member member_of(const struct api_json_string *name)
{
#define MEMBER_TEST(id, text)                                                  \
    if (api_json_string_is(name, (text)))                                      \
        return MEMBER_##id;
    MEMBERS(MEMBER_TEST)
    return MEMBER_COUNT;
}

static bool read_element(struct parse *p, struct api_json_reader *r,
                         struct element *e)
{
    struct api_json_string name;

    e->seen = 0;
    if (api_json_reader_peek(r) != '{') {
        if (!api_json_reader_value(r, &e->values[0]))
            return fail_json(p, r);
        return fail(p, API_PROBLEM_BAD_BATCH, "an object expected");
    }
    if (!api_json_reader_object(r))
        return fail_json(p, r);
    while (api_json_reader_member(r, &name)) {
        enum member member = member_of(&name);

        if (member == MEMBER_COUNT)
            return fail_name(p, "unknown", &name);
        if ((e->seen & BIT(member)) != 0)
            return fail_name(p, "duplicate", &name);
        e->seen |= BIT(member);
        if (!api_json_reader_value(r, &e->values[member]))
            break;
    }
    return r->why == NULL || fail_json(p, r);
}

/* The element has no members but those. what: it is one of what. */
static bool has_only(struct parse *p, const struct element *e, unsigned members,
                     const char *what)
{
    unsigned others = e->seen & ~members;

    return others == 0 ||
           fail(p, API_PROBLEM_BAD_BATCH, "unknown member \"%s\" of a %s",
                member_names[__builtin_ctz(others)], what);
}

/* ---- its members ---- */

/* "encoding" of the element, or the document's. */
static bool take_encoding(struct parse *p, const struct element *e,
                          enum api_encoding *out)
{
    const struct api_json_value *value = value_of(e, MEMBER_ENCODING);

    *out = p->encoding;
    return value == NULL || api_json_value_encoding(value, out) ||
           fail_encoding_name(p);
}

/* A string, decoded; room is for it. what: for the message. */
static bool take_bytes(struct parse *p, const struct api_json_string *string,
                       enum api_encoding encoding, size_t limit,
                       const char *what, struct ldb_buf *room,
                       struct ldb_slice *out)
{
    bool is_too_large = encoding == API_ENCODING_UTF8 && string->len > limit;

    if (!is_too_large) {
        switch (api_json_string_decode(string, encoding, room, out)) {
        case API_DECODE_OK:
            break;
        case API_DECODE_BAD:
            return fail(p, API_PROBLEM_BAD_BATCH,
                        "a %s is not in its encoding, %s", what,
                        api_encoding_name(encoding));
        case API_DECODE_NO_MEMORY:
            return fail_no_memory(p);
        }
        is_too_large = out->len > limit;
    }
    return !is_too_large ||
           fail(p, API_PROBLEM_TOO_LARGE, "a %s is over the limit of %zu bytes",
                what, limit);
}

/* Until the next key is taken. */
static bool take_key(struct parse *p, const struct element *e,
                     enum member member, enum api_encoding encoding,
                     struct ldb_slice *out)
{
    const struct api_json_value *value = value_of(e, member);

    if (value == NULL || value->kind != API_JSON_STRING)
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "a key must be a string: \"%s\" is not",
                    member_names[member]);
    return take_bytes(p, &value->string, encoding, p->limits->key_bytes, "key",
                      &p->key_room, out);
}

static bool take_value(struct parse *p, const struct element *e,
                       enum api_encoding encoding, struct ldb_slice *out)
{
    const struct api_json_value *value = value_of(e, MEMBER_VALUE);

    if (value == NULL || value->kind != API_JSON_STRING)
        return fail(p, API_PROBLEM_BAD_BATCH, "a put has a string \"value\"");
    return take_bytes(p, &value->string, encoding, p->limits->value_bytes,
                      "value", &p->value_room, out);
}

/* A key that outlives the parse. */
static bool keep_key(struct parse *p, const struct element *e,
                     enum member member, enum api_encoding encoding,
                     struct ldb_slice *out)
{
    uint8_t *copy;

    if (!take_key(p, e, member, encoding, out))
        return false;
    copy = ldb_arena_dup(p->arena, *out);
    if (copy == NULL)
        return fail_no_memory(p);
    out->data = copy;
    return true;
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

/* ---- operations ---- */

/* What appending to the batch said. */
static bool appended(struct parse *p, enum ldb_status s)
{
    if (s == LDB_OK)
        return true;
    if (s == LDB_TOO_LARGE)
        return fail(p, API_PROBLEM_TOO_LARGE,
                    "the batch is over the limit of %zu bytes",
                    p->batch->rep.limit);
    return fail_no_memory(p);
}

static bool parse_put(struct parse *p, const struct element *op,
                      enum api_encoding encoding)
{
    struct ldb_slice key;
    struct ldb_slice value;

    return has_only(p, op,
                    BIT(MEMBER_OP) | BIT(MEMBER_KEY) | BIT(MEMBER_VALUE) |
                        BIT(MEMBER_ENCODING),
                    "put") &&
           take_key(p, op, MEMBER_KEY, encoding, &key) &&
           take_value(p, op, encoding, &value) &&
           appended(p, ldb_batch_put(p->batch, key, value));
}

static bool parse_delete(struct parse *p, const struct element *op,
                         enum api_encoding encoding)
{
    struct ldb_slice key;

    return has_only(p, op,
                    BIT(MEMBER_OP) | BIT(MEMBER_KEY) | BIT(MEMBER_ENCODING),
                    "delete") &&
           take_key(p, op, MEMBER_KEY, encoding, &key) &&
           appended(p, ldb_batch_delete(p->batch, key));
}

static bool parse_delete_range(struct parse *p, const struct element *op,
                               enum api_encoding encoding)
{
    struct ldb_delete_range range = {.before_op = p->batch->count};
    bool has_start = value_of(op, MEMBER_START) != NULL;

    range.has_end = value_of(op, MEMBER_END) != NULL;
    if (p->out.range_count == API_BATCH_RANGES_MAX)
        return fail(p, API_PROBLEM_TOO_LARGE,
                    "too many delete-ranges, the limit is %d",
                    API_BATCH_RANGES_MAX);
    if (!has_only(p, op,
                  BIT(MEMBER_OP) | BIT(MEMBER_START) | BIT(MEMBER_END) |
                      BIT(MEMBER_ENCODING),
                  "delete-range"))
        return false;
    if (!has_start && !range.has_end)
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "a delete-range has \"start\" or \"end\"");
    if (has_start && !keep_key(p, op, MEMBER_START, encoding, &range.start))
        return false;
    if (range.has_end && !keep_key(p, op, MEMBER_END, encoding, &range.end))
        return false;
    p->out.ranges = grown(p, p->out.ranges, p->out.range_count, sizeof(range));
    if (p->out.ranges == NULL)
        return fail_no_memory(p);
    p->out.ranges[p->out.range_count++] = range;
    return true;
}

static bool parse_op(struct parse *p, const struct element *op)
{
    const struct api_json_value *name = value_of(op, MEMBER_OP);
    enum api_encoding encoding;

    if (name == NULL || name->kind != API_JSON_STRING)
        return fail(p, API_PROBLEM_BAD_BATCH, "an operation has \"op\"");
    if (!take_encoding(p, op, &encoding))
        return false;
    if (api_json_string_is(&name->string, "put"))
        return parse_put(p, op, encoding);
    if (api_json_string_is(&name->string, "delete"))
        return parse_delete(p, op, encoding);
    if (api_json_string_is(&name->string, "delete-range"))
        return parse_delete_range(p, op, encoding);
    return fail(p, API_PROBLEM_BAD_BATCH,
                "\"op\" is put, delete or delete-range");
}

/* ---- conditions ---- */

static bool take_test(struct parse *p, const struct element *e,
                      struct ldb_condition *condition)
{
    const struct api_json_value *sequence = value_of(e, MEMBER_SEQUENCE);
    const struct api_json_value *exists = value_of(e, MEMBER_EXISTS);
    ldb_sequence *wanted;

    if ((sequence != NULL) == (exists != NULL))
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "a condition has either \"sequence\" or \"exists\"");
    if (exists != NULL) {
        condition->kind = exists->kind == API_JSON_TRUE ? LDB_CONDITION_PRESENT
                                                        : LDB_CONDITION_ABSENT;
        return exists->kind == API_JSON_TRUE ||
               exists->kind == API_JSON_FALSE ||
               fail(p, API_PROBLEM_BAD_BATCH, "\"exists\" is true or false");
    }
    if (sequence->kind != API_JSON_INTEGER || sequence->integer < 0 ||
        (uint64_t)sequence->integer > LDB_SEQUENCE_MAX)
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "\"sequence\" is a sequence number");
    wanted = ldb_arena_alloc_aligned(p->arena, sizeof(*wanted));
    if (wanted == NULL)
        return fail_no_memory(p);
    *wanted = (ldb_sequence)sequence->integer;
    condition->kind = LDB_CONDITION_SEQUENCE_IN;
    condition->sequences = wanted;
    condition->sequence_count = 1;
    return true;
}

static bool parse_condition(struct parse *p, const struct element *e)
{
    struct ldb_condition condition = {0};
    enum api_encoding encoding;

    if (p->out.condition_count == API_BATCH_CONDITIONS_MAX)
        return fail(p, API_PROBLEM_TOO_LARGE,
                    "too many conditions, the limit is %d",
                    API_BATCH_CONDITIONS_MAX);
    if (!has_only(p, e,
                  BIT(MEMBER_KEY) | BIT(MEMBER_SEQUENCE) | BIT(MEMBER_EXISTS) |
                      BIT(MEMBER_ENCODING),
                  "condition") ||
        !take_encoding(p, e, &encoding) ||
        !keep_key(p, e, MEMBER_KEY, encoding, &condition.key) ||
        !take_test(p, e, &condition))
        return false;
    p->out.conditions =
        grown(p, p->out.conditions, p->out.condition_count, sizeof(condition));
    if (p->out.conditions == NULL)
        return fail_no_memory(p);
    p->out.conditions[p->out.condition_count++] = condition;
    return true;
}

/* ---- the document ---- */

static bool
read_list(struct parse *p, struct api_json_reader *r, const char *name,
          bool (*parse_one)(struct parse *p, const struct element *e))
{
    bool has_more;

    if (api_json_reader_peek(r) != '[') {
        struct api_json_value value;

        if (!api_json_reader_value(r, &value))
            return fail_json(p, r);
        return fail(p, API_PROBLEM_BAD_BATCH, "\"%s\" is a list", name);
    }
    if (!api_json_reader_array(r))
        return fail_json(p, r);
    p->has_list = true;
    p->list = name;
    p->index = 0;
    has_more = api_json_reader_element(r);
    while (has_more) {
        struct element e;

        if (!read_element(p, r, &e) || !parse_one(p, &e))
            return false;
        has_more = api_json_reader_element(r);
        p->index += has_more;
    }
    if (r->why != NULL)
        return fail_json(p, r);
    p->list = NULL;
    return true;
}

static bool read_encoding(struct parse *p, struct api_json_reader *r)
{
    struct api_json_value value;
    enum api_encoding encoding;

    if (!api_json_reader_value(r, &value))
        return fail_json(p, r);
    if (!api_json_value_encoding(&value, &encoding))
        return fail_encoding_name(p);
    if (p->has_list && encoding != p->encoding)
        return fail(p, API_PROBLEM_BAD_BATCH,
                    "\"encoding\" is another than the lists before were "
                    "read in");
    p->encoding = encoding;
    p->has_encoding = true;
    return true;
}

enum document_member {
    DOCUMENT_OPS,
    DOCUMENT_IF,
    DOCUMENT_ENCODING,
    DOCUMENT_COUNT,
};

static bool read_member(struct parse *p, struct api_json_reader *r,
                        const struct api_json_string *name, unsigned *seen)
{
    static const char *const names[DOCUMENT_COUNT] = {"ops", "if", "encoding"};
    unsigned i = 0;

    while (i < DOCUMENT_COUNT && !api_json_string_is(name, names[i]))
        i++;
    if (i == DOCUMENT_COUNT)
        return fail_name(p, "unknown", name);
    if ((*seen & BIT(i)) != 0)
        return fail_name(p, "duplicate", name);
    *seen |= BIT(i);
    if (i == DOCUMENT_OPS)
        return read_list(p, r, names[i], parse_op);
    if (i == DOCUMENT_IF)
        return read_list(p, r, names[i], parse_condition);
    return read_encoding(p, r);
}

static bool read_document(struct parse *p, struct ldb_slice text)
{
    struct api_json_reader r = api_json_reader_make(text, DOCUMENT_DEPTH_MAX);
    struct api_json_string name;
    unsigned seen = 0;

    if (text.len == 0)
        return fail(p, API_PROBLEM_BAD_BATCH, "the body is empty");
    if (!api_json_reader_object(&r))
        return fail_json(p, &r);
    while (api_json_reader_member(&r, &name)) {
        if (!read_member(p, &r, &name, &seen))
            return false;
    }
    if (r.why != NULL || !api_json_reader_end(&r))
        return fail_json(p, &r);
    return (seen & BIT(DOCUMENT_OPS)) != 0 ||
           fail(p, API_PROBLEM_BAD_BATCH, "\"ops\" is a list");
}

/* The document's "encoding", wherever it stands; false: there is none. */
static bool find_encoding(struct ldb_slice text, enum api_encoding *out)
{
    struct api_json_reader r = api_json_reader_make(text, DOCUMENT_DEPTH_MAX);
    struct api_json_string name;
    struct api_json_value value;

    if (!api_json_reader_object(&r))
        return false;
    while (api_json_reader_member(&r, &name)) {
        if (!api_json_reader_value(&r, &value))
            return false;
        if (api_json_string_is(&name, "encoding"))
            return api_json_value_encoding(&value, out);
    }
    return false;
}

/*
 * "encoding" may stand behind what is encoded. Lists before it are read as
 * utf8; when that fails, or was wrong, the document is read again with what it
 * says.
 */
static bool parse_document(struct parse *p, struct ldb_slice text)
{
    enum api_encoding encoding;

    if (read_document(p, text))
        return true;
    if (p->has_encoding || !find_encoding(text, &encoding) ||
        encoding == p->encoding)
        return false;
    p->encoding = encoding;
    p->has_encoding = true;
    p->has_list = false;
    p->list = NULL;
    p->out = (struct api_batch_json){0};
    ldb_batch_clear(p->batch);
    return read_document(p, text);
}

/* All of the batch's bytes stand in the text, and more. */
static bool reserve_batch(struct parse *p, struct ldb_slice text)
{
    struct ldb_buf *rep = &p->batch->rep;
    size_t bytes = text.len < rep->limit ? text.len : rep->limit;

    assert(rep->len == 0);
    return ldb_buf_reserve(rep, bytes) == LDB_OK || fail_no_memory(p);
}

static void init_rooms(struct parse *p, struct ldb_slice text)
{
    /* Nothing decodes to more than its text. */
    p->key_room = (struct ldb_buf)LDB_BUF_INIT(text.len);
    p->value_room = (struct ldb_buf)LDB_BUF_INIT(text.len);
}

static void release_rooms(struct parse *p)
{
    ldb_buf_release(&p->key_room);
    ldb_buf_release(&p->value_room);
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

    init_rooms(&p, text);
    is_ok = reserve_batch(&p, text) && parse_document(&p, text);
    release_rooms(&p);
    if (is_ok)
        *out = p.out;
    return is_ok;
}

/* ---- a bulk load ---- */

/* One line without its end; a blank one is none. */
static bool parse_line(struct parse *p, struct ldb_slice text)
{
    struct api_json_reader r = api_json_reader_make(text, ELEMENT_DEPTH_MAX);
    struct element e;

    if (api_json_reader_at_end(&r))
        return true;
    return read_element(p, &r, &e) &&
           (api_json_reader_end(&r) || fail_json(p, &r)) && parse_op(p, &e);
}

/*
 * The lines of text. A delete-range behind others is taken back: it is seen
 * once it is parsed.
 */
static bool parse_lines(struct parse *p, struct ldb_slice text, size_t *used)
{
    *used = 0;
    while (*used < text.len && p->out.range_count == 0) {
        const uint8_t *start = text.data + *used;
        const uint8_t *end = memchr(start, '\n', text.len - *used);
        size_t len = end == NULL ? text.len - *used : (size_t)(end - start);

        p->line++;
        if (!parse_line(p, ldb_slice_make(start, len)))
            return false;
        if (p->out.range_count > 0 && p->batch->count > 0) {
            p->out = (struct api_batch_json){0};
            p->line--;
            break;
        }
        *used += end == NULL ? len : len + 1;
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

    init_rooms(&p, text);
    is_ok = parse_lines(&p, text, out_used);
    release_rooms(&p);
    *line = p.line;
    if (is_ok)
        *out = p.out;
    return is_ok;
}
