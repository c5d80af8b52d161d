/*
 * A JSON batch from any bytes, and the same bytes as lines of a bulk load. The
 * verdict, the operations and the conditions are those that jansson's tree of
 * the text gives. What is accepted keeps its limits, is a sound batch, and
 * written anew as hex it reads the same; what is refused says so with one of
 * the three problems a body can have.
 */
#include <string.h>

#include "api/batch_json.h"
#include "api/json_text.h"
#include "storage/base/buf.h"

/* Small, so that inputs reach them. */
#define KEY_MAX   8
#define VALUE_MAX 16
#define BATCH_MAX 256

/* Bytes of an input, and conditions or ranges that fit into it. */
#define INPUT_MAX  8192
#define JUDGED_MAX 1000
int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const struct api_limits limits = {.key_bytes = KEY_MAX,
                                         .value_bytes = VALUE_MAX};

struct parsed {
    struct ldb_arena arena;
    struct ldb_batch batch;
    struct api_batch_json json;
    struct api_problem problem;
    bool is_ok;
};

static void parse(struct parsed *p, struct ldb_slice text)
{
    ldb_arena_init(&p->arena, 0);
    ldb_batch_init(&p->batch, BATCH_MAX);
    p->json = (struct api_batch_json){0};
    p->is_ok = api_batch_json_parse(&p->arena, &limits, text, &p->batch,
                                    &p->json, &p->problem);
}

static void release(struct parsed *p)
{
    ldb_batch_release(&p->batch);
    ldb_arena_release(&p->arena);
}

static void member_hex(struct api_json *json, const char *name,
                       struct ldb_slice bytes)
{
    api_json_name(json, name);
    api_json_bytes(json, API_ENCODING_HEX, bytes);
}

static void write_range(struct api_json *json,
                        const struct ldb_delete_range *range)
{
    assert(range->start.len <= KEY_MAX && range->end.len <= KEY_MAX);
    api_json_object_begin(json);
    api_json_member_text(json, "op", "delete-range");
    member_hex(json, "start", range->start);
    if (range->has_end)
        member_hex(json, "end", range->end);
    api_json_object_end(json);
}

static void write_op(struct api_json *json, const struct ldb_batch_op *op)
{
    assert(op->key.len <= KEY_MAX && op->value.len <= VALUE_MAX);
    api_json_object_begin(json);
    api_json_member_text(json, "op",
                         op->kind == LDB_KIND_PUT ? "put" : "delete");
    member_hex(json, "key", op->key);
    if (op->kind == LDB_KIND_PUT)
        member_hex(json, "value", op->value);
    api_json_object_end(json);
}

static void write_ops(struct api_json *json, const struct parsed *p)
{
    struct ldb_batch_cursor cursor =
        ldb_batch_cursor_make(ldb_slice_of_buf(&p->batch.rep));
    struct ldb_batch_op op;
    size_t range = 0;

    for (uint32_t i = 0; i <= p->batch.count; i++) {
        while (range < p->json.range_count &&
               p->json.ranges[range].before_op == i)
            write_range(json, &p->json.ranges[range++]);
        if (i < p->batch.count) {
            bool has_next = ldb_batch_cursor_next(&cursor, &op);

            assert(has_next);
            write_op(json, &op);
        }
    }
    assert(range == p->json.range_count); /* ascending, none beyond the end */
}

static void write_conditions(struct api_json *json, const struct parsed *p)
{
    for (size_t i = 0; i < p->json.condition_count; i++) {
        const struct ldb_condition *c = &p->json.conditions[i];

        assert(c->key.len <= KEY_MAX);
        api_json_object_begin(json);
        member_hex(json, "key", c->key);
        if (c->kind == LDB_CONDITION_SEQUENCE_IN) {
            assert(c->sequence_count == 1);
            assert(c->sequences[0] <= LDB_SEQUENCE_MAX);
            api_json_member_u64(json, "sequence", c->sequences[0]);
        } else {
            assert(c->kind != LDB_CONDITION_SEQUENCE_NOT_IN);
            api_json_member_bool(json, "exists",
                                 c->kind == LDB_CONDITION_PRESENT);
        }
        api_json_object_end(json);
    }
}

