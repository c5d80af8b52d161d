/*
 * The small text files of our own in DIR/leveld/, which both libraries
 * ignore. Each begins with a line "leveld-NAME VERSION", ends with a line
 * "crc32c HEX" over all bytes before it, and is only ever replaced whole,
 * atomically and durably.
 *
 * A newer version is refused by its first line alone, whatever follows.
 * Thread-safety: one writer a file.
 */
#ifndef REPLICATION_SIDECAR_H
#define REPLICATION_SIDECAR_H

#include "storage/base/env.h"

#define REPL_SIDECAR_FOLDER "leveld"

/* Bytes of a file; chosen: 100,000 epochs. */
#define REPL_SIDECAR_BYTES_MAX ((size_t)8 << 20)

/* Makes DIR/leveld, durably; OK when it is there. */
LDB_MUST_CHECK enum ldb_status repl_sidecar_make_folder(struct ldb_env *env,
                                                        const char *dir,
                                                        struct ldb_error *err);

/*
 * The lines between the first and the last, into out (cleared first; its limit
 * is the caller's).
 *
 * Errors: NOT_FOUND; NOT_SUPPORTED: a newer version; CORRUPTION with the file;
 * IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_sidecar_read(struct ldb_env *env, const char *dir, const char *name,
                  uint64_t version, struct ldb_error *err, struct ldb_buf *out);

/*
 * Whether a build that knows that version can read the file, by its first line
 * alone; OK too when it is not there, or is damaged, which is told by who reads
 * it. Errors: NOT_SUPPORTED; IO, NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
repl_sidecar_check_version(struct ldb_env *env, const char *dir,
                           const char *name, uint64_t version,
                           struct ldb_error *err);

/* lines: whole lines. Durable when OK; before, or failed, the old file. */
LDB_MUST_CHECK enum ldb_status
repl_sidecar_write(struct ldb_env *env, const char *dir, const char *name,
                   uint64_t version, struct ldb_slice lines,
                   struct ldb_error *err);

/* Removes the file, durably; OK when it is not there. */
LDB_MUST_CHECK enum ldb_status repl_sidecar_remove(struct ldb_env *env,
                                                   const char *dir,
                                                   const char *name,
                                                   struct ldb_error *err);

/* ---- lines of words ---- */

/* Words of a line; more is damage. */
#define REPL_WORDS_MAX 8

struct repl_words {
    struct ldb_slice word[REPL_WORDS_MAX];
    size_t count;
};

/*
 * Takes the next line off lines, cut at single blanks. False at the end, or
 * when it does not end, is empty or has too many words; lines is then not
 * empty.
 */
LDB_MUST_CHECK bool repl_words_next(struct ldb_slice *lines,
                                    struct repl_words *out);

/* Whether the line is that word and count words in all. */
LDB_MUST_CHECK bool repl_words_are(const struct repl_words *words,
                                   const char *first, size_t count);

/* A whole word as lower-case hex digits of this many bits: 64 or fewer. */
LDB_MUST_CHECK bool repl_parse_hex(struct ldb_slice word, unsigned bits,
                                   uint64_t *out);

#endif
