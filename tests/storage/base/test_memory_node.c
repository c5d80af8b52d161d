#include "storage/base/memory_node.h"

#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"

#define SEEDS 200

/* ---- fixture: a durable file "f" in a root ---- */

struct tree {
    struct ldb_memory_node *root;
    struct ldb_memory_node *file; /* the root's */
};

static void change(struct ldb_memory_node *dir, const char *set_name,
                   struct ldb_memory_node *node, const char *remove_name)
{
    struct ldb_memory_change step = {0};

    assert_ldb_ok(ldb_memory_change_prepare(dir, ldb_slice_str(set_name), node,
                                            ldb_slice_str(remove_name), &step),
                  NULL);
    ldb_memory_change_commit(dir, &step);
}

static int setup(void **state)
{
    static struct tree tree;

    tree.root = ldb_memory_node_create(true);
    tree.file = ldb_memory_node_create(false);
    assert_non_null(tree.root);
    assert_non_null(tree.file);
    change(tree.root, "f", tree.file, "");
    ldb_memory_node_unref(tree.file);
    assert_ldb_ok(ldb_memory_dir_sync(tree.root), NULL);
    *state = &tree;
    return 0;
}

static int teardown(void **state)
{
    struct tree *tree = *state;

    ldb_memory_node_unref(tree->root);
    return 0;
}

static void append(struct ldb_memory_node *file, const char *text)
{
    assert_ldb_ok(ldb_memory_file_append(file, ldb_slice_str(text)), NULL);
}

/* The file's bytes after a power loss, as text; "-": it is gone. */
static const char *text_after(const struct tree *tree, const char *name,
                              enum ldb_crash_keep keep, uint64_t seed)
{
    static char text[64];
    struct ldb_memory_node *root = NULL;
    const struct ldb_memory_node *file;

    assert_ldb_ok(ldb_memory_crash_copy(tree->root, keep, seed, &root), NULL);
    file = ldb_memory_dir_find(root, ldb_slice_str(name));
    if (file == NULL) {
        memcpy(text, "-", 2);
    } else {
        assert_true(file->bytes.len < sizeof(text));
        if (file->bytes.len > 0)
            memcpy(text, file->bytes.data, file->bytes.len);
        text[file->bytes.len] = '\0';
    }
    ldb_memory_node_unref(root);
    return text;
}

/* A torn copy gives each of these texts for some seed, and no other. */
static void assert_torn(const struct tree *tree, const char *name,
                        const char *const texts[], size_t count)
{
    bool seen[16] = {false};

    assert_true(count <= 16);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        const char *text = text_after(tree, name, LDB_CRASH_KEEP_TORN, seed);
        size_t i = 0;

        while (i < count && strcmp(texts[i], text) != 0)
            i++;
        if (i == count)
            fail_msg("seed %llu: \"%s\"", (unsigned long long)seed, text);
        seen[i] = true;
    }
    for (size_t i = 0; i < count; i++)
        if (!seen[i])
            fail_msg("never \"%s\"", texts[i]);
}

/* ---- files ---- */

static void unsynced_bytes_are_lost_kept_or_torn(void **state)
{
    static const char *const torn[] = {"ab", "abc", "abcd"};
    const struct tree *tree = *state;

    append(tree->file, "ab");
    ldb_memory_file_sync(tree->file);
    append(tree->file, "cd");
    assert_string_equal(text_after(tree, "f", LDB_CRASH_KEEP_NONE, 1), "ab");
    assert_string_equal(text_after(tree, "f", LDB_CRASH_KEEP_ALL, 1), "abcd");
    assert_torn(tree, "f", torn, 3);
    ldb_memory_file_sync(tree->file);
    assert_string_equal(text_after(tree, "f", LDB_CRASH_KEEP_NONE, 1), "abcd");
    assert_torn(tree, "f", &torn[2], 1);
}

