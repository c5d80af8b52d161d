/* A folder gives its files, and nothing else. */
#include "replication/folder_peer.h"

#include <string.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/copy_fixture.h"
#include "tests/support/mem_fault.h"

/* More than is read at a time. */
#define LONG_LEN ((size_t)150 << 10)

static struct copy_fixture f;
static struct ldb_buf came;
static struct repl_file_head head;
static struct repl_transport *to_interrupt;

static int setup(void **state)
{
    (void)state;
    copy_open(&f);
    came = (struct ldb_buf)LDB_BUF_INIT(1 << 20);
    head = (struct repl_file_head){0};
    to_interrupt = NULL;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_buf_release(&came);
    copy_close(&f);
    return 0;
}

static enum ldb_status take_head(void *context,
                                 const struct repl_file_head *given,
                                 struct ldb_error *err)
{
    (void)context;
    (void)err;
    head = *given;
    return LDB_OK;
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    (void)context;
    (void)err;
    if (to_interrupt != NULL)
        to_interrupt->ops->interrupt(to_interrupt);
    return ldb_buf_append(&came, bytes);
}

static enum ldb_status get(const char *name, uint64_t from, uint64_t count)
{
    const struct repl_get get = {
        .name = name,
        .from = from,
        .count = count,
        .head = take_head,
        .bytes = take_bytes,
    };

    ldb_buf_clear(&came);
    return f.files->ops->get(f.files, &get, &f.err);
}

static void a_file_is_given_from_a_byte_on(void **state)
{
    static uint8_t bytes[LONG_LEN];

    (void)state;
    for (size_t i = 0; i < LONG_LEN; i++)
        bytes[i] = (uint8_t)(i / 3);
    copy_put(&f, "000001.log", ldb_slice_make(bytes, LONG_LEN));
    assert_ldb_ok(get("000001.log", 0, 0), &f.err);
    assert_int_equal(LONG_LEN, head.size);
    assert_false(head.is_sealed);
    assert_ldb_slice(ldb_slice_make(bytes, LONG_LEN), ldb_slice_of_buf(&came));
    assert_ldb_ok(get("000001.log", 100000, 0), &f.err);
    assert_ldb_slice(ldb_slice_make(bytes + 100000, LONG_LEN - 100000),
                     ldb_slice_of_buf(&came));
    assert_ldb_ok(get("000001.log", 10, 70000), &f.err);
    assert_ldb_slice(ldb_slice_make(bytes + 10, 70000),
                     ldb_slice_of_buf(&came));
    assert_ldb_ok(get("000001.log", LONG_LEN, 0), &f.err);
    assert_int_equal(0, came.len);
    assert_ldb_status(LDB_INVALID_ARGUMENT, get("000001.log", LONG_LEN + 1, 0),
                      &f.err);
}

static void what_is_not_there_is_not_found(void **state)
{
    struct repl_file_head told;

    (void)state;
    assert_ldb_status(LDB_NOT_FOUND, get("000001.log", 0, 0), &f.err);
    assert_ldb_status(
        LDB_NOT_FOUND,
        f.files->ops->head(f.files, "leveld/epochs", &f.err, &told), &f.err);
    copy_put(&f, "CURRENT", ldb_slice_str("MANIFEST-000004\n"));
    assert_ldb_ok(f.files->ops->head(f.files, "CURRENT", &f.err, &told),
                  &f.err);
    assert_int_equal(16, told.size);
}

static void it_says_nothing(void **state)
{
    const struct repl_get follow = {
        .name = "CURRENT",
        .follow = true,
        .head = take_head,
        .bytes = take_bytes,
    };
    unsigned http = 0;

    (void)state;
    copy_put(&f, "CURRENT", ldb_slice_str("MANIFEST-000004\n"));
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      f.files->ops->get(f.files, &follow, &f.err), &f.err);
    assert_ldb_ok(f.files->ops->call(f.files, "/v1/replication/state",
                                     (struct ldb_slice){0}, &f.err, &came,
                                     &http),
                  &f.err);
    assert_int_equal(404, http);
}

static void an_interrupted_one_ends_soon(void **state)
{
    static uint8_t bytes[LONG_LEN];

    (void)state;
    copy_put(&f, "000001.log", ldb_slice_make(bytes, LONG_LEN));
    to_interrupt = f.files;
    assert_ldb_status(LDB_CANCELLED, get("000001.log", 0, 0), &f.err);
    assert_true(came.len < LONG_LEN);
}

static void without_memory_there_is_none(void **state)
{
    struct repl_peer *peer = NULL;
    struct repl_transport *t = NULL;

    (void)state;
    copy_stop(&f); /* its threads are not to fail */
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_folder_peer_create(f.env, "/a", &f.err, &peer);
        if (s == LDB_OK)
            s = peer->open(peer, &f.err, &t);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
        repl_peer_destroy(peer);
        peer = NULL;
    }
    assert_non_null(t);
    if (t != NULL) /* the analyzer does not know that the line above ends it */
        t->ops->destroy(t);
    repl_peer_destroy(peer);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_file_is_given_from_a_byte_on),
        CASE(what_is_not_there_is_not_found),
        CASE(it_says_nothing),
        CASE(an_interrupted_one_ends_soon),
        CASE(without_memory_there_is_none),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
