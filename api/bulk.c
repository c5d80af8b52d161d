#include "api/bulk.h"

#include <string.h>

#include "api/auth.h"
#include "api/batch_json.h"
#include "api/conditions.h"
#include "api/context.h"
#include "api/write.h"
#include "storage/base/buf.h"

struct bulk {
    struct api_write w;
    struct api_batch_json chunk;  /* its ranges */
    struct ldb_arena chunk_arena; /* and their keys */
    enum api_encoding encoding;
    bool sync;
    bool has_begun;  /* the first lines were looked at */
    bool is_whole;   /* the body has ended */
    bool is_last;    /* nothing is left after w */
    bool is_stopped; /* problem is the answer once w has made durable what
                        stands */
    struct api_problem problem;
    size_t at;       /* in x->body: the first byte not in a chunk yet */
    size_t searched; /* up to there, no line behind at ends */
    uint64_t line;   /* lines read */
    uint64_t count;  /* operations committed */
    ldb_sequence sequence;
};

void api_bulk_begin(struct api_exchange *x)
{
    static const char *const allowed[] = {"sync", "replicas", "encoding", NULL};
    static const char *const types[] = {API_TYPE_JSON};
    const struct api_limits *limits = &x->context->limits;
    struct bulk *bulk = ldb_arena_alloc_aligned(x->arena, sizeof(*bulk));
    struct api_params params;
    size_t choice;

    if (bulk == NULL) {
        api_answer_no_memory(x);
        return;
    }
    memset(bulk, 0, sizeof(*bulk));
    api_write_init(&bulk->w, limits->batch_bytes);
    if (!api_params_parse(x, allowed, &params) ||
        !api_params_encoding(x, &params, &bulk->encoding) ||
        !api_accept(x, types, 1, &choice) || !api_conditions_refuse(x) ||
        !api_write_params(x, &params, &bulk->w))
        return;
    bulk->sync = bulk->w.write.sync;
    ldb_arena_init(&bulk->chunk_arena, 0);
    x->body_window = API_BULK_WINDOW;
    x->body_limit = limits->json_batch_bytes;
    x->state = bulk;
    /* The answer's room now: after the last commit nothing may fail. */
    if (ldb_buf_reserve(&bulk->w.answer, bulk->w.answer.limit) != LDB_OK)
        api_answer_no_memory(x);
}

/* ---- the answer ---- */

static void answer_stopped(struct api_exchange *x, struct bulk *bulk)
{
    bulk->problem.has_written = true;
    bulk->problem.written_sequence = bulk->sequence;
    bulk->problem.written_count = bulk->count;
    api_answer_problem(x, &bulk->problem);
}

/* What stands was to be durable, and it is not known whether it is. */
static void answer_in_doubt(struct api_exchange *x, struct bulk *bulk)
{
    struct api_problem doubt = {.kind = API_PROBLEM_OUTCOME_UNKNOWN};

    api_problem_detail(&doubt, "%s; then the sync of what was written failed",
                       bulk->problem.detail);
    doubt.has_line = bulk->problem.has_line;
    doubt.line = bulk->problem.line;
    bulk->problem = doubt;
    answer_stopped(x, bulk);
}

/* It was to be at followers, too, and is not, as far as is known. */
static void answer_lacking(struct api_exchange *x, struct bulk *bulk)
{
    struct api_problem lack;

    api_write_problem(x, &bulk->w, &lack);
    api_problem_detail(&lack,
                       "%s; and not enough followers have what was written",
                       bulk->problem.detail);
    lack.has_line = bulk->problem.has_line;
    lack.line = bulk->problem.line;
    bulk->problem = lack;
    answer_stopped(x, bulk);
}

/* ---- chunks ---- */

/* is_end: nothing follows that waits for disk and followers. */
static bool submit(struct api_exchange *x, struct bulk *bulk, bool is_end,
                   struct api_problem *problem)
{
    struct ldb_error error = {0};
    enum ldb_status s;

    bulk->w.write = (struct ldb_write){
        .sync = bulk->sync && is_end,
        .ranges = bulk->chunk.ranges,
        .range_count = bulk->chunk.range_count,
    };
    bulk->w.is_part = !is_end;
    s = api_write_queue(x, &bulk->w, &error);
    if (s != LDB_OK)
        api_problem_of_status(s, &error, problem);
    return s == LDB_OK;
}

static void clear_chunk(struct bulk *bulk)
{
    ldb_batch_clear(&bulk->w.batch);
    ldb_arena_clear(&bulk->chunk_arena);
    bulk->chunk = (struct api_batch_json){0};
}

/* It ends here; what stands is made durable first where that was asked for. */
static void stop(struct api_exchange *x, struct bulk *bulk,
                 const struct api_problem *problem)
{
    struct api_problem another;

    bulk->problem = *problem;
    bulk->is_stopped = true;
    clear_chunk(bulk);
    if (!bulk->sync || bulk->count == 0)
        answer_stopped(x, bulk);
    else if (!x->is_inside || !submit(x, bulk, true, &another))
        answer_in_doubt(x, bulk); /* outside: the database is about to go */
}

