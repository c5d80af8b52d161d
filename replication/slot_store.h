/*
 * leveld/slots: the followers of this node, and where each stood, so that what
 * they need is kept from the first moment after a restart (slots.h).
 *
 * A line each: "slot NODE-ID JOURNAL OFFSET SEQUENCE URL", by node id; the URL
 * is "-" where there is none.
 *
 * Thread-safety: functions of their arguments; one writer.
 */
#ifndef REPLICATION_SLOT_STORE_H
#define REPLICATION_SLOT_STORE_H

#include "replication/protocol.h"

/* Of its file in leveld/ (sidecar.h). */
#define REPL_SLOTS_FILE    "slots"
#define REPL_SLOTS_VERSION 1

/* Slots at most, each of a node. Chosen. */
#define REPL_SLOTS_MAX 256

struct repl_slot_record {
    char node_id[REPL_ID_SIZE];
    char url[REPL_URL_SIZE]; /* "" when it has none */
    struct repl_place place; /* up to there it had synced at least */
};

/*
 * Up to REPL_SLOTS_MAX of them into out, ascending by node id; *out_count: how
 * many. A file that is not there, or is damaged, has none.
 *
 * Errors: NOT_SUPPORTED: a newer format; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_slot_store_load(struct ldb_env *env, const char *dir,
                     struct ldb_error *err, struct repl_slot_record *out,
                     size_t *out_count);

/* Appends the line of one to lines. Errors: NO_MEMORY, TOO_LARGE. */
LDB_MUST_CHECK enum ldb_status
repl_slot_store_print(const struct repl_slot_record *record,
                      struct ldb_buf *lines);

/* Stores lines that were printed in ascending order. Durable when OK. Errors:
 * those of repl_sidecar_write(). */
LDB_MUST_CHECK enum ldb_status repl_slot_store_save(struct ldb_env *env,
                                                    const char *dir,
                                                    struct ldb_slice lines,
                                                    struct ldb_error *err);

#endif
