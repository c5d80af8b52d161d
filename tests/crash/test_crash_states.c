/*
 * Every state that a power cut can leave of a database's life, at each call
 * that changes the disk: flush, compaction, journal switch, MANIFEST rotation,
 * recovery, a failed sync and what heals it, close. What was not synced is
 * kept, lost, torn, zeroed or garbage, names and bytes apart, and of a mapped
 * journal page by page (tests/support/env_crash.h).
 *
 * Each opens; no write that had to survive is missing; the writes that are
 * there are a prefix of all, each whole; CURRENT is never missing; what is
 * left over goes; and opening can be cut as well. Of a sample both oracles say
 * the same as we do, before we open it and after.
 *
 * LEVELD_FULL=1 takes every position of the scripted mapped life, too.
 * LEVELD_CRASH_STATES=N is the long form: random lives until the oracles have
 * opened N states, and we 50 N. LEVELD_SEED=n begins with that one.
 */
#include <stdio.h>
#include <stdlib.h>

#include "storage/version/file_names.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/crash_run.h"
#include "tests/support/oracles.h"

/* Flushes, a rotation, both kinds of compaction, heals, two reopens. */
#define SCRIPT      "swwsfwswfsawfcstwwofwwssrwssfwcsowst"
#define RANDOM_LEN  40 /* letters of a random script */
#define LAZY_SCRIPT "wwwwwwwwwwwwwwwwwwwwwwwww"
/* Flushes of several memtables. */
#define GROUP_SCRIPT "smwsmoswm"
/* Unsynced writes over more than a block of the journal. */
#define LONG_SCRIPT                                                            \
    "wwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwwww" \
    "sswwwwwwwwwwwwwwwwwwwwwwwwwwww"
#define SEED 20240919

#define SEEDS_MAX      2
#define COMPACT_ONE_IN 10 /* states are compacted rather than only flushed */

static const struct crash_run_kind appended = {.journal = LDB_JOURNAL_APPENDED};
static const struct crash_run_kind mapped = {.journal = LDB_JOURNAL_MAPPED};
static const struct crash_run_kind lazy = {.lazy = true};
/* Its buffer has early syncs far apart. */
static const struct crash_run_kind mapped_wide = {
    .journal = LDB_JOURNAL_MAPPED, .write_buffer_bytes = 512 << 10};

#if defined(__SANITIZE_THREAD__)
#define LARGER 13 /* steps, for the time that it takes */
#elif defined(__SANITIZE_ADDRESS__)
#define LARGER 5
#else
#define LARGER 1
#endif

/* How much of a life is looked at. */
struct pace {
    uint64_t step;            /* of positions */
    uint64_t seeds;           /* states by chance of a kind, <= SEEDS_MAX */
    uint64_t recovery_one_in; /* so many states has its recovery cut as well;
                                 0: none has */
    uint64_t oracles_one_in;  /* is shown to the oracles; 0: none is */
};

struct counts {
    uint64_t lives;
    uint64_t positions;
    uint64_t states;
    uint64_t recoveries; /* states of cut recoveries */
    uint64_t raw;        /* shown to the oracles as the cut left them */
    uint64_t opened;     /* and after we had opened them */
    unsigned heals;
};

struct look {
    const struct crash_run *run;
    const struct pace *pace;
    uint64_t position;
    enum env_crash_keep keep;
    uint64_t number; /* of the state */
    bool with_oracles;
    struct counts *counts;
};

static char complaint[700];

LDB_PRINTF(1, 2)
static const char *complain(const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(complaint, sizeof(complaint), format, args);
    va_end(args);
    return complaint;
}

/* ---- what a folder has to be like ---- */

static bool has_current(struct ldb_env *env)
{
    uint64_t size;

    return env->ops->file_size(env, CRASH_RUN_DIR "/CURRENT", NULL, &size) ==
           LDB_OK;
}

struct files {
    unsigned of_type[LDB_FILE_LOG + 1];
};

static enum ldb_status count_file(void *context, const char *name)
{
    struct files *files = context;
    uint64_t number;

