#include "replication/heal_table.h"

#include <stdio.h>

#include "replication/digest_file.h"
#include "replication/digest_index.h"
#include "replication/incoming.h"
#include "replication/reopen_table.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/version.h"

/* Where repairs keep what they replace, too. */
#define LOST_FOLDER "lost"

/* Names that one table may have had there before. Chosen: as many as repairs
 * try. */
#define LOST_NAMES 1000

/* ---- looking ---- */

struct look {
    const struct repl_heal_table *heal;
};

static bool goes_on(void *context, uint64_t bytes)
{
    const struct look *look = context;

    (void)bytes;
    return !atomic_load_explicit(look->heal->is_cancelled,
                                 memory_order_relaxed);
}

/* The version of now, when it names the table; what belongs to it stays with
 * it. */
static enum ldb_status hold(const struct repl_heal_table *heal, uint64_t number,
                            struct ldb_error *err,
                            struct repl_damaged_table *out)
{
    struct repl_held_version held = {0};
    const struct ldb_file_meta *meta;
    enum ldb_status s = repl_held_version_take(heal->db, err, &held);

    if (s != LDB_OK)
        return s;
    meta = repl_version_find(held.version, number);
    if (meta == NULL) {
        repl_held_version_release(&held);
        return LDB_OK;
    }
    *out = (struct repl_damaged_table){
        .held = held,
        .number = number,
        .meta = {.size = meta->size,
                 .smallest = meta->smallest,
                 .largest = meta->largest},
    };
    return LDB_OK;
}

void repl_heal_release(struct repl_damaged_table *damaged)
{
    repl_held_version_release(&damaged->held);
    *damaged = (struct repl_damaged_table){0};
}

static enum ldb_status read_table(const struct repl_heal_table *heal,
                                  const struct repl_digest_file *file,
                                  struct ldb_error *err,
                                  struct repl_scrub_verdict *out)
{
    struct look look = {.heal = heal};
    struct repl_scrub_reader reader = {
        .env = heal->env,
        .dir = heal->dir,
        .digests = heal->digests,
        .goes_on = goes_on,
        .context = &look,
        .scratch = ldb_mem_alloc(1, REPL_DIGEST_READ_SIZE),
    };
    enum ldb_status s;

    if (reader.scratch == NULL)
        return ldb_error_no_memory(err);
    s = repl_scrub_file(&reader, file, err, out);
    ldb_mem_free(reader.scratch);
    return s;
}

/* A digest of damaged bytes says nothing of the table: it was found out after
 * the damage. */
static void judge_digest(const struct repl_heal_table *heal,
                         struct repl_damaged_table *damaged)
{
    struct repl_scrub_verdict *verdict = &damaged->verdict;

    if (verdict->kind != REPL_SCRUB_CHECKSUM || !verdict->has_known ||
        !ldb_digest_equal(&verdict->known, &verdict->digest))
        return;
    verdict->has_known = false;
    repl_digest_index_drop(heal->digests, LDB_FILE_TABLE, damaged->number);
}

enum ldb_status repl_heal_look(const struct repl_heal_table *heal,
                               uint64_t number, struct ldb_error *err,
                               enum repl_heal_found *out_found,
                               struct repl_damaged_table *out)
{
    struct repl_damaged_table damaged = {0};
    enum ldb_status s = hold(heal, number, err, &damaged);

    if (s != LDB_OK)
        return s;
    if (damaged.held.version == NULL) {
        *out_found = REPL_HEAL_GONE;
        *out = damaged;
        return LDB_OK;
    }
    s = read_table(heal,
                   &(struct repl_digest_file){.type = LDB_FILE_TABLE,
                                              .number = number,
                                              .size = damaged.meta.size},
                   err, &damaged.verdict);
    if (s == LDB_OK && damaged.verdict.kind != REPL_SCRUB_SOUND) {
        judge_digest(heal, &damaged);
        *out_found = REPL_HEAL_DAMAGED;
        *out = damaged;
        return LDB_OK;
    }
    repl_heal_release(&damaged);
    if (s != LDB_OK)
        return s;
    repl_reopen_table(heal->db, number);
    *out_found = REPL_HEAL_SOUND;
    *out = damaged;
    return LDB_OK;
}

/* ---- fetching ---- */

/* What was left there of earlier tries is not gone on with: it may be another
 * name of a file in force (incoming.h). */
static enum ldb_status prepare_incoming(const struct repl_heal_table *heal,
                                        const char *path, struct ldb_error *err)
{
    enum ldb_status s = repl_incoming_make(heal->env, heal->dir, err);

    if (s == LDB_OK)
        s = heal->env->ops->remove_file(heal->env, path, err);
    return s == LDB_NOT_FOUND ? LDB_OK : s;
}

/* The other node's copy, verified, at path. */
static enum ldb_status fetch(const struct repl_heal_table *heal,
                             const struct repl_damaged_table *damaged,
                             struct repl_transport *transport, const char *path,
                             struct ldb_error *err,
                             struct ldb_digest *out_digest)
{
    const struct repl_scrub_verdict *verdict = &damaged->verdict;
    struct repl_file_fetch how = {
        .env = heal->env,
        .dir = heal->dir,
        .transport = transport,
        .is_cancelled = heal->is_cancelled,
        .counts = heal->counts,
        .out_digest = out_digest,
    };
    struct repl_fetch_file wanted = {
        .size = damaged->meta.size,
        .has_digest = verdict->has_known,
        .digest = verdict->known,
    };
    enum ldb_status s;

