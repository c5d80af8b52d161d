#include "replication/diverged.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/digest.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Of a copy that is not whole yet. */
#define PART_SUFFIX ".part"

/* The journal of entries as a journal of a folder: any number will do. */
#define ENTRIES_PLAIN "000001.log"

/* ---- names ---- */

/* Whether a name is one of such a file, in the spelling that we print. */
static bool parse_name(const char *name, uint64_t *out_rewind)
{
    const char *dash = strchr(name, '-');
    char digits[21];
    uint64_t rewind;
    uint64_t number;

    if (dash == NULL ||
        !ldb_parse_u64(ldb_slice_make(name, (size_t)(dash - name)), &rewind) ||
        rewind == 0)
        return false;
    (void)snprintf(digits, sizeof(digits), "%" PRIu64, rewind);
    if (strlen(digits) != (size_t)(dash - name))
        return false;
    *out_rewind = rewind;
    if (strcmp(dash + 1, REPL_DIVERGED_ENTRIES) == 0)
        return true;
    switch (ldb_file_name_parse(dash + 1, &number)) {
    case LDB_FILE_JOURNAL:
    case LDB_FILE_TABLE:
    case LDB_FILE_TABLE_SST:
        return true;
    case LDB_FILE_FOREIGN:
    case LDB_FILE_MANIFEST:
    case LDB_FILE_CURRENT:
    case LDB_FILE_CURRENT_BAK:
    case LDB_FILE_CURRENT_NEXT:
    case LDB_FILE_DBTMP:
    case LDB_FILE_TMP:
    case LDB_FILE_LOCK:
    case LDB_FILE_LOG:
        break;
    }
    return false;
}

const char *repl_diverged_plain_name(const char *name)
{
    const char *rest;
    uint64_t rewind;

    if (!parse_name(name, &rewind))
        return NULL;
    rest = strchr(name, '-') + 1;
    return strcmp(rest, REPL_DIVERGED_ENTRIES) == 0 ? ENTRIES_PLAIN : rest;
}

static char *path_of(const char *dir, const char *name)
{
    return ldb_mem_printf("%s/" REPL_DIVERGED_FOLDER "/%s", dir, name);
}

static enum ldb_status sync_folder(struct ldb_env *env, const char *dir,
                                   struct ldb_error *err)
{
    char *folder = ldb_mem_printf("%s/" REPL_DIVERGED_FOLDER, dir);
    enum ldb_status s = LDB_NO_MEMORY;

    if (folder == NULL)
        ldb_error_no_memory(err);
    else
        s = env->ops->sync_dir(env, folder, err);
    ldb_mem_free(folder);
    return s;
}

/* ---- the list ---- */

void repl_diverged_release(struct repl_diverged *diverged)
{
    ldb_mem_free(diverged->rewinds);
    ldb_mem_free(diverged->files);
    *diverged = (struct repl_diverged){0};
}

struct listing {
    struct ldb_env *env;
    const char *dir;
    struct repl_diverged found;
};

/* Doubling: the array is full whenever the count is a power of two. */
static bool grow(void **items, size_t count, size_t size)
{
    void *more;

    if ((count & (count - 1)) != 0)
        return true;
    more = ldb_mem_realloc(*items, count == 0 ? 1 : count * 2, size);
    if (more == NULL)
        return false;
    *items = more;
    return true;
}

static enum ldb_status add_file(void *context, const char *name)
{
    struct listing *listing = context;
    struct repl_diverged *found = &listing->found;
    struct repl_diverged_file file = {0};
    void *items = found->files;

    if (!parse_name(name, &file.rewind))
        return LDB_OK;
    if (!grow(&items, found->file_count, sizeof(file)))
        return LDB_NO_MEMORY;
    found->files = items;
    (void)snprintf(file.name, sizeof(file.name), "%s", name);
    found->files[found->file_count++] = file;
    return LDB_OK;
}

static int compare_files(const void *a, const void *b)
{
    const struct repl_diverged_file *left = a;
    const struct repl_diverged_file *right = b;

    if (left->rewind != right->rewind)
        return left->rewind < right->rewind ? -1 : 1;
    return strcmp(left->name, right->name);
}

