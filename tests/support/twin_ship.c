#include "tests/support/twin_ship.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/mem.h"
#include "storage/db_internal.h"
#include "storage/journal/journal_feed.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

#define CUT_MAX    3000
#define ENDS_MAX   4096 /* records of a MANIFEST */
#define ROUNDS_MAX 10000

void twin_ship_init(struct twin_ship *t, struct leader_run *leader,
                    struct ldb_env *env, uint64_t seed)
{
    *t = (struct twin_ship){.leader = leader, .seed = seed};
    leader_run_options(env, &t->options);
}

static uint64_t pick(struct twin_ship *t, uint64_t n)
{
    return bytes_next(&t->seed) % n;
}

/* What lies below the log number counts as applied. */
static void take_over(struct twin_ship *t, uint64_t log_number)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    uint64_t n = 0;

    while ((n = leader_run_next_file(t->leader, LDB_FILE_JOURNAL, n)) != 0 &&
           n < log_number) {
        assert_true(n < TWIN_SHIP_NUMBERS);
        assert_true(leader_run_file(t->leader, LDB_FILE_JOURNAL, n, &bytes));
        t->applied[n] = bytes.len;
    }
    ldb_buf_release(&bytes);
}

enum ldb_status twin_ship_try_open(struct twin_ship *t)
{
    struct ldb_twin_state at;
    enum ldb_status s =
        ldb_twin_open(TWIN_SHIP_DIR, &t->options, NULL, &t->err, &t->db);

    if (s != LDB_OK) {
        t->db = NULL;
        return s;
    }
    t->has_failed = false;
    /* A cut may have taken what was not synced. */
    ldb_twin_state(t->db, &at);
    for (size_t i = 0; i < at.journal_count; i++)
        t->applied[at.journals[i].number] = at.journals[i].len;
    take_over(t, at.log_number);
    return LDB_OK;
}

void twin_ship_open(struct twin_ship *t)
{
    assert_ldb_ok(twin_ship_try_open(t), &t->err);
}

void twin_ship_close(struct twin_ship *t)
{
    assert_ldb_ok(ldb_close(t->db, &t->err), &t->err);
    t->db = NULL;
}

/* ---- journals ---- */

static bool is_failure(struct twin_ship *t, enum ldb_status s)
{
    bool has_failed = s == LDB_IO || s == LDB_NO_SPACE || s == LDB_NO_MEMORY ||
                      s == LDB_READ_ONLY;

    t->has_failed |= has_failed;
    return has_failed;
}

void twin_ship_note_applied(struct twin_ship *t)
{
    struct ldb_twin_state at;

    ldb_twin_state(t->db, &at);
    assert_true(at.applied.sequence == ldb_last_sequence(t->db));
    for (size_t i = 0; i < at.journal_count; i++) {
        bool is_newest = i + 1 == at.journal_count;

        assert_true(at.journals[i].number < TWIN_SHIP_NUMBERS);
        assert_true(is_newest || at.journals[i].is_sealed);
        t->applied[at.journals[i].number] = at.journals[i].len;
    }
}

/* Up to cut bytes more of the newest journal, or its seal, or the next one.
 * NOT_FOUND: the leader has no more. */
static enum ldb_status ship_journal(struct twin_ship *t, size_t cut)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_twin_journal newest = {0};
    struct ldb_twin_state at;
    uint64_t next;
    enum ldb_status s = LDB_NOT_FOUND;

    ldb_twin_state(t->db, &at);
    if (at.journal_count > 0)
        newest = at.journals[at.journal_count - 1];
    if (newest.number < at.log_number)
        newest = (struct ldb_twin_journal){.number = at.log_number - 1,
                                           .is_sealed = true};
    next = leader_run_next_file(t->leader, LDB_FILE_JOURNAL, newest.number);
    if (newest.is_sealed) {
        if (next != 0)
            s = ldb_twin_append(t->db, next, 0, (struct ldb_slice){0}, &t->err);
        if (s == LDB_STALLED)
            t->counts.stalled++;
        goto out;
    }
    assert_true(
        leader_run_file(t->leader, LDB_FILE_JOURNAL, newest.number, &bytes));
    assert_true(at.next_offset <= bytes.len);
    if (at.next_offset < bytes.len) {
        size_t left = bytes.len - (size_t)at.next_offset;

        s = ldb_twin_append(t->db, newest.number, at.next_offset,
                            ldb_slice_make(bytes.data + at.next_offset,
                                           cut < left ? cut : left),
                            &t->err);
    } else if (next != 0) {
        s = ldb_twin_seal(t->db, newest.number, bytes.len, &t->err);
    }
