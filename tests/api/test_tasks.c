#include "api/tasks.h"

#include "api/context.h"
#include "tests/support/api_fixture.h"
#include "tests/support/assert_ldb.h"
#include "tests/support/mem_fault.h"
#include "tests/support/task_gate.h"

struct tasks_fixture {
    struct api_fixture *api;
    struct api_tasks *all;
    struct task_gate gate;
    struct fake_exchange *fake; /* who watches */
};

static const struct fake_request watcher = {.method = "GET", .target = "/"};

static int setup(void **state)
{
    struct tasks_fixture *f = test_calloc(1, sizeof(*f));
    void *api = NULL;

    assert_int_equal(api_fixture_setup(&api), 0);
    f->api = api;
    f->all = f->api->context.tasks;
    task_gate_init(&f->gate);
    f->fake = fake_exchange_create(&f->api->context, &watcher);
    *state = f;
    return 0;
}

static int teardown(void **state)
{
    struct tasks_fixture *f = *state;
    void *api = f->api;

    fake_exchange_destroy(f->fake);
    assert_int_equal(api_fixture_teardown(&api), 0);
    task_gate_release(&f->gate);
    test_free(f);
    return 0;
}

static struct api_task *submit(struct tasks_fixture *f, const char *kind,
                               enum api_task_lane lane)
{
    struct api_task_work work = task_gate_work(&f->gate, kind, lane);
    struct api_task *task = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(api_tasks_submit(f->all, &work, &err, &task), &err);
    return task;
}

static struct api_task_info info_of(struct api_task *task)
{
    struct api_task_info info;

    api_task_describe(task, &info);
    return info;
}

/* Until it has ended; then its state. */
static enum api_task_state wait_ended(struct tasks_fixture *f,
                                      struct api_task *task)
{
    struct api_task_watch watch = {0};
    struct api_exchange *x = fake_exchange_get(f->fake);

    if (api_task_watch(task, &watch, x, UINT64_MAX, NULL) == API_TASK_WATCHED)
        fake_exchange_wait(f->fake);
    return info_of(task).state;
}

static void a_task_runs_and_its_result_stays(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_task *task = submit(f, "one", API_TASK_LONG);
    struct api_task *found;
    struct api_task_info info;
    uint64_t id = info_of(task).id;

    assert_int_equal(id, 1);
    task_gate_wait_begun(&f->gate);
    assert_int_equal(info_of(task).state, API_TASK_RUNNING);
    assert_int_equal(api_task_result(task).len, 0);
    assert_ptr_equal(api_task_context(task), &f->gate);
    task_gate_open(&f->gate);
    assert_int_equal(wait_ended(f, task), API_TASK_DONE);
    assert_ldb_bytes("{\"gate\":1}", api_task_result(task));
    info = info_of(task);
    assert_int_equal(info.done, info.total);
    assert_true(info.ended_us >= info.queued_us && info.queued_us > 0);
    api_task_unref(task);
    found = api_tasks_find(f->all, id);
    assert_non_null(found);
    assert_ldb_bytes("{\"gate\":1}", api_task_result(found));
    api_task_unref(found);
    assert_null(api_tasks_find(f->all, id + 1));
    api_task_unref(NULL);
}

static void a_failure_is_kept_with_its_text(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_task *task;
    struct api_tasks_figures figures;

    f->gate.status = LDB_IO;
    task_gate_open(&f->gate);
    task = submit(f, "one", API_TASK_LONG);
    assert_int_equal(wait_ended(f, task), API_TASK_FAILED);
    assert_int_equal(info_of(task).status, LDB_IO);
    assert_string_equal(info_of(task).error.message, "the gate failed");
    api_task_unref(task);
    api_tasks_figures(f->all, &figures);
    assert_int_equal(figures.ended, 1);
    assert_int_equal(figures.failed, 1);
}

static void the_queue_has_an_end(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_task_work work = task_gate_work(&f->gate, "one", API_TASK_LONG);
    struct api_task *first = submit(f, "one", API_TASK_LONG);
    struct api_task *task = NULL;
    struct ldb_error err = {0};

    task_gate_wait_begun(&f->gate);
    for (unsigned i = 0; i < API_TASKS_QUEUED_MAX; i++)
        api_task_unref(submit(f, "one", API_TASK_LONG));
    assert_ldb_status(LDB_STALLED, api_tasks_submit(f->all, &work, &err, &task),
                      &err);
    assert_null(task);
    assert_int_equal(f->gate.releases, 1); /* taken over all the same */
    task_gate_open(&f->gate);
    api_task_unref(first);
    task = submit(f, "short", API_TASK_SHORT);
    api_task_unref(task);
}

