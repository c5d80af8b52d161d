/*
 * Groups, conditions, delete ranges, limits of the write queue. Writes that
 * are submitted and then driven by one thread make one group: what its members
 * see of each other is fixed.
 */
#include <stdatomic.h>

#include "storage/base/env.h"
#include "storage/include/ldb.h"
#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"

#define WRITES_MAX 16

struct queued {
    struct ldb_write write;
    struct ldb_batch *batch;
    struct ldb_condition condition;
    ldb_sequence sequence;
    /* Release after the result is set, maybe by the committer thread; acquire
     * before it is looked at. */
    _Atomic(unsigned) done_count;
};

struct fixture {
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_db *db;
    struct ldb_error err;
    struct queued queue[WRITES_MAX];
    size_t queued;
};

static int setup(void **state)
{
    static struct fixture f;

    f = (struct fixture){0};
    ldb_options_init(&f.options);
    f.options.write_queue_bytes_max = 4096;
    f.options.batch_bytes_max = 3000;
    assert_ldb_ok(ldb_env_memory_create(&f.err, &f.env), &f.err);
    f.options.env = f.env;
    assert_ldb_ok(ldb_open("/db", &f.options, NULL, &f.err, &f.db), &f.err);
    *state = &f;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *f = *state;

    for (size_t i = 0; i < f->queued; i++)
        ldb_batch_destroy(f->queue[i].batch);
    assert_ldb_ok(ldb_close(f->db, &f->err), &f->err);
    ldb_env_memory_destroy(f->env);
    return 0;
}

static void on_done(struct ldb_write *write)
{
    struct queued *q = write->context;

    atomic_fetch_add_explicit(&q->done_count, 1, memory_order_release);
}

/* A put of key; value NULL: a delete; key NULL: an empty batch. */
static struct queued *prepare(struct fixture *f, const char *key,
                              const char *value)
{
    struct queued *q = &f->queue[f->queued++];

    assert_true(f->queued <= WRITES_MAX);
    assert_ldb_ok(ldb_batch_create(1 << 20, &f->err, &q->batch), &f->err);
    if (value != NULL)
        assert_int_equal(
            ldb_batch_put(q->batch, ldb_slice_str(key), ldb_slice_str(value)),
            LDB_OK);
    else if (key != NULL)
        assert_int_equal(ldb_batch_delete(q->batch, ldb_slice_str(key)),
                         LDB_OK);
    q->write =
        (struct ldb_write){.batch = q->batch, .done = on_done, .context = q};
    return q;
}

static void add_condition(struct queued *q, enum ldb_condition_kind kind,
                          const char *key, ldb_sequence sequence)
{
    q->sequence = sequence;
    q->condition = (struct ldb_condition){.kind = kind,
                                          .key = ldb_slice_str(key),
                                          .sequences = &q->sequence,
                                          .sequence_count = 1};
    q->write.conditions = &q->condition;
    q->write.condition_count = 1;
}

static void submit(struct fixture *f, struct queued *q)
{
    assert_ldb_ok(ldb_write_submit(f->db, &q->write, &f->err), &f->err);
}

static unsigned done_count(const struct queued *q)
{
    return atomic_load_explicit(&q->done_count, memory_order_acquire);
}

static void assert_done(const struct queued *q, enum ldb_status status)
{
    assert_int_equal(done_count(q), 1);
    assert_ldb_status(status, q->write.status, &q->write.error);
}

static void assert_found(struct fixture *f, const char *key, const char *value)
{
    struct ldb_buf found = LDB_BUF_INIT(1 << 20);
    enum ldb_status s =
        ldb_get(f->db, ldb_slice_str(key), NULL, &f->err, &found, NULL, NULL);

    if (value == NULL) {
        assert_int_equal(s, LDB_NOT_FOUND);
    } else {
        assert_ldb_ok(s, &f->err);
        assert_ldb_slice(ldb_slice_str(value), ldb_slice_of_buf(&found));
    }
    ldb_buf_release(&found);
}

