/* Levels that repair finds for tables without a MANIFEST. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/include/ldb.h"
#include "storage/version/current_file.h"
#include "storage/version/recovered.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/env_fault.h"
#include "tests/support/version_tables.h"

#define TABLES_MAX 8

static void repair(struct version_tables *tables)
{
    struct ldb_options options;
    struct ldb_error err = {0};

    ldb_options_init(&options);
    options.env = tables->env;
    assert_ldb_ok(ldb_repair(VERSION_TABLES_DIR, &options, NULL, NULL, &err),
                  &err);
}

/* The version that repair has written. */
static void read_version(struct version_tables *tables,
                         struct ldb_recovered *out)
{
    struct ldb_error err = {0};
    uint64_t number = 0;
    bool is_settled = false;

    assert_ldb_ok(ldb_current_read(tables->env, VERSION_TABLES_DIR, &err,
                                   &number, &is_settled),
                  &err);
    assert_ldb_ok(ldb_recovered_read(out, tables->env, VERSION_TABLES_DIR,
                                     number, tables->options.comparator, &err),
                  &err);
}

/* "3 + ...": the level of each table in the order of its number; '+': it is
 * not there any more. "/ 5 ..." after them: the levels of new tables. */
static void print_levels(struct version_tables *tables, size_t count,
                         char out[8 * TABLES_MAX])
{
    struct ldb_recovered state = {0};
    char levels[TABLES_MAX];
    size_t len = 0;

    read_version(tables, &state);
    memset(levels, '+', sizeof(levels));
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        for (size_t i = 0; i < state.version->levels[l].count; i++) {
            uint64_t number = state.version->levels[l].files[i]->number;

            if (number <= count)
                levels[number - 1] = (char)('0' + l);
        }
    }
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(out + len, 8 * TABLES_MAX - len, "%s%c",
                                i > 0 ? " " : "", levels[i]);
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++) {
        for (size_t i = 0; i < state.version->levels[l].count; i++) {
            if (state.version->levels[l].files[i]->number > count)
                len += (size_t)snprintf(out + len, 8 * TABLES_MAX - len,
                                        " / %u", (unsigned)l);
        }
    }
    ldb_recovered_release(&state);
}

/* ---- rows ---- */

static const struct row {
    const char *name;
    const char *tables[TABLES_MAX]; /* 1, 2, ... */
    const char *levels;
} rows[] = {
    {"one table sinks to the last level", {"a@1=x"}, "6"},
    {"tables apart share a level", {"a@1=x b@2=x", "c@3=x d@4=x"}, "6 6"},
    {"a newer one stands above", {"a@1=x z@2=x", "c@3=x d@4=x"}, "6 5"},
    {"numbers do not matter, sequences do",
     {"c@3=x d@4=x", "a@1=x z@2=x"},
     "5 6"},
    {"interleaved numbers: the common keys tell",
     {"a@1=x m@9=x", "a@5=x c@6=x"},
     "6 5"},
    {"...the other way round", {"a@5=x m@1=x", "a@3=x c@9=x"}, "5 6"},
    {"no common key: any order", {"a@1=x m@9=x", "b@5=x c@6=x"}, "5 6"},
    {"one key over two tables", {"a@1=x k@9=x", "k@2=x z@3=x"}, "5 6"},
    {"the same entries twice", {"a@1=x b@2=x", "a@1=x b@2=x"}, "6 5"},
    {"a chain", {"a@1=x z@2=x", "a@3=x z@4=x", "a@5=x z@6=x"}, "6 5 4"},
    {"a chain deeper than the levels",
     {"a@1=x", "a@2=x", "a@3=x", "a@4=x", "a@5=x", "a@6=x", "a@7=x", "a@8=x"},
     "6 5 4 3 2 1 0 0"},
    {"contradicting ones are merged",
     {"a@1=x b@9=x", "a@5=x b@6=x"},
     "+ + / 6"},
    {"what is newer than a contradiction too",
     {"a@1=x b@4=x", "a@3=x b@2=x", "a@9=x z@8=x", "y@1=x z@2=x"},
     "+ + + 6 / 5"},
    {"the newest entry counts, not the older ones beside it",
     {"a@9=x a@2=x", "a@5=x a@4=x"},
     "5 6"},
};

