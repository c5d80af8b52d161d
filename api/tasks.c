#include "api/tasks.h"

#include "storage/base/buf.h"
#include "storage/base/env.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

/*
 * Locking: all, id and work are constant; result is written before the state
 * says that the task has ended; the rest is guarded by the mu of all.
 */
struct api_task {
    struct api_tasks *all;
    uint64_t id;
    struct api_task_work work;
    struct ldb_buf result;
    unsigned refs;
    bool is_cancelled;
    struct api_task_info info;
    struct api_task *next_queued;
    struct api_task *next; /* of the table */
};

struct lane {
    struct api_tasks *all;
    struct ldb_thread *thread; /* NULL: not started */
    struct ldb_cond added;
    struct api_task *first; /* queued, the oldest */
    size_t count;           /* of those */
    struct api_task *running;
};

/* By enum api_task_lane: how many, and their threads' names. */
#define LANES (API_TASK_CHANGE + 1)
static const char *const lane_names[LANES] = {"tasks", "short-tasks",
                                              "role-change"};

/*
 * Locking: env is constant; the rest is guarded by mu. An exchange is woken
 * under it, so that none is after api_task_unwatch(); nothing else is called.
 */
struct api_tasks {
    struct ldb_env *env;
    struct ldb_mutex mu;
    struct lane lanes[LANES];
    struct api_task *table; /* listed ones, the newest first */
    struct api_task_watch *watches;
    uint64_t last_id;
    bool is_closed;
    struct api_tasks_figures figures; /* ended and failed */
};

/* ---- states ---- */

const char *api_task_state_text(enum api_task_state state)
{
    switch (state) {
    case API_TASK_QUEUED:
        return "queued";
    case API_TASK_RUNNING:
        return "running";
    case API_TASK_DONE:
        return "done";
    case API_TASK_FAILED:
        return "failed";
    case API_TASK_CANCELLED:
        return "cancelled";
    }
    return "";
}

bool api_task_info_has_ended(const struct api_task_info *info)
{
    return info->state != API_TASK_QUEUED && info->state != API_TASK_RUNNING;
}

/* ---- references ---- */

static void destroy_task(struct api_task *task)
{
    if (task->work.release != NULL)
        task->work.release(task->work.context);
    ldb_buf_release(&task->result);
    ldb_mem_free(task);
}

/* True: that was the last; destroy it once mu is free. */
static bool drop_ref(struct api_task *task)
{
    assert(task->refs > 0);
    return --task->refs == 0;
}

void api_task_unref(struct api_task *task)
{
    bool is_last;

    if (task == NULL)
        return;
    ldb_mutex_lock(&task->all->mu);
    is_last = drop_ref(task);
    ldb_mutex_unlock(&task->all->mu);
    if (is_last)
        destroy_task(task);
}

/* ---- watching ---- */

static bool has_moved(const struct api_task_info *now,
                      const struct api_task_info *seen)
{
    return now->state != seen->state || now->done != seen->done ||
           now->total != seen->total;
}

/* Unlinks *link and wakes its exchange. */
static void wake_watch(struct api_task_watch **link)
{
    struct api_task_watch *watch = *link;

    *link = watch->next;
    watch->task = NULL;
    api_exchange_wake(watch->x);
}

/* Those of the task. */
static void wake_watches_of(struct api_tasks *all, const struct api_task *task)
    LDB_REQUIRES(all->mu)
{
    struct api_task_watch **link = &all->watches;

    while (*link != NULL) {
        if ((*link)->task == task)
            wake_watch(link);
        else
            link = &(*link)->next;
    }
}

void api_tasks_tick(struct api_tasks *all)
{
    uint64_t now_us = all->env->ops->monotonic_us(all->env);
    struct api_task_watch **link = &all->watches;

    ldb_mutex_lock(&all->mu);
    while (*link != NULL) {
        const struct api_task_watch *watch = *link;

        if (watch->deadline_us <= now_us ||
            (watch->has_seen && has_moved(&watch->task->info, &watch->seen)))
            wake_watch(link);
        else
            link = &(*link)->next;
    }
    ldb_mutex_unlock(&all->mu);
}

