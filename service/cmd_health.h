/*
 * `leveld health`: asks a server whether it is fit to serve, for whoever looks
 * after it and has no HTTP client: a container's health check, a unit file.
 *
 *   health URL [--ca FILE] [--cert FILE --key FILE]
 *
 * URL is http://HOST:PORT, for its /readyz, or has a path of its own, such as
 * /healthz. The files are PEM, for a server that speaks TLS: authorities
 * instead of the system's, and what is shown to one that asks for a
 * certificate.
 *
 * Prints what was answered, or on standard error why not. Exit codes: 0: 2xx;
 * 1: anything else, also no answer in time; 2: bad usage.
 *
 * Thread-safety: the main thread.
 */
#ifndef SERVICE_CMD_HEALTH_H
#define SERVICE_CMD_HEALTH_H

/* The arguments after "health". */
int svc_cmd_health(int argc, char *const *argv);

#endif
