#include "api/write.h"

#include "api/context.h"
#include "api/db_gate.h"
#include "api/json_text.h"
#include "api/problem.h"
#include "api/sequence_wait.h"
#include "replication/leader.h"
#include "storage/base/buf.h"
#include "storage/base/status.h"

void api_write_init(struct api_write *w, size_t batch_limit)
{
    *w = (struct api_write){.answer = LDB_BUF_INIT(API_NUMBER_TEXT_SIZE * 4)};
    ldb_batch_init(&w->batch, batch_limit);
}

void api_write_release(struct api_write *w)
{
    ldb_batch_release(&w->batch);
    ldb_buf_release(&w->answer);
}

static void answer_few_followers(struct api_exchange *x,
                                 const struct api_write *w, unsigned followers)
{
    struct api_problem problem = {.kind = API_PROBLEM_CONFLICT};

    api_problem_detail(&problem, "replicas=%u: this node has %u followers",
                       w->replicas, followers);
    if (followers >= w->replicas_asked) {
        problem.kind = API_PROBLEM_STALLED;
        problem.retry_after_s = 1;
        api_problem_detail(&problem,
                           "%u followers have to have each write "
                           "(--min-replicas); this node has %u",
                           w->replicas, followers);
    }
    api_answer_problem(x, &problem);
}

/* Are there as many followers? Whether they come in time is another thing. */
static bool check_followers(struct api_exchange *x, const struct api_write *w)
{
    unsigned followers;

    if (w->replicas == 0)
        return true;
    followers = repl_write_concern_followers(x->context->concern);
    if (followers >= w->replicas)
        return true;
    answer_few_followers(x, w, followers);
    return false;
}

bool api_write_params(struct api_exchange *x, const struct api_params *params,
                      struct api_write *w)
{
    const struct api_context *context = x->context;
    bool sync = context->sync_default;
    uint64_t replicas = 0;

    if (!api_params_bool(x, params, "sync", &sync) ||
        !api_params_u64(x, params, "replicas", 0, REPL_REPLICAS_MAX, &replicas))
        return false;
    if (context->read_only) {
        api_answer_read_only(x);
        return false;
    }
    w->replicas_asked = (unsigned)replicas;
    w->replicas = w->replicas_asked > context->replicas_min
                      ? w->replicas_asked
                      : context->replicas_min;
    /* What a follower has synced has to be durable here before. */
    w->write.sync = sync || w->replicas > 0;
    return check_followers(x, w);
}

/* ---- waiting for followers ---- */

/* Sequences are synced in order: its last write waits for all of a request. */
static bool has_to_wait(const struct api_write *w)
{
    return w->replicas > 0 && !w->is_part;
}

/* The call of the write concern. */
static void replicas_done(struct repl_concern_wait *wait)
{
    api_exchange_wake(wait->context);
}

/* w is committed. True: x is woken later. */
static bool begin_wait(struct api_exchange *x, struct api_write *w)
{
    struct repl_leader *leader = x->context->leader;
    uint64_t timeout_us = x->sequence_wait.deadline_us - x->started_us;
    enum repl_concern_outcome outcome;

    /* One without an operation stands where the last entry does. */
    w->waits_for = w->write.sequence;
    if (w->write.count == 0 && leader != NULL)
        w->waits_for = repl_leader_last_entry(leader, w->write.sequence);
    w->wait = (struct repl_concern_wait){
        .sequence = w->waits_for,
        .replicas = w->replicas,
        .deadline_us = api_now_us(x->context) + timeout_us,
        .wake = replicas_done,
        .context = x,
    };
    outcome = repl_write_concern_wait(x->context->concern, &w->wait);
    if (outcome == REPL_CONCERN_WAITING)
        return true; /* x may be gone already */
    w->wait.outcome = outcome;
    return false;
}

