/*
 * What a copy has, of files that were copied at one moment, at several, or not
 * at all.
 */
#include "replication/copy_survey.h"

#include <stdio.h>
#include <string.h>

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

static enum ldb_status look(void)
{
    return repl_copy_survey_look(&survey, f.files, &f.err);
}

static void look_well(void)
{
    assert_ldb_ok(look(), &f.err);
}

static const char *journal_name(uint64_t number)
{
    static char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    return name;
}

static const char *archived_name(uint64_t number)
{
    static char name[REPL_COPY_PATH_SIZE];

    (void)snprintf(name, sizeof(name), "leveld/archive/%s",
                   journal_name(number));
    return name;
}

/* ---- heads that are asked for ---- */

static const struct repl_transport_ops *plain_ops;
static struct repl_transport_ops watched_ops;
static const char *watched_name;
static unsigned watched_heads; /* of that name */
static unsigned failing_head;  /* the one that fails; 0: none */

static enum ldb_status watched_head(struct repl_transport *t, const char *name,
                                    struct ldb_error *err,
                                    struct repl_file_head *out)
{
    if (strcmp(name, watched_name) == 0 && ++watched_heads == failing_head)
        return ldb_error_set(err, LDB_IO, "%s: cut", name);
    return plain_ops->head(t, name, err, out);
}

/* From now on; the name lives as long. */
static void watch_heads(const char *name, unsigned failing)
{
    plain_ops = f.files->ops;
    watched_ops = *plain_ops;
    watched_ops.head = watched_head;
    watched_name = name;
    watched_heads = 0;
    failing_head = failing;
    f.files->ops = &watched_ops;
}

/* Whether it is whole, of what the copy has of it. */
static bool check(uint64_t number)
{
    struct repl_copy_journal content = {0};
    const struct repl_copy_file *file =
        repl_copy_survey_journal(&survey, number);
    char path[REPL_COPY_PATH_SIZE];
    bool is_whole;

    assert_non_null(file);
    repl_copy_survey_path(file, path);
    assert_ldb_ok(
        repl_copy_journal_read(&content, number, path, f.files, &f.err),
        &f.err);
    is_whole = repl_copy_survey_check(&survey, number, &content);
    repl_copy_journal_release(&content);
    return is_whole;
}

/* ---- copies of one moment ---- */

static void it_grows_with_the_copy(void **state)
{
    (void)state;
    for (unsigned i = 1; i <= 12; i++) {
        copy_write(&f, 100);
        copy_take(&f);
        look_well();
        assert_int_equal(100 * i, survey.newest.last);
        assert_int_equal(1, survey.journals[0].first);
    }
    assert_true(survey.journal_count >= 3);
}

static void journals_are_whole_that_others_go_on_from(void **state)
{
    (void)state;
    copy_write(&f, 1000);
    copy_take(&f);
    look_well();
    for (size_t i = 0; i + 1 < survey.journal_count; i++) {
        const struct repl_copy_file *file = &survey.journals[i];

        assert_true(check(file->number));
        assert_true(file->is_checked);
        assert_int_equal(survey.journals[i + 1].first, file->last + 1);
    }
    assert_false(check(survey.journals[survey.journal_count - 1].number));
}

/* All is in tables: what the MANIFEST says is all that tells. */
static void the_last_one_is_whole_when_it_is_in_tables(void **state)
{
    uint64_t last;

    (void)state;
    copy_write(&f, 50);
    last = copy_journal(&f, 0);
    assert_ldb_ok(ldb_flush(f.db, &f.err), &f.err);
    copy_stop(&f);
    copy_take(&f);
    look_well();
    assert_true(last < survey.manifest.log_number);
    assert_true(check(last));
}

static void an_epoch_begins_behind_a_gap(void **state)
{
    uint64_t before;

    (void)state;
    copy_write(&f, 50);
    before = copy_journal(&f, 0);
    copy_restart(&f);
    copy_write(&f, 50);
    copy_take(&f);
    look_well();
    assert_int_equal(2, survey.history.count);
    assert_true(survey.newest.first > UINT64_C(1) << 32);
    assert_true(check(before));
}

static void no_journal_is_looked_for_where_a_table_is(void **state)
{
    char path[REPL_COPY_PATH_SIZE];
    uint64_t table;

    (void)state;
    copy_write(&f, 50);
    assert_ldb_ok(ldb_flush(f.db, &f.err), &f.err);
    copy_take(&f);
    look_well();
    assert_int_equal(1, survey.manifest.table_count);
    table = survey.manifest.tables[0].number;
    assert_true(table < survey.newest.number + REPL_COPY_NUMBERS_TRIED);
    repl_copy_survey_release(&survey);
    ldb_file_name_print(path, LDB_FILE_JOURNAL, table);
    watch_heads(path, 0);
    look_well();
    assert_int_equal(0, watched_heads);
    assert_null(repl_copy_survey_journal(&survey, table));
}

