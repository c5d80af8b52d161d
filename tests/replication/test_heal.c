/* The thread that heals: whom it asks, how often, and beside what. */
#include "replication/heal.h"

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>

#include "storage/base/mutex.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/heal_scene.h"

#define SECOND_US UINT64_C(1000000)

/* After this a test has failed. */
#define DEADLINE_US (300 * SECOND_US)

#define EVENTS_MAX 64

/* Locking: guarded by mu: all but scene and heal. */
struct watch {
    struct heal_scene *scene;
    struct repl_heal *heal;
    struct ldb_mutex mu;
    struct ldb_cond changed;
    const char *urls[3]; /* "good" is the scene's peer, others nobody */
    size_t url_count;
    unsigned opened; /* peers */
    unsigned closed;
    size_t count;
    struct {
        enum repl_heal_event_kind kind;
        uint64_t number;
        bool is_news;
        char source[16];
        char why[LDB_ERROR_MESSAGE_SIZE];
    } events[EVENTS_MAX];
};

static size_t sources(void *context, char (*out)[REPL_URL_SIZE], size_t max)
{
    struct watch *w = context;
    size_t count;

    ldb_mutex_lock(&w->mu);
    count = w->url_count;
    assert_true(count <= max);
    for (size_t i = 0; i < count; i++)
        (void)snprintf(out[i], REPL_URL_SIZE, "%s", w->urls[i]);
    ldb_mutex_unlock(&w->mu);
    return count;
}

static enum ldb_status open_peer(void *context, const char *url,
                                 struct ldb_error *err, struct repl_peer **out)
{
    struct watch *w = context;

    if (strcmp(url, "good") != 0)
        return ldb_error_set(err, LDB_IO, "%s: there is nobody", url);
    ldb_mutex_lock(&w->mu);
    w->opened++;
    ldb_mutex_unlock(&w->mu);
    *out = memory_peer_repl(w->scene->peer);
    return LDB_OK;
}

static void close_peer(void *context, struct repl_peer *peer)
{
    struct watch *w = context;

    (void)peer;
    ldb_mutex_lock(&w->mu);
    w->closed++;
    ldb_mutex_unlock(&w->mu);
}

static void on_event(void *context, const struct repl_heal_event *event)
{
    struct watch *w = context;

    ldb_mutex_lock(&w->mu);
    if (w->count < EVENTS_MAX) {
        w->events[w->count].kind = event->kind;
        w->events[w->count].number = event->number;
        w->events[w->count].is_news = event->is_news;
        (void)snprintf(w->events[w->count].source, 16, "%s", event->source);
        if (event->why != NULL)
            (void)snprintf(w->events[w->count].why, LDB_ERROR_MESSAGE_SIZE,
                           "%s", event->why->message);
        w->count++;
    }
    ldb_cond_broadcast(&w->changed);
    ldb_mutex_unlock(&w->mu);
}

static void begin(struct watch *w, struct heal_scene *s)
{
    const struct repl_heal_options options = {
        .env = s->env,
        .db = s->db,
        .digests = s->digests,
        .dir = HEAL_SCENE_HERE,
        .sources = sources,
        .open = open_peer,
        .close = close_peer,
        .on_event = on_event,
        .context = w,
    };

    *w = (struct watch){.scene = s, .urls = {"good"}, .url_count = 1};
    ldb_mutex_init(&w->mu);
    ldb_cond_init(&w->changed);
    assert_ldb_ok(repl_heal_create(&options, &s->err, &w->heal), &s->err);
}

static void end(struct watch *w)
{
    repl_heal_destroy(w->heal);
    assert_int_equal(w->opened, w->closed);
    ldb_cond_release(&w->changed);
    ldb_mutex_release(&w->mu);
}

static uint64_t now_us(void)
{
    struct ldb_env *env = ldb_env_posix();

    return env->ops->monotonic_us(env);
}

static struct repl_heal_figures figures(struct watch *w)
{
    struct repl_heal_figures figures;

    repl_heal_figures(w->heal, &figures);
    return figures;
}

/* Waits until that many events of the kind came; the index of the last. */
static size_t wait_event(struct watch *w, enum repl_heal_event_kind kind,
                         unsigned times)
{
    uint64_t limit = now_us() + DEADLINE_US;

    ldb_mutex_lock(&w->mu);
    for (;;) {
        unsigned seen = 0;

        for (size_t i = 0; i < w->count; i++) {
            seen += w->events[i].kind == kind;
            if (seen == times) {
                ldb_mutex_unlock(&w->mu);
                return i;
            }
        }
        assert_true(now_us() < limit);
        (void)ldb_cond_wait_for(&w->changed, &w->mu, SECOND_US);
    }
}