static void an_unsynced_cut_may_be_undone(void **state)
{
    static const char *const torn[] = {"abcd", "a", "ax", "axy"};
    const struct tree *tree = *state;

    append(tree->file, "abcd");
    ldb_memory_file_sync(tree->file);
    assert_ldb_ok(ldb_memory_file_truncate(tree->file, 2), NULL);
    assert_ldb_ok(ldb_memory_file_truncate(tree->file, 1), NULL);
    append(tree->file, "xy");
    assert_string_equal(text_after(tree, "f", LDB_CRASH_KEEP_NONE, 1), "abcd");
    assert_string_equal(text_after(tree, "f", LDB_CRASH_KEEP_ALL, 1), "axy");
    assert_torn(tree, "f", torn, 4);
    ldb_memory_file_sync(tree->file);
    assert_string_equal(text_after(tree, "f", LDB_CRASH_KEEP_NONE, 1), "axy");
}

static void a_cut_of_unsynced_bytes_loses_no_synced_ones(void **state)
{
    static const char *const torn[] = {"ab", "abx"};
    const struct tree *tree = *state;

    append(tree->file, "ab");
    ldb_memory_file_sync(tree->file);
    append(tree->file, "cd");
    assert_ldb_ok(ldb_memory_file_truncate(tree->file, 2), NULL);
    append(tree->file, "x");
    assert_string_equal(text_after(tree, "f", LDB_CRASH_KEEP_NONE, 1), "ab");
    assert_torn(tree, "f", torn, 2);
}

/* ---- directories ---- */

static void names_are_durable_after_the_sync_of_their_directory(void **state)
{
    const struct tree *tree = *state;
    struct ldb_memory_node *fresh = ldb_memory_node_create(false);

    assert_non_null(fresh);
    append(fresh, "new");
    ldb_memory_file_sync(fresh);
    change(tree->root, "g", fresh, "");
    assert_string_equal(text_after(tree, "g", LDB_CRASH_KEEP_NONE, 1), "-");
    assert_string_equal(text_after(tree, "g", LDB_CRASH_KEEP_ALL, 1), "new");
    assert_ldb_ok(ldb_memory_dir_sync(tree->root), NULL);
    assert_string_equal(text_after(tree, "g", LDB_CRASH_KEEP_NONE, 1), "new");
    change(tree->root, "", NULL, "g");
    assert_null(ldb_memory_dir_find(tree->root, ldb_slice_str("g")));
    assert_string_equal(text_after(tree, "g", LDB_CRASH_KEEP_NONE, 1), "new");
    assert_string_equal(text_after(tree, "g", LDB_CRASH_KEEP_ALL, 1), "-");
    assert_ldb_ok(ldb_memory_dir_sync(tree->root), NULL);
    assert_string_equal(text_after(tree, "g", LDB_CRASH_KEEP_NONE, 1), "-");
    ldb_memory_node_unref(fresh);
}

static void a_rename_is_whole_or_not_at_all(void **state)
{
    const struct tree *tree = *state;
    struct ldb_memory_node *fresh = ldb_memory_node_create(false);
    bool seen_new = false;
    bool seen_old = false;

    assert_non_null(fresh);
    append(tree->file, "old");
    ldb_memory_file_sync(tree->file);
    append(fresh, "new");
    ldb_memory_file_sync(fresh);
    change(tree->root, "t", fresh, "");
    assert_ldb_ok(ldb_memory_dir_sync(tree->root), NULL);
    change(tree->root, "f", fresh, "t");
    ldb_memory_node_unref(fresh);
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        bool done = strcmp(text_after(tree, "f", LDB_CRASH_KEEP_TORN, seed),
                           "new") == 0;

        assert_string_equal(text_after(tree, "t", LDB_CRASH_KEEP_TORN, seed),
                            done ? "-" : "new");
        if (!done)
            assert_string_equal(
                text_after(tree, "f", LDB_CRASH_KEEP_TORN, seed), "old");
        seen_new = seen_new || done;
        seen_old = seen_old || !done;
    }
    assert_true(seen_new);
    assert_true(seen_old);
}

