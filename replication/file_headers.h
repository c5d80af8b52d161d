/*
 * What an answer for a file says of it in its head, beside what HTTP has:
 *
 *     Leveld-Sealed: true
 *     Leveld-Size: 4096
 *     Leveld-Epoch: 3
 *     Leveld-Epoch-Id: 0123456789abcdef
 *     Repr-Digest: xxh3-128=:AAECAwQFBgcICQoLDA0ODw==:
 *
 * The last as RFC 9530 has it. One side prints, the other reads into a struct
 * repl_file_head.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_FILE_HEADERS_H
#define REPLICATION_FILE_HEADERS_H

#include "replication/transport.h"

/* Whether nothing is added to the file any more: "true" or "false". */
#define REPL_SEALED_HEADER "Leveld-Sealed"
/* Bytes of the file that may be read now, whatever part of it the answer has.
 */
#define REPL_SIZE_HEADER "Leveld-Size"
/* Of who answers, as he leads: a number, and 16 lower-case hex digits. */
#define REPL_EPOCH_HEADER    "Leveld-Epoch"
#define REPL_EPOCH_ID_HEADER "Leveld-Epoch-Id"
/* Of a sealed file, when it is known. */
#define REPL_DIGEST_HEADER "Repr-Digest"

/* Bytes of a digest's value with its NUL. */
#define REPL_DIGEST_HEADER_SIZE 36

void repl_digest_header_print(const struct ldb_digest *digest,
                              char out[REPL_DIGEST_HEADER_SIZE]);

/* Finds ours among the digests that the value may have. False: it has none, or
 * not of that form; out is untouched. */
LDB_MUST_CHECK bool repl_digest_header_parse(struct ldb_slice value,
                                             struct ldb_digest *out);

/*
 * Takes in one header of an answer, in any case of letters; any other than the
 * five is passed over.
 *
 * Errors: CORRUPTION: the value is not of its form.
 */
LDB_MUST_CHECK enum ldb_status
repl_file_headers_read(struct ldb_slice name, struct ldb_slice value,
                       struct ldb_error *err, struct repl_file_head *head);

#endif
