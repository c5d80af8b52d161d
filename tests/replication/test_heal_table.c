/*
 * One damaged table, and another node's copy of it: sound, damaged or another
 * table; with the power cut at each step.
 */
#include "replication/heal_table.h"

#include <errno.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/heal_scene.h"
#include "tests/support/mem_fault.h"

static atomic_bool never; /* false */

struct healing {
    struct heal_scene *scene;
    struct repl_transport *transport;
    struct repl_fetch_counts counts;
    struct repl_heal_table with;
};

static void begin(struct healing *h, struct heal_scene *s)
{
    struct repl_peer *peer = memory_peer_repl(s->peer);

    *h = (struct healing){
        .scene = s,
        .with = {.env = s->env,
                 .dir = HEAL_SCENE_HERE,
                 .db = s->db,
                 .digests = s->digests,
                 .comparator = ldb_comparator_bytewise(),
                 .is_cancelled = &never},
    };
    h->with.counts = &h->counts;
    assert_ldb_ok(peer->open(peer, &s->err, &h->transport), &s->err);
}

static void end(struct healing *h)
{
    h->transport->ops->destroy(h->transport);
}

static enum repl_heal_found look(struct healing *h, uint64_t number,
                                 struct repl_damaged_table *out)
{
    enum repl_heal_found found = REPL_HEAL_GONE;

    assert_ldb_ok(repl_heal_look(&h->with, number, &h->scene->err, &found, out),
                  &h->scene->err);
    return found;
}

/* Of a table that is damaged. */
static enum ldb_status heal(struct healing *h, size_t i)
{
    struct repl_damaged_table damaged = {0};
    enum ldb_status s;

    assert_int_equal(REPL_HEAL_DAMAGED, look(h, h->scene->tables[i], &damaged));
    s = repl_heal_from(&h->with, &damaged, h->transport, &h->scene->err);
    repl_heal_release(&damaged);
    return s;
}

static void assert_nothing_came(struct heal_scene *s, size_t i)
{
    char name[64];

    (void)snprintf(name, sizeof(name), "leveld/incoming/%s",
                   heal_scene_name(s, i));
    assert_false(heal_scene_has(s, name));
}

/* Its right digest is known here. */
static void know_digest(struct heal_scene *s, size_t i)
{
    struct repl_digest_file file = heal_scene_file(s, i);
    struct ldb_digest digest;
    uint64_t size;
    char path[64];

    (void)snprintf(path, sizeof(path), HEAL_SCENE_THERE "/%s",
                   heal_scene_name(s, i));
    assert_ldb_ok(ldb_digest_file(s->env, path, &s->err, &digest, &size),
                  &s->err);
    assert_true(repl_digest_index_put(s->digests, &file, &digest));
}

/* ---- looking ---- */

static void a_table_is_sound_or_gone(void **state)
{
    struct healing h;
    struct repl_damaged_table damaged = {0};

    begin(&h, *state);
    assert_int_equal(REPL_HEAL_SOUND, look(&h, h.scene->tables[0], &damaged));
    assert_null(damaged.held.version);
    assert_int_equal(REPL_HEAL_GONE, look(&h, 12345, &damaged));
    assert_null(damaged.held.version);
    end(&h);
}

/* ---- healing ---- */

