/* Passes over a folder: what they find, and where they go on. */
#include "replication/scrub.h"

#include <stdatomic.h>
#include <stdlib.h>

#include "replication/sidecar.h"
#include "storage/base/mutex.h"
#include "storage/retained.h"
#include "storage/twin.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/heal_scene.h"

#define SECOND_US UINT64_C(1000000)
#define HOUR_US   (3600 * SECOND_US)
#define FAST      (UINT64_C(1) << 40) /* bytes a second: no wait */

/* After this a test has failed. */
#define DEADLINE_US (300 * SECOND_US)

#define FINDINGS_MAX 16

/* Locking: guarded by mu: all but scene and scrub. */
struct watch {
    struct heal_scene *scene;
    struct repl_scrub *scrub;
    struct ldb_mutex mu;
    struct ldb_cond changed;
    size_t count;
    struct {
        enum ldb_file_type type;
        uint64_t number;
        enum repl_scrub_kind kind;
    } found[FINDINGS_MAX];
};

static void on_finding(void *context, const struct repl_scrub_finding *finding)
{
    struct watch *w = context;

    ldb_mutex_lock(&w->mu);
    if (w->count < FINDINGS_MAX) {
        w->found[w->count].type = finding->type;
        w->found[w->count].number = finding->number;
        w->found[w->count++].kind = finding->verdict->kind;
    }
    ldb_cond_broadcast(&w->changed);
    ldb_mutex_unlock(&w->mu);
}

static void begin(struct watch *w, struct heal_scene *s)
{
    *w = (struct watch){.scene = s};
    ldb_mutex_init(&w->mu);
    ldb_cond_init(&w->changed);
}

static void start(struct watch *w, uint64_t rate, uint64_t interval_us)
{
    struct heal_scene *s = w->scene;
    const struct repl_scrub_options options = {
        .env = s->env,
        .db = s->db,
        .digests = s->digests,
        .dir = HEAL_SCENE_HERE,
        .rate_bytes = rate,
        .interval_us = interval_us,
        .on_finding = on_finding,
        .context = w,
    };

    assert_ldb_ok(repl_scrub_create(&options, &s->err, &w->scrub), &s->err);
}

static struct repl_scrub_figures figures(struct watch *w)
{
    struct repl_scrub_figures figures;

    repl_scrub_figures(w->scrub, &figures);
    return figures;
}

static void stop(struct watch *w)
{
    repl_scrub_destroy(w->scrub);
    w->scrub = NULL;
}

static void end(struct watch *w)
{
    stop(w);
    ldb_cond_release(&w->changed);
    ldb_mutex_release(&w->mu);
}

/* Until that many passes were ever made, or files looked at. */
static void wait_for(struct watch *w, uint64_t passes, uint64_t files)
{
    struct ldb_env *env = ldb_env_posix();
    uint64_t limit = env->ops->monotonic_us(env) + DEADLINE_US;
    struct repl_scrub_figures now = figures(w);

    while (now.passes_total < passes || now.files_total < files) {
        assert_true(env->ops->monotonic_us(env) < limit);
        ldb_mutex_lock(&w->mu);
        (void)ldb_cond_wait_for(&w->changed, &w->mu, 1000);
        ldb_mutex_unlock(&w->mu);
        now = figures(w);
    }
}

static size_t sealed_journals(struct heal_scene *s, uint64_t *out_bytes)
{
    struct ldb_retained_journal journals[32];
    size_t n = ldb_retained_list(ldb_db_retained(s->db), 0, journals, 32);
    size_t count = 0;

    *out_bytes = 0;
    for (size_t i = 0; i < n; i++) {
        count += journals[i].is_sealed;
        *out_bytes += journals[i].is_sealed ? journals[i].len : 0;
    }
    return count;
}

