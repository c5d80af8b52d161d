#include "storage/version/version.h"

#include "storage/base/mem.h"
#include "storage/version/version_internal.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/version_rows.h"
#include "tests/support/version_tables.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))
#define TEXT_MAX     4096

/* ---- get ---- */

struct lookup_row {
    const char *name;
    const char *target; /* key@sequence */
    const char *value;  /* NULL: a delete mark; "": nothing there */
    uint64_t sequence;
};

static void assert_get(struct version_tables *tables,
                       struct ldb_version *version,
                       const struct lookup_row *row)
{
    struct ldb_buf target = version_rows_key(row->target);
    struct ldb_buf value = LDB_BUF_INIT(TEXT_MAX);
    struct ldb_error err = {0};
    uint64_t tag = 0;
    enum ldb_status s =
        ldb_version_get(version, tables->cache, &tables->read,
                        ldb_slice_of_buf(&target), &err, &value, &tag);

    if (row->value != NULL && row->value[0] == '\0') {
        if (s != LDB_NOT_FOUND)
            fail_msg("%s: found", row->name);
    } else if (s != LDB_OK || ldb_tag_sequence(tag) != row->sequence) {
        fail_msg("%s: %s, sequence %u", row->name, err.message,
                 (unsigned)ldb_tag_sequence(tag));
    } else if (row->value == NULL) {
        assert_int_equal(LDB_KIND_DELETE, ldb_tag_kind(tag));
    } else {
        assert_int_equal(LDB_KIND_PUT, ldb_tag_kind(tag));
        assert_ldb_slice(ldb_slice_str(row->value), ldb_slice_of_buf(&value));
    }
    ldb_buf_release(&target);
    ldb_buf_release(&value);
}

static void get_finds_the_newest_entry_at_or_below_the_sequence(void **state)
{
    static const struct lookup_row rows[] = {
        {"newest of all levels", "a@99", "top", 50},
        {"below level 0", "a@49", "one", 30},
        {"below level 1", "a@29", "two", 10},
        {"below all", "a@9", "", 0},
        {"a delete mark hides what is deeper", "b@99", NULL, 51},
        {"and shows it at an older sequence", "b@50", "two", 11},
        {"only in the last level", "m@99", "six", 5},
        {"between the keys of a table", "bb@99", "", 0},
        {"between two tables", "e@99", "", 0},
        {"before all", "A@99", "", 0},
        {"after all", "z@99", "", 0},
        {"first half of a key over two tables", "k@20", "new", 20},
        {"the seam of a key over two tables", "k@19", "old", 15},
        {"second half of a key over two tables", "k@14", "older", 14},
    };
    struct version_tables tables;
    struct ldb_version *version;

    (void)state;
    version_tables_init(&tables);
    version_tables_add(&tables, 0, 9, "a@50=top b@51d");
    version_tables_add(&tables, 1, 5, "a@30=one d@31=one");
    version_tables_add(&tables, 1, 6, "j@32=one k@20=new");
    version_tables_add(&tables, 1, 7, "k@15=old k@14=older");
    version_tables_add(&tables, 2, 3, "a@10=two b@11=two c@12=two");
    version_tables_add(&tables, 2, 4, "f@13=two");
    version_tables_add(&tables, 6, 2, "m@5=six");
    version = version_tables_make(&tables);
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_get(&tables, version, &rows[i]);
    ldb_version_unref(version);
    version_tables_release(&tables);
}

/* A repaired folder may have newer entries in lower file numbers. */
static void at_level_0_the_sequence_decides_not_the_file_number(void **state)
{
    static const struct lookup_row rows[] = {
        {"in the older file", "a@99", "new", 30},
        {"in the newer file", "a@29", "old", 20},
        {"in the middle one", "b@99", "middle", 25},
        {"a delete mark in the oldest file", "c@99", NULL, 40},
    };
    struct version_tables tables;
    struct ldb_version *version;

    (void)state;
    version_tables_init(&tables);
    version_tables_add(&tables, 0, 9, "a@20=old b@9=x c@1=x");
    version_tables_add(&tables, 0, 8, "a@10=older b@25=middle c@2=x");
    version_tables_add(&tables, 0, 7, "a@30=new b@24=x c@40d");
    version = version_tables_make(&tables);
    for (size_t i = 0; i < COUNT(rows); i++)
        assert_get(&tables, version, &rows[i]);
    ldb_version_unref(version);
    version_tables_release(&tables);
}