static void one_drive_commits_all_that_was_submitted_as_one_group(void **state)
{
    struct fixture *f = *state;
    struct ldb_stats stats;

    for (int i = 0; i < 5; i++)
        submit(f, prepare(f, i % 2 == 0 ? "a" : "b", "v"));
    assert_int_equal(done_count(&f->queue[4]), 0);
    ldb_write_drive(f->db);
    for (unsigned i = 0; i < 5; i++) {
        assert_done(&f->queue[i], LDB_OK);
        assert_int_equal(f->queue[i].write.sequence, i + 1);
    }
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.groups, 1);
    assert_int_equal(stats.writes, 5);
    assert_int_equal(stats.syncs, 0);
}

static void a_condition_sees_earlier_writes_of_its_group(void **state)
{
    struct fixture *f = *state;
    struct queued *first = prepare(f, "k", "1");
    struct queued *absent = prepare(f, "k", "2");
    struct queued *is_first = prepare(f, "k", "3");
    struct queued *is_first_too = prepare(f, "k", "4");
    struct queued *gone = prepare(f, "k", NULL);
    struct queued *again = prepare(f, "k", "5");

    add_condition(absent, LDB_CONDITION_ABSENT, "k", 0);
    add_condition(is_first, LDB_CONDITION_SEQUENCE_IN, "k", 1);
    add_condition(is_first_too, LDB_CONDITION_SEQUENCE_IN, "k", 1);
    add_condition(again, LDB_CONDITION_ABSENT, "k", 0);
    for (size_t i = 0; i < f->queued; i++)
        submit(f, &f->queue[i]);
    ldb_write_drive(f->db);
    assert_done(first, LDB_OK);
    assert_done(absent, LDB_PRECONDITION);
    assert_true(absent->write.current_exists);
    assert_int_equal(absent->write.current, 1);
    assert_done(is_first, LDB_OK);
    /* A write that is left out takes no number. */
    assert_int_equal(is_first->write.sequence, 2);
    assert_done(is_first_too, LDB_PRECONDITION);
    assert_int_equal(is_first_too->write.current, 2);
    assert_done(gone, LDB_OK);
    assert_done(again, LDB_OK);
    assert_found(f, "k", "5");
    assert_int_equal(ldb_last_sequence(f->db), 4);
}

struct condition_row {
    const char *name;
    enum ldb_condition_kind kind;
    const char *key;
    ldb_sequence sequence;
    bool holds;
};

static void conditions_hold_as_their_kind_says(void **state)
{
    static const struct condition_row rows[] = {
        {"absent, absent", LDB_CONDITION_ABSENT, "no", 0, true},
        {"absent, there", LDB_CONDITION_ABSENT, "there", 0, false},
        {"absent, deleted", LDB_CONDITION_ABSENT, "gone", 0, true},
        {"present, absent", LDB_CONDITION_PRESENT, "no", 0, false},
        {"present, there", LDB_CONDITION_PRESENT, "there", 0, true},
        {"present, deleted", LDB_CONDITION_PRESENT, "gone", 0, false},
        {"in, absent", LDB_CONDITION_SEQUENCE_IN, "no", 1, false},
        {"in, equal", LDB_CONDITION_SEQUENCE_IN, "there", 1, true},
        {"in, other", LDB_CONDITION_SEQUENCE_IN, "there", 2, false},
        {"in, the delete's", LDB_CONDITION_SEQUENCE_IN, "gone", 3, false},
        {"not in, absent", LDB_CONDITION_SEQUENCE_NOT_IN, "no", 1, true},
        {"not in, equal", LDB_CONDITION_SEQUENCE_NOT_IN, "there", 1, false},
        {"not in, other", LDB_CONDITION_SEQUENCE_NOT_IN, "there", 9, true},
    };
    struct fixture *f = *state;

    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("there"), ldb_slice_str("v"),
                          false, &f->err, NULL),
                  &f->err);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("gone"), ldb_slice_str("v"),
                          false, &f->err, NULL),
                  &f->err);
    assert_ldb_ok(
        ldb_delete(f->db, ldb_slice_str("gone"), false, &f->err, NULL),
        &f->err);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct queued *q = prepare(f, "target", rows[i].name);

        add_condition(q, rows[i].kind, rows[i].key, rows[i].sequence);
        submit(f, q);
        ldb_write_drive(f->db);
        print_message("%s\n", rows[i].name);
        assert_done(q, rows[i].holds ? LDB_OK : LDB_PRECONDITION);
    }
}

