#include "api/problem.h"

#include <string.h>

#include "storage/base/buf.h"
#include "storage/base/checked.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

static void the_list_of_types_is_the_interface(void **state)
{
    static const struct {
        enum api_problem_kind kind;
        const char *name;
        unsigned status;
    } rows[] = {
        {API_PROBLEM_MALFORMED, "malformed", 400},
        {API_PROBLEM_BAD_KEY, "bad-key", 400},
        {API_PROBLEM_BAD_BATCH, "bad-batch", 400},
        {API_PROBLEM_TOO_LARGE, "too-large", 413},
        {API_PROBLEM_NOT_FOUND, "not-found", 404},
        {API_PROBLEM_PRECONDITION_FAILED, "precondition-failed", 412},
        {API_PROBLEM_UNAUTHORIZED, "unauthorized", 401},
        {API_PROBLEM_FORBIDDEN, "forbidden", 403},
        {API_PROBLEM_METHOD_NOT_ALLOWED, "method-not-allowed", 405},
        {API_PROBLEM_NOT_ACCEPTABLE, "not-acceptable", 406},
        {API_PROBLEM_UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", 415},
        {API_PROBLEM_NOT_LEADER, "not-leader", 421},
        {API_PROBLEM_NO_LEADER, "no-leader", 503},
        {API_PROBLEM_LAGGING, "lagging", 503},
        {API_PROBLEM_LOST_SEQUENCE, "lost-sequence", 410},
        {API_PROBLEM_COMPACTED, "compacted", 410},
        {API_PROBLEM_EXPIRED, "expired", 410},
        {API_PROBLEM_CONFLICT, "conflict", 409},
        {API_PROBLEM_STALLED, "stalled", 503},
        {API_PROBLEM_OVERLOADED, "overloaded", 503},
        {API_PROBLEM_DISK_FULL, "disk-full", 507},
        {API_PROBLEM_READ_ONLY, "read-only", 503},
        {API_PROBLEM_CORRUPTION, "corruption", 500},
        {API_PROBLEM_REPLICAS_TIMEOUT, "replicas-timeout", 504},
        {API_PROBLEM_OUTCOME_UNKNOWN, "outcome-unknown", 503},
        {API_PROBLEM_INTERNAL, "internal", 500},
    };

    (void)state;
    assert_int_equal(API_PROBLEM_INTERNAL + 1, sizeof(rows) / sizeof(rows[0]));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_string_equal(api_problem_name(rows[i].kind), rows[i].name);
        assert_int_equal(api_problem_status(rows[i].kind), rows[i].status);
        assert_true(strlen(api_problem_title(rows[i].kind)) > 0);
    }
}

static void all_members_are_written(void **state)
{
    struct api_problem problem = {
        .kind = API_PROBLEM_PRECONDITION_FAILED,
        .detail = "a \"detail\"",
        .has_index = true,
        .index = 3,
        .has_key = true,
        .key = {(const uint8_t *)"\xff", 1},
        .has_current = true,
        .current_exists = true,
        .current = 12,
        .file = "000005.ldb",
        .has_offset = true,
        .offset = 4096,
        .reason = "stalled",
        .leader = "http://a",
        .has_oldest = true,
        .oldest = 7,
        .has_fork = true,
        .fork = 6,
    };
    struct ldb_buf out = LDB_BUF_INIT(4096);

    (void)state;
    assert_ldb_ok(api_problem_write(&problem, &out), NULL);
    assert_ldb_bytes(
        "{\"type\":\"/problems/precondition-failed\","
        "\"title\":\"Precondition failed\",\"status\":412,"
        "\"detail\":\"a \\\"detail\\\"\",\"reason\":\"stalled\",\"index\":3,"
        "\"key\":\"/w==\",\"encoding\":\"base64\",\"current\":12,"
        "\"file\":\"000005.ldb\",\"offset\":4096,\"oldest\":7,\"fork\":6,"
        "\"leader\":\"http://a\"}",
        ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

static void an_absent_entry_is_current_null(void **state)
{
    struct api_problem problem = {.kind = API_PROBLEM_PRECONDITION_FAILED,
                                  .has_current = true};
    struct ldb_buf out = LDB_BUF_INIT(4096);

    (void)state;
    assert_ldb_ok(api_problem_write(&problem, &out), NULL);
    assert_ldb_bytes("{\"type\":\"/problems/precondition-failed\","
                     "\"title\":\"Precondition failed\",\"status\":412,"
                     "\"current\":null}",
                     ldb_slice_of_buf(&out));
    ldb_buf_release(&out);
}

static void every_engine_status_has_its_problem(void **state)
{
    static const struct {
        enum ldb_status status;
        enum api_problem_kind kind;
        bool has_retry;
    } rows[] = {
        {LDB_NOT_FOUND, API_PROBLEM_NOT_FOUND, false},
        {LDB_CORRUPTION, API_PROBLEM_CORRUPTION, false},
        {LDB_IO, API_PROBLEM_INTERNAL, false},
        {LDB_NO_SPACE, API_PROBLEM_DISK_FULL, false},
        {LDB_NO_MEMORY, API_PROBLEM_OVERLOADED, true},
        {LDB_INVALID_ARGUMENT, API_PROBLEM_INTERNAL, false},
        {LDB_TOO_LARGE, API_PROBLEM_TOO_LARGE, false},
        {LDB_LOCKED, API_PROBLEM_CONFLICT, false},
        {LDB_EXISTS, API_PROBLEM_CONFLICT, false},
        {LDB_PRECONDITION, API_PROBLEM_PRECONDITION_FAILED, false},
        {LDB_STALLED, API_PROBLEM_STALLED, true},
        {LDB_READ_ONLY, API_PROBLEM_READ_ONLY, false},
        {LDB_OUTCOME_UNKNOWN, API_PROBLEM_OUTCOME_UNKNOWN, false},
        {LDB_NOT_SUPPORTED, API_PROBLEM_INTERNAL, false},
        {LDB_CLOSED, API_PROBLEM_OVERLOADED, true},
        {LDB_GONE, API_PROBLEM_COMPACTED, false},
        {LDB_CANCELLED, API_PROBLEM_CONFLICT, false},
    };

    (void)state;
    assert_int_equal(LDB_CANCELLED, sizeof(rows) / sizeof(rows[0]));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct api_problem problem;

        api_problem_of_status(rows[i].status, NULL, &problem);
        assert_int_equal(problem.kind, rows[i].kind);
        assert_int_equal(problem.retry_after_s != 0, rows[i].has_retry);
        assert_string_equal(problem.detail, ldb_status_text(rows[i].status));
    }
}

static void corruption_names_file_and_offset(void **state)
{
    static const struct {
        const char *message;
        const char *file;
        bool has_offset;
        uint64_t offset;
    } rows[] = {
        {"/var/db/000123.ldb: block at 4096: checksum", "000123.ldb", true,
         4096},
        {"000007.log: record at offset 32768: length", "000007.log", true,
         32768},
        {"open /db/MANIFEST-000004: bad tag", "MANIFEST-000004", false, 0},
        {"/db/CURRENT: no newline", "CURRENT", false, 0},
        {"000009.sst: ends at x", "000009.sst", false, 0},
        {"something else at 12", "", false, 0},
        {"", "", false, 0},
    };

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_error error = {0};
        struct api_problem problem;

        (void)ldb_error_set(&error, LDB_CORRUPTION, "%s", rows[i].message);
        api_problem_of_status(LDB_CORRUPTION, &error, &problem);
        assert_string_equal(problem.file, rows[i].file);
        assert_int_equal(problem.has_offset, rows[i].has_offset);
        assert_int_equal(problem.offset, rows[i].offset);
    }
}

