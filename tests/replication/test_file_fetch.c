/* One file from a leader in memory, with whatever can come in between. */
#include "replication/file_fetch.h"

#include <errno.h>

#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/fetch_fixture.h"
#include "tests/support/mem_fault.h"

#define INCOMING "leveld/incoming"

struct counts {
    uint64_t bytes;
    uint64_t bytes_kept;
    uint64_t cuts;
    uint64_t mismatches;
};

static struct repl_fetch_counts counted;

static struct counts counts_now(void)
{
    return (struct counts){.bytes = counted.bytes,
                           .bytes_kept = counted.bytes_kept,
                           .cuts = counted.cuts,
                           .mismatches = counted.mismatches};
}

static int setup(void **state)
{
    struct fetch_fixture *f;

    assert_int_equal(0, fetch_fixture_setup(state));
    f = *state;
    counted = (struct repl_fetch_counts){0};
    assert_ldb_ok(
        ldb_env_create_folder(f->env, FETCH_FIXTURE_DIR "/leveld", &f->err),
        &f->err);
    assert_ldb_ok(
        ldb_env_create_folder(f->env, FETCH_FIXTURE_DIR "/" INCOMING, &f->err),
        &f->err);
    return 0;
}

static enum ldb_status fetch(struct fetch_fixture *f,
                             const struct repl_fetch_file *wanted)
{
    struct ldb_digest digest;
    struct repl_file_fetch how = {
        .env = f->env,
        .dir = FETCH_FIXTURE_DIR,
        .transport = f->transport,
        .counts = &counted,
        .out_digest = &digest,
    };
    enum ldb_status s = repl_file_fetch(&how, wanted, &f->err);

    if (s == LDB_OK && wanted->has_digest)
        assert_true(ldb_digest_equal(&wanted->digest, &digest));
    return s;
}

static const char *incoming(const struct repl_fetch_file *wanted)
{
    static char path[64];

    (void)snprintf(path, sizeof(path), INCOMING "/%.31s", wanted->name);
    return path;
}

static bool is_there(struct fetch_fixture *f,
                     const struct repl_fetch_file *wanted)
{
    return fetch_fixture_has(f, f->env, incoming(wanted), wanted);
}

static void rule(struct fetch_fixture *f, enum memory_peer_fault what,
                 uint64_t bytes, unsigned times)
{
    memory_peer_rule(f->peer, &(struct memory_peer_rule){
                                  .what = what,
                                  .call = MEMORY_PEER_GET,
                                  .bytes = bytes,
                                  .times = times,
                              });
}

/* The first len bytes of the file as an earlier try may have left them, with a
 * bit that is another one where flip_at is below len. */
static void put_some(struct fetch_fixture *f,
                     const struct repl_fetch_file *wanted, size_t len,
                     size_t flip_at)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);

    fetch_fixture_leaders(f, wanted->name, &bytes);
    assert_true(len <= bytes.len);
    if (flip_at < len)
        bytes.data[flip_at] ^= 1;
    fetch_fixture_put(f, incoming(wanted), ldb_slice_make(bytes.data, len));
    ldb_buf_release(&bytes);
}

static void a_file_comes_whole(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    memory_peer_set_pieces(f->peer, 700, 3);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(wanted.size, counts_now().bytes);
    assert_int_equal(0, counts_now().bytes_kept);
    assert_int_equal(0, counts_now().cuts);
}

static void a_file_that_is_there_does_not_come_again(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    put_some(f, &wanted, (size_t)wanted.size, SIZE_MAX);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(0, memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
    assert_int_equal(wanted.size, counts_now().bytes_kept);
}

static void an_earlier_try_is_gone_on_with(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    put_some(f, &wanted, 1000, SIZE_MAX);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(wanted.size - 1000, counts_now().bytes);
    assert_int_equal(1000, counts_now().bytes_kept);
}

static void an_earlier_try_that_was_damaged_is_found_out(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    put_some(f, &wanted, 1000, 999);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(1, counts_now().mismatches);
    assert_int_equal(2 * wanted.size - 1000, counts_now().bytes);
}

static void an_earlier_try_that_is_too_long_is_of_another_file(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);
    uint8_t *zeros = ldb_mem_zalloc(1, (size_t)wanted.size + 1);

    assert_non_null(zeros);
    fetch_fixture_put(f, incoming(&wanted),
                      ldb_slice_make(zeros, (size_t)wanted.size + 1));
    ldb_mem_free(zeros);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(0, counts_now().mismatches);
}