enum api_task_watched api_task_watch(struct api_task *task,
                                     struct api_task_watch *watch,
                                     struct api_exchange *x,
                                     uint64_t deadline_us,
                                     const struct api_task_info *seen)
{
    struct api_tasks *all = task->all;
    uint64_t now_us = all->env->ops->monotonic_us(all->env);
    enum api_task_watched watched = API_TASK_WATCHED;

    ldb_mutex_lock(&all->mu);
    assert(watch->task == NULL);
    if (api_task_info_has_ended(&task->info) || deadline_us <= now_us ||
        (seen != NULL && has_moved(&task->info, seen))) {
        watched = API_TASK_CHANGED;
    } else if (all->is_closed) {
        watched = API_TASK_CLOSED;
    } else {
        *watch = (struct api_task_watch){
            .task = task,
            .x = x,
            .deadline_us = deadline_us,
            .has_seen = seen != NULL,
            .next = all->watches,
        };
        if (seen != NULL)
            watch->seen = *seen;
        all->watches = watch;
    }
    ldb_mutex_unlock(&all->mu);
    return watched;
}

void api_task_unwatch(struct api_tasks *all, struct api_task_watch *watch)
{
    struct api_task_watch **link = &all->watches;

    ldb_mutex_lock(&all->mu);
    while (*link != NULL && *link != watch)
        link = &(*link)->next;
    if (*link != NULL)
        *link = watch->next;
    watch->task = NULL;
    ldb_mutex_unlock(&all->mu);
}

/* ---- the end of a task ---- */

/* Takes the oldest ended ones off the table; what is left goes on *dead. */
static void trim(struct api_tasks *all, struct api_task **dead)
    LDB_REQUIRES(all->mu)
{
    struct api_task **link = &all->table;
    size_t kept = 0;

    while (*link != NULL) {
        struct api_task *task = *link;

        if (!api_task_info_has_ended(&task->info) ||
            ++kept <= API_TASKS_KEPT_MAX) {
            link = &task->next;
            continue;
        }
        *link = task->next;
        if (drop_ref(task)) {
            task->next = *dead;
            *dead = task;
        }
    }
}

static void destroy_list(struct api_task *dead)
{
    while (dead != NULL) {
        struct api_task *next = dead->next;

        destroy_task(dead);
        dead = next;
    }
}

/* error: why it failed; NULL: it did not. */
static void end_task(struct api_tasks *all, struct api_task *task,
                     enum ldb_status status, const struct ldb_error *error)
    LDB_REQUIRES(all->mu)
{
    struct api_task_info *info = &task->info;

    info->state = status == LDB_OK          ? API_TASK_DONE
                  : status == LDB_CANCELLED ? API_TASK_CANCELLED
                                            : API_TASK_FAILED;
    info->status = status;
    if (error != NULL)
        info->error = *error;
    if (status == LDB_OK)
        info->done = info->total;
    info->ended_us = all->env->ops->wall_us(all->env);
    if (info->kind != NULL) {
        all->figures.ended++;
        all->figures.failed += info->state == API_TASK_FAILED;
    }
    wake_watches_of(all, task);
}

/* ---- the threads ---- */

static bool take_report(void *context, uint64_t done, uint64_t total)
{
    struct api_task *task = context;
    bool goes_on;

    ldb_mutex_lock(&task->all->mu);
    task->info.done = done;
    task->info.total = total;
    goes_on = !task->is_cancelled;
    ldb_mutex_unlock(&task->all->mu);
    return goes_on;
}

/* The oldest of the queue, or NULL when the service ends. */
static struct api_task *take_next(struct lane *lane) LDB_REQUIRES(lane->all->mu)
{
    struct api_task *task;

    while (lane->first == NULL && !lane->all->is_closed)
        ldb_cond_wait(&lane->added, &lane->all->mu);
    task = lane->first;
    if (task == NULL)
        return NULL;
    lane->first = task->next_queued;
    lane->count--;
    lane->running = task;
    task->info.state = API_TASK_RUNNING;
    return task;
}

static void run_task(struct api_task *task)
{
    const struct ldb_progress progress = {.report = take_report,
                                          .context = task};
    struct api_tasks *all = task->all;
    struct lane *lane = &all->lanes[task->work.lane];
    struct ldb_error error = {0};
    struct api_task *dead = NULL;
    enum ldb_status s =
        task->work.run(task->work.context, &progress, &error, &task->result);

    ldb_mutex_lock(&all->mu);
    lane->running = NULL;
    end_task(all, task, s, s == LDB_OK ? NULL : &error);
    trim(all, &dead);
    if (drop_ref(task)) {
        task->next = dead;
        dead = task;
    }
    ldb_mutex_unlock(&all->mu);
    destroy_list(dead);
}

