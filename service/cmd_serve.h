/*
 * `leveld serve`: runs the service until it is told to stop.
 *
 * Thread-safety: the main thread.
 */
#ifndef SERVICE_CMD_SERVE_H
#define SERVICE_CMD_SERVE_H

/* Arguments after "serve". 0: stopped cleanly; 1: failed; 2: bad options. */
int svc_cmd_serve(int argc, char *const *argv);

#endif
