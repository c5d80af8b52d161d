#include "tests/support/leader_run.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/journal/write_batch.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/bytes.h"

#define BATCH_OPS_MAX 12
#define SHORT_VALUE   200
#define LONG_VALUE    ((size_t)70 * 1024)
#define LONG_ONE_IN   60
#define JUMP          ((ldb_sequence)1 << 32)

void leader_run_options(struct ldb_env *env, struct ldb_options *out)
{
    ldb_options_init(out);
    out->env = env;
    out->create_if_missing = true;
    out->write_buffer_bytes = 20 << 10; /* the first arena block and some */
    out->table_bytes = 8 << 10;
    out->level1_bytes = 16 << 10;
    out->level_multiplier = 4;
    out->block_bytes = 1024;
    out->l0_compaction_trigger = 2;
    out->row_cache_bytes = 16 << 10;
    out->manifest_rotate_bytes = 4 << 10;
    out->immutable_memtables_max = 3;
}

/* ---- its files ---- */

static void *grow(void *items, size_t count, size_t size)
{
    /* Doubling: full whenever the count is a power of two. */
    if ((count & (count - 1)) == 0)
        items = realloc(items, (count == 0 ? 1 : count * 2) * size);
    if (items == NULL)
        abort();
    return items;
}

/* A file that is about to go is remembered. */
static void remember(void *context, enum env_fault_kind kind, const char *path)
{
    struct leader_run *leader = context;
    const char *slash = strrchr(path, '/');
    struct leader_file file = {.bytes = LDB_BUF_INIT(LEADER_FILE_MAX)};

    if (kind != ENV_FAULT_REMOVE_FILE || slash == NULL)
        return;
    file.type = ldb_file_name_parse(slash + 1, &file.number);
    if (file.type != LDB_FILE_JOURNAL && file.type != LDB_FILE_TABLE &&
        file.type != LDB_FILE_MANIFEST)
        return;
    if (ldb_env_read_file(leader->env, path, NULL, &file.bytes) != LDB_OK)
        return;
    ldb_mutex_lock(&leader->mu);
    leader->removed =
        grow(leader->removed, leader->removed_count, sizeof(file));
    leader->removed[leader->removed_count++] = file;
    ldb_mutex_unlock(&leader->mu);
}

static bool find_removed(struct leader_run *leader, enum ldb_file_type type,
                         uint64_t number, struct ldb_buf *out)
{
    bool is_found = false;

    ldb_mutex_lock(&leader->mu);
    /* The last one: the number of a table that no version named is given
     * again after a reopen. */
    for (size_t i = leader->removed_count; !is_found && i > 0; i--) {
        const struct leader_file *file = &leader->removed[i - 1];

        is_found = file->type == type && file->number == number;
        if (is_found)
            assert_ldb_ok(ldb_buf_assign(out, ldb_slice_of_buf(&file->bytes)),
                          NULL);
    }
    ldb_mutex_unlock(&leader->mu);
    return is_found;
}

bool leader_run_file(struct leader_run *leader, enum ldb_file_type type,
                     uint64_t number, struct ldb_buf *out)
{
    char name[LDB_FILE_NAME_SIZE];
    char path[sizeof(LEADER_DIR) + LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, type, number);
    (void)snprintf(path, sizeof(path), LEADER_DIR "/%s", name);
    out->len = 0;
    /* It may go between the two, but not come back. */
    if (ldb_env_read_file(leader->env, path, NULL, out) == LDB_OK)
        return true;
    return find_removed(leader, type, number, out);
}

struct next {
    enum ldb_file_type type;
    uint64_t after;
    uint64_t best;
};

static void consider(struct next *next, enum ldb_file_type type,
                     uint64_t number)
{
    if (type == next->type && number > next->after &&
        (next->best == 0 || number < next->best))
        next->best = number;
}

static enum ldb_status consider_name(void *context, const char *name)
{
    uint64_t number = 0;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);

    consider(context, type, number);
    return LDB_OK;
}