static void damage_in_a_table_asked_is_told_and_no_value_given(void **state)
{
    struct version_tables tables;
    struct ldb_version *version;
    struct ldb_buf target = version_rows_key("a@99");
    struct ldb_buf value = LDB_BUF_INIT(TEXT_MAX);
    struct ldb_error err = {0};
    uint64_t tag = 77;

    (void)state;
    version_tables_init(&tables);
    version_tables_add(&tables, 0, 9, "a@20=found b@9=x");
    version_tables_add(&tables, 0, 8, "a@10=older b@25=middle");
    version = version_tables_make(&tables);
    version_tables_damage(&tables, 8);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_version_get(version, tables.cache, &tables.read,
                                      ldb_slice_of_buf(&target), &err, &value,
                                      &tag),
                      &err);
    assert_ldb_message("000008", &err);
    assert_int_equal(0, value.len);
    assert_int_equal(77, tag);
    ldb_buf_release(&target);
    ldb_buf_release(&value);
    ldb_version_unref(version);
    version_tables_release(&tables);
}

/* ---- iterators ---- */

static void there_is_one_iterator_a_level_0_table_and_one_a_level(void **state)
{
    static const char *const expected[] = {"a@9=x", "b@8=y", "a@1=1 c@1=2",
                                           "k@1=3"};
    struct version_tables tables;
    struct ldb_version *version;
    struct ldb_iterator *children[6] = {NULL};
    struct ldb_error err = {0};
    size_t count = 1;

    (void)state;
    version_tables_init(&tables);
    version_tables_add(&tables, 0, 9, "a@9=x");
    version_tables_add(&tables, 0, 8, "b@8=y");
    version_tables_add(&tables, 1, 7, "a@1=1");
    version_tables_add(&tables, 1, 6, "c@1=2");
    version_tables_add(&tables, 4, 5, "k@1=3");
    version = version_tables_make(&tables);
    assert_ldb_ok(ldb_version_add_iterators(version, tables.cache, &tables.read,
                                            &err, children, COUNT(children),
                                            &count),
                  &err);
    assert_int_equal(5, count);
    for (size_t i = 1; i < count; i++) {
        struct ldb_buf text = LDB_BUF_INIT(TEXT_MAX);

        ldb_iterator_seek_first(children[i]);
        version_tables_walk(children[i], false, &text);
        assert_ldb_slice(ldb_slice_str(expected[i - 1]),
                         ldb_slice_of_buf(&text));
        ldb_buf_release(&text);
        ldb_iterator_destroy(children[i]);
    }
    for (uint64_t n = 1;; n++) {
        enum ldb_status s;

        count = 1;
        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_version_add_iterators(version, tables.cache, &tables.read, &err,
                                      children, COUNT(children), &count);
        if (!mem_fault_stop()) {
            assert_ldb_ok(s, &err);
            break;
        }
        assert_ldb_status(LDB_NO_MEMORY, s, &err);
        assert_int_equal(1, count);
    }
    while (count > 1)
        ldb_iterator_destroy(children[--count]);
    ldb_version_unref(version);
    version_tables_release(&tables);
}

/* ---- overlap ---- */

/* At level 0: 9 touches 8, which touches 7; 6 stands alone. */
static const struct version_row rows_of_overlap[] = {
    {0, 9, 1, "a@9", "c@9"}, {0, 8, 1, "c@8", "e@8"}, {0, 7, 1, "e@7", "g@7"},
    {0, 6, 1, "x@6", "y@6"}, {1, 1, 1, "b@9", "d@9"}, {1, 2, 1, "d@8", "f@9"},
    {1, 3, 1, "h@9", "j@9"}, {1, 4, 1, "p@9", "r@9"},
};