    files->of_type[ldb_file_name_parse(name, &number)]++;
    return LDB_OK;
}

/* Nothing is left over: one MANIFEST, no journal but the live one, the tables
 * of the version, nothing half made. */
static const char *check_files(struct ldb_env *env, struct ldb_db *db)
{
    struct files files = {0};
    struct ldb_stats stats;
    uint64_t tables = 0;

    if (env->ops->list_dir(env, CRASH_RUN_DIR, count_file, &files, NULL) !=
        LDB_OK)
        return complain("the folder cannot be listed");
    ldb_stats(db, &stats);
    for (size_t level = 0; level < LDB_STATS_LEVELS; level++)
        tables += stats.levels[level].tables;
    if (files.of_type[LDB_FILE_TABLE] != tables)
        return complain("%u tables in the folder, %llu in the version",
                        files.of_type[LDB_FILE_TABLE],
                        (unsigned long long)tables);
    if (files.of_type[LDB_FILE_MANIFEST] != 1 ||
        files.of_type[LDB_FILE_JOURNAL] != 1 ||
        files.of_type[LDB_FILE_CURRENT] != 1)
        return complain("%u MANIFESTs, %u journals, %u CURRENTs",
                        files.of_type[LDB_FILE_MANIFEST],
                        files.of_type[LDB_FILE_JOURNAL],
                        files.of_type[LDB_FILE_CURRENT]);
    if (files.of_type[LDB_FILE_CURRENT_NEXT] + files.of_type[LDB_FILE_TMP] +
            files.of_type[LDB_FILE_DBTMP] >
        0)
        return complain("a half made file was left over");
    return NULL;
}

/* ---- opening a state ---- */

/* Tables stay as recovery leaves them: nothing compacts in the background. */
static void quiet_options(struct ldb_env *env, bool read_only,
                          struct ldb_options *out)
{
    crash_run_options(0, env, out);
    out->create_if_missing = !read_only;
    out->read_only = read_only;
    out->l0_compaction_trigger = 1000;
    out->l0_slowdown_trigger = 2000;
    out->l0_stop_trigger = 3000;
    out->level1_bytes = 1 << 30;
}

static const char *open_state(struct ldb_env *env, bool read_only,
                              struct ldb_db **out)
{
    struct ldb_options options;
    struct ldb_error err = {0};

    quiet_options(env, read_only, &options);
    if (ldb_open(CRASH_RUN_DIR, &options, NULL, &err, out) != LDB_OK)
        return complain("open: %s", err.message);
    return NULL;
}

/* Opens, dumps, closes. */
static const char *dump_state(struct ldb_env *env, bool read_only,
                              struct ldb_buf *out)
{
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    const char *why = open_state(env, read_only, &db);

    if (why != NULL)
        return why;
    oracles_dump_ours(db, out);
    if (ldb_close(db, &err) != LDB_OK)
        return complain("close: %s", err.message);
    return NULL;
}

static const char *show_oracles(struct ldb_env *env, struct ldb_slice dump,
                                const char *when)
{
    const char *why = oracles_compare(env, CRASH_RUN_DIR, dump);

    return why == NULL ? NULL : complain("%s: %s", when, why);
}

/* Whether a library reads such a state as we do: it takes zeros and garbage
 * inside a record for damage, where we see a torn tail, and goes on behind a
 * gap, where we stop. */
static bool is_read_alike(const struct look *look)
{
    switch (look->keep) {
    case ENV_CRASH_KEEP_NONE:
    case ENV_CRASH_KEEP_NAMES:
    case ENV_CRASH_KEEP_BYTES:
    case ENV_CRASH_KEEP_ALL:
    case ENV_CRASH_KEEP_ZEROS:
    case ENV_CRASH_KEEP_COUNT:
        break;
    case ENV_CRASH_KEEP_TORN:
        return look->run->kind.journal == LDB_JOURNAL_APPENDED;
    case ENV_CRASH_KEEP_GARBLED:
    case ENV_CRASH_KEEP_PAGES:
        return false;
    }
    return true;
}

