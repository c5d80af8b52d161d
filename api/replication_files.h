/*
 * GET and HEAD of /v1/replication/files/{name}: the leader's journals, MANIFEST
 * and tables as they are, up to what is durable; with follow=true on as they
 * grow, until they are sealed. This is what followers are fed by. A follower
 * shows its tables, and nothing else: to a leader that has a damaged one.
 *
 * A follow waits without a thread (replication/served_file.h). A HEAD of a file
 * that does not change any more waits until its digest is known.
 *
 * Handlers of api/router.c's table; see exchange.h for when each is called.
 */
#ifndef API_REPLICATION_FILES_H
#define API_REPLICATION_FILES_H

#include "api/exchange.h"

void api_replication_files_finish(struct api_exchange *x);
void api_replication_files_resume(struct api_exchange *x);

#endif