/* No later change survives without the earlier ones. */
static void changes_survive_in_their_order(void **state)
{
    const struct tree *tree = *state;
    size_t seen[5] = {0};

    for (char name[2] = "a"; name[0] < 'e'; name[0]++) {
        struct ldb_memory_node *node = ldb_memory_node_create(false);

        assert_non_null(node);
        change(tree->root, name, node, "");
        ldb_memory_node_unref(node);
    }
    for (uint64_t seed = 0; seed < SEEDS; seed++) {
        struct ldb_memory_node *root = NULL;
        size_t count = 0;

        assert_ldb_ok(
            ldb_memory_crash_copy(tree->root, LDB_CRASH_KEEP_TORN, seed, &root),
            NULL);
        while (count < 4 &&
               ldb_memory_dir_find(root, ldb_slice_make(&"abcd"[count], 1)))
            count++;
        assert_int_equal(root->live.count, count + 1); /* and "f" */
        assert_int_equal(root->durable.count, count + 1);
        seen[count]++;
        ldb_memory_node_unref(root);
    }
    for (size_t i = 0; i < 5; i++)
        assert_true(seen[i] > 0);
}

static void two_names_of_a_file_stay_so_in_every_directory(void **state)
{
    const struct tree *tree = *state;
    struct ldb_memory_node *sub = ldb_memory_node_create(true);
    struct ldb_memory_node *root = NULL;
    struct ldb_memory_node *copy;

    assert_non_null(sub);
    change(tree->root, "sub", sub, "");
    change(sub, "link", tree->file, "");
    ldb_memory_node_unref(sub);
    assert_ldb_ok(
        ldb_memory_crash_copy(tree->root, LDB_CRASH_KEEP_ALL, 1, &root), NULL);
    copy = ldb_memory_dir_find(root, ldb_slice_str("sub"));
    assert_non_null(copy);
    copy = ldb_memory_dir_find(copy, ldb_slice_str("link"));
    assert_non_null(copy);
    assert_ptr_equal(copy, ldb_memory_dir_find(root, ldb_slice_str("f")));
    assert_ptr_not_equal(copy, tree->file);
    ldb_memory_node_unref(root);
}

static void many_names_are_found(void **state)
{
    const struct tree *tree = *state;

    for (int i = 0; i < 500; i++) {
        char name[] = {(char)('A' + i * 7 % 25), (char)('a' + i / 25), '\0'};
        struct ldb_memory_node *node = ldb_memory_node_create(false);

        assert_non_null(node);
        change(tree->root, name, node, "");
        ldb_memory_node_unref(node);
    }
    for (int i = 0; i < 500; i++) {
        char name[] = {(char)('A' + i % 25), (char)('a' + i / 25), '\0'};

        assert_non_null(ldb_memory_dir_find(tree->root, ldb_slice_str(name)));
    }
    assert_null(ldb_memory_dir_find(tree->root, ldb_slice_str("A")));
    assert_null(ldb_memory_dir_find(tree->root, ldb_slice_str("Aaa")));
    assert_int_equal(tree->root->live.count, 501);
}

static void a_copy_without_memory_leaves_nothing_behind(void **state)
{
    const struct tree *tree = *state;
    struct ldb_memory_node *sub = ldb_memory_node_create(true);

    assert_non_null(sub);
    change(tree->root, "sub", sub, "");
    change(sub, "link", tree->file, "");
    change(sub, "again", tree->file, "link");
    ldb_memory_node_unref(sub);
    append(tree->file, "text");
    for (uint64_t n = 1;; n++) {
        struct ldb_memory_node *root = NULL;
        enum ldb_status s;

        mem_fault_start(n, MEM_FAULT_ONCE);
        s = ldb_memory_crash_copy(tree->root, LDB_CRASH_KEEP_ALL, 1, &root);
        if (!mem_fault_stop()) {
            assert_int_equal(s, LDB_OK);
            ldb_memory_node_unref(root);
            break;
        }
        assert_int_equal(s, LDB_NO_MEMORY);
        assert_null(root);
        assert_null(tree->file->copy);
    }
}

int main(void)
{
#define TEST(function)                                                         \
    cmocka_unit_test_setup_teardown(function, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(unsynced_bytes_are_lost_kept_or_torn),
        TEST(an_unsynced_cut_may_be_undone),
        TEST(a_cut_of_unsynced_bytes_loses_no_synced_ones),
        TEST(names_are_durable_after_the_sync_of_their_directory),
        TEST(a_rename_is_whole_or_not_at_all),
        TEST(changes_survive_in_their_order),
        TEST(two_names_of_a_file_stay_so_in_every_directory),
        TEST(many_names_are_found),
        TEST(a_copy_without_memory_leaves_nothing_behind),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