static void a_cut_is_gone_on_after(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    rule(f, MEMORY_PEER_CUT, 100, 1);
    rule(f, MEMORY_PEER_CUT, 1100, 1);
    rule(f, MEMORY_PEER_END, 2100, 1);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(3, counts_now().cuts);
    assert_int_equal(wanted.size, counts_now().bytes);
    assert_int_equal(4, memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
}

static void a_try_that_brings_nothing_is_the_last(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    rule(f, MEMORY_PEER_CUT, 1000, 0);
    assert_ldb_status(LDB_IO, fetch(f, &wanted), &f->err);
    assert_int_equal(2, memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
    assert_int_equal(1000, fetch_fixture_len(f, incoming(&wanted)));
    /* What came is kept for the next time. */
    memory_peer_forget_rules(f->peer);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(wanted.size, counts_now().bytes);
}

static void cuts_without_end_are_given_up(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    for (uint64_t i = 1; i <= 20; i++)
        rule(f, MEMORY_PEER_CUT, i * 10, 1);
    assert_ldb_status(LDB_IO, fetch(f, &wanted), &f->err);
    assert_int_equal(16, memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
}

static void a_flipped_bit_is_found_and_the_file_comes_again(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    rule(f, MEMORY_PEER_FLIP, wanted.size - 1, 1);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(1, counts_now().mismatches);
    assert_int_equal(2 * wanted.size, counts_now().bytes);
}

static void a_file_that_stays_wrong_is_refused_and_removed(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    rule(f, MEMORY_PEER_FLIP, 17, 0);
    assert_ldb_status(LDB_CORRUPTION, fetch(f, &wanted), &f->err);
    assert_ldb_message("digest ", &f->err);
    assert_ldb_message(", expected ", &f->err);
    assert_int_equal(2, counts_now().mismatches);
    assert_false(is_there(f, &wanted));
}

static void a_file_of_another_size_is_refused(void **state)
{
    struct fetch_fixture *f = *state;

    for (int more = -1; more <= 1; more += 2) {
        struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

        wanted.size = (uint64_t)((int64_t)wanted.size + more);
        put_some(f, &wanted, 10, SIZE_MAX);
        assert_ldb_status(LDB_CORRUPTION, fetch(f, &wanted), &f->err);
        assert_int_equal(UINT64_MAX, fetch_fixture_len(f, incoming(&wanted)));
    }
}

static void more_bytes_than_there_are_are_refused(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    rule(f, MEMORY_PEER_BABBLE, 0, 0);
    assert_ldb_status(LDB_CORRUPTION, fetch(f, &wanted), &f->err);
    assert_ldb_message("more than its", &f->err);
}

static void a_file_that_went_is_not_found(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    (void)snprintf(wanted.name, sizeof(wanted.name), "999999.ldb");
    fetch_fixture_put(f, incoming(&wanted), ldb_slice_str("begun once"));
    assert_ldb_status(LDB_NOT_FOUND, fetch(f, &wanted), &f->err);
    /* Nobody will go on with it. */
    assert_int_equal(UINT64_MAX, fetch_fixture_len(f, incoming(&wanted)));
}

static void names_that_are_no_file_of_a_folder_are_refused(void **state)
{
    static const char *const names[] = {
        "",           "CURRENT",       "LOCK",          "LOG",
        "../x.ldb",   "/etc/passwd",   "leveld/epochs", "000009.ldb/x",
        "000009.tmp", "MANIFEST-",     "9.ldb",         "x/000009.ldb",
        "CURRENT.7",  "000009.ldb.ldb"};
    struct fetch_fixture *f = *state;

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

        (void)snprintf(wanted.name, sizeof(wanted.name), "%s", names[i]);
        assert_ldb_status(LDB_INVALID_ARGUMENT, fetch(f, &wanted), &f->err);
    }
    assert_int_equal(0, memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
}

/* ---- digests that are not known yet ---- */

static void a_digest_is_asked_for(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    wanted.has_digest = false;
    memset(&wanted.digest, 0, sizeof(wanted.digest));
    memory_peer_set_knows_digests(f->peer, false);
    assert_ldb_status(LDB_STALLED, fetch(f, &wanted), &f->err);
    /* The bytes are kept, and verified once it is known. */
    memory_peer_set_knows_digests(f->peer, true);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(wanted.size, counts_now().bytes);
    assert_int_equal(1, memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
    /* Or with the head of the file itself. */
    wanted = fetch_fixture_table(f, 1);
    wanted.has_digest = false;
    rule(f, MEMORY_PEER_FLIP, 17, 1);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(1, counts_now().mismatches);
}

static void what_may_grow_is_not_fetched_whole(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_manifest(f);

    wanted.is_prefix = false;
    assert_ldb_status(LDB_CORRUPTION, fetch(f, &wanted), &f->err);
    assert_ldb_message("may grow", &f->err);
}

/* ---- prefixes ---- */

static void a_prefix_ends_where_it_is_to_end(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_manifest(f);

    leader_run_write(f->leader);
    leader_run_flush(f->leader);
    memory_peer_set_pieces(f->peer, 50, 3);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    wanted.size -= 7;
    memory_peer_set_pieces(f->peer, 0, 0);
    rule(f, MEMORY_PEER_CUT, 100, 1);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(1, counts_now().cuts);
    wanted.size = 1 << 20;
    assert_ldb_status(LDB_CORRUPTION, fetch(f, &wanted), &f->err);
}

static void nothing_of_an_earlier_try_is_in_a_prefix(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_manifest(f);

    put_some(f, &wanted, 100, 50);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
    assert_int_equal(wanted.size, counts_now().bytes);
    assert_int_equal(0, counts_now().bytes_kept);
}

static void bytes_come_from_the_epoch_that_was_said(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_manifest(f);
    struct repl_state leader = {0};

    assert_ldb_ok(repl_client_state(&f->client, &f->err, &leader), &f->err);
    wanted.epoch = repl_epoch_history_last(&leader.history)->number;
    wanted.epoch_id = repl_epoch_history_last(&leader.history)->id;
    repl_state_release(&leader);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    wanted.epoch_id++;
    assert_ldb_status(LDB_PRECONDITION, fetch(f, &wanted), &f->err);
    wanted.epoch_id--;
    wanted.epoch++;
    assert_ldb_status(LDB_PRECONDITION, fetch(f, &wanted), &f->err);
}

/* ---- our side ---- */

static void a_failure_of_our_disk_is_not_tried_again(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);
    struct env_fault_rule fault = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_APPEND),
        .nth = 3,
        .sys_errno = EIO,
        .torn = true,
    };

    memory_peer_set_pieces(f->peer, 500, 3);
    env_fault_fail(f->fault, &fault);
    assert_ldb_status(LDB_IO, fetch(f, &wanted), &f->err);
    assert_int_equal(1, memory_peer_count(f->peer, MEMORY_PEER_GET, NULL));
    env_fault_fail(f->fault, NULL);
    /* Half an append is there: it is bytes of the file all the same, or not. */
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
}

static void a_full_disk_is_told(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);

    env_fault_disk_full(f->fault, 1500);
    assert_ldb_status(LDB_NO_SPACE, fetch(f, &wanted), &f->err);
    env_fault_disk_free(f->fault);
    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_true(is_there(f, &wanted));
}

