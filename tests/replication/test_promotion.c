/* Who may lead, and above which numbers. */
#include "replication/promotion.h"

#include <stdio.h>
#include <string.h>

#include "storage/base/mem.h"
#include "storage/include/ldb.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/clock_env.h"

#define OURS "http://b:1"

/* The leader that was, as a row tells it. */
struct leader_row {
    enum repl_role role;
    const char *follows;
    uint64_t epoch;
    ldb_sequence last;
};

static struct repl_epoch our_epoch = {.number = 3, .id = 1};
static const struct repl_epoch_history ours = {.items = &our_epoch, .count = 1};

static void fill_state(const struct leader_row *row, struct repl_epoch *epoch,
                       struct repl_state *out)
{
    *epoch = (struct repl_epoch){.number = row->epoch, .id = 1};
    *out = (struct repl_state){
        .role = row->role,
        .history = {.items = epoch, .count = 1},
        .last_sequence = row->last,
    };
    (void)snprintf(out->leader_url, sizeof out->leader_url, "%s", row->follows);
}

static void a_leader_that_answers_decides_with(void **state)
{
    static const struct {
        const char *name;
        struct leader_row leader;
        enum ldb_status plain;
        enum ldb_status forced;
    } rows[] = {
        {"it leads",
         {REPL_ROLE_LEADER, "", 3, 100},
         LDB_PRECONDITION,
         LDB_PRECONDITION},
        {"it has stepped down for us",
         {REPL_ROLE_FOLLOWER, OURS, 3, 100},
         LDB_OK,
         LDB_OK},
        {"it has stepped down",
         {REPL_ROLE_FOLLOWER, "", 3, 100},
         LDB_OK,
         LDB_OK},
        {"for another one",
         {REPL_ROLE_FOLLOWER, "http://c:1", 3, 100},
         LDB_PRECONDITION,
         LDB_OK},
        {"it has more",
         {REPL_ROLE_FOLLOWER, OURS, 3, 101},
         LDB_PRECONDITION,
         LDB_OK},
        {"it is in a later epoch",
         {REPL_ROLE_FOLLOWER, OURS, 4, 100},
         LDB_PRECONDITION,
         LDB_PRECONDITION},
        {"it is in an earlier epoch",
         {REPL_ROLE_FOLLOWER, OURS, 2, 100},
         LDB_OK,
         LDB_OK},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct repl_promotion p = {.history = &ours,
                                   .last = 100,
                                   .url = OURS,
                                   .leader_url = "http://a:1"};
        struct repl_epoch epoch;
        struct repl_state leader;
        struct ldb_error err = {0};

        fill_state(&rows[i].leader, &epoch, &leader);
        p.leader = &leader;
        if (repl_promotion_judge(&p, &err) != rows[i].plain)
            fail_msg("%s: %s", rows[i].name, err.message);
        p.is_forced = true;
        if (repl_promotion_judge(&p, &err) != rows[i].forced)
            fail_msg("%s, forced: %s", rows[i].name, err.message);
    }
}

static void one_that_does_not_answer_takes_force(void **state)
{
    struct repl_promotion p = {
        .history = &ours, .leader_url = "http://a:1", .url = ""};
    struct ldb_error err = {0};

    (void)state;
    assert_ldb_status(LDB_PRECONDITION, repl_promotion_judge(&p, &err), NULL);
    assert_ldb_message("http://a:1 does not answer", &err);
    p.leader_url = "";
    assert_ldb_status(LDB_PRECONDITION, repl_promotion_judge(&p, &err), NULL);
    p.is_forced = true;
    assert_ldb_ok(repl_promotion_judge(&p, &err), &err);
}

