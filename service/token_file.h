/*
 * The file of --tokens into the set in force, at the start and again on HUP.
 *
 * Thread-safety: one caller at a time.
 */
#ifndef SERVICE_TOKEN_FILE_H
#define SERVICE_TOKEN_FILE_H

#include "api/tokens.h"
#include "storage/base/env.h"

/*
 * Reads and parses path whole, then puts it in force; *out_count tokens. Not
 * OK: what was in force stays.
 *
 * Errors: NOT_FOUND, IO; TOO_LARGE; INVALID_ARGUMENT with the line; NO_MEMORY.
 */
LDB_MUST_CHECK enum ldb_status
svc_token_file_load(struct ldb_env *env, const char *path,
                    struct api_token_store *store, struct ldb_error *err,
                    size_t *out_count);

#endif
