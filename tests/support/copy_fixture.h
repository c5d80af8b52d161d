/*
 * A leader's folder in memory, and a copy of it, made at once or file by file,
 * as a tool makes one that knows nothing of databases: for tests of who reads
 * such a copy. Anything that fails fails the test.
 *
 *     static struct copy_fixture f;
 *
 *     copy_open(&f);
 *     copy_write(&f, 100);
 *     copy_take(&f);                  the copy is what the folder is
 *     ... f.files has the copy's files ...
 *     copy_close(&f);
 */
#ifndef TESTS_SUPPORT_COPY_FIXTURE_H
#define TESTS_SUPPORT_COPY_FIXTURE_H

#include "replication/node.h"
#include "replication/transport.h"

#define COPY_LEADER_DIR "/leader"
#define COPY_DIR        "/copied"

struct copy_fixture {
    struct ldb_env *env;
    struct ldb_options options;
    struct ldb_db *db; /* NULL: closed */
    struct repl_node node;
    struct repl_epoch epoch;
    struct repl_peer *peer;       /* of the copy's files */
    struct repl_transport *files; /* one of its transports */
    unsigned written;             /* keys so far */
    struct ldb_error err;
};

/* A leader in its first epoch, and an empty folder beside it. */
void copy_open(struct copy_fixture *f);
void copy_close(struct copy_fixture *f);

/* So many keys of some hundred bytes, each its own record; a memtable takes
 * about 300. Synced. */
void copy_write(struct copy_fixture *f, unsigned count);
/* Closed and opened again, in a new epoch. */
void copy_restart(struct copy_fixture *f);
/* Closed, as a leader is that stops. */
void copy_stop(struct copy_fixture *f);

/* All files, leveld/ too; those that are in the copy alone stay there. */
void copy_take(struct copy_fixture *f);
/* One, by its name in the folder ("leveld/epochs"); up to len bytes. */
void copy_take_file(struct copy_fixture *f, const char *name, uint64_t len);
void copy_remove(struct copy_fixture *f, const char *name);
/* Instead of what the file has. */
void copy_put(struct copy_fixture *f, const char *name, struct ldb_slice bytes);

/* Bytes of the leader's file; UINT64_MAX: there is none. */
uint64_t copy_leaders_len(struct copy_fixture *f, const char *name);
/* The leader's file into out, which is cleared. */
void copy_leaders_file(struct copy_fixture *f, const char *name,
                       struct ldb_buf *out);

/* The i-th of the leader's journals that are not in tables, oldest first; 0:
 * there are fewer. */
uint64_t copy_journal(struct copy_fixture *f, unsigned i);

#endif
