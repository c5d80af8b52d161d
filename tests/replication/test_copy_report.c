/* A copy's state, heartbeat and checkpoint are those of its leader. */
#include "replication/copy_report.h"

#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/copy_fixture.h"
#include "tests/support/mem_fault.h"

static struct copy_fixture f;
static struct repl_copy_survey survey;

static int setup(void **state)
{
    (void)state;
    copy_open(&f);
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    repl_copy_survey_release(&survey);
    copy_close(&f);
    return 0;
}

static void look_well(void)
{
    assert_ldb_ok(repl_copy_survey_look(&survey, f.files, &f.err), &f.err);
}

static struct repl_state state_now(void)
{
    struct repl_state said = {0};

    assert_ldb_ok(repl_copy_report_state(&survey, &f.err, &said), &f.err);
    return said;
}

static void a_copy_says_what_its_leader_would(void **state)
{
    struct repl_heartbeat heartbeat;
    struct repl_state said;
    struct ldb_stats stats;

    (void)state;
    copy_write(&f, 1000);
    ldb_stats(f.db, &stats);
    copy_take(&f);
    look_well();
    said = state_now();
    assert_string_equal(f.node.identity.cluster_id, said.identity.cluster_id);
    assert_int_equal(REPL_ROLE_LEADER, said.role);
    assert_int_equal(1, said.history.count);
    assert_int_equal(f.epoch.id, said.history.items[0].id);
    assert_int_equal(stats.manifest_number, said.manifest_number);
    assert_true(said.journal_count >= 3);
    assert_int_equal(1, said.journals[0].first);
    assert_true(said.journals[0].is_archived);
    assert_int_equal(stats.journal_number, said.durable.journal);
    assert_int_equal(stats.journal_bytes, said.durable.offset);
    assert_int_equal(1000, said.durable.sequence);
    assert_int_equal(1000, said.last_sequence);
    for (size_t i = 0; i < said.journal_count; i++) {
        const struct repl_journal_entry *entry = &said.journals[i];
        bool is_last = i + 1 == said.journal_count;

        assert_int_equal(!is_last, entry->is_sealed);
        assert_true(entry->last >= entry->first);
        if (!is_last)
            assert_int_equal(entry[1].first, entry->last + 1);
    }
    repl_copy_report_heartbeat(&survey, &heartbeat);
    assert_int_equal(1, heartbeat.epoch);
    assert_int_equal(f.epoch.id, heartbeat.epoch_id);
    assert_int_equal(1000, heartbeat.last_sequence);
    repl_state_release(&said);
}

static void
a_checkpoint_has_the_tables_and_the_journals_after_them(void **state)
{
    struct repl_checkpoint checkpoint = {0};
    char name[LDB_FILE_NAME_SIZE];
    uint64_t needed;

    (void)state;
    copy_write(&f, 1000);
    copy_take(&f);
    look_well();
    needed = survey.manifest.log_number;
    ldb_file_name_print(name, LDB_FILE_JOURNAL, needed);
    assert_ldb_ok(repl_copy_report_checkpoint(&survey, &f.err, &checkpoint),
                  &f.err);
    assert_int_equal(survey.manifest.table_count, checkpoint.file_count);
    assert_true(checkpoint.file_count > 0);
    assert_int_equal(copy_leaders_len(&f, checkpoint.files[0].name),
                     checkpoint.files[0].size);
    assert_int_equal(needed, checkpoint.log_number);
    assert_int_equal(needed, checkpoint.journals[0].number);
    assert_int_equal(1000, checkpoint.last_sequence);
    repl_checkpoint_release(&checkpoint);
    repl_copy_survey_release(&survey);
    copy_remove(&f, name);
    look_well();
    assert_ldb_status(LDB_IO,
                      repl_copy_report_checkpoint(&survey, &f.err, &checkpoint),
                      &f.err);
    assert_ldb_message(name, &f.err);
}

static void without_memory_nothing_is_said(void **state)
{
    (void)state;
    copy_write(&f, 600);
    copy_stop(&f); /* its threads are not to fail */
    copy_take(&f);
    look_well();
    for (uint64_t n = 1;; n++) {
        struct repl_checkpoint checkpoint = {0};
        struct repl_state said = {0};
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = repl_copy_report_state(&survey, &f.err, &said);
        if (s == LDB_OK)
            s = repl_copy_report_checkpoint(&survey, &f.err, &checkpoint);
        repl_state_release(&said);
        repl_checkpoint_release(&checkpoint);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &f.err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
    }
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(a_copy_says_what_its_leader_would),
        CASE(a_checkpoint_has_the_tables_and_the_journals_after_them),
        CASE(without_memory_nothing_is_said),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
