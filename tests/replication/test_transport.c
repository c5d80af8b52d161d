/*
 * What transport.h promises, held by the node in memory that other tests
 * follow: so that what they see is what a network would show them.
 * (tests/e2e/test_replication_client.c has the same over TCP.)
 */
#include "replication/transport.h"

#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/fetch_fixture.h"

#define SHORT_US UINT64_C(20000)

/* What came of a file. */
struct taken {
    struct fetch_fixture *f;
    struct repl_file_head head;
    unsigned heads;
    struct ldb_buf bytes;
    unsigned pieces;
    unsigned dries;
    void (*on_dry)(struct taken *taken); /* NULL: nothing */
    enum ldb_status bytes_status;        /* given back */
};

static enum ldb_status take_head(void *context,
                                 const struct repl_file_head *head,
                                 struct ldb_error *err)
{
    struct taken *taken = context;

    (void)err;
    taken->head = *head;
    taken->heads++;
    return LDB_OK;
}

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct taken *taken = context;

    assert_int_equal(1, taken->heads);
    taken->pieces++;
    assert_ldb_ok(ldb_buf_append(&taken->bytes, bytes), NULL);
    return taken->bytes_status == LDB_OK
               ? LDB_OK
               : ldb_error_set(err, taken->bytes_status, "of the bytes");
}

static enum ldb_status take_dry(void *context, struct ldb_error *err)
{
    struct taken *taken = context;

    (void)err;
    taken->dries++;
    if (taken->on_dry != NULL)
        taken->on_dry(taken);
    return LDB_OK;
}

static enum ldb_status get(struct taken *taken, const char *name, uint64_t from,
                           bool follow, uint64_t idle_us)
{
    struct repl_get get = {
        .name = name,
        .from = from,
        .follow = follow,
        .idle_us = idle_us,
        .head = take_head,
        .bytes = take_bytes,
        .dry = take_dry,
        .context = taken,
    };
    struct repl_transport *t = taken->f->transport;

    return t->ops->get(t, &get, &taken->f->err);
}

static struct taken taken_of(struct fetch_fixture *f)
{
    return (struct taken){.f = f, .bytes = LDB_BUF_INIT(LEADER_FILE_MAX)};
}

/* The journal that the leader writes to now, and what of it is durable. */
static uint64_t open_journal(struct fetch_fixture *f,
                             char name[LDB_FILE_NAME_SIZE])
{
    struct ldb_stats stats;
    struct ldb_position durable = ldb_durable_position(f->leader->db);

    ldb_stats(f->leader->db, &stats);
    ldb_file_name_print(name, LDB_FILE_JOURNAL, stats.journal_number);
    return durable.journal == stats.journal_number ? durable.offset : 0;
}

/* A write that is durable when it returns. */
static void put_durably(struct fetch_fixture *f)
{
    struct ldb_batch batch;
    struct ldb_write write = {.batch = &batch, .sync = true};

    ldb_batch_init(&batch, 1000);
    assert_ldb_ok(
        ldb_batch_put(&batch, ldb_slice_str("key"), ldb_slice_str("value")),
        NULL);
    assert_ldb_ok(ldb_write_wait(f->leader->db, &write), &write.error);
    ldb_batch_release(&batch);
}

static void assert_is_leaders(struct taken *taken, const char *name,
                              uint64_t from, uint64_t to)
{
    struct ldb_buf leaders = LDB_BUF_INIT(LEADER_FILE_MAX);

    fetch_fixture_leaders(taken->f, name, &leaders);
    assert_true(to <= leaders.len);
    assert_ldb_slice(ldb_slice_make(leaders.data + from, (size_t)(to - from)),
                     ldb_slice_of_buf(&taken->bytes));
    ldb_buf_release(&leaders);
}

static void only_what_is_durable_is_shown(void **state)
{
    struct fetch_fixture *f = *state;
    struct taken taken = taken_of(f);
    char name[LDB_FILE_NAME_SIZE];
    uint64_t durable;

    put_durably(f);
    durable = open_journal(f, name);
    assert_true(durable > 0);
    assert_ldb_ok(get(&taken, name, 0, false, 0), &f->err);
    assert_false(taken.head.is_sealed);
    assert_false(taken.head.has_digest);
    assert_int_equal(1, taken.head.epoch);
    assert_true(taken.bytes.len >= durable);
    assert_is_leaders(&taken, name, 0, taken.bytes.len);
    assert_true(open_journal(f, name) >= taken.bytes.len);
    ldb_buf_release(&taken.bytes);
}

static void write_until_sealed(struct taken *taken)
{
    if (taken->dries <= 3)
        put_durably(taken->f);
    else
        leader_run_flush(taken->f->leader);
}

static void a_journal_is_followed_until_it_is_sealed(void **state)
{
    struct fetch_fixture *f = *state;
    struct taken taken = taken_of(f);
    struct repl_file_head head = {0};
    char name[LDB_FILE_NAME_SIZE];

    put_durably(f);
    (void)open_journal(f, name);
    memory_peer_set_pieces(f->peer, 7, 11);
    taken.on_dry = write_until_sealed;
    assert_ldb_ok(get(&taken, name, 0, true, 0), &f->err);
    assert_int_equal(1, taken.heads);
    assert_true(taken.dries >= 4);
    assert_ldb_ok(repl_client_head(&f->client, name, &f->err, &head), &f->err);
    assert_true(head.is_sealed);
    assert_true(head.has_digest);
    assert_int_equal(head.size, taken.bytes.len);
    assert_int_equal(head.size, memory_peer_bytes(f->peer, name));
    ldb_buf_release(&taken.bytes);
}