/* Their lengths; one that was removed since is left out. */
static enum ldb_status measure_files(struct listing *listing,
                                     struct ldb_error *err)
{
    struct repl_diverged *found = &listing->found;
    struct ldb_error why = {0};
    enum ldb_status s = LDB_OK;
    size_t kept = 0;

    for (size_t i = 0; s == LDB_OK && i < found->file_count; i++) {
        struct repl_diverged_file *file = &found->files[i];
        char *path = path_of(listing->dir, file->name);

        s = path == NULL ? ldb_error_no_memory(&why)
                         : listing->env->ops->file_size(listing->env, path,
                                                        &why, &file->bytes);
        ldb_mem_free(path);
        if (s == LDB_OK) {
            found->bytes += file->bytes;
            found->files[kept++] = *file;
        } else if (s == LDB_NOT_FOUND) {
            s = LDB_OK;
        }
    }
    found->file_count = kept;
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static enum ldb_status list_files(struct listing *listing,
                                  struct ldb_error *err)
{
    struct repl_diverged *found = &listing->found;
    struct ldb_error why = {0};
    char *folder = ldb_mem_printf("%s/" REPL_DIVERGED_FOLDER, listing->dir);
    enum ldb_status s;

    if (folder == NULL)
        return ldb_error_no_memory(err);
    s = listing->env->ops->list_dir(listing->env, folder, add_file, listing,
                                    &why);
    ldb_mem_free(folder);
    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK) {
        if (err != NULL)
            *err = why;
        return s;
    }
    if (found->file_count > 1)
        qsort(found->files, found->file_count, sizeof(*found->files),
              compare_files);
    return measure_files(listing, err);
}

bool repl_diverged_after(const struct repl_diverged *diverged, const char *name,
                         size_t *out_index)
{
    struct repl_diverged_file last = {0};
    size_t i = 0;

    if (!parse_name(name, &last.rewind))
        return false;
    (void)snprintf(last.name, sizeof(last.name), "%s", name);
    while (i < diverged->file_count &&
           compare_files(&diverged->files[i], &last) <= 0)
        i++;
    *out_index = i;
    return true;
}

const struct repl_rewind *
repl_diverged_rewind(const struct repl_diverged *diverged, uint64_t id)
{
    for (size_t i = 0; i < diverged->rewind_count; i++) {
        if (diverged->rewinds[i].id == id)
            return &diverged->rewinds[i];
    }
    return NULL;
}

/* ---- leveld/rewinds ---- */

/* "rewind ID EPOCH-NUMBER EPOCH-ID FORK LAST WALL" */
static bool read_rewind(struct ldb_slice *lines, struct repl_rewind *out)
{
    struct repl_words words;

    return repl_words_next(lines, &words) &&
           repl_words_are(&words, "rewind", 7) &&
           ldb_parse_u64(words.word[1], &out->id) &&
           ldb_parse_u64(words.word[2], &out->epoch_number) &&
           repl_parse_hex(words.word[3], 64, &out->epoch_id) &&
           ldb_parse_u64(words.word[4], &out->fork) &&
           ldb_parse_u64(words.word[5], &out->last) &&
           ldb_parse_u64(words.word[6], &out->wall_us);
}

static enum ldb_status add_rewind(struct repl_diverged *found,
                                  const struct repl_rewind *rewind,
                                  struct ldb_error *err)
{
    void *items = found->rewinds;

    if (!grow(&items, found->rewind_count, sizeof(*rewind)))
        return ldb_error_no_memory(err);
    found->rewinds = items;
    found->rewinds[found->rewind_count++] = *rewind;
    return LDB_OK;
}

static enum ldb_status parse(struct ldb_slice lines, struct ldb_error *err,
                             struct repl_diverged *found)
{
    enum ldb_status s = LDB_OK;

    while (s == LDB_OK && lines.len > 0) {
        size_t n = found->rewind_count;
        struct repl_rewind rewind;

        if (!read_rewind(&lines, &rewind) ||
            rewind.id <= (n == 0 ? 0 : found->rewinds[n - 1].id))
            return ldb_error_set(err, LDB_CORRUPTION,
                                 REPL_SIDECAR_FOLDER
                                 "/" REPL_REWINDS_FILE
                                 ": line %zu is not the next rewind",
                                 n + 2);
        s = add_rewind(found, &rewind, err);
    }
    return s;
}