static void run_lane(void *context)
{
    struct lane *lane = context;
    struct api_task *task;

    do {
        ldb_mutex_lock(&lane->all->mu);
        task = take_next(lane);
        ldb_mutex_unlock(&lane->all->mu);
        if (task != NULL)
            run_task(task);
    } while (task != NULL);
}

/* ---- all of them ---- */

struct api_tasks *api_tasks_create(struct ldb_env *env)
{
    struct api_tasks *all = ldb_mem_zalloc(1, sizeof(*all));

    if (all == NULL)
        return NULL;
    all->env = env;
    ldb_mutex_init(&all->mu);
    for (size_t i = 0; i < LANES; i++) {
        all->lanes[i].all = all;
        ldb_cond_init(&all->lanes[i].added);
    }
    return all;
}

/* A task that waits is cancelled at once. */
static void cancel_queued(struct api_tasks *all, struct lane *lane,
                          struct api_task **link, struct api_task **dead)
    LDB_REQUIRES(all->mu)
{
    struct api_task *task = *link;

    *link = task->next_queued;
    lane->count--;
    end_task(all, task, LDB_CANCELLED, NULL);
    trim(all, dead);
    if (drop_ref(task)) {
        task->next = *dead;
        *dead = task;
    }
}

void api_tasks_close(struct api_tasks *all)
{
    struct api_task *dead = NULL;

    ldb_mutex_lock(&all->mu);
    all->is_closed = true;
    for (size_t i = 0; i < LANES; i++) {
        struct lane *lane = &all->lanes[i];

        while (lane->first != NULL)
            cancel_queued(all, lane, &lane->first, &dead);
        if (lane->running != NULL)
            lane->running->is_cancelled = true;
        ldb_cond_broadcast(&lane->added);
    }
    while (all->watches != NULL)
        wake_watch(&all->watches);
    ldb_mutex_unlock(&all->mu);
    destroy_list(dead);
}

void api_tasks_stop(struct api_tasks *all)
{
    api_tasks_close(all);
    for (size_t i = 0; i < LANES; i++) {
        if (all->lanes[i].thread != NULL)
            all->env->ops->thread_join(all->env, all->lanes[i].thread);
        all->lanes[i].thread = NULL;
    }
}

void api_tasks_destroy(struct api_tasks *all)
{
    if (all == NULL)
        return;
    api_tasks_stop(all);
    while (all->table != NULL) {
        struct api_task *task = all->table;

        all->table = task->next;
        if (drop_ref(task))
            destroy_task(task);
    }
    for (size_t i = 0; i < LANES; i++)
        ldb_cond_release(&all->lanes[i].added);
    ldb_mutex_release(&all->mu);
    ldb_mem_free(all);
}

/* ---- asking for work ---- */

static enum ldb_status start_lane(struct api_tasks *all, struct lane *lane,
                                  const char *name, struct ldb_error *err)
    LDB_REQUIRES(all->mu)
{
    if (lane->thread != NULL)
        return LDB_OK;
    return all->env->ops->thread_start(all->env, name, run_lane, lane, err,
                                       &lane->thread);
}

static enum ldb_status enqueue(struct api_tasks *all, struct api_task *task,
                               struct ldb_error *err) LDB_REQUIRES(all->mu)
{
    struct lane *lane = &all->lanes[task->work.lane];
    struct api_task **last = &lane->first;
    enum ldb_status s;

    if (all->is_closed)
        return ldb_error_set(err, LDB_CLOSED, "the server is stopping");
    if (lane->count == API_TASKS_QUEUED_MAX)
        return ldb_error_set(err, LDB_STALLED, "%d tasks wait already",
                             API_TASKS_QUEUED_MAX);
    s = start_lane(all, lane, lane_names[task->work.lane], err);
    if (s != LDB_OK)
        return s;
    while (*last != NULL)
        last = &(*last)->next_queued;
    *last = task;
    lane->count++;
    task->refs++; /* the queue's, then the thread's */
    task->info.id = ++all->last_id;
    if (task->work.kind != NULL) {
        task->next = all->table;
        all->table = task;
        task->refs++;
    }
    ldb_cond_signal(&lane->added);
    return LDB_OK;
}