static void every_call_may_fail(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);
    uint64_t n;

    for (n = 1;; n++) {
        struct env_fault_rule fault = {.nth = n, .sys_errno = EIO};
        enum ldb_status s;

        put_some(f, &wanted, 1000, SIZE_MAX);
        env_fault_fail(f->fault, &fault);
        s = fetch(f, &wanted);
        if (env_fault_failed(f->fault) == 0)
            break;
        env_fault_fail(f->fault, NULL);
        assert_ldb_status(LDB_IO, s, &f->err);
        assert_ldb_ok(fetch(f, &wanted), &f->err);
        assert_true(is_there(f, &wanted));
    }
    env_fault_fail(f->fault, NULL);
    assert_true(is_there(f, &wanted));
    assert_true(n > 6);
}

static void no_memory_is_told(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);
    uint64_t n;

    for (n = 1;; n++) {
        enum ldb_status s;

        put_some(f, &wanted, 1000, SIZE_MAX);
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = fetch(f, &wanted);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f->err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f->err);
    }
    assert_true(is_there(f, &wanted));
    assert_true(n > 3);
}

static void what_is_cancelled_ends(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);
    atomic_bool is_cancelled;
    struct repl_file_fetch how = {
        .env = f->env,
        .dir = FETCH_FIXTURE_DIR,
        .transport = f->transport,
        .is_cancelled = &is_cancelled,
        .counts = &counted,
    };

    atomic_init(&is_cancelled, true);
    /* While it reads what is there, too. */
    put_some(f, &wanted, (size_t)wanted.size, SIZE_MAX);
    assert_ldb_status(LDB_CANCELLED, repl_file_fetch(&how, &wanted, &f->err),
                      &f->err);
    atomic_store(&is_cancelled, false);
    assert_ldb_ok(repl_file_fetch(&how, &wanted, &f->err), &f->err);
    wanted = fetch_fixture_table(f, 1);
    f->transport->ops->interrupt(f->transport);
    assert_ldb_status(LDB_CANCELLED, repl_file_fetch(&how, &wanted, &f->err),
                      &f->err);
}