/* Found by the leader, of one table; into the copy's leveld/digests. */
static void put_digest(uint64_t number)
{
    struct repl_digest_record record = {
        .file = {.type = LDB_FILE_TABLE, .number = number, .size = 1}};
    struct repl_digest_list list = {.items = &record, .count = 1};

    assert_ldb_ok(
        repl_digest_store_save(f.env, COPY_DIR, &list, list.count, &f.err),
        &f.err);
}

static void digests_are_read_with_each_new_manifest(void **state)
{
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 16);
    struct ldb_digest digest;
    char name[LDB_FILE_NAME_SIZE];
    char current[LDB_FILE_NAME_SIZE + 1];
    uint64_t len;

    (void)state;
    copy_write(&f, 50);
    copy_take(&f);
    put_digest(7);
    look_well();
    assert_true(
        repl_copy_survey_digest(&survey, LDB_FILE_TABLE, 7, 1, &digest));
    /* Another MANIFEST, of the same length. */
    len = survey.manifest.len;
    ldb_file_name_print(name, LDB_FILE_MANIFEST, survey.manifest.number);
    copy_leaders_file(&f, name, &bytes);
    ldb_file_name_print(name, LDB_FILE_MANIFEST, survey.manifest.number + 1000);
    copy_put(&f, name, ldb_slice_of_buf(&bytes));
    (void)snprintf(current, sizeof(current), "%s\n", name);
    copy_put(&f, "CURRENT", ldb_slice_str(current));
    put_digest(9);
    look_well();
    assert_int_equal(len, survey.manifest.len);
    assert_true(
        repl_copy_survey_digest(&survey, LDB_FILE_TABLE, 9, 1, &digest));
    ldb_buf_release(&bytes);
}

/* ---- copies of several ---- */

/* The journals after it, of a leader that has stopped, as they were before
 * those in tables moved to the archive. */
static void take_later_journals(uint64_t number)
{
    struct ldb_buf bytes = LDB_BUF_INIT(1 << 20);

    assert_null(f.db); /* what moves now is missed */
    for (uint64_t next = number + 1; next < number + 20; next++) {
        if (copy_leaders_len(&f, journal_name(next)) != UINT64_MAX)
            copy_leaders_file(&f, journal_name(next), &bytes);
        else if (copy_leaders_len(&f, archived_name(next)) != UINT64_MAX)
            copy_leaders_file(&f, archived_name(next), &bytes);
        else
            continue;
        copy_put(&f, journal_name(next), ldb_slice_of_buf(&bytes));
    }
    ldb_buf_release(&bytes);
}

static void what_a_journal_lacks_is_waited_for(void **state)
{
    uint64_t number;

    (void)state;
    copy_write(&f, 20);
    number = copy_journal(&f, 0);
    copy_take(&f);
    copy_write(&f, 500);
    copy_stop(&f);
    assert_true(copy_leaders_len(&f, journal_name(number)) != UINT64_MAX ||
                copy_leaders_len(&f, archived_name(number)) != UINT64_MAX);
    /* All but the rest of that one. */
    take_later_journals(number);
    look_well();
    assert_true(survey.journal_count > 1);
    assert_false(check(number));
    assert_false(repl_copy_survey_journal(&survey, number)->is_checked);
    copy_take(&f);
    look_well();
    assert_true(check(number));
}

/* The look that finds a journal asks for its length twice: that it has a
 * successor is known the second time. */
static void
a_length_that_could_not_be_asked_for_is_asked_for_again(void **state)
{
    char name[LDB_FILE_NAME_SIZE];
    uint64_t number;

    (void)state;
    copy_write(&f, 20);
    number = copy_journal(&f, 0);
    ldb_file_name_print(name, LDB_FILE_JOURNAL, number);
    copy_take(&f);
    copy_write(&f, 500);
    copy_stop(&f);
    take_later_journals(number);
    watch_heads(name, 2);
    assert_ldb_status(LDB_IO, look(), &f.err);
    assert_int_equal(2, watched_heads);
    assert_true(survey.journal_count > 1);
    copy_take(&f);
    look_well();
    assert_true(check(number));
}

