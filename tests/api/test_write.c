#include "api/write.h"

#include <sched.h>
#include <stdatomic.h>
#include <string.h>

#include "tests/support/api_leader.h"
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

/* ---- followers ---- */

/* What goes on beside a request, on a thread of its own. */
enum beside {
    NOTHING, /* time goes by */
    ACKS,    /* the follower has what is durable */
    ENDS,    /* this node leads no more */
};

/* Locking: stops is an atomic; the rest is constant while the thread runs. */
struct company {
    struct api_leader *l;
    enum beside beside;
    atomic_bool stops;
    struct ldb_thread *thread;
};

static bool is_anybody_waiting(struct api_leader *l)
{
    struct repl_write_concern_figures figures;

    repl_write_concern_figures(l->f.context.concern, &figures);
    return figures.waiting > 0;
}

static void keep_company(void *context)
{
    struct company *company = context;
    struct api_leader *l = company->l;

    while (!atomic_load(&company->stops)) {
        if (is_anybody_waiting(l) && company->beside == ACKS)
            api_leader_ack(l);
        else if (is_anybody_waiting(l) && company->beside == ENDS)
            repl_leader_end(l->leader.leader);
        else if (company->beside == NOTHING)
            leader_fixture_tick(&l->leader);
        (void)sched_yield();
    }
}

/* A request with that beside it. */
static struct fake_answer call_beside(struct api_leader *l, enum beside beside,
                                      const char *method, const char *target,
                                      const char *const *headers,
                                      const char *body)
{
    struct company company = {.l = l, .beside = beside};
    struct fake_answer answer;

    assert_ldb_ok(l->f.env->ops->thread_start(l->f.env, "company", keep_company,
                                              &company, NULL, &company.thread),
                  NULL);
    answer = api_call(&l->f, method, target, headers, body);
    atomic_store(&company.stops, true);
    l->f.env->ops->thread_join(l->f.env, company.thread);
    return answer;
}

static const char *const soon[] = {"Leveld-Timeout: 1ms", NULL};
static const char *const long_time[] = {"Leveld-Timeout: 1h", NULL};

/* The follower is known: it has said something. */
static void know_follower(struct api_leader *l)
{
    (void)leader_fixture_put(&l->leader, "first", "1");
    api_leader_ack(l);
}

static void a_write_waits_until_a_follower_has_it(void **state)
{
    struct api_leader *l = *state;
    struct fake_answer answer;

    know_follower(l);
    answer = call_beside(l, ACKS, "PUT", "/v1/kv/a?replicas=1&sync=false",
                         long_time, "1");
    assert_answer(&answer, 204);
    assert_header(&answer, "Leveld-Sequence", "2");
    fake_answer_release(&answer);
    /* What a follower has was durable here before. */
    assert_int_equal(ldb_durable_position(l->f.db).sequence, 2);
}

static long long number_at(const json_t *root, const char *path)
{
    return json_integer_value(json_at(root, path));
}

static void one_that_followers_do_not_get_in_time_stands(void **state)
{
    static const char *const lines[] = {
        "Leveld-Timeout: 1ms", "Content-Type: application/x-ndjson", NULL};
    static const char *const json[] = {"Leveld-Timeout: 1ms",
                                       "Content-Type: application/json", NULL};
    static const struct {
        const char *method;
        const char *target;
        const char *const *headers;
        const char *body;
        long long count;
    } rows[] = {
        {"PUT", "/v1/kv/a?replicas=1", soon, "1", 1},
        {"DELETE", "/v1/kv/a?replicas=1", soon, NULL, 1},
        {"POST", "/v1/batch?replicas=1", json,
         "{\"ops\":[{\"op\":\"put\",\"key\":\"b\",\"value\":\"1\"},"
         "{\"op\":\"put\",\"key\":\"c\",\"value\":\"1\"}]}",
         2},
        {"POST", "/v1/batch?replicas=1", lines,
         "{\"op\":\"put\",\"key\":\"d\",\"value\":\"1\"}\n", 1},
        {"DELETE", "/v1/range?prefix=d&replicas=1", soon, NULL, 1},
    };
    struct api_leader *l = *state;

    know_follower(l);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct fake_answer answer =
            call_beside(l, NOTHING, rows[i].method, rows[i].target,
                        rows[i].headers, rows[i].body);
        json_t *root;

        print_message("%s %s\n", rows[i].method, rows[i].target);
        assert_problem(&answer, 504, "replicas-timeout");
        root = answer_json(&answer);
        assert_int_equal(number_at(root, "sequence"),
                         ldb_last_sequence(l->f.db));
        assert_int_equal(number_at(root, "count"), rows[i].count);
        assert_int_equal(number_at(root, "replicas"), 0);
        json_decref(root);
        fake_answer_release(&answer);
    }
    assert_int_equal(ldb_last_sequence(l->f.db), 7);
}

