#include "api/backup.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "api/context.h"
#include "api/response.h"
#include "api/tar.h"
#include "storage/base/buf.h"
#include "storage/base/env.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"

/* A tar in memory, taken apart. */
struct entry {
    char name[API_TAR_NAME_MAX + 1];
    struct ldb_slice bytes;
};

/* False: the end. */
static bool next_entry(struct ldb_slice *left, struct entry *out)
{
    uint64_t size;

    assert_true(left->len >= API_TAR_BLOCK);
    if (left->data[0] == '\0')
        return false;
    (void)snprintf(out->name, sizeof(out->name), "%s",
                   (const char *)left->data);
    size = strtoull((const char *)left->data + 124, NULL, 8);
    *left =
        ldb_slice_make(left->data + API_TAR_BLOCK, left->len - API_TAR_BLOCK);
    out->bytes = ldb_slice_make(left->data, (size_t)size);
    size += api_tar_padding(size);
    assert_true(size <= left->len);
    *left = ldb_slice_make(left->data + size, left->len - (size_t)size);
    return true;
}

static void unpack(struct api_fixture *f, struct ldb_slice tar,
                   const char *folder, char last[API_TAR_NAME_MAX + 1])
{
    struct entry entry;

    assert_ldb_ok(f->env->ops->create_dir(f->env, folder, NULL), NULL);
    while (next_entry(&tar, &entry)) {
        struct ldb_writable_file *file = NULL;
        char path[160];

        (void)snprintf(path, sizeof(path), "%s/%s", folder, entry.name);
        assert_ldb_ok(f->env->ops->open_writable(
                          f->env, path, LDB_OPEN_TRUNCATE, NULL, &file),
                      NULL);
        assert_ldb_ok(ldb_file_append(file, entry.bytes, NULL), NULL);
        assert_ldb_ok(ldb_file_close(file, NULL), NULL);
        memcpy(last, entry.name, sizeof(entry.name));
    }
    assert_int_equal(tar.len, API_TAR_END_BYTES);
    for (size_t i = 0; i < tar.len; i++)
        assert_int_equal(tar.data[i], 0);
}

static struct api_backups_figures figures_of(struct api_fixture *f)
{
    struct api_backups_figures figures;

    api_backups_figures(f->context.backups, &figures);
    return figures;
}

static void the_tar_is_the_database(void **state)
{
    struct api_fixture *f = *state;
    struct fake_request request = {
        .method = "GET", .target = "/v1/backup", .read_max = 1000};
    char last[API_TAR_NAME_MAX + 1] = "";
    struct ldb_options options;
    struct ldb_buf value = LDB_BUF_INIT(100);
    struct fake_answer answer;
    struct ldb_db *copy = NULL;

    (void)api_put(f, "/v1/kv/a", "1");
    assert_ldb_ok(ldb_flush(f->db, NULL), NULL);
    (void)api_put(f, "/v1/kv/b", "2");
    fake_run(&f->context, &request, &answer);
    assert_answer(&answer, 200);
    assert_string_equal(answer.content_type, "application/x-tar");
    assert_header(&answer, "Leveld-Sequence", "2");
    assert_header(&answer, "Content-Disposition",
                  "attachment; filename=\"leveld-2.tar\"");
    assert_false(answer.is_cut);
    assert_int_equal(answer.body.len % API_TAR_BLOCK, 0);
    unpack(f, ldb_slice_of_buf(&answer.body), "/copy", last);
    assert_string_equal(last, "CURRENT");
    ldb_options_init(&options);
    options.env = f->env;
    assert_ldb_ok(ldb_open("/copy", &options, NULL, NULL, &copy), NULL);
    assert_int_equal(ldb_last_sequence(copy), 2);
    assert_ldb_ok(
        ldb_get(copy, ldb_slice_str("b"), NULL, NULL, &value, NULL, NULL),
        NULL);
    assert_ldb_bytes("2", ldb_slice_of_buf(&value));
    assert_ldb_ok(ldb_close(copy, NULL), NULL);
    ldb_buf_release(&value);
    assert_int_equal(figures_of(f).running, 0);
    assert_int_equal(figures_of(f).begun, 1);
    assert_int_equal(figures_of(f).bytes, answer.body.len);
    fake_answer_release(&answer);
}

/* A stream that has begun; its exchange is the caller's. */
static struct fake_exchange *begin(struct api_fixture *f)
{
    static const struct fake_request request = {.method = "GET",
                                                .target = "/v1/backup"};
    struct fake_exchange *fake = fake_exchange_create(&f->context, &request);
    struct api_exchange *x = fake_exchange_get(fake);

