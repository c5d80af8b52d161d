#include "tests/support/sidecar_env.h"

#include "replication/sidecar.h"
#include "tests/support/assert_ldb.h"

struct ldb_env *sidecar_env_create(void)
{
    struct ldb_env *env = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_memory_create(&err, &env), &err);
    assert_ldb_ok(env->ops->create_dir(env, SIDECAR_ENV_DIR, &err), &err);
    assert_ldb_ok(repl_sidecar_make_folder(env, SIDECAR_ENV_DIR, &err), &err);
    return env;
}