/* As the cut left it. */
static const char *show_raw(const struct look *look, struct ldb_env *env)
{
    struct ldb_buf dump = LDB_BUF_INIT(ORACLES_DUMP_MAX);
    const char *why;

    if (!look->with_oracles || !has_current(env) || !is_read_alike(look))
        return NULL;
    why = dump_state(env, true, &dump);
    if (why == NULL)
        why = show_oracles(env, ldb_slice_of_buf(&dump), "as it was left");
    ldb_buf_release(&dump);
    look->counts->raw++;
    return why;
}

/* Goes on with an open state: a write, a flush or a compaction, a close. */
static const char *go_on(const struct look *look, struct ldb_db *db)
{
    struct ldb_error err = {0};
    enum ldb_status s = ldb_put(db, ldb_slice_str("~probe"), ldb_slice_str("1"),
                                true, &err, NULL);

    if (s == LDB_OK)
        s = look->number % COMPACT_ONE_IN == 0
                ? ldb_compact_range(db, NULL, NULL, &err)
                : ldb_flush(db, &err);
    if (s == LDB_OK && ldb_health(db, &err) != LDB_HEALTHY)
        s = LDB_IO;
    if (s != LDB_OK) {
        LDB_IGNORE(ldb_close(db, NULL));
        return complain("going on: %s", err.message);
    }
    if (ldb_close(db, &err) != LDB_OK)
        return complain("close: %s", err.message);
    return NULL;
}

/* After all of that: the same content and the write, and no file too many. */
static const char *look_again(const struct look *look, struct ldb_env *env,
                              struct ldb_buf *dump)
{
    struct ldb_buf again = LDB_BUF_INIT(ORACLES_DUMP_MAX);
    struct ldb_db *db = NULL;
    const char *why = open_state(env, true, &db);

    if (why != NULL)
        return why;
    assert_int_equal(ldb_buf_append(dump, ldb_slice_str("7e70726f6265\t31\n")),
                     LDB_OK);
    oracles_dump_ours(db, &again);
    if (!ldb_slice_equal(ldb_slice_of_buf(dump), ldb_slice_of_buf(&again)))
        why = complain("opened again it holds something else");
    if (why == NULL && look->number % COMPACT_ONE_IN != 0)
        why = check_files(env, db);
    LDB_IGNORE(ldb_close(db, NULL));
    if (why == NULL && look->with_oracles) {
        look->counts->opened++;
        why = show_oracles(env, ldb_slice_of_buf(&again), "after we opened it");
    }
    ldb_buf_release(&again);
    return why;
}

/* NULL, or what is wrong with a state. dump gets what it holds. */
static const char *check_state(const struct look *look, struct ldb_env *env,
                               struct ldb_buf *dump)
{
    enum history_must must =
        look->keep == ENV_CRASH_KEEP_ALL ? HISTORY_ACKED : HISTORY_DURABLE;
    struct ldb_db *db = NULL;
    const char *why;

    if (look->position >= look->run->opened_at && !has_current(env))
        return complain("CURRENT is missing");
    why = show_raw(look, env);
    if (why == NULL)
        why = open_state(env, false, &db);
    if (why != NULL)
        return why;
    why = history_check_at(look->run->history, db, must, look->position);
    if (why != NULL) {
        LDB_IGNORE(ldb_close(db, NULL));
        return why;
    }
    oracles_dump_ours(db, dump);
    why = go_on(look, db);
    return why == NULL ? look_again(look, env, dump) : why;
}

/* ---- a cut while a state is opened ---- */

static const char *check_cut(const struct look *look,
                             struct env_crash_disk *disk, uint64_t seed,
                             enum env_crash_keep keep, struct ldb_slice content)
{
    struct ldb_buf dump = LDB_BUF_INIT(ORACLES_DUMP_MAX);
    uint64_t hash;
    struct ldb_env *env = env_crash_disk_state(disk, keep, seed, &hash);
    const char *why = NULL;