static void a_delete_range_covers_the_database_and_its_own_batch(void **state)
{
    struct fixture *f = *state;
    const struct ldb_delete_range range = {.before_op = 1,
                                           .start = ldb_slice_str("b"),
                                           .end = ldb_slice_str("d"),
                                           .has_end = true};
    struct queued *q;

    for (int i = 0; i < 5; i++) {
        char key[2] = {(char)('a' + i), '\0'};

        submit(f, prepare(f, key, "old"));
        ldb_write_drive(f->db);
    }
    q = prepare(f, "bb", "deleted by the range");
    assert_int_equal(ldb_batch_put(q->batch, ldb_slice_str("cc"),
                                   ldb_slice_str("after the range")),
                     LDB_OK);
    q->write.ranges = &range;
    q->write.range_count = 1;
    submit(f, q);
    ldb_write_drive(f->db);
    while (done_count(q) == 0) /* the committer's, as it may have to wait */
        ldb_write_drive(f->db);
    assert_done(q, LDB_OK);
    assert_int_equal(q->write.count, 5);
    assert_found(f, "a", "old");
    assert_found(f, "b", NULL);
    assert_found(f, "bb", NULL);
    assert_found(f, "c", NULL);
    assert_found(f, "cc", "after the range");
    assert_found(f, "d", "old");
}

static void an_empty_batch_takes_no_number(void **state)
{
    struct fixture *f = *state;
    struct queued *put = prepare(f, "k", "v");
    struct queued *empty = prepare(f, NULL, NULL);

    submit(f, put);
    submit(f, empty);
    ldb_write_drive(f->db);
    assert_done(empty, LDB_OK);
    assert_int_equal(empty->write.count, 0);
    assert_int_equal(empty->write.sequence, 1);
    assert_int_equal(ldb_last_sequence(f->db), 1);
}

static void an_empty_batch_with_sync_makes_earlier_writes_durable(void **state)
{
    struct fixture *f = *state;
    struct ldb_batch *batch = NULL;
    struct ldb_write write = {.sync = true};
    struct ldb_stats stats;

    submit(f, prepare(f, "k", "v"));
    ldb_write_drive(f->db);
    assert_ldb_ok(ldb_batch_create(1000, &f->err, &batch), &f->err);
    write.batch = batch;
    assert_ldb_ok(ldb_write_wait(f->db, &write), &write.error);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.syncs, 1);
    assert_int_equal(stats.journal_synced_bytes, stats.journal_bytes);
    ldb_batch_destroy(batch);
}

static void a_full_queue_refuses_and_a_batch_over_the_limit_too(void **state)
{
    struct fixture *f = *state;
    char value[2500];
    struct queued *second;

    memset(value, 'x', sizeof(value) - 1);
    value[sizeof(value) - 1] = '\0';
    submit(f, prepare(f, "k", value));
    second = prepare(f, "l", value);
    assert_ldb_status(
        LDB_STALLED, ldb_write_submit(f->db, &second->write, &f->err), &f->err);
    ldb_write_drive(f->db);
    submit(f, second);
    assert_int_equal(ldb_batch_put(second->batch, ldb_slice_str("m"),
                                   ldb_slice_make(value, 1)),
                     LDB_OK);
    ldb_write_drive(f->db);
    assert_done(second, LDB_OK);
    for (int i = 0; i < 2; i++)
        assert_int_equal(ldb_batch_put(second->batch, ldb_slice_str("n"),
                                       ldb_slice_make(value, 400)),
                         LDB_OK);
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_write_submit(f->db, &second->write, &f->err),
                      &f->err);
}

static void a_waited_for_write_goes_behind_what_was_submitted(void **state)
{
    struct fixture *f = *state;
    struct queued *first = prepare(f, "k", "first");
    ldb_sequence sequence = 0;

    submit(f, first);
    assert_ldb_ok(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str("second"),
                          false, &f->err, &sequence),
                  &f->err);
    assert_done(first, LDB_OK);
    assert_int_equal(first->write.sequence, 1);
    assert_int_equal(sequence, 2);
    assert_found(f, "k", "second");
}