static void wait_unsuspected(struct watch *w)
{
    uint64_t limit = now_us() + DEADLINE_US;

    while (figures(w).suspected > 0) {
        assert_true(now_us() < limit);
        ldb_mutex_lock(&w->mu);
        (void)ldb_cond_wait_for(&w->changed, &w->mu, 1000);
        ldb_mutex_unlock(&w->mu);
    }
}

/* ---- one table ---- */

static void a_suspected_table_is_healed(void **state)
{
    struct heal_scene *s = *state;
    struct repl_heal_figures now;
    struct watch w;
    size_t at;

    begin(&w, s);
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    assert_ldb_status(LDB_CORRUPTION,
                      heal_scene_get(s, HEAL_SCENE_KEYS_A_TABLE), &s->err);
    repl_heal_suspect_in(w.heal, s->err.message);
    at = wait_event(&w, REPL_HEAL_HEALED, 1);
    assert_int_equal(1, at);
    assert_int_equal(REPL_HEAL_FOUND, w.events[0].kind);
    assert_int_equal(s->tables[1], w.events[0].number);
    assert_non_null(strstr(w.events[0].why, heal_scene_name(s, 1)));
    assert_int_equal(s->tables[1], w.events[1].number);
    assert_string_equal("good", w.events[1].source);
    heal_scene_assert_whole(s);
    assert_true(heal_scene_is_same(s, 1));
    now = figures(&w);
    assert_int_equal(1, now.found_total);
    assert_int_equal(1, now.healed_total);
    assert_int_equal(0, now.damaged);
    assert_int_equal(s->size, now.bytes_total);
    end(&w);
}

static void texts_that_name_no_table_are_none(void **state)
{
    static const char *const texts[] = {
        "",
        "all is well",
        "000012.log: bad record at 12",
        "MANIFEST-000004: damaged",
        "/a/b/lost+found/000004.ldbx is foreign",
        "4.ldb, 0000001.ldb",
    };
    struct heal_scene *s = *state;
    struct watch w;

    begin(&w, s);
    repl_heal_pause(w.heal);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        repl_heal_suspect_in(w.heal, texts[i]);
    assert_int_equal(0, figures(&w).suspected);
    repl_heal_suspect_in(w.heal, "open /var/x.y/000777.sst: gone");
    repl_heal_suspect_in(w.heal, "level 1: 000777.ldb: block at 0: bad");
    assert_int_equal(1, figures(&w).suspected);
    repl_heal_resume(w.heal);
    wait_unsuspected(&w);
    assert_int_equal(0, w.count);
    end(&w);
}

static void a_sound_table_is_left_alone(void **state)
{
    struct heal_scene *s = *state;
    struct watch w;

    begin(&w, s);
    repl_heal_suspect(w.heal, s->tables[0]);
    repl_heal_suspect(w.heal, 12345);
    wait_unsuspected(&w);
    assert_int_equal(0, figures(&w).found_total);
    assert_int_equal(0, memory_peer_count(s->peer, MEMORY_PEER_GET, NULL));
    end(&w);
}

/* ---- whom it asks ---- */

static void the_next_node_is_asked(void **state)
{
    struct heal_scene *s = *state;
    struct watch w;
    size_t at;

    begin(&w, s);
    ldb_mutex_lock(&w.mu);
    w.urls[0] = "away";
    w.urls[1] = "good";
    w.url_count = 2;
    ldb_mutex_unlock(&w.mu);
    heal_scene_flip(s, HEAL_SCENE_HERE, 3, 100);
    repl_heal_suspect(w.heal, s->tables[3]);
    at = wait_event(&w, REPL_HEAL_HEALED, 1);
    assert_string_equal("good", w.events[at].source);
    heal_scene_assert_whole(s);
    end(&w);
}

/* Damage on both sides: nothing is replaced, it is told, and tried again until
 * there is a sound copy. */