/* It has begun an epoch, written nothing in it, and stepped down. */
static void a_base_without_a_write_is_no_write(void **state)
{
    struct repl_epoch epochs[] = {
        {.number = 1, .base = 0},
        {.number = 2, .previous_last = 100, .base = 5000},
        {.number = 3, .previous_last = 5000, .base = 9000},
    };
    const struct repl_epoch_history history = {.items = epochs, .count = 3};
    struct repl_state leader = {
        .role = REPL_ROLE_FOLLOWER, .history = history, .last_sequence = 9000};
    struct repl_promotion p = {.history = &history,
                               .last = 100,
                               .url = OURS,
                               .leader_url = "http://a:1",
                               .leader = &leader};
    struct ldb_error err = {0};

    (void)state;
    assert_int_equal(repl_epoch_history_last_entry(&history, 9000), 100);
    assert_int_equal(repl_epoch_history_last_entry(&history, 9001), 9001);
    assert_int_equal(repl_epoch_history_last_entry(&history, 5001), 5001);
    assert_int_equal(repl_epoch_history_last_entry(&history, 0), 0);
    assert_ldb_ok(repl_promotion_judge(&p, &err), &err);
    leader.last_sequence = 9001;
    assert_ldb_status(LDB_PRECONDITION, repl_promotion_judge(&p, &err), NULL);
}

/* ---- others ---- */

static struct repl_state
state_of_other(enum repl_role role, struct repl_epoch *epoch, ldb_sequence last)
{
    return (struct repl_state){
        .role = role,
        .history = {.items = epoch, .count = 1},
        .last_sequence = last,
    };
}

static void the_highest_of_what_others_say_counts(void **state)
{
    struct repl_epoch first = {.number = 7, .base = 5000};
    struct repl_epoch second = {.number = 9, .base = 900};
    struct repl_journal_entry journals[] = {{.number = 20}, {.number = 31}};
    struct repl_state b = state_of_other(REPL_ROLE_FOLLOWER, &first, 100);
    struct repl_state c = state_of_other(REPL_ROLE_LEADER, &second, 950);
    const struct repl_state nobody = {.manifest_number = 2};
    struct repl_hearsay heard = {0};

    (void)state;
    repl_hearsay_add(&heard, "http://d:1", &nobody);
    assert_int_equal(heard.epoch, 0);
    assert_int_equal(heard.file_number, 2);
    b.manifest_number = 25;
    repl_hearsay_add(&heard, "http://b:1", &b);
    assert_int_equal(heard.epoch, 7);
    assert_int_equal(heard.sequence, 5000);
    assert_int_equal(heard.file_number, 25);
    assert_string_equal(heard.leads, "");
    c.journals = journals;
    c.journal_count = 2;
    repl_hearsay_add(&heard, "http://c:1/", &c);
    assert_int_equal(heard.epoch, 9);
    assert_int_equal(heard.sequence, 5000);
    assert_int_equal(heard.file_number, 31);
    assert_string_equal(heard.leads, "http://c:1");
    assert_int_equal(heard.leads_in, 9);
    c.durable.journal = 40;
    repl_hearsay_add(&heard, "http://c:1", &c);
    assert_int_equal(heard.file_number, 40);
    first.first_journal = 50;
    repl_hearsay_add(&heard, "http://b:1", &b);
    assert_int_equal(heard.file_number, 50);
}

/* Our epoch is 3. */
static void one_that_leads_already_is_to_be_followed(void **state)
{
    static const struct {
        uint64_t leads_in;
        enum ldb_status status;
    } rows[] = {{2, LDB_OK}, {3, LDB_PRECONDITION}, {4, LDB_PRECONDITION}};

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct repl_promotion p = {.history = &ours,
                                   .is_forced = true,
                                   .leader_url = "http://a:1",
                                   .url = OURS};
        struct ldb_error err = {0};

        (void)snprintf(p.heard.leads, sizeof p.heard.leads, "http://c:1");
        p.heard.leads_in = rows[i].leads_in;
        assert_ldb_status(rows[i].status, repl_promotion_judge(&p, &err), NULL);
        if (rows[i].status != LDB_OK)
            assert_ldb_message("http://c:1 leads in epoch", &err);
    }
}

/* ---- the epoch ---- */

static struct repl_epoch_floor floor_of(const struct repl_promotion *p,
                                        struct clock_env *clock)
{
    struct ldb_error err = {0};
    struct repl_epoch_floor floor = {0};