static void a_problem_goes_out_without_memory_too(void **state)
{
    struct api_fixture *f = *state;
    struct fake_request request = {.method = "GET", .target = "/"};
    struct fake_exchange *fake = fake_exchange_create(&f->context, &request);
    struct api_exchange *x = fake_exchange_get(fake);
    struct api_problem problem = {.kind = API_PROBLEM_OUTCOME_UNKNOWN,
                                  .retry_after_s = 1};

    mem_fault_start(1, MEM_FAULT_FOREVER);
    api_answer_problem(x, &problem);
    assert_true(mem_fault_stop());
    assert_true(x->response.ready);
    assert_int_equal(x->response.status, 503);
    assert_string_equal(x->response.content_type, "application/problem+json");
    assert_ldb_bytes("{\"type\":\"/problems/outcome-unknown\","
                     "\"title\":\"Outcome unknown\",\"status\":503}\n",
                     x->response.static_body);
    fake_exchange_destroy(fake);
}

/* The header's number; 0: there is none. */
static unsigned retry_after_of(struct api_fixture *f,
                               enum api_problem_kind kind)
{
    const struct fake_request request = {.method = "GET", .target = "/"};
    struct api_problem problem = {.kind = kind, .retry_after_s = 2};
    struct fake_exchange *fake = fake_exchange_create(&f->context, &request);
    struct api_exchange *x = fake_exchange_get(fake);
    uint64_t seconds = 0;

    api_answer_problem(x, &problem);
    for (const struct api_header *h = x->response.headers; h != NULL;
         h = h->next) {
        if (strcmp(h->name, "Retry-After") == 0)
            assert_true(ldb_parse_u64(ldb_slice_str(h->value), &seconds));
    }
    fake_exchange_destroy(fake);
    return (unsigned)seconds;
}

static void a_stalled_write_is_told_what_was_measured(void **state)
{
    struct api_fixture *f = *state;

    assert_int_equal(2, retry_after_of(f, API_PROBLEM_STALLED));
    atomic_store(&f->context.retry_after_s, 30u);
    assert_int_equal(30, retry_after_of(f, API_PROBLEM_STALLED));
    assert_int_equal(2, retry_after_of(f, API_PROBLEM_OVERLOADED));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_list_of_types_is_the_interface),
        cmocka_unit_test(all_members_are_written),
        cmocka_unit_test(an_absent_entry_is_current_null),
        cmocka_unit_test(every_engine_status_has_its_problem),
        cmocka_unit_test(corruption_names_file_and_offset),
        cmocka_unit_test_setup_teardown(a_problem_goes_out_without_memory_too,
                                        api_fixture_setup,
                                        api_fixture_teardown),
        cmocka_unit_test_setup_teardown(
            a_stalled_write_is_told_what_was_measured, api_fixture_setup,
            api_fixture_teardown),
    };

    return cmocka_run_group_tests_name("problem", tests, NULL, NULL);
}