static void the_copy_takes_its_place(void **state)
{
    struct heal_scene *s = *state;
    struct ldb_buf before = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    struct ldb_buf kept = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    struct repl_digest_file file = heal_scene_file(s, 1);
    unsigned key = HEAL_SCENE_KEYS_A_TABLE;
    struct ldb_digest digest;
    struct healing h;
    char name[64];

    begin(&h, s);
    heal_scene_assert_whole(s);
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    assert_ldb_status(LDB_CORRUPTION, heal_scene_get(s, key), &s->err);
    /* What does not lie in that block is read as ever. */
    assert_ldb_ok(heal_scene_get(s, key + HEAL_SCENE_KEYS_A_TABLE - 1),
                  &s->err);
    assert_ldb_ok(heal_scene_get(s, key - 1), &s->err);
    assert_true(
        heal_scene_read(s, HEAL_SCENE_HERE, heal_scene_name(s, 1), &before));
    assert_ldb_ok(heal(&h, 1), &s->err);
    heal_scene_assert_whole(s);
    assert_true(heal_scene_is_same(s, 1));
    assert_nothing_came(s, 1);
    (void)snprintf(name, sizeof(name), "lost/%s", heal_scene_name(s, 1));
    assert_true(heal_scene_read(s, HEAL_SCENE_HERE, name, &kept));
    assert_ldb_slice(ldb_slice_of_buf(&before), ldb_slice_of_buf(&kept));
    assert_true(repl_digest_index_get(s->digests, &file, &digest));
    assert_int_equal(s->size, atomic_load(&h.counts.bytes));
    /* Once more: the second one is kept, too. */
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 200);
    assert_ldb_ok(heal(&h, 1), &s->err);
    heal_scene_assert_whole(s);
    (void)snprintf(name, sizeof(name), "lost/%s.1", heal_scene_name(s, 1));
    assert_true(heal_scene_has(s, name));
    ldb_buf_release(&before);
    ldb_buf_release(&kept);
    end(&h);
}

static void whatever_is_damaged_is_healed(void **state)
{
    struct heal_scene *s = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    struct healing h;
    char path[64];

    begin(&h, s);
    /* The footer, the length, the name. */
    heal_scene_flip(s, HEAL_SCENE_HERE, 0, s->size - 1);
    assert_ldb_ok(heal(&h, 0), &s->err);
    assert_true(
        heal_scene_read(s, HEAL_SCENE_HERE, heal_scene_name(s, 1), &bytes));
    heal_scene_write(s, HEAL_SCENE_HERE, heal_scene_name(s, 1),
                     ldb_slice_make(bytes.data, bytes.len / 2));
    assert_ldb_ok(heal(&h, 1), &s->err);
    (void)snprintf(path, sizeof(path), HEAL_SCENE_HERE "/%s",
                   heal_scene_name(s, 2));
    assert_ldb_ok(s->env->ops->remove_file(s->env, path, &s->err), &s->err);
    assert_ldb_ok(heal(&h, 2), &s->err);
    heal_scene_assert_whole(s);
    for (size_t i = 0; i < HEAL_SCENE_TABLES; i++)
        assert_true(heal_scene_is_same(s, i));
    ldb_buf_release(&bytes);
    end(&h);
}

/* ---- what is refused ---- */

/* A damaged table here, and a copy there that must not take its place. */
static void assert_refused(struct healing *h, size_t i,
                           enum ldb_status expected)
{
    struct heal_scene *s = h->scene;
    struct ldb_buf before = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    struct ldb_buf after = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);

    heal_scene_flip(s, HEAL_SCENE_HERE, i, 100);
    assert_true(
        heal_scene_read(s, HEAL_SCENE_HERE, heal_scene_name(s, i), &before));
    assert_ldb_status(expected, heal(h, i), &s->err);
    assert_true(
        heal_scene_read(s, HEAL_SCENE_HERE, heal_scene_name(s, i), &after));
    assert_ldb_slice(ldb_slice_of_buf(&before), ldb_slice_of_buf(&after));
    assert_nothing_came(s, i);
    ldb_buf_release(&before);
    ldb_buf_release(&after);
}

/* Whether its digest is known here or not: there it is that of damaged bytes.
 */
static void a_damaged_copy_is_thrown_away(void **state)
{
    struct heal_scene *s = *state;
    struct healing h;

    begin(&h, s);
    heal_scene_flip(s, HEAL_SCENE_THERE, 0, 3000);
    assert_refused(&h, 0, LDB_CORRUPTION);
    assert_ldb_message("block at", &s->err);
    know_digest(s, 1);
    heal_scene_flip(s, HEAL_SCENE_THERE, 1, 3000);
    assert_refused(&h, 1, LDB_CORRUPTION);
    assert_ldb_message("digest", &s->err);
    /* One that the way damages, each time: the sum does not fit. */
    memory_peer_rule(s->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_FLIP,
                                                .call = MEMORY_PEER_GET,
                                                .bytes = 2000});
    know_digest(s, 2);
    assert_refused(&h, 2, LDB_CORRUPTION);
    memory_peer_forget_rules(s->peer);
    assert_ldb_ok(heal(&h, 2), &s->err);
    end(&h);
}

