#include "api/write.h"

#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

struct write_call {
    struct fake_request request;
    struct fake_exchange *fake;
    struct api_exchange *x;
    struct api_write w;
    bool is_ok;
};

static void parse(struct api_fixture *f, const char *target,
                  struct write_call *call)
{
    static const char *const allowed[] = {"sync", "replicas", NULL};
    struct api_params params;

    call->request = (struct fake_request){.method = "PUT", .target = target};
    call->fake = fake_exchange_create(&f->context, &call->request);
    call->x = fake_exchange_get(call->fake);
    api_write_init(&call->w, 1024);
    assert_true(api_params_parse(call->x, allowed, &params));
    call->is_ok = api_write_params(call->x, &params, &call->w);
}

static void end(struct write_call *call)
{
    api_write_release(&call->w);
    fake_exchange_destroy(call->fake);
}

static void durable_is_the_default(void **state)
{
    static const struct {
        const char *target;
        bool sync_default;
        unsigned status; /* 0: go on */
        bool sync;
    } rows[] = {
        {"/", true, 0, true},
        {"/", false, 0, false},
        {"/?sync=false", true, 0, false},
        {"/?sync=true", false, 0, true},
        {"/?replicas=0", true, 0, true},
        {"/?replicas=1", true, 409, false},
        {"/?replicas=4294967296", true, 400, false},
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct write_call call;

        f->context.sync_default = rows[i].sync_default;
        parse(f, rows[i].target, &call);
        assert_int_equal(call.is_ok, rows[i].status == 0);
        assert_int_equal(call.x->response.status, rows[i].status);
        if (call.is_ok)
            assert_int_equal(call.w.write.sync, rows[i].sync);
        end(&call);
    }
}

static void a_submitted_write_is_driven_at_the_end_of_the_pass(void **state)
{
    struct api_fixture *f = *state;
    struct write_call call;

    parse(f, "/?sync=false", &call);
    assert_ldb_ok(
        ldb_batch_put(&call.w.batch, ldb_slice_str("k"), ldb_slice_str("v")),
        NULL);
    assert_true(api_write_submit(call.x, &call.w));
    assert_true(atomic_load(&f->context.writes_queued));
    api_pass_end(&f->context);
    assert_false(atomic_load(&f->context.writes_queued));
    fake_exchange_wait(call.fake);
    assert_int_equal(call.w.write.status, LDB_OK);
    assert_int_equal(call.w.write.sequence, 1);
    end(&call);
}

static void failures_say_what_became_of_the_write(void **state)
{
    static const struct {
        enum ldb_status status;
        unsigned http;
    } rows[] = {
        {LDB_NO_SPACE, 507},   {LDB_OUTCOME_UNKNOWN, 503},
        {LDB_READ_ONLY, 503},  {LDB_PRECONDITION, 412},
        {LDB_TOO_LARGE, 413},  {LDB_STALLED, 503},
        {LDB_CORRUPTION, 500},
    };
    struct api_fixture *f = *state;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct write_call call;

        parse(f, "/", &call);
        call.w.write.status = rows[i].status;
        api_write_answer_failure(call.x, &call.w, false);
        assert_int_equal(call.x->response.status, rows[i].http);
        end(&call);
    }
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(durable_is_the_default),
        FIXTURE_TEST(a_submitted_write_is_driven_at_the_end_of_the_pass),
        FIXTURE_TEST(failures_say_what_became_of_the_write),
    };

    return cmocka_run_group_tests_name("write", tests, NULL, NULL);
}
