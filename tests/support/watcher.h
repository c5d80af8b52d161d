/*
 * Looks on at long work as an ldb_progress: keeps what it was told and checks
 * that it never goes back, and ends the work after so many looks.
 */
#ifndef TESTS_SUPPORT_WATCHER_H
#define TESTS_SUPPORT_WATCHER_H

#include "storage/include/ldb.h"

struct watcher {
    struct ldb_progress progress; /* to give to the call */
    unsigned looks;
    unsigned cancel_at; /* of looks, from 1; 0: never */
    uint64_t done;      /* as last told */
    uint64_t total;
};

void watcher_init(struct watcher *watcher, unsigned cancel_at);

#endif