static void without_a_sound_copy_it_stays_and_is_tried_again(void **state)
{
    struct heal_scene *s = *state;
    struct repl_heal_figures now;
    struct watch w;
    size_t at;

    begin(&w, s);
    heal_scene_flip(s, HEAL_SCENE_HERE, 2, 100);
    heal_scene_flip(s, HEAL_SCENE_THERE, 2, 3000);
    repl_heal_suspect(w.heal, s->tables[2]);
    at = wait_event(&w, REPL_HEAL_FAILED, 2);
    assert_string_equal("good", w.events[at].source);
    assert_non_null(strstr(w.events[at].why, "block at"));
    assert_false(w.events[at].is_news); /* the first one told it */
    now = figures(&w);
    assert_int_equal(1, now.damaged);
    assert_int_equal(1, now.found_total);
    assert_true(now.discarded_total >= 2);
    assert_int_equal(0, now.healed_total);
    assert_ldb_status(LDB_CORRUPTION,
                      heal_scene_get(s, 2 * HEAL_SCENE_KEYS_A_TABLE), &s->err);
    assert_false(heal_scene_has(s, "lost/000001.ldb"));
    heal_scene_flip(s, HEAL_SCENE_THERE, 2, 3000); /* it is mended there */
    (void)wait_event(&w, REPL_HEAL_HEALED, 1);
    heal_scene_assert_whole(s);
    assert_int_equal(0, figures(&w).damaged);
    end(&w);
}

static void without_another_node_it_is_told(void **state)
{
    struct heal_scene *s = *state;
    struct watch w;
    size_t at;

    begin(&w, s);
    ldb_mutex_lock(&w.mu);
    w.url_count = 0;
    ldb_mutex_unlock(&w.mu);
    heal_scene_flip(s, HEAL_SCENE_HERE, 0, 100);
    repl_heal_suspect(w.heal, s->tables[0]);
    at = wait_event(&w, REPL_HEAL_FAILED, 1);
    assert_string_equal("", w.events[at].source);
    assert_true(w.events[at].is_news);
    assert_non_null(strstr(w.events[at].why, "no other node"));
    end(&w);
}

/* ---- how often ---- */

#define LOOKS_MAX 8

/* Whose files were opened to be looked at. Locking: guarded by mu: all. */
struct looks {
    struct ldb_mutex mu;
    struct ldb_cond changed;
    size_t count;
    char names[LOOKS_MAX][LDB_FILE_NAME_SIZE];
};

static void note_look(void *context, enum env_fault_kind kind, const char *path)
{
    struct looks *looks = context;

    if (kind != ENV_FAULT_OPEN_SEQUENTIAL)
        return;
    ldb_mutex_lock(&looks->mu);
    if (looks->count < LOOKS_MAX)
        (void)snprintf(looks->names[looks->count++], LDB_FILE_NAME_SIZE, "%s",
                       strrchr(path, '/') + 1);
    ldb_cond_broadcast(&looks->changed);
    ldb_mutex_unlock(&looks->mu);
}

/* The clock goes on to a time, the table is suspected, and the thread rests
 * when there were that many looks. */
static void look_again(struct watch *w, struct looks *looks, uint64_t us,
                       size_t i, size_t count)
{
    uint64_t limit = now_us() + DEADLINE_US;

    env_fault_set_clock(w->scene->fault, us);
    repl_heal_suspect(w->heal, w->scene->tables[i]);
    repl_heal_resume(w->heal);
    ldb_mutex_lock(&looks->mu);
    while (looks->count < count) {
        assert_true(now_us() < limit);
        (void)ldb_cond_wait_for(&looks->changed, &looks->mu, SECOND_US);
    }
    ldb_mutex_unlock(&looks->mu);
}

/*
 * The clock moves while the thread rests, so what is due when is told by the
 * order: the first table is looked at twice, and rests for two seconds then;
 * the second one once, half a second after that, and rests for one. It comes
 * first.
 */
static void assert_pauses_grow(struct heal_scene *s, bool is_sound)
{
    static const size_t expected[] = {0, 0, 1, 1, 0};
    const uint64_t begun_us = 1000 * SECOND_US;
    const struct {
        uint64_t us;
        size_t table;
        size_t looks;
    } steps[] = {
        {begun_us, 0, 1},
        {begun_us + SECOND_US, 0, 2},
        {begun_us + SECOND_US * 3 / 2, 1, 3},
        {begun_us + 10 * SECOND_US, 1, 5},
    };
    struct looks looks = {0};
    struct watch w;

    begin(&w, s);
    ldb_mutex_init(&looks.mu);
    ldb_cond_init(&looks.changed);
    env_fault_set_call_hook(s->fault, note_look, &looks);
    repl_heal_pause(w.heal);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++) {
        if (i == 3) /* the first was suspected too, since its last look */
            repl_heal_suspect(w.heal, s->tables[0]);
        look_again(&w, &looks, steps[i].us, steps[i].table, steps[i].looks);
        if (is_sound)
            wait_unsuspected(&w); /* a pause would end the look */
        repl_heal_pause(w.heal);
    }
    env_fault_set_call_hook(s->fault, NULL, NULL);
    env_fault_set_clock(s->fault, 0);
    assert_int_equal(5, looks.count);
    for (size_t i = 0; i < looks.count; i++)
        assert_string_equal(heal_scene_name(s, expected[i]), looks.names[i]);
    end(&w);
    ldb_cond_release(&looks.changed);
    ldb_mutex_release(&looks.mu);
}

