/*
 * Subcommands on a folder that no server has open: check, stats, compact,
 * repair. Each takes the arguments after its name, prints to standard output,
 * and says why it failed on standard error.
 *
 * Exit codes of all: 0 done, 1 damage (found, or in the way), 2 bad usage, or
 * the folder cannot be opened.
 *
 * Thread-safety: the main thread.
 */
#ifndef SERVICE_CMD_OFFLINE_H
#define SERVICE_CMD_OFFLINE_H

#include "storage/include/ldb_types.h"

enum {
    SVC_EXIT_CLEAN = 0,
    SVC_EXIT_DAMAGE = 1,
    SVC_EXIT_USAGE = 2,
};

/* What stands on the command line of such a subcommand. */
struct svc_offline_arguments {
    const char *path;
    bool has_flag; /* the one flag that the command knows was given */
};

/*
 * Takes one path ("-" is one) and maybe flag (NULL: the command has none).
 * False, with *out_code to exit with: wrong arguments, or help was asked for
 * and printed.
 */
LDB_MUST_CHECK bool svc_offline_parse(int argc, char *const *argv,
                                      const char *usage, const char *flag,
                                      struct svc_offline_arguments *out,
                                      int *out_code);

/* Says on standard error why the command failed; the exit code. */
int svc_offline_fail(const char *command, enum ldb_status s,
                     const struct ldb_error *err);

/* DIR: reads every byte, writes nothing; one line a finding, then a summary. */
int svc_cmd_check(int argc, char *const *argv);

/*
 * DIR [--dry-run]: one line for each finding and for what is done about it,
 * then a summary. A dry run that finds something to repair exits with 1.
 */
int svc_cmd_repair(int argc, char *const *argv);

/* DIR [--json]: levels, sequence, MANIFEST, journals; writes nothing. */
int svc_cmd_stats(int argc, char *const *argv);

/* DIR: merges all tables, so that deleted and overwritten entries go. */
int svc_cmd_compact(int argc, char *const *argv);

#endif
