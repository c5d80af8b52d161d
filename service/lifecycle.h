/*
 * The service from start to stop: identity, database, handlers, HTTP; each
 * started after what it needs and stopped before it.
 *
 * Stopping: no connection is accepted any more; accepted requests finish,
 * queued writes included, for at most the stop timeout; then the database is
 * closed, synced, and marked as cleanly stopped.
 *
 * Thread-safety: one thread; tick from the same.
 */
#ifndef SERVICE_LIFECYCLE_H
#define SERVICE_LIFECYCLE_H

#include "service/config.h"
#include "storage/base/env.h"

struct svc_http_server;
struct svc_service;

/*
 * Starts everything and logs the start-up line. env and config are borrowed
 * until stop. with_listen: false for an embedded service, reached only by
 * svc_http_pipe_open().
 *
 * Errors: those of loading leveld/, of ldb_open(), of listening; nothing stays
 * started.
 */
LDB_MUST_CHECK enum ldb_status
svc_service_start(const struct svc_config *config, struct ldb_env *env,
                  bool with_listen, struct ldb_error *err,
                  struct svc_service **out);

struct svc_http_server *svc_service_http(struct svc_service *service);

/*
 * Housekeeping, a few times a second: ends snapshots whose time is over, logs
 * changes of the database's health, and reopens a database whose writes stopped
 * because the disk was full once there is space again.
 */
void svc_service_tick(struct svc_service *service);

/* On HUP: reads tokens and certificates again and opens the file of the access
 * log again, which was moved away. What cannot be read leaves those in force,
 * and is logged. */
void svc_service_reload(struct svc_service *service);

/* Begins the end; svc_http_server_done_fd() tells when requests are over. */
void svc_service_drain(struct svc_service *service);

/*
 * Cuts what is left, closes the database and frees the service. OK: a clean
 * stop.
 */
LDB_MUST_CHECK enum ldb_status svc_service_stop(struct svc_service *service,
                                                struct ldb_error *err);

#endif