static void a_power_cut_takes_nothing_of_a_file_that_is_there(void **state)
{
    struct fetch_fixture *f = *state;
    struct repl_fetch_file wanted = fetch_fixture_table(f, 0);
    struct env_fault *copy;

    assert_ldb_ok(fetch(f, &wanted), &f->err);
    assert_ldb_ok(
        f->env->ops->sync_dir(f->env, FETCH_FIXTURE_DIR "/" INCOMING, &f->err),
        &f->err);
    copy = env_fault_after_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    assert_true(
        fetch_fixture_has(f, env_fault_env(copy), incoming(&wanted), &wanted));
    env_fault_destroy(copy);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, setup, fetch_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_file_comes_whole),
        TEST(a_file_that_is_there_does_not_come_again),
        TEST(an_earlier_try_is_gone_on_with),
        TEST(an_earlier_try_that_was_damaged_is_found_out),
        TEST(an_earlier_try_that_is_too_long_is_of_another_file),
        TEST(a_cut_is_gone_on_after),
        TEST(a_try_that_brings_nothing_is_the_last),
        TEST(cuts_without_end_are_given_up),
        TEST(a_flipped_bit_is_found_and_the_file_comes_again),
        TEST(a_file_that_stays_wrong_is_refused_and_removed),
        TEST(a_file_of_another_size_is_refused),
        TEST(more_bytes_than_there_are_are_refused),
        TEST(a_file_that_went_is_not_found),
        TEST(names_that_are_no_file_of_a_folder_are_refused),
        TEST(a_digest_is_asked_for),
        TEST(what_may_grow_is_not_fetched_whole),
        TEST(a_prefix_ends_where_it_is_to_end),
        TEST(nothing_of_an_earlier_try_is_in_a_prefix),
        TEST(bytes_come_from_the_epoch_that_was_said),
        TEST(a_failure_of_our_disk_is_not_tried_again),
        TEST(a_full_disk_is_told),
        TEST(every_call_may_fail),
        TEST(no_memory_is_told),
        TEST(what_is_cancelled_ends),
        TEST(a_power_cut_takes_nothing_of_a_file_that_is_there),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
