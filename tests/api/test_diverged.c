/* What was kept aside, as an operator fetches and removes it. */
#include "api/diverged.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "replication/diverged.h"
#include "replication/sidecar.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define PATH "/v1/replication/diverged"
#define DIR  "/db"

/* A file of the database's folder. */
static void put_file(struct api_fixture *f, const char *name, const char *text)
{
    struct ldb_error err = {0};
    char path[96];

    (void)snprintf(path, sizeof(path), DIR "/%s", name);
    assert_ldb_ok(ldb_env_replace_file(f->env, DIR, path, DIR "/t",
                                       ldb_slice_str(text), &err),
                  &err);
}

/* Sets the text aside as a file of that name. */
static void keep(struct api_fixture *f, uint64_t rewind, const char *name,
                 const char *text)
{
    struct ldb_error err = {0};

    put_file(f, "leveld/x", text);
    assert_ldb_ok(
        repl_diverged_take(f->env, DIR, rewind, DIR "/leveld/x", name, &err),
        &err);
}

static uint64_t begin(struct api_fixture *f)
{
    static const struct repl_rewind rewind = {
        .epoch_number = 4,
        .epoch_id = 0xabc,
        .fork = 100,
        .last = 120,
        .wall_us = 1234567,
    };
    struct ldb_error err = {0};
    uint64_t id = 0;

    assert_ldb_ok(repl_sidecar_make_folder(f->env, DIR, &err), &err);
    assert_ldb_ok(repl_diverged_begin(f->env, DIR, &rewind, &err, &id), &err);
    return id;
}

static json_t *list(struct api_fixture *f, const char *query)
{
    struct fake_answer answer;
    char target[128];
    json_t *root;

    (void)snprintf(target, sizeof(target), PATH "%s", query);
    answer = api_call(f, "GET", target, NULL, NULL);
    assert_answer(&answer, 200);
    root = answer_json(&answer);
    fake_answer_release(&answer);
    return root;
}

static long long number_at(const json_t *root, const char *path)
{
    return json_integer_value(json_at(root, path));
}

static const char *text_at(const json_t *root, const char *path)
{
    return json_string_value(json_at(root, path));
}

static void a_folder_without_any_lists_none(void **state)
{
    json_t *root = list(*state, "");

    assert_int_equal(number_at(root, "rewinds"), 0);
    assert_int_equal(number_at(root, "files"), 0);
    assert_int_equal(number_at(root, "bytes"), 0);
    assert_int_equal(json_array_size(json_at(root, "items")), 0);
    assert_null(json_object_get(root, "next"));
    json_decref(root);
}

static void each_file_says_what_was_given_up(void **state)
{
    struct api_fixture *f = *state;
    const json_t *item;
    json_t *root;

    keep(f, begin(f), "000012.log", "twelve");
    root = list(f, "");
    assert_int_equal(number_at(root, "rewinds"), 1);
    assert_int_equal(number_at(root, "bytes"), 6);
    item = json_array_get(json_at(root, "items"), 0);
    assert_string_equal(text_at(item, "name"), "1-000012.log");
    assert_int_equal(number_at(item, "bytes"), 6);
    assert_int_equal(number_at(item, "rewind"), 1);
    assert_int_equal(number_at(item, "epoch"), 4);
    assert_string_equal(text_at(item, "epoch_id"), "0000000000000abc");
    assert_int_equal(number_at(item, "first"), 101);
    assert_int_equal(number_at(item, "last"), 120);
    assert_string_equal(text_at(item, "time"), "1970-01-01T00:00:01.234Z");
    json_decref(root);
}

/* The names of a list, with spaces between. */
static void assert_names(const json_t *root, const char *names)
{
    const json_t *items = json_at(root, "items");
    char text[256] = "";
    size_t len = 0;

    for (size_t i = 0; i < json_array_size(items); i++)
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%s",
                                i == 0 ? "" : " ",
                                text_at(json_array_get(items, i), "name"));
    assert_string_equal(text, names);
}

static void a_long_list_comes_in_pages(void **state)
{
    struct api_fixture *f = *state;
    json_t *root;

    (void)begin(f);
    keep(f, 1, "000012.log", "a");
    keep(f, 2, "000003.log", "bc");
    keep(f, 10, "entries.log", "def");
    root = list(f, "?limit=2");
    assert_names(root, "1-000012.log 2-000003.log");
    assert_string_equal(text_at(root, "next"), "2-000003.log");
    assert_int_equal(number_at(root, "files"), 3);
    assert_int_equal(number_at(root, "bytes"), 6);
    json_decref(root);
    root = list(f, "?limit=1&after=2-000003.log");
    assert_names(root, "10-entries.log");
    assert_null(json_object_get(root, "next"));
    json_decref(root);
    /* One that was removed in between leads on as well. */
    root = list(f, "?after=1-000099.log");
    assert_names(root, "2-000003.log 10-entries.log");
    json_decref(root);
    root = list(f, "?after=10-entries.log");
    assert_names(root, "");
    json_decref(root);
}

