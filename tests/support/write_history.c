#include "tests/support/write_history.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/mutex.h"
#include "storage/base/slice.h"
#include "storage/base/writer.h"
#include "tests/support/bytes.h"

#define VALUE_LEN_MAX 900
#define VALUES_MAX    100000000u /* a value's number has eight digits */
#define WHY_SIZE      400

/* One key's newest entry. */
struct cell {
    uint32_t value; /* 0: absent */
    ldb_sequence sequence;
};

struct state {
    struct cell cells[HISTORY_KEYS];
};

/* Locking: mu protects random, next_value, writes and count. */
struct history {
    struct ldb_mutex mu;
    uint64_t random;              /* guarded by mu */
    uint32_t next_value;          /* guarded by mu */
    struct history_write *writes; /* guarded by mu; newest first */
    size_t count;                 /* guarded by mu */
    struct state settled;
    char why[WHY_SIZE];
};

static void *allocate(size_t size)
{
    void *block = calloc(1, size == 0 ? 1 : size);

    if (block == NULL)
        abort();
    return block;
}

struct history *history_create(uint64_t seed)
{
    struct history *h = allocate(sizeof(*h));

    ldb_mutex_init(&h->mu);
    h->random = seed;
    h->next_value = 1;
    return h;
}

static void forget_writes(struct history *h)
{
    struct history_write *next;

    for (struct history_write *w = h->writes; w != NULL; w = next) {
        next = w->next;
        ldb_batch_release(&w->batch);
        free(w);
    }
    h->writes = NULL;
    h->count = 0;
}

void history_destroy(struct history *h)
{
    if (h == NULL)
        return;
    forget_writes(h);
    ldb_mutex_release(&h->mu);
    free(h);
}

uint64_t history_random(struct history *h, uint64_t n)
{
    uint64_t number;

    ldb_mutex_lock(&h->mu);
    number = bytes_next(&h->random) % n;
    ldb_mutex_unlock(&h->mu);
    return number;
}

/* ---- keys and values ---- */

static struct ldb_slice print_key(uint32_t key, char out[16])
{
    (void)snprintf(out, 16, "k%03u", key);
    return ldb_slice_str(out);
}

/* Bytes that tell their number and have a length of their own. */
static struct ldb_slice print_value(uint32_t value, char out[VALUE_LEN_MAX])
{
    uint64_t seed = value;
    size_t len = 8 + bytes_next(&seed) % (VALUE_LEN_MAX - 8);

    assert(value < VALUES_MAX);
    bytes_fill(&seed, (uint8_t *)out, len);
    (void)snprintf(out, 9, "%08u", value);
    return ldb_slice_make(out, len);
}

/* Digits of text; false when there is anything else. */
static bool parse_number(struct ldb_slice digits, uint32_t *out)
{
    uint32_t n = 0;

    for (size_t i = 0; i < digits.len; i++) {
        if (digits.data[i] < '0' || digits.data[i] > '9')
            return false;
        n = n * 10 + (uint32_t)(digits.data[i] - '0');
    }
    *out = n;
    return true;
}

/* ---- planning ---- */

static enum ldb_status fill(struct history *h, struct history_write *w)
{
    char key[16];
    char value[VALUE_LEN_MAX];
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&h->mu);
    w->op_count = 1 + (uint32_t)(bytes_next(&h->random) % HISTORY_OPS_MAX);
    for (uint32_t i = 0; i < w->op_count; i++) {
        w->ops[i].key = (uint32_t)(bytes_next(&h->random) % HISTORY_KEYS);
        if (bytes_next(&h->random) % 5 > 0)
            w->ops[i].value = h->next_value++;
    }
    ldb_mutex_unlock(&h->mu);
    for (uint32_t i = 0; s == LDB_OK && i < w->op_count; i++) {
        const struct history_op *op = &w->ops[i];

        s = op->value == 0
                ? ldb_batch_delete(&w->batch, print_key(op->key, key))
                : ldb_batch_put(&w->batch, print_key(op->key, key),
                                print_value(op->value, value));
    }
    return s;
}

struct history_write *history_plan(struct history *h, bool sync)
{
    struct history_write *w = allocate(sizeof(*w));

    ldb_batch_init(&w->batch, (size_t)64 << 10);
    w->write.batch = &w->batch;
    w->write.sync = sync;
    /* Until somebody answers. */
    w->write.status = LDB_OUTCOME_UNKNOWN;
    w->durable_at = HISTORY_NEVER;
    if (fill(h, w) != LDB_OK) {
        ldb_batch_release(&w->batch);
        free(w);
        return NULL;
    }
    ldb_mutex_lock(&h->mu);
    w->next = h->writes;
    h->writes = w;
    h->count++;
    ldb_mutex_unlock(&h->mu);
    return w;
}