static void a_pass_reads_all_that_does_not_change(void **state)
{
    struct heal_scene *s = *state;
    uint64_t journal_bytes = 0;
    size_t journals = sealed_journals(s, &journal_bytes);
    struct repl_scrub_figures found;
    struct watch w;

    assert_true(journals > 0);
    begin(&w, s);
    start(&w, FAST, HOUR_US);
    wait_for(&w, 1, 0);
    found = figures(&w);
    assert_int_equal(HEAL_SCENE_TABLES + journals, found.files_total);
    assert_int_equal(HEAL_SCENE_TABLES * s->size + journal_bytes,
                     found.bytes_total);
    assert_int_equal(0, found.mismatches_total);
    assert_int_equal(0, found.failures_total);
    assert_int_equal(1, found.passes_total);
    assert_true(found.last_pass_us > 0);
    assert_false(found.is_running);
    for (size_t i = 0; i < HEAL_SCENE_TABLES; i++) {
        struct repl_digest_file file = heal_scene_file(s, i);
        struct ldb_digest digest;

        assert_true(repl_digest_index_get(s->digests, &file, &digest));
    }
    end(&w);
}

static void damage_is_told_and_the_pass_goes_on(void **state)
{
    struct heal_scene *s = *state;
    struct watch w;
    char name[64];

    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    (void)snprintf(name, sizeof(name), HEAL_SCENE_HERE "/%s",
                   heal_scene_name(s, 3));
    assert_ldb_ok(s->env->ops->remove_file(s->env, name, &s->err), &s->err);
    begin(&w, s);
    start(&w, FAST, HOUR_US);
    wait_for(&w, 1, 0);
    assert_int_equal(2, w.count);
    assert_int_equal(LDB_FILE_TABLE, w.found[0].type);
    assert_int_equal(s->tables[1], w.found[0].number);
    assert_int_equal(REPL_SCRUB_CHECKSUM, w.found[0].kind);
    assert_int_equal(s->tables[3], w.found[1].number);
    assert_int_equal(REPL_SCRUB_MISSING, w.found[1].kind);
    assert_int_equal(2, figures(&w).mismatches_total);
    end(&w);
}

static void the_next_pass_finds_what_came_since(void **state)
{
    struct heal_scene *s = *state;
    struct watch w;

    begin(&w, s);
    start(&w, FAST, 1); /* one after the other */
    wait_for(&w, 2, 0);
    heal_scene_flip(s, HEAL_SCENE_HERE, 2, 100);
    wait_for(&w, figures(&w).passes_total + 2, 0);
    stop(&w);
    assert_true(w.count > 0);
    assert_int_equal(s->tables[2], w.found[0].number);
    end(&w);
}

/* The first file is read at once, and for the second there is a wait. */
static void it_goes_on_where_it_was(void **state)
{
    struct heal_scene *s = *state;
    struct repl_scrub_place place = {0};
    uint64_t journal_bytes = 0;
    size_t journals = sealed_journals(s, &journal_bytes);
    struct watch w;

    begin(&w, s);
    start(&w, 1, HOUR_US);
    wait_for(&w, 0, 1);
    assert_true(figures(&w).is_running);
    stop(&w);
    assert_ldb_ok(
        repl_scrub_place_load(s->env, HEAL_SCENE_HERE, &s->err, &place),
        &s->err);
    assert_int_equal(REPL_SCRUB_TABLES, place.part);
    assert_int_equal(s->tables[0], place.number);
    /* What was read is not read again. */
    heal_scene_flip(s, HEAL_SCENE_HERE, 0, 100);
    start(&w, FAST, HOUR_US);
    wait_for(&w, 1, 0);
    assert_int_equal(HEAL_SCENE_TABLES - 1 + journals, figures(&w).files_total);
    assert_int_equal(0, w.count);
    end(&w);
}

/* ---- tables that go ---- */

struct compacting {
    struct heal_scene *scene;
    char name[LDB_FILE_NAME_SIZE]; /* of the first */
    atomic_bool is_done;
};

