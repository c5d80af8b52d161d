#include "api/sequence_wait.h"

#include <sched.h>
#include <stdatomic.h>
#include <stdio.h>

#include "api/context.h"
#include "storage/base/buf.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/clock_env.h"

#define SECOND UINT64_C(1000000)

/* The fixture with a clock of the test's. */
struct wait_fixture {
    struct api_fixture *api;
    struct clock_env clock;
    struct api_sequence_waits *all;
};

static int setup(void **state)
{
    struct wait_fixture *f = test_calloc(1, sizeof(*f));
    void *api = NULL;

    assert_int_equal(api_fixture_setup(&api), 0);
    f->api = api;
    clock_env_init(&f->clock, 50 * SECOND);
    f->api->context.env = &f->clock.env;
    api_sequence_waits_destroy(f->api->context.sequence_waits);
    f->all = api_sequence_waits_create(f->api->db, &f->clock.env);
    assert_non_null(f->all);
    f->api->context.sequence_waits = f->all;
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct wait_fixture *f = *state;
    void *api = f->api;

    test_free(f);
    return api_fixture_teardown(&api);
}

static size_t waiting(struct wait_fixture *f)
{
    return api_sequence_waits_count(f->all);
}

/* A request that has come as far as its finish. */
static struct fake_exchange *begin(struct wait_fixture *f,
                                   const struct fake_request *request)
{
    struct fake_exchange *fake =
        fake_exchange_create(&f->api->context, request);
    struct api_exchange *x = fake_exchange_get(fake);

    api_exchange_begin(x);
    if (!x->response.ready)
        api_exchange_finish(x);
    return fake;
}

/* It was woken: what the service does then, until it waits or is answered. */
static void resume(struct fake_exchange *fake)
{
    fake_exchange_wait(fake);
    api_exchange_resume(fake_exchange_get(fake));
}

static void end(struct fake_exchange *fake, unsigned status)
{
    struct api_exchange *x = fake_exchange_get(fake);

    assert_true(x->response.ready);
    assert_int_equal(x->response.status, status);
    api_exchange_abandon(x);
    fake_exchange_destroy(fake);
}

static void what_is_here_does_not_wait(void **state)
{
    static const struct {
        const char *headers[3];
        unsigned status;
    } rows[] = {
        {{NULL}, 200},
        {{"Leveld-Min-Sequence: 0"}, 200},
        {{"Leveld-Min-Sequence: 1"}, 200},
        {{"Leveld-Min-Sequence: 2", "Leveld-Timeout: 0s"}, 503},
        {{"Leveld-Min-Sequence: "}, 400},
        {{"Leveld-Min-Sequence: -1"}, 400},
        {{"Leveld-Min-Sequence: 1x"}, 400},
        {{"Leveld-Min-Sequence: 72057594037927936"}, 400},
        {{"Leveld-Min-Sequence: 1", "Leveld-Min-Sequence: 1"}, 400},
        {{"Leveld-Timeout: 2s"}, 200},
        {{"Leveld-Timeout: 2"}, 400},
        {{"Leveld-Timeout: "}, 400},
    };
    static const char *const targets[] = {"/v1/kv/a", "/v1/range", "/v1/size",
                                          "/v1/snapshots"};
    struct wait_fixture *f = *state;

    (void)api_put(f->api, "/v1/kv/a", "1");
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        for (size_t j = 0; j < sizeof(targets) / sizeof(targets[0]); j++) {
            struct fake_answer answer =
                api_call(f->api, "GET", targets[j], rows[i].headers, NULL);

            if (answer.status != rows[i].status)
                fail_msg("row %zu, %s: %u", i, targets[j], answer.status);
            fake_answer_release(&answer);
        }
    }
}

static void a_lagging_answer_says_when_to_come_back(void **state)
{
    static const char *const headers[] = {"Leveld-Min-Sequence: 99",
                                          "Leveld-Timeout: 0s", NULL};
    struct wait_fixture *f = *state;
    struct fake_answer answer =
        api_call(f->api, "GET", "/v1/kv/a", headers, NULL);

    assert_problem(&answer, 503, "lagging");
    assert_header(&answer, "Retry-After", "1");
    fake_answer_release(&answer);
}

