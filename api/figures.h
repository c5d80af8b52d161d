/*
 * The figures of this node. One table names each of them twice: where it
 * stands in the JSON of /stats, and as what sample it goes to /metrics. Both
 * are written from the table, so that neither can have a figure that the
 * other lacks; what is in one of them alone says so in its row.
 *
 * Requests by route, whose figures are api/metrics.h's, followers one by one
 * (api/followers.h), and who this node is (version, role, ...) are no rows:
 * api/stats.c and api/prometheus.c write them.
 *
 * Thread-safety: functions of their arguments; the table is constant.
 */
#ifndef API_FIGURES_H
#define API_FIGURES_H

#include "api/backup.h"
#include "api/context.h"
#include "api/families.h"
#include "api/feeds.h"
#include "api/node_ops.h"
#include "api/tasks.h"
#include "replication/heal.h"
#include "replication/leader.h"
#include "replication/scrub.h"
#include "storage/include/ldb.h"

struct api_followers;

/* All at one time, but for what moves while they are read. */
struct api_figures {
    uint64_t epoch;
    double start_time_seconds; /* since 1970, of the node */
    double uptime_seconds;
    bool read_only;
    bool ready;
    const char *reason; /* not ready: why; else NULL */

    struct api_limits limits;
    uint64_t delete_range_keys;

    struct api_tasks_figures tasks;
    struct api_backups_figures backups;
    uint64_t waiting_requests; /* for a sequence */

    struct ldb_stats stats;
    uint64_t table_bytes; /* of all levels */
    double write_amplification;
    double block_hit_rate;
    double row_hit_rate;
    double table_hit_rate;

    struct api_feeds_figures feeds;

    unsigned replicas_min;
    struct repl_write_concern_figures concern;
    bool has_leader; /* this node leads */
    struct repl_leader_figures leader;
    uint64_t lag_sequences; /* of the living follower farthest behind in it */
    uint64_t lag_bytes;
    uint64_t lag_us;
    bool has_digests; /* it has a folder of its own */
    struct repl_digest_index_figures digests;
    bool has_scrub; /* it reads its folder through */
    struct repl_scrub_figures scrub;
    bool has_heal;
    struct repl_heal_figures heal;

    bool has_following; /* it follows somebody */
    struct api_following following;
    const char *following_state;
    const char *following_why;
    const char *following_step; /* of its rebuild */
    const char *following_leader;
    char leader_url[REPL_URL_SIZE];
    uint64_t heard_age_us; /* since the leader was heard, if it ever was */

    uint64_t diverged_rewinds; /* of what leveld/diverged/ keeps */
    uint64_t diverged_files;
    uint64_t diverged_bytes;

    bool has_free_bytes; /* the system tells */
    uint64_t free_bytes;
    uint64_t reserve_bytes;

    bool has_process; /* the service tells */
    struct api_process_figures process;
    uint64_t cpu_us; /* user and system */
};

/* Allocates nothing. The lag is that of the followers, which
 * api_followers_read() has read. What is a pointer in *out points into it, or
 * is static: it is not to be copied. */
void api_figures_gather(const struct api_context *context,
                        const struct api_followers *followers,
                        struct api_figures *out);

/* ---- the table ---- */

enum api_figure_kind {
    API_FIGURE_NUMBER, /* unsigned, of size bytes */
    API_FIGURE_BOOL,
    API_FIGURE_DOUBLE,
    API_FIGURE_TEXT, /* in /stats alone */
};

enum api_figure_need {
    API_NEEDS_NOTHING,
    API_NEEDS_FREE_BYTES,
    API_NEEDS_PROCESS,
    API_NEEDS_LEADER,
    API_NEEDS_DIGESTS,
    API_NEEDS_SCRUB,
    API_NEEDS_HEAL,
    API_NEEDS_FOLLOWING,
};

/* The rows of this group are written once for each level. */
#define API_GROUP_LEVELS "engine.levels"

struct api_figure {
    const char *group; /* objects of /stats around it: "engine.journal", "" */
    const char *name;  /* in /stats; NULL: in /metrics alone */
    enum api_figure_kind kind;
    size_t size;
    size_t offset; /* in struct api_figures; of a level: in level 0 */
    enum api_family_id family;
    const char *labels; /* of its sample: cause="level0_stop"; NULL: none */
    enum api_figure_need need;
};

/* The rows of one group stand together. */
const struct api_figure *api_figures_table(size_t *out_count);

/* The row is one of API_GROUP_LEVELS. */
bool api_figure_is_of_level(const struct api_figure *row);

/* Whether there is such a figure here. */
bool api_figure_is_known(const struct api_figures *figures,
                         const struct api_figure *row);

/* level: 0 but for rows of API_GROUP_LEVELS. */
uint64_t api_figure_number(const struct api_figures *figures,
                           const struct api_figure *row, size_t level);
bool api_figure_bool(const struct api_figures *figures,
                     const struct api_figure *row);
double api_figure_double(const struct api_figures *figures,
                         const struct api_figure *row, size_t level);
const char *api_figure_text(const struct api_figures *figures,
                            const struct api_figure *row);

#endif