static void overlapping_tables_are_found(void **state)
{
    static const struct {
        uint32_t level;
        const char *begin;
        const char *end;
        const char *numbers;
    } rows[] = {
        {0, NULL, NULL, "9 8 7 6"}, {0, "a", "a", "9 8 7"},
        {0, "g", "h", "9 8 7"},     {0, "h", "w", ""},
        {0, "h", NULL, "6"},        {0, NULL, "h", "9 8 7"},
        {0, "y", "z", "6"},         {1, NULL, NULL, "1 2 3 4"},
        {1, "a", "b", "1"},         {1, "a", "aa", ""},
        {1, "d", "d", "1 2"},       {1, "e", "h", "2 3"},
        {1, "g", "g", ""},          {1, "g", NULL, "3 4"},
        {1, NULL, "g", "1 2"},      {1, "r", "z", "4"},
        {1, "s", NULL, ""},         {2, NULL, NULL, ""},
    };
    struct ldb_version *version =
        version_rows_make(rows_of_overlap, COUNT(rows_of_overlap));

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ldb_slice begin =
            ldb_slice_str(rows[i].begin == NULL ? "" : rows[i].begin);
        struct ldb_slice end =
            ldb_slice_str(rows[i].end == NULL ? "" : rows[i].end);
        const struct ldb_slice *first = rows[i].begin == NULL ? NULL : &begin;
        const struct ldb_slice *last = rows[i].end == NULL ? NULL : &end;
        struct ldb_file_meta **files = NULL;
        size_t count = 0;

        assert_ldb_ok(ldb_version_overlapping(version, rows[i].level, first,
                                              last, &files, &count),
                      NULL);
        assert_file_numbers(rows[i].numbers, files, count);
        assert_int_equal(count > 0, ldb_version_overlaps(version, rows[i].level,
                                                         first, last));
        ldb_mem_free(files);
    }
    ldb_version_unref(version);
}

static void overlapping_tables_are_appended(void **state)
{
    struct ldb_version *version =
        version_rows_make(rows_of_overlap, COUNT(rows_of_overlap));
    struct ldb_file_meta **files = NULL;
    size_t count = 0;

    (void)state;
    assert_ldb_ok(
        ldb_version_overlapping(version, 1, NULL, NULL, &files, &count), NULL);
    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(
        LDB_NO_MEMORY,
        ldb_version_overlapping(version, 0, NULL, NULL, &files, &count), NULL);
    assert_true(mem_fault_stop());
    assert_file_numbers("1 2 3 4", files, count);
    assert_ldb_ok(
        ldb_version_overlapping(version, 0, NULL, NULL, &files, &count), NULL);
    assert_file_numbers("1 2 3 4 9 8 7 6", files, count);
    ldb_mem_free(files);
    ldb_version_unref(version);
}

static int compare_reversed(void *context, struct ldb_slice a,
                            struct ldb_slice b)
{
    (void)context;
    return ldb_slice_compare(b, a);
}

/* Any comparator but the bytewise one takes the other path. */
static int compare_forwards(void *context, struct ldb_slice a,
                            struct ldb_slice b)
{
    (void)context;
    return ldb_slice_compare(a, b);
}

