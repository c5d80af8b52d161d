/*
 * GET /v1/backup: the files of the database as they are at one sequence, as a
 * tar stream: what ldb_backup_open() pins, read as fast as the client takes it.
 * It holds constant memory, and of the disk the tables of its time, until the
 * stream ends or the client leaves.
 *
 * Thread-safety: handlers: the exchange's loop. The rest: any thread.
 */
#ifndef API_BACKUP_H
#define API_BACKUP_H

#include "api/exchange.h"

struct api_backups;

/* NULL: no memory. */
struct api_backups *api_backups_create(void);
/* Closes those still open, before the database; no exchange runs any more. */
void api_backups_close(struct api_backups *all);
void api_backups_destroy(struct api_backups *all); /* NULL is fine */

struct api_backups_figures {
    uint64_t running;
    uint64_t begun; /* since start */
    uint64_t bytes; /* streamed, since start */
};

void api_backups_figures(struct api_backups *all,
                         struct api_backups_figures *out);

void api_backup_finish(struct api_exchange *x);
void api_backup_resume(struct api_exchange *x);
void api_backup_abandon(struct api_exchange *x);

#endif
