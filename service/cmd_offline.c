#include "service/cmd_offline.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/status.h"
#include "storage/verify.h"

enum {
    EXIT_CLEAN = 0,
    EXIT_DAMAGE = 1,
    EXIT_USAGE = 2,
};

/* What stands on the command line. */
struct arguments {
    const char *dir; /* NULL: none was given */
    const char *flag;
    bool has_flag; /* the one that the command knows */
};

static bool is_help(const char *argument)
{
    return strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0;
}

/* flag: the one the command takes, or NULL. False: wrong, or help: *out_code
 * is what to exit with. */
static bool parse(int argc, char *const *argv, const char *usage,
                  const char *flag, struct arguments *out, int *out_code)
{
    *out = (struct arguments){.flag = flag};
    for (int i = 0; i < argc; i++) {
        if (is_help(argv[i])) {
            printf("Usage: leveld %s\n", usage);
            *out_code = EXIT_CLEAN;
            return false;
        }
        if (flag != NULL && strcmp(argv[i], flag) == 0) {
            out->has_flag = true;
        } else if (out->dir == NULL && argv[i][0] != '-') {
            out->dir = argv[i];
        } else {
            fprintf(stderr, "leveld: unknown argument %s\nUsage: leveld %s\n",
                    argv[i], usage);
            *out_code = EXIT_USAGE;
            return false;
        }
    }
    if (out->dir != NULL)
        return true;
    fprintf(stderr, "Usage: leveld %s\n", usage);
    *out_code = EXIT_USAGE;
    return false;
}

static int fail(const char *command, enum ldb_status s,
                const struct ldb_error *err)
{
    fprintf(stderr, "leveld %s: %s\n", command, err->message);
    return s == LDB_CORRUPTION ? EXIT_DAMAGE : EXIT_USAGE;
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
    struct arguments arguments;
    int code = EXIT_CLEAN;
    enum ldb_status s;

    if (!parse(argc, argv, "check DIR", NULL, &arguments, &code))
        return code;
    s = ldb_verify_folder(arguments.dir, NULL, print_finding, NULL, &err, &sum);
    if (s != LDB_OK)
        return fail("check", s, &err);
    printf("# %s: damages %" PRIu64 " notes %" PRIu64 " tables %" PRIu64
           " blocks %" PRIu64 " entries %" PRIu64 " bytes %" PRIu64
           " manifest-records %" PRIu64 " journals %" PRIu64
           " journal-records %" PRIu64 "\n",
           sum.damages == 0 ? "clean" : "damaged", sum.damages, sum.notes,
           sum.tables, sum.blocks, sum.entries, sum.table_bytes,
           sum.manifest_records, sum.journals, sum.journal_records);
    return sum.damages == 0 ? EXIT_CLEAN : EXIT_DAMAGE;
}