static void a_sound_table_is_looked_at_less_and_less_often(void **state)
{
    assert_pauses_grow(*state, true);
}

static void so_is_one_that_cannot_be_opened(void **state)
{
    struct heal_scene *s = *state;
    const struct env_fault_rule rule = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_OPEN_SEQUENTIAL),
        .nth = 1,
        .from_then_on = true,
        .sys_errno = EMFILE,
    };

    env_fault_fail(s->fault, &rule);
    assert_pauses_grow(s, false);
    env_fault_fail(s->fault, NULL);
}

static void set_sources(struct watch *w, size_t count)
{
    ldb_mutex_lock(&w->mu);
    w->url_count = count;
    ldb_mutex_unlock(&w->mu);
}

/* Damaged once more, for the same reason as before it was healed: news. */
static void a_healed_table_begins_anew(void **state)
{
    struct heal_scene *s = *state;
    struct watch w;
    size_t at;

    env_fault_set_clock(s->fault, 1000 * SECOND_US); /* it rests until told */
    begin(&w, s);
    set_sources(&w, 0);
    heal_scene_flip(s, HEAL_SCENE_HERE, 0, 100);
    repl_heal_suspect(w.heal, s->tables[0]);
    (void)wait_event(&w, REPL_HEAL_FAILED, 1);
    set_sources(&w, 1);
    env_fault_set_clock(s->fault, 1010 * SECOND_US);
    (void)wait_event(&w, REPL_HEAL_HEALED, 1);
    set_sources(&w, 0);
    heal_scene_flip(s, HEAL_SCENE_HERE, 0, 100);
    repl_heal_suspect(w.heal, s->tables[0]);
    env_fault_set_clock(s->fault, 1020 * SECOND_US);
    at = wait_event(&w, REPL_HEAL_FAILED, 2);
    assert_true(w.events[at].is_news);
    env_fault_set_clock(s->fault, 0);
    end(&w);
}

/* ---- beside compactions ---- */

static struct ldb_thread *start_thread(void (*run)(void *context),
                                       void *context)
{
    struct ldb_env *env = ldb_env_posix();
    struct ldb_thread *thread = NULL;

    assert_ldb_ok(
        env->ops->thread_start(env, "beside", run, context, NULL, &thread),
        NULL);
    return thread;
}

static void join(struct ldb_thread *thread)
{
    struct ldb_env *env = ldb_env_posix();

    env->ops->thread_join(env, thread);
}

static void a_compaction_that_stopped_goes_on(void **state)
{
    struct heal_scene *s = *state;
    struct watch w;

    begin(&w, s);
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    assert_ldb_status(LDB_CORRUPTION,
                      ldb_compact_range(s->db, NULL, NULL, &s->err), &s->err);
    assert_int_equal(LDB_HEALTH_CORRUPTION, ldb_health(s->db, &s->err));
    repl_heal_suspect_in(w.heal, s->err.message);
    (void)wait_event(&w, REPL_HEAL_HEALED, 1);
    assert_int_equal(LDB_HEALTHY, ldb_health(s->db, NULL));
    assert_ldb_ok(ldb_compact_range(s->db, NULL, NULL, &s->err), &s->err);
    heal_scene_assert_whole(s);
    end(&w);
}

/* Locking: guarded by mu. */
struct gate {
    struct ldb_mutex mu;
    struct ldb_cond changed;
    const char *name; /* of the table */
    bool is_reached;
    bool is_open;
    struct ldb_db *db;
    enum ldb_status compacted;
};

/* The first read of the table waits: it is the compaction's. */
static void hold_first_read(void *context, enum env_fault_kind kind,
                            const char *path)
{
    struct gate *gate = context;

    if (kind != ENV_FAULT_READ || strstr(path, gate->name) == NULL)
        return;
    ldb_mutex_lock(&gate->mu);
    if (!gate->is_reached) {
        gate->is_reached = true;
        ldb_cond_broadcast(&gate->changed);
        while (!gate->is_open)
            ldb_cond_wait(&gate->changed, &gate->mu);
    }
    ldb_mutex_unlock(&gate->mu);
}

