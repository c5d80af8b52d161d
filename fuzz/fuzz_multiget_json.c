/*
 * A multiget's body from any bytes: verdict, keys and settings are those that
 * jansson's tree of it gives.
 */
#include "api/multiget_json.h"

#include <string.h>

#include "storage/base/buf.h"

/* Small, so that inputs reach them. */
#define KEY_MAX  8
#define KEYS_MAX 5

#define INPUT_MAX 8192

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len);

static const struct api_limits limits = {.key_bytes = KEY_MAX,
                                         .range_items_max = KEYS_MAX};

/* A NUL is nowhere in JSON; jansson passes over some outside of strings. */
static json_t *load(struct ldb_slice text)
{
    if (text.len == 0 || memchr(text.data, 0, text.len) != NULL)
        return NULL;
    return json_loadb((const char *)text.data, text.len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, NULL);
}

static bool has_only_ours(json_t *object)
{
    const char *name;
    json_t *value;

    json_object_foreach(object, name, value)
    {
        (void)value;
        if (strcmp(name, "keys") != 0 && strcmp(name, "values") != 0 &&
            strcmp(name, "encoding") != 0 && strcmp(name, "snapshot") != 0)
            return false;
    }
    return true;
}

static bool has_good_keys(const json_t *keys)
{
    size_t i;
    json_t *key;

    if (!json_is_array(keys) || json_array_size(keys) > KEYS_MAX)
        return false;
    json_array_foreach(keys, i, key)
    {
        if (!json_is_string(key))
            return false;
    }
    return true;
}

static bool judge(json_t *root, enum api_encoding *encoding)
{
    const json_t *values = json_object_get(root, "values");
    const json_t *name = json_object_get(root, "encoding");
    const json_t *snapshot = json_object_get(root, "snapshot");

    *encoding = API_ENCODING_UTF8;
    return json_is_object(root) && has_only_ours(root) &&
           has_good_keys(json_object_get(root, "keys")) &&
           (values == NULL || json_is_boolean(values)) &&
           (name == NULL ||
            (json_is_string(name) &&
             api_encoding_parse(api_json_string_bytes(name), encoding))) &&
           (snapshot == NULL || json_is_string(snapshot));
}

static void check_settings(const struct api_multiget_json *get,
                           const json_t *root)
{
    static uint8_t room[INPUT_MAX];
    const json_t *snapshot = json_object_get(root, "snapshot");

    assert(get->with_values == !json_is_false(json_object_get(root, "values")));
    assert(get->has_snapshot == (snapshot != NULL));
    if (get->has_snapshot)
        assert(ldb_slice_equal(api_json_string_get(&get->snapshot, room),
                               api_json_string_bytes(snapshot)));
}

/* Up to the first bad one. */
static void check_keys(struct api_multiget_json *get, const json_t *keys)
{
    struct ldb_buf room = LDB_BUF_INIT(INPUT_MAX);
    struct ldb_arena arena;
    bool is_ok = true;

    ldb_arena_init(&arena, 0);
    assert(get->key_count == json_array_size(keys));
    while (is_ok && get->taken < get->key_count) {
        size_t index = get->taken;
        const json_t *key = json_array_get(keys, index);
        struct api_problem problem;
        struct ldb_slice ours = {0};
        struct ldb_slice theirs = {0};
        bool is_good =
            api_text_decode(&arena, get->encoding, api_json_string_bytes(key),
                            &theirs) == API_DECODE_OK;

        is_ok = api_multiget_json_next(get, &limits, &room, &ours, &problem);
        assert(is_ok == (is_good && theirs.len <= KEY_MAX));
        if (is_ok)
            assert(ldb_slice_equal(ours, theirs));
        else
            assert(problem.has_index && problem.index == index &&
                   problem.kind ==
                       (is_good ? API_PROBLEM_TOO_LARGE : API_PROBLEM_BAD_KEY));
    }
    ldb_arena_release(&arena);
    ldb_buf_release(&room);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t len)
{
    struct ldb_slice text = ldb_slice_make(bytes, len);
    struct api_multiget_json get;
    struct api_problem problem = {0};
    enum api_encoding encoding;
    bool is_ok;
    json_t *root;

    if (len > INPUT_MAX)
        return -1;
    is_ok = api_multiget_json_parse(&limits, text, &get, &problem);
    root = load(text);
    assert(is_ok == (root != NULL && judge(root, &encoding)));
    if (is_ok) {
        assert(get.encoding == encoding);
        check_settings(&get, root);
        check_keys(&get, json_object_get(root, "keys"));
    } else {
        assert(problem.kind == API_PROBLEM_MALFORMED ||
               problem.kind == API_PROBLEM_TOO_LARGE);
        assert(problem.detail[0] != '\0');
    }
    json_decref(root);
    return 0;
}
