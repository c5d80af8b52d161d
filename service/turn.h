/*
 * Whose turn it is to change something that is changed by one at a time: by a
 * change that was asked for, or by who looks after it now and then. Who was
 * asked for waits for the other, which ends soon, and is turned away only while
 * another change that was asked for goes on; who looks after it never waits.
 *
 * Thread-safety: any thread. The lock is the innermost one.
 */
#ifndef SERVICE_TURN_H
#define SERVICE_TURN_H

#include <stdbool.h>

#include "storage/base/mutex.h"
#include "storage/include/ldb_types.h"

struct svc_turn {
    struct ldb_mutex mu;
    struct ldb_cond changed;
    bool is_changing; /* guarded by mu, like the next two */
    bool is_tending;  /* not with is_changing */
    bool is_over;     /* nobody gets a turn any more */
};

void svc_turn_init(struct svc_turn *turn);
void svc_turn_release(struct svc_turn *turn); /* nobody has it */

/* Errors: STALLED: another change is under way; CLOSED: it is over. */
LDB_MUST_CHECK enum ldb_status svc_turn_begin(struct svc_turn *turn,
                                              struct ldb_error *err);
void svc_turn_end(struct svc_turn *turn);

/* False: somebody else has it, or it is over. */
LDB_MUST_CHECK bool svc_turn_begin_tending(struct svc_turn *turn);
void svc_turn_end_tending(struct svc_turn *turn);

/* From now on nobody gets it. */
void svc_turn_finish(struct svc_turn *turn);
/* After svc_turn_finish(): until nobody has it. */
void svc_turn_wait(struct svc_turn *turn);

#endif
