/*
 * A leader of leader_fixture.h behind api/'s handlers: as setup and teardown of
 * a cmocka test; *state is a struct api_leader.
 */
#ifndef TESTS_SUPPORT_API_LEADER_H
#define TESTS_SUPPORT_API_LEADER_H

#include "tests/support/api_fixture.h"
#include "tests/support/leader_fixture.h"

struct api_leader {
    struct api_fixture f; /* env and db are the leader's */
    struct leader_fixture leader;
};

int api_leader_setup(void **state);
int api_leader_teardown(void **state);

/* The node says so of itself; it has synced all that is durable. */
#define API_LEADER_FOLLOWER "0123456789abcdef0123456789abcdef"
void api_leader_ack(struct api_leader *l);
/* The same as a body, up to that sequence; ldb_buf_release() it. */
struct ldb_buf api_leader_ack_text(struct api_leader *l, ldb_sequence synced);

#endif
