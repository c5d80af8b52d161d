/*
 * `leveld dump`: what a folder holds, or what stands in one of its files.
 *
 *   dump DIR [--digest]   each live entry as "keyhex TAB valuehex", ascending,
 *                         then "# sha256 HEX entries N" over those lines;
 *                         --digest: that line alone
 *   dump FILE             a journal's, a MANIFEST's or a table's listing, by
 *                         its name: of leveld/diverged/ (R-NNNNNN.log) too
 *   dump -                that of a journal on standard input, each record as
 *                         soon as it has come
 *
 * Writes nothing. Exit codes as in cmd_offline.h.
 *
 * Thread-safety: the main thread.
 */
#ifndef SERVICE_CMD_DUMP_H
#define SERVICE_CMD_DUMP_H

/* The arguments after "dump". */
int svc_cmd_dump(int argc, char *const *argv);

#endif
