/*
 * What a node says when it does not do what it was asked: an HTTP status and,
 * mostly, an RFC 9457 body. Read for its reason, never trusted: text is cut and
 * what is not printable replaced, so that it can go to a log.
 *
 * Thread-safety: functions of their arguments.
 */
#ifndef REPLICATION_REFUSAL_H
#define REPLICATION_REFUSAL_H

#include "replication/protocol.h"

/* With their NULs. Chosen: the longest of our own, and some. */
#define REPL_REFUSAL_TYPE_SIZE   48
#define REPL_REFUSAL_DETAIL_SIZE 200

struct repl_refusal {
    unsigned http;                         /* status; 0: there was none */
    char type[REPL_REFUSAL_TYPE_SIZE];     /* "not-leader"; "": not known */
    char detail[REPL_REFUSAL_DETAIL_SIZE]; /* or the title; "": none */
    char leader[REPL_URL_SIZE];            /* whom to ask instead; "" */
};

/* Of any bytes: what is no problem body gives the status alone. */
void repl_refusal_read(unsigned http, struct ldb_slice body,
                       struct repl_refusal *out);

/*
 * Sets the error that the refusal is for its caller, "PATH: 409 conflict:
 * detail", and returns its status, which is never OK:
 *
 *   400 401 403 411 414 416 431   INVALID_ARGUMENT: the same again is refused
 *                                 again
 *   404                           NOT_FOUND
 *   405 406 415 501 505           NOT_SUPPORTED: it is of another version
 *   409 412 421                   PRECONDITION: of another epoch or role
 *   410                           GONE
 *   413                           TOO_LARGE
 *   429 503                       STALLED: later
 *   504, "outcome-unknown"        OUTCOME_UNKNOWN
 *   507                           NO_SPACE there
 *   "corruption"                  CORRUPTION there
 *   any other                     IO
 */
enum ldb_status repl_refusal_error(const struct repl_refusal *refusal,
                                   const char *path, struct ldb_error *err);

/* The same for a file, with the statuses that transport.h has: NOT_FOUND of 404
 * and 410, INVALID_ARGUMENT of 416, else IO. */
enum ldb_status repl_refusal_file_error(const struct repl_refusal *refusal,
                                        const char *name,
                                        struct ldb_error *err);

#endif