static void compact(void *context)
{
    struct gate *gate = context;

    gate->compacted = ldb_compact_range(gate->db, NULL, NULL, NULL);
}

/* It has the damaged file open while that is replaced, and stops at the damage
 * after it was healed: so whoever sees that tells it once more. */
static void a_compaction_may_meet_the_old_file(void **state)
{
    struct heal_scene *s = *state;
    char name[LDB_FILE_NAME_SIZE];
    struct gate gate = {.name = name, .db = s->db};
    struct ldb_thread *thread;
    uint64_t limit;
    struct watch w;

    begin(&w, s);
    ldb_mutex_init(&gate.mu);
    ldb_cond_init(&gate.changed);
    (void)snprintf(name, sizeof(name), "%s", heal_scene_name(s, 1));
    heal_scene_assert_whole(s); /* all are open */
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    env_fault_set_call_hook(s->fault, hold_first_read, &gate);
    thread = start_thread(compact, &gate);
    ldb_mutex_lock(&gate.mu);
    while (!gate.is_reached)
        ldb_cond_wait(&gate.changed, &gate.mu);
    ldb_mutex_unlock(&gate.mu);
    repl_heal_suspect(w.heal, s->tables[1]);
    (void)wait_event(&w, REPL_HEAL_HEALED, 1);
    ldb_mutex_lock(&gate.mu);
    gate.is_open = true;
    ldb_cond_broadcast(&gate.changed);
    ldb_mutex_unlock(&gate.mu);
    join(thread);
    env_fault_set_call_hook(s->fault, NULL, NULL);
    assert_int_equal(LDB_CORRUPTION, gate.compacted);
    limit = now_us() + DEADLINE_US;
    while (ldb_health(s->db, &s->err) == LDB_HEALTH_CORRUPTION) {
        assert_true(now_us() < limit);
        repl_heal_suspect_in(w.heal, s->err.message);
        ldb_mutex_lock(&w.mu);
        (void)ldb_cond_wait_for(&w.changed, &w.mu, 1000);
        ldb_mutex_unlock(&w.mu);
    }
    assert_ldb_ok(ldb_compact_range(s->db, NULL, NULL, &s->err), &s->err);
    heal_scene_assert_whole(s);
    assert_int_equal(1, figures(&w).found_total);
    ldb_cond_release(&gate.changed);
    ldb_mutex_release(&gate.mu);
    end(&w);
}

/* While it is fetched the table is compacted away, from another copy of its
 * entries: what came is in nobody's way. */
static void a_table_may_go_while_it_is_fetched(void **state)
{
    struct heal_scene *s = *state;
    struct ldb_slice first = ldb_slice_str("key000000");
    struct watch w;

    begin(&w, s);
    /* The footer's padding: reads and compactions do not see it. */
    heal_scene_assert_whole(s);
    memory_peer_rule(s->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_HOLD,
                                                .call = MEMORY_PEER_GET});
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, s->size - 1); /* the magic */
    repl_heal_suspect(w.heal, s->tables[1]);
    assert_true(memory_peer_wait_held(s->peer, 1));
    assert_ldb_ok(ldb_compact_range(s->db, &first, NULL, &s->err), &s->err);
    memory_peer_let_go(s->peer);
    (void)wait_event(&w, REPL_HEAL_HEALED, 1);
    heal_scene_assert_whole(s);
    repl_heal_suspect(w.heal, s->tables[1]);
    wait_unsuspected(&w);
    assert_int_equal(0, figures(&w).damaged);
    end(&w);
    /* The next flush removes what nobody names. */
    assert_ldb_ok(ldb_put(s->db, first, first, true, &s->err, NULL), &s->err);
    assert_ldb_ok(ldb_flush(s->db, &s->err), &s->err);
    assert_ldb_ok(ldb_compact_range(s->db, NULL, NULL, &s->err), &s->err);
    assert_ldb_ok(ldb_close(s->db, &s->err), &s->err);
    assert_ldb_ok(ldb_open(HEAL_SCENE_HERE, &s->options, NULL, &s->err, &s->db),
                  &s->err);
    assert_false(heal_scene_has(s, heal_scene_name(s, 1)));
}

/* ---- pause and end ---- */