static void find_file_follows_the_comparator(void **state)
{
    static const struct ldb_comparator forwards = {.name = "forwards",
                                                   .compare = compare_forwards};
    static const struct ldb_comparator reversed = {.name = "reversed",
                                                   .compare = compare_reversed};
    static const struct {
        const char *key;
        size_t index;
        size_t reversed_index;
    } rows[] = {
        {"a@1", 0, 2}, {"c@9", 0, 1}, {"c@8", 1, 2}, {"e@1", 1, 1},
        {"f@9", 1, 0}, {"f@8", 2, 1}, {"z@1", 2, 0},
    };
    static const struct version_row tables[] = {{1, 1, 1, "a@9", "c@9"},
                                                {1, 2, 1, "d@9", "f@9"}};
    struct ldb_version *version = version_rows_make(tables, COUNT(tables));
    struct ldb_file_meta *const *files = version->levels[1].files;
    struct ldb_file_meta *const backwards[] = {files[1], files[0]};

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        struct ldb_buf text = version_rows_key(rows[i].key);
        struct ldb_slice key = ldb_slice_of_buf(&text);

        assert_int_equal(rows[i].index, ldb_find_file(ldb_comparator_bytewise(),
                                                      files, 2, key));
        assert_int_equal(rows[i].index,
                         ldb_find_file(&forwards, files, 2, key));
        assert_int_equal(rows[i].reversed_index,
                         ldb_find_file(&reversed, backwards, 2, key));
        ldb_buf_release(&text);
    }
    ldb_version_unref(version);
}

static void contains_knows_a_table_wherever_it_is(void **state)
{
    static const struct version_row stranger[] = {{1, 50, 1, "b@9", "d@9"}};
    struct ldb_version *version =
        version_rows_make(rows_of_overlap, COUNT(rows_of_overlap));
    struct ldb_version *other = version_rows_make(stranger, 1);

    (void)state;
    for (uint32_t l = 0; l < 2; l++)
        for (size_t i = 0; i < version->levels[l].count; i++)
            assert_true(
                ldb_version_contains(version, version->levels[l].files[i]));
    assert_false(ldb_version_contains(version, other->levels[1].files[0]));
    ldb_version_unref(version);
    ldb_version_unref(other);
}

/* ---- seeks ---- */

struct seek_scene {
    struct version_tables tables;
    struct ldb_version *version;
    struct ldb_file_meta *metas[3]; /* of levels 0, 1, 2 */
};

static void seek_scene_init(struct seek_scene *scene)
{
    version_tables_init(&scene->tables);
    version_tables_add(&scene->tables, 0, 9, "a@9=x c@9=x");
    version_tables_add(&scene->tables, 1, 5, "a@5=x bb@5=x");
    version_tables_add(&scene->tables, 2, 3, "b@3=x z@3=x");
    scene->version = version_tables_make(&scene->tables);
    scene->version->counts_seeks = true;
    for (uint32_t level = 0; level < 3; level++)
        scene->metas[level] = scene->version->levels[level].files[0];
}

static void seek_scene_release(struct seek_scene *scene)
{
    ldb_version_unref(scene->version);
    version_tables_release(&scene->tables);
}

static void assert_seeks(struct seek_scene *scene, const char *name,
                         int charged_level)
{
    for (int level = 0; level < 3; level++)
        if (scene->metas[level]->seeks_left !=
            (level == charged_level ? 99 : 100))
            fail_msg("%s: level %d has %d", name, level,
                     scene->metas[level]->seeks_left);
}

static void a_read_that_looks_on_charges_its_first_table(void **state)
{
    static const struct {
        const char *key;
        const char *value;
        uint64_t sequence;
        int by_get;    /* the level that a get charges; -1: none */
        int by_sample; /* the same for a cursor that reads the entry */
    } rows[] = {
        {"a@90", "x", 9, -1, 0},  {"b@90", "x", 3, 0, 0},
        {"bb@90", "x", 5, 0, 0},  {"bz@90", "", 0, 0, 0},
        {"c@90", "x", 9, -1, 0},  {"d@90", "", 0, -1, -1},
        {"z@90", "x", 3, -1, -1}, {"zz@90", "", 0, -1, -1},
    };

    (void)state;
    for (size_t i = 0; i < COUNT(rows); i++) {
        const struct lookup_row row = {rows[i].key, rows[i].key, rows[i].value,
                                       rows[i].sequence};
        struct ldb_buf key = version_rows_key(rows[i].key);
        struct seek_scene scene;

        seek_scene_init(&scene);
        scene.version->counts_seeks = false;
        assert_get(&scene.tables, scene.version, &row);
        assert_seeks(&scene, rows[i].key, -1);
        scene.version->counts_seeks = true;
        assert_get(&scene.tables, scene.version, &row);
        assert_seeks(&scene, rows[i].key, rows[i].by_get);
        for (int level = 0; level < 3; level++)
            ldb_file_meta_reset_seeks(scene.metas[level]);
        ldb_version_sample_seek(scene.version, ldb_slice_of_buf(&key));
        assert_seeks(&scene, rows[i].key, rows[i].by_sample);
        seek_scene_release(&scene);
        ldb_buf_release(&key);
    }
}

