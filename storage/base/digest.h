/*
 * XXH3-128 of files: says whether two copies of a file are the same. Against
 * damage and mistakes, not against attackers.
 *
 * Thread-safety: functions of their arguments; a struct ldb_digester has one
 * caller at a time.
 */
#ifndef STORAGE_BASE_DIGEST_H
#define STORAGE_BASE_DIGEST_H

#include "storage/base/env.h"

#define LDB_DIGEST_SIZE 16

/* Peers exchange these: do not change. The hash's canonical form, its most
 * significant byte first. */
struct ldb_digest {
    uint8_t bytes[LDB_DIGEST_SIZE];
};

static inline bool ldb_digest_equal(const struct ldb_digest *a,
                                    const struct ldb_digest *b)
{
    return memcmp(a->bytes, b->bytes, LDB_DIGEST_SIZE) == 0;
}

/* Of bytes that come in pieces. NULL on no memory. */
struct ldb_digester;
LDB_MUST_CHECK struct ldb_digester *ldb_digester_create(void);
void ldb_digester_add(struct ldb_digester *digester, struct ldb_slice bytes);
/* Of all added so far; more may follow. */
struct ldb_digest ldb_digester_result(const struct ldb_digester *digester);
/* NULL is fine. */
void ldb_digester_destroy(struct ldb_digester *digester);

/* Of a whole file; *out_size: its bytes. Errors: NOT_FOUND, IO, NO_MEMORY. */
LDB_MUST_CHECK enum ldb_status
ldb_digest_file(struct ldb_env *env, const char *path, struct ldb_error *err,
                struct ldb_digest *out, uint64_t *out_size);

/* Whether both files have the same bytes. Errors: those of reading either;
 * *out_is_same is then untouched. */
LDB_MUST_CHECK enum ldb_status
ldb_digest_compare_files(struct ldb_env *env, const char *a, const char *b,
                         struct ldb_error *err, bool *out_is_same);

#endif
