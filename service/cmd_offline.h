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

/* DIR: reads every byte, writes nothing; one line a finding, then a summary. */
int svc_cmd_check(int argc, char *const *argv);

#endif
