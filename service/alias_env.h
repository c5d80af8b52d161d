/*
 * An environment in which every path is one file of the system's: for what
 * goes by a file's name (storage/describe.h), and is given one that has
 * another. It can be read, no more.
 *
 * Thread-safety: as the system's files.
 */
#ifndef SERVICE_ALIAS_ENV_H
#define SERVICE_ALIAS_ENV_H

#include "storage/base/env.h"

struct svc_alias_env {
    struct ldb_env env;
    const char *path; /* borrowed */
};

struct svc_alias_env svc_alias_env_make(const char *path);

#endif