    look->counts->recoveries++;
    if (!has_current(env))
        why = complain("CURRENT is missing");
    if (why == NULL)
        why = dump_state(env, false, &dump);
    if (why == NULL && !ldb_slice_equal(ldb_slice_of_buf(&dump), content))
        why = complain("it holds something else");
    ldb_buf_release(&dump);
    ldb_env_memory_destroy(env);
    return why;
}

/* Every cut of opening the state env holds leaves the same content. */
static const char *check_recovery(const struct look *look, struct ldb_env *env)
{
    static const enum env_crash_keep keeps[] = {
        ENV_CRASH_KEEP_NONE, ENV_CRASH_KEEP_ALL, ENV_CRASH_KEEP_TORN,
        ENV_CRASH_KEEP_NAMES};
    struct ldb_buf content = LDB_BUF_INIT(ORACLES_DUMP_MAX);
    struct env_crash *crash = env_crash_create(env, CRASH_RUN_DIR);
    struct env_crash_disk *disk = NULL;
    const char *why = dump_state(env_crash_env(crash), false, &content);

    if (why != NULL)
        goto out;
    disk = env_crash_disk_create(crash, ENV_CRASH_NO_MISTAKE);
    for (uint64_t p = 0; why == NULL && p <= env_crash_position(crash);
         p += LARGER) {
        env_crash_disk_advance(disk, p);
        for (size_t i = 0; why == NULL && i < 4; i++)
            why = check_cut(look, disk, look->number + p, keeps[i],
                            ldb_slice_of_buf(&content));
        if (why != NULL) {
            char inner[600];

            (void)snprintf(inner, sizeof(inner), "%.500s", why);
            why = complain("cut again at %llu of opening it: %s",
                           (unsigned long long)p, inner);
        }
    }
out:
    env_crash_disk_destroy(disk);
    env_crash_destroy(crash);
    ldb_buf_release(&content);
    return why;
}

/* ---- all states of a life ---- */

/* What was last looked at of one kind of state. */
struct seen {
    uint64_t hash;
    size_t answered;
    bool any;
};

static const char *look_at(struct look *look, struct env_crash_disk *disk,
                           uint64_t seed, struct seen *seen)
{
    const struct pace *pace = look->pace;
    struct ldb_buf dump = LDB_BUF_INIT(ORACLES_DUMP_MAX);
    size_t answered = history_answered_at(look->run->history, look->position);
    uint64_t hash;
    struct ldb_env *env = env_crash_disk_state(disk, look->keep, seed, &hash);
    const char *why = NULL;

    if (seen->any && seen->hash == hash && seen->answered == answered) {
        ldb_env_memory_destroy(env);
        return NULL;
    }
    *seen = (struct seen){.hash = hash, .answered = answered, .any = true};
    look->number++;
    look->counts->states++;
    look->with_oracles =
        pace->oracles_one_in > 0 && look->number % pace->oracles_one_in == 0;
    why = check_state(look, env, &dump);
    ldb_env_memory_destroy(env);
    ldb_buf_release(&dump);
    if (why != NULL || look->position < look->run->opened_at ||
        pace->recovery_one_in == 0 || look->number % pace->recovery_one_in != 0)
        return why;
    env = env_crash_disk_state(disk, look->keep, seed, &hash);
    why = check_recovery(look, env);
    ldb_env_memory_destroy(env);
    return why;
}

/* All kinds of states of one position. */
static const char *look_at_position(struct look *look,
                                    struct env_crash_disk *disk,
                                    struct seen seen[][SEEDS_MAX])
{
    const char *why = NULL;

    for (unsigned keep = 0; why == NULL && keep < ENV_CRASH_KEEP_COUNT;
         keep++) {
        bool is_random = keep == ENV_CRASH_KEEP_TORN ||
                         keep == ENV_CRASH_KEEP_GARBLED ||
                         keep == ENV_CRASH_KEEP_PAGES;

        look->keep = (enum env_crash_keep)keep;
        if (keep == ENV_CRASH_KEEP_PAGES &&
            look->run->kind.journal == LDB_JOURNAL_APPENDED)
            continue;
        for (uint64_t i = 0;
             why == NULL && i < (is_random ? look->pace->seeds : 1); i++)
            why = look_at(look, disk,
                          look->run->seed + look->position * SEEDS_MAX + i,
                          &seen[keep][i]);
    }
    return why;
}