    assert_ldb_ok(repl_promotion_epoch_floor(p, &clock->env, &err, &floor),
                  &err);
    return floor;
}

static void the_epoch_lies_above_all_that_was_said(void **state)
{
    const struct leader_row row = {REPL_ROLE_FOLLOWER, OURS, 3, 300};
    struct repl_promotion p = {
        .history = &ours, .url = OURS, .last = 100, .last_heard = 200};
    struct repl_epoch epoch;
    struct repl_state leader;
    struct clock_env clock;

    (void)state;
    clock_env_init(&clock, 0);
    fill_state(&row, &epoch, &leader);
    p.leader = &leader;
    assert_true(floor_of(&p, &clock).base == 300 + REPL_EPOCH_SKIP);
    assert_int_equal(floor_of(&p, &clock).number, 4);
    p.last = 400;
    assert_true(floor_of(&p, &clock).base == 400 + REPL_EPOCH_SKIP);
    p.last_heard = 500;
    assert_true(floor_of(&p, &clock).base == 500 + REPL_EPOCH_SKIP);
    p.heard.sequence = 600;
    p.heard.epoch = 12;
    assert_true(floor_of(&p, &clock).base == 600 + REPL_EPOCH_SKIP);
    assert_int_equal(floor_of(&p, &clock).number, 13);
}

/* Nobody knows how often the old leader was started anew. */
static void without_the_leader_it_lies_far_above_at_random(void **state)
{
    struct repl_epoch late = {.number = 3000, .id = 1}; /* the clock is slow */
    const struct repl_epoch_history history = {.items = &late, .count = 1};
    struct repl_promotion p = {
        .history = &history, .last = 100, .is_forced = true};
    uint64_t first = 0;
    unsigned others = 0;
    struct clock_env clock;

    (void)state;
    clock_env_init(&clock, 0);
    for (unsigned i = 0; i < 50; i++) {
        struct repl_epoch_floor floor = floor_of(&p, &clock);
        uint64_t skips = (floor.base - 100) / REPL_EPOCH_SKIP;

        assert_int_equal((floor.base - 100) % REPL_EPOCH_SKIP, 0);
        assert_in_range(skips, REPL_PROMOTION_SKIPS_MIN,
                        REPL_PROMOTION_SKIPS_MAX);
        assert_int_equal(floor.number, 3000 + skips);
        first = i == 0 ? skips : first;
        others += skips != first;
    }
    assert_true(others > 25);
}

/* Of two that do not hear of each other the later one is the higher. */
static void without_the_leader_the_clock_numbers_it(void **state)
{
    const struct leader_row row = {REPL_ROLE_FOLLOWER, "", 3, 0};
    struct repl_promotion p = {
        .history = &ours, .url = OURS, .is_forced = true};
    struct repl_epoch epoch;
    struct repl_state leader;
    struct clock_env clock;

    (void)state;
    clock_env_init(&clock, UINT64_C(5000000)); /* 1005 s on the wall */
    assert_int_equal(floor_of(&p, &clock).number, 1005);
    clock.now_us += 1000000;
    assert_int_equal(floor_of(&p, &clock).number, 1006);
    fill_state(&row, &epoch, &leader);
    p.leader = &leader;
    assert_int_equal(floor_of(&p, &clock).number, 1006);
}

/* It answers, and may have stepped down for one that is gone: that one's epoch
 * is not to be begun twice. */
static void only_for_us_does_a_leader_stand_aside(void **state)
{
    static const struct {
        struct leader_row leader;
        const char *url;
        bool is_next;
    } rows[] = {
        {{REPL_ROLE_FOLLOWER, OURS, 3, 0}, OURS, true},
        {{REPL_ROLE_FOLLOWER, "http://c:1", 3, 0}, OURS, false},
        {{REPL_ROLE_FOLLOWER, "", 3, 0}, OURS, false},
        {{REPL_ROLE_FOLLOWER, "", 3, 0}, "", false},
        {{REPL_ROLE_LEADER, OURS, 3, 0}, OURS, false},
    };
    struct clock_env clock;

    (void)state;
    clock_env_init(&clock, UINT64_C(5000000));
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct repl_promotion p = {
            .history = &ours, .url = rows[i].url, .is_forced = true};
        struct repl_epoch epoch;
        struct repl_state leader;

        fill_state(&rows[i].leader, &epoch, &leader);
        assert_true(repl_promotion_is_handover(&leader, rows[i].url) ==
                    rows[i].is_next);
        p.leader = &leader;
        assert_int_equal(floor_of(&p, &clock).number,
                         rows[i].is_next ? 4 : 1005);
    }
}

