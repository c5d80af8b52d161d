/*
 * What is kept for whom, and for how long: R7 (a dead follower fills no disk),
 * and that one that is not too far behind finds what it needs.
 */
#include "replication/slots.h"

#include <errno.h>

#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/slots_fixture.h"

#define SECOND_US SLOTS_SECOND_US
#define LEN       SLOTS_JOURNAL_LEN

static struct repl_slots_figures figures(struct slots_fixture *f)
{
    struct repl_slots_figures out;

    repl_slots_figures(f->slots, &out);
    return out;
}

/* ---- keeping ---- */

static void what_a_follower_needs_is_kept_and_nothing_before(void **state)
{
    struct slots_fixture *f = *state;

    slots_fixture_seal(f, 4);
    assert_false(slots_fixture_ack(f, 1, 2, 500, 150));
    for (uint64_t i = 1; i <= 4; i++)
        slots_fixture_retire(f, i);
    assert_false(slots_fixture_has(f, 1));
    for (uint64_t i = 2; i <= 5; i++)
        assert_true(slots_fixture_has(f, i));
    assert_int_equal(2, slots_fixture_slot(f, 1).journal);
    slots_fixture_tick(f);
    assert_int_equal(3 * LEN, slots_fixture_slot(f, 1).kept_bytes);
    assert_int_equal(3 * LEN, figures(f).kept_bytes);
}

static void as_it_goes_on_what_it_has_goes(void **state)
{
    struct slots_fixture *f = *state;

    slots_fixture_seal(f, 4);
    (void)slots_fixture_ack(f, 1, 2, 500, 150);
    (void)slots_fixture_ack(f, 2, 3, 0, 200);
    for (uint64_t i = 1; i <= 4; i++)
        slots_fixture_retire(f, i);
    /* The slower one holds it for both. */
    assert_false(slots_fixture_ack(f, 2, 4, 10, 301));
    ldb_retained_trim(f->retained, UINT64_MAX);
    assert_true(slots_fixture_has(f, 2));
    assert_false(slots_fixture_ack(f, 1, 5, 0, 400));
    ldb_retained_trim(f->retained, UINT64_MAX);
    assert_false(slots_fixture_has(f, 3));
    assert_true(slots_fixture_has(f, 4));
    assert_int_equal(0, figures(f).lost);
}

static void a_dead_follower_is_lost_beyond_its_bytes(void **state)
{
    struct slots_fixture *f = *state;
    struct repl_slot slot;

    f->bytes_max = 3 * LEN;
    slots_fixture_reopen(f);
    (void)slots_fixture_ack(f, 1, 1, 0, 0);
    slots_fixture_seal(f, 3);
    for (uint64_t i = 1; i <= 3; i++)
        slots_fixture_retire(f, i);
    slots_fixture_tick(f);
    assert_true(slots_fixture_has(f, 1));
    assert_int_equal(0, f->told_lost);
    slots_fixture_seal(f, 1);
    slots_fixture_retire(f, 4);
    slots_fixture_tick(f);
    slot = slots_fixture_slot(f, 1);
    assert_true(slot.is_lost);
    assert_int_equal(0, slot.journal);
    assert_int_equal(0, slot.kept_bytes);
    assert_int_equal(1, f->told_lost);
    assert_string_equal(slot.node_id, f->told);
    ldb_retained_trim(f->retained, UINT64_MAX);
    for (uint64_t i = 1; i <= 4; i++)
        assert_false(slots_fixture_has(f, i));
    slots_fixture_tick(f);
    assert_int_equal(1, f->told_lost);
    assert_int_equal(1, figures(f).lost);
    assert_int_equal(1, figures(f).lost_total);
}