    (void)snprintf(wanted.name, sizeof(wanted.name), "%s", verdict->name);
    s = repl_file_fetch(&how, &wanted, err);
    if (s == LDB_OK)
        s = repl_table_check_whole(heal->env, path, wanted.name,
                                   heal->comparator, &damaged->meta, err);
    return s;
}

/* ---- the damaged one ---- */

static enum ldb_status make_lost(const struct repl_heal_table *heal,
                                 struct ldb_error *err)
{
    char *path = ldb_mem_printf("%s/" LOST_FOLDER, heal->dir);
    enum ldb_status s = path == NULL
                            ? ldb_error_no_memory(err)
                            : ldb_env_create_folder(heal->env, path, err);

    ldb_mem_free(path);
    return s;
}

/* lost/NAME, or when there is one lost/NAME.1, ... NULL: no memory. */
static char *lost_path(const struct repl_heal_table *heal, const char *name,
                       unsigned n)
{
    return n == 0
               ? ldb_mem_printf("%s/" LOST_FOLDER "/%s", heal->dir, name)
               : ldb_mem_printf("%s/" LOST_FOLDER "/%s.%u", heal->dir, name, n);
}

static enum ldb_status sync_folder(const struct repl_heal_table *heal,
                                   const char *name, struct ldb_error *err)
{
    char *path = ldb_mem_printf("%s/%s", heal->dir, name);
    enum ldb_status s = path == NULL
                            ? ldb_error_no_memory(err)
                            : heal->env->ops->sync_dir(heal->env, path, err);

    ldb_mem_free(path);
    return s;
}

/* EXISTS: what has that name has other bytes. */
static enum ldb_status keep_as(const struct repl_heal_table *heal,
                               const char *path, const char *name, unsigned n,
                               struct ldb_error *err)
{
    char *to = lost_path(heal, name, n);
    bool is_same = false;
    enum ldb_status s;

    if (to == NULL)
        return ldb_error_no_memory(err);
    s = ldb_env_link_or_copy(heal->env, path, to, err);
    /* One that cannot be read is not the same. */
    if (s == LDB_EXISTS)
        LDB_IGNORE(
            ldb_digest_compare_files(heal->env, path, to, NULL, &is_same));
    if (is_same)
        s = LDB_OK;
    ldb_mem_free(to);
    return s;
}

/* Gives the damaged file a second name, durably; an earlier try may have. One
 * that is missing, or that can neither be linked nor read, has nothing to be
 * kept. */
static enum ldb_status keep(const struct repl_heal_table *heal,
                            const struct repl_damaged_table *damaged,
                            const char *path, struct ldb_error *err)
{
    const struct repl_scrub_verdict *verdict = &damaged->verdict;
    enum ldb_status s = make_lost(heal, err);

    for (unsigned n = 0; s == LDB_OK && n < LOST_NAMES; n++) {
        s = keep_as(heal, path, verdict->name, n, err);
        if (s != LDB_EXISTS)
            break;
        s = n + 1 < LOST_NAMES ? LDB_OK : LDB_EXISTS;
    }
    if (s == LDB_OK)
        return sync_folder(heal, LOST_FOLDER, err);
    if (s == LDB_NOT_FOUND ||
        (s == LDB_IO && verdict->kind == REPL_SCRUB_UNREADABLE))
        return LDB_OK;
    return s;
}

/* ---- in its place ---- */

static enum ldb_status replace(const struct repl_heal_table *heal,
                               const struct repl_damaged_table *damaged,
                               const char *from, const char *to,
                               struct ldb_error *err)
{
    struct ldb_env *env = heal->env;
    enum ldb_status s = keep(heal, damaged, to, err);

    if (s == LDB_OK)
        s = env->ops->rename_file(env, from, to, err);
    if (s == LDB_OK)
        s = env->ops->sync_dir(env, heal->dir, err);
    /* Or a power cut might bring back that name of it. */
    if (s == LDB_OK)
        s = repl_incoming_sync(env, heal->dir, err);
    return s;
}

/* Where none was known that is it. Without memory it is found out anew. */
static void note_digest(const struct repl_heal_table *heal,
                        const struct repl_damaged_table *damaged,
                        const struct ldb_digest *digest)
{
    const struct repl_digest_file file = {.type = LDB_FILE_TABLE,
                                          .number = damaged->number,
                                          .size = damaged->meta.size};

    if (!damaged->verdict.has_known)
        (void)repl_digest_index_put(heal->digests, &file, digest);
}

enum ldb_status repl_heal_from(const struct repl_heal_table *heal,
                               const struct repl_damaged_table *damaged,
                               struct repl_transport *transport,
                               struct ldb_error *err)
{
    struct ldb_env *env = heal->env;
    char *incoming =
        repl_incoming_path(heal->dir, damaged->verdict.name, false);
    char *path = ldb_mem_printf("%s/%s", heal->dir, damaged->verdict.name);
    struct ldb_digest digest;
    enum ldb_status s;

    if (incoming == NULL || path == NULL) {
        s = ldb_error_no_memory(err);
        goto out;
    }
    s = prepare_incoming(heal, incoming, err);
    if (s == LDB_OK)
        s = fetch(heal, damaged, transport, incoming, err, &digest);
    if (s == LDB_OK)
        s = replace(heal, damaged, incoming, path, err);
    if (s == LDB_OK) {
        note_digest(heal, damaged, &digest);
        repl_reopen_table(heal->db, damaged->number);
    } else { /* or it stays, and is not gone on with */
        LDB_IGNORE(env->ops->remove_file(env, incoming, NULL));
    }
out:
    ldb_mem_free(incoming);
    ldb_mem_free(path);
    return s;
}