out:
    ldb_buf_release(&bytes);
    if (s != LDB_NOT_FOUND && s != LDB_STALLED && !is_failure(t, s))
        assert_ldb_ok(s, &t->err);
    if (!is_failure(t, s))
        twin_ship_note_applied(t);
    return s;
}

/* ---- edits ---- */

/* The ends of whole records in bytes that stand at offset, from there. */
static size_t record_ends(struct ldb_slice bytes, uint64_t offset,
                          size_t ends[ENDS_MAX])
{
    struct ldb_journal_feed *feed = ldb_journal_feed_create("MANIFEST", offset);
    struct ldb_error err = {0};
    struct ldb_slice record;
    size_t count = 0;

    assert_non_null(feed);
    assert_ldb_ok(ldb_journal_feed_add(feed, bytes, &err), &err);
    while (ldb_journal_feed_next(feed, &err, &record) == LDB_OK) {
        if (count > 0)
            ends[count - 1] =
                (size_t)(ldb_journal_feed_record_offset(feed) - offset);
        assert_true(++count < ENDS_MAX);
    }
    if (count > 0)
        ends[count - 1] = (size_t)(ldb_journal_feed_whole_end(feed) - offset);
    ldb_journal_feed_destroy(feed);
    return count;
}

static const char *table_path(uint64_t number, char out[64])
{
    (void)snprintf(out, 64, TWIN_SHIP_DIR "/%06" PRIu64 ".ldb", number);
    return out;
}

/* As a caller does that has verified the digest. */
static enum ldb_status fetch(struct twin_ship *t, uint64_t number,
                             struct ldb_slice bytes)
{
    struct ldb_env *env = t->options.env;
    struct ldb_writable_file *file = NULL;
    char path[64];
    enum ldb_status closed;
    enum ldb_status s = ldb_twin_discard(t->db, number, &t->err);

    if (s == LDB_OK)
        s = env->ops->open_writable(env, table_path(number, path),
                                    LDB_OPEN_TRUNCATE, &t->err, &file);
    if (s != LDB_OK)
        return s;
    s = ldb_file_append(file, bytes, &t->err);
    if (s == LDB_OK)
        s = ldb_file_sync(file, &t->err);
    closed = ldb_file_close(file, s == LDB_OK ? &t->err : NULL);
    t->counts.fetched++;
    return s == LDB_OK ? closed : s;
}

static struct ldb_digest digest_of(struct ldb_slice bytes)
{
    struct ldb_digester *digester = ldb_digester_create();
    struct ldb_digest digest;

    assert_non_null(digester);
    ldb_digester_add(digester, bytes);
    digest = ldb_digester_result(digester);
    ldb_digester_destroy(digester);
    return digest;
}

/* Builds or fetches the table. */
static enum ldb_status make_table(struct twin_ship *t,
                                  const struct ldb_twin_table *table)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_digest expected;
    struct ldb_digest digest;
    uint64_t size = 0;
    enum ldb_status s = LDB_OK;
    bool is_made = false;

    assert_true(
        leader_run_file(t->leader, LDB_FILE_TABLE, table->number, &bytes));
    assert_int_equal(bytes.len, table->size);
    expected = digest_of(ldb_slice_of_buf(&bytes));
    if (table->journal != 0 && pick(t, 8) != 0) {
        assert_int_equal(table->level, 0);
        s = ldb_twin_build(t->db, table->number, table->journal, &t->err,
                           &digest, &size);
        is_made = s == LDB_OK && size == table->size &&
                  ldb_digest_equal(&expected, &digest);
        if (is_made)
            t->counts.built++;
        else if (s == LDB_OK)
            t->counts.differed++;
    }
    if (s == LDB_OK && !is_made)
        s = fetch(t, table->number, ldb_slice_of_buf(&bytes));
    ldb_buf_release(&bytes);
    if (!is_failure(t, s))
        assert_ldb_ok(s, &t->err);
    return s;
}

/* R8: what lies below the log number was applied, to its end. */
static void assert_applied(struct twin_ship *t, uint64_t log_number)
{
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);

    for (uint64_t n = 0;;) {
        n = leader_run_next_file(t->leader, LDB_FILE_JOURNAL, n);
        if (n == 0 || n >= log_number)
            break;
        assert_true(leader_run_file(t->leader, LDB_FILE_JOURNAL, n, &bytes));
        assert_int_equal(t->applied[n], bytes.len);
    }
    ldb_buf_release(&bytes);
}