static void rows_get_their_levels(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct version_tables tables;
        char levels[8 * TABLES_MAX];
        size_t count = 0;

        version_tables_init(&tables);
        for (; count < TABLES_MAX && rows[i].tables[count] != NULL; count++)
            version_tables_add(&tables, 0, count + 1, rows[i].tables[count]);
        repair(&tables);
        print_levels(&tables, count, levels);
        if (strcmp(levels, rows[i].levels) != 0)
            fail_msg("%s: expected %s, got %s", rows[i].name, rows[i].levels,
                     levels);
        version_tables_release(&tables);
    }
}

/* ---- any tables at all ---- */

#define KEYS   12
#define ROUNDS 300

struct expected {
    unsigned sequence; /* of the newest entry; 0: none */
    bool is_put;
};

static unsigned next_random(uint64_t *seed)
{
    *seed = *seed * 6364136223846793005U + 1442695040888963407U;
    return (unsigned)(*seed >> 33);
}

/* A table of some keys, with sequences of no order at all. */
static void add_random_table(struct version_tables *tables, uint64_t number,
                             unsigned *sequences, uint64_t *seed,
                             struct expected *expected)
{
    char text[512] = "";
    size_t len = 0;

    for (unsigned k = 0; k < KEYS; k++) {
        unsigned sequence = sequences[(number - 1) * KEYS + k];
        bool is_put = next_random(seed) % 4 != 0;

        if (next_random(seed) % 2 == 0 && !(k == KEYS - 1 && len == 0))
            continue;
        len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%c@%u%s",
                                len == 0 ? "" : " ", (char)('a' + k), sequence,
                                is_put ? "=x" : "d");
        if (sequence > expected[k].sequence)
            expected[k] =
                (struct expected){.sequence = sequence, .is_put = is_put};
    }
    version_tables_add(tables, 0, number, text);
}

/* The table of the level with the greatest number below; NULL: none. */
static const struct ldb_file_meta *next_below(const struct ldb_level *level,
                                              uint64_t below)
{
    const struct ldb_file_meta *next = NULL;

    for (size_t i = 0; i < level->count; i++) {
        const struct ldb_file_meta *file = level->files[i];

        if (file->number < below &&
            (next == NULL || next->number < file->number))
            next = file;
    }
    return next;
}

/* What the first table that has the key says, level by level, of level 0 the
 * greater numbers first: so does LevelDB look. 0: none has it. */
static uint64_t get_as_leveldb(struct version_tables *tables,
                               const struct ldb_version *version,
                               struct ldb_slice key)
{
    struct ldb_buf target = LDB_BUF_INIT(SIZE_MAX);
    struct ldb_buf value = LDB_BUF_INIT(SIZE_MAX);
    enum ldb_status s = LDB_NOT_FOUND;
    struct ldb_error err = {0};
    uint64_t tag = 0;

    assert_int_equal(
        ldb_internal_key_append(&target, key,
                                ldb_tag_make(LDB_SEQUENCE_MAX, LDB_KIND_SEEK)),
        LDB_OK);
    for (uint32_t l = 0; s == LDB_NOT_FOUND && l < LDB_LEVEL_COUNT; l++) {
        const struct ldb_level *level = &version->levels[l];

        for (const struct ldb_file_meta *file = next_below(level, UINT64_MAX);
             s == LDB_NOT_FOUND && file != NULL;
             file = next_below(level, file->number))
            s = ldb_table_cache_get(tables->cache, file->number, file->size,
                                    &tables->read, ldb_slice_of_buf(&target),
                                    &err, &value, &tag);
    }
    ldb_buf_release(&target);
    ldb_buf_release(&value);
    if (s == LDB_NOT_FOUND)
        return 0;
    assert_ldb_ok(s, &err);
    return tag;
}

