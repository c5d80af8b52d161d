/*
 * A copy of a leader's folder as a node to follow: what a leader says of itself
 * is made of the copy's files (copy_survey.h), which come over a peer that has
 * files and says nothing: a plain web server (transport_http.h, is_folder), or
 * a folder of this machine (folder_peer.h). So a follower catches up to what
 * the copy holds, and goes on as the copy does, when somebody brings it up to
 * date.
 *
 * It answers state, ack and checkpoint, and gives files as far as they are
 * whole records; a digest that the copy does not have is made by reading the
 * file. What is looked at is not older than look_us; who follows a file gets
 * what is new within that time.
 *
 * A copy may hold what its leader had not synced yet: after a power cut there
 * it is ahead. What such a follower has too much is then found, and set aside,
 * as always (compare.h).
 *
 * Thread-safety: as transport.h says.
 */
#ifndef REPLICATION_COPY_PEER_H
#define REPLICATION_COPY_PEER_H

#include "replication/transport.h"

/* Between two looks. Chosen: soon enough for who waits, seldom enough for a web
 * server. */
#define REPL_COPY_LOOK_US UINT64_C(1000000)

/*
 * files is taken over, whatever comes of it; env is borrowed and outlives the
 * peer. look_us 0: REPL_COPY_LOOK_US. Errors: NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status repl_copy_peer_create(struct ldb_env *env,
                                                     struct repl_peer *files,
                                                     uint64_t look_us,
                                                     struct ldb_error *err,
                                                     struct repl_peer **out);

#endif
