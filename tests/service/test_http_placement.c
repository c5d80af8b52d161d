/* Which loop serves a new connection: runs of one processor, and their end. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "service/http_internal.h"
#include "storage/base/mem.h"

#define LOOPS 3
/* As http_placement.c says. */
#define RUN      32
#define PAUSE_US 10000

static struct svc_placement placement;
static uint64_t now_us;

static int setup(void **state)
{
    struct svc_http_server *server =
        ldb_mem_zalloc(1, sizeof *server + LOOPS * sizeof server->loops[0]);

    (void)state;
    assert_non_null(server);
    server->loop_count = LOOPS;
    placement = (struct svc_placement){.server = server};
    now_us = 5000000;
    return 0;
}

static int teardown(void **state)
{
    (void)state;
    ldb_mem_free(placement.server);
    return 0;
}

/* The index of the loop that serves one that comes by cpu. */
static unsigned come_by(int cpu)
{
    struct svc_loop *loop = svc_placement_choose(&placement, cpu, now_us);

    atomic_fetch_add(&loop->connections, 1);
    return (unsigned)(loop - placement.server->loops);
}

static void each_gets_who_comes_from_elsewhere(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5 * LOOPS; i++)
        assert_int_equal(i % LOOPS, come_by(-1));
}

static void a_run_of_one_processor_has_one_loop(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 4 * LOOPS * RUN; i++) {
        now_us += PAUSE_US;
        assert_int_equal(i / RUN % LOOPS, come_by(1));
    }
}

static void two_processors_have_their_own(void **state)
{
    (void)state;
    for (unsigned i = 0; i < RUN; i++) {
        assert_int_equal(0, come_by(0));
        assert_int_equal(1, come_by(7));
    }
    assert_int_equal(2, come_by(7));
}

static void a_pause_ends_a_run(void **state)
{
    (void)state;
    for (unsigned i = 0; i < 5 * LOOPS; i++) {
        now_us += PAUSE_US + 1;
        assert_int_equal(i % LOOPS, come_by(3));
    }
}

static void a_run_begins_where_the_fewest_are(void **state)
{
    (void)state;
    atomic_store(&placement.server->loops[0].connections, 9);
    atomic_store(&placement.server->loops[1].connections, 3);
    atomic_store(&placement.server->loops[2].connections, 8);
    for (unsigned i = 0; i < RUN; i++)
        assert_int_equal(1, come_by(0));
    assert_int_equal(2, come_by(0));
    /* Even of a processor without a number of its own. */
    assert_int_equal(2, come_by(SVC_PLACEMENT_RUNS));
    assert_int_equal(0, come_by(SVC_PLACEMENT_RUNS + 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_gets_who_comes_from_elsewhere,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_of_one_processor_has_one_loop,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(two_processors_have_their_own, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_pause_ends_a_run, setup, teardown),
        cmocka_unit_test_setup_teardown(a_run_begins_where_the_fewest_are,
                                        setup, teardown),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