static void check_newest_wins(struct version_tables *tables, unsigned round,
                              const struct expected *expected)
{
    struct ldb_recovered state = {0};

    read_version(tables, &state);
    for (unsigned k = 0; k < KEYS; k++) {
        char key[2] = {(char)('a' + k), '\0'};
        uint64_t tag =
            get_as_leveldb(tables, state.version, ldb_slice_str(key));
        uint64_t wanted =
            ldb_tag_make(expected[k].sequence,
                         expected[k].is_put ? LDB_KIND_PUT : LDB_KIND_DELETE);

        if (expected[k].sequence == 0)
            wanted = 0;
        if (tag != wanted)
            fail_msg("round %u: %s: expected tag %llx, got %llx", round, key,
                     (unsigned long long)wanted, (unsigned long long)tag);
    }
    ldb_recovered_release(&state);
}

/* Every number once, shuffled. */
static void shuffle(unsigned *sequences, size_t count, uint64_t *seed)
{
    for (size_t i = 0; i < count; i++)
        sequences[i] = (unsigned)i + 1;
    for (size_t i = count; i > 1; i--) {
        size_t j = next_random(seed) % i;
        unsigned kept = sequences[i - 1];

        sequences[i - 1] = sequences[j];
        sequences[j] = kept;
    }
}

static void the_newest_entry_wins_whatever_the_tables_are(void **state)
{
    const char *text = getenv("LEVELD_TEST_SEED");
    uint64_t seed = text == NULL ? 20261125 : strtoull(text, NULL, 10);

    (void)state;
    print_message("LEVELD_TEST_SEED=%llu\n", (unsigned long long)seed);
    for (unsigned round = 0; round < ROUNDS; round++) {
        unsigned sequences[TABLES_MAX * KEYS];
        struct expected expected[KEYS] = {0};
        struct version_tables tables;
        unsigned count = 1 + next_random(&seed) % TABLES_MAX;

        version_tables_init(&tables);
        /* Half of the rounds: tables one after the other, as flushes are. */
        shuffle(sequences, TABLES_MAX * KEYS, &seed);
        for (size_t i = 0; round % 2 == 0 && i < TABLES_MAX * KEYS; i++)
            sequences[i] = (unsigned)i + 1;
        for (unsigned n = 1; n <= count; n++)
            add_random_table(&tables, n, sequences, &seed, expected);
        repair(&tables);
        check_newest_wins(&tables, round, expected);
        version_tables_release(&tables);
    }
}

/* ---- while the disk fails ---- */

static void a_failed_merge_can_be_repeated(void **state)
{
    static const char *const texts[] = {"a@1=x b@9=x c@2=x",
                                        "a@5=x b@6=x d@3=x", "a@7=x d@8d"};
    static const struct expected expected[KEYS] = {
        {7, true}, {9, true}, {2, true}, {8, false}};
    unsigned failed = 0;
    uint64_t reached = 1;

    (void)state;
    for (uint64_t nth = 1; reached > 0; nth++) {
        struct version_tables tables;
        struct ldb_options options;
        struct ldb_error err = {0};
        struct env_fault *fault;
        enum ldb_status s;

        version_tables_init(&tables);
        for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
            version_tables_add(&tables, 0, i + 1, texts[i]);
        fault = env_fault_create(tables.env);
        ldb_options_init(&options);
        options.env = env_fault_env(fault);
        env_fault_fail(fault,
                       &(struct env_fault_rule){.nth = nth, .sys_errno = EIO});
        s = ldb_repair(VERSION_TABLES_DIR, &options, NULL, NULL, &err);
        failed += s != LDB_OK;
        reached = env_fault_failed(fault);
        env_fault_destroy(fault);
        repair(&tables);
        check_newest_wins(&tables, (unsigned)nth, expected);
        version_tables_release(&tables);
    }
    assert_true(failed > 30);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_get_their_levels),
        cmocka_unit_test(the_newest_entry_wins_whatever_the_tables_are),
        cmocka_unit_test(a_failed_merge_can_be_repeated),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
