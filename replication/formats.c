#include "replication/formats.h"

#include "replication/clean_stop.h"
#include "replication/digest_store.h"
#include "replication/diverged.h"
#include "replication/epoch_history.h"
#include "replication/identity.h"
#include "replication/rebuild_intent.h"
#include "replication/role_file.h"
#include "replication/scrub_place.h"
#include "replication/sidecar.h"
#include "replication/slot_store.h"
#include "replication/twin_mark.h"

static const struct {
    const char *name;
    uint64_t version;
} formats[] = {
    {REPL_IDENTITY_FILE, REPL_IDENTITY_VERSION},
    {REPL_EPOCHS_FILE, REPL_EPOCHS_VERSION},
    {REPL_ROLE_FILE, REPL_ROLE_VERSION},
    {REPL_CLEAN_STOP_FILE, REPL_CLEAN_STOP_VERSION},
    {REPL_REBUILD_FILE, REPL_REBUILD_VERSION},
    {REPL_REWINDS_FILE, REPL_REWINDS_VERSION},
    {REPL_SLOTS_FILE, REPL_SLOTS_VERSION},
    {REPL_DIGESTS_FILE, REPL_DIGESTS_VERSION},
    {REPL_SCRUB_FILE, REPL_SCRUB_VERSION},
    {REPL_TWIN_FILE, REPL_TWIN_VERSION},
};

enum ldb_status repl_formats_check(struct ldb_env *env, const char *dir,
                                   struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < sizeof(formats) / sizeof(formats[0]);
         i++)
        s = repl_sidecar_check_version(env, dir, formats[i].name,
                                       formats[i].version, err);
    return s;
}