static void a_sealed_file_is_followed_to_its_end(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file table = fetch_fixture_table(f, 0);
    struct taken taken = taken_of(f);

    assert_ldb_ok(get(&taken, table.name, 10, true, 0), &f->err);
    assert_is_leaders(&taken, table.name, 10, table.size);
    assert_int_equal(0, taken.dries);
    ldb_buf_release(&taken.bytes);
}

static void flush_once(struct taken *taken)
{
    if (taken->dries == 1)
        leader_run_flush(taken->f->leader);
}

static void a_manifest_is_followed_as_it_grows(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file manifest = fetch_fixture_manifest(f);
    struct taken taken = taken_of(f);

    taken.on_dry = flush_once;
    assert_ldb_ok(get(&taken, manifest.name, 0, true, SHORT_US), &f->err);
    assert_true(taken.dries >= 2);
    assert_true(taken.bytes.len > manifest.size);
    assert_is_leaders(&taken, manifest.name, 0, taken.bytes.len);
    ldb_buf_release(&taken.bytes);
}

static void there_is_no_byte_behind_the_end(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file table = fetch_fixture_table(f, 0);
    struct taken taken = taken_of(f);

    assert_ldb_ok(get(&taken, table.name, table.size, false, 0), &f->err);
    assert_int_equal(1, taken.heads);
    assert_int_equal(0, taken.bytes.len);
    assert_ldb_status(LDB_INVALID_ARGUMENT,
                      get(&taken, table.name, table.size + 1, false, 0),
                      &f->err);
    assert_ldb_status(LDB_NOT_FOUND, get(&taken, "CURRENT", 0, false, 0),
                      &f->err);
    assert_ldb_status(LDB_NOT_FOUND, get(&taken, "../secret", 0, false, 0),
                      &f->err);
    ldb_buf_release(&taken.bytes);
}

static void a_function_ends_its_call(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file table = fetch_fixture_table(f, 0);
    struct taken taken = taken_of(f);

    memory_peer_set_pieces(f->peer, 7, 11);
    taken.bytes_status = LDB_NO_SPACE;
    assert_ldb_status(LDB_NO_SPACE, get(&taken, table.name, 0, false, 0),
                      &f->err);
    assert_int_equal(1, taken.pieces);
    ldb_buf_release(&taken.bytes);
}

static void silence_ends_when_it_is_told_to(void **state)
{
    struct fetch_fixture *f = *state;
    struct taken taken = taken_of(f);
    char name[LDB_FILE_NAME_SIZE];

    put_durably(f);
    (void)open_journal(f, name);
    memory_peer_rule(f->peer, &(struct memory_peer_rule){
                                  .what = MEMORY_PEER_SILENT,
                                  .call = MEMORY_PEER_GET,
                                  .bytes = 5,
                              });
    assert_ldb_ok(get(&taken, name, 0, true, SHORT_US), &f->err);
    assert_int_equal(5, taken.bytes.len);
    assert_int_equal(1, taken.dries);
    ldb_buf_release(&taken.bytes);
}

static void interrupt(struct taken *taken)
{
    taken->f->transport->ops->interrupt(taken->f->transport);
}

static void an_interrupt_ends_what_waits_and_all_that_follows(void **state)
{
    struct fetch_fixture *f = *state;
    struct taken taken = taken_of(f);
    struct repl_file_head head;
    char name[LDB_FILE_NAME_SIZE];

    put_durably(f);
    (void)open_journal(f, name);
    taken.on_dry = interrupt;
    assert_ldb_status(LDB_CANCELLED, get(&taken, name, 0, true, 0), &f->err);
    assert_ldb_status(LDB_CANCELLED, get(&taken, name, 0, false, 0), &f->err);
    assert_ldb_status(LDB_CANCELLED,
                      repl_client_head(&f->client, name, &f->err, &head),
                      &f->err);
    ldb_buf_release(&taken.bytes);
}

static void go_down(struct taken *taken)
{
    memory_peer_set_db(taken->f->peer, NULL, NULL, NULL);
}

static void a_node_that_goes_down_cuts_its_streams(void **state)
{
    struct fetch_fixture *f = *state;
    struct taken taken = taken_of(f);
    struct repl_file_head head;
    char name[LDB_FILE_NAME_SIZE];

    put_durably(f);
    (void)open_journal(f, name);
    taken.on_dry = go_down;
    assert_ldb_status(LDB_IO, get(&taken, name, 0, true, 0), &f->err);
    assert_ldb_status(
        LDB_IO, repl_client_head(&f->client, name, &f->err, &head), &f->err);
    assert_int_equal(0, memory_peer_checkpoints(f->peer));
    memory_peer_set_db(f->peer, f->leader->db, &f->leader->options, LEADER_DIR);
    assert_ldb_ok(repl_client_head(&f->client, name, &f->err, &head), &f->err);
    ldb_buf_release(&taken.bytes);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, fetch_fixture_setup,                 \
                                    fetch_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(only_what_is_durable_is_shown),
        TEST(a_journal_is_followed_until_it_is_sealed),
        TEST(a_sealed_file_is_followed_to_its_end),
        TEST(a_manifest_is_followed_as_it_grows),
        TEST(there_is_no_byte_behind_the_end),
        TEST(a_function_ends_its_call),
        TEST(silence_ends_when_it_is_told_to),
        TEST(an_interrupt_ends_what_waits_and_all_that_follows),
        TEST(a_node_that_goes_down_cuts_its_streams),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