static enum ldb_status load_rewinds(struct listing *listing,
                                    struct ldb_error *err)
{
    struct ldb_buf text = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    struct ldb_error why = {0};
    enum ldb_status s =
        repl_sidecar_read(listing->env, listing->dir, REPL_REWINDS_FILE,
                          REPL_REWINDS_VERSION, &why, &text);

    if (s == LDB_OK)
        s = parse(ldb_slice_of_buf(&text), &why, &listing->found);
    ldb_buf_release(&text);
    if (s == LDB_NOT_FOUND)
        return LDB_OK;
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static enum ldb_status store_rewinds(struct ldb_env *env, const char *dir,
                                     const struct repl_diverged *known,
                                     struct ldb_error *err)
{
    struct ldb_buf lines = LDB_BUF_INIT(REPL_SIDECAR_BYTES_MAX);
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < known->rewind_count; i++) {
        const struct repl_rewind *rewind = &known->rewinds[i];

        s = ldb_buf_printf(&lines,
                           "rewind %" PRIu64 " %" PRIu64 " %016" PRIx64
                           " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n",
                           rewind->id, rewind->epoch_number, rewind->epoch_id,
                           rewind->fork, rewind->last, rewind->wall_us);
    }
    if (s != LDB_OK)
        s = ldb_error_set(err, s,
                          REPL_SIDECAR_FOLDER "/" REPL_REWINDS_FILE ": %s",
                          ldb_status_text(s));
    else
        s = repl_sidecar_write(env, dir, REPL_REWINDS_FILE,
                               REPL_REWINDS_VERSION, ldb_slice_of_buf(&lines),
                               err);
    ldb_buf_release(&lines);
    return s;
}

static bool has_file(const struct repl_diverged *found, uint64_t rewind)
{
    for (size_t i = 0; i < found->file_count; i++) {
        if (found->files[i].rewind == rewind)
            return true;
    }
    return false;
}

/* Leaves out the rewinds of which nothing is left. */
static void drop_empty(struct repl_diverged *found)
{
    size_t kept = 0;

    for (size_t i = 0; i < found->rewind_count; i++) {
        if (has_file(found, found->rewinds[i].id))
            found->rewinds[kept++] = found->rewinds[i];
    }
    found->rewind_count = kept;
}

static enum ldb_status list_all(struct listing *listing, struct ldb_error *err)
{
    enum ldb_status s = load_rewinds(listing, err);

    if (s == LDB_OK)
        s = list_files(listing, err);
    if (s != LDB_OK)
        repl_diverged_release(&listing->found);
    return s;
}

enum ldb_status repl_diverged_list(struct ldb_env *env, const char *dir,
                                   struct ldb_error *err,
                                   struct repl_diverged *out)
{
    struct listing listing = {.env = env, .dir = dir};
    enum ldb_status s = list_all(&listing, err);

    if (s != LDB_OK)
        return s;
    drop_empty(&listing.found);
    *out = listing.found;
    return LDB_OK;
}

/* ---- setting aside ---- */

static uint64_t next_id(const struct repl_diverged *found)
{
    uint64_t id = 0;

    if (found->rewind_count > 0)
        id = found->rewinds[found->rewind_count - 1].id;
    if (found->file_count > 0 &&
        found->files[found->file_count - 1].rewind > id)
        id = found->files[found->file_count - 1].rewind;
    return id + 1;
}

static enum ldb_status make_folder(struct ldb_env *env, const char *dir,
                                   struct ldb_error *err)
{
    char *folder = ldb_mem_printf("%s/" REPL_DIVERGED_FOLDER, dir);
    enum ldb_status s = folder == NULL
                            ? ldb_error_no_memory(err)
                            : ldb_env_create_folder(env, folder, err);

    ldb_mem_free(folder);
    return s;
}

enum ldb_status repl_diverged_begin(struct ldb_env *env, const char *dir,
                                    const struct repl_rewind *rewind,
                                    struct ldb_error *err, uint64_t *out_id)
{
    struct listing listing = {.env = env, .dir = dir};
    struct repl_rewind begun = *rewind;
    enum ldb_status s = list_all(&listing, err);

