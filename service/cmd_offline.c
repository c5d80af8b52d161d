#include "service/cmd_offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/env.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/verify.h"

static bool is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

bool svc_offline_parse(int argc, char *const *argv, const char *usage,
                       const char *flag, struct svc_offline_arguments *out,
                       int *out_code)
{
    *out = (struct svc_offline_arguments){0};
    for (int i = 0; i < argc; i++) {
        if (is_help(argv[i])) {
            printf("Usage: leveld %s\n", usage);
            *out_code = SVC_EXIT_CLEAN;
            return false;
        }
        if (flag != NULL && strcmp(argv[i], flag) == 0) {
            out->has_flag = true;
        } else if (out->path == NULL &&
                   (argv[i][0] != '-' || argv[i][1] == '\0')) {
            out->path = argv[i];
        } else {
            fprintf(stderr, "leveld: unknown argument %s\nUsage: leveld %s\n",
                    argv[i], usage);
            *out_code = SVC_EXIT_USAGE;
            return false;
        }
    }
    if (out->path != NULL)
        return true;
    fprintf(stderr, "Usage: leveld %s\n", usage);
    *out_code = SVC_EXIT_USAGE;
    return false;
}

int svc_offline_fail(const char *command, enum ldb_status s,
                     const struct ldb_error *err)
{
    fprintf(stderr, "leveld %s: %s\n", command, err->message);
    return s == LDB_CORRUPTION ? SVC_EXIT_DAMAGE : SVC_EXIT_USAGE;
}

/* ---- check ---- */

static enum ldb_status print_finding(void *context,
                                     const struct ldb_finding *finding)
{
    struct ldb_buf line = LDB_BUF_INIT(SIZE_MAX);
    enum ldb_status s = ldb_finding_describe(finding, &line);

    (void)context;
    if (s == LDB_OK)
        printf("%.*s\n", (int)line.len, (const char *)line.data);
    ldb_buf_release(&line);
    return s;
}

int svc_cmd_check(int argc, char *const *argv)
{
    struct ldb_verify_summary sum = {0};
    struct ldb_error err = {0};
    struct svc_offline_arguments arguments;
    int code = SVC_EXIT_CLEAN;
    enum ldb_status s;

    if (!svc_offline_parse(argc, argv, "check DIR", NULL, &arguments, &code))
        return code;
    s = ldb_verify_folder(arguments.path, NULL, print_finding, NULL, &err,
                          &sum);
    if (s != LDB_OK)
        return svc_offline_fail("check", s, &err);
    printf("# %s: damages %" PRIu64 " notes %" PRIu64 " tables %" PRIu64
           " blocks %" PRIu64 " entries %" PRIu64 " bytes %" PRIu64
           " manifest-records %" PRIu64 " journals %" PRIu64
           " journal-records %" PRIu64 "\n",
           sum.damages == 0 ? "clean" : "damaged", sum.damages, sum.notes,
           sum.tables, sum.blocks, sum.entries, sum.table_bytes,
           sum.manifest_records, sum.journals, sum.journal_records);
    return sum.damages == 0 ? SVC_EXIT_CLEAN : SVC_EXIT_DAMAGE;
}

/* ---- repair ---- */

static void print_line(void *context, const char *text)
{
    (void)context;
    printf("%s\n", text);
}

static void print_repaired(const struct ldb_repair_report *r, bool is_dry)
{
    const char *what = is_dry ? "to repair" : "repaired";

    printf("# %s: damages %" PRIu64 " tables kept %" PRIu64
           " rewritten %" PRIu64 " lost %" PRIu64 " placed %" PRIu64
           " merged %" PRIu64 " entries salvaged %" PRIu64 " journals %" PRIu64
           " records %" PRIu64 " bytes dropped %" PRIu64
           " files kept in lost/ %" PRIu64 " sequence %" PRIu64 "\n",
           r->needed ? what : "nothing to repair", r->damages, r->tables_kept,
           r->tables_rewritten, r->tables_lost, r->tables_placed,
           r->tables_merged, r->entries_salvaged, r->journals,
           r->journal_records, r->journal_bytes_dropped, r->files_kept_in_lost,
           r->last_sequence);
}

int svc_cmd_repair(int argc, char *const *argv)
{
    struct ldb_repair_options how = {.line = print_line};
    struct ldb_repair_report report = {0};
    struct svc_offline_arguments arguments;
    struct ldb_error err = {0};
    int code = SVC_EXIT_CLEAN;
    enum ldb_status s;

    if (!svc_offline_parse(argc, argv, "repair DIR [--dry-run]", "--dry-run",
                           &arguments, &code))
        return code;
    how.dry_run = arguments.has_flag;
    s = ldb_repair(arguments.path, NULL, &how, &report, &err);
    if (s != LDB_OK)
        return svc_offline_fail("repair", s, &err);
    print_repaired(&report, how.dry_run);
    return how.dry_run && report.needed ? SVC_EXIT_DAMAGE : SVC_EXIT_CLEAN;
}

/* ---- stats ---- */