/* Sound, of the right length, with a digest that its node vouches for. */
static void another_table_is_thrown_away(void **state)
{
    struct heal_scene *s = *state;
    struct ldb_buf bytes = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);
    struct healing h;

    begin(&h, s);
    assert_true(
        heal_scene_read(s, HEAL_SCENE_THERE, heal_scene_name(s, 2), &bytes));
    heal_scene_write(s, HEAL_SCENE_THERE, heal_scene_name(s, 1),
                     ldb_slice_of_buf(&bytes));
    assert_refused(&h, 1, LDB_CORRUPTION);
    assert_ldb_message("first entry", &s->err);
    ldb_buf_release(&bytes);
    end(&h);
}

static void a_node_may_have_none(void **state)
{
    struct heal_scene *s = *state;
    struct healing h;

    begin(&h, s);
    memory_peer_rule(s->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_STATUS,
                                                .call = MEMORY_PEER_GET,
                                                .times = 1,
                                                .http = 404});
    assert_refused(&h, 0, LDB_NOT_FOUND);
    memory_peer_rule(s->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_REFUSE});
    assert_refused(&h, 1, LDB_IO);
    memory_peer_forget_rules(s->peer);
    memory_peer_rule(s->peer,
                     &(struct memory_peer_rule){.what = MEMORY_PEER_CUT,
                                                .call = MEMORY_PEER_GET,
                                                .bytes = 0});
    assert_refused(&h, 2, LDB_IO);
    end(&h);
}

/* It was found out after the damage: nothing would ever fit it. */
static void a_digest_of_damage_is_not_believed(void **state)
{
    struct heal_scene *s = *state;
    struct repl_digest_file file = heal_scene_file(s, 1);
    struct ldb_digest digest;
    struct healing h;
    uint64_t size;
    char path[64];

    begin(&h, s);
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    (void)snprintf(path, sizeof(path), HEAL_SCENE_HERE "/%s",
                   heal_scene_name(s, 1));
    assert_ldb_ok(ldb_digest_file(s->env, path, &s->err, &digest, &size),
                  &s->err);
    assert_true(repl_digest_index_put(s->digests, &file, &digest));
    assert_ldb_ok(heal(&h, 1), &s->err);
    assert_true(heal_scene_is_same(s, 1));
    end(&h);
}

/* What lies there is another name of a file in force, maybe. */
static void what_an_earlier_try_left_is_not_written_to(void **state)
{
    struct heal_scene *s = *state;
    struct healing h;
    char from[64];
    char to[64];

    begin(&h, s);
    (void)snprintf(from, sizeof(from), HEAL_SCENE_HERE "/%s",
                   heal_scene_name(s, 0));
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    assert_ldb_ok(heal(&h, 1), &s->err); /* makes the folder */
    (void)snprintf(to, sizeof(to), HEAL_SCENE_HERE "/leveld/incoming/%s",
                   heal_scene_name(s, 1));
    assert_ldb_ok(s->env->ops->link_file(s->env, from, to, &s->err), &s->err);
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    assert_ldb_ok(heal(&h, 1), &s->err);
    assert_true(heal_scene_is_same(s, 0));
    assert_true(heal_scene_is_same(s, 1));
    end(&h);
}

/* Each try that ends after the damaged file was kept finds it kept, and has
 * changed nothing else. */
