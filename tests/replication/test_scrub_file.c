/* One file, sound or damaged in each way that there is. */
#include "replication/scrub_file.h"

#include <errno.h>

#include "replication/digest_file.h"
#include "storage/base/mem.h"
#include "storage/retained.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/heal_scene.h"
#include "tests/support/mem_fault.h"

struct looks {
    uint64_t bytes; /* asked for */
    unsigned asked;
    unsigned limit; /* questions that are answered with yes; 0: all */
};

static bool goes_on(void *context, uint64_t bytes)
{
    struct looks *looks = context;

    looks->bytes += bytes;
    looks->asked++;
    return looks->limit == 0 || looks->asked <= looks->limit;
}

static enum ldb_status look_with(struct heal_scene *s, struct looks *looks,
                                 const struct repl_digest_file *file,
                                 struct repl_scrub_verdict *out)
{
    static uint8_t scratch[REPL_DIGEST_READ_SIZE];
    const struct repl_scrub_reader reader = {
        .env = s->env,
        .dir = HEAL_SCENE_HERE,
        .digests = s->digests,
        .goes_on = goes_on,
        .context = looks,
        .scratch = scratch,
    };

    return repl_scrub_file(&reader, file, &s->err, out);
}

static struct repl_scrub_verdict look(struct heal_scene *s,
                                      const struct repl_digest_file *file)
{
    struct repl_scrub_verdict verdict = {0};
    struct looks looks = {0};

    assert_ldb_ok(look_with(s, &looks, file, &verdict), &s->err);
    assert_true(looks.bytes == file->size || verdict.kind != REPL_SCRUB_SOUND);
    return verdict;
}

static struct repl_scrub_verdict look_at(struct heal_scene *s, size_t i)
{
    struct repl_digest_file file = heal_scene_file(s, i);

    return look(s, &file);
}

static void a_sound_table_gets_a_digest(void **state)
{
    struct heal_scene *s = *state;
    struct repl_digest_file file = heal_scene_file(s, 0);
    struct repl_scrub_verdict verdict = look_at(s, 0);
    struct ldb_digest digest = {0};

    assert_int_equal(REPL_SCRUB_SOUND, verdict.kind);
    assert_false(verdict.has_known);
    assert_true(repl_digest_index_get(s->digests, &file, &digest));
    assert_true(ldb_digest_equal(&digest, &verdict.digest));
    verdict = look_at(s, 0);
    assert_int_equal(REPL_SCRUB_SOUND, verdict.kind);
    assert_true(verdict.has_known);
}

static void a_changed_block_is_found_and_gets_none(void **state)
{
    struct heal_scene *s = *state;
    struct repl_digest_file file = heal_scene_file(s, 1);
    struct repl_scrub_verdict verdict;
    struct ldb_digest digest;

    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 2500);
    verdict = look_at(s, 1);
    assert_int_equal(REPL_SCRUB_CHECKSUM, verdict.kind);
    assert_string_equal(heal_scene_name(s, 1), verdict.name);
    assert_true(verdict.first <= 2500 && verdict.end > 2500);
    assert_ldb_message(heal_scene_name(s, 1), &verdict.why);
    assert_true(verdict.has_digest);
    assert_false(repl_digest_index_get(s->digests, &file, &digest));
}

/* The padding of the footer, which no checksum covers. */
static void what_no_checksum_covers_the_digest_tells(void **state)
{
    struct heal_scene *s = *state;
    uint64_t at = s->size - 12;

    heal_scene_flip(s, HEAL_SCENE_HERE, 2, at);
    assert_int_equal(REPL_SCRUB_SOUND, look_at(s, 2).kind);
    heal_scene_flip(s, HEAL_SCENE_HERE, 2, at); /* now it differs from that */
    assert_int_equal(REPL_SCRUB_DIGEST, look_at(s, 2).kind);
}

static void another_length_is_told(void **state)
{
    struct heal_scene *s = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);

    assert_true(
        heal_scene_read(s, HEAL_SCENE_HERE, heal_scene_name(s, 0), &bytes));
    heal_scene_write(s, HEAL_SCENE_HERE, heal_scene_name(s, 0),
                     ldb_slice_make(bytes.data, bytes.len - 1));
    assert_int_equal(REPL_SCRUB_SIZE, look_at(s, 0).kind);
    assert_ldb_ok(ldb_buf_append_byte(&bytes, 'x'), NULL);
    heal_scene_write(s, HEAL_SCENE_HERE, heal_scene_name(s, 0),
                     ldb_slice_of_buf(&bytes));
    assert_int_equal(REPL_SCRUB_SIZE, look_at(s, 0).kind);
    ldb_buf_release(&bytes);
}

static void a_missing_table_is_told(void **state)
{
    struct heal_scene *s = *state;
    struct repl_digest_file file = {
        .type = LDB_FILE_TABLE, .number = 777, .size = 100};
    struct repl_scrub_verdict verdict = look(s, &file);

    assert_int_equal(REPL_SCRUB_MISSING, verdict.kind);
    assert_string_equal("000777.ldb", verdict.name);
    file.type = LDB_FILE_JOURNAL;
    verdict = look(s, &file);
    assert_int_equal(REPL_SCRUB_MISSING, verdict.kind);
    assert_string_equal("000777.log", verdict.name);
}

