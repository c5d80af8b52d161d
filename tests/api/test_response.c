#include "api/response.h"

#include "storage/base/buf.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

struct destroyed {
    unsigned count;
};

static int64_t no_bytes(void *stream, uint8_t *out, size_t max)
{
    (void)stream;
    (void)out;
    (void)max;
    return 0;
}

static void count_destroy(void *stream)
{
    struct destroyed *destroyed = stream;

    destroyed->count++;
}

static const struct api_stream_ops counting_ops = {.read = no_bytes,
                                                   .destroy = count_destroy};

struct bare {
    struct fake_request request;
    struct fake_exchange *fake;
    struct api_exchange *x;
};

static int setup_bare(void **state)
{
    struct bare *bare = test_calloc(1, sizeof(*bare));
    static struct api_context context;

    context.env = ldb_env_posix();
    bare->request = (struct fake_request){.method = "GET", .target = "/"};
    bare->fake = fake_exchange_create(&context, &bare->request);
    bare->x = fake_exchange_get(bare->fake);
    *state = bare;
    return 0;
}

static int teardown_bare(void **state)
{
    struct bare *bare = *state;

    fake_exchange_destroy(bare->fake);
    test_free(bare);
    return 0;
}

static void headers_go_out_in_the_order_they_came(void **state)
{
    struct bare *bare = *state;
    struct api_entry_headers room;
    const struct api_header *h;

    assert_true(api_header_add(bare->x, "A", "1"));
    assert_true(api_header_printf(bare->x, "B", "%d-%s", 2, "x"));
    assert_true(api_header_number(bare->x, "C", UINT64_MAX));
    api_header_etag(bare->x, &room, UINT64_MAX);
    api_header_sequence(bare->x, &room, 0);
    h = bare->x->response.headers;
    assert_string_equal(h->name, "A");
    assert_string_equal(h->value, "1");
    h = h->next;
    assert_string_equal(h->name, "B");
    assert_string_equal(h->value, "2-x");
    h = h->next;
    assert_string_equal(h->name, "C");
    assert_string_equal(h->value, "18446744073709551615");
    h = h->next;
    assert_string_equal(h->name, "ETag");
    assert_string_equal(h->value, "\"18446744073709551615\"");
    h = h->next;
    assert_string_equal(h->name, "Leveld-Sequence");
    assert_string_equal(h->value, "0");
    assert_null(h->next);
}

static void a_header_without_memory_is_left_out(void **state)
{
    struct bare *bare = *state;

    mem_fault_start(1, MEM_FAULT_FOREVER);
    assert_false(api_header_add(bare->x, "A", "1"));
    assert_false(api_header_printf(bare->x, "A", "%d", 1));
    assert_false(api_header_number(bare->x, "A", 1));
    assert_true(mem_fault_stop());
    assert_null(bare->x->response.headers);
}

static void a_buffer_is_taken_over(void **state)
{
    struct bare *bare = *state;
    struct ldb_buf body = LDB_BUF_INIT(64);

    assert_ldb_ok(ldb_buf_append(&body, ldb_slice_str("text")), NULL);
    api_answer_buf(bare->x, 201, "a/b", &body);
    assert_null(body.data);
    assert_true(bare->x->response.ready);
    assert_int_equal(bare->x->response.status, 201);
    assert_string_equal(bare->x->response.content_type, "a/b");
    assert_int_equal(bare->x->response.body_kind, API_BODY_BUF);
    assert_ldb_bytes("text", ldb_slice_of_buf(&bare->x->response.body));
}

static void answers_need_no_memory(void **state)
{
    struct bare *bare = *state;
    struct api_entry_headers room;

    mem_fault_start(1, MEM_FAULT_FOREVER);
    api_header_etag(bare->x, &room, 1);
    api_answer_empty(bare->x, 204);
    assert_false(mem_fault_stop());
    assert_true(bare->x->response.ready);
    assert_int_equal(bare->x->response.body_kind, API_BODY_NONE);
}

static void release_destroys_a_stream_once(void **state)
{
    struct bare *bare = *state;
    struct destroyed destroyed = {0};

    api_answer_stream(bare->x, 200, "a/b", &counting_ops, &destroyed);
    assert_int_equal(bare->x->response.body_kind, API_BODY_STREAM);
    api_response_release(&bare->x->response);
    api_response_release(&bare->x->response);
    assert_int_equal(destroyed.count, 1);
}

static void a_stream_may_have_a_length(void **state)
{
    struct bare *bare = *state;
    struct destroyed destroyed = {0};

    api_answer_stream_of(bare->x, 206, "a/b", 12, &counting_ops, &destroyed);
    assert_int_equal(bare->x->response.stream_length, 12);
    api_response_release(&bare->x->response);
    bare->x->response = (struct api_response){0};
    api_answer_stream(bare->x, 200, "a/b", &counting_ops, &destroyed);
    assert_true(bare->x->response.stream_length == API_LENGTH_UNKNOWN);
    api_response_release(&bare->x->response);
}

static void a_head_has_a_type_and_a_length(void **state)
{
    struct bare *bare = *state;

    bare->x->method = API_HEAD;
    api_answer_head(bare->x, 200, "a/b", 12);
    assert_true(bare->x->response.ready);
    assert_int_equal(bare->x->response.body_kind, API_BODY_NONE);
    assert_int_equal(bare->x->response.head_length, 12);
    assert_string_equal(bare->x->response.content_type, "a/b");
}

#define BARE_TEST(f)                                                           \
    cmocka_unit_test_setup_teardown(f, setup_bare, teardown_bare)

int main(void)
{
    const struct CMUnitTest tests[] = {
        BARE_TEST(headers_go_out_in_the_order_they_came),
        BARE_TEST(a_header_without_memory_is_left_out),
        BARE_TEST(a_buffer_is_taken_over),
        BARE_TEST(answers_need_no_memory),
        BARE_TEST(release_destroys_a_stream_once),
        BARE_TEST(a_stream_may_have_a_length),
        BARE_TEST(a_head_has_a_type_and_a_length),
    };

    return cmocka_run_group_tests_name("response", tests, NULL, NULL);
}
