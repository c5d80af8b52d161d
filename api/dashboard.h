/*
 * GET /: a page for people, which asks for /stats and shows the figures. It is
 * one file (api/dashboard.html) that the build puts into the program; nothing
 * is fetched but /stats. Its Content-Security-Policy allows that, its own
 * script and its own style, by their digests, and nothing else.
 * tests/e2e/test_dashboard.py holds the members that it names to /stats.
 *
 * Handler of api/router.c's table; see exchange.h for when it is called.
 */
#ifndef API_DASHBOARD_H
#define API_DASHBOARD_H

#include "api/exchange.h"

void api_dashboard_finish(struct api_exchange *x);

#endif
