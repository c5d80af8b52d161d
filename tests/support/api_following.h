/*
 * A node that follows, behind api/'s handlers: its figures are set here, each
 * another number, and it is ready.
 */
#ifndef TESTS_SUPPORT_API_FOLLOWING_H
#define TESTS_SUPPORT_API_FOLLOWING_H

#include "api/context.h"

/* The role becomes a follower's of http://leader:8080. */
void api_following_set(struct api_context *context);

#endif