static void print_stats_text(const struct ldb_stats *stats,
                             const struct ldb_recovery *found)
{
    printf("level     tables           bytes\n");
    for (unsigned l = 0; l < LDB_STATS_LEVELS; l++)
        printf("%5u %10" PRIu64 " %15" PRIu64 "\n", l, stats->levels[l].tables,
               stats->levels[l].bytes);
    printf("sequence %" PRIu64 "\n", stats->last_sequence);
    printf("manifest %06" PRIu64 " bytes %" PRIu64 "\n", found->manifest_number,
           found->manifest_len);
    printf("journal %06" PRIu64 " bytes %" PRIu64 "\n", found->journal_number,
           found->journal_len);
    printf("journals %" PRIu64 " records %" PRIu64 " dropped-bytes %" PRIu64
           " tail-bytes %" PRIu64 "\n",
           found->journals_replayed, found->records_replayed,
           found->bytes_dropped, found->tail_bytes);
}

static void print_stats_json(const struct ldb_stats *stats,
                             const struct ldb_recovery *found)
{
    printf("{\"levels\":[");
    for (unsigned l = 0; l < LDB_STATS_LEVELS; l++)
        printf("%s{\"level\":%u,\"tables\":%" PRIu64 ",\"bytes\":%" PRIu64 "}",
               l == 0 ? "" : ",", l, stats->levels[l].tables,
               stats->levels[l].bytes);
    printf("],\"sequence\":%" PRIu64 ",\"manifest\":{\"number\":%" PRIu64
           ",\"bytes\":%" PRIu64 "},\"journal\":{\"number\":%" PRIu64
           ",\"bytes\":%" PRIu64 "},\"replay\":{\"journals\":%" PRIu64
           ",\"records\":%" PRIu64 ",\"dropped_bytes\":%" PRIu64
           ",\"tail_bytes\":%" PRIu64 "}}\n",
           stats->last_sequence, found->manifest_number, found->manifest_len,
           found->journal_number, found->journal_len, found->journals_replayed,
           found->records_replayed, found->bytes_dropped, found->tail_bytes);
}

int svc_cmd_stats(int argc, char *const *argv)
{
    struct svc_offline_arguments arguments;
    struct ldb_recovery found = {0};
    struct ldb_stats stats;
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_db *db = NULL;
    int code = SVC_EXIT_CLEAN;
    enum ldb_status s;

    if (!svc_offline_parse(argc, argv, "stats DIR [--json]", "--json",
                           &arguments, &code))
        return code;
    ldb_options_init(&options);
    options.create_if_missing = false;
    options.read_only = true;
    s = ldb_open(arguments.path, &options, &found, &err, &db);
    if (s != LDB_OK)
        return svc_offline_fail("stats", s, &err);
    ldb_stats(db, &stats);
    if (arguments.has_flag)
        print_stats_json(&stats, &found);
    else
        print_stats_text(&stats, &found);
    LDB_IGNORE(ldb_close(db, NULL)); /* read-only: nothing to lose */
    return SVC_EXIT_CLEAN;
}

/* ---- compact ---- */

static enum ldb_status pass_name(void *context, const char *name)
{
    (void)context;
    (void)name;
    return LDB_OK;
}

/* Where journals are kept for readers of changes they all stay: how many is
 * for the next `leveld serve` to say. Elsewhere no folder is made for them. */
static void keep_archive(const char *dir, struct ldb_options *options)
{
    struct ldb_env *env = ldb_env_posix();
    char *path = ldb_mem_printf("%s/leveld/archive", dir);

    if (path != NULL &&
        env->ops->list_dir(env, path, pass_name, NULL, NULL) == LDB_OK) {
        options->archive_bytes = INT64_MAX;
        options->archive_age_us = INT64_MAX;
    }
    ldb_mem_free(path);
}

static uint64_t table_bytes(struct ldb_db *db)
{
    struct ldb_stats stats;
    uint64_t bytes = 0;

    ldb_stats(db, &stats);
    for (unsigned l = 0; l < LDB_STATS_LEVELS; l++)
        bytes += stats.levels[l].bytes;
    return bytes;
}

int svc_cmd_compact(int argc, char *const *argv)
{
    struct svc_offline_arguments arguments;
    struct ldb_options options;
    struct ldb_error err = {0};
    struct ldb_error close_err = {0};
    struct ldb_db *db = NULL;
    uint64_t before;
    int code = SVC_EXIT_CLEAN;
    enum ldb_status s;
    enum ldb_status closed;

    if (!svc_offline_parse(argc, argv, "compact DIR", NULL, &arguments, &code))
        return code;
    ldb_options_init(&options);
    options.create_if_missing = false;
    keep_archive(arguments.path, &options);
    s = ldb_open(arguments.path, &options, NULL, &err, &db);
    if (s != LDB_OK)
        return svc_offline_fail("compact", s, &err);
    before = table_bytes(db);
    s = ldb_compact_range(db, NULL, NULL, &err);
    if (s == LDB_OK)
        printf("# table bytes %" PRIu64 " before, %" PRIu64 " after\n", before,
               table_bytes(db));
    closed = ldb_close(db, &close_err);
    if (s != LDB_OK)
        return svc_offline_fail("compact", s, &err);
    if (closed != LDB_OK)
        return svc_offline_fail("compact", closed, &close_err);
    return SVC_EXIT_CLEAN;
}
