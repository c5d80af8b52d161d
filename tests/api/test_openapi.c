#include "api/openapi.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>

#include "api/problem.h"
#include "api/router.h"
#include "api/tokens.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

static json_t *document_of(struct api_fixture *f)
{
    struct fake_answer answer = api_call(f, "GET", "/openapi.json", NULL, NULL);
    json_t *document;

    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "application/json");
    document = answer_json(&answer);
    fake_answer_release(&answer);
    return document;
}

/* The path of a route as the document has it: "/v1/kv/{key}". */
static const char *path_of(const struct api_route *route)
{
    const char *blank = strchr(route->name, ' ');

    assert_non_null(blank);
    return blank + 1;
}

static const char *small(const char *method, char out[16])
{
    size_t i;

    for (i = 0; method[i] != '\0'; i++) {
        assert_true(i < 15);
        out[i] = (char)tolower((unsigned char)method[i]);
    }
    out[i] = '\0';
    return out;
}

static json_t *operation_of(const json_t *document, const char *path,
                            const char *method)
{
    char name[16];

    return json_object_get(
        json_object_get(json_object_get(document, "paths"), path),
        small(method, name));
}

static void every_route_is_in_the_document(void **state)
{
    json_t *document = document_of(*state);
    size_t count;
    const struct api_route *routes = api_routes(&count);

    for (size_t i = 0; i < count; i++) {
        for (enum api_method m = API_GET; m < API_METHOD_OTHER; m++) {
            const char *method = api_method_text(m);

            if ((routes[i].methods & API_METHOD_BIT(m)) != 0 &&
                operation_of(document, path_of(&routes[i]), method) == NULL)
                fail_msg("no %s %s", method, path_of(&routes[i]));
        }
    }
    json_decref(document);
}

static bool is_routed(const char *path, const char *method)
{
    size_t count;
    const struct api_route *routes = api_routes(&count);
    char name[16];

    for (size_t i = 0; i < count; i++) {
        if (strcmp(path_of(&routes[i]), path) != 0)
            continue;
        for (enum api_method m = API_GET; m < API_METHOD_OTHER; m++) {
            if ((routes[i].methods & API_METHOD_BIT(m)) != 0 &&
                strcmp(small(api_method_text(m), name), method) == 0)
                return true;
        }
    }
    return false;
}

static void every_operation_of_the_document_is_routed(void **state)
{
    json_t *document = document_of(*state);
    const char *path;
    json_t *methods;

    json_object_foreach(json_object_get(document, "paths"), path, methods)
    {
        const char *method;
        json_t *operation;

        json_object_foreach(methods, method, operation)
        {
            /* Those of all methods of the path. */
            if (strcmp(method, "parameters") == 0)
                continue;
            if (!is_routed(path, method))
                fail_msg("%s %s is not served", method, path);
            assert_true(json_is_object(operation));
        }
    }
    json_decref(document);
}

/* ---- parameters ---- */

/* The parameter itself, where the list has a reference to it. */
static const json_t *resolve(const json_t *document, const json_t *parameter)
{
    const char *reference =
        json_string_value(json_object_get(parameter, "$ref"));
    const char *name;

    if (reference == NULL)
        return parameter;
    name = strrchr(reference, '/');
    assert_non_null(name);
    return json_object_get(
        json_object_get(json_object_get(document, "components"), "parameters"),
        name + 1);
}

static bool has_parameter(const json_t *document, const json_t *operation,
                          const char *in, const char *name)
{
    const json_t *parameters = json_object_get(operation, "parameters");

    for (size_t i = 0; i < json_array_size(parameters); i++) {
        const json_t *parameter =
            resolve(document, json_array_get(parameters, i));

        if (strcmp(json_string_value(json_object_get(parameter, "in")), in) ==
                0 &&
            strcmp(json_string_value(json_object_get(parameter, "name")),
                   name) == 0)
            return true;
    }
    return false;
}

/* Who does not wait for a sequence is not said to. */
static void sequences_are_waited_for_where_it_says_so(void **state)
{
    json_t *document = document_of(*state);
    size_t count;
    const struct api_route *routes = api_routes(&count);

    for (size_t i = 0; i < count; i++) {
        for (enum api_method m = API_GET; m < API_METHOD_OTHER; m++) {
            const json_t *operation =
                operation_of(document, path_of(&routes[i]), api_method_text(m));

            if ((routes[i].methods & API_METHOD_BIT(m)) != 0 &&
                has_parameter(document, operation, "header",
                              "Leveld-Min-Sequence") != routes[i].waits)
                fail_msg("%s: Leveld-Min-Sequence", routes[i].name);
        }
    }
    json_decref(document);
}

static size_t count_query_parameters(const json_t *document,
                                     const json_t *operation)
{
    const json_t *parameters = json_object_get(operation, "parameters");
    size_t count = 0;

    for (size_t i = 0; i < json_array_size(parameters); i++) {
        const json_t *parameter =
            resolve(document, json_array_get(parameters, i));

        count += strcmp(json_string_value(json_object_get(parameter, "in")),
                        "query") == 0;
    }
    return count;
}

#define NAMES_SIZE 256

/*
 * What the handler of the route says it knows, to a request with a parameter
 * that none knows: "enc, sync".
 */