static void it_is_kept_once(void **state)
{
    struct heal_scene *s = *state;
    const struct env_fault_rule rule = {
        .kinds = ENV_FAULT_BIT(ENV_FAULT_RENAME_FILE),
        .path = "/incoming/",
        .nth = 1,
        .from_then_on = true,
        .sys_errno = EIO,
    };
    struct repl_digest_file file = heal_scene_file(s, 1);
    struct ldb_digest digest;
    struct healing h;
    char name[64];

    begin(&h, s);
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    env_fault_fail(s->fault, &rule);
    for (unsigned i = 0; i < 3; i++)
        assert_ldb_status(LDB_IO, heal(&h, 1), &s->err);
    assert_int_equal(3, env_fault_failed(s->fault));
    /* It is not what lies there. */
    assert_false(repl_digest_index_get(s->digests, &file, &digest));
    env_fault_fail(s->fault, NULL);
    (void)snprintf(name, sizeof(name), "lost/%s", heal_scene_name(s, 1));
    assert_true(heal_scene_has(s, name));
    (void)snprintf(name, sizeof(name), "lost/%s.1", heal_scene_name(s, 1));
    assert_false(heal_scene_has(s, name));
    assert_ldb_ok(heal(&h, 1), &s->err);
    assert_true(heal_scene_is_same(s, 1));
    assert_false(heal_scene_has(s, name));
    end(&h);
}

/* ---- at any moment ---- */

struct cuts {
    struct heal_scene *scene;
    struct ldb_buf damaged;
    struct ldb_buf sound;
    char name[LDB_FILE_NAME_SIZE];
    unsigned was_damaged; /* after a cut */
    unsigned was_sound;
    atomic_bool is_busy;
};

static bool read_of(struct ldb_env *env, const char *folder, const char *name,
                    struct ldb_buf *out)
{
    char path[96];

    (void)snprintf(path, sizeof(path), HEAL_SCENE_HERE "%s/%s", folder, name);
    ldb_buf_clear(out);
    return ldb_env_read_file(env, path, NULL, out) == LDB_OK;
}

/* The power goes before this call: the table has the damaged bytes or the right
 * ones, and in the second case the damaged ones are kept. */
static void cut_here(void *context, enum env_fault_kind kind, const char *path)
{
    struct cuts *c = context;
    struct ldb_buf found = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX);

    (void)path;
    if ((ENV_FAULT_BIT(kind) & ENV_FAULT_WRITES) == 0 ||
        atomic_exchange(&c->is_busy, true))
        return; /* a call of another thread, which changes nothing of it */
    for (unsigned keep = LDB_CRASH_KEEP_NONE; keep <= LDB_CRASH_KEEP_TORN;
         keep++) {
        struct env_fault *copy = env_fault_after_cut(
            c->scene->fault, (enum ldb_crash_keep)keep, c->was_damaged);
        struct ldb_env *env = env_fault_env(copy);

        assert_true(read_of(env, "", c->name, &found));
        if (ldb_slice_equal(ldb_slice_of_buf(&found),
                            ldb_slice_of_buf(&c->damaged))) {
            c->was_damaged++;
        } else {
            c->was_sound++;
            assert_ldb_slice(ldb_slice_of_buf(&c->sound),
                             ldb_slice_of_buf(&found));
            assert_true(read_of(env, "/lost", c->name, &found));
            assert_ldb_slice(ldb_slice_of_buf(&c->damaged),
                             ldb_slice_of_buf(&found));
        }
        env_fault_destroy(copy);
    }
    ldb_buf_release(&found);
    atomic_store(&c->is_busy, false);
}

static void no_power_cut_leaves_anything_else(void **state)
{
    struct heal_scene *s = *state;
    struct cuts c = {.scene = s,
                     .damaged = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX),
                     .sound = LDB_BUF_INIT(HEAL_SCENE_FILE_MAX)};
    struct env_fault *copy;
    struct healing h;

    begin(&h, s);
    (void)snprintf(c.name, sizeof(c.name), "%s", heal_scene_name(s, 1));
    assert_true(heal_scene_read(s, HEAL_SCENE_HERE, c.name, &c.sound));
    heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
    assert_true(heal_scene_read(s, HEAL_SCENE_HERE, c.name, &c.damaged));
    env_fault_set_call_hook(s->fault, cut_here, &c);
    assert_ldb_ok(heal(&h, 1), &s->err);
    env_fault_set_call_hook(s->fault, NULL, NULL);
    assert_true(c.was_damaged > 10);
    assert_true(c.was_sound > 0);
    copy = env_fault_after_cut(s->fault, LDB_CRASH_KEEP_NONE, 0);
    assert_true(read_of(env_fault_env(copy), "", c.name, &c.damaged));
    assert_ldb_slice(ldb_slice_of_buf(&c.sound), ldb_slice_of_buf(&c.damaged));
    env_fault_destroy(copy);
    ldb_buf_release(&c.damaged);
    ldb_buf_release(&c.sound);
    end(&h);
}