static void sequences_that_are_used_up_are_told(void **state)
{
    const struct leader_row row = {REPL_ROLE_FOLLOWER, OURS, 3, 0};
    struct repl_promotion p = {.history = &ours,
                               .url = OURS,
                               .last = LDB_SEQUENCE_MAX - REPL_EPOCH_SKIP};
    struct repl_epoch_floor floor = {.base = 1};
    struct repl_epoch epoch;
    struct repl_state leader;
    struct clock_env clock;
    struct ldb_error err = {0};

    (void)state;
    clock_env_init(&clock, 0);
    fill_state(&row, &epoch, &leader);
    p.leader = &leader;
    assert_true(floor_of(&p, &clock).base == LDB_SEQUENCE_MAX);
    p.last++;
    assert_ldb_status(LDB_NOT_SUPPORTED,
                      repl_promotion_epoch_floor(&p, &clock.env, &err, &floor),
                      NULL);
    assert_int_equal(floor.base, 1);
}

/* ---- files ---- */

static void put_file(struct ldb_env *env, const char *path)
{
    struct ldb_writable_file *file;

    assert_ldb_ok(
        env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, NULL, &file),
        NULL);
    assert_ldb_ok(ldb_file_close(file, NULL), NULL);
}

static uint64_t file_floor(struct ldb_env *env, uint64_t known)
{
    struct ldb_error err = {0};
    uint64_t floor = 0;

    assert_ldb_ok(
        repl_promotion_file_floor(env, "/db", &ours, known, &err, &floor),
        &err);
    return floor;
}

static void files_are_numbered_above_all_that_are_known(void **state)
{
    struct ldb_env *env;

    (void)state;
    assert_ldb_ok(ldb_env_memory_create(NULL, &env), NULL);
    assert_ldb_ok(env->ops->create_dir(env, "/db", NULL), NULL);
    assert_int_equal(file_floor(env, 3), 3 + REPL_PROMOTION_FILES);
    put_file(env, "/db/000007.log");
    put_file(env, "/db/MANIFEST-000009");
    put_file(env, "/db/000008.ldb");
    put_file(env, "/db/not-000099.ldb");
    assert_int_equal(file_floor(env, 3), 9 + REPL_PROMOTION_FILES);
    assert_ldb_ok(env->ops->create_dir(env, "/db/leveld", NULL), NULL);
    assert_ldb_ok(env->ops->create_dir(env, "/db/leveld/archive", NULL), NULL);
    put_file(env, "/db/leveld/archive/000011.log");
    assert_int_equal(file_floor(env, 3), 11 + REPL_PROMOTION_FILES);
    assert_int_equal(file_floor(env, 30), 30 + REPL_PROMOTION_FILES);
    ldb_env_memory_destroy(env);
}

/* An epoch was accepted, and its leader gone before a file of it came. */
static void files_are_numbered_above_epochs_without_a_file_here(void **state)
{
    struct repl_epoch epochs[] = {
        {.number = 1, .first_journal = 3},
        {.number = 2, .previous_last = 9, .base = 99, .first_journal = 5000},
        {.number = 3, .previous_last = 99, .base = 999, .first_journal = 6},
    };
    const struct repl_epoch_history history = {.items = epochs, .count = 3};
    struct ldb_error err = {0};
    struct ldb_env *env;
    uint64_t floor = 0;

    (void)state;
    assert_ldb_ok(ldb_env_memory_create(NULL, &env), NULL);
    assert_ldb_ok(env->ops->create_dir(env, "/db", NULL), NULL);
    put_file(env, "/db/000013.log");
    assert_ldb_ok(
        repl_promotion_file_floor(env, "/db", &history, 20, &err, &floor),
        &err);
    assert_int_equal(floor, 5000 + REPL_PROMOTION_FILES);
    ldb_env_memory_destroy(env);
}

