#include "tests/support/crash_run.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"
#include "tests/support/env_fault.h"

#define ASYNC_WRITES  4
#define THREADS       2
#define THREAD_WRITES 4
#define TOGETHER      3 /* memtables; immutable_memtables_max has them */

void crash_run_options(unsigned shape, struct ldb_env *env,
                       struct ldb_options *out)
{
    ldb_options_init(out);
    out->env = env;
    out->create_if_missing = true;
    out->write_buffer_bytes = shape % 2 == 0 ? 12 << 10 : 20 << 10;
    out->table_bytes = 8 << 10;
    out->level1_bytes = 16 << 10;
    out->level_multiplier = 4;
    out->block_bytes = shape % 3 == 0 ? 1024 : 4096;
    out->compress = shape % 2 == 0;
    out->bloom_bits = shape % 3 == 2 ? 0 : 10;
    out->l0_compaction_trigger = 2;
    out->manifest_rotate_bytes = 1 << 10;
    out->immutable_memtables_max = TOGETHER;
}

static void open_db(struct crash_run *run)
{
    struct ldb_options options;
    struct ldb_error err = {0};

    crash_run_options(run->shape, env_fault_env(run->fault), &options);
    options.journal = run->kind.journal;
    if (run->kind.write_buffer_bytes > 0)
        options.write_buffer_bytes = run->kind.write_buffer_bytes;
    assert_ldb_ok(ldb_open(CRASH_RUN_DIR, &options, NULL, &err, &run->db),
                  &err);
    if (run->opened_at == 0)
        run->opened_at = env_crash_position(run->crash);
}

static void close_db(struct crash_run *run)
{
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_close(run->db, &err), &err);
    run->db = NULL;
    history_all_durable(run->history, env_crash_position(run->crash));
}

static struct history_write *plan(struct crash_run *run, bool sync)
{
    struct history_write *w =
        history_plan(run->history, sync && !run->kind.lazy);

    assert_non_null(w);
    w->begun_at = env_crash_position(run->crash);
    w->answered_at = UINT64_MAX;
    return w;
}

static enum ldb_status write_one(struct crash_run *run, bool sync)
{
    struct history_write *w = plan(run, sync);
    enum ldb_status s = history_wait(run->db, w);

    w->answered_at = env_crash_position(run->crash);
    return s;
}

static void on_done(struct ldb_write *write)
{
    struct crash_run *run = write->context;
    struct history_write *w = (struct history_write *)(void *)write;

    w->answered_at = env_crash_position(run->crash);
}

static void write_async(struct crash_run *run)
{
    for (int i = 0; i < ASYNC_WRITES; i++) {
        struct history_write *w = plan(run, i == 2);
        struct ldb_error err = {0};

        w->write.done = on_done;
        w->write.context = run;
        assert_ldb_ok(ldb_write_submit(run->db, &w->write, &err), &err);
    }
    ldb_write_drive(run->db);
}

static void write_several(void *context)
{
    struct crash_run *run = context;

    for (int i = 0; i < THREAD_WRITES; i++)
        assert_int_equal(write_one(run, i % 2 == 0), LDB_OK);
}

static void write_from_threads(struct crash_run *run)
{
    struct ldb_env *system = ldb_env_posix();
    struct ldb_thread *threads[THREADS];
    struct ldb_error err = {0};

    for (size_t i = 0; i < THREADS; i++)
        assert_ldb_ok(system->ops->thread_start(system, "writer", write_several,
                                                run, &err, &threads[i]),
                      &err);
    for (size_t i = 0; i < THREADS; i++)
        system->ops->thread_join(system, threads[i]);
}

/* The next sync of a journal fails: writes stop until ldb_reopen(). */
static void fail_and_heal(struct crash_run *run)
{
    struct ldb_recovery recovery = {0};
    struct ldb_error err = {0};

    env_fault_fail(run->fault, &(struct env_fault_rule){
                                   .kinds = ENV_FAULT_BIT(ENV_FAULT_SYNC),
                                   .path = ".log",
                                   .nth = 1,
                                   .sys_errno = EIO});
    (void)write_one(run, false);
    (void)write_one(run, true);
    (void)write_one(run, true);
    env_fault_fail(run->fault, NULL);
    if (ldb_health(run->db, NULL) != LDB_HEALTH_SYNC_FAILED)
        return;
    assert_ldb_ok(ldb_reopen(run->db, &recovery, &err), &err);
    history_lost_above(run->history, recovery.last_sequence,
                       env_crash_position(run->crash));
    run->heals++;
}

/* The last of them is sealed by a write, which then has room. */
static void flush_together(struct crash_run *run)
{
    struct ldb_stats stats;
    struct ldb_error err = {0};

    flush_gate_close(&run->gate);
    ldb_stats(run->db, &stats);
    while (stats.immutable_memtables < TOGETHER) {
        assert_int_equal(write_one(run, false), LDB_OK);
        ldb_stats(run->db, &stats);
    }
    flush_gate_open(&run->gate);
    assert_ldb_ok(ldb_flush(run->db, &err), &err);
}

static void step(struct crash_run *run, char letter)
{
    struct ldb_error err = {0};

    switch (letter) {
    case 'w':
    case 's':
        assert_int_equal(write_one(run, letter == 's'), LDB_OK);
        break;
    case 'a':
        write_async(run);
        break;
    case 't':
        write_from_threads(run);
        break;
    case 'f':
        assert_ldb_ok(ldb_flush(run->db, &err), &err);
        break;
    case 'c':
        assert_ldb_ok(ldb_compact_range(run->db, NULL, NULL, &err), &err);
        break;
    case 'r':
        fail_and_heal(run);
        break;
    case 'm':
        flush_together(run);
        break;
    case 'o':
        close_db(run);
        run->shape++;
        open_db(run);
        break;
    default:
        fail_msg("no such letter: %c", letter);
    }
}

void crash_run_live(struct crash_run *run, const char *script, uint64_t seed,
                    const struct crash_run_kind *kind)
{
    *run = (struct crash_run){.seed = seed, .kind = *kind};
    (void)snprintf(run->script, sizeof(run->script), "%s", script);
    assert_ldb_ok(ldb_env_memory_create(NULL, &run->memory), NULL);
    run->crash = env_crash_create(run->memory, NULL);
    run->fault = env_fault_create(env_crash_env(run->crash));
    flush_gate_init(&run->gate, run->fault);
    run->history = history_create(seed);
    open_db(run);
    for (const char *p = script; *p != '\0'; p++)
        step(run, *p);
    close_db(run);
}

void crash_run_random_script(uint64_t seed, size_t len,
                             char out[CRASH_RUN_SCRIPT_MAX])
{
    static const char letters[] = "wwwwwwwwssssssaattffcom" /* often */
                                  "r";
    size_t i;

    assert_true(len < CRASH_RUN_SCRIPT_MAX);
    for (i = 0; i < len; i++)
        out[i] = letters[bytes_next(&seed) % (sizeof(letters) - 1)];
    out[i] = '\0';
}

void crash_run_release(struct crash_run *run)
{
    history_destroy(run->history);
    flush_gate_release(&run->gate);
    env_fault_destroy(run->fault);
    env_crash_destroy(run->crash);
    ldb_env_memory_destroy(run->memory);
}
