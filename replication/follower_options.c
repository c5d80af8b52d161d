#include "replication/follower_options.h"

/* Defaults; chosen. A sync and an ack in 100 ms make a leader's lag figures and
 * its pins move while it writes; a silent stream is looked after before people
 * do. An ack costs its leader as much as a few writes: where it syncs thousands
 * of times a second, nobody needs to hear of each. */
#define ACK_US         (UINT64_C(1000) * 1000)
#define BUSY_ACK_US    (UINT64_C(100) * 1000)
#define ACK_GAP_US     (UINT64_C(10) * 1000)
#define SYNC_US        (UINT64_C(100) * 1000)
#define WATCHDOG_US    (UINT64_C(10) * 1000 * 1000)
#define BACKOFF_US     (UINT64_C(100) * 1000)
#define BACKOFF_MAX_US (UINT64_C(5) * 1000 * 1000)

void repl_follower_options_complete(struct repl_follower_options *options)
{
    struct {
        uint64_t *field;
        uint64_t value;
    } defaults[] = {
        {&options->ack_us, ACK_US},
        {&options->busy_ack_us, BUSY_ACK_US},
        {&options->ack_gap_us, ACK_GAP_US},
        {&options->sync_us, SYNC_US},
        {&options->watchdog_us, WATCHDOG_US},
        {&options->backoff_us, BACKOFF_US},
        {&options->backoff_max_us, BACKOFF_MAX_US},
    };

    for (size_t i = 0; i < sizeof(defaults) / sizeof(defaults[0]); i++) {
        if (*defaults[i].field == 0)
            *defaults[i].field = defaults[i].value;
    }
}
