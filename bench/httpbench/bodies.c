/* bodies: what reading and writing the bodies that carry keys and values costs,
 * through our own api/ library: 16-byte keys, 100-byte values.
 *   scripts/build release && make -C bench/httpbench bodies
 *   bodies CASE [OPS] [ROUNDS]      perf stat -e instructions:u bodies CASE ...
 * CASE: batch, base64, late (base64, "encoding" last), lines, multiget, items
 * (a range page), stream (its NDJSON); tree (jansson alone over the batch's
 * body). Prints user CPU, ns per operation, and bytes of body per operation.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

#include "api/batch_json.h"
#include "api/item_text.h"
#include "api/multiget_json.h"
#include "storage/base/buf.h"

#define KEY_LEN   16
#define VALUE_LEN 100

static const struct api_limits limits = {
    .key_bytes = 65536, .value_bytes = 1 << 26, .range_items_max = 1000000};
static unsigned ops = 1000;
static struct ldb_buf body = LDB_BUF_INIT((size_t)1 << 30);
static uint8_t *keys;
static uint8_t *values;

static void check(bool is_ok, const char *what)
{
    if (!is_ok) {
        (void)fprintf(stderr, "%s\n", what);
        exit(1);
    }
}

static struct ldb_slice key_at(unsigned i)
{
    return ldb_slice_make(keys + (size_t)i * KEY_LEN, KEY_LEN);
}

static struct ldb_slice value_at(unsigned i)
{
    return ldb_slice_make(values + (size_t)i * VALUE_LEN, VALUE_LEN);
}

static void make_entries(void)
{
    uint64_t seed = 88172645463325252u;
    char key[KEY_LEN + 1];

    keys = malloc((size_t)ops * KEY_LEN);
    values = malloc((size_t)ops * VALUE_LEN);
    check(keys != NULL && values != NULL, "no memory");
    for (unsigned i = 0; i < ops; i++) {
        (void)snprintf(key, sizeof(key), "key-%012u", i * 7919u % 100000000u);
        memcpy(keys + (size_t)i * KEY_LEN, key, KEY_LEN);
    }
    for (size_t i = 0; i < (size_t)ops * VALUE_LEN; i++) {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        values[i] = (uint8_t)("0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKL"
                              "MNOPQRSTUVWXYZ"[seed % 62]);
    }
}

static void write_put(struct api_json *json, enum api_encoding encoding,
                      unsigned i)
{
    api_json_object_begin(json);
    api_json_member_text(json, "op", "put");
    api_json_name(json, "key");
    api_json_bytes(json, encoding, key_at(i));
    api_json_name(json, "value");
    api_json_bytes(json, encoding, value_at(i));
    api_json_object_end(json);
}

/* "encoding" first or last. */
static void make_batch(enum api_encoding encoding, bool is_late)
{
    struct api_json json = api_json_make(&body);

    api_json_object_begin(&json);
    if (!is_late && encoding != API_ENCODING_UTF8)
        api_json_member_text(&json, "encoding", api_encoding_name(encoding));
    api_json_name(&json, "ops");
    api_json_array_begin(&json);
    for (unsigned i = 0; i < ops; i++)
        write_put(&json, encoding, i);
    api_json_array_end(&json);
    if (is_late)
        api_json_member_text(&json, "encoding", api_encoding_name(encoding));
    api_json_object_end(&json);
    check(json.status == LDB_OK, "body");
}

static void make_utf8(void)
{
    make_batch(API_ENCODING_UTF8, false);
}

static void make_base64(void)
{
    make_batch(API_ENCODING_BASE64, false);
}

static void make_late(void)
{
    make_batch(API_ENCODING_BASE64, true);
}

static void make_lines(void)
{
    for (unsigned i = 0; i < ops; i++) {
        struct api_json json = api_json_make(&body);

        write_put(&json, API_ENCODING_UTF8, i);
        check(json.status == LDB_OK &&
                  ldb_buf_append_byte(&body, '\n') == LDB_OK,
              "lines");
    }
}

static void make_multiget(void)
{
    struct api_json json = api_json_make(&body);

    api_json_object_begin(&json);
    api_json_name(&json, "keys");
    api_json_array_begin(&json);
    for (unsigned i = 0; i < ops; i++)
        api_json_bytes(&json, API_ENCODING_UTF8, key_at(i));
    api_json_array_end(&json);
    api_json_object_end(&json);
    check(json.status == LDB_OK, "multiget");
}

static void make_nothing(void)
{
}

