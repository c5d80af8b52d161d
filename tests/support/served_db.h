/*
 * What a database that leads has for followers, read off it directly: its
 * journals, its state, versions held for a follower, and its files, durable
 * bytes alone. For tests of followers, apart from the code that leads.
 *
 * Thread-safety: any thread may call, a version held has one owner. err may be
 * NULL. Errors where none is named: NO_MEMORY.
 */
#ifndef TESTS_SUPPORT_SERVED_DB_H
#define TESTS_SUPPORT_SERVED_DB_H

#include "replication/protocol.h"
#include "replication/transport.h"
#include "storage/pinned_files.h"

struct served_db {
    struct ldb_db *db;
    const struct ldb_options *options; /* that it was opened with */
    const char *dir;
    bool knows_digests; /* else no file has one */
};

/* A version, and the journals from its log number on, held. Zeroed at first. */
struct served_version {
    struct ldb_pinned_files files;
    struct ldb_pin pin;
    bool is_held;
};

/* All of a zeroed state but the identity, the role, the leader's URL and the
 * history. Release it also after a failure. */
enum ldb_status served_db_state(const struct served_db *served,
                                struct ldb_error *err, struct repl_state *out);

/* The same for a heartbeat, but for epoch and slot. */
enum ldb_status served_db_heartbeat(const struct served_db *served,
                                    struct ldb_error *err,
                                    struct repl_heartbeat *out);

/* Holds the version of now; let it go also after a failure, and release out,
 * which was zeroed and of which all but the id is filled. */
enum ldb_status served_db_hold(const struct served_db *served,
                               struct served_version *version,
                               struct ldb_error *err,
                               struct repl_checkpoint *out);
/* Not held is fine. */
void served_db_let_go(const struct served_db *served,
                      struct served_version *version);

/*
 * The file's head, but for the epoch. A table is there when the version of now
 * names it, or one of the count held ones. NOT_FOUND; the engine's errors.
 */
enum ldb_status served_db_head(const struct served_db *served,
                               const struct served_version *held, size_t count,
                               const char *name, struct ldb_error *err,
                               struct repl_file_head *out);

/* Up to max bytes of it from offset on, into out (cleared); size is what its
 * head has told. */
enum ldb_status served_db_read(const struct served_db *served, const char *name,
                               uint64_t offset, uint64_t size, size_t max,
                               struct ldb_error *err, struct ldb_buf *out);

#endif
