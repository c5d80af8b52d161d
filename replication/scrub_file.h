/*
 * Looks at one file that does not change any more, a table or a sealed journal:
 * its size, its digest where that is known, the checksums of its blocks or
 * records. A sound one whose digest was not known has one from then on: it is
 * the digest of bytes that were checked.
 *
 * What is read comes from the system's cache where it is there.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_SCRUB_FILE_H
#define REPLICATION_SCRUB_FILE_H

#include "replication/digest_store.h"

struct repl_digest_index;

enum repl_scrub_kind {
    REPL_SCRUB_SOUND,
    REPL_SCRUB_MISSING, /* there is no such file; it may have gone just now */
    REPL_SCRUB_SIZE,    /* of other length than it should have */
    REPL_SCRUB_UNREADABLE, /* the disk does not give its bytes */
    REPL_SCRUB_CHECKSUM,   /* blocks or records have other bytes */
    REPL_SCRUB_DIGEST,     /* all have their checksums, and yet it is another */
};

/* "sound", "missing", ...: for logs. */
const char *repl_scrub_kind_text(enum repl_scrub_kind kind);

struct repl_scrub_verdict {
    enum repl_scrub_kind kind;
    char name[LDB_FILE_NAME_SIZE]; /* as it lies there */
    struct ldb_error why;          /* not SOUND: file, offset and what it is */
    /* CHECKSUM: where it begins and ends; else 0. */
    uint64_t first;
    uint64_t end;
    bool has_known; /* a digest was known: */
    struct ldb_digest known;
    bool has_digest; /* all could be read: the digest that it has */
    struct ldb_digest digest;
};

struct repl_scrub_reader {
    struct ldb_env *env; /* borrowed, as is the rest */
    const char *dir;
    struct repl_digest_index *digests;
    /* Asked before each read of so many bytes, and now and then with 0: may
     * wait. False: the look is given up. */
    bool (*goes_on)(void *context, uint64_t bytes);
    void *context;
    uint8_t *scratch; /* REPL_DIGEST_READ_SIZE bytes (digest_file.h) */
};

/* OK whatever is found. Errors: CANCELLED: by goes_on; NO_MEMORY; IO: it cannot
 * be opened. */
LDB_MUST_CHECK enum ldb_status
repl_scrub_file(const struct repl_scrub_reader *reader,
                const struct repl_digest_file *file, struct ldb_error *err,
                struct repl_scrub_verdict *out);

#endif