static void check_anew(const struct parsed *p)
{
    struct ldb_buf text = LDB_BUF_INIT((size_t)1 << 24);
    struct api_json json = api_json_make(&text);
    struct parsed again;

    api_json_object_begin(&json);
    api_json_member_text(&json, "encoding", "hex");
    api_json_name(&json, "ops");
    api_json_array_begin(&json);
    write_ops(&json, p);
    api_json_array_end(&json);
    api_json_name(&json, "if");
    api_json_array_begin(&json);
    write_conditions(&json, p);
    api_json_array_end(&json);
    api_json_object_end(&json);
    assert(json.status == LDB_OK);
    parse(&again, ldb_slice_of_buf(&text));
    assert(again.is_ok);
    assert(ldb_slice_equal(ldb_slice_of_buf(&again.batch.rep),
                           ldb_slice_of_buf(&p->batch.rep)));
    assert(again.json.condition_count == p->json.condition_count);
    assert(again.json.range_count == p->json.range_count);
    release(&again);
    ldb_buf_release(&text);
}

/* ---- the same through jansson ---- */

/* A NUL is nowhere in JSON; jansson passes over some outside of strings. */
static json_t *load(struct ldb_slice text)
{
    if (text.len == 0 || memchr(text.data, 0, text.len) != NULL)
        return NULL;
    return json_loadb((const char *)text.data, text.len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

/* Whether all members have names of the list, which ends with NULL. */
static bool has_only(json_t *object, const char *const *names)
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
            return false;
    }
    return true;
}

static bool judge_encoding(const json_t *object, enum api_encoding *encoding)
{
    const json_t *value = json_object_get(object, "encoding");

    return value == NULL ||
           (json_is_string(value) &&
            api_encoding_parse(api_json_string_bytes(value), encoding));
}

/* The bytes of a member, in the arena. */
static bool judge_bytes(struct parsed *p, const json_t *object,
                        const char *name, enum api_encoding encoding,
                        size_t limit, struct ldb_slice *out)
{
    const json_t *value = json_object_get(object, name);

    if (!json_is_string(value) ||
        api_text_decode(&p->arena, encoding, api_json_string_bytes(value),
                        out) != API_DECODE_OK ||
        out->len > limit)
        return false;
    out->data = ldb_arena_dup(&p->arena, *out);
    assert(out->data != NULL);
    return true;
}

static bool judge_range(struct parsed *p, json_t *op,
                        enum api_encoding encoding)
{
    static const char *const names[] = {"op", "start", "end", "encoding", NULL};
    struct ldb_delete_range range = {.before_op = p->batch.count};
    bool has_start = json_object_get(op, "start") != NULL;

    range.has_end = json_object_get(op, "end") != NULL;
    if (!has_only(op, names) || (!has_start && !range.has_end) ||
        (has_start &&
         !judge_bytes(p, op, "start", encoding, KEY_MAX, &range.start)) ||
        (range.has_end &&
         !judge_bytes(p, op, "end", encoding, KEY_MAX, &range.end)))
        return false;
    assert(p->json.range_count < JUDGED_MAX);
    p->json.ranges[p->json.range_count++] = range;
    return true;
}

static bool judge_op(struct parsed *p, json_t *op, enum api_encoding encoding)
{
    static const char *const puts[] = {"op", "key", "value", "encoding", NULL};
    static const char *const deletes[] = {"op", "key", "encoding", NULL};
    const json_t *name = json_object_get(op, "op");
    struct ldb_slice kind;
    struct ldb_slice key;
    struct ldb_slice value;

    if (!json_is_string(name) || !judge_encoding(op, &encoding))
        return false;
    kind = api_json_string_bytes(name);
    if (ldb_slice_equal(kind, ldb_slice_str("delete-range")))
        return judge_range(p, op, encoding);
    if (ldb_slice_equal(kind, ldb_slice_str("delete")))
        return has_only(op, deletes) &&
               judge_bytes(p, op, "key", encoding, KEY_MAX, &key) &&
               ldb_batch_delete(&p->batch, key) == LDB_OK;
    return ldb_slice_equal(kind, ldb_slice_str("put")) && has_only(op, puts) &&
           judge_bytes(p, op, "key", encoding, KEY_MAX, &key) &&
           judge_bytes(p, op, "value", encoding, VALUE_MAX, &value) &&
           ldb_batch_put(&p->batch, key, value) == LDB_OK;
}

