#include "tests/support/api_fixture.h"

#include <stdlib.h>
#include <string.h>

#include "tests/support/assert_ldb.h"

int api_fixture_setup(void **state)
{
    struct api_fixture *f = test_calloc(1, sizeof(*f));
    struct ldb_options options;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_memory_create(&err, &f->env), &err);
    ldb_options_init(&options);
    options.env = f->env;
    options.create_if_missing = true;
    assert_ldb_ok(ldb_open("/db", &options, NULL, &err, &f->db), &err);
    assert_ldb_ok(api_context_init(&f->context, f->db, f->env, &err), &err);
    f->context.version = "1.2.3";
    f->context.commit = "abcdef";
    f->context.data_dir = "/db";
    f->context.cluster_id = "cluster";
    f->context.node_id = "node";
    f->context.epoch = 7;
    *state = f;
    return 0;
}

int api_fixture_teardown(void **state)
{
    struct api_fixture *f = *state;
    struct ldb_error err = {0};

    api_context_release(&f->context);
    assert_ldb_ok(ldb_close(f->db, &err), &err);
    ldb_env_memory_destroy(f->env);
    test_free(f);
    return 0;
}

struct fake_answer api_call_bytes(struct api_fixture *f, const char *method,
                                  const char *target,
                                  const char *const *headers,
                                  struct ldb_slice body)
{
    struct fake_request request = {
        .method = method, .target = target, .headers = headers, .body = body};
    struct fake_answer answer;

    fake_run(&f->context, &request, &answer);
    return answer;
}

struct fake_answer api_call(struct api_fixture *f, const char *method,
                            const char *target, const char *const *headers,
                            const char *body)
{
    return api_call_bytes(f, method, target, headers,
                          ldb_slice_str(body == NULL ? "" : body));
}

ldb_sequence api_put(struct api_fixture *f, const char *target,
                     const char *body)
{
    struct fake_answer answer = api_call(f, "PUT", target, NULL, body);
    char value[64];
    const char *etag;
    ldb_sequence sequence;

    assert_answer(&answer, 204);
    etag = fake_answer_header(&answer, "ETag", value, sizeof(value));
    assert_non_null(etag);
    sequence = strtoull(etag + 1, NULL, 10);
    fake_answer_release(&answer);
    return sequence;
}

void assert_answer_at(const struct fake_answer *answer, unsigned status,
                      const char *file, int line)
{
    if (!answer->is_ready || answer->status != status) {
        print_error("%s:%d: status %u, expected %u: %.*s\n", file, line,
                    answer->status, status, (int)answer->body.len,
                    answer->body.len == 0 ? ""
                                          : (const char *)answer->body.data);
        _fail(file, line);
    }
}

void assert_problem_at(const struct fake_answer *answer, unsigned status,
                       const char *type, const char *file, int line)
{
    json_t *body;
    char expected[64];

    assert_answer_at(answer, status, file, line);
    (void)snprintf(expected, sizeof(expected), "/problems/%s", type);
    _assert_string_equal(answer->content_type, "application/problem+json", file,
                         line);
    body = answer_json(answer);
    _assert_string_equal(json_string_value(json_object_get(body, "type")),
                         expected, file, line);
    _assert_int_equal(
        (uint64_t)json_integer_value(json_object_get(body, "status")), status,
        file, line);
    _assert_true(json_is_string(json_object_get(body, "title")), "title", file,
                 line);
    json_decref(body);
}

void assert_header_at(const struct fake_answer *answer, const char *name,
                      const char *value, const char *file, int line)
{
    char text[256];
    const char *found = fake_answer_header(answer, name, text, sizeof(text));

    if (value == NULL) {
        _assert_true(found == NULL, name, file, line);
        return;
    }
    _assert_true(found != NULL, name, file, line);
    _assert_string_equal(found, value, file, line);
}

json_t *answer_json(const struct fake_answer *answer)
{
    json_error_t error;
    json_t *root = json_loadb((const char *)answer->body.data, answer->body.len,
                              JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);

    if (root == NULL)
        fail_msg("not JSON: %s", error.text);
    return root;
}

const json_t *json_at(const json_t *root, const char *path)
{
    char name[64];
    size_t len = 0;

    for (;; path++) {
        if (*path != '.' && *path != '\0') {
            assert_true(len + 1 < sizeof(name));
            name[len++] = *path;
            continue;
        }
        name[len] = '\0';
        len = 0;
        root = json_object_get(root, name);
        if (root == NULL)
            fail_msg("no %s", name);
        if (*path == '\0')
            return root;
    }
}