static void what_is_short_does_not_wait_for_what_is_long(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_task *task = submit(f, "long", API_TASK_LONG);
    struct task_gate open;
    struct api_task_work work;
    struct api_task *quick = NULL;

    task_gate_init(&open);
    task_gate_open(&open);
    task_gate_wait_begun(&f->gate);
    work = task_gate_work(&open, "quick", API_TASK_SHORT);
    assert_ldb_ok(api_tasks_submit(f->all, &work, NULL, &quick), NULL);
    assert_int_equal(wait_ended(f, quick), API_TASK_DONE);
    assert_int_equal(info_of(task).state, API_TASK_RUNNING);
    task_gate_open(&f->gate);
    assert_int_equal(wait_ended(f, task), API_TASK_DONE);
    api_task_unref(task);
    api_task_unref(quick);
    api_tasks_stop(f->all);
    api_tasks_destroy(f->all); /* before the gate, which they hold */
    f->api->context.tasks = api_tasks_create(f->api->env);
    assert_non_null(f->api->context.tasks);
    assert_int_equal(open.releases, 1);
    task_gate_release(&open);
}

static void tasks_are_cancelled_wherever_they_are(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_task *running = submit(f, "one", API_TASK_LONG);
    struct api_task *queued = submit(f, "one", API_TASK_LONG);
    struct api_task *last = submit(f, "one", API_TASK_LONG);

    task_gate_wait_begun(&f->gate);
    assert_int_equal(api_tasks_cancel(f->all, info_of(queued).id), LDB_OK);
    assert_int_equal(info_of(queued).state, API_TASK_CANCELLED);
    assert_int_equal(info_of(last).state, API_TASK_QUEUED);
    assert_int_equal(api_tasks_cancel(f->all, info_of(running).id), LDB_OK);
    assert_int_equal(wait_ended(f, running), API_TASK_CANCELLED);
    assert_int_equal(api_tasks_cancel(f->all, info_of(running).id), LDB_EXISTS);
    assert_int_equal(api_tasks_cancel(f->all, 99), LDB_NOT_FOUND);
    task_gate_open(&f->gate);
    assert_int_equal(wait_ended(f, last), API_TASK_DONE);
    assert_int_equal(f->gate.runs, 2);
    api_task_unref(running);
    api_task_unref(queued);
    api_task_unref(last);
}

static void the_newest_of_those_that_ended_are_kept(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_task_info infos[API_TASKS_KEPT_MAX + 8];
    size_t count;

    task_gate_open(&f->gate);
    for (unsigned i = 0; i < API_TASKS_KEPT_MAX + 5; i++) {
        struct api_task *task = submit(f, "one", API_TASK_LONG);

        assert_int_equal(wait_ended(f, task), API_TASK_DONE);
        api_task_unref(task);
    }
    /* One that is not listed counts nowhere. */
    api_task_unref(submit(f, NULL, API_TASK_SHORT));
    count = api_tasks_list(f->all, infos, API_TASKS_KEPT_MAX + 8);
    assert_in_range(count, API_TASKS_KEPT_MAX, API_TASKS_KEPT_MAX + 1);
    for (size_t i = 1; i < count; i++)
        assert_int_equal(infos[i].id, infos[i - 1].id - 1);
    assert_int_equal(infos[0].id, API_TASKS_KEPT_MAX + 5);
    assert_int_equal(api_tasks_list(f->all, infos, 2), 2);
}

static void a_change_is_seen_at_the_next_tick(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_exchange *x = fake_exchange_get(f->fake);
    struct api_task *task = submit(f, "one", API_TASK_LONG);
    struct api_task_watch watch = {0};
    struct api_task_info seen;

    task_gate_wait_begun(&f->gate);
    do
        seen = info_of(task);
    while (seen.total == 0);
    assert_int_equal(api_task_watch(task, &watch, x, UINT64_MAX, &seen),
                     API_TASK_WATCHED);
    api_tasks_tick(f->all); /* nothing new */
    assert_ptr_equal(watch.task, task);
    task_gate_report(&f->gate, 40);
    while (info_of(task).done != 40)
        ;
    api_tasks_tick(f->all);
    fake_exchange_wait(f->fake);
    assert_int_equal(api_task_watch(task, &watch, x, UINT64_MAX, &seen),
                     API_TASK_CHANGED);
    task_gate_open(&f->gate);
    assert_int_equal(wait_ended(f, task), API_TASK_DONE);
    api_task_unref(task);
}