/* A bad sector is damage; a want of descriptors is none. */
static void bytes_that_the_disk_does_not_give_are_damage(void **state)
{
    struct heal_scene *s = *state;
    struct env_fault_rule fault = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_READ),
        .path = heal_scene_name(s, 0),
        .nth = 1,
        .from_then_on = true,
        .sys_errno = EIO,
    };
    struct repl_scrub_verdict verdict = {.kind = REPL_SCRUB_SOUND};
    struct repl_digest_file file = heal_scene_file(s, 0);
    struct looks looks = {0};

    env_fault_fail(s->fault, &fault);
    assert_int_equal(REPL_SCRUB_UNREADABLE, look_at(s, 0).kind);
    fault.kinds = ENV_FAULT_BIT(ENV_FAULT_OPEN_SEQUENTIAL);
    fault.sys_errno = EMFILE;
    env_fault_fail(s->fault, &fault);
    assert_ldb_status(LDB_IO, look_with(s, &looks, &file, &verdict), &s->err);
    env_fault_fail(s->fault, NULL);
}

static void it_is_given_up_between_two_reads(void **state)
{
    struct heal_scene *s = *state;
    struct repl_digest_file file = heal_scene_file(s, 0);
    struct repl_scrub_verdict verdict;

    for (unsigned limit = 1;; limit++) {
        struct looks looks = {.limit = limit};
        enum ldb_status status = look_with(s, &looks, &file, &verdict);

        if (status == LDB_OK) {
            assert_true(limit > 2);
            break;
        }
        assert_ldb_status(LDB_CANCELLED, status, &s->err);
        assert_int_equal(limit + 1, looks.asked);
    }
}

/* ---- journals ---- */

/* A sealed one, wherever it lies; its path below HERE into out_name. */
static struct repl_digest_file seal(struct heal_scene *s, char out_name[64])
{
    struct ldb_retained_journal journals[16];
    size_t count;

    assert_ldb_ok(ldb_put(s->db, ldb_slice_str("key000000"),
                          ldb_slice_str("again"), true, &s->err, NULL),
                  &s->err);
    assert_ldb_ok(ldb_flush(s->db, &s->err), &s->err);
    count = ldb_retained_list(ldb_db_retained(s->db), 0, journals, 16);
    for (size_t i = count; i-- > 0;) {
        if (!journals[i].is_sealed || journals[i].len == 0)
            continue;
        (void)snprintf(out_name, 64, LDB_ARCHIVE_FOLDER "/%06llu.log",
                       (unsigned long long)journals[i].number);
        if (!heal_scene_has(s, out_name))
            (void)snprintf(out_name, 64, "%06llu.log",
                           (unsigned long long)journals[i].number);
        return (struct repl_digest_file){.type = LDB_FILE_JOURNAL,
                                         .number = journals[i].number,
                                         .size = journals[i].len};
    }
    fail();
    return (struct repl_digest_file){0};
}

static void every_changed_byte_of_a_journal_is_found(void **state)
{
    struct heal_scene *s = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    char name[64];
    struct repl_digest_file file = seal(s, name);
    struct ldb_digest digest;

    assert_true(heal_scene_read(s, HEAL_SCENE_HERE, name, &bytes));
    for (size_t at = 0; at < file.size; at++) {
        struct repl_scrub_verdict verdict;

        bytes.data[at] ^= 0x10;
        heal_scene_write(s, HEAL_SCENE_HERE, name, ldb_slice_of_buf(&bytes));
        verdict = look(s, &file);
        assert_int_equal(REPL_SCRUB_CHECKSUM, verdict.kind);
        assert_true(verdict.first <= at && verdict.end > at);
        bytes.data[at] ^= 0x10;
    }
    heal_scene_write(s, HEAL_SCENE_HERE, name, ldb_slice_of_buf(&bytes));
    assert_false(repl_digest_index_get(s->digests, &file, &digest));
    assert_int_equal(REPL_SCRUB_SOUND, look(s, &file).kind);
    assert_true(repl_digest_index_get(s->digests, &file, &digest));
    ldb_buf_release(&bytes);
}

static void no_memory_is_told(void **state)
{
    struct heal_scene *s = *state;
    char name[64];
    struct repl_digest_file files[2] = {heal_scene_file(s, 0), seal(s, name)};

    for (size_t i = 0; i < 2; i++) {
        for (uint64_t n = 1;; n++) {
            struct repl_scrub_verdict verdict;
            struct looks looks = {0};
            enum ldb_status status;

            mem_fault_start(n, MEM_FAULT_ONCE);
            status = look_with(s, &looks, &files[i], &verdict);
            if (!mem_fault_stop())
                break;
            /* That of the digest is forgone. */
            if (status != LDB_OK)
                assert_ldb_status(LDB_NO_MEMORY, status, &s->err);
        }
    }
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, heal_scene_setup, heal_scene_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_sound_table_gets_a_digest),
        CASE(a_changed_block_is_found_and_gets_none),
        CASE(what_no_checksum_covers_the_digest_tells),
        CASE(another_length_is_told),
        CASE(a_missing_table_is_told),
        CASE(bytes_that_the_disk_does_not_give_are_damage),
        CASE(it_is_given_up_between_two_reads),
        CASE(every_changed_byte_of_a_journal_is_found),
        CASE(no_memory_is_told),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