static void a_rewind_of_which_nothing_is_known_is_listed(void **state)
{
    struct api_fixture *f = *state;
    json_t *root;

    (void)begin(f);
    keep(f, 7, "000012.log", "a");
    root = list(f, "");
    assert_names(root, "7-000012.log");
    assert_null(
        json_object_get(json_array_get(json_at(root, "items"), 0), "epoch"));
    json_decref(root);
}

static void bad_requests_are_told(void **state)
{
    static const char *const targets[] = {
        PATH "?limit=0",         PATH "?limit=10001",
        PATH "?after=",          PATH "?after=x",
        PATH "?after=1-CURRENT", PATH "?after=1-000012.log%00",
        PATH "?nosuch=1",        PATH "/1-000012.log?from=1",
    };
    struct api_fixture *f = *state;

    keep(f, begin(f), "000012.log", "twelve");
    for (size_t i = 0; i < sizeof(targets) / sizeof(targets[0]); i++) {
        struct fake_answer answer = api_call(f, "GET", targets[i], NULL, NULL);

        print_message("%s\n", targets[i]);
        assert_problem(&answer, 400, "malformed");
        fake_answer_release(&answer);
    }
}

static void a_file_is_fetched_whole_and_in_parts(void **state)
{
    static const char *const part[] = {"Range: bytes=2-3", NULL};
    static const char *const behind[] = {"Range: bytes=6-", NULL};
    static const char *const known[] = {"If-None-Match: \"1-000012.log-6\"",
                                        NULL};
    const char *target = PATH "/1-000012.log";
    struct api_fixture *f = *state;
    struct fake_answer answer;

    keep(f, begin(f), "000012.log", "twelve");
    answer = api_call(f, "GET", target, NULL, NULL);
    assert_answer(&answer, 200);
    assert_body(&answer, "twelve");
    assert_header(&answer, "ETag", "\"1-000012.log-6\"");
    assert_header(&answer, "Accept-Ranges", "bytes");
    assert_header(&answer, "Content-Disposition",
                  "attachment; filename=\"1-000012.log\"");
    fake_answer_release(&answer);
    answer = api_call(f, "HEAD", target, NULL, NULL);
    assert_answer(&answer, 200);
    assert_int_equal(answer.head_length, 6);
    fake_answer_release(&answer);
    answer = api_call(f, "GET", target, part, NULL);
    assert_answer(&answer, 206);
    assert_body(&answer, "el");
    assert_header(&answer, "Content-Range", "bytes 2-3/6");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", target, behind, NULL);
    assert_problem(&answer, 416, "malformed");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", target, known, NULL);
    assert_answer(&answer, 304);
    fake_answer_release(&answer);
}

static void an_empty_file_is_fetched(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    keep(f, begin(f), "000012.log", "");
    answer = api_call(f, "GET", PATH "/1-000012.log", NULL, NULL);
    assert_answer(&answer, 200);
    assert_body(&answer, "");
    fake_answer_release(&answer);
}

static void a_long_file_comes_in_pieces(void **state)
{
    static char text[3 * 4096 + 7];
    struct fake_request request = {
        .method = "GET", .target = PATH "/1-000012.log", .read_max = 100};
    struct api_fixture *f = *state;
    struct fake_answer answer;

    for (size_t i = 0; i < sizeof(text) - 1; i++)
        text[i] = (char)('a' + i % 23);
    keep(f, begin(f), "000012.log", text);
    fake_run(&f->context, &request, &answer);
    assert_answer(&answer, 200);
    assert_body(&answer, text);
    fake_answer_release(&answer);
}

static void names_lead_nowhere_else(void **state)
{
    static const char *const names[] = {
        "",
        "000012.log",
        "1-000013.log",
        "1-CURRENT",
        "1-..%2f..%2fCURRENT",
        "..%2frewinds",
        "../rewinds",
        "1-000012.log%00",
        "%zz",
        "1-000000000000000000000000000000000000000000000000000000000012.log",
    };
    static const char *const methods[] = {"GET", "HEAD", "DELETE"};
    struct api_fixture *f = *state;

    keep(f, begin(f), "000012.log", "twelve");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        for (size_t j = 0; j < 3; j++) {
            struct fake_answer answer;
            char target[160];

            (void)snprintf(target, sizeof(target), PATH "/%s", names[i]);
            answer = api_call(f, methods[j], target, NULL, NULL);
            print_message("%s %s\n", methods[j], target);
            assert_answer(&answer, 404);
            fake_answer_release(&answer);
        }
    }
}