static void a_deadline_ends_the_watch(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_exchange *x = fake_exchange_get(f->fake);
    struct api_task *task = submit(f, "one", API_TASK_LONG);
    struct api_task_watch watch = {0};
    uint64_t now_us = api_now_us(&f->api->context);

    assert_int_equal(api_task_watch(task, &watch, x, now_us, NULL),
                     API_TASK_CHANGED);
    /* A moment from now: the tick comes when it is over. */
    if (api_task_watch(task, &watch, x, now_us + 2000, NULL) ==
        API_TASK_WATCHED) {
        while (api_now_us(&f->api->context) < now_us + 2000)
            ;
        api_tasks_tick(f->all);
        fake_exchange_wait(f->fake);
    }
    task_gate_open(&f->gate);
    assert_int_equal(wait_ended(f, task), API_TASK_DONE);
    api_task_unref(task);
}

static void nobody_is_woken_after_unwatch(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_exchange *x = fake_exchange_get(f->fake);
    struct fake_exchange *other =
        fake_exchange_create(&f->api->context, &watcher);
    struct api_task *task = submit(f, "one", API_TASK_LONG);
    struct api_task_watch mine = {0};
    struct api_task_watch theirs = {0};

    assert_int_equal(api_task_watch(task, &mine, x, UINT64_MAX, NULL),
                     API_TASK_WATCHED);
    assert_int_equal(api_task_watch(task, &theirs, fake_exchange_get(other),
                                    UINT64_MAX, NULL),
                     API_TASK_WATCHED);
    api_task_unwatch(f->all, &theirs);
    api_task_unwatch(f->all, &theirs);
    fake_exchange_destroy(other);
    task_gate_open(&f->gate);
    fake_exchange_wait(f->fake);
    assert_int_equal(info_of(task).state, API_TASK_DONE);
    api_task_unref(task);
}

static void closing_cancels_all_and_wakes_who_watches(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_exchange *x = fake_exchange_get(f->fake);
    struct api_task_work work = task_gate_work(&f->gate, "one", API_TASK_LONG);
    struct api_task *running = submit(f, "one", API_TASK_LONG);
    struct api_task *queued = submit(f, "one", API_TASK_LONG);
    struct api_task_watch watch = {0};
    struct api_task *task = NULL;

    task_gate_wait_begun(&f->gate);
    assert_int_equal(api_task_watch(running, &watch, x, UINT64_MAX, NULL),
                     API_TASK_WATCHED);
    api_context_drain(&f->api->context);
    fake_exchange_wait(f->fake);
    assert_int_equal(info_of(queued).state, API_TASK_CANCELLED);
    assert_ldb_status(LDB_CLOSED, api_tasks_submit(f->all, &work, NULL, &task),
                      NULL);
    api_tasks_stop(f->all);
    assert_int_equal(info_of(running).state, API_TASK_CANCELLED);
    api_task_unref(running);
    api_task_unref(queued);
}

static void without_memory_the_work_is_released(void **state)
{
    struct tasks_fixture *f = *state;
    struct api_task_work work = task_gate_work(&f->gate, "one", API_TASK_LONG);
    struct api_task *task = NULL;

    mem_fault_start(1, MEM_FAULT_ONCE);
    assert_ldb_status(LDB_NO_MEMORY,
                      api_tasks_submit(f->all, &work, NULL, &task), NULL);
    assert_true(mem_fault_stop());
    assert_int_equal(f->gate.releases, 1);
}

static void states_have_names(void **state)
{
    (void)state;
    assert_string_equal(api_task_state_text(API_TASK_QUEUED), "queued");
    assert_string_equal(api_task_state_text(API_TASK_RUNNING), "running");
    assert_string_equal(api_task_state_text(API_TASK_DONE), "done");
    assert_string_equal(api_task_state_text(API_TASK_FAILED), "failed");
    assert_string_equal(api_task_state_text(API_TASK_CANCELLED), "cancelled");
}

#define TASK_TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TASK_TEST(a_task_runs_and_its_result_stays),
        TASK_TEST(a_failure_is_kept_with_its_text),
        TASK_TEST(the_queue_has_an_end),
        TASK_TEST(what_is_short_does_not_wait_for_what_is_long),
        TASK_TEST(tasks_are_cancelled_wherever_they_are),
        TASK_TEST(the_newest_of_those_that_ended_are_kept),
        TASK_TEST(a_change_is_seen_at_the_next_tick),
        TASK_TEST(a_deadline_ends_the_watch),
        TASK_TEST(nobody_is_woken_after_unwatch),
        TASK_TEST(closing_cancels_all_and_wakes_who_watches),
        TASK_TEST(without_memory_the_work_is_released),
        cmocka_unit_test(states_have_names),
    };

    return cmocka_run_group_tests_name("tasks", tests, NULL, NULL);
}
