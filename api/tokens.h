/*
 * Bearer tokens: who may do what. A file of lines
 *
 *     NAME SHA256 SCOPES [prefix=BYTES]
 *
 * with the SHA-256 of the token as 64 hex digits, scopes out of read, write,
 * admin, replicate between commas, and for read and write alone a prefix,
 * percent-encoded, that all keys must have. Blank lines and those that begin
 * with # say nothing. Tokens are random and long, so that one hash without salt
 * is enough; the file holds no secret.
 *
 * A set is constant once parsed. The store has the set in force, which a reload
 * replaces; exchanges hold the one they began with.
 *
 * Thread-safety: any thread.
 */
#ifndef API_TOKENS_H
#define API_TOKENS_H

#include "storage/include/ldb.h"

#define API_SCOPE_READ      1u
#define API_SCOPE_WRITE     2u
#define API_SCOPE_ADMIN     4u
#define API_SCOPE_REPLICATE 8u

/* Tokens of a set, and bytes of the file. Chosen: each request compares all of
 * them, in some microseconds. */
#define API_TOKENS_MAX       1000
#define API_TOKENS_BYTES_MAX ((size_t)1 << 20)

#define API_TOKEN_HASH_BYTES 32 /* SHA-256 */

struct api_token {
    struct ldb_slice name;
    uint8_t hash[API_TOKEN_HASH_BYTES];
    unsigned scopes; /* API_SCOPE_... */
    bool has_prefix;
    struct ldb_slice prefix;
};

struct api_tokens;

/*
 * Errors: INVALID_ARGUMENT with the line; NO_MEMORY. *out has one reference.
 */
LDB_MUST_CHECK enum ldb_status api_tokens_parse(struct ldb_slice text,
                                                struct ldb_error *err,
                                                struct api_tokens **out);
struct api_tokens *api_tokens_ref(struct api_tokens *tokens);
void api_tokens_unref(struct api_tokens *tokens); /* NULL is fine */

size_t api_tokens_count(const struct api_tokens *tokens);

/*
 * The token whose secret this is, or NULL; lives as long as tokens. The time it
 * takes does not tell which, or how nearly.
 */
const struct api_token *api_tokens_find(const struct api_tokens *tokens,
                                        struct ldb_slice secret);

/* "read", ...; scope is one bit. */
const char *api_scope_name(unsigned scope);

/* ---- the set in force ---- */

struct api_token_store;

/* Without a set at first: everything is allowed. NULL: no memory. */
struct api_token_store *api_token_store_create(void);
void api_token_store_destroy(struct api_token_store *store);

/* Takes tokens over. */
void api_token_store_set(struct api_token_store *store,
                         struct api_tokens *tokens);
/* A reference to the set in force, or NULL. */
struct api_tokens *api_token_store_get(struct api_token_store *store);

#endif
