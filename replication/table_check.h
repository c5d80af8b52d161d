/*
 * Whether a table file is sound: by the checksums of its blocks, which is cheap
 * and says where it is not; or by all that is in it, against what its version
 * says of it, for one that is to take another one's place.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_TABLE_CHECK_H
#define REPLICATION_TABLE_CHECK_H

#include "storage/base/comparator.h"
#include "storage/base/env.h"

/* What was found wrong. damaged 0: nothing. */
struct repl_table_damage {
    uint64_t blocks;      /* that were looked at, index and filter among them */
    uint64_t damaged;     /* of them; the footer counts as one */
    uint64_t first;       /* the offset of the first of these, */
    uint64_t end;         /* and behind the last */
    struct ldb_error why; /* of the first: file and offset */
};

/*
 * Reads the table of size bytes at path, block by block, past every cache; the
 * blocks behind a damaged index are not looked at. name ("000123.ldb") is for
 * messages. goes_on (NULL: always) is asked now and then. OK whatever is found.
 *
 * Errors: NOT_FOUND: no such file; CANCELLED: by goes_on; IO: it cannot be
 * opened; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_table_check_blocks(struct ldb_env *env, const char *path, const char *name,
                        uint64_t size, bool (*goes_on)(void *context),
                        void *context, struct ldb_error *err,
                        struct repl_table_damage *out);

/* What a version says of a table. */
struct repl_table_meta {
    uint64_t size;
    struct ldb_slice smallest; /* internal keys: its first and its last entry */
    struct ldb_slice largest;
};

/*
 * OK: the table at path has that size, each block and each entry of it can be
 * read, they are in order, and the first and the last one are those.
 *
 * Errors: CORRUPTION: what is wrong; NOT_FOUND, IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_table_check_whole(struct ldb_env *env, const char *path, const char *name,
                       const struct ldb_comparator *comparator,
                       const struct repl_table_meta *meta,
                       struct ldb_error *err);

#endif
