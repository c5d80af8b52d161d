/* Whole tables and damaged ones, every byte of one changed in turn. */
#include "replication/table_check.h"

#include "storage/pinned_files.h"
#include "storage/table/table_format.h"
#include "storage/version/version.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/heal_scene.h"
#include "tests/support/mem_fault.h"

#define PATH_SIZE 64

static const char *path_of(const struct heal_scene *s, size_t i)
{
    static char path[PATH_SIZE];

    (void)snprintf(path, sizeof(path), HEAL_SCENE_HERE "/%s",
                   heal_scene_name(s, i));
    return path;
}

static struct repl_table_damage look(struct heal_scene *s, size_t i)
{
    struct repl_table_damage damage = {0};

    assert_ldb_ok(repl_table_check_blocks(s->env, path_of(s, i), "000001.ldb",
                                          s->size, NULL, NULL, &s->err,
                                          &damage),
                  &s->err);
    return damage;
}

/* ---- blocks ---- */

static void a_sound_table_has_no_damage(void **state)
{
    struct heal_scene *s = *state;
    struct repl_table_damage damage = look(s, 0);

    assert_int_equal(0, damage.damaged);
    /* Six of data, filter, metaindex and index. */
    assert_true(damage.blocks >= 8);
}

/* Where it lies is told, but for the footer's padding, which nothing covers. */
static void every_changed_byte_of_a_block_is_found(void **state)
{
    struct heal_scene *s = *state;

    for (uint64_t at = 0; at < s->size - LDB_FOOTER_SIZE; at++) {
        struct repl_table_damage damage;

        heal_scene_flip(s, HEAL_SCENE_HERE, 1, at);
        damage = look(s, 1);
        if (damage.damaged == 0 || damage.first > at || damage.end <= at)
            fail_msg("byte %llu: %llu damaged, %llu to %llu",
                     (unsigned long long)at, (unsigned long long)damage.damaged,
                     (unsigned long long)damage.first,
                     (unsigned long long)damage.end);
        assert_ldb_message("000001.ldb", &damage.why);
        heal_scene_flip(s, HEAL_SCENE_HERE, 1, at);
    }
    assert_int_equal(0, look(s, 1).damaged);
}

static void damage_is_told_from_the_first_to_the_last(void **state)
{
    struct heal_scene *s = *state;
    struct repl_table_damage damage;

    heal_scene_flip(s, HEAL_SCENE_HERE, 0, 10);
    heal_scene_flip(s, HEAL_SCENE_HERE, 0, 3000);
    damage = look(s, 0);
    assert_int_equal(2, damage.damaged);
    assert_int_equal(0, damage.first);
    assert_true(damage.end > 3000);
    assert_ldb_message("block at 0", &damage.why);
}

static void what_is_no_table_is_damaged(void **state)
{
    static const char *const texts[] = {"", "short"};
    struct heal_scene *s = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    struct repl_table_damage damage = {0};

    for (size_t i = 0; i < 2; i++) {
        heal_scene_write(s, HEAL_SCENE_HERE, "x", ldb_slice_str(texts[i]));
        assert_ldb_ok(repl_table_check_blocks(s->env, HEAL_SCENE_HERE "/x", "x",
                                              strlen(texts[i]), NULL, NULL,
                                              &s->err, &damage),
                      &s->err);
        assert_int_equal(1, damage.damaged);
    }
    assert_true(
        heal_scene_read(s, HEAL_SCENE_HERE, heal_scene_name(s, 0), &bytes));
    bytes.data[bytes.len - 1] ^= 1; /* the magic */
    heal_scene_write(s, HEAL_SCENE_HERE, "x", ldb_slice_of_buf(&bytes));
    assert_ldb_ok(repl_table_check_blocks(s->env, HEAL_SCENE_HERE "/x", "x",
                                          bytes.len, NULL, NULL, &s->err,
                                          &damage),
                  &s->err);
    assert_int_equal(1, damage.damaged);
    assert_int_equal(bytes.len - LDB_FOOTER_SIZE, damage.first);
    assert_ldb_status(LDB_NOT_FOUND,
                      repl_table_check_blocks(s->env, HEAL_SCENE_HERE "/none",
                                              "none", 100, NULL, NULL, &s->err,
                                              &damage),
                      &s->err);
    ldb_buf_release(&bytes);
}