/* It moved before its rest was copied; the beginning stays where it was. */
static void the_longer_of_two_is_the_later(void **state)
{
    const struct repl_copy_file *file;
    uint64_t number;

    (void)state;
    copy_write(&f, 20);
    number = copy_journal(&f, 0);
    copy_take_file(&f, journal_name(number), UINT64_MAX);
    copy_write(&f, 1000);
    assert_ldb_ok(ldb_flush(f.db, &f.err), &f.err);
    assert_int_equal(UINT64_MAX, copy_leaders_len(&f, journal_name(number)));
    copy_take(&f);
    look_well();
    file = repl_copy_survey_journal(&survey, number);
    assert_non_null(file);
    assert_true(file->is_archived);
    assert_true(check(number));
}

static void one_that_stays_short_is_forgotten_once_it_is_in_tables(void **state)
{
    uint64_t number;

    (void)state;
    copy_write(&f, 20);
    number = copy_journal(&f, 0);
    copy_take_file(&f, journal_name(number), UINT64_MAX);
    copy_write(&f, 1000);
    assert_ldb_ok(ldb_flush(f.db, &f.err), &f.err);
    copy_take(&f);
    copy_remove(&f, archived_name(number));
    for (unsigned i = 0; i < 20; i++) {
        look_well();
        if (repl_copy_survey_journal(&survey, number) == NULL)
            break;
        assert_false(check(number));
    }
    assert_null(repl_copy_survey_journal(&survey, number));
    assert_true(survey.journals[0].number > number);
    look_well();
    assert_null(repl_copy_survey_journal(&survey, number));
}

static void an_epoch_that_is_not_known_yet_is_waited_for(void **state)
{
    (void)state;
    copy_write(&f, 50);
    copy_take(&f);
    look_well();
    copy_restart(&f);
    copy_write(&f, 50);
    copy_take(&f);
    /* As it was when the journals came. */
    copy_put(&f, "leveld/epochs", (struct ldb_slice){0});
    assert_ldb_status(LDB_CORRUPTION, look(), &f.err);
    copy_take_file(&f, "leveld/epochs", UINT64_MAX);
    look_well();
}

static void a_copy_of_before_the_epoch_does_not_fit(void **state)
{
    struct ldb_buf epochs = LDB_BUF_INIT(1 << 16);

    (void)state;
    copy_write(&f, 50);
    copy_leaders_file(&f, "leveld/epochs", &epochs);
    copy_restart(&f);
    copy_write(&f, 50);
    copy_take(&f);
    copy_put(&f, "leveld/epochs", ldb_slice_of_buf(&epochs));
    assert_ldb_status(LDB_IO, look(), &f.err);
    assert_ldb_message("later epoch", &f.err);
    ldb_buf_release(&epochs);
}

static void what_is_wanting_is_named(void **state)
{
    static const char *const names[] = {"leveld/identity", "leveld/epochs",
                                        "CURRENT"};

    (void)state;
    copy_write(&f, 50);
    copy_take(&f);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        copy_remove(&f, names[i]);
        assert_ldb_status(LDB_NOT_FOUND, look(), &f.err);
        assert_ldb_message(names[i], &f.err);
        copy_take_file(&f, names[i], UINT64_MAX);
        look_well();
    }
    copy_put(&f, "CURRENT", ldb_slice_str("MANIFEST-000001"));
    assert_ldb_status(LDB_CORRUPTION, look(), &f.err);
    copy_put(&f, "CURRENT", ldb_slice_str("MANIFEST-999999\n"));
    assert_ldb_status(LDB_NOT_FOUND, look(), &f.err);
}

static void without_memory_it_is_looked_at_later(void **state)
{
    (void)state;
    copy_write(&f, 600);
    copy_stop(&f); /* its threads are not to fail */
    copy_take(&f);
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = look();
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, s, &f.err);
        if (n % 2 == 0)
            repl_copy_survey_release(&survey);
    }
    assert_int_equal(600, survey.newest.last);
}

#define CASE(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        CASE(it_grows_with_the_copy),
        CASE(journals_are_whole_that_others_go_on_from),
        CASE(the_last_one_is_whole_when_it_is_in_tables),
        CASE(an_epoch_begins_behind_a_gap),
        CASE(no_journal_is_looked_for_where_a_table_is),
        CASE(digests_are_read_with_each_new_manifest),
        CASE(what_a_journal_lacks_is_waited_for),
        CASE(a_length_that_could_not_be_asked_for_is_asked_for_again),
        CASE(the_longer_of_two_is_the_later),
        CASE(one_that_stays_short_is_forgotten_once_it_is_in_tables),
        CASE(an_epoch_that_is_not_known_yet_is_waited_for),
        CASE(a_copy_of_before_the_epoch_does_not_fit),
        CASE(what_is_wanting_is_named),
        CASE(without_memory_it_is_looked_at_later),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
