#include "api/role.h"

#include <stdatomic.h>
#include <stdio.h>

#include "api/problem.h"
#include "replication/copy_url.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"

/* An election or a handover takes about so long. Chosen. */
#define RETRY_S 1

/*
 * Locking: now is atomic (relaxed: what goes with a role is behind the gate);
 * leader_url is guarded by mu.
 */
struct api_role {
    _Atomic(unsigned) now; /* enum repl_role */
    struct ldb_mutex mu;
    char leader_url[REPL_URL_SIZE]; /* guarded by mu */
};

struct api_role *api_role_create(void)
{
    struct api_role *role = ldb_mem_zalloc(1, sizeof(*role));

    if (role == NULL)
        return NULL;
    atomic_init(&role->now, REPL_ROLE_LEADER);
    ldb_mutex_init(&role->mu);
    return role;
}

void api_role_destroy(struct api_role *role)
{
    if (role == NULL)
        return;
    ldb_mutex_release(&role->mu);
    ldb_mem_free(role);
}

void api_role_set(struct api_role *role, enum repl_role now,
                  const char *leader_url)
{
    bool has_leader =
        now == REPL_ROLE_FOLLOWER && !repl_copy_url_is(leader_url);

    ldb_mutex_lock(&role->mu);
    (void)snprintf(role->leader_url, sizeof(role->leader_url), "%s",
                   has_leader ? leader_url : "");
    ldb_mutex_unlock(&role->mu);
    atomic_store_explicit(&role->now, (unsigned)now, memory_order_relaxed);
}

enum repl_role api_role_get(const struct api_role *role)
{
    return (enum repl_role)atomic_load_explicit(&role->now,
                                                memory_order_relaxed);
}

const char *api_role_text(const struct api_role *role)
{
    switch (api_role_get(role)) {
    case REPL_ROLE_LEADER:
        return "leader";
    case REPL_ROLE_FOLLOWER:
        break;
    }
    return "follower";
}

void api_role_leader_url(struct api_role *role, char out[REPL_URL_SIZE])
{
    ldb_mutex_lock(&role->mu);
    (void)snprintf(out, REPL_URL_SIZE, "%s", role->leader_url);
    ldb_mutex_unlock(&role->mu);
}

/* ---- answers ---- */

void api_answer_no_leader(struct api_exchange *x, const char *detail)
{
    struct api_problem problem = {.kind = API_PROBLEM_NO_LEADER,
                                  .retry_after_s = RETRY_S};

    api_problem_detail(&problem, "%s", detail);
    api_answer_problem(x, &problem);
}

void api_answer_not_leader(struct api_exchange *x, const char *leader_url)
{
    struct api_problem problem = {.kind = API_PROBLEM_NOT_LEADER};

    if (leader_url[0] == '\0') {
        api_answer_no_leader(x, "this node follows, and knows no leader");
        return;
    }
    problem.leader = leader_url;
    api_problem_detail(&problem, "this node follows %s", leader_url);
    api_answer_problem(x, &problem);
}