static void ask_names(struct api_fixture *f, const struct api_route *route,
                      enum api_method method, const char *content_type,
                      char out[NAMES_SIZE])
{
    static const char marker[] = "known here: ";
    char target[128];
    char header[64];
    const char *headers[] = {header, NULL};
    struct fake_answer answer;
    json_t *problem;
    const char *names;

    (void)snprintf(target, sizeof(target), "%s%s?nosuch=1", route->path,
                   route->is_prefix ? "x" : "");
    (void)snprintf(header, sizeof(header), "Content-Type: %s", content_type);
    /* A HEAD's problem has no body; its GET is the same handler. */
    answer = api_call(f, api_method_text(method == API_HEAD ? API_GET : method),
                      target, headers, NULL);
    assert_problem(&answer, 400, "malformed");
    problem = answer_json(&answer);
    fake_answer_release(&answer);
    names =
        strstr(json_string_value(json_object_get(problem, "detail")), marker);
    assert_non_null(names);
    (void)snprintf(out, NAMES_SIZE, "%s",
                   names == NULL ? "" : names + sizeof(marker) - 1);
    json_decref(problem);
}

/* Adds the names of a list to an object, as its members. */
static void add_names(json_t *known, char *names)
{
    char *rest = NULL;

    for (char *name = strtok_r(names, ", ", &rest); name != NULL;
         name = strtok_r(NULL, ", ", &rest)) {
        if (strcmp(name, "none") != 0)
            assert_int_equal(json_object_set_new(known, name, json_true()), 0);
    }
}

/* What is known with any of the media types that the operation takes. */
static void assert_parameters(struct api_fixture *f, const json_t *document,
                              const struct api_route *route,
                              enum api_method method)
{
    const char *text = api_method_text(method);
    json_t *operation = operation_of(document, path_of(route), text);
    json_t *known = json_object();
    char names[NAMES_SIZE];
    const char *name;
    json_t *value;

    ask_names(f, route, method, "application/json", names);
    add_names(known, names);
    json_object_foreach(
        json_object_get(json_object_get(operation, "requestBody"), "content"),
        name, value)
    {
        ask_names(f, route, method,
                  strcmp(name, "*/*") == 0 ? "text/plain" : name, names);
        add_names(known, names);
    }
    json_object_foreach(known, name, value)
    {
        if (!has_parameter(document, operation, "query", name))
            fail_msg("%s %s: %s is not documented", text, path_of(route), name);
    }
    if (json_object_size(known) != count_query_parameters(document, operation))
        fail_msg("%s %s: the document has parameters that are unknown", text,
                 path_of(route));
    json_decref(known);
}

static void parameters_are_those_that_the_handlers_know(void **state)
{
    json_t *document = document_of(*state);
    size_t count;
    const struct api_route *routes = api_routes(&count);

    for (size_t i = 0; i < count; i++) {
        for (enum api_method m = API_GET; m < API_METHOD_OTHER; m++) {
            if ((routes[i].methods & API_METHOD_BIT(m)) != 0)
                assert_parameters(*state, document, &routes[i], m);
        }
    }
    json_decref(document);
}

/* ---- authentication ---- */

/* The scope that the operation needs; NULL: it is open to all. */
static const char *scope_of(const json_t *operation)
{
    const json_t *security = json_object_get(operation, "security");
    const json_t *scopes =
        json_object_get(json_array_get(security, 1), "token");

    return json_string_value(json_array_get(scopes, 0));
}

static void scopes_are_those_of_the_routes(void **state)
{
    json_t *document = document_of(*state);
    size_t count;
    const struct api_route *routes = api_routes(&count);

    for (size_t i = 0; i < count; i++) {
        for (enum api_method m = API_GET; m < API_METHOD_OTHER; m++) {
            const char *scope = scope_of(operation_of(
                document, path_of(&routes[i]), api_method_text(m)));

            if ((routes[i].methods & API_METHOD_BIT(m)) == 0)
                continue;
            if (routes[i].scope == 0)
                assert_null(scope);
            else if (scope == NULL ||
                     strcmp(scope, api_scope_name(routes[i].scope)) != 0)
                fail_msg("%s: another scope", routes[i].name);
        }
    }
    json_decref(document);
}

/* ---- closed lists ---- */

static void problem_types_are_the_closed_list(void **state)
{
#define PROBLEM_TYPE(id, name, status, title) "/problems/" name,
    static const char *const types[] = {API_PROBLEM_LIST(PROBLEM_TYPE)};
#undef PROBLEM_TYPE
    const size_t count = sizeof(types) / sizeof(types[0]);
    json_t *document = document_of(*state);
    const json_t *list =
        json_at(document, "components.schemas.Problem.properties.type.enum");

    assert_int_equal(json_array_size(list), count);
    for (size_t i = 0; i < count; i++)
        assert_string_equal(json_string_value(json_array_get(list, i)),
                            types[i]);
    json_decref(document);
}

static void limits_are_those_of_stats(void **state)
{
    json_t *document = document_of(*state);
    struct fake_answer answer = api_call(*state, "GET", "/stats", NULL, NULL);
    json_t *stats = answer_json(&answer);

    fake_answer_release(&answer);
    assert_true(
        json_equal(json_at(document, "x-limits"), json_at(stats, "limits")));
    json_decref(stats);
    json_decref(document);
}

static void the_version_is_filled_in(void **state)
{
    json_t *document = document_of(*state);
    const char *version = json_string_value(json_at(document, "info.version"));

    assert_true(isdigit((unsigned char)version[0]));
    assert_string_equal(json_string_value(json_at(document, "openapi")),
                        "3.1.0");
    json_decref(document);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(every_route_is_in_the_document),
        FIXTURE_TEST(every_operation_of_the_document_is_routed),
        FIXTURE_TEST(parameters_are_those_that_the_handlers_know),
        FIXTURE_TEST(sequences_are_waited_for_where_it_says_so),
        FIXTURE_TEST(scopes_are_those_of_the_routes),
        FIXTURE_TEST(problem_types_are_the_closed_list),
        FIXTURE_TEST(limits_are_those_of_stats),
        FIXTURE_TEST(the_version_is_filled_in),
    };

    return cmocka_run_group_tests_name("openapi", tests, NULL, NULL);
}
