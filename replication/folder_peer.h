/*
 * A folder of this machine as a peer that has files and says nothing: for
 * copy_peer.h, of a leader's folder that rsync, say, brings here.
 *
 * A file is what its name leads to in the folder, "leveld/epochs" and the like
 * too; its head has a size alone. A call is refused with 404, a follow with
 * INVALID_ARGUMENT.
 *
 * Thread-safety: as transport.h says.
 */
#ifndef REPLICATION_FOLDER_PEER_H
#define REPLICATION_FOLDER_PEER_H

#include "replication/transport.h"

/* env is borrowed, and outlives the peer; dir is copied. The folder need not be
 * there yet. Errors: NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status repl_folder_peer_create(struct ldb_env *env,
                                                       const char *dir,
                                                       struct ldb_error *err,
                                                       struct repl_peer **out);

#endif