/* The lines of the body that have ended, and are in no chunk yet. */
static struct ldb_slice whole_lines(struct api_exchange *x, struct bulk *bulk)
{
    /* An empty body has no bytes to point at. */
    const uint8_t *from =
        bulk->at == 0 ? x->body.data : x->body.data + bulk->at;
    const uint8_t *end;

    if (bulk->is_whole)
        return ldb_slice_make(from, x->body.len - bulk->at);
    end = x->body.len == bulk->searched
              ? NULL
              : memrchr(x->body.data + bulk->searched, '\n',
                        x->body.len - bulk->searched);
    if (end == NULL) {
        bulk->searched = x->body.len;
        return ldb_slice_make(from, 0);
    }
    return ldb_slice_make(from, (size_t)(end + 1 - from));
}

/* What is in chunks already leaves the body. */
static void drop_used(struct api_exchange *x, struct bulk *bulk)
{
    struct ldb_buf *body = &x->body;

    if (bulk->at == 0)
        return;
    memmove(body->data, body->data + bulk->at, body->len - bulk->at);
    body->len -= bulk->at;
    bulk->searched -= bulk->at;
    bulk->at = 0;
}

/* Where this node stood before the first line. */
static void note_begin(struct api_exchange *x, struct bulk *bulk)
{
    if (!bulk->has_begun && x->is_inside)
        bulk->sequence = ldb_last_sequence(x->context->db);
    bulk->has_begun = true;
}

/* The next chunk, more of the body, or the end. */
static void step(struct api_exchange *x, struct bulk *bulk)
{
    struct ldb_slice lines = whole_lines(x, bulk);
    struct api_problem problem;
    size_t used;

    note_begin(x, bulk);

    clear_chunk(bulk);
    if (!api_batch_json_lines(&bulk->chunk_arena, &x->context->limits,
                              bulk->encoding, lines, &bulk->w.batch,
                              &bulk->chunk, &used, &bulk->line, &problem)) {
        stop(x, bulk, &problem);
        return;
    }
    if (!api_auth_has_batch(x, &bulk->w.batch, &bulk->chunk)) {
        api_auth_problem(&problem);
        stop(x, bulk, &problem);
        return;
    }
    bulk->at += used;
    if (bulk->searched < bulk->at)
        bulk->searched = bulk->at;
    bulk->is_last = bulk->is_whole && bulk->at == x->body.len;
    if (!bulk->is_last && bulk->w.batch.count == 0 &&
        bulk->chunk.range_count == 0) {
        assert(!bulk->is_whole);
        drop_used(x, bulk);
        x->wants_body = true;
        return;
    }
    /* Journals are synced in order: the last sync covers all chunks. */
    if (!submit(x, bulk, bulk->is_last, &problem))
        stop(x, bulk, &problem);
}

void api_bulk_take(struct api_exchange *x)
{
    struct bulk *bulk = x->state;

    step(x, bulk);
}

void api_bulk_refuse(struct api_exchange *x, const struct api_problem *problem)
{
    struct bulk *bulk = x->state;
    struct api_problem own = *problem;

    note_begin(x, bulk);
    /* Bodies have any length here: it was a line. */
    if (own.kind == API_PROBLEM_TOO_LARGE)
        api_problem_detail(&own, "a line is over the limit of %zu bytes",
                           x->body_limit);
    own.has_line = true;
    own.line = bulk->line + 1;
    stop(x, bulk, &own);
}

void api_bulk_finish(struct api_exchange *x)
{
    struct bulk *bulk = x->state;

    bulk->is_whole = true;
    step(x, bulk);
}

void api_bulk_resume(struct api_exchange *x)
{
    struct bulk *bulk = x->state;
    const struct ldb_write *write = &bulk->w.write;
    struct api_problem problem;

    if (bulk->is_stopped) {
        if (api_write_is_good(&bulk->w))
            answer_stopped(x, bulk);
        else if (write->status == LDB_OK)
            answer_lacking(x, bulk);
        else
            answer_in_doubt(x, bulk);
        return;
    }
    if (write->status != LDB_OK) {
        api_problem_of_status(write->status, &write->error, &problem);
        problem.has_line = true;
        problem.line = bulk->line;
        stop(x, bulk, &problem);
        return;
    }
    bulk->count += write->count;
    bulk->sequence = write->sequence;
    if (!bulk->is_last) {
        step(x, bulk);
    } else if (api_write_is_good(&bulk->w)) {
        api_write_answer_count(x, &bulk->w, bulk->sequence, bulk->count);
    } else {
        api_write_problem(x, &bulk->w, &bulk->problem);
        answer_stopped(x, bulk);
    }
}

void api_bulk_abandon(struct api_exchange *x)
{
    struct bulk *bulk = x->state;

    if (bulk == NULL)
        return;
    api_write_release(&bulk->w);
    ldb_arena_release(&bulk->chunk_arena);
}
