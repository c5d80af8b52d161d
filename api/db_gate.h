/*
 * The gate before the database, which may be exchanged for another one while
 * the server runs: at a promotion, a demotion, a rebuild. Whoever uses it goes
 * in first and comes out when he holds nothing of it any more: no cursor, no
 * snapshot, no reader, no write under way. Inside, api_context.db is there and
 * stays the same.
 *
 *     CLOSED    there is no database; where every gate begins
 *     OPEN      who comes goes in
 *     CLOSING   nobody comes in any more; who is inside ends as soon as he can
 *
 * An exchange goes in when its handler runs, not while its body is on its way,
 * and comes out with its answer, or with the end of its stream (api/router.c
 * does it for routes that say .database). Work of other threads (tasks, the
 * housekeeping) goes in for as long as it works.
 *
 * Thread-safety: any thread; shut, wait and open: one thread at a time. enter
 * and leave are one atomic addition each.
 */
#ifndef API_DB_GATE_H
#define API_DB_GATE_H

#include "api/problem.h"

struct api_db_gate;

/* Why it is closed, as requests are told. Texts are static. */
struct api_db_gate_reason {
    enum api_problem_kind kind; /* NO_LEADER, STALLED, OVERLOADED */
    const char *reason; /* of /readyz: "bootstrapping", "changing-role" */
    const char *detail;
    unsigned retry_after_s;
};

/* Closed: the server starts. NULL: no memory. */
LDB_MUST_CHECK struct api_db_gate *api_db_gate_create(void);
void api_db_gate_destroy(struct api_db_gate *gate); /* NULL is fine */

/* ---- who goes in ---- */

/* False: it is not open. */
LDB_MUST_CHECK bool api_db_gate_enter(struct api_db_gate *gate);
/*
 * The same for who has to see to it that others come out: goes in while it
 * closes too, as long as there is a database.
 */
LDB_MUST_CHECK bool api_db_gate_enter_closing(struct api_db_gate *gate);
void api_db_gate_leave(struct api_db_gate *gate);

/* Whether who is inside is to end; cheap. */
bool api_db_gate_is_closing(const struct api_db_gate *gate);

/* Why it is not open, for an answer; of an open one why it was not. */
void api_db_gate_problem(struct api_db_gate *gate, struct api_problem *out);

/* ---- who exchanges the database ---- */

/* OPEN becomes CLOSING; what is closed is so for another reason now. */
void api_db_gate_shut(struct api_db_gate *gate,
                      const struct api_db_gate_reason *reason);

/*
 * Waits until nobody is inside, at most so long. True: it is CLOSED, and the
 * database the caller's alone.
 */
LDB_MUST_CHECK bool api_db_gate_wait(struct api_db_gate *gate,
                                     uint64_t timeout_us);

/* CLOSED becomes OPEN: the database is there. */
void api_db_gate_open(struct api_db_gate *gate);

/* How many are inside now. */
uint64_t api_db_gate_inside(const struct api_db_gate *gate);

#endif
