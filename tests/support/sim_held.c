#include "tests/support/sim_held.h"

#include <stdio.h>
#include <stdlib.h>

#include "storage/base/status.h"
#include "storage/version/file_names.h"

static void raise_len(struct sim_held *held, uint64_t number, uint64_t len)
{
    for (size_t i = 0; i < held->count; i++) {
        if (held->items[i].number != number)
            continue;
        if (held->items[i].len < len)
            held->items[i].len = len;
        return;
    }
    if (held->count == held->room) {
        held->room = held->room == 0 ? 16 : held->room * 2;
        held->items = realloc(held->items, held->room * sizeof(*held->items));
        if (held->items == NULL)
            abort();
    }
    held->items[held->count++] = (struct sim_held_journal){number, len};
}

struct folder {
    struct sim_held *held;
    struct ldb_env *env;
    const char *dir;
};

static enum ldb_status visit(void *context, const char *name)
{
    const struct folder *folder = context;
    uint64_t number = 0;
    uint64_t len = 0;
    char path[160];

    if (ldb_file_name_parse(name, &number) != LDB_FILE_JOURNAL)
        return LDB_OK;
    (void)snprintf(path, sizeof(path), "%s/%s", folder->dir, name);
    if (folder->env->ops->file_size(folder->env, path, NULL, &len) == LDB_OK)
        raise_len(folder->held, number, len);
    return LDB_OK;
}

void sim_held_note(struct sim_held *held, struct ldb_env *env, const char *dir)
{
    char archive[128];
    struct folder main_folder = {held, env, dir};
    struct folder archived = {held, env, archive};

    (void)snprintf(archive, sizeof(archive), "%s/leveld/archive", dir);
    LDB_IGNORE(env->ops->list_dir(env, archive, visit, &archived, NULL));
    LDB_IGNORE(env->ops->list_dir(env, dir, visit, &main_folder, NULL));
}

uint64_t sim_held_len(const struct sim_held *held, uint64_t number)
{
    for (size_t i = 0; i < held->count; i++) {
        if (held->items[i].number == number)
            return held->items[i].len;
    }
    return 0;
}

bool sim_held_is_empty(const struct sim_held *held)
{
    for (size_t i = 0; i < held->count; i++) {
        if (held->items[i].len > 0)
            return false;
    }
    return true;
}

void sim_held_forget(struct sim_held *held)
{
    held->count = 0;
    held->is_remade = false;
}

void sim_held_release(struct sim_held *held)
{
    free(held->items);
    *held = (struct sim_held){0};
}
