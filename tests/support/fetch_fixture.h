/*
 * A leader with some tables and journals behind a memory_peer, and an empty
 * database folder on a fault env of its own that they are fetched into: as
 * setup and teardown of a cmocka test.
 */
#ifndef TESTS_SUPPORT_FETCH_FIXTURE_H
#define TESTS_SUPPORT_FETCH_FIXTURE_H

#include "replication/client.h"
#include "replication/file_fetch.h"
#include "tests/support/leader_run.h"
#include "tests/support/memory_peer.h"

#define FETCH_FIXTURE_DIR "/follower"

/* Tables of the leader; none is compacted. */
#define FETCH_FIXTURE_TABLES 6

struct fetch_fixture {
    struct leader_run *leader;
    struct memory_peer *peer;
    struct env_fault *fault; /* ours */
    struct ldb_env *env;
    struct repl_transport *transport; /* of the client */
    struct repl_client client;
    struct repl_checkpoint checkpoint; /* held */
    struct ldb_error err;
};

/* *state becomes the fixture. */
int fetch_fixture_setup(void **state);
int fetch_fixture_teardown(void **state);

/* Table i of the leader, as it is to be fetched. */
struct repl_fetch_file fetch_fixture_table(const struct fetch_fixture *f,
                                           size_t i);
/* The leader's MANIFEST, as far as the checkpoint has it. */
struct repl_fetch_file fetch_fixture_manifest(const struct fetch_fixture *f);

/* Whether the file of the folder (a path below it) is there; it has the bytes
 * of the leader's of that name, the first so many as were wanted. */
bool fetch_fixture_has(struct fetch_fixture *f, struct ldb_env *env,
                       const char *path, const struct repl_fetch_file *wanted);

/* Bytes of the file below the folder; UINT64_MAX: it is not there. */
uint64_t fetch_fixture_len(struct fetch_fixture *f, const char *path);

/* A file below the folder with these bytes, as an earlier try left it. */
void fetch_fixture_put(struct fetch_fixture *f, const char *path,
                       struct ldb_slice bytes);

/* The leader's file, into out (cleared). */
void fetch_fixture_leaders(struct fetch_fixture *f, const char *name,
                           struct ldb_buf *out);

#endif