static void file_numbers_that_are_used_up_are_told(void **state)
{
    struct ldb_error err = {0};
    struct ldb_env *env;
    uint64_t floor = 1;

    (void)state;
    assert_ldb_ok(ldb_env_memory_create(NULL, &env), NULL);
    assert_ldb_ok(env->ops->create_dir(env, "/db", NULL), NULL);
    assert_ldb_status(LDB_NOT_SUPPORTED,
                      repl_promotion_file_floor(
                          env, "/db", &ours,
                          LDB_FILE_NUMBER_MAX - 2 * REPL_PROMOTION_FILES + 1,
                          &err, &floor),
                      NULL);
    assert_int_equal(floor, 1);
    ldb_env_memory_destroy(env);
}

static struct ldb_db *open_db(struct ldb_env *env)
{
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;

    ldb_options_init(&options);
    options.env = env;
    options.create_if_missing = true;
    assert_ldb_ok(ldb_open("/db", &options, NULL, &err, &db), &err);
    return db;
}

/* The folder as it was left, raised once or twice, opens with all it had. */
static void an_open_after_it_numbers_above_the_floor(void **state)
{
    struct ldb_error err = {0};
    struct ldb_env *env;
    struct ldb_stats stats;
    struct ldb_db *db;

    (void)state;
    for (unsigned raises = 1; raises <= 2; raises++) {
        uint64_t floor;

        assert_ldb_ok(ldb_env_memory_create(NULL, &env), NULL);
        db = open_db(env);
        assert_ldb_ok(ldb_put(db, ldb_slice_str("k"), ldb_slice_str("v"), true,
                              &err, NULL),
                      &err);
        assert_ldb_ok(ldb_close(db, &err), &err);
        floor = file_floor(env, 0);
        for (unsigned i = 0; i < raises; i++)
            assert_ldb_ok(repl_promotion_raise_files(env, "/db", floor, &err),
                          &err);
        db = open_db(env);
        ldb_stats(db, &stats);
        assert_true(stats.journal_number > floor);
        assert_true(stats.manifest_number > floor);
        assert_int_equal(stats.last_sequence, 1);
        assert_ldb_ok(ldb_close(db, &err), &err);
        /* Too late: it changes nothing any more. */
        assert_ldb_ok(repl_promotion_raise_files(env, "/db", floor, &err),
                      &err);
        db = open_db(env);
        assert_int_equal(ldb_last_sequence(db), 1);
        assert_ldb_ok(ldb_close(db, &err), &err);
        ldb_env_memory_destroy(env);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_leader_that_answers_decides_with),
        cmocka_unit_test(one_that_does_not_answer_takes_force),
        cmocka_unit_test(a_base_without_a_write_is_no_write),
        cmocka_unit_test(the_highest_of_what_others_say_counts),
        cmocka_unit_test(one_that_leads_already_is_to_be_followed),
        cmocka_unit_test(the_epoch_lies_above_all_that_was_said),
        cmocka_unit_test(without_the_leader_it_lies_far_above_at_random),
        cmocka_unit_test(without_the_leader_the_clock_numbers_it),
        cmocka_unit_test(only_for_us_does_a_leader_stand_aside),
        cmocka_unit_test(sequences_that_are_used_up_are_told),
        cmocka_unit_test(files_are_numbered_above_all_that_are_known),
        cmocka_unit_test(files_are_numbered_above_epochs_without_a_file_here),
        cmocka_unit_test(file_numbers_that_are_used_up_are_told),
        cmocka_unit_test(an_open_after_it_numbers_above_the_floor),
    };

    return cmocka_run_group_tests_name("promotion", tests, NULL, NULL);
}
