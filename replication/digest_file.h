/*
 * Reads a table or a sealed journal, wherever it lies, for its digest.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_DIGEST_FILE_H
#define REPLICATION_DIGEST_FILE_H

#include "replication/digest_store.h"

/* Bytes read at a time. Chosen: few calls, and soon given up. */
#define REPL_DIGEST_READ_SIZE ((size_t)256 << 10)

/* Whether to read on; asked before each read. */
struct repl_digest_reading {
    bool (*goes_on)(void *context);
    void *context;
    uint8_t *scratch; /* REPL_DIGEST_READ_SIZE bytes */
};

/*
 * The digest of the file of the database in dir: of file->size bytes.
 *
 * Errors: NOT_FOUND: there is no such file; CANCELLED: goes_on said so;
 * CORRUPTION: it has fewer bytes than file->size, or, a table, more; IO,
 * NO_MEMORY. The message names the file.
 */
LDB_MUST_CHECK enum ldb_status
repl_digest_file_read(struct ldb_env *env, const char *dir,
                      const struct repl_digest_file *file,
                      const struct repl_digest_reading *reading,
                      struct ldb_error *err, struct ldb_digest *out);

#endif