/* Before the first table is opened, all of them are merged, and gone. */
static void compact_once(void *context, enum env_fault_kind kind,
                         const char *path)
{
    struct compacting *c = context;
    struct heal_scene *s = c->scene;

    if (kind != ENV_FAULT_OPEN_SEQUENTIAL || strstr(path, c->name) == NULL ||
        atomic_exchange(&c->is_done, true))
        return;
    env_fault_set_call_hook(s->fault, NULL, NULL);
    if (ldb_compact_range(s->db, NULL, NULL, NULL) != LDB_OK)
        abort();
}

static void a_table_that_went_is_no_finding(void **state)
{
    struct heal_scene *s = *state;
    struct compacting c = {.scene = s};
    struct watch w;

    ldb_file_name_print(c.name, LDB_FILE_TABLE, s->tables[0]);
    begin(&w, s);
    env_fault_set_call_hook(s->fault, compact_once, &c);
    start(&w, FAST, HOUR_US);
    wait_for(&w, 1, 0);
    assert_true(atomic_load(&c.is_done));
    assert_int_equal(0, w.count);
    end(&w);
}

/* ---- a twin ---- */

/* The folder there, as a follower has it, with one sealed journal. */
static struct ldb_db *open_twin(struct heal_scene *s,
                                struct ldb_twin_journal *out)
{
    struct ldb_slice key = ldb_slice_str("key000000");
    struct ldb_twin_state at;
    struct ldb_db *twin = NULL;

    assert_ldb_ok(ldb_put(s->other, key, key, true, &s->err, NULL), &s->err);
    memory_peer_set_db(s->peer, NULL, NULL, NULL);
    assert_ldb_ok(ldb_close(s->other, &s->err), &s->err);
    s->other = NULL;
    assert_ldb_ok(
        ldb_twin_open(HEAL_SCENE_THERE, &s->options, NULL, &s->err, &twin),
        &s->err);
    ldb_twin_state(twin, &at);
    assert_int_equal(1, at.journal_count);
    *out = at.journals[0];
    assert_true(out->len > 0);
    assert_ldb_ok(ldb_twin_seal(twin, out->number, out->len, &s->err), &s->err);
    return twin;
}

static void the_journals_of_a_twin_are_read_too(void **state)
{
    struct heal_scene *s = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    struct ldb_twin_journal journal;
    struct ldb_db *twin = open_twin(s, &journal);
    struct repl_scrub_options options = {
        .env = s->env,
        .db = twin,
        .digests = s->digests, /* of equal files */
        .dir = HEAL_SCENE_THERE,
        .rate_bytes = FAST,
        .interval_us = 1,
        .on_finding = on_finding,
    };
    char name[LDB_FILE_NAME_SIZE];
    struct watch w;

    begin(&w, s);
    options.context = &w;
    assert_ldb_ok(repl_sidecar_make_folder(s->env, HEAL_SCENE_THERE, &s->err),
                  &s->err);
    assert_ldb_ok(repl_scrub_create(&options, &s->err, &w.scrub), &s->err);
    wait_for(&w, 1, HEAL_SCENE_TABLES + 1);
    assert_int_equal(0, figures(&w).mismatches_total);
    ldb_file_name_print(name, LDB_FILE_JOURNAL, journal.number);
    assert_true(heal_scene_read(s, HEAL_SCENE_THERE, name, &bytes));
    bytes.data[10] ^= 1;
    heal_scene_write(s, HEAL_SCENE_THERE, name, ldb_slice_of_buf(&bytes));
    wait_for(&w, figures(&w).passes_total + 2, 0);
    stop(&w);
    assert_true(w.count > 0);
    assert_int_equal(LDB_FILE_JOURNAL, w.found[0].type);
    assert_int_equal(journal.number, w.found[0].number);
    end(&w);
    ldb_buf_release(&bytes);
    assert_ldb_ok(ldb_close(twin, &s->err), &s->err);
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, heal_scene_setup, heal_scene_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_pass_reads_all_that_does_not_change),
        CASE(damage_is_told_and_the_pass_goes_on),
        CASE(the_next_pass_finds_what_came_since),
        CASE(it_goes_on_where_it_was),
        CASE(a_table_that_went_is_no_finding),
        CASE(the_journals_of_a_twin_are_read_too),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