/* The next plan may need others. */
static void discard_tables(struct twin_ship *t,
                           const struct ldb_twin_plan *plan)
{
    size_t count = 0;
    const struct ldb_twin_table *tables = ldb_twin_plan_tables(plan, &count);

    for (size_t i = 0; i < count; i++)
        LDB_IGNORE(ldb_twin_discard(t->db, tables[i].number, NULL)); /* else
                                                              at the open */
}

static enum ldb_status install(struct twin_ship *t, struct ldb_twin_plan *plan)
{
    struct ldb_twin_state before;
    struct ldb_twin_state after;
    uint64_t log_number = ldb_twin_plan_log_number(plan);
    enum ldb_status s;

    ldb_twin_state(t->db, &before);
    s = ldb_twin_install(t->db, plan, &t->err);
    if (is_failure(t, s))
        return s;
    ldb_twin_state(t->db, &after);
    if (s == LDB_STALLED) {
        discard_tables(t, plan);
        assert_int_equal(before.manifest_len, after.manifest_len);
        assert_int_equal(before.manifest_number, after.manifest_number);
        t->counts.too_early++;
        return s;
    }
    assert_ldb_ok(s, &t->err);
    if (before.applied.sequence == 0) /* one without an entry takes any state */
        take_over(t, log_number);
    assert_applied(t, log_number);
    t->counts.installed++;
    t->counts.folded += ldb_twin_plan_records(plan) > 1;
    t->counts.rotated += before.manifest_number != after.manifest_number;
    assert_true(after.journal_count > 0 || log_number == 0);
    return LDB_OK;
}

/* records: how many at most of the MANIFEST's next ones. NOT_FOUND: the leader
 * has no more. STALLED: a journal or a memtable is wanting. */
static enum ldb_status ship_edits(struct twin_ship *t, size_t records)
{
    static size_t ends[ENDS_MAX];
    struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_twin_plan *plan = NULL;
    const struct ldb_twin_table *tables;
    struct ldb_twin_state at;
    struct ldb_slice rest;
    size_t count = 0;
    size_t len;
    bool has_ours;
    enum ldb_status s = LDB_OK;

    ldb_twin_state(t->db, &at);
    has_ours = leader_run_file(t->leader, LDB_FILE_MANIFEST, at.manifest_number,
                               &bytes);
    if (!has_ours || at.manifest_len == bytes.len) {
        at.manifest_number = leader_run_next_file(t->leader, LDB_FILE_MANIFEST,
                                                  at.manifest_number);
        at.manifest_len = 0;
        if (at.manifest_number == 0 ||
            !leader_run_file(t->leader, LDB_FILE_MANIFEST, at.manifest_number,
                             &bytes))
            goto out;
    }
    assert_true(at.manifest_len <= bytes.len);
    rest = ldb_slice_make(bytes.data + at.manifest_len,
                          bytes.len - (size_t)at.manifest_len);
    count = record_ends(rest, at.manifest_len, ends);
    if (count == 0)
        goto out;
    len = records < count ? ends[records - 1] : rest.len;
    s = ldb_twin_plan_create(t->db, at.manifest_number, at.manifest_len,
                             ldb_slice_make(rest.data, len), &t->err, &plan);
    if (s == LDB_NO_MEMORY)
        goto out;
    assert_ldb_ok(s, &t->err);
    assert_int_equal(ldb_twin_plan_records(plan),
                     records < count ? records : count);
    tables = ldb_twin_plan_tables(plan, &count);
    for (size_t i = 0; s == LDB_OK && i < count; i++)
        s = make_table(t, &tables[i]);
    if (s == LDB_OK)
        s = install(t, plan);
    count = 1;
out:
    ldb_twin_plan_destroy(plan);
    ldb_buf_release(&bytes);
    return count == 0 ? LDB_NOT_FOUND : s;
}

/* ---- at random, and to the end ---- */

static enum ldb_status check_sync(struct twin_ship *t)
{
    struct ldb_twin_position synced = {0};
    struct ldb_twin_state at;
    enum ldb_status s = ldb_twin_sync(t->db, &t->err, &synced);

    if (is_failure(t, s))
        return s;
    assert_ldb_ok(s, &t->err);
    ldb_twin_state(t->db, &at);
    assert_int_equal(synced.journal, at.written.journal);
    assert_int_equal(synced.offset, at.written.offset);
    assert_int_equal(synced.sequence, at.written.sequence);
    return LDB_OK;
}

enum ldb_status twin_ship_step(struct twin_ship *t)
{
    uint64_t what = pick(t, 20);
    enum ldb_status s = LDB_OK;

