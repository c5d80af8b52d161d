/*
 * A database in memory behind api/'s handlers, and calls that read like curl:
 *
 *     struct fake_answer a = api_call(f, "PUT", "/v1/kv/a", NULL, "1");
 *
 *     assert_answer(&a, 204);
 *
 * Every assert_... releases nothing; api_call's answer is the caller's.
 */
#ifndef TESTS_SUPPORT_API_FIXTURE_H
#define TESTS_SUPPORT_API_FIXTURE_H

#include <jansson.h>

#include "tests/support/fake_exchange.h"

struct api_fixture {
    struct ldb_env *env;
    struct ldb_db *db;
    struct api_context context;
};

/* cmocka's; *state is a struct api_fixture. */
int api_fixture_setup(void **state);
int api_fixture_teardown(void **state);

/* headers: NULL-ended "Name: value", or NULL; body: text, or NULL. */
struct fake_answer api_call(struct api_fixture *f, const char *method,
                            const char *target, const char *const *headers,
                            const char *body);
struct fake_answer api_call_bytes(struct api_fixture *f, const char *method,
                                  const char *target,
                                  const char *const *headers,
                                  struct ldb_slice body);

/* PUT that must succeed; the sequence of its ETag. */
ldb_sequence api_put(struct api_fixture *f, const char *target,
                     const char *body);

/* The status, else the body is printed. */
#define assert_answer(answer, status)                                          \
    assert_answer_at((answer), (status), __FILE__, __LINE__)
void assert_answer_at(const struct fake_answer *answer, unsigned status,
                      const char *file, int line);

/* The status, and a problem body of that type that says the same status. */
#define assert_problem(answer, status, type)                                   \
    assert_problem_at((answer), (status), (type), __FILE__, __LINE__)
void assert_problem_at(const struct fake_answer *answer, unsigned status,
                       const char *type, const char *file, int line);

/* The body is exactly text. */
#define assert_body(answer, text)                                              \
    assert_ldb_slice(ldb_slice_str(text), ldb_slice_of_buf(&(answer)->body))

/* The header is exactly value; NULL: it is not there. */
#define assert_header(answer, name, value)                                     \
    assert_header_at((answer), (name), (value), __FILE__, __LINE__)
void assert_header_at(const struct fake_answer *answer, const char *name,
                      const char *value, const char *file, int line);

/* The body as JSON; json_decref() it. */
json_t *answer_json(const struct fake_answer *answer);

/* A dotted path into objects; fails the test where there is nothing. */
const json_t *json_at(const json_t *root, const char *path);

#endif