static bool judge_condition(struct parsed *p, json_t *object,
                            enum api_encoding encoding)
{
    static const char *const names[] = {"key", "sequence", "exists", "encoding",
                                        NULL};
    const json_t *sequence = json_object_get(object, "sequence");
    const json_t *exists = json_object_get(object, "exists");
    struct ldb_condition c = {0};
    ldb_sequence *wanted = ldb_arena_alloc_aligned(&p->arena, sizeof(*wanted));

    assert(wanted != NULL);
    if (!json_is_object(object) || !has_only(object, names) ||
        !judge_encoding(object, &encoding) ||
        !judge_bytes(p, object, "key", encoding, KEY_MAX, &c.key) ||
        (sequence != NULL) == (exists != NULL))
        return false;
    if (exists != NULL) {
        if (!json_is_boolean(exists))
            return false;
        c.kind =
            json_is_true(exists) ? LDB_CONDITION_PRESENT : LDB_CONDITION_ABSENT;
    } else {
        if (!json_is_integer(sequence) || json_integer_value(sequence) < 0 ||
            (uint64_t)json_integer_value(sequence) > LDB_SEQUENCE_MAX)
            return false;
        *wanted = (ldb_sequence)json_integer_value(sequence);
        c.kind = LDB_CONDITION_SEQUENCE_IN;
        c.sequences = wanted;
        c.sequence_count = 1;
    }
    assert(p->json.condition_count < JUDGED_MAX);
    p->json.conditions[p->json.condition_count++] = c;
    return true;
}

static bool judge_root(struct parsed *p, json_t *root)
{
    static const char *const names[] = {"ops", "if", "encoding", NULL};
    const json_t *ops = json_object_get(root, "ops");
    const json_t *conditions = json_object_get(root, "if");
    enum api_encoding encoding = API_ENCODING_UTF8;
    size_t i;
    json_t *element;

    if (!json_is_object(root) || !has_only(root, names) ||
        !json_is_array(ops) ||
        (conditions != NULL && !json_is_array(conditions)) ||
        !judge_encoding(root, &encoding))
        return false;
    json_array_foreach(conditions, i, element)
    {
        if (!judge_condition(p, element, encoding))
            return false;
    }
    json_array_foreach(ops, i, element)
    {
        if (!judge_op(p, element, encoding))
            return false;
    }
    return true;
}

static void init_judged(struct parsed *p)
{
    ldb_arena_init(&p->arena, 0);
    ldb_batch_init(&p->batch, BATCH_MAX);
    p->json.conditions = ldb_arena_alloc_aligned(
        &p->arena, JUDGED_MAX * sizeof(struct ldb_condition));
    p->json.ranges = ldb_arena_alloc_aligned(
        &p->arena, JUDGED_MAX * sizeof(struct ldb_delete_range));
    assert(p->json.conditions != NULL && p->json.ranges != NULL);
}

static void check_same_conditions(const struct api_batch_json *ours,
                                  const struct api_batch_json *theirs)
{
    assert(ours->condition_count == theirs->condition_count);
    for (size_t i = 0; i < ours->condition_count; i++) {
        const struct ldb_condition *a = &ours->conditions[i];
        const struct ldb_condition *b = &theirs->conditions[i];

        assert(a->kind == b->kind && ldb_slice_equal(a->key, b->key));
        assert(a->sequence_count == b->sequence_count);
        assert(a->sequence_count == 0 || a->sequences[0] == b->sequences[0]);
    }
}

static void check_same(const struct parsed *ours, const struct parsed *theirs)
{
    assert(ldb_slice_equal(ldb_slice_of_buf(&ours->batch.rep),
                           ldb_slice_of_buf(&theirs->batch.rep)));
    check_same_conditions(&ours->json, &theirs->json);
    assert(ours->json.range_count == theirs->json.range_count);
    for (size_t i = 0; i < ours->json.range_count; i++) {
        const struct ldb_delete_range *a = &ours->json.ranges[i];
        const struct ldb_delete_range *b = &theirs->json.ranges[i];

        assert(a->before_op == b->before_op && a->has_end == b->has_end);
        assert(ldb_slice_equal(a->start, b->start) &&
               ldb_slice_equal(a->end, b->end));
    }
}

