/*
 * A file's digest as the header that answers carry (RFC 9530):
 *
 *     Repr-Digest: xxh3-128=:AAECAwQFBgcICQoLDA0ODw==:
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_REPR_DIGEST_H
#define REPLICATION_REPR_DIGEST_H

#include "storage/base/digest.h"

#define REPL_REPR_DIGEST_HEADER "Repr-Digest"
/* Whether nothing is added to the file any more: "true" or "false". */
#define REPL_SEALED_HEADER "Leveld-Sealed"
/* Bytes of the file that may be read now, whatever part of it the answer has:
 * a decimal number. */
#define REPL_SIZE_HEADER "Leveld-Size"

/* Bytes of the value with its NUL. */
#define REPL_REPR_DIGEST_SIZE 36

void repl_repr_digest_print(const struct ldb_digest *digest,
                            char out[REPL_REPR_DIGEST_SIZE]);

/* Finds ours among the digests that the value may have. False: it has none, or
 * not of that form. */
LDB_MUST_CHECK bool repl_repr_digest_parse(struct ldb_slice value,
                                           struct ldb_digest *out);

#endif
