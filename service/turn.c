#include "service/turn.h"

#include <assert.h>

#include "storage/base/status.h"

void svc_turn_init(struct svc_turn *turn)
{
    *turn = (struct svc_turn){0};
    ldb_mutex_init(&turn->mu);
    ldb_cond_init(&turn->changed);
}

void svc_turn_release(struct svc_turn *turn)
{
    ldb_cond_release(&turn->changed);
    ldb_mutex_release(&turn->mu);
}

enum ldb_status svc_turn_begin(struct svc_turn *turn, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    ldb_mutex_lock(&turn->mu);
    while (turn->is_tending && !turn->is_over)
        ldb_cond_wait(&turn->changed, &turn->mu);
    if (turn->is_over)
        s = LDB_CLOSED;
    else if (turn->is_changing)
        s = LDB_STALLED;
    else
        turn->is_changing = true;
    ldb_mutex_unlock(&turn->mu);
    if (s == LDB_CLOSED)
        return ldb_error_set(err, s, "the server stops");
    if (s == LDB_STALLED)
        return ldb_error_set(err, s, "another change is under way");
    return LDB_OK;
}

void svc_turn_end(struct svc_turn *turn)
{
    ldb_mutex_lock(&turn->mu);
    assert(turn->is_changing);
    turn->is_changing = false;
    ldb_cond_broadcast(&turn->changed);
    ldb_mutex_unlock(&turn->mu);
}

bool svc_turn_begin_tending(struct svc_turn *turn)
{
    bool is_ours;

    ldb_mutex_lock(&turn->mu);
    is_ours = !turn->is_over && !turn->is_changing && !turn->is_tending;
    if (is_ours)
        turn->is_tending = true;
    ldb_mutex_unlock(&turn->mu);
    return is_ours;
}

void svc_turn_end_tending(struct svc_turn *turn)
{
    ldb_mutex_lock(&turn->mu);
    assert(turn->is_tending);
    turn->is_tending = false;
    ldb_cond_broadcast(&turn->changed);
    ldb_mutex_unlock(&turn->mu);
}

void svc_turn_finish(struct svc_turn *turn)
{
    ldb_mutex_lock(&turn->mu);
    turn->is_over = true;
    ldb_cond_broadcast(&turn->changed);
    ldb_mutex_unlock(&turn->mu);
}

void svc_turn_wait(struct svc_turn *turn)
{
    ldb_mutex_lock(&turn->mu);
    while (turn->is_changing || turn->is_tending)
        ldb_cond_wait(&turn->changed, &turn->mu);
    ldb_mutex_unlock(&turn->mu);
}
