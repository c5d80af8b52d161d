/*
 * GET /openapi.json: the OpenAPI 3.1 document of all that is served. It is
 * written by hand (api/openapi.json); the build puts it into the program with
 * the version filled in. tests/api/test_openapi.c holds it to the routes, their
 * parameters, the problem types and the limits; tests/e2e/test_openapi.py to
 * the answers.
 *
 * Handler of api/router.c's table; see exchange.h for when it is called.
 */
#ifndef API_OPENAPI_H
#define API_OPENAPI_H

#include "api/exchange.h"

void api_openapi_finish(struct api_exchange *x);

#endif