/* Journals that happen to be here still are no reason to keep more of them. */
static void beyond_its_bytes_an_ack_does_not_bring_it_back(void **state)
{
    struct slots_fixture *f = *state;

    f->bytes_max = 3 * LEN;
    slots_fixture_reopen(f);
    (void)slots_fixture_ack(f, 1, 1, 0, 0);
    slots_fixture_seal(f, 5);
    slots_fixture_tick(f);
    assert_true(slots_fixture_ack(f, 1, 1, 500, 50));
    slots_fixture_tick(f);
    assert_true(slots_fixture_ack(f, 1, 2, 500, 150));
    slots_fixture_tick(f);
    assert_true(slots_fixture_slot(f, 1).is_lost);
    assert_int_equal(1, figures(f).lost_total);
    /* Within them it is found, once it was looked. */
    assert_true(slots_fixture_ack(f, 1, 3, 500, 250));
    slots_fixture_tick(f);
    assert_false(slots_fixture_ack(f, 1, 3, 501, 250));
    assert_int_equal(1, f->told_found);
    slots_fixture_retire(f, 3);
    assert_true(slots_fixture_has(f, 3));
}

static void what_the_engine_let_go_of_is_lost(void **state)
{
    struct slots_fixture *f = *state;

    slots_fixture_seal(f, 3);
    (void)slots_fixture_ack(f, 1, 1, 500, 50);
    (void)slots_fixture_ack(f, 2, 1, 500, 50);
    for (uint64_t i = 1; i <= 3; i++)
        slots_fixture_retire(f, i);
    ldb_retained_trim(f->retained, 0);
    assert_false(slots_fixture_has(f, 1));
    /* The one by its ack, the other by the tick. */
    assert_true(slots_fixture_ack(f, 1, 1, 500, 50));
    slots_fixture_tick(f);
    assert_true(slots_fixture_slot(f, 2).is_lost);
    assert_int_equal(2, f->told_lost);
    assert_int_equal(2, figures(f).lost_total);
    /* After a bootstrap it stands where all is here. */
    assert_false(slots_fixture_ack(f, 1, 4, 0, 300));
    slots_fixture_tick(f);
    assert_int_equal(1, f->told_found);
    assert_int_equal(1, figures(f).lost);
}

static void a_follower_that_has_all_of_a_gone_journal_is_not_lost(void **state)
{
    struct slots_fixture *f = *state;

    slots_fixture_seal(f, 2);
    (void)slots_fixture_ack(f, 1, 1, LEN, 100);
    slots_fixture_retire(f, 1);
    ldb_retained_trim(f->retained, 0); /* though it was pinned */
    assert_false(slots_fixture_has(f, 1));
    for (unsigned i = 0; i < 3; i++) {
        assert_false(slots_fixture_ack(f, 1, 1, LEN, 100));
        slots_fixture_tick(f);
        assert_int_equal(2, slots_fixture_slot(f, 1).journal);
    }
    slots_fixture_retire(f, 2);
    assert_true(slots_fixture_has(f, 2));
    /* Back inside it: that is gone. */
    assert_true(slots_fixture_ack(f, 1, 1, 500, 50));
}

/* Its last sequence is below that of the journal, whose end was a jump: the
 * bytes that it had tell. */
static void the_length_of_a_gone_journal_tells_too(void **state)
{
    struct slots_fixture *f = *state;

    slots_fixture_seal(f, 2);
    (void)slots_fixture_ack(f, 1, 1, LEN, 60);
    slots_fixture_retire(f, 1);
    ldb_retained_trim(f->retained, 0);
    for (unsigned i = 0; i < 3; i++) {
        assert_false(slots_fixture_ack(f, 1, 1, LEN, 60));
        slots_fixture_tick(f);
        assert_int_equal(2, slots_fixture_slot(f, 1).journal);
    }
    /* What follows goes too, and now it is lost. */
    slots_fixture_retire(f, 2);
    ldb_retained_trim(f->retained, 0);
    slots_fixture_tick(f);
    assert_true(slots_fixture_slot(f, 1).is_lost);
    assert_true(slots_fixture_ack(f, 1, 1, LEN, 60));
}

static void
a_number_that_never_was_is_one_of_a_journal_without_records(void **state)
{
    struct slots_fixture *f = *state;
    struct ldb_error err = {0};

    slots_fixture_seal(f, 1);
    /* Journals 3 and 4 had none when their leader ended. */
    assert_ldb_ok(ldb_retained_reserve(f->retained, &err), &err);
    ldb_retained_seal(f->retained, LEN, 200, 5);
    f->newest = 5;
    assert_false(slots_fixture_ack(f, 1, 4, 0, 200));
    assert_int_equal(5, slots_fixture_slot(f, 1).journal);
    assert_true(slots_fixture_ack(f, 1, 4, 0, 199));
    /* Above all there are: that is of no history of ours. */
    assert_true(slots_fixture_ack(f, 1, 6, 0, 200));
}