/* Or each try would have more names to look at. */
static void forget_lost(struct heal_scene *s, size_t i)
{
    static const char *const suffixes[] = {"", ".1", ".2"};

    for (size_t k = 0; k < sizeof(suffixes) / sizeof(suffixes[0]); k++) {
        char path[64];

        (void)snprintf(path, sizeof(path), HEAL_SCENE_HERE "/lost/%s%s",
                       heal_scene_name(s, i), suffixes[k]);
        LDB_IGNORE(s->env->ops->remove_file(s->env, path, NULL)); /* or none */
    }
}

/* Each call fails once: it is told, and the next try heals. */
static void a_failure_at_any_call_is_mended_by_the_next_try(void **state)
{
    struct heal_scene *s = *state;
    struct env_fault_rule fault = {.kinds = ENV_FAULT_WRITES, .sys_errno = EIO};
    struct healing h;

    begin(&h, s);
    for (fault.nth = 1;; fault.nth++) {
        struct repl_damaged_table damaged = {0};
        enum ldb_status status;

        forget_lost(s, 1);
        heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
        env_fault_fail(s->fault, &fault);
        status = heal(&h, 1);
        if (env_fault_failed(s->fault) == 0)
            break;
        env_fault_fail(s->fault, NULL);
        if (status != LDB_OK)
            assert_ldb_status(LDB_IO, status, &s->err);
        if (look(&h, s->tables[1], &damaged) == REPL_HEAL_DAMAGED)
            assert_ldb_ok(
                repl_heal_from(&h.with, &damaged, h.transport, &s->err),
                &s->err);
        repl_heal_release(&damaged);
        assert_true(heal_scene_is_same(s, 1));
        heal_scene_assert_whole(s);
    }
    assert_true(fault.nth > 6);
    env_fault_fail(s->fault, NULL);
    for (uint64_t n = 1;; n++) {
        struct repl_damaged_table damaged = {0};
        enum repl_heal_found found = REPL_HEAL_GONE;
        enum ldb_status status;

        forget_lost(s, 1);
        heal_scene_flip(s, HEAL_SCENE_HERE, 1, 100);
        mem_fault_start(n, MEM_FAULT_ONCE);
        status =
            repl_heal_look(&h.with, s->tables[1], &s->err, &found, &damaged);
        if (status == LDB_OK)
            status = repl_heal_from(&h.with, &damaged, h.transport, &s->err);
        repl_heal_release(&damaged);
        if (!mem_fault_stop())
            break;
        if (status != LDB_OK) {
            assert_ldb_status(LDB_NO_MEMORY, status, &s->err);
            if (look(&h, s->tables[1], &damaged) == REPL_HEAL_DAMAGED)
                assert_ldb_ok(
                    repl_heal_from(&h.with, &damaged, h.transport, &s->err),
                    &s->err);
            repl_heal_release(&damaged);
        }
        assert_true(heal_scene_is_same(s, 1));
    }
    end(&h);
}

int main(void)
{
#define CASE(name)                                                             \
    cmocka_unit_test_setup_teardown(name, heal_scene_setup, heal_scene_teardown)
    const struct CMUnitTest tests[] = {
        CASE(a_table_is_sound_or_gone),
        CASE(the_copy_takes_its_place),
        CASE(whatever_is_damaged_is_healed),
        CASE(a_damaged_copy_is_thrown_away),
        CASE(another_table_is_thrown_away),
        CASE(a_node_may_have_none),
        CASE(a_digest_of_damage_is_not_believed),
        CASE(what_an_earlier_try_left_is_not_written_to),
        CASE(it_is_kept_once),
        CASE(no_power_cut_leaves_anything_else),
        CASE(a_failure_at_any_call_is_mended_by_the_next_try),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