static void a_single_put_is_taken_up_to_the_limit_of_a_batch(void **state)
{
    struct fixture *f = *state;
    const size_t value_max = f->options.batch_bytes_max -
                             LDB_BATCH_HEADER_SIZE - 1 - 2 - 2; /* key "k" */
    char value[3001];

    for (size_t len = value_max - 16; len <= value_max; len++) {
        memset(value, 'a' + (int)(len % 26), len);
        value[len] = '\0';
        assert_ldb_ok(ldb_put(f->db, ldb_slice_str("k"), ldb_slice_str(value),
                              false, &f->err, NULL),
                      &f->err);
        assert_found(f, "k", value);
    }
    assert_ldb_status(LDB_TOO_LARGE,
                      ldb_put(f->db, ldb_slice_str("k"),
                              ldb_slice_make(value, value_max + 1), false,
                              &f->err, NULL),
                      &f->err);
}

#define PUTTERS         4
#define PUTS_PER_PUTTER 400

struct putter {
    struct fixture *f;
    struct ldb_thread *thread;
    char name;
    unsigned failures;
};

static void put_many(void *context)
{
    struct putter *putter = context;

    for (unsigned i = 0; i < PUTS_PER_PUTTER; i++) {
        char key[] = {putter->name, (char)('0' + i / 64), (char)('0' + i % 64)};
        struct ldb_slice bytes = ldb_slice_make(key, sizeof(key));

        if (ldb_put(putter->f->db, bytes, bytes, i % 50 == 49, NULL, NULL) !=
            LDB_OK)
            putter->failures++;
    }
}

/* Lone writers, queued ones, and those that need the lead for other things. */
static void writers_on_many_threads_lose_nothing(void **state)
{
    struct fixture *f = *state;
    struct putter putters[PUTTERS];
    struct ldb_stats stats;

    for (unsigned i = 0; i < PUTTERS; i++) {
        putters[i] = (struct putter){.f = f, .name = (char)('a' + i)};
        assert_ldb_ok(f->env->ops->thread_start(f->env, "putter", put_many,
                                                &putters[i], &f->err,
                                                &putters[i].thread),
                      &f->err);
    }
    for (unsigned i = 0; i < WRITES_MAX; i++) {
        submit(f, prepare(f, "submitted", "v"));
        ldb_write_drive(f->db);
        assert_ldb_ok(ldb_raise_sequence(f->db, 1, &f->err), &f->err);
    }
    for (unsigned i = 0; i < PUTTERS; i++) {
        f->env->ops->thread_join(f->env, putters[i].thread);
        assert_int_equal(putters[i].failures, 0);
    }
    while (done_count(&f->queue[WRITES_MAX - 1]) == 0)
        ldb_write_drive(f->db);
    ldb_stats(f->db, &stats);
    assert_int_equal(stats.writes, PUTTERS * PUTS_PER_PUTTER + WRITES_MAX);
    assert_int_equal(stats.operations, stats.writes);
    assert_true(ldb_last_sequence(f->db) >= stats.writes);
    for (unsigned i = 0; i < PUTTERS * PUTS_PER_PUTTER; i++) {
        unsigned n = i / PUTTERS;
        char key[] = {putters[i % PUTTERS].name, (char)('0' + n / 64),
                      (char)('0' + n % 64), '\0'};

        assert_found(f, key, key);
    }
}

int main(void)
{
#define CASE(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        CASE(one_drive_commits_all_that_was_submitted_as_one_group),
        CASE(a_condition_sees_earlier_writes_of_its_group),
        CASE(conditions_hold_as_their_kind_says),
        CASE(a_delete_range_covers_the_database_and_its_own_batch),
        CASE(an_empty_batch_takes_no_number),
        CASE(an_empty_batch_with_sync_makes_earlier_writes_durable),
        CASE(a_full_queue_refuses_and_a_batch_over_the_limit_too),
        CASE(a_waited_for_write_goes_behind_what_was_submitted),
        CASE(a_single_put_is_taken_up_to_the_limit_of_a_batch),
        CASE(writers_on_many_threads_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