static void a_write_wakes_who_waits_for_it(void **state)
{
    static const char *const headers[] = {"Leveld-Min-Sequence: 2", NULL};
    static const struct fake_request request = {
        .method = "GET", .target = "/v1/kv/b", .headers = headers};
    struct wait_fixture *f = *state;
    struct fake_exchange *first = begin(f, &request);
    struct fake_exchange *second = begin(f, &request);

    assert_int_equal(waiting(f), 2);
    (void)api_put(f->api, "/v1/kv/a", "1");
    assert_int_equal(waiting(f), 2);
    (void)api_put(f->api, "/v1/kv/b", "1");
    assert_int_equal(waiting(f), 0);
    resume(second);
    end(second, 200);
    resume(first);
    end(first, 200);
}

static void a_sequence_from_elsewhere_is_found_by_the_tick(void **state)
{
    static const char *const headers[] = {"Leveld-Min-Sequence: 1", NULL};
    static const struct fake_request request = {
        .method = "GET", .target = "/v1/kv/a", .headers = headers};
    struct wait_fixture *f = *state;
    struct fake_exchange *fake = begin(f, &request);

    assert_ldb_ok(ldb_put(f->api->db, ldb_slice_str("a"), ldb_slice_str("1"),
                          false, NULL, NULL),
                  NULL);
    assert_int_equal(waiting(f), 1);
    api_context_tick(&f->api->context);
    resume(fake);
    end(fake, 200);
}

static void a_deadline_ends_the_wait(void **state)
{
    static const char *const own[] = {"Leveld-Min-Sequence: 9",
                                      "Leveld-Timeout: 2s", NULL};
    static const char *const none[] = {"Leveld-Min-Sequence: 9", NULL};
    const struct {
        const char *const *headers;
        uint64_t us;
    } rows[] = {{own, 2 * SECOND}, {none, API_SEQUENCE_WAIT_US}};
    struct wait_fixture *f = *state;

    for (size_t i = 0; i < 2; i++) {
        struct fake_request request = {
            .method = "GET", .target = "/v1/kv/a", .headers = rows[i].headers};
        struct fake_exchange *fake = begin(f, &request);

        f->clock.now_us += rows[i].us - 1;
        api_context_tick(&f->api->context);
        assert_int_equal(waiting(f), 1);
        f->clock.now_us++;
        api_context_tick(&f->api->context);
        assert_int_equal(waiting(f), 0);
        resume(fake);
        end(fake, 503);
    }
}

static void draining_answers_who_waits_and_lets_nobody_wait(void **state)
{
    static const char *const headers[] = {"Leveld-Min-Sequence: 9", NULL};
    static const struct fake_request request = {
        .method = "GET", .target = "/v1/kv/a", .headers = headers};
    struct wait_fixture *f = *state;
    struct fake_exchange *fake = begin(f, &request);

    api_context_drain(&f->api->context);
    resume(fake);
    end(fake, 503);
    end(begin(f, &request), 503);
}

/* The client leaves: the service buries x once it was woken. */
static void an_exchange_may_be_abandoned_after_its_wake(void **state)
{
    static const char *const headers[] = {"Leveld-Min-Sequence: 1", NULL};
    static const struct fake_request request = {
        .method = "PUT", .target = "/v1/kv/a", .headers = headers};
    struct wait_fixture *f = *state;
    struct fake_exchange *fake = begin(f, &request);

    f->clock.now_us += API_SEQUENCE_WAIT_US;
    api_context_tick(&f->api->context);
    fake_exchange_wait(fake);
    api_exchange_abandon(fake_exchange_get(fake));
    fake_exchange_destroy(fake);
    assert_int_equal(ldb_last_sequence(f->api->db), 0);
}

static void a_sequence_in_a_gap_was_lost(void **state)
{
    static const struct {
        const char *wanted;
        unsigned status;
        ldb_sequence fork;
    } rows[] = {
        {"Leveld-Min-Sequence: 10", 503, 0}, /* of the first epoch */
        {"Leveld-Min-Sequence: 11", 410, 10},
        {"Leveld-Min-Sequence: 99", 410, 10},
        {"Leveld-Min-Sequence: 100", 503, 0}, /* a base: no write, not lost */
        {"Leveld-Min-Sequence: 101", 503, 0},
        {"Leveld-Min-Sequence: 140", 503, 0},
        {"Leveld-Min-Sequence: 141", 410, 140},
        {"Leveld-Min-Sequence: 199", 410, 140},
        {"Leveld-Min-Sequence: 200", 503, 0},
        {"Leveld-Min-Sequence: 201", 503, 0},
    };
    struct repl_epoch epochs[] = {
        {.number = 1},
        {.number = 2, .previous_last = 10, .base = 100},
        {.number = 3, .previous_last = 140, .base = 200},
    };
    const struct repl_epoch_history history = {.items = epochs, .count = 3};
    struct wait_fixture *f = *state;

    assert_ldb_ok(api_sequence_waits_set_history(f->all, &history, NULL), NULL);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        const char *headers[] = {rows[i].wanted, "Leveld-Timeout: 0s", NULL};
        struct fake_answer answer =
            api_call(f->api, "GET", "/v1/kv/a", headers, NULL);

        if (answer.status != rows[i].status)
            fail_msg("%s: %u", rows[i].wanted, answer.status);
        if (rows[i].status == 410) {
            json_t *problem = answer_json(&answer);

            assert_problem(&answer, 410, "lost-sequence");
            assert_int_equal(json_integer_value(json_at(problem, "fork")),
                             rows[i].fork);
            json_decref(problem);
        }
        fake_answer_release(&answer);
    }
}