    if (s != LDB_OK)
        return s;
    begun.id = next_id(&listing.found);
    drop_empty(&listing.found);
    if (listing.found.rewind_count >= REPL_REWINDS_MAX)
        s = ldb_error_set(err, LDB_TOO_LARGE,
                          "%.120s/" REPL_DIVERGED_FOLDER
                          ": %zu rewinds are kept there: remove some",
                          dir, listing.found.rewind_count);
    if (s == LDB_OK)
        s = make_folder(env, dir, err);
    if (s == LDB_OK)
        s = add_rewind(&listing.found, &begun, err);
    if (s == LDB_OK)
        s = store_rewinds(env, dir, &listing.found, err);
    if (s == LDB_OK)
        *out_id = begun.id;
    repl_diverged_release(&listing.found);
    return s;
}

/* Where a second name cannot be had, a copy, which has its name once it is
 * whole. */
static enum ldb_status link_or_copy(struct ldb_env *env, const char *from,
                                    const char *to, const char *part,
                                    struct ldb_error *err)
{
    enum ldb_status s = env->ops->link_file(env, from, to, err);

    if (s != LDB_IO && s != LDB_NOT_SUPPORTED)
        return s;
    s = ldb_env_copy_file(env, from, part, UINT64_MAX, err);
    if (s == LDB_OK)
        s = env->ops->rename_file(env, part, to, err);
    return s;
}

enum ldb_status repl_diverged_take(struct ldb_env *env, const char *dir,
                                   uint64_t rewind, const char *path,
                                   const char *name, struct ldb_error *err)
{
    char *to = ldb_mem_printf("%s/" REPL_DIVERGED_FOLDER "/%" PRIu64 "-%s", dir,
                              rewind, name);
    char *part = to == NULL ? NULL : ldb_mem_printf("%s" PART_SUFFIX, to);
    struct ldb_error why = {0};
    bool is_taken = false;
    enum ldb_status s = LDB_NO_MEMORY;

    if (part == NULL)
        ldb_error_no_memory(&why);
    else
        s = link_or_copy(env, path, to, part, &why);
    if (s == LDB_EXISTS) {
        s = ldb_digest_compare_files(env, path, to, &why, &is_taken);
        if (s == LDB_OK && !is_taken)
            s = ldb_error_set(&why, LDB_EXISTS,
                              "%.160s is there, with other bytes", to);
    }
    if (s == LDB_OK)
        s = sync_folder(env, dir, &why);
    if (s != LDB_OK && err != NULL)
        *err = why;
    ldb_mem_free(to);
    ldb_mem_free(part);
    return s;
}

/* ---- by name ---- */

static enum ldb_status refuse_name(const char *name, struct ldb_error *err)
{
    return ldb_error_set(err, LDB_NOT_FOUND,
                         "no diverged file \"%.60s\" is kept", name);
}

enum ldb_status repl_diverged_open(struct ldb_env *env, const char *dir,
                                   const char *name, struct ldb_error *err,
                                   struct ldb_random_file **out,
                                   uint64_t *out_size)
{
    char *path;
    uint64_t rewind;
    uint64_t size = 0;
    enum ldb_status s;

    if (!parse_name(name, &rewind))
        return refuse_name(name, err);
    path = path_of(dir, name);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->file_size(env, path, err, &size);
    if (s == LDB_OK)
        s = env->ops->open_random(env, path, err, out);
    if (s == LDB_OK)
        *out_size = size;
    ldb_mem_free(path);
    return s == LDB_NOT_FOUND ? refuse_name(name, err) : s;
}

enum ldb_status repl_diverged_remove(struct ldb_env *env, const char *dir,
                                     const char *name, struct ldb_error *err)
{
    char *path;
    uint64_t rewind;
    enum ldb_status s;

    if (!parse_name(name, &rewind))
        return refuse_name(name, err);
    path = path_of(dir, name);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->remove_file(env, path, err);
    if (s == LDB_OK)
        s = sync_folder(env, dir, err);
    ldb_mem_free(path);
    return s == LDB_NOT_FOUND ? refuse_name(name, err) : s;
}
