#include "tests/support/sim_check_version.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "storage/base/digest.h"
#include "storage/base/status.h"
#include "storage/version/file_names.h"

/* A folder that is looked at. */
struct folder {
    struct sim_node *node;
    struct ldb_env *env;
    const struct sim_history *history;
};

/* ---- R3 ---- */

static bool is_looked_at(const struct sim_watch *watch, uint64_t number)
{
    for (size_t i = 0; i < watch->table_count; i++) {
        if (watch->tables[i] == number)
            return true;
    }
    return false;
}

static void remember_table(struct sim_watch *watch, uint64_t number)
{
    if (watch->table_count == watch->table_room) {
        watch->table_room = watch->table_room == 0 ? 64 : watch->table_room * 2;
        watch->tables =
            realloc(watch->tables, watch->table_room * sizeof(*watch->tables));
        if (watch->tables == NULL)
            abort();
    }
    watch->tables[watch->table_count++] = number;
}

static void check_table(const struct folder *folder,
                        const struct sim_table *table, struct sim_watch *watch)
{
    const char *who = folder->node->name;
    const struct sim_known_table *wanted =
        sim_truth_table(folder->history, table->number);
    struct ldb_error err = {0};
    struct ldb_digest is;
    char name[LDB_FILE_NAME_SIZE];
    char path[128];
    uint64_t size = 0;

    ldb_file_name_print(name, LDB_FILE_TABLE, table->number);
    (void)snprintf(path, sizeof(path), "%s/%s", SIM_DIR, name);
    if (folder->env->ops->file_size(folder->env, path, NULL, &size) != LDB_OK)
        sim_fail("R3 the version of %s names %s, which is not there", who,
                 name);
    if (is_looked_at(watch, table->number))
        return;
    /* Made and dropped by the leader while it opened, before it began its
     * epoch: nobody saw it. That its MANIFEST names the table R2 says, and what
     * is in it R4 and R8. */
    if (wanted == NULL)
        return;
    if (ldb_digest_file(folder->env, path, &err, &is, &size) != LDB_OK)
        sim_fail("R3 %s of %s: %s", name, who, err.message);
    if (size != wanted->size || !ldb_digest_equal(&is, &wanted->digest))
        sim_fail("R3 %s of %s is not the leader's: %" PRIu64 " bytes, %" PRIu64,
                 name, who, size, wanted->size);
    remember_table(watch, table->number);
}

/* ---- R8 ---- */

/*
 * The version has gone to another log number: each record that its leader wrote
 * in a journal below, from the one of the version before on, was here. What the
 * node says of itself is not asked: installing raises what it has applied.
 */
static void check_journals(const struct folder *folder, uint64_t from,
                           uint64_t log_number)
{
    const struct sim_history *history = folder->history;

    for (size_t i = history->record_count; i > 0; i--) {
        const struct sim_record *record = &history->records[i - 1];
        uint64_t len;

        if (record->journal < from)
            return;
        if (record->journal >= log_number)
            continue;
        len = sim_held_len(&folder->node->held, record->journal);
        if (len < record->end)
            sim_fail("R8 the version of %s begins with %06" PRIu64
                     ".log, and of %06" PRIu64 ".log before no more than "
                     "%" PRIu64 " bytes of %" PRIu64 " have come",
                     folder->node->name, log_number, record->journal, len,
                     record->end);
    }
}

/* A rebuild takes what it finds, and so does who has nothing at all: there is
 * no version before. */
static void check_log_number(const struct folder *folder,
                             const struct sim_version *version,
                             struct sim_watch *watch)
{
    struct sim_held *held = &folder->node->held;

    if (held->is_remade) {
        sim_held_forget(held);
        watch->has_log_number = false;
    }
    sim_held_note(held, folder->env, SIM_DIR);
    if (watch->has_log_number && !watch->was_blank)
        check_journals(folder, watch->log_number, version->log_number);
    watch->has_log_number = true;
    watch->log_number = version->log_number;
    watch->was_blank = version->table_count == 0 && sim_held_is_empty(held);
}

void sim_check_version(struct sim_node *node, const struct sim_history *history,
                       struct sim_watch *watch)
{
    static struct sim_version version; /* too large for a stack */
    const struct folder folder = {node, sim_node_disk(node), history};

    if (!sim_version_read(folder.env, SIM_DIR, &version))
        return;
    for (size_t i = 0; i < version.table_count; i++)
        check_table(&folder, &version.tables[i], watch);
    check_log_number(&folder, &version, watch);
}