/* The node has come far beyond, and the write is lost all the same. */
static void a_lost_sequence_is_told_however_high_the_node_is(void **state)
{
    static const char *const headers[] = {"Leveld-Min-Sequence: 1", NULL};
    static const struct fake_request waits = {
        .method = "GET", .target = "/v1/kv/a", .headers = headers};
    struct repl_epoch epochs[] = {{.number = 1, .base = 50}};
    const struct repl_epoch_history history = {.items = epochs, .count = 1};
    struct wait_fixture *f = *state;
    struct fake_exchange *before = begin(f, &waits);

    assert_ldb_ok(api_sequence_waits_set_history(f->all, &history, NULL), NULL);
    assert_ldb_ok(ldb_raise_sequence(f->api->db, 50, NULL), NULL);
    (void)api_put(f->api, "/v1/kv/a", "1");
    resume(before);
    end(before, 410);
    end(begin(f, &waits), 410);
}

/*
 * What a read says that it saw may be asked for: at the beginning of an epoch
 * that is its base, which a follower never comes to before the first write. The
 * second epoch here wrote nothing.
 */
static void the_base_of_an_epoch_is_here_with_what_is_before_it(void **state)
{
    static const struct {
        const char *wanted;
        unsigned status;
    } rows[] = {
        {"Leveld-Min-Sequence: 1", 200},    {"Leveld-Min-Sequence: 2", 410},
        {"Leveld-Min-Sequence: 1000", 200}, {"Leveld-Min-Sequence: 1001", 410},
        {"Leveld-Min-Sequence: 5000", 200}, {"Leveld-Min-Sequence: 5001", 503},
    };
    struct repl_epoch epochs[] = {
        {.number = 1},
        {.number = 2, .previous_last = 1, .base = 1000},
        {.number = 3, .previous_last = 1, .base = 5000},
    };
    const struct repl_epoch_history history = {.items = epochs, .count = 3};
    struct wait_fixture *f = *state;

    (void)api_put(f->api, "/v1/kv/a", "1");
    assert_ldb_ok(api_sequence_waits_set_history(f->all, &history, NULL), NULL);
    for (unsigned is_raised = 0; is_raised < 2; is_raised++) {
        for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
            const char *headers[] = {rows[i].wanted, "Leveld-Timeout: 0s",
                                     NULL};
            struct fake_answer answer =
                api_call(f->api, "GET", "/v1/kv/a", headers, NULL);

            if (answer.status != rows[i].status)
                fail_msg("%s: %u", rows[i].wanted, answer.status);
            fake_answer_release(&answer);
        }
        assert_ldb_ok(ldb_raise_sequence(f->api->db, 5000, NULL), NULL);
    }
}

static void a_bulk_load_waits_before_its_first_piece(void **state)
{
    static const char line[] =
        "{\"op\":\"put\",\"key\":\"b\",\"value\":\"\"}\n";
    static const char *const headers[] = {"Content-Type: application/x-ndjson",
                                          "Leveld-Min-Sequence: 1", NULL};
    static const struct fake_request request = {.method = "POST",
                                                .target = "/v1/batch",
                                                .headers = headers,
                                                .is_chunked = true};
    struct wait_fixture *f = *state;
    struct fake_exchange *fake =
        fake_exchange_create(&f->api->context, &request);
    struct api_exchange *x = fake_exchange_get(fake);

    api_exchange_begin(x);
    assert_false(x->response.ready);
    x->body = (struct ldb_buf)LDB_BUF_INIT(x->body_limit);
    assert_ldb_ok(ldb_buf_append(&x->body, ldb_slice_str(line)), NULL);
    api_exchange_take(x);
    assert_false(x->wants_body);
    assert_int_equal(waiting(f), 1);
    (void)api_put(f->api, "/v1/kv/a", "1");
    resume(fake); /* submits the piece */
    api_pass_end(&f->api->context);
    resume(fake);
    assert_true(x->wants_body);
    api_exchange_finish(x);
    api_pass_end(&f->api->context);
    resume(fake);
    end(fake, 200);
    assert_int_equal(ldb_last_sequence(f->api->db), 2);
}