uint64_t leader_run_next_file(struct leader_run *leader,
                              enum ldb_file_type type, uint64_t after)
{
    struct next next = {.type = type, .after = after};

    assert_ldb_ok(leader->env->ops->list_dir(leader->env, LEADER_DIR,
                                             consider_name, &next,
                                             &leader->err),
                  &leader->err);
    ldb_mutex_lock(&leader->mu);
    for (size_t i = 0; i < leader->removed_count; i++)
        consider(&next, leader->removed[i].type, leader->removed[i].number);
    ldb_mutex_unlock(&leader->mu);
    return next.best;
}

/* ---- its life ---- */

static void open_db(struct leader_run *leader)
{
    assert_ldb_ok(
        ldb_open(LEADER_DIR, &leader->options, NULL, &leader->err, &leader->db),
        &leader->err);
}

struct leader_run *leader_run_create(uint64_t seed, bool quiet)
{
    struct leader_run *leader = calloc(1, sizeof(*leader));

    assert_non_null(leader);
    leader->seed = seed;
    ldb_mutex_init(&leader->mu);
    leader->fault = env_fault_create(NULL);
    leader->env = env_fault_env(leader->fault);
    env_fault_set_call_hook(leader->fault, remember, leader);
    leader_run_options(leader->env, &leader->options);
    leader->is_quiet = quiet;
    if (quiet) {
        leader->options.write_buffer_bytes = 64 << 10;
        leader->options.l0_compaction_trigger = 50;
        leader->options.l0_slowdown_trigger = 60;
        leader->options.l0_stop_trigger = 70;
        leader->options.level1_bytes = UINT64_C(1) << 30;
        leader->options.manifest_rotate_bytes = UINT64_C(1) << 20;
    }
    open_db(leader);
    return leader;
}

void leader_run_destroy(struct leader_run *leader)
{
    if (leader->db != NULL)
        LDB_IGNORE(ldb_close(leader->db, NULL)); /* the test is over */
    env_fault_destroy(leader->fault);
    for (size_t i = 0; i < leader->removed_count; i++)
        ldb_buf_release(&leader->removed[i].bytes);
    free(leader->removed);
    free(leader->ops);
    free(leader->batches);
    ldb_mutex_release(&leader->mu);
    free(leader);
}

static void print_key(char out[8], uint32_t key)
{
    (void)snprintf(out, 8, "k%04u", key);
}

static struct ldb_slice value_of(const struct leader_op *op, uint8_t *scratch)
{
    uint64_t seed = op->value_seed;

    bytes_fill(&seed, scratch, op->value_len);
    return ldb_slice_make(scratch, op->value_len);
}

static struct leader_op random_op(struct leader_run *leader)
{
    struct leader_op op = {
        .key = (uint32_t)(bytes_next(&leader->seed) % LEADER_KEYS),
        .is_put = bytes_next(&leader->seed) % 4 != 0,
        .value_seed = bytes_next(&leader->seed),
    };

    op.value_len =
        (size_t)(bytes_next(&leader->seed) %
                 (!leader->is_quiet &&
                          bytes_next(&leader->seed) % LONG_ONE_IN == 0
                      ? LONG_VALUE
                      : SHORT_VALUE));
    return op;
}