static void who_has_no_journal_needs_none(void **state)
{
    struct slots_fixture *f = *state;

    assert_false(slots_fixture_ack(f, 1, 0, 0, 0));
    slots_fixture_seal(f, 2);
    slots_fixture_retire(f, 1);
    assert_false(slots_fixture_has(f, 1));
    slots_fixture_tick(f);
    assert_false(slots_fixture_ack(f, 1, 0, 0, 0));
    assert_int_equal(0, slots_fixture_slot(f, 1).journal);
    assert_false(slots_fixture_slot(f, 1).is_lost);
    /* Its disk was replaced, say: what it needed it needs no more. */
    assert_false(slots_fixture_ack(f, 2, 2, 0, 100));
    assert_false(slots_fixture_ack(f, 2, 0, 0, 0));
    slots_fixture_retire(f, 2);
    assert_false(slots_fixture_has(f, 2));
}

/* ---- over restarts ---- */

static void what_was_needed_is_kept_after_a_restart(void **state)
{
    struct slots_fixture *f = *state;
    struct repl_slot slot;
    ldb_sequence synced[2];

    slots_fixture_seal(f, 4);
    (void)slots_fixture_ack(f, 1, 2, 500, 150);
    slots_fixture_reopen(f);
    for (uint64_t i = 1; i <= 4; i++)
        slots_fixture_retire(f, i);
    assert_true(slots_fixture_has(f, 2));
    slot = slots_fixture_slot(f, 1);
    assert_false(slot.has_ack);
    assert_false(slot.is_alive);
    assert_int_equal(2, slot.journal);
    assert_int_equal(150, slot.ack.synced.sequence);
    assert_string_equal("http://node", slot.ack.url);
    assert_int_equal(0, slot.lag_sequences);
    /* What it had then it may have no more. */
    assert_int_equal(0, repl_slots_synced(f->slots, synced, 2));
    (void)slots_fixture_ack(f, 1, 2, 600, 160);
    assert_int_equal(1, repl_slots_synced(f->slots, synced, 2));
}

/* A power cut before each write of a tick leaves the slots of the tick before,
 * or of this one. */
static void check_cut(void *context, enum env_fault_kind kind, const char *path)
{
    struct slots_fixture *f = context;
    struct env_fault *copy;
    struct repl_slot_record *records;
    struct ldb_env *env;
    struct ldb_error err = {0};
    size_t count = 0;

    if ((ENV_FAULT_WRITES & ENV_FAULT_BIT(kind)) == 0 ||
        strstr(path, "slots") == NULL)
        return;
    copy = env_fault_after_cut(f->fault, LDB_CRASH_KEEP_NONE, 0);
    env = env_fault_env(copy);
    records = ldb_mem_zalloc(REPL_SLOTS_MAX, sizeof(*records));
    assert_non_null(records);
    assert_ldb_ok(repl_slot_store_load(env, SLOTS_DIR, &err, records, &count),
                  &err);
    assert_int_equal(1, count);
    assert_true(records[0].place.journal == 1 || records[0].place.journal == 2);
    ldb_mem_free(records);
    env_fault_destroy(copy);
    f->told_found++;
}

static void no_power_cut_loses_a_slot(void **state)
{
    struct slots_fixture *f = *state;

    assert_ldb_ok(f->env->ops->sync_dir(f->env, ".", NULL), NULL);
    slots_fixture_seal(f, 2);
    (void)slots_fixture_ack(f, 1, 1, 500, 50);
    slots_fixture_tick(f);
    env_fault_set_call_hook(f->fault, check_cut, f);
    (void)slots_fixture_ack(f, 1, 2, 500, 150);
    slots_fixture_tick(f);
    env_fault_set_call_hook(f->fault, NULL, NULL);
    assert_true(f->told_found >= 4); /* cuts */
}