enum ldb_status api_tasks_submit(struct api_tasks *all,
                                 const struct api_task_work *work,
                                 struct ldb_error *err, struct api_task **out)
{
    struct api_task *task = ldb_mem_zalloc(1, sizeof(*task));
    enum ldb_status s;

    if (task == NULL) {
        if (work->release != NULL)
            work->release(work->context);
        return ldb_error_no_memory(err);
    }
    task->all = all;
    task->work = *work;
    task->result = (struct ldb_buf)LDB_BUF_INIT(API_TASK_RESULT_MAX);
    task->refs = 1;
    task->info.kind = work->kind;
    task->info.queued_us = all->env->ops->wall_us(all->env);
    ldb_mutex_lock(&all->mu);
    s = enqueue(all, task, err);
    ldb_mutex_unlock(&all->mu);
    if (s != LDB_OK)
        destroy_task(task);
    else
        *out = task;
    return s;
}

/* The lane in whose queue the task waits, and its place; NULL: in none. */
static struct lane *find_queued(struct api_tasks *all,
                                const struct api_task *task,
                                struct api_task ***out_link)
    LDB_REQUIRES(all->mu)
{
    for (size_t i = 0; i < LANES; i++) {
        for (struct api_task **link = &all->lanes[i].first; *link != NULL;
             link = &(*link)->next_queued) {
            if (*link != task)
                continue;
            *out_link = link;
            return &all->lanes[i];
        }
    }
    return NULL;
}

static struct api_task *find(struct api_tasks *all, uint64_t id)
    LDB_REQUIRES(all->mu)
{
    struct api_task *task = all->table;

    while (task != NULL && task->info.id != id)
        task = task->next;
    return task;
}

enum ldb_status api_tasks_cancel(struct api_tasks *all, uint64_t id)
{
    struct api_task *dead = NULL;
    struct api_task **link;
    struct api_task *task;
    struct lane *lane;
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&all->mu);
    task = find(all, id);
    if (task == NULL) {
        s = LDB_NOT_FOUND;
    } else if (api_task_info_has_ended(&task->info)) {
        s = LDB_EXISTS;
    } else {
        task->is_cancelled = true;
        lane = find_queued(all, task, &link);
        if (lane != NULL)
            cancel_queued(all, lane, link, &dead);
    }
    ldb_mutex_unlock(&all->mu);
    destroy_list(dead);
    return s;
}

/* ---- looking ---- */

void api_task_describe(struct api_task *task, struct api_task_info *out)
{
    ldb_mutex_lock(&task->all->mu);
    *out = task->info;
    ldb_mutex_unlock(&task->all->mu);
}

void *api_task_context(const struct api_task *task)
{
    return task->work.context;
}

struct ldb_slice api_task_result(struct api_task *task)
{
    struct api_task_info info;

    api_task_describe(task, &info);
    return api_task_info_has_ended(&info) ? ldb_slice_of_buf(&task->result)
                                          : (struct ldb_slice){0};
}

size_t api_tasks_list(struct api_tasks *all, struct api_task_info *out,
                      size_t max)
{
    size_t count = 0;

    ldb_mutex_lock(&all->mu);
    for (const struct api_task *task = all->table; task != NULL && count < max;
         task = task->next)
        out[count++] = task->info;
    ldb_mutex_unlock(&all->mu);
    return count;
}

struct api_task *api_tasks_find(struct api_tasks *all, uint64_t id)
{
    struct api_task *task;

    ldb_mutex_lock(&all->mu);
    task = find(all, id);
    if (task != NULL)
        task->refs++;
    ldb_mutex_unlock(&all->mu);
    return task;
}

void api_tasks_figures(struct api_tasks *all, struct api_tasks_figures *out)
{
    ldb_mutex_lock(&all->mu);
    *out = all->figures;
    for (const struct api_task *task = all->table; task != NULL;
         task = task->next) {
        out->queued += task->info.state == API_TASK_QUEUED;
        out->running += task->info.state == API_TASK_RUNNING;
    }
    ldb_mutex_unlock(&all->mu);
}