void leader_run_write(struct leader_run *leader)
{
    static uint8_t scratch[LONG_VALUE];
    struct leader_op ops[BATCH_OPS_MAX];
    size_t count = 1 + (size_t)(bytes_next(&leader->seed) % BATCH_OPS_MAX);
    struct ldb_batch batch;
    struct ldb_write write = {.batch = &batch};
    char key[8];

    ldb_batch_init(&batch, leader->options.batch_bytes_max);
    for (size_t i = 0; i < count; i++) {
        ops[i] = random_op(leader);
        print_key(key, ops[i].key);
        assert_ldb_ok(ops[i].is_put
                          ? ldb_batch_put(&batch, ldb_slice_str(key),
                                          value_of(&ops[i], scratch))
                          : ldb_batch_delete(&batch, ldb_slice_str(key)),
                      NULL);
    }
    assert_ldb_ok(ldb_write_wait(leader->db, &write), &write.error);
    for (size_t i = 0; i < count; i++) {
        ops[i].sequence = write.sequence - count + 1 + i;
        leader->ops = grow(leader->ops, leader->op_count, sizeof(ops[0]));
        leader->ops[leader->op_count++] = ops[i];
    }
    leader->batches =
        grow(leader->batches, leader->batch_count, sizeof(*leader->batches));
    leader->batches[leader->batch_count++] = (struct leader_batch){
        .first = write.sequence - count + 1, .last = write.sequence};
    ldb_batch_release(&batch);
}

void leader_run_flush(struct leader_run *leader)
{
    assert_ldb_ok(ldb_flush(leader->db, &leader->err), &leader->err);
}

void leader_run_compact(struct leader_run *leader)
{
    assert_ldb_ok(ldb_compact_range(leader->db, NULL, NULL, &leader->err),
                  &leader->err);
}

void leader_run_close(struct leader_run *leader)
{
    assert_ldb_ok(ldb_close(leader->db, &leader->err), &leader->err);
    leader->db = NULL;
}

void leader_run_reopen(struct leader_run *leader)
{
    leader_run_close(leader);
    open_db(leader);
}

void leader_run_step(struct leader_run *leader)
{
    uint64_t what = bytes_next(&leader->seed) % 100;

    if (what < 4)
        leader_run_flush(leader);
    else if (what < 6)
        leader_run_compact(leader);
    else if (what < 8)
        leader_run_reopen(leader);
    else if (what < 9)
        assert_ldb_ok(ldb_raise_sequence(leader->db,
                                         ldb_last_sequence(leader->db) + JUMP,
                                         &leader->err),
                      &leader->err);
    else
        leader_run_write(leader);
}

/* ---- what has to be in a database ---- */

/* The last operation on each key up to the sequence; NULL: none. */
static void model_at(const struct leader_run *leader, ldb_sequence sequence,
                     const struct leader_op *out[LEADER_KEYS])
{
    memset(out, 0, LEADER_KEYS * sizeof(out[0]));
    for (size_t i = 0; i < leader->op_count; i++) {
        const struct leader_op *op = &leader->ops[i];

        if (op->sequence <= sequence)
            out[op->key] = op;
    }
}

static void assert_no_half_batch(const struct leader_run *leader,
                                 ldb_sequence sequence)
{
    for (size_t i = 0; i < leader->batch_count; i++) {
        const struct leader_batch *batch = &leader->batches[i];

        assert_false(batch->first <= sequence && sequence < batch->last);
    }
}

void leader_run_assert_state(struct leader_run *leader, struct ldb_db *db)
{
    static uint8_t scratch[LONG_VALUE];
    const struct leader_op *model[LEADER_KEYS];
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_cursor_open(db, NULL, &err, &cursor), &err);
    assert_no_half_batch(leader, ldb_cursor_view_sequence(cursor));
    model_at(leader, ldb_cursor_view_sequence(cursor), model);
    ldb_cursor_seek_first(cursor);
    for (uint32_t key = 0; key < LEADER_KEYS; key++) {
        char text[8];

        if (model[key] == NULL || !model[key]->is_put)
            continue;
        print_key(text, key);
        assert_true(ldb_cursor_valid(cursor));
        assert_ldb_slice(ldb_slice_str(text), ldb_cursor_key(cursor));
        assert_int_equal(model[key]->sequence, ldb_cursor_sequence(cursor));
        assert_ldb_slice(value_of(model[key], scratch),
                         ldb_cursor_value(cursor));
        ldb_cursor_next(cursor);
    }
    assert_false(ldb_cursor_valid(cursor));
    assert_ldb_ok(ldb_cursor_status(cursor, &err), &err);
    ldb_cursor_close(cursor);
}