    if (what == 0) {
        s = check_sync(t);
    } else if (what < 5) {
        s = ship_edits(t, 1 + (size_t)pick(t, pick(t, 3) == 0 ? 12 : 2));
    } else {
        for (uint64_t i = pick(t, 12); s == LDB_OK && i > 0; i--)
            s = ship_journal(t, 1 + (size_t)pick(t, CUT_MAX));
    }
    return s == LDB_NOT_FOUND || s == LDB_STALLED ? LDB_OK : s;
}

enum ldb_status twin_ship_try_converge(struct twin_ship *t)
{
    unsigned rounds = 0;
    enum ldb_status journal = LDB_OK;
    enum ldb_status edits = LDB_OK;

    while (journal != LDB_NOT_FOUND || edits != LDB_NOT_FOUND) {
        bool is_stuck = journal != LDB_OK && edits == LDB_STALLED;

        assert_true(rounds++ < ROUNDS_MAX);
        journal = ship_journal(t, 1 + (size_t)pick(t, 20 * CUT_MAX));
        if (is_failure(t, journal))
            return journal;
        if (journal == LDB_OK && pick(t, 4) != 0)
            continue;
        edits = ship_edits(t, is_stuck ? 1 : 1 + (size_t)pick(t, 6));
        if (is_failure(t, edits))
            return edits;
    }
    return check_sync(t);
}

void twin_ship_converge(struct twin_ship *t)
{
    struct ldb_twin_state at;

    assert_ldb_ok(twin_ship_try_converge(t), &t->err);
    ldb_twin_drop_flushed(t->db); /* all of it is the leader's */
    ldb_twin_state(t->db, &at);
    if (t->leader->op_count > 0)
        assert_true(at.applied.sequence >=
                    t->leader->ops[t->leader->op_count - 1].sequence);
}

/* ---- what holds ---- */

struct walk {
    struct twin_ship *t;
    const struct ldb_twin_state *at;
    bool has_manifest;
};

static void read_ours(struct twin_ship *t, const char *name,
                      struct ldb_buf *out)
{
    char path[64];

    (void)snprintf(path, sizeof(path), TWIN_SHIP_DIR "/%s", name);
    assert_ldb_ok(ldb_env_read_file(t->options.env, path, &t->err, out),
                  &t->err);
}

/* Ours is the first bytes of the leader's; it ends at len. */
static void assert_prefix(struct twin_ship *t, const char *name,
                          enum ldb_file_type type, uint64_t number,
                          uint64_t len, bool is_whole)
{
    static size_t ends[ENDS_MAX];
    struct ldb_buf ours = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_buf theirs = LDB_BUF_INIT(LEADER_FILE_MAX);
    size_t count;

    read_ours(t, name, &ours);
    if (!t->has_failed)
        assert_int_equal(ours.len, len);
    assert_true(ours.len >= len);
    ours.len = (size_t)len;
    if (!leader_run_file(t->leader, type, number, &theirs)) {
        /* The journal that a leader begins before its first record. */
        assert_int_equal(len, 0);
        goto out;
    }
    assert_true(ours.len <= theirs.len);
    assert_ldb_slice(ldb_slice_make(theirs.data, ours.len),
                     ldb_slice_of_buf(&ours));
    if (is_whole)
        assert_int_equal(ours.len, theirs.len);
    count = record_ends(ldb_slice_of_buf(&ours), 0, ends);
    assert_int_equal(count == 0 ? 0 : ends[count - 1], ours.len);
out:
    ldb_buf_release(&ours);
    ldb_buf_release(&theirs);
}

static enum ldb_status check_name(void *context, const char *name)
{
    struct walk *walk = context;
    struct twin_ship *t = walk->t;
    const struct ldb_twin_state *at = walk->at;
    uint64_t number = 0;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);

    if (type == LDB_FILE_JOURNAL) { /* R1 */
        size_t i = 0;

        while (i < at->journal_count && at->journals[i].number != number)
            i++;
        if (i < at->journal_count)
            assert_prefix(t, name, type, number, at->journals[i].len,
                          at->journals[i].is_sealed);
        else
            assert_true(number < at->log_number);
    }
    if (type == LDB_FILE_MANIFEST && number == at->manifest_number) { /* R2 */
        walk->has_manifest = true;
        assert_prefix(t, name, type, number, at->manifest_len, false);
    }
    if (type == LDB_FILE_CURRENT) {
        struct ldb_buf bytes = LDB_BUF_INIT(LEADER_FILE_MAX);
        char expected[64];

        read_ours(t, name, &bytes);
        (void)snprintf(expected, sizeof(expected), "MANIFEST-%06" PRIu64 "\n",
                       at->manifest_number);
        assert_ldb_slice(ldb_slice_str(expected), ldb_slice_of_buf(&bytes));
        ldb_buf_release(&bytes);
    }
    return LDB_OK;
}

