/* Memtables and a version read as one: the newest place wins. */
#include "storage/base/comparator.h"
#include "storage/table/table_cache.h"
#include "storage/version/version_set.h"
#include "storage/view.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/db_fixture.h"

struct parts {
    struct ldb_env *env;
    struct ldb_mutex mu;
    struct ldb_version_set *versions;
    struct ldb_memtable *mem;
    struct ldb_memtable *immutables[2]; /* newest first */
};

static void add(struct ldb_memtable *table, const char *key,
                ldb_sequence sequence, enum ldb_kind kind, const char *value)
{
    struct ldb_memtable_node *node =
        ldb_memtable_prepare(table, ldb_tag_make(sequence, kind),
                             ldb_slice_str(key), ldb_slice_str(value));

    assert_non_null(node);
    ldb_memtable_link(table, node);
}

static struct ldb_memtable *create_memtable(void)
{
    struct ldb_memtable *table = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(
        ldb_memtable_create(ldb_comparator_bytewise(), 0, &err, &table), &err);
    return table;
}

static void create_parts(struct parts *p)
{
    struct ldb_version_set_options options = {
        .dir = "/db", .comparator = ldb_comparator_bytewise()};
    struct ldb_error err = {0};

    *p = (struct parts){0};
    ldb_mutex_init(&p->mu);
    assert_ldb_ok(ldb_env_memory_create(&err, &p->env), &err);
    assert_ldb_ok(p->env->ops->create_dir(p->env, "/db", &err), &err);
    options.env = p->env;
    options.mu = &p->mu;
    assert_ldb_ok(ldb_version_set_create(&options, &err, &p->versions), &err);
    assert_ldb_ok(ldb_version_set_create_new(p->versions, &err), &err);
    p->mem = create_memtable();
    for (int i = 0; i < 2; i++)
        p->immutables[i] = create_memtable();
}

static struct ldb_view *create_view(struct parts *p)
{
    struct ldb_view *view = NULL;
    struct ldb_version *version;
    struct ldb_error err = {0};

    ldb_mutex_lock(&p->mu);
    version = ldb_version_set_current(p->versions);
    ldb_mutex_unlock(&p->mu);
    assert_ldb_ok(
        ldb_view_create(p->mem, p->immutables, 2, version, &err, &view), &err);
    return view;
}

/* The view alone holds the memtables from here on. */
static void drop_memtables(struct parts *p)
{
    ldb_memtable_unref(p->mem);
    for (int i = 0; i < 2; i++)
        ldb_memtable_unref(p->immutables[i]);
}

static void destroy_parts(struct parts *p)
{
    ldb_version_set_destroy(p->versions);
    ldb_env_memory_destroy(p->env);
    ldb_mutex_release(&p->mu);
}

static void a_get_finds_the_newest_entry_of_all_places(void **state)
{
    static const struct row {
        const char *key;
        ldb_sequence at;
        const char *value; /* NULL: a delete */
        ldb_sequence sequence;
    } rows[] = {
        {"a", 9, "mem", 7}, {"a", 6, "newer", 5}, {"a", 4, "older", 1},
        {"b", 9, NULL, 6},  {"b", 3, "older", 2}, {"c", 9, "older", 3},
    };
    const struct ldb_table_read read = {.verify_checksums = true};
    struct ldb_view *view;
    struct parts p;

    (void)state;
    create_parts(&p);
    add(p.immutables[1], "a", 1, LDB_KIND_PUT, "older");
    add(p.immutables[1], "b", 2, LDB_KIND_PUT, "older");
    add(p.immutables[1], "c", 3, LDB_KIND_PUT, "older");
    add(p.immutables[0], "a", 5, LDB_KIND_PUT, "newer");
    add(p.immutables[0], "b", 6, LDB_KIND_DELETE, "");
    add(p.mem, "a", 7, LDB_KIND_PUT, "mem");
    view = create_view(&p);
    drop_memtables(&p);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct ldb_buf target = LDB_BUF_INIT(100);
        struct ldb_buf value = LDB_BUF_INIT(100);
        struct ldb_error err = {0};
        uint64_t tag = 0;

        assert_int_equal(
            ldb_internal_key_append(&target, ldb_slice_str(rows[i].key),
                                    ldb_tag_make(rows[i].at, LDB_KIND_SEEK)),
            LDB_OK);
        assert_ldb_ok(ldb_view_get(view, NULL, &read, ldb_slice_of_buf(&target),
                                   &err, &value, &tag),
                      &err);
        assert_int_equal(ldb_tag_sequence(tag), rows[i].sequence);
        assert_int_equal(ldb_tag_kind(tag), rows[i].value == NULL
                                                ? LDB_KIND_DELETE
                                                : LDB_KIND_PUT);
        if (rows[i].value != NULL)
            assert_ldb_slice(ldb_slice_str(rows[i].value),
                             ldb_slice_of_buf(&value));
        ldb_buf_release(&target);
        ldb_buf_release(&value);
    }
    assert_true(ldb_view_unref(view));
    destroy_parts(&p);
}

static void an_iterator_merges_all_places(void **state)
{
    static const char *const keys[] = {"a", "b", "c"};
    const struct ldb_table_read read = {.verify_checksums = true};
    struct ldb_iterator *it = NULL;
    struct ldb_error err = {0};
    struct ldb_view *view;
    struct parts p;
    size_t n = 0;

    (void)state;
    create_parts(&p);
    add(p.immutables[1], "c", 1, LDB_KIND_PUT, "1");
    add(p.mem, "b", 3, LDB_KIND_PUT, "3");
    add(p.immutables[0], "a", 2, LDB_KIND_PUT, "2");
    view = create_view(&p);
    drop_memtables(&p);
    assert_ldb_ok(ldb_view_iterator(view, NULL, &read, &err, &it), &err);
    for (ldb_iterator_seek_first(it); n < 3 && it->valid; n++) {
        assert_ldb_slice(ldb_slice_str(keys[n]),
                         ldb_internal_user_key(it->key));
        ldb_iterator_next(it);
    }
    assert_int_equal(n, 3);
    assert_false(it->valid);
    ldb_iterator_destroy(it);
    /* The last of two references. */
    assert_ptr_equal(ldb_view_ref(view), view);
    assert_false(ldb_view_unref(view));
    assert_true(ldb_view_unref(view));
    assert_false(ldb_view_unref(NULL));
    destroy_parts(&p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_get_finds_the_newest_entry_of_all_places),
        cmocka_unit_test(an_iterator_merges_all_places),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