static void only_what_has_changed_is_stored(void **state)
{
    struct slots_fixture *f = *state;
    const unsigned appends = ENV_FAULT_BIT(ENV_FAULT_APPEND);

    slots_fixture_seal(f, 2);
    env_fault_forget_counts(f->fault);
    slots_fixture_tick(f); /* no slot at all */
    assert_int_equal(0, env_fault_count(f->fault, appends));
    (void)slots_fixture_ack(f, 1, 1, 500, 50);
    slots_fixture_tick(f);
    assert_int_equal(1, env_fault_count(f->fault, appends));
    (void)slots_fixture_ack(f, 1, 1, 600, 60);
    slots_fixture_tick(f);
    assert_int_equal(1, env_fault_count(f->fault, appends));
    (void)slots_fixture_ack(f, 1, 2, 0, 100);
    slots_fixture_tick(f);
    assert_int_equal(2, env_fault_count(f->fault, appends));
}

static void a_store_that_fails_is_tried_again_a_second_later(void **state)
{
    struct slots_fixture *f = *state;
    struct ldb_position durable = slots_fixture_durable(f);
    struct env_fault_rule rule = {.kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                  .path = "slots",
                                  .nth = 1,
                                  .from_then_on = true,
                                  .sys_errno = EIO};
    struct ldb_error err = {0};

    (void)slots_fixture_ack(f, 1, 1, 0, 0);
    env_fault_fail(f->fault, &rule);
    assert_ldb_status(LDB_IO, repl_slots_tick(f->slots, &durable, &err), &err);
    assert_ldb_ok(repl_slots_tick(f->slots, &durable, &err), &err);
    assert_int_equal(1, env_fault_failed(f->fault));
    env_fault_set_clock(f->fault, 2 * SECOND_US);
    assert_ldb_status(LDB_IO, repl_slots_tick(f->slots, &durable, &err), &err);
    env_fault_fail(f->fault, NULL);
    env_fault_set_clock(f->fault, 3 * SECOND_US);
    assert_ldb_ok(repl_slots_tick(f->slots, &durable, &err), &err);
    slots_fixture_reopen(f);
    assert_int_equal(1, figures(f).slots);
}

static void damage_has_no_slots_and_a_newer_format_is_refused(void **state)
{
    struct slots_fixture *f = *state;
    const struct repl_slots_options options = {
        .env = f->env, .dir = SLOTS_DIR, .retained = f->retained};
    struct repl_slots *slots = NULL;
    struct ldb_error err = {0};

    (void)slots_fixture_ack(f, 1, 1, 0, 0);
    assert_ldb_ok(repl_slots_close(f->slots, &err), &err);
    f->slots = NULL;
    assert_ldb_ok(repl_sidecar_write(f->env, SLOTS_DIR, "slots", 2,
                                     ldb_slice_str("new\n"), &err),
                  &err);
    assert_ldb_status(LDB_NOT_SUPPORTED,
                      repl_slots_open(&options, &err, &slots), &err);
    assert_ldb_ok(repl_sidecar_write(f->env, SLOTS_DIR, "slots", 1,
                                     ldb_slice_str("new\n"), &err),
                  &err);
    assert_ldb_ok(repl_slots_open(&options, &err, &slots), &err);
    f->slots = slots;
    assert_int_equal(0, figures(f).slots);
    assert_ldb_ok(repl_slots_close(NULL, &err), &err);
}

/* ---- who is there ---- */

static void silence_is_death(void **state)
{
    struct slots_fixture *f = *state;

    (void)slots_fixture_ack(f, 1, 1, 0, 0);
    env_fault_set_clock(f->fault, SECOND_US + REPL_SLOT_ALIVE_US);
    assert_true(slots_fixture_slot(f, 1).is_alive);
    assert_int_equal(1, figures(f).alive);
    env_fault_set_clock(f->fault, SECOND_US + REPL_SLOT_ALIVE_US + 1);
    assert_false(slots_fixture_slot(f, 1).is_alive);
    assert_int_equal(0, figures(f).alive);
    assert_int_equal(SECOND_US, slots_fixture_slot(f, 1).heard_us);
    (void)slots_fixture_ack(f, 1, 1, 0, 0);
    assert_true(slots_fixture_slot(f, 1).is_alive);
}

