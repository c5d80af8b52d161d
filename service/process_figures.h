/*
 * What the system says about this process: memory, CPU, open files, threads.
 * Figures that cannot be had are 0.
 *
 * Thread-safety: any thread.
 */
#ifndef SERVICE_PROCESS_FIGURES_H
#define SERVICE_PROCESS_FIGURES_H

#include "api/context.h"

/* Fills in the fields that are not the HTTP server's. */
void svc_process_figures_read(struct api_process_figures *out);

#endif
