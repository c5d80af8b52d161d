/*
 * What the configuration says of the engine, as the engine's options.
 *
 * Thread-safety: a function of its arguments.
 */
#ifndef SERVICE_ENGINE_OPTIONS_H
#define SERVICE_ENGINE_OPTIONS_H

#include "service/config.h"
#include "storage/include/ldb.h"

/* env is borrowed by what is opened with them. on_durable is left NULL. */
void svc_engine_options(const struct svc_config *config, struct ldb_env *env,
                        struct ldb_options *out);

#endif
