/*
 * What this node had and its leader did not (replication/diverged.h), for an
 * operator to fetch and then remove:
 *
 *     GET    /v1/replication/diverged?after=&limit=   by rewind and name
 *     GET    /v1/replication/diverged/{name}          one of the files
 *     DELETE /v1/replication/diverged/{name}          it goes, durably
 *
 * They are files beside the database: all goes on in any role, and while there
 * is no database.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called.
 */
#ifndef API_DIVERGED_H
#define API_DIVERGED_H

#include "api/exchange.h"

/* Files on a page: without limit=, and at most. Chosen. */
#define API_DIVERGED_DEFAULT 1000
#define API_DIVERGED_MAX     10000

void api_diverged_list_finish(struct api_exchange *x);
void api_diverged_get_finish(struct api_exchange *x);
void api_diverged_remove_finish(struct api_exchange *x);
/* Of the list and of the removal. */
void api_diverged_resume(struct api_exchange *x);
void api_diverged_abandon(struct api_exchange *x);

/*
 * Takes the measure of what is there, for /stats, into context->diverged; what
 * cannot be read leaves it as it is. After a folder was opened or made anew; a
 * removal does so by itself. Reads the folder: not on a loop.
 */
void api_diverged_count(struct api_context *context);

#endif