static bool never(void *context)
{
    (void)context;
    return false;
}

static void it_is_given_up(void **state)
{
    struct heal_scene *s = *state;
    struct repl_table_damage damage = {.damaged = 77};

    assert_ldb_status(LDB_CANCELLED,
                      repl_table_check_blocks(s->env, path_of(s, 0), "x",
                                              s->size, never, NULL, &s->err,
                                              &damage),
                      &s->err);
    assert_int_equal(77, damage.damaged);
}

/* ---- all of it ---- */

/* What the version says of table i; held until release. */
static struct repl_table_meta meta_of(struct heal_scene *s, size_t i,
                                      struct ldb_pinned_files *pinned)
{
    const struct ldb_level *level;

    assert_ldb_ok(ldb_pinned_files_take(s->db, &s->err, pinned), &s->err);
    level = &pinned->version->levels[0];
    for (size_t k = 0; k < level->count; k++) {
        const struct ldb_file_meta *file = level->files[k];

        if (file->number == s->tables[i])
            return (struct repl_table_meta){.size = file->size,
                                            .smallest = file->smallest,
                                            .largest = file->largest};
    }
    fail();
    return (struct repl_table_meta){0};
}

static enum ldb_status check(struct heal_scene *s, size_t i,
                             const struct repl_table_meta *meta)
{
    return repl_table_check_whole(s->env, path_of(s, i), "000001.ldb",
                                  ldb_comparator_bytewise(), meta, &s->err);
}

static void a_table_is_held_against_its_version(void **state)
{
    struct heal_scene *s = *state;
    struct ldb_pinned_files pinned;
    struct repl_table_meta meta = meta_of(s, 1, &pinned);
    struct repl_table_meta other = meta;

    assert_ldb_ok(check(s, 1, &meta), &s->err);
    assert_ldb_status(LDB_CORRUPTION, check(s, 0, &meta), &s->err);
    assert_ldb_message("first entry", &s->err);
    other.smallest = meta.largest;
    assert_ldb_status(LDB_CORRUPTION, check(s, 1, &other), &s->err);
    assert_ldb_message("first entry", &s->err);
    other = meta;
    other.largest = meta.smallest;
    assert_ldb_status(LDB_CORRUPTION, check(s, 1, &other), &s->err);
    assert_ldb_message("last entry", &s->err);
    other = meta;
    other.size++;
    assert_ldb_status(LDB_CORRUPTION, check(s, 1, &other), &s->err);
    assert_ldb_message("bytes", &s->err);
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 2000);
    assert_ldb_status(LDB_CORRUPTION, check(s, 1, &meta), &s->err);
    ldb_pinned_files_release(&pinned);
}

static void no_memory_is_told(void **state)
{
    struct heal_scene *s = *state;
    struct ldb_pinned_files pinned;
    struct repl_table_meta meta = meta_of(s, 1, &pinned);

    for (uint64_t n = 1;; n++) {
        enum ldb_status status;

        mem_fault_start(n, MEM_FAULT_ONCE);
        status = check(s, 1, &meta);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, status, &s->err);
    }
    for (uint64_t n = 1;; n++) {
        struct repl_table_damage damage;
        enum ldb_status status;

        mem_fault_start(n, MEM_FAULT_ONCE);
        status = repl_table_check_blocks(s->env, path_of(s, 1), "x", s->size,
                                         NULL, NULL, &s->err, &damage);
        if (!mem_fault_stop())
            break;
        assert_ldb_status(LDB_NO_MEMORY, status, &s->err);
    }
    ldb_pinned_files_release(&pinned);
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, heal_scene_setup, heal_scene_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_sound_table_has_no_damage),
        CASE(every_changed_byte_of_a_block_is_found),
        CASE(damage_is_told_from_the_first_to_the_last),
        CASE(what_is_no_table_is_damaged),
        CASE(it_is_given_up),
        CASE(a_table_is_held_against_its_version),
        CASE(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
