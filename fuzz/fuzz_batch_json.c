/*
 * A JSON batch from any bytes, and the same bytes as lines of a bulk load. What
 * is accepted keeps its limits, is a sound batch, and written anew as hex it
 * reads the same; what is refused says so with one of the three problems a body
 * can have.
 */
#include "api/batch_json.h"
#include "api/json_text.h"
#include "storage/base/buf.h"

/* Small, so that inputs reach them. */
#define KEY_MAX   8
#define VALUE_MAX 16
#define BATCH_MAX 256

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

/* What is accepted piece by piece is one document to jansson. */
static void check_document(const uint8_t *bytes, size_t len)
{
    char why[128];
    json_t *root =
        api_json_parse(ldb_slice_make(bytes, len), 4, why, sizeof(why));

    assert(root != NULL);
    assert(json_is_array(json_object_get(root, "ops")));
    json_decref(root);
}

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
        } else {
            assert(p.problem.has_line && p.problem.line == line);
            check_problem(&p);
        }
        goes_on = p.is_ok;
        release(&p);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct parsed p;

    parse(&p, ldb_slice_make(bytes, len));
    if (p.is_ok) {
        check_batch(&p);
        check_document(bytes, len);
    } else {
        check_problem(&p);
    }
    release(&p);
    check_lines(ldb_slice_make(bytes, len));
    return 0;
}