enum ldb_status history_wait(struct ldb_db *db, struct history_write *w)
{
    return ldb_write_wait(db, &w->write);
}

size_t history_acked(const struct history *h)
{
    size_t count = 0;

    for (const struct history_write *w = h->writes; w != NULL; w = w->next)
        count += w->write.status == LDB_OK;
    return count;
}

size_t history_answered_at(const struct history *h, uint64_t moment)
{
    size_t count = 0;

    for (const struct history_write *w = h->writes; w != NULL; w = w->next)
        count += w->answered_at <= moment;
    return count;
}

size_t history_acked_synced(const struct history *h)
{
    size_t count = 0;

    for (const struct history_write *w = h->writes; w != NULL; w = w->next)
        count += w->write.status == LDB_OK && w->write.sync;
    return count;
}

/* ---- checking ---- */

LDB_PRINTF(2, 3)
static const char *complain(struct history *h, const char *format, ...)
{
    va_list args;

    va_start(args, format);
    (void)vsnprintf(h->why, sizeof(h->why), format, args);
    va_end(args);
    return h->why;
}

/* The number its operations were given; 0: it never came that far. */
static ldb_sequence first_sequence(const struct history_write *w)
{
    return w->batch.rep.len < 8 ? 0 : ldb_load_fixed64(w->batch.rep.data);
}

static const char *read_entry(struct history *h, struct ldb_cursor *cursor,
                              struct state *out)
{
    struct ldb_slice key = ldb_cursor_key(cursor);
    struct ldb_slice value = ldb_cursor_value(cursor);
    char bytes[VALUE_LEN_MAX];
    uint32_t k = 0;
    uint32_t v = 0;

    if (key.len != 4 || key.data[0] != 'k' ||
        !parse_number(ldb_slice_make(key.data + 1, 3), &k) || k >= HISTORY_KEYS)
        return complain(h, "a key of %zu bytes that nobody wrote", key.len);
    if (value.len < 8 || !parse_number(ldb_slice_make(value.data, 8), &v) ||
        v == 0 || !ldb_slice_equal(value, print_value(v, bytes)))
        return complain(h, "k%03u: a value that nobody wrote", k);
    if (out->cells[k].value != 0)
        return complain(h, "k%03u: twice", k);
    out->cells[k] =
        (struct cell){.value = v, .sequence = ldb_cursor_sequence(cursor)};
    return NULL;
}

static const char *read_state(struct history *h, struct ldb_db *db,
                              struct state *out)
{
    struct ldb_cursor *cursor = NULL;
    struct ldb_error err = {0};
    const char *why = NULL;

    *out = (struct state){0};
    if (ldb_cursor_open(db, NULL, &err, &cursor) != LDB_OK)
        return complain(h, "open a cursor: %s", err.message);
    for (ldb_cursor_seek_first(cursor); why == NULL && ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor))
        why = read_entry(h, cursor, out);
    if (why == NULL && ldb_cursor_status(cursor, &err) != LDB_OK)
        why = complain(h, "read: %s", err.message);
    ldb_cursor_close(cursor);
    return why;
}

static void apply(struct state *state, const struct history_write *w)
{
    for (uint32_t i = 0; i < w->op_count; i++)
        state->cells[w->ops[i].key] = (struct cell){
            .value = w->ops[i].value, .sequence = first_sequence(w) + i};
}

/* The first key that differs, or HISTORY_KEYS. */
static uint32_t first_difference(const struct state *a, const struct state *b)
{
    for (uint32_t k = 0; k < HISTORY_KEYS; k++) {
        if (a->cells[k].value != b->cells[k].value)
            return k;
        if (a->cells[k].value != 0 &&
            a->cells[k].sequence != b->cells[k].sequence)
            return k;
    }
    return HISTORY_KEYS;
}

static int compare_writes(const void *a, const void *b)
{
    ldb_sequence left = first_sequence(*(struct history_write *const *)a);
    ldb_sequence right = first_sequence(*(struct history_write *const *)b);

    return (left > right) - (left < right);
}

/* As it was known at a moment; LDB_IO for one that had not begun. */
static enum ldb_status status_at(const struct history_write *w, uint64_t moment)
{
    if (w->begun_at > moment)
        return LDB_IO;
    return w->answered_at > moment ? LDB_OUTCOME_UNKNOWN : w->write.status;
}

/* Acknowledged and unknown ones that have numbers, by number. */
static struct history_write **numbered(const struct history *h, uint64_t moment,
                                       size_t *out_count)
{
    struct history_write **list =
        allocate(h->count * sizeof(struct history_write *));
    size_t count = 0;

    for (struct history_write *w = h->writes; w != NULL; w = w->next) {
        enum ldb_status s = status_at(w, moment);

        if ((s == LDB_OK || s == LDB_OUTCOME_UNKNOWN) && first_sequence(w) != 0)
            list[count++] = w;
    }
    if (count > 1)
        qsort(list, count, sizeof(struct history_write *), compare_writes);
    *out_count = count;
    return list;
}