static void a_pause_ends_what_is_under_way(void **state)
{
    struct heal_scene *s = *state;
    struct watch w;

    begin(&w, s);
    memory_peer_rule(s->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_HOLD,
                                                .call = MEMORY_PEER_GET});
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    repl_heal_suspect(w.heal, s->tables[1]);
    assert_true(memory_peer_wait_held(s->peer, 1));
    repl_heal_pause(w.heal);
    assert_false(heal_scene_is_same(s, 1));
    assert_int_equal(0, figures(&w).failures_total);
    repl_heal_suspect(w.heal, s->tables[2]);
    assert_int_equal(1, figures(&w).suspected);
    memory_peer_let_go(s->peer);
    repl_heal_resume(w.heal);
    (void)wait_event(&w, REPL_HEAL_HEALED, 1);
    heal_scene_assert_whole(s);
    end(&w);
}

/* Locking: guarded by mu. */
struct pausing {
    struct repl_heal *heal;
    struct ldb_mutex mu;
    struct ldb_cond changed;
    bool is_reached;   /* the copy is being written */
    bool has_returned; /* the pause, */
    bool was_left;     /* and by then the write had */
    bool is_left;
};

/* What writes the copy goes on after a moment, or once the pause is over, which
 * it must not be before. */
static void hold_write(void *context, enum env_fault_kind kind,
                       const char *path)
{
    struct pausing *p = context;

    if (kind != ENV_FAULT_APPEND || strstr(path, "/incoming/") == NULL)
        return;
    ldb_mutex_lock(&p->mu);
    p->is_reached = true;
    ldb_cond_broadcast(&p->changed);
    if (!p->has_returned)
        (void)ldb_cond_wait_for(&p->changed, &p->mu, SECOND_US / 5);
    p->is_left = true;
    ldb_mutex_unlock(&p->mu);
}

static void a_pause_waits_for_what_is_written(void **state)
{
    struct heal_scene *s = *state;
    struct pausing p = {0};
    struct watch w;

    begin(&w, s);
    p.heal = w.heal;
    ldb_mutex_init(&p.mu);
    ldb_cond_init(&p.changed);
    env_fault_set_call_hook(s->fault, hold_write, &p);
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    repl_heal_suspect(w.heal, s->tables[1]);
    ldb_mutex_lock(&p.mu);
    while (!p.is_reached)
        ldb_cond_wait(&p.changed, &p.mu);
    ldb_mutex_unlock(&p.mu);
    repl_heal_pause(w.heal);
    ldb_mutex_lock(&p.mu);
    p.has_returned = true;
    p.was_left = p.is_left;
    ldb_cond_broadcast(&p.changed);
    ldb_mutex_unlock(&p.mu);
    env_fault_set_call_hook(s->fault, NULL, NULL);
    assert_true(p.was_left);
    repl_heal_resume(w.heal);
    (void)wait_event(&w, REPL_HEAL_HEALED, 1);
    end(&w);
    ldb_cond_release(&p.changed);
    ldb_mutex_release(&p.mu);
}

static void an_end_does_not_wait_for_a_fetch(void **state)
{
    struct heal_scene *s = *state;
    struct watch w;

    begin(&w, s);
    memory_peer_rule(s->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_HOLD,
                                                .call = MEMORY_PEER_GET});
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    repl_heal_suspect(w.heal, s->tables[1]);
    repl_heal_suspect(w.heal, s->tables[2]);
    assert_true(memory_peer_wait_held(s->peer, 1));
    end(&w);
    memory_peer_forget_rules(s->peer);
    assert_false(heal_scene_is_same(s, 1));
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, heal_scene_setup, heal_scene_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_suspected_table_is_healed),
        CASE(texts_that_name_no_table_are_none),
        CASE(a_sound_table_is_left_alone),
        CASE(the_next_node_is_asked),
        CASE(without_a_sound_copy_it_stays_and_is_tried_again),
        CASE(without_another_node_it_is_told),
        CASE(a_sound_table_is_looked_at_less_and_less_often),
        CASE(so_is_one_that_cannot_be_opened),
        CASE(a_healed_table_begins_anew),
        CASE(a_compaction_that_stopped_goes_on),
        CASE(a_compaction_may_meet_the_old_file),
        CASE(a_table_may_go_while_it_is_fetched),
        CASE(a_pause_ends_what_is_under_way),
        CASE(a_pause_waits_for_what_is_written),
        CASE(an_end_does_not_wait_for_a_fetch),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