static void assert_counted(struct api_fixture *f, uint64_t rewinds,
                           uint64_t files, uint64_t bytes)
{
    assert_int_equal(atomic_load(&f->context.diverged.rewinds), rewinds);
    assert_int_equal(atomic_load(&f->context.diverged.files), files);
    assert_int_equal(atomic_load(&f->context.diverged.bytes), bytes);
}

static void what_was_removed_is_gone_and_not_counted(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    json_t *root;

    keep(f, begin(f), "000012.log", "twelve");
    keep(f, 1, "entries.log", "abc");
    api_diverged_count(&f->context);
    assert_counted(f, 1, 2, 9);
    answer = api_call(f, "DELETE", PATH "/1-000012.log", NULL, NULL);
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    assert_counted(f, 1, 1, 3);
    answer = api_call(f, "DELETE", PATH "/1-000012.log", NULL, NULL);
    assert_problem(&answer, 404, "not-found");
    fake_answer_release(&answer);
    answer = api_call(f, "GET", PATH "/1-000012.log", NULL, NULL);
    assert_problem(&answer, 404, "not-found");
    fake_answer_release(&answer);
    root = list(f, "");
    assert_names(root, "1-entries.log");
    json_decref(root);
    answer = api_call(f, "DELETE", PATH "/1-entries.log", NULL, NULL);
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    assert_counted(f, 0, 0, 0);
}

static void a_folder_that_is_served_read_only_keeps_all(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    json_t *root;

    keep(f, begin(f), "000012.log", "twelve");
    f->context.read_only = true;
    answer = api_call(f, "DELETE", PATH "/1-000012.log", NULL, NULL);
    assert_problem(&answer, 409, "read-only");
    fake_answer_release(&answer);
    root = list(f, "");
    assert_names(root, "1-000012.log");
    json_decref(root);
}

/* Damage of the list is told by the list; the counts stay. */
static void damage_is_told(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;

    keep(f, begin(f), "000012.log", "twelve");
    api_diverged_count(&f->context);
    put_file(f, "leveld/rewinds", "nonsense");
    answer = api_call(f, "GET", PATH, NULL, NULL);
    assert_problem(&answer, 500, "corruption");
    fake_answer_release(&answer);
    api_diverged_count(&f->context);
    assert_counted(f, 1, 1, 6);
}

static void each_allocation_may_fail(void **state)
{
    static const char *const targets[] = {PATH, PATH "/1-000012.log"};
    struct api_fixture *f = *state;

    keep(f, begin(f), "000012.log", "twelve");
    /* The thread of the tasks is there. */
    json_decref(list(f, ""));
    for (size_t i = 0; i < 2; i++) {
        for (uint64_t n = 1;; n++) {
            struct fake_answer answer;

            mem_fault_start(n, MEM_FAULT_ONCE);
            answer = api_call(f, "GET", targets[i], NULL, NULL);
            if (!mem_fault_stop()) {
                assert_answer(&answer, 200);
                fake_answer_release(&answer);
                break;
            }
            assert_problem(&answer, 503, "overloaded");
            fake_answer_release(&answer);
        }
    }
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(a_folder_without_any_lists_none),
        FIXTURE_TEST(each_file_says_what_was_given_up),
        FIXTURE_TEST(a_long_list_comes_in_pages),
        FIXTURE_TEST(a_rewind_of_which_nothing_is_known_is_listed),
        FIXTURE_TEST(bad_requests_are_told),
        FIXTURE_TEST(a_file_is_fetched_whole_and_in_parts),
        FIXTURE_TEST(an_empty_file_is_fetched),
        FIXTURE_TEST(a_long_file_comes_in_pieces),
        FIXTURE_TEST(names_lead_nowhere_else),
        FIXTURE_TEST(what_was_removed_is_gone_and_not_counted),
        FIXTURE_TEST(a_folder_that_is_served_read_only_keeps_all),
        FIXTURE_TEST(damage_is_told),
        FIXTURE_TEST(each_allocation_may_fail),
    };

    return cmocka_run_group_tests_name("diverged", tests, NULL, NULL);
}