/* NULL when all states of the life are right; else the first that is not. */
static const char *check_life(const struct crash_run *run,
                              enum env_crash_mistake mistake,
                              const struct pace *pace, struct counts *counts)
{
    struct env_crash_disk *disk = env_crash_disk_create(run->crash, mistake);
    struct seen seen[ENV_CRASH_KEEP_COUNT][SEEDS_MAX] = {0};
    struct look look = {.run = run, .pace = pace, .counts = counts};
    uint64_t end = env_crash_position(run->crash);
    const char *why = NULL;
    char inner[600];

    for (uint64_t p = 0; why == NULL && p <= end; p += pace->step) {
        look.position = p;
        counts->positions++;
        env_crash_disk_advance(disk, p);
        why = look_at_position(&look, disk, seen);
    }
    env_crash_disk_destroy(disk);
    if (why == NULL)
        return NULL;
    (void)snprintf(inner, sizeof(inner), "%.500s", why);
    return complain(
        "LEVELD_SEED=%llu, %s, \"%s\": position %llu of %llu, %s "
        "survives: %s",
        (unsigned long long)run->seed,
        run->kind.journal == LDB_JOURNAL_MAPPED ? "mapped" : "appended",
        run->script, (unsigned long long)look.position, (unsigned long long)end,
        env_crash_keep_text(look.keep), inner);
}

/* script NULL: a random one. */
static void one_life(const char *script, uint64_t seed,
                     const struct crash_run_kind *kind, const struct pace *pace,
                     struct counts *counts)
{
    char chosen[CRASH_RUN_SCRIPT_MAX];
    struct crash_run run;
    const char *why;

    crash_run_random_script(seed, RANDOM_LEN, chosen);
    crash_run_live(&run, script == NULL ? chosen : script, seed, kind);
    why = check_life(&run, ENV_CRASH_NO_MISTAKE, pace, counts);
    if (why != NULL)
        fail_msg("%s", why);
    counts->lives++;
    counts->heals += run.heals;
    crash_run_release(&run);
}

static uint64_t number_from(const char *variable, uint64_t otherwise)
{
    const char *given = getenv(variable);

    return given == NULL ? otherwise : strtoull(given, NULL, 10);
}

static void print_counts(const struct counts *counts)
{
    print_message("%llu lives, %llu positions: %llu states opened, %llu more "
                  "of cut recoveries; shown to both oracles: %llu as the cut "
                  "left them, %llu after we opened them\n",
                  (unsigned long long)counts->lives,
                  (unsigned long long)counts->positions,
                  (unsigned long long)counts->states,
                  (unsigned long long)counts->recoveries,
                  (unsigned long long)counts->raw,
                  (unsigned long long)counts->opened);
}

static void every_state_opens_and_holds_what_it_must(void **state)
{
    const struct pace whole = {
        .step = LARGER, .seeds = 1, .recovery_one_in = 800 / LARGER};
    const struct pace some = {
        .step = 5 * LARGER, .seeds = 2, .recovery_one_in = 200 / LARGER};
    const struct pace part = {
        .step = 9 * LARGER, .seeds = 2, .recovery_one_in = 200 / LARGER};
    uint64_t wanted = number_from("LEVELD_CRASH_STATES", 0);
    uint64_t seed = number_from("LEVELD_SEED", SEED);
    bool is_full = wanted > 0 || number_from("LEVELD_FULL", 0) == 1;
    struct counts counts = {0};

    (void)state;
    print_message("LEVELD_SEED=%llu\n", (unsigned long long)seed);
    one_life(SCRIPT, seed, &appended, &whole, &counts);
    one_life(SCRIPT, seed, &mapped, is_full ? &whole : &some, &counts);
    one_life(LONG_SCRIPT, seed, &mapped_wide, &part, &counts);
    one_life(GROUP_SCRIPT, seed, &appended, &whole, &counts);
    do {
        one_life(NULL, ++seed, counts.lives % 2 == 0 ? &appended : &mapped,
                 wanted == 0 ? &part : &whole, &counts);
    } while (counts.lives < 6 || counts.states < 50 * wanted);
    print_counts(&counts);
    assert_true(counts.heals > 0);
    assert_true(counts.states > 3000 / LARGER && counts.recoveries > 50);
}