static void the_longest_dead_makes_room(void **state)
{
    struct slots_fixture *f = *state;
    struct repl_ack ack = {.state = "streaming"};
    struct ldb_error err = {0};
    bool is_lost;

    for (unsigned i = 0; i < REPL_SLOTS_MAX; i++)
        (void)slots_fixture_ack(f, i, 1, 0, 0);
    slots_fixture_node_id(REPL_SLOTS_MAX, ack.node_id);
    assert_ldb_status(LDB_STALLED,
                      repl_slots_ack(f->slots, &ack, &err, &is_lost), &err);
    /* All but two fall silent, one of these for longer. */
    env_fault_set_clock(f->fault, 2 * SECOND_US);
    for (unsigned i = 0; i < REPL_SLOTS_MAX; i++) {
        if (i != 77)
            (void)slots_fixture_ack(f, i, 1, 0, 0);
    }
    env_fault_set_clock(f->fault, 3 * SECOND_US + REPL_SLOT_ALIVE_US);
    (void)slots_fixture_ack(f, 5, 1, 0, 0);
    assert_ldb_ok(repl_slots_ack(f->slots, &ack, &err, &is_lost), &err);
    assert_int_equal(REPL_SLOTS_MAX, figures(f).slots);
    assert_int_equal(1, figures(f).evicted_total);
    (void)slots_fixture_slot(f, 76);
    (void)slots_fixture_slot(f, 78);
    (void)slots_fixture_slot(f, REPL_SLOTS_MAX);
    slots_fixture_node_id(77, ack.node_id);
    assert_false(repl_slots_remove(f->slots, ack.node_id));
}

static void a_slot_that_is_removed_keeps_nothing(void **state)
{
    struct slots_fixture *f = *state;
    char node_id[REPL_ID_SIZE];

    slots_fixture_seal(f, 1);
    (void)slots_fixture_ack(f, 1, 1, 0, 0);
    (void)slots_fixture_ack(f, 2, 2, 0, 100);
    slots_fixture_node_id(1, node_id);
    assert_true(repl_slots_remove(f->slots, node_id));
    assert_false(repl_slots_remove(f->slots, node_id));
    slots_fixture_retire(f, 1);
    assert_false(slots_fixture_has(f, 1));
    slots_fixture_reopen(f);
    assert_int_equal(1, figures(f).slots);
}

static void what_followers_have_synced_comes_in_order(void **state)
{
    struct slots_fixture *f = *state;
    ldb_sequence synced[4];

    assert_int_equal(0, repl_slots_synced(f->slots, synced, 4));
    (void)slots_fixture_ack(f, 1, 1, 10, 10);
    (void)slots_fixture_ack(f, 2, 1, 30, 30);
    (void)slots_fixture_ack(f, 3, 1, 20, 20);
    assert_int_equal(3, repl_slots_synced(f->slots, synced, 4));
    assert_int_equal(30, synced[0]);
    assert_int_equal(20, synced[1]);
    assert_int_equal(10, synced[2]);
    assert_int_equal(2, repl_slots_synced(f->slots, synced, 2));
    /* One that has begun anew has what it says now. */
    (void)slots_fixture_ack(f, 2, 1, 5, 5);
    assert_int_equal(3, repl_slots_synced(f->slots, synced, 4));
    assert_int_equal(20, synced[0]);
    assert_int_equal(5, synced[2]);
}

/* ---- figures ---- */

static void slots_are_listed_from_one_on(void **state)
{
    struct slots_fixture *f = *state;
    struct ldb_position durable = slots_fixture_durable(f);
    struct repl_slot slots[2];
    char node_id[REPL_ID_SIZE];

    for (unsigned i = 5; i > 0; i--)
        (void)slots_fixture_ack(f, i, 1, 0, 0);
    assert_int_equal(2, repl_slots_list(f->slots, &durable, "", slots, 2));
    slots_fixture_node_id(2, node_id);
    assert_string_equal(node_id, slots[1].node_id);
    assert_int_equal(
        2, repl_slots_list(f->slots, &durable, slots[1].node_id, slots, 2));
    assert_int_equal(
        1, repl_slots_list(f->slots, &durable, slots[1].node_id, slots, 2));
    slots_fixture_node_id(5, node_id);
    assert_string_equal(node_id, slots[0].node_id);
    assert_int_equal(0, repl_slots_list(f->slots, &durable, node_id, slots, 2));
}

