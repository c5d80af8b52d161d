/*
 * Requests that are wrong in one way each, with the answer each must get. Run
 * through the handlers in memory and, by the service's tests, over HTTP.
 *
 * None of them changes the database.
 */
#ifndef TESTS_SUPPORT_MALFORMED_REQUESTS_H
#define TESTS_SUPPORT_MALFORMED_REQUESTS_H

#include <stdbool.h>
#include <stddef.h>

/* Headers of one request, with the NULL at the end. */
#define MALFORMED_HEADERS_MAX 4

struct malformed_request {
    const char *name;
    const char *method;
    const char *target;                         /* path and query, as sent */
    const char *headers[MALFORMED_HEADERS_MAX]; /* "Name: value", NULL-ended */
    const char *body;                           /* NULL: none */
    size_t body_len;
    unsigned status;
    const char *type; /* of the problem, without /problems/ */
    /* An HTTP library may well refuse it by itself, before a handler. */
    bool may_not_arrive;
};

const struct malformed_request *malformed_requests(size_t *out_count);

#endif