    api_exchange_begin(x);
    api_exchange_finish(x);
    if (!x->response.ready) {
        fake_exchange_wait(fake);
        api_exchange_resume(x);
    }
    return fake;
}

static void end(struct fake_exchange *fake)
{
    struct api_exchange *x = fake_exchange_get(fake);

    api_response_release(&x->response);
    api_exchange_abandon(x);
    fake_exchange_destroy(fake);
}

static void as_many_as_the_limit_run_at_once(void **state)
{
    struct api_fixture *f = *state;
    struct fake_exchange *running[2];
    struct fake_answer answer;

    for (size_t i = 0; i < 2; i++) {
        running[i] = begin(f);
        assert_int_equal(fake_exchange_get(running[i])->response.status, 200);
    }
    assert_int_equal(figures_of(f).running, 2);
    answer = api_call(f, "GET", "/v1/backup", NULL, NULL);
    assert_problem(&answer, 429, "overloaded");
    assert_header(&answer, "Retry-After", "10");
    fake_answer_release(&answer);
    end(running[0]);
    assert_int_equal(figures_of(f).running, 1);
    answer = api_call(f, "GET", "/v1/backup", NULL, NULL);
    assert_answer(&answer, 200);
    fake_answer_release(&answer);
    end(running[1]);
}

/* Read half, then the client leaves: the pin goes. */
static void a_cut_stream_frees_what_it_held(void **state)
{
    struct api_fixture *f = *state;
    struct fake_exchange *fake;
    struct api_response *response;
    uint8_t bytes[700];

    (void)api_put(f, "/v1/kv/a", "1");
    assert_ldb_ok(ldb_flush(f->db, NULL), NULL);
    fake = begin(f);
    response = &fake_exchange_get(fake)->response;
    assert_int_equal(
        response->stream_ops->read(response->stream, bytes, sizeof(bytes)),
        sizeof(bytes));
    end(fake);
    assert_int_equal(figures_of(f).running, 0);
    /* The database closes in teardown, with nothing held of it. */
}

static void a_stop_closes_what_is_still_open(void **state)
{
    struct api_fixture *f = *state;
    struct fake_exchange *fake = begin(f);

    api_context_close(&f->context); /* as the service, once loops are gone */
    end(fake);
    assert_int_equal(figures_of(f).running, 0);
}

static void a_table_that_is_missing_cuts_the_stream(void **state)
{
    struct api_fixture *f = *state;
    struct fake_answer answer;
    char path[32];
    unsigned removed = 0;

    for (unsigned i = 0; i < 2; i++) {
        (void)api_put(f, "/v1/kv/a", "1");
        assert_ldb_ok(ldb_flush(f->db, NULL), NULL);
    }
    for (unsigned number = 20; number > 0 && removed == 0; number--) {
        (void)snprintf(path, sizeof(path), "/db/%06u.ldb", number);
        removed += f->env->ops->remove_file(f->env, path, NULL) == LDB_OK;
    }
    assert_int_equal(removed, 1);
    answer = api_call(f, "GET", "/v1/backup", NULL, NULL);
    assert_true(answer.is_cut || answer.status == 500);
    fake_answer_release(&answer);
    assert_int_equal(figures_of(f).running, 0);
}

static void other_requests_are_refused(void **state)
{
    static const struct {
        const char *target;
        const char *headers[2];
        unsigned status;
    } rows[] = {
        {"/v1/backup?x=1", {NULL}, 400},
        {"/v1/backup", {"Accept: text/html"}, 406},
        {"/v1/backup", {"If-Match: *"}, 400},
    };
    struct api_fixture *f = *state;
    struct fake_answer answer;

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        answer = api_call(f, "GET", rows[i].target, rows[i].headers, NULL);
        assert_int_equal(answer.status, rows[i].status);
        fake_answer_release(&answer);
    }
    f->context.read_only = true;
    answer = api_call(f, "GET", "/v1/backup", NULL, NULL);
    assert_problem(&answer, 409, "read-only");
    fake_answer_release(&answer);
    assert_int_equal(figures_of(f).begun, 0);
}

#define FIXTURE_TEST(f)                                                        \
    cmocka_unit_test_setup_teardown(f, api_fixture_setup, api_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        FIXTURE_TEST(the_tar_is_the_database),
        FIXTURE_TEST(as_many_as_the_limit_run_at_once),
        FIXTURE_TEST(a_cut_stream_frees_what_it_held),
        FIXTURE_TEST(a_stop_closes_what_is_still_open),
        FIXTURE_TEST(a_table_that_is_missing_cuts_the_stream),
        FIXTURE_TEST(other_requests_are_refused),
    };

    return cmocka_run_group_tests_name("backup", tests, NULL, NULL);
}