static void both_oracles_read_the_states_as_we_do(void **state)
{
    uint64_t wanted = number_from("LEVELD_CRASH_STATES", 0);
    uint64_t seed = number_from("LEVELD_SEED", SEED);
    const struct pace pace = {
        .step = wanted == 0 ? 17 : 3,
        .seeds = SEEDS_MAX,
        .oracles_one_in = wanted == 0 ? 13 : 5,
    };
    struct counts counts = {0};

    (void)state;
    if (!oracles_are_there())
        skip();
    print_message("LEVELD_SEED=%llu\n", (unsigned long long)seed);
    one_life(SCRIPT, seed, &appended, &pace, &counts);
    one_life(SCRIPT, seed, &mapped, &pace, &counts);
    while (counts.raw + counts.opened < wanted)
        one_life(NULL, ++seed, counts.lives % 2 == 0 ? &appended : &mapped,
                 &pace, &counts);
    print_counts(&counts);
    assert_true(counts.raw > 10 && counts.opened > 10);
}

/* ---- does it find anything? ---- */

static void a_mistake_is_found_out(void **state)
{
    static const struct {
        const char *name;
        enum env_crash_mistake mistake;
        const struct crash_run_kind *kind;
        const char *script;
    } rows[] = {
        {"answered before the sync", ENV_CRASH_JOURNAL_NOT_SYNCED, &appended,
         SCRIPT},
        /* Nobody asks for a sync, so that of a sealed journal is all there
         * is: without it a later record stands without those before it. */
        {"a sealed journal not synced", ENV_CRASH_JOURNAL_NOT_SYNCED, &lazy,
         LAZY_SCRIPT},
        {"a table not synced before its edit", ENV_CRASH_TABLE_NOT_SYNCED,
         &appended, SCRIPT},
        {"CURRENT before the MANIFEST's sync", ENV_CRASH_MANIFEST_NOT_SYNCED,
         &appended, SCRIPT},
        {"a directory not synced", ENV_CRASH_DIRECTORY_NOT_SYNCED, &appended,
         SCRIPT},
        {"a journal removed before the edit is synced",
         ENV_CRASH_JOURNAL_REMOVED_EARLY, &appended, SCRIPT},
        {"tables of a group not synced", ENV_CRASH_TABLE_NOT_SYNCED, &lazy,
         GROUP_SCRIPT},
        {"journals of a group removed early", ENV_CRASH_JOURNAL_REMOVED_EARLY,
         &lazy, GROUP_SCRIPT},
        {"answered before the sync of stores", ENV_CRASH_JOURNAL_NOT_SYNCED,
         &mapped, SCRIPT},
        {"read on behind a gap", ENV_CRASH_WINDOW_NOT_SYNCED, &mapped_wide,
         LONG_SCRIPT},
    };
    const struct pace pace = {.step = 1, .seeds = SEEDS_MAX};

    (void)state;
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct counts counts = {0};
        struct crash_run run;
        const char *why;

        crash_run_live(&run, rows[i].script, 7 + i, rows[i].kind);
        why = check_life(&run, rows[i].mistake, &pace, &counts);
        print_message("%s: %s\n", rows[i].name, why == NULL ? "-" : why);
        assert_non_null(why);
        crash_run_release(&run);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_state_opens_and_holds_what_it_must),
        cmocka_unit_test(both_oracles_read_the_states_as_we_do),
        cmocka_unit_test(a_mistake_is_found_out),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
