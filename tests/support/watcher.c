#include "tests/support/watcher.h"

#include "tests/support/assert_ldb.h"

static bool look(void *context, uint64_t done, uint64_t total)
{
    struct watcher *watcher = context;

    assert_true(done <= total);
    assert_true(done >= watcher->done || total != watcher->total);
    watcher->done = done;
    watcher->total = total;
    watcher->looks++;
    return watcher->looks != watcher->cancel_at;
}

void watcher_init(struct watcher *watcher, unsigned cancel_at)
{
    *watcher = (struct watcher){
        .progress = {.report = look, .context = watcher},
        .cancel_at = cancel_at,
    };
}