/* R3: the version's tables are the leader's. */
static void check_tables(struct twin_ship *t)
{
    struct ldb_buf ours = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_buf theirs = LDB_BUF_INIT(LEADER_FILE_MAX);
    struct ldb_version *version;

    ldb_mutex_lock(&t->db->mu);
    version = ldb_version_ref(ldb_version_set_current(t->db->versions));
    ldb_mutex_unlock(&t->db->mu);
    for (uint32_t level = 0; level < LDB_LEVEL_COUNT; level++) {
        for (size_t i = 0; i < version->levels[level].count; i++) {
            const struct ldb_file_meta *meta = version->levels[level].files[i];
            char name[LDB_FILE_NAME_SIZE];

            ldb_file_name_print(name, LDB_FILE_TABLE, meta->number);
            ours.len = 0;
            read_ours(t, name, &ours);
            assert_true(leader_run_file(t->leader, LDB_FILE_TABLE, meta->number,
                                        &theirs));
            assert_ldb_slice(ldb_slice_of_buf(&theirs),
                             ldb_slice_of_buf(&ours));
            assert_int_equal(meta->size, ours.len);
        }
    }
    ldb_version_unref(version);
    ldb_buf_release(&ours);
    ldb_buf_release(&theirs);
}

void twin_ship_check(struct twin_ship *t)
{
    struct ldb_env *env = t->options.env;
    struct ldb_twin_state at;
    struct walk walk = {.t = t, .at = &at};

    ldb_twin_state(t->db, &at);
    assert_ldb_ok(
        env->ops->list_dir(env, TWIN_SHIP_DIR, check_name, &walk, &t->err),
        &t->err);
    assert_true(walk.has_manifest);
    check_tables(t);
    assert_applied(t, at.log_number);
    leader_run_assert_state(t->leader, t->db);
}

/* ---- the same folder ---- */

struct names {
    char *items[TWIN_SHIP_NUMBERS];
    size_t count;
};

static enum ldb_status add_name(void *context, const char *name)
{
    struct names *names = context;
    uint64_t number;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);

    if (type == LDB_FILE_FOREIGN || type == LDB_FILE_LOCK ||
        type == LDB_FILE_LOG || type == LDB_FILE_CURRENT_BAK)
        return LDB_OK;
    assert_true(names->count < TWIN_SHIP_NUMBERS);
    names->items[names->count] = strdup(name);
    assert_non_null(names->items[names->count]);
    names->count++;
    return LDB_OK;
}

static int compare_names(const void *a, const void *b)
{
    char *const *left = a;
    char *const *right = b;

    return strcmp(*left, *right);
}

static void list_names(struct ldb_env *env, const char *dir, struct names *out)
{
    struct ldb_error err = {0};

    *out = (struct names){0};
    assert_ldb_ok(env->ops->list_dir(env, dir, add_name, out, &err), &err);
    qsort(out->items, out->count, sizeof(out->items[0]), compare_names);
}

static void release_names(struct names *names)
{
    for (size_t i = 0; i < names->count; i++)
        free(names->items[i]);
}

void twin_ship_assert_same(struct twin_ship *t)
{
    static struct names theirs;
    static struct names ours;

    list_names(t->leader->env, LEADER_DIR, &theirs);
    list_names(t->options.env, TWIN_SHIP_DIR, &ours);
    for (size_t i = 0; i < theirs.count && i < ours.count; i++)
        assert_string_equal(theirs.items[i], ours.items[i]);
    assert_int_equal(theirs.count, ours.count);
    for (size_t i = 0; i < ours.count; i++) {
        struct ldb_buf a = LDB_BUF_INIT(LEADER_FILE_MAX);
        struct ldb_buf b = LDB_BUF_INIT(LEADER_FILE_MAX);
        char path[64];

        (void)snprintf(path, sizeof(path), LEADER_DIR "/%s", ours.items[i]);
        assert_ldb_ok(ldb_env_read_file(t->leader->env, path, &t->err, &a),
                      &t->err);
        read_ours(t, ours.items[i], &b);
        assert_ldb_slice(ldb_slice_of_buf(&a), ldb_slice_of_buf(&b));
        ldb_buf_release(&a);
        ldb_buf_release(&b);
    }
    release_names(&theirs);
    release_names(&ours);
}
