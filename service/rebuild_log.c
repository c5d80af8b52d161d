#include "service/rebuild_log.h"

#include "service/log.h"

unsigned svc_rebuild_percent(const struct repl_build_figures *now)
{
    if (now->bytes_fetched >= now->bytes_wanted)
        return 100;
    return (unsigned)((double)now->bytes_fetched * 100 /
                      (double)now->bytes_wanted);
}

bool svc_rebuild_log_is_due(struct svc_rebuild_log *log,
                            const struct repl_build_figures *now,
                            uint64_t now_us)
{
    unsigned tenths = now->step == REPL_BUILD_FETCHING
                          ? svc_rebuild_percent(now) / 10
                          : log->tenths;

    if (now->step == REPL_BUILD_IDLE)
        return false; /* for a moment */
    if (log->step == now->step && log->tenths == tenths &&
        now_us - log->logged_us < SVC_REBUILD_LOG_US)
        return false;
    *log = (struct svc_rebuild_log){
        .step = now->step, .tenths = tenths, .logged_us = now_us};
    return true;
}

void svc_rebuild_log_line(const struct repl_build_figures *now, uint64_t now_us)
{
    struct svc_log_line line;

    svc_log_begin(&line, SVC_LOG_INFO, "rebuilding");
    svc_log_text(&line, "step", repl_build_step_text(now->step));
    if (now->step == REPL_BUILD_SURVEYING) {
        svc_log_u64(&line, "files_digested", now->files_digested);
    } else {
        svc_log_u64(&line, "percent", svc_rebuild_percent(now));
        svc_log_u64(&line, "bytes_fetched", now->bytes_fetched);
        svc_log_u64(&line, "bytes_wanted", now->bytes_wanted);
        svc_log_u64(&line, "tables_fetched", now->tables_fetched);
        svc_log_u64(&line, "tables_kept", now->tables_kept);
        svc_log_u64(&line, "tables_wanted", now->tables_wanted);
    }
    svc_log_ms(&line, "elapsed_ms", now_us - now->begun_us);
    svc_log_end(&line);
}