static void check_document(const struct parsed *ours, struct ldb_slice text)
{
    struct parsed theirs = {0};
    json_t *root = load(text);

    init_judged(&theirs);
    theirs.is_ok = root != NULL && judge_root(&theirs, root);
    assert(ours->is_ok == theirs.is_ok);
    if (ours->is_ok)
        check_same(ours, &theirs);
    json_decref(root);
    release(&theirs);
}

/* One line that is not blank. */
static bool judge_line(struct parsed *p, struct ldb_slice line)
{
    json_t *root = load(line);
    bool is_ok = json_is_object(root) && judge_op(p, root, API_ENCODING_UTF8);

    json_decref(root);
    return is_ok;
}

static bool is_blank(struct ldb_slice line)
{
    for (size_t i = 0; i < line.len; i++) {
        if (memchr(" \t\r", line.data[i], 3) == NULL)
            return false;
    }
    return true;
}

/* The next line, without its end. */
static struct ldb_slice take_line(struct ldb_slice *left)
{
    const uint8_t *newline = memchr(left->data, '\n', left->len);
    size_t len = newline == NULL ? left->len : (size_t)(newline - left->data);
    size_t taken = newline == NULL ? len : len + 1;
    struct ldb_slice line = ldb_slice_make(left->data, len);

    *left = ldb_slice_make(left->data + taken, left->len - taken);
    return line;
}

/* The lines of a chunk that was accepted. */
static void check_chunk(const struct parsed *ours, struct ldb_slice text)
{
    struct parsed theirs = {0};

    init_judged(&theirs);
    while (text.len > 0) {
        struct ldb_slice line = take_line(&text);
        bool is_ok = is_blank(line) || judge_line(&theirs, line);

        assert(is_ok);
    }
    check_same(ours, &theirs);
    release(&theirs);
}

/* The line that was refused, so many after the first; alone it may fit. */
static void check_bad_line(const struct parsed *ours, struct ldb_slice text,
                           uint64_t before)
{
    struct parsed theirs = {0};
    struct ldb_slice line = take_line(&text);
    bool is_ok;

    for (; before > 0; before--)
        line = take_line(&text);
    init_judged(&theirs);
    is_ok = is_blank(line) || judge_line(&theirs, line);
    assert(!is_ok || ours->problem.kind == API_PROBLEM_TOO_LARGE);
    release(&theirs);
}

/* ---- what is held to ---- */

static void check_batch(const struct parsed *p)
{
    assert(p->batch.rep.len <= BATCH_MAX);
    assert(p->batch.count == 0 ||
           ldb_batch_check(ldb_slice_of_buf(&p->batch.rep), NULL, NULL, NULL) ==
               LDB_OK);
    check_anew(p);
}

static void check_problem(const struct parsed *p)
{
    assert(p->problem.kind == API_PROBLEM_BAD_BATCH ||
           p->problem.kind == API_PROBLEM_TOO_LARGE);
    assert(p->problem.detail[0] != '\0');
}

/* Chunk by chunk up to the end or the bad line; each takes something. */
static void check_lines(struct ldb_slice text)
{
    uint64_t line = 0;
    uint64_t before;
    bool goes_on = true;

    for (size_t used; text.len > 0 && goes_on;
         text = ldb_slice_make(text.data + used, text.len - used)) {
        struct parsed p = {0};

        ldb_arena_init(&p.arena, 0);
        ldb_batch_init(&p.batch, BATCH_MAX);
        before = line;
        p.is_ok =
            api_batch_json_lines(&p.arena, &limits, API_ENCODING_UTF8, text,
                                 &p.batch, &p.json, &used, &line, &p.problem);
        assert(line > before);
        if (p.is_ok) {
            assert(used > 0 && used <= text.len);
            assert(p.json.range_count <= 1 &&
                   (p.json.range_count == 0 || p.batch.count == 0));
            check_batch(&p);
            check_chunk(&p, ldb_slice_make(text.data, used));
        } else {
            assert(p.problem.has_line && p.problem.line == line);
            check_problem(&p);
            check_bad_line(&p, text, line - before - 1);
        }
        goes_on = p.is_ok;
        release(&p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ldb_slice text = ldb_slice_make(bytes, len);
    struct parsed p;

    if (len > INPUT_MAX)
        return -1;
    parse(&p, text);
    if (p.is_ok)
        check_batch(&p);
    else
        check_problem(&p);
    check_document(&p, text);
    release(&p);
    check_lines(text);
    return 0;
}