static void a_range_is_deleted_with_what_was_waited_for(void **state)
{
    static const char *const headers[] = {"Leveld-Min-Sequence: 2", NULL};
    static const struct fake_request request = {
        .method = "DELETE", .target = "/v1/range?start=", .headers = headers};
    struct wait_fixture *f = *state;
    struct fake_exchange *fake;

    (void)api_put(f->api, "/v1/kv/a", "1");
    fake = begin(f, &request);
    assert_int_equal(waiting(f), 1);
    (void)api_put(f->api, "/v1/kv/b", "1");
    resume(fake);
    api_pass_end(&f->api->context);
    resume(fake);
    end(fake, 200);
    assert_int_equal(ldb_last_sequence(f->api->db), 4);
}

/* ---- beside writers ---- */

#define ROUNDS 20000

struct writer {
    struct wait_fixture *f;
    _Atomic(unsigned) wanted; /* writes asked for (release, acquire) */
};

/* Writes once for each time it is asked, as a commit does: the sequence is
 * there before anybody is told. */
static void write_as_asked(void *context)
{
    struct writer *writer = context;
    struct api_fixture *api = writer->f->api;

    for (unsigned done = 0; done < ROUNDS; done++) {
        while (atomic_load_explicit(&writer->wanted, memory_order_acquire) ==
               done)
            sched_yield();
        assert_ldb_ok(ldb_raise_sequence(api->db, done + 1, NULL), NULL);
        api_sequence_waits_advance(writer->f->all, done + 1);
    }
}

/* A request that asks for the sequence about when it comes, a little later in
 * each round; nothing but the writer wakes it. */
static void wait_for(struct wait_fixture *f, struct writer *writer, unsigned i)
{
    char header[64];
    const char *headers[] = {header, NULL};
    struct fake_request request = {
        .method = "GET", .target = "/v1/kv/a", .headers = headers};
    struct fake_exchange *fake =
        fake_exchange_create(&f->api->context, &request);
    struct api_exchange *x = fake_exchange_get(fake);

    (void)snprintf(header, sizeof(header), "Leveld-Min-Sequence: %u", i);
    api_exchange_begin(x);
    atomic_store_explicit(&writer->wanted, i, memory_order_release);
    for (unsigned j = 0; j < i % 4000; j++)
        (void)ldb_last_sequence(f->api->db);
    api_exchange_finish(x);
    if (!x->response.ready)
        resume(fake);
    end(fake, 404);
}

static void no_wake_is_missed(void **state)
{
    struct wait_fixture *f = *state;
    struct writer writer = {.f = f};
    struct ldb_env *env = f->api->env;
    struct ldb_thread *thread = NULL;

    assert_ldb_ok(env->ops->thread_start(env, "writer", write_as_asked, &writer,
                                         NULL, &thread),
                  NULL);
    for (unsigned i = 1; i <= ROUNDS; i++)
        wait_for(f, &writer, i);
    env->ops->thread_join(env, thread);
}

#define WAIT_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WAIT_TEST(what_is_here_does_not_wait),
        WAIT_TEST(a_lagging_answer_says_when_to_come_back),
        WAIT_TEST(a_write_wakes_who_waits_for_it),
        WAIT_TEST(a_sequence_from_elsewhere_is_found_by_the_tick),
        WAIT_TEST(a_deadline_ends_the_wait),
        WAIT_TEST(draining_answers_who_waits_and_lets_nobody_wait),
        WAIT_TEST(an_exchange_may_be_abandoned_after_its_wake),
        WAIT_TEST(a_sequence_in_a_gap_was_lost),
        WAIT_TEST(a_lost_sequence_is_told_however_high_the_node_is),
        WAIT_TEST(the_base_of_an_epoch_is_here_with_what_is_before_it),
        WAIT_TEST(a_bulk_load_waits_before_its_first_piece),
        WAIT_TEST(a_range_is_deleted_with_what_was_waited_for),
        WAIT_TEST(no_wake_is_missed),
    };

    return cmocka_run_group_tests_name("sequence_wait", tests, NULL, NULL);
}