static void more_followers_than_there_are_is_refused(void **state)
{
    struct api_leader *l = *state;
    struct fake_answer answer;

    know_follower(l);
    answer = api_call(&l->f, "PUT", "/v1/kv/a?replicas=2", NULL, "1");
    assert_problem(&answer, 409, "conflict");
    fake_answer_release(&answer);
    answer = api_call(&l->f, "PUT", "/v1/kv/a?replicas=256", NULL, "1");
    assert_problem(&answer, 409, "conflict");
    fake_answer_release(&answer);
    answer = api_call(&l->f, "PUT", "/v1/kv/a?replicas=257", NULL, "1");
    assert_problem(&answer, 400, "malformed");
    fake_answer_release(&answer);
    assert_int_equal(ldb_last_sequence(l->f.db), 1);
}

static void the_server_can_ask_it_of_all(void **state)
{
    struct api_leader *l = *state;
    struct fake_answer answer;

    l->f.context.replicas_min = 1;
    answer = api_call(&l->f, "PUT", "/v1/kv/a", NULL, "1");
    assert_problem(&answer, 503, "stalled");
    assert_header(&answer, "Retry-After", "1");
    fake_answer_release(&answer);
    know_follower(l);
    answer = call_beside(l, ACKS, "PUT", "/v1/kv/a?replicas=0", long_time, "1");
    assert_answer(&answer, 204);
    fake_answer_release(&answer);
    answer = call_beside(l, NOTHING, "PUT", "/v1/kv/a", soon, "1");
    assert_problem(&answer, 504, "replicas-timeout");
    fake_answer_release(&answer);
    /* Who asks for more than it is told what he asked for. */
    answer = api_call(&l->f, "PUT", "/v1/kv/a?replicas=2", NULL, "1");
    assert_problem(&answer, 409, "conflict");
    fake_answer_release(&answer);
}

static void at_the_end_of_the_leadership_nobody_knows(void **state)
{
    struct api_leader *l = *state;
    struct fake_answer answer;
    json_t *root;

    know_follower(l);
    answer = call_beside(l, ENDS, "PUT", "/v1/kv/a?replicas=1", long_time, "1");
    assert_problem(&answer, 503, "outcome-unknown");
    root = answer_json(&answer);
    assert_int_equal(number_at(root, "sequence"), 2);
    json_decref(root);
    fake_answer_release(&answer);
}

/* A bad line: what stands before it is at the follower, or the answer says that
 * it is not. */
static void a_bulk_load_that_stops_waits_for_what_stands(void **state)
{
    static const char *const lines[] = {
        "Leveld-Timeout: 1ms", "Content-Type: application/x-ndjson", NULL};
    struct api_leader *l = *state;
    struct fake_request request = {
        .method = "POST",
        .target = "/v1/batch?replicas=1",
        .headers = lines,
    };
    struct ldb_buf body = LDB_BUF_INIT(1 << 20);
    struct company company = {.l = l, .beside = NOTHING};
    struct fake_answer answer;
    json_t *root;

    know_follower(l);
    for (unsigned i = 0; i < 2000; i++)
        assert_ldb_ok(ldb_buf_printf(&body,
                                     "{\"op\":\"put\",\"key\":\"%u\","
                                     "\"value\":\"%0200u\"}\n",
                                     i, i),
                      NULL);
    assert_ldb_ok(ldb_buf_append(&body, ldb_slice_str("no line\n")), NULL);
    request.body = ldb_slice_of_buf(&body);
    assert_ldb_ok(l->f.env->ops->thread_start(l->f.env, "company", keep_company,
                                              &company, NULL, &company.thread),
                  NULL);
    fake_run(&l->f.context, &request, &answer);
    atomic_store(&company.stops, true);
    l->f.env->ops->thread_join(l->f.env, company.thread);
    assert_problem(&answer, 504, "replicas-timeout");
    root = answer_json(&answer);
    assert_int_equal(number_at(root, "line"), 2001);
    assert_true(number_at(root, "count") > 0);
    assert_int_equal(number_at(root, "sequence"), 1 + number_at(root, "count"));
    json_decref(root);
    fake_answer_release(&answer);
    ldb_buf_release(&body);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

#define LEADER_TEST(f)                                                         \
    cmocka_unit_test_setup_teardown(f, api_leader_setup, api_leader_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(durable_is_the_default),
        FIXTURE_TEST(a_submitted_write_is_driven_at_the_end_of_the_pass),
        FIXTURE_TEST(failures_say_what_became_of_the_write),
        LEADER_TEST(a_write_waits_until_a_follower_has_it),
        LEADER_TEST(one_that_followers_do_not_get_in_time_stands),
        LEADER_TEST(more_followers_than_there_are_is_refused),
        LEADER_TEST(the_server_can_ask_it_of_all),
        LEADER_TEST(at_the_end_of_the_leadership_nobody_knows),
        LEADER_TEST(a_bulk_load_that_stops_waits_for_what_stands),
    };

    return cmocka_run_group_tests_name("write", tests, NULL, NULL);
}
