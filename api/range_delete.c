#include "api/range_delete.h"

#include <string.h>

#include "api/conditions.h"
#include "api/context.h"
#include "api/db_gate.h"
#include "api/problem.h"
#include "api/range_scan.h"
#include "api/write.h"
#include "storage/base/buf.h"

/*
 * Between batches no cursor stays open: the request waits for a commit then,
 * and a database that closes meanwhile must not be held by a view of it. What
 * was written since it began is told by its sequence instead.
 */
struct range_delete {
    struct api_write w;
    struct api_range_query query; /* lower moves on */
    struct ldb_buf lower;         /* what query.lower points to, moved once */
    bool sync;                    /* of the last batch, and so of all */
    bool is_last;                 /* nothing of the range is left after w */
    ldb_sequence newest;          /* when the deletion began */
    uint64_t deleted;
};

static bool range_is_named(struct api_exchange *x,
                           const struct api_params *params)
{
    if (api_params_find(params, "start") != NULL ||
        api_params_find(params, "end") != NULL ||
        api_params_find(params, "prefix") != NULL)
        return true;
    api_answer_problemf(x, API_PROBLEM_MALFORMED,
                        "say start, end or prefix; start= deletes all");
    return false;
}

void api_range_delete_begin(struct api_exchange *x)
{
    static const char *const allowed[] = {"start", "end",      "prefix", "enc",
                                          "sync",  "replicas", NULL};
    static const char *const types[] = {API_TYPE_JSON};
    struct range_delete *state =
        ldb_arena_alloc_aligned(x->arena, sizeof(*state));
    struct api_params params;
    size_t choice;

    if (state == NULL) {
        api_answer_no_memory(x);
        return;
    }
    memset(state, 0, sizeof(*state));
    api_write_init(&state->w, x->context->limits.batch_bytes);
    state->lower = (struct ldb_buf)LDB_BUF_INIT(UINT32_MAX);
    if (!api_params_parse(x, allowed, &params) || !range_is_named(x, &params) ||
        !api_range_bounds_parse(x, &params, &state->query) ||
        !api_accept(x, types, 1, &choice) || !api_conditions_refuse(x) ||
        !api_write_params(x, &params, &state->w))
        return;
    state->sync = state->w.write.sync;
    x->state = state;
}

/*
 * The next keys into the batch. The scan ends on the first one left, where
 * the range begins from now on.
 */
static enum ldb_status take_keys(struct range_delete *state,
                                 struct api_range_scan *scan)
{
    struct ldb_batch *batch = &state->w.batch;
    enum ldb_status s = LDB_OK;

    for (size_t looked = 0; s == LDB_OK && api_range_scan_valid(scan);
         looked++) {
        struct ldb_slice key = ldb_cursor_key(scan->cursor);

        if (looked == API_RANGE_DELETE_KEYS ||
            batch->rep.len >= API_RANGE_DELETE_BYTES) {
            s = ldb_buf_assign(&state->lower, key);
            state->query.lower = ldb_slice_of_buf(&state->lower);
            break;
        }
        if (ldb_cursor_sequence(scan->cursor) <= state->newest)
            s = ldb_batch_delete(batch, key);
        if (s == LDB_OK)
            api_range_scan_next(scan);
    }
    return s;
}

static void answer_problem(struct api_exchange *x, struct range_delete *state,
                           struct api_problem *problem)
{
    problem->has_deleted = true;
    problem->deleted = state->deleted;
    api_answer_problem(x, problem);
}

/* The next batch, and whether it is the last. */
static enum ldb_status find_batch(struct api_exchange *x,
                                  struct range_delete *state,
                                  struct ldb_error *error)
{
    struct api_range_scan scan = {0};
    enum ldb_status s;

    ldb_batch_clear(&state->w.batch);
    s = api_range_scan_open(x->context->db, &state->query, NULL, true, error,
                            &scan);
    if (s == LDB_OK)
        s = take_keys(state, &scan);
    if (s == LDB_OK) {
        state->is_last = !api_range_scan_valid(&scan);
        if (state->is_last)
            s = ldb_cursor_status(scan.cursor, error);
    }
    api_range_scan_close(&scan);
    /* The answer's room now: after a commit nothing may fail. */
    if (s == LDB_OK)
        s = ldb_buf_reserve(&state->w.answer, state->w.answer.limit);
    return s;
}

/* The database is about to go: the rest of the range stays. */
static void answer_closing(struct api_exchange *x, struct range_delete *state)
{
    struct api_problem problem;

    api_db_gate_problem(x->context->gate, &problem);
    answer_problem(x, state, &problem);
}

static void step(struct api_exchange *x)
{
    struct range_delete *state = x->state;
    struct api_problem problem;
    struct ldb_error error = {0};
    enum ldb_status s;

    if (api_db_gate_is_closing(x->context->gate)) {
        answer_closing(x, state);
        return;
    }
    s = find_batch(x, state, &error);

    if (s == LDB_OK && !state->is_last && state->w.batch.count == 0) {
        api_exchange_wake(x); /* only keys that stay: on in the next pass */
        return;
    }
    if (s == LDB_OK) {
        /* Journals are synced in order: the last sync covers all batches. */
        state->w.write = (struct ldb_write){
            .sync = state->sync && state->is_last,
        };
        state->w.is_part = !state->is_last;
        s = api_write_queue(x, &state->w, &error);
    }
    if (s != LDB_OK) {
        api_problem_of_status(s, &error, &problem);
        answer_problem(x, state, &problem);
    }
}

void api_range_delete_finish(struct api_exchange *x)
{
    struct range_delete *state = x->state;

    state->newest = ldb_last_sequence(x->context->db);
    step(x);
}

static void answer_done(struct api_exchange *x, struct range_delete *state)
{
    struct ldb_buf *answer = &state->w.answer;
    struct api_json json = api_json_make(answer);

    api_json_object_begin(&json);
    api_json_member_u64(&json, "deleted", state->deleted);
    api_json_member_u64(&json, "sequence", state->w.write.sequence);
    api_json_object_end(&json);
    if (json.status == LDB_OK)
        json.status = ldb_buf_append_byte(answer, '\n');
    assert(json.status == LDB_OK); /* into reserved room */
    api_header_sequence(x, &state->w.headers, state->w.write.sequence);
    api_answer_buf(x, 200, API_TYPE_JSON, answer);
}

void api_range_delete_resume(struct api_exchange *x)
{
    struct range_delete *state = x->state;
    struct api_problem problem;

    if (state->w.write.status == LDB_OK)
        state->deleted += state->w.batch.count;
    if (!api_write_is_good(&state->w)) {
        api_write_problem(x, &state->w, &problem);
        answer_problem(x, state, &problem);
        return;
    }
    if (state->is_last)
        answer_done(x, state);
    else
        step(x);
}

void api_range_delete_abandon(struct api_exchange *x)
{
    struct range_delete *state = x->state;

    if (state == NULL)
        return;
    api_write_release(&state->w);
    ldb_buf_release(&state->lower);
}