/* The engine's call when the write is committed or has failed. */
static void write_done(struct ldb_write *write)
{
    struct api_write *w = (struct api_write *)(void *)write;
    struct api_exchange *x = write->context;

    if (write->status == LDB_OK) {
        api_sequence_waits_advance(x->context->sequence_waits, write->sequence);
        if (has_to_wait(w) && begin_wait(x, w))
            return;
    }
    api_exchange_wake(x);
}

bool api_write_is_good(const struct api_write *w)
{
    return w->write.status == LDB_OK &&
           (!has_to_wait(w) || w->wait.outcome == REPL_CONCERN_MET);
}

static void describe_wait(struct api_exchange *x, const struct api_write *w,
                          struct api_problem *out)
{
    unsigned long long sequence = w->write.sequence;
    unsigned synced =
        repl_write_concern_synced_by(x->context->concern, w->waits_for);

    *out = (struct api_problem){
        .kind = API_PROBLEM_OUTCOME_UNKNOWN,
        .has_written = true,
        .written_sequence = w->write.sequence,
        .written_count = w->write.count,
    };
    if (w->wait.outcome != REPL_CONCERN_TIMED_OUT) {
        api_problem_detail(out,
                           "written here as sequence %llu; this node stopped "
                           "to lead before %u followers had it",
                           sequence, w->replicas);
        return;
    }
    out->kind = API_PROBLEM_REPLICAS_TIMEOUT;
    out->has_replicas = true;
    out->replicas = synced;
    api_problem_detail(out,
                       "written and durable here as sequence %llu; %u of %u "
                       "followers have it: a failover may lose it",
                       sequence, synced, w->replicas);
}

void api_write_problem(struct api_exchange *x, const struct api_write *w,
                       struct api_problem *out)
{
    assert(!api_write_is_good(w));
    if (w->write.status != LDB_OK)
        api_problem_of_status(w->write.status, &w->write.error, out);
    else
        describe_wait(x, w, out);
}

/* ---- handing it over, and the answer ---- */

enum ldb_status api_write_queue(struct api_exchange *x, struct api_write *w,
                                struct ldb_error *err)
{
    enum ldb_status s;

    w->write.batch = &w->batch;
    w->write.done = write_done;
    w->write.context = x;
    if (!api_db_gate_enter(x->context->writes))
        return ldb_error_set(err, LDB_CLOSED,
                             "this node does not lead any more");
    s = ldb_write_submit(x->context->db, &w->write, err);
    api_db_gate_leave(x->context->writes);
    if (s == LDB_OK)
        atomic_store_explicit(&x->context->writes_queued, true,
                              memory_order_relaxed);
    return s;
}

bool api_write_submit(struct api_exchange *x, struct api_write *w)
{
    struct ldb_error error = {0};
    enum ldb_status s = api_write_queue(x, w, &error);

    if (s != LDB_OK)
        api_answer_status(x, s, &error);
    return s == LDB_OK;
}

void api_write_answer_count(struct api_exchange *x, struct api_write *w,
                            ldb_sequence sequence, uint64_t count)
{
    struct api_json json = api_json_make(&w->answer);

    api_json_object_begin(&json);
    api_json_member_u64(&json, "sequence", sequence);
    api_json_member_u64(&json, "count", count);
    api_json_object_end(&json);
    if (json.status == LDB_OK)
        json.status = ldb_buf_append_byte(&w->answer, '\n');
    assert(json.status == LDB_OK); /* into reserved room */
    api_header_sequence(x, &w->headers, sequence);
    api_answer_buf(x, 200, API_TYPE_JSON, &w->answer);
}

void api_write_answer_failure(struct api_exchange *x, const struct api_write *w,
                              bool name_condition)
{
    struct api_problem problem;

    api_write_problem(x, w, &problem);
    if (w->write.status == LDB_PRECONDITION) {
        problem.has_current = true;
        problem.current_exists = w->write.current_exists;
        problem.current = w->write.current;
        if (name_condition) {
            problem.has_index = true;
            problem.index = w->write.failed_condition;
            problem.has_key = true;
            problem.key = w->write.conditions[w->write.failed_condition].key;
        }
    }
    api_answer_problem(x, &problem);
}
