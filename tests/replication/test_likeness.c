/* Our files against those of a transport that has what a test puts there. */
#include <string.h>

#include "replication/likeness.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/sidecar_env.h"

#define DIR SIDECAR_ENV_DIR

/* One file of another node. */
struct fake {
    struct repl_transport base;
    const char *name;
    struct ldb_slice bytes;
    uint64_t epoch; /* it says; 0: nothing */
    enum ldb_status fails;
    uint64_t asked_from;
    uint64_t gets;
    uint64_t flip_at; /* see give() */
    uint64_t flips;
    bool flips_move;
};

static struct ldb_env *env;
static struct fake fake;
static struct repl_likeness_source source;
static const struct repl_epoch epoch_3 = {.number = 3, .id = 30};
static struct ldb_error err;
static uint8_t large[REPL_LIKENESS_BYTES + 5000];

/* The byte at fake.flip_at is another one in the first fake.flips gets; at
 * another place in each, when they move. */
static enum ldb_status give(const struct repl_get *get, uint64_t at, size_t n,
                            struct ldb_error *error)
{
    uint64_t flip_at = fake.flip_at + (fake.flips_move ? fake.gets : 0);
    uint8_t piece[1000];

    memcpy(piece, fake.bytes.data + at, n);
    if (fake.gets <= fake.flips && flip_at >= at && flip_at < at + n)
        piece[flip_at - at] ^= 1;
    return get->bytes(get->context, ldb_slice_make(piece, n), error);
}

static enum ldb_status fake_get(struct repl_transport *t,
                                const struct repl_get *get,
                                struct ldb_error *error)
{
    struct repl_file_head head = {
        .size = fake.bytes.len, .epoch = fake.epoch, .epoch_id = 30};
    uint64_t at = get->from;
    enum ldb_status s;

    (void)t;
    fake.gets++;
    fake.asked_from = get->from;
    if (fake.fails != LDB_OK)
        return ldb_error_set(error, fake.fails, "it fails");
    if (fake.name == NULL || strcmp(fake.name, get->name) != 0)
        return ldb_error_set(error, LDB_NOT_FOUND, "not there");
    if (at > fake.bytes.len)
        return ldb_error_set(error, LDB_INVALID_ARGUMENT, "behind the end");
    s = get->head(get->context, &head, error);
    while (s == LDB_OK && at < fake.bytes.len) {
        size_t n = fake.bytes.len - at < 1000 ? fake.bytes.len - at : 1000;

        s = give(get, at, n, error);
        at += n;
    }
    return s;
}

static const struct repl_transport_ops fake_ops = {.get = fake_get};

static void put(const char *path, struct ldb_slice bytes)
{
    assert_ldb_ok(ldb_env_replace_file(env, DIR, path, DIR "/t", bytes, &err),
                  &err);
}

static int setup(void **state)
{
    uint64_t seed = 1;

    (void)state;
    err = (struct ldb_error){0};
    env = sidecar_env_create();
    bytes_fill(&seed, large, sizeof(large));
    fake = (struct fake){.base.ops = &fake_ops,
                         .name = "000007.log",
                         .bytes = ldb_slice_make(large, sizeof(large)),
                         .epoch = 3};
    source = (struct repl_likeness_source){
        .env = env, .dir = DIR, .transport = &fake.base, .epoch = &epoch_3};
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_env_memory_destroy(env);
    return 0;
}

static enum repl_likeness likeness_of(uint64_t len)
{
    enum repl_likeness likeness = REPL_LIKENESS_UNKNOWN;

    assert_ldb_ok(repl_likeness_of(&source, "000007.log", len, &err, &likeness),
                  &err);
    return likeness;
}

static void a_prefix_is_alike(void **state)
{
    (void)state;
    put(DIR "/000007.log", ldb_slice_make(large, 5000));
    assert_int_equal(REPL_ALIKE, likeness_of(5000));
    assert_int_equal(REPL_ALIKE, likeness_of(1));
    put(DIR "/000007.log", ldb_slice_make(large, sizeof(large)));
    assert_int_equal(REPL_ALIKE, likeness_of(sizeof(large)));
}

static void a_byte_changed_on_its_way_is_looked_at_again(void **state)
{
    enum repl_likeness likeness = REPL_LIKENESS_UNKNOWN;

    (void)state;
    put(DIR "/000007.log", ldb_slice_make(large, 5000));
    fake.flip_at = 3210;
    fake.flips = 1;
    assert_int_equal(REPL_ALIKE, likeness_of(5000));
    assert_int_equal(fake.gets, 2);

    /* Each time another one: nobody knows. */
    fake.gets = 0;
    fake.flips = 2;
    fake.flips_move = true;
    assert_ldb_status(
        LDB_IO, repl_likeness_of(&source, "000007.log", 5000, &err, &likeness),
        &err);
    assert_ldb_message("came in two ways", &err);
    assert_int_equal(REPL_LIKENESS_UNKNOWN, likeness);

    /* The same one twice: it is theirs. */
    fake.gets = 0;
    fake.flips_move = false;
    assert_int_equal(REPL_UNLIKE, likeness_of(5000));
    assert_int_equal(fake.gets, 2);
}

static void only_the_last_bytes_are_asked_for(void **state)
{
    (void)state;
    put(DIR "/000007.log", ldb_slice_make(large, sizeof(large)));
    assert_int_equal(REPL_ALIKE, likeness_of(sizeof(large)));
    assert_int_equal(sizeof(large) - REPL_LIKENESS_BYTES, fake.asked_from);
}