static void tables_of_level_0_are_looked_into_one_after_the_other(void **state)
{
    static const struct lookup_row row = {"in both", "a@90", "x", 9};
    struct version_tables tables;
    struct ldb_version *version;

    (void)state;
    version_tables_init(&tables);
    version_tables_add(&tables, 0, 9, "a@9=x c@9=x");
    version_tables_add(&tables, 0, 8, "a@8=x c@8=x");
    version = version_tables_make(&tables);
    assert_get(&tables, version, &row);
    assert_int_equal(version->levels[0].files[0]->seeks_left, 100);
    version->counts_seeks = true;
    assert_get(&tables, version, &row);
    assert_int_equal(version->levels[0].files[0]->seeks_left, 99);
    assert_int_equal(version->levels[0].files[1]->seeks_left, 100);
    ldb_version_unref(version);
    version_tables_release(&tables);
}

static void the_first_table_out_of_seeks_is_told_once(void **state)
{
    static const struct lookup_row row = {"looks on", "b@90", "x", 3};
    struct ldb_buf upper = version_rows_key("b@90");
    struct ldb_buf lower = version_rows_key("bb@1");
    struct seek_scene scene;

    (void)state;
    seek_scene_init(&scene);
    for (int i = 0; i < 99; i++)
        assert_get(&scene.tables, scene.version, &row);
    assert_null(scene.version->seek_table);
    assert_false(ldb_version_take_seek_news(scene.version));
    assert_get(&scene.tables, scene.version, &row);
    assert_ptr_equal(scene.version->seek_table, scene.metas[0]);
    assert_true(ldb_version_take_seek_news(scene.version));
    assert_false(ldb_version_take_seek_news(scene.version));
    /* The budget ends at nothing, and the first one stays. */
    for (int i = 0; i < 9; i++)
        ldb_version_sample_seek(scene.version, ldb_slice_of_buf(&upper));
    assert_int_equal(scene.metas[0]->seeks_left, 0);
    scene.metas[1]->seeks_left = 1;
    ldb_version_sample_seek(scene.version, ldb_slice_of_buf(&lower));
    assert_ptr_equal(scene.version->seek_table, scene.metas[0]);
    assert_false(ldb_version_take_seek_news(scene.version));
    seek_scene_release(&scene);
    ldb_buf_release(&upper);
    ldb_buf_release(&lower);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(get_finds_the_newest_entry_at_or_below_the_sequence),
        cmocka_unit_test(at_level_0_the_sequence_decides_not_the_file_number),
        cmocka_unit_test(damage_in_a_table_asked_is_told_and_no_value_given),
        cmocka_unit_test(there_is_one_iterator_a_level_0_table_and_one_a_level),
        cmocka_unit_test(overlapping_tables_are_found),
        cmocka_unit_test(overlapping_tables_are_appended),
        cmocka_unit_test(find_file_follows_the_comparator),
        cmocka_unit_test(contains_knows_a_table_wherever_it_is),
        cmocka_unit_test(a_read_that_looks_on_charges_its_first_table),
        cmocka_unit_test(tables_of_level_0_are_looked_into_one_after_the_other),
        cmocka_unit_test(the_first_table_out_of_seeks_is_told_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