static void lag_is_told_in_three_units(void **state)
{
    struct slots_fixture *f = *state;
    struct ldb_position durable;
    struct repl_slot slot;

    slots_fixture_seal(f, 1);
    slots_fixture_tick(f); /* sequence 100, at 1 s */
    env_fault_set_clock(f->fault, 11 * SECOND_US);
    slots_fixture_seal(f, 2);
    slots_fixture_tick(f); /* sequence 300, at 11 s */
    env_fault_set_clock(f->fault, 14 * SECOND_US);
    (void)slots_fixture_ack(f, 1, 1, 400, 40);
    (void)slots_fixture_ack(f, 2, 2, LEN, 200);
    (void)slots_fixture_ack(f, 3, 3, LEN, 300);
    slot = slots_fixture_slot(f, 1);
    assert_int_equal(260, slot.lag_sequences);
    assert_int_equal(3 * LEN - 400, slot.lag_bytes);
    assert_int_equal(13 * SECOND_US, slot.lag_us);
    slot = slots_fixture_slot(f, 2);
    assert_int_equal(100, slot.lag_sequences);
    assert_int_equal(LEN, slot.lag_bytes);
    assert_int_equal(3 * SECOND_US, slot.lag_us);
    slot = slots_fixture_slot(f, 3);
    assert_int_equal(0, slot.lag_sequences);
    assert_int_equal(0, slot.lag_bytes);
    assert_int_equal(0, slot.lag_us);
    /* With bytes of the open journal. */
    durable = (struct ldb_position){4, 70, 310};
    assert_int_equal(1, repl_slots_list(f->slots, &durable, "", &slot, 1));
    assert_int_equal(3 * LEN - 400 + 70, slot.lag_bytes);
    assert_int_equal(270, slot.lag_sequences);
}

static void failing_allocations_lose_nothing(void **state)
{
    struct slots_fixture *f = *state;
    struct ldb_position durable = slots_fixture_durable(f);
    struct repl_slots_options options = {
        .env = f->env, .dir = SLOTS_DIR, .retained = f->retained};
    struct repl_ack ack = {.synced = {1, 0, 0}, .state = "streaming"};
    struct ldb_error err = {0};
    bool is_lost;

    slots_fixture_node_id(1, ack.node_id);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_slots_ack(f->slots, &ack, &err, &is_lost);
        if (s == LDB_OK)
            s = repl_slots_tick(f->slots, &durable, &err);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            assert_true(n > 3);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        env_fault_set_clock(f->fault, (n + 2) * SECOND_US);
    }
    assert_int_equal(1, figures(f).slots);
    assert_ldb_ok(repl_slots_close(f->slots, &err), &err);
    f->slots = NULL;
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_slots_open(&options, &err, &f->slots);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
    }
    assert_int_equal(1, figures(f).slots);
}

#define TEST(name)                                                             \
    cmocka_unit_test_setup_teardown(name, slots_fixture_setup,                 \
                                    slots_fixture_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(what_a_follower_needs_is_kept_and_nothing_before),
        TEST(as_it_goes_on_what_it_has_goes),
        TEST(a_dead_follower_is_lost_beyond_its_bytes),
        TEST(beyond_its_bytes_an_ack_does_not_bring_it_back),
        TEST(what_the_engine_let_go_of_is_lost),
        TEST(a_follower_that_has_all_of_a_gone_journal_is_not_lost),
        TEST(the_length_of_a_gone_journal_tells_too),
        TEST(a_number_that_never_was_is_one_of_a_journal_without_records),
        TEST(who_has_no_journal_needs_none),
        TEST(what_was_needed_is_kept_after_a_restart),
        TEST(no_power_cut_loses_a_slot),
        TEST(only_what_has_changed_is_stored),
        TEST(a_store_that_fails_is_tried_again_a_second_later),
        TEST(damage_has_no_slots_and_a_newer_format_is_refused),
        TEST(silence_is_death),
        TEST(the_longest_dead_makes_room),
        TEST(a_slot_that_is_removed_keeps_nothing),
        TEST(what_followers_have_synced_comes_in_order),
        TEST(slots_are_listed_from_one_on),
        TEST(lag_is_told_in_three_units),
        TEST(failing_allocations_lose_nothing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