static void one_other_byte_is_unlike(void **state)
{
    static uint8_t other[5000];

    (void)state;
    memcpy(other, large, sizeof(other));
    other[0] ^= 1;
    put(DIR "/000007.log", ldb_slice_make(other, sizeof(other)));
    assert_int_equal(REPL_UNLIKE, likeness_of(5000));
    memcpy(other, large, sizeof(other));
    other[4999] ^= 1;
    put(DIR "/000007.log", ldb_slice_make(other, sizeof(other)));
    assert_int_equal(REPL_UNLIKE, likeness_of(5000));
    assert_int_equal(REPL_ALIKE, likeness_of(4999));
}

static void more_than_it_has_is_unlike(void **state)
{
    (void)state;
    put(DIR "/000007.log", ldb_slice_make(large, 5000));
    fake.bytes.len = 4999;
    assert_int_equal(REPL_UNLIKE, likeness_of(5000));
    fake.bytes.len = 0;
    assert_int_equal(REPL_UNLIKE, likeness_of(5000));
}

static void nothing_proves_nothing(void **state)
{
    (void)state;
    put(DIR "/000007.log", (struct ldb_slice){0});
    assert_int_equal(REPL_LIKENESS_UNKNOWN, likeness_of(0));
    assert_int_equal(0, fake.gets);
}

static void a_file_that_is_gone_there_proves_nothing(void **state)
{
    (void)state;
    put(DIR "/000007.log", ldb_slice_make(large, 5000));
    fake.name = NULL;
    assert_int_equal(REPL_LIKENESS_UNKNOWN, likeness_of(5000));
}

static void ours_may_lie_in_the_archive(void **state)
{
    enum repl_likeness likeness;

    (void)state;
    assert_ldb_status(
        LDB_NOT_FOUND,
        repl_likeness_of(&source, "000007.log", 5000, &err, &likeness), &err);
    assert_ldb_ok(env->ops->create_dir(env, DIR "/leveld/archive", &err), &err);
    put(DIR "/leveld/archive/000007.log", ldb_slice_make(large, 5000));
    assert_int_equal(REPL_ALIKE, likeness_of(5000));
}

static void another_epoch_is_no_answer(void **state)
{
    enum repl_likeness likeness;

    (void)state;
    put(DIR "/000007.log", ldb_slice_make(large, 5000));
    fake.epoch = 4;
    assert_ldb_status(
        LDB_PRECONDITION,
        repl_likeness_of(&source, "000007.log", 5000, &err, &likeness), &err);
    fake.epoch = 0; /* it does not say */
    assert_int_equal(REPL_ALIKE, likeness_of(5000));
}

static void a_failure_is_one(void **state)
{
    static const enum ldb_status statuses[] = {LDB_IO, LDB_CANCELLED,
                                               LDB_NO_MEMORY};
    enum repl_likeness likeness;

    (void)state;
    put(DIR "/000007.log", ldb_slice_make(large, 5000));
    for (size_t i = 0; i < 3; i++) {
        fake.fails = statuses[i];
        assert_ldb_status(
            statuses[i],
            repl_likeness_of(&source, "000007.log", 5000, &err, &likeness),
            &err);
        assert_ldb_message("it fails", &err);
    }
}

static void a_comparison_asks_for_what_tells(void **state)
{
    struct repl_held_journal journals[] = {
        {.number = 5, .len = 100}, {.number = 7, .len = 5000}, {.number = 9}};
    struct repl_holdings ours = {.has_database = true,
                                 .manifest_number = 4,
                                 .manifest_len = 10,
                                 .journals = journals,
                                 .journal_count = 3};
    struct repl_state theirs = {.manifest_number = 4};
    struct repl_proof proof = {0};

    (void)state;
    put(DIR "/000007.log", ldb_slice_make(large, 5000));
    put(DIR "/MANIFEST-000004", ldb_slice_make(large, 10));
    assert_ldb_ok(repl_likeness_prove(&source, &ours, &theirs, &err, &proof),
                  &err);
    assert_int_equal(REPL_ALIKE, proof.journal);
    assert_int_equal(REPL_LIKENESS_UNKNOWN, proof.manifest);
    assert_int_equal(2, fake.gets);
    /* Another MANIFEST there, or none that can be read here. */
    theirs.manifest_number = 6;
    assert_ldb_ok(repl_likeness_prove(&source, &ours, &theirs, &err, &proof),
                  &err);
    assert_int_equal(3, fake.gets);
    fake.name = "MANIFEST-000004";
    theirs.manifest_number = 4;
    assert_ldb_ok(repl_likeness_prove(&source, &ours, &theirs, &err, &proof),
                  &err);
    assert_int_equal(REPL_ALIKE, proof.manifest);
    assert_int_equal(REPL_LIKENESS_UNKNOWN, proof.journal);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_prefix_is_alike),
        TEST(a_byte_changed_on_its_way_is_looked_at_again),
        TEST(only_the_last_bytes_are_asked_for),
        TEST(one_other_byte_is_unlike),
        TEST(more_than_it_has_is_unlike),
        TEST(nothing_proves_nothing),
        TEST(a_file_that_is_gone_there_proves_nothing),
        TEST(ours_may_lie_in_the_archive),
        TEST(another_epoch_is_no_answer),
        TEST(a_failure_is_one),
        TEST(a_comparison_asks_for_what_tells),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