static bool must_survive(const struct history_write *w, enum history_must must,
                         uint64_t moment)
{
    return status_at(w, moment) == LDB_OK &&
           (must == HISTORY_ACKED || w->write.sync ||
            (w->durable_at != HISTORY_NEVER && w->durable_at <= moment));
}

/* Numbers are handed out once, and every write that must be there is below
 * the last number. */
static const char *check_numbers(struct history *h,
                                 struct history_write *const *list,
                                 size_t count, enum history_must must,
                                 uint64_t moment, ldb_sequence last)
{
    ldb_sequence used = 0;

    for (size_t i = 0; i < count; i++) {
        const struct history_write *w = list[i];
        ldb_sequence first = first_sequence(w);
        ldb_sequence end = first + w->op_count - 1;

        if (first <= used)
            return complain(h, "sequence %llu was handed out twice",
                            (unsigned long long)first);
        used = end;
        if (end > last && must_survive(w, must, moment))
            return complain(h,
                            "the write of %llu to %llu was acknowledged%s, "
                            "but the last sequence is %llu",
                            (unsigned long long)first, (unsigned long long)end,
                            w->write.sync ? " as durable" : "",
                            (unsigned long long)last);
    }
    return NULL;
}

/*
 * The state that the writes up to the last sequence make, with the first
 * `unknown` of those whose outcome is unknown.
 */
static struct state expected(const struct history *h,
                             struct history_write *const *list, size_t count,
                             uint64_t moment, ldb_sequence last, size_t unknown)
{
    struct state state = h->settled;

    for (size_t i = 0; i < count; i++) {
        const struct history_write *w = list[i];

        if (first_sequence(w) + w->op_count - 1 > last)
            break;
        if (status_at(w, moment) == LDB_OUTCOME_UNKNOWN) {
            if (unknown == 0)
                continue;
            unknown--;
        }
        apply(&state, w);
    }
    return state;
}

static const char *check_content(struct history *h,
                                 struct history_write *const *list,
                                 size_t count, const struct state *found,
                                 uint64_t moment, ldb_sequence last)
{
    size_t unknown_count = 0;
    struct state all;
    uint32_t k;

    for (size_t i = 0; i < count; i++)
        unknown_count += status_at(list[i], moment) == LDB_OUTCOME_UNKNOWN;
    for (size_t unknown = 0; unknown <= unknown_count; unknown++) {
        struct state state = expected(h, list, count, moment, last, unknown);

        if (first_difference(&state, found) == HISTORY_KEYS)
            return NULL;
    }
    all = expected(h, list, count, moment, last, unknown_count);
    k = first_difference(&all, found);
    return complain(
        h,
        "k%03u is value %u of sequence %llu, should be %u of "
        "%llu (last sequence %llu, %zu writes, %zu unknown)",
        k, found->cells[k].value, (unsigned long long)found->cells[k].sequence,
        all.cells[k].value, (unsigned long long)all.cells[k].sequence,
        (unsigned long long)last, count, unknown_count);
}

const char *history_check(struct history *h, struct ldb_db *db,
                          enum history_must must)
{
    return history_check_at(h, db, must, UINT64_MAX);
}

const char *history_check_at(struct history *h, struct ldb_db *db,
                             enum history_must must, uint64_t moment)
{
    ldb_sequence last = ldb_last_sequence(db);
    struct history_write **list;
    struct state found;
    size_t count;
    const char *why = read_state(h, db, &found);

    if (why != NULL)
        return why;
    list = numbered(h, moment, &count);
    why = check_numbers(h, list, count, must, moment, last);
    if (why == NULL)
        why = check_content(h, list, count, &found, moment, last);
    free(list);
    return why;
}

void history_all_durable(struct history *h, uint64_t moment)
{
    for (struct history_write *w = h->writes; w != NULL; w = w->next)
        if (w->write.status == LDB_OK && w->durable_at > moment)
            w->durable_at = moment;
}

void history_lost_above(struct history *h, ldb_sequence last, uint64_t moment)
{
    for (struct history_write *w = h->writes; w != NULL; w = w->next) {
        if (w->write.status != LDB_OK && w->write.status != LDB_OUTCOME_UNKNOWN)
            continue;
        if (first_sequence(w) + w->op_count - 1 <= last)
            continue;
        w->write.status = LDB_IO;
        w->answered_at = moment;
    }
}

void history_settle(struct history *h, struct ldb_db *db)
{
    struct state found;

    if (read_state(h, db, &found) != NULL)
        abort();
    h->settled = found;
    forget_writes(h);
}