static void run_batch(void)
{
    struct api_batch_json out = {0};
    struct api_problem problem;
    struct ldb_arena arena;
    struct ldb_batch batch;

    ldb_arena_init(&arena, 0);
    ldb_batch_init(&batch, 1 << 26);
    check(api_batch_json_parse(&arena, &limits, ldb_slice_of_buf(&body), &batch,
                               &out, &problem) &&
              batch.count == ops,
          "batch");
    ldb_batch_release(&batch);
    ldb_arena_release(&arena);
}

static void run_lines(void)
{
    struct api_batch_json out = {0};
    struct api_problem problem;
    struct ldb_arena arena;
    struct ldb_batch batch;
    uint64_t line = 0;
    size_t used;

    ldb_arena_init(&arena, 0);
    ldb_batch_init(&batch, 1 << 26);
    check(api_batch_json_lines(&arena, &limits, API_ENCODING_UTF8,
                               ldb_slice_of_buf(&body), &batch, &out, &used,
                               &line, &problem) &&
              batch.count == ops,
          "lines");
    ldb_batch_release(&batch);
    ldb_arena_release(&arena);
}

static void run_multiget(void)
{
    struct ldb_buf room = LDB_BUF_INIT(body.len);
    struct api_multiget_json get;
    struct api_problem problem;
    struct ldb_slice key;

    check(api_multiget_json_parse(&limits, ldb_slice_of_buf(&body), &get,
                                  &problem) &&
              get.key_count == ops,
          "multiget");
    while (get.taken < get.key_count)
        check(api_multiget_json_next(&get, &limits, &room, &key, &problem),
              "key");
    ldb_buf_release(&room);
}

static void run_items(void)
{
    struct ldb_buf page = LDB_BUF_INIT(API_PAGE_BUF_MAX);

    for (unsigned i = 0; i < ops; i++) {
        struct ldb_slice value = value_at(i);

        check(api_item_text_append(API_ENCODING_UTF8, key_at(i), &value,
                                   1000000 + i, &page) == LDB_OK,
              "item");
    }
    ldb_buf_release(&page);
}

static void run_stream(void)
{
    static uint8_t out[16384];
    struct api_item_text text;
    size_t len = 0;

    api_item_text_init(&text);
    for (unsigned i = 0; i < ops; i++) {
        struct ldb_slice value = value_at(i);

        check(api_item_text_set(&text, API_ENCODING_UTF8, key_at(i), &value,
                                1000000 + i) == LDB_OK,
              "line");
        while (!api_item_text_at_end(&text)) {
            if (len == sizeof(out))
                len = 0;
            len += api_item_text_next(&text, out + len, sizeof(out) - len);
        }
    }
    api_item_text_release(&text);
}

static void run_tree(void)
{
    char why[256];
    json_t *root = api_json_parse(ldb_slice_of_buf(&body), 3, why, sizeof(why));

    check(root != NULL, "tree");
    json_decref(root);
}

static const struct {
    const char *name;
    void (*make)(void);
    void (*run)(void);
} cases[] = {
    {"batch", make_utf8, run_batch},
    {"base64", make_base64, run_batch},
    {"late", make_late, run_batch},
    {"lines", make_lines, run_lines},
    {"multiget", make_multiget, run_multiget},
    {"items", make_nothing, run_items},
    {"stream", make_nothing, run_stream},
    {"tree", make_utf8, run_tree},
};

static double user_ns(void)
{
    struct rusage usage;

    (void)getrusage(RUSAGE_SELF, &usage);
    return (double)usage.ru_utime.tv_sec * 1e9 +
           (double)usage.ru_utime.tv_usec * 1e3;
}

int main(int argc, char **argv)
{
    unsigned rounds = 2000;

    if (argc > 2)
        ops = (unsigned)strtoul(argv[2], NULL, 10);
    if (argc > 3)
        rounds = (unsigned)strtoul(argv[3], NULL, 10);
    check(argc > 1 && ops > 0 && rounds > 0, "bodies CASE [OPS] [ROUNDS]");
    make_entries();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        double started;

        if (strcmp(cases[i].name, argv[1]) != 0)
            continue;
        cases[i].make();
        started = user_ns();
        for (unsigned round = 0; round < rounds; round++)
            cases[i].run();
        (void)printf("%s: %.1f ns of user CPU, %.1f bytes per operation\n",
                     argv[1], (user_ns() - started) / rounds / ops,
                     (double)body.len / ops);
        return 0;
    }
    check(false, "no such case");
}
