/*
 * The names CURRENT, CURRENT.bak and CURRENT.N and the order of writing them
 * are goleveldb's (docs/formats.md). At each instant at least one of them is
 * whole and synced and names a MANIFEST that is there:
 *
 *   CURRENT.bak written   CURRENT holds
 *   CURRENT.N written     CURRENT holds; N may be torn, and is then not used
 *   renamed               CURRENT is N, or after a power cut still the old
 *                         one beside a whole CURRENT.N
 *   directory synced      CURRENT is N
 *
 * Three things are done that goleveldb leaves out: a CURRENT that is not sound
 * never overwrites CURRENT.bak; the MANIFEST's directory entry is synced before
 * the rename, for a reader that follows CURRENT alone; and a CURRENT that has
 * the right content already is made durable all the same, since a call before
 * may have failed between rename and sync.
 */
#include "storage/version/current_file.h"

#include <inttypes.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/version/file_names.h"

/* The longest content: a MANIFEST's name and a newline. A longer file is not
 * sound, and no more of it is read. */
#define CONTENT_MAX LDB_FILE_NAME_SIZE

/* Bytes for a CURRENT's content as text. */
struct content {
    char text[LDB_FILE_NAME_SIZE + 1];
    size_t len;
};

static struct ldb_slice content_of(struct content *content, uint64_t number)
{
    ldb_file_name_print(content->text, LDB_FILE_MANIFEST, number);
    content->len = strlen(content->text);
    content->text[content->len++] = '\n';
    content->text[content->len] = '\0';
    return ldb_slice_make(content->text, content->len);
}

/* The MANIFEST's number in a content; false when it is not sound. */
static bool parse_content(struct ldb_slice bytes, uint64_t *out_number)
{
    char name[CONTENT_MAX + 1] = {0};

    if (bytes.len < 2 || bytes.len > CONTENT_MAX ||
        bytes.data[bytes.len - 1] != '\n' ||
        memchr(bytes.data, 0, bytes.len) != NULL)
        return false;
    memcpy(name, bytes.data, bytes.len - 1);
    return ldb_file_name_parse(name, out_number) == LDB_FILE_MANIFEST;
}

/* ---- setting ---- */

/* What a folder's CURRENT, CURRENT.bak or CURRENT.N is good for. */
enum entry_state {
    ENTRY_ABSENT,
    ENTRY_UNSOUND,  /* not a MANIFEST's name */
    ENTRY_DANGLING, /* names a MANIFEST that is not there */
    ENTRY_SOUND,
};

struct entry {
    enum entry_state state;
    uint64_t number; /* of the MANIFEST, when dangling or sound */
};

/* Does the file exist? An error other than "not found" is returned. */
static enum ldb_status exists(struct ldb_env *env, const char *dir,
                              enum ldb_file_type type, uint64_t number,
                              struct ldb_error *err, bool *out)
{
    char *path = ldb_file_path(dir, type, number);
    struct ldb_error found = {0};
    enum ldb_status s;
    uint64_t size;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->file_size(env, path, &found, &size);
    ldb_mem_free(path);
    if (s != LDB_OK && s != LDB_NOT_FOUND) {
        if (err != NULL)
            *err = found;
        return s;
    }
    *out = s == LDB_OK;
    return LDB_OK;
}

/* Reads one of the three files; a bad content is a state, not an error. */
static enum ldb_status read_entry(struct ldb_env *env, const char *dir,
                                  enum ldb_file_type type, uint64_t suffix,
                                  struct ldb_error *err, struct entry *out)
{
    struct ldb_buf bytes = LDB_BUF_INIT(CONTENT_MAX);
    char *path = ldb_file_path(dir, type, suffix);
    struct entry entry = {.state = ENTRY_UNSOUND};
    struct ldb_error found = {0};
    bool is_there = false;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_env_read_file(env, path, &found, &bytes);
    if (s == LDB_NOT_FOUND) {
        entry.state = ENTRY_ABSENT;
        s = LDB_OK;
    } else if (s == LDB_TOO_LARGE) {
        s = LDB_OK;
    } else if (s != LDB_OK) {
        if (err != NULL)
            *err = found;
    } else if (parse_content(ldb_slice_of_buf(&bytes), &entry.number)) {
        s = exists(env, dir, LDB_FILE_MANIFEST, entry.number, err, &is_there);
        entry.state = is_there ? ENTRY_SOUND : ENTRY_DANGLING;
    }
    if (s == LDB_OK)
        *out = entry;
    ldb_mem_free(path);
    ldb_buf_release(&bytes);
    return s;
}

/* Makes CURRENT.bak say number: truncated, written, synced. */
static enum ldb_status write_backup(struct ldb_env *env, const char *dir,
                                    uint64_t number, struct ldb_error *err)
{
    char *path = ldb_file_path(dir, LDB_FILE_CURRENT_BAK, 0);
    struct ldb_writable_file *file = NULL;
    struct content content;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, err, &file);
    if (s != LDB_OK)
        goto out;
    s = ldb_file_append(file, content_of(&content, number), err);
    if (s == LDB_OK)
        s = ldb_file_sync(file, err);
    if (s != LDB_OK) {
        /* The failure before it is the one to tell. */
        (void)ldb_file_close(file, NULL);
        goto out;
    }
    s = ldb_file_close(file, err);
out:
    ldb_mem_free(path);
    return s;
}

/* Writes next and makes it CURRENT. */
static enum ldb_status replace_current(struct ldb_env *env, const char *dir,
                                       uint64_t number, const char *next,
                                       struct ldb_error *err)
{
    char *path = ldb_file_path(dir, LDB_FILE_CURRENT, 0);
    struct content content;
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_env_replace_file(env, dir, path, next, content_of(&content, number),
                             err);
    ldb_mem_free(path);
    return s;
}

enum ldb_status ldb_current_exchange(struct ldb_env *env, const char *dir,
                                     uint64_t number, const char *next,
                                     struct ldb_error *err)
{
    struct entry current;
    enum ldb_status s;

    assert(number <= LDB_FILE_NUMBER_MAX);
    s = read_entry(env, dir, LDB_FILE_CURRENT, 0, err, &current);
    if (s != LDB_OK)
        return s;
    if (current.state == ENTRY_SOUND) {
        if (current.number == number)
            return env->ops->sync_dir(env, dir, err);
        s = write_backup(env, dir, current.number, err);
        if (s != LDB_OK)
            return s;
    }
    /* The MANIFEST's name is there for good before CURRENT can say it. */
    s = env->ops->sync_dir(env, dir, err);
    if (s != LDB_OK)
        return s;
    return replace_current(env, dir, number, next, err);
}

enum ldb_status ldb_current_set(struct ldb_env *env, const char *dir,
                                uint64_t number, struct ldb_error *err)
{
    char *next = ldb_file_path(dir, LDB_FILE_CURRENT_NEXT, number);
    enum ldb_status s;

    if (next == NULL)
        return ldb_error_no_memory(err);
    s = ldb_current_exchange(env, dir, number, next, err);
    ldb_mem_free(next);
    return s;
}

/* ---- reading ---- */

/* What a folder holds, as far as the entry point is concerned. */
struct listing {
    uint64_t *nexts; /* the N of each CURRENT.N */
    size_t next_count;
    bool has_data; /* journals or tables */
};

static enum ldb_status add_next(struct listing *listing, uint64_t number)
{
    uint64_t *grown = ldb_mem_realloc(listing->nexts, listing->next_count + 1,
                                      sizeof(*grown));

    if (grown == NULL)
        return LDB_NO_MEMORY;
    listing->nexts = grown;
    grown[listing->next_count++] = number;
    return LDB_OK;
}

static enum ldb_status note_name(void *context, const char *name)
{
    struct listing *listing = context;
    uint64_t number;

    switch (ldb_file_name_parse(name, &number)) {
    case LDB_FILE_JOURNAL:
    case LDB_FILE_TABLE:
    case LDB_FILE_TABLE_SST:
        listing->has_data = true;
        break;
    case LDB_FILE_CURRENT_NEXT:
        return add_next(listing, number);
    case LDB_FILE_FOREIGN:
    case LDB_FILE_MANIFEST:
    case LDB_FILE_CURRENT:
    case LDB_FILE_CURRENT_BAK:
    case LDB_FILE_DBTMP:
    case LDB_FILE_TMP:
    case LDB_FILE_LOCK:
    case LDB_FILE_LOG:
        break;
    }
    return LDB_OK;
}

static int compare_descending(const void *a, const void *b)
{
    const uint64_t *x = a;
    const uint64_t *y = b;

    return (*x < *y) - (*x > *y);
}

/* The first sound CURRENT.N, the highest N first; else state is not sound. */
static enum ldb_status read_pending(struct ldb_env *env, const char *dir,
                                    struct listing *listing,
                                    struct ldb_error *err, struct entry *out)
{
    struct entry entry = {.state = ENTRY_ABSENT};

    if (listing->next_count > 1)
        qsort(listing->nexts, listing->next_count, sizeof(*listing->nexts),
              compare_descending);
    for (size_t i = 0; i < listing->next_count; i++) {
        enum ldb_status s = read_entry(env, dir, LDB_FILE_CURRENT_NEXT,
                                       listing->nexts[i], err, &entry);

        if (s != LDB_OK)
            return s;
        if (entry.state == ENTRY_SOUND)
            break;
    }
    *out = entry;
    return LDB_OK;
}

/* Nothing names a MANIFEST that is there: no database, or a broken one. */
static enum ldb_status no_entry(const char *dir, const struct listing *listing,
                                const struct entry *current,
                                const struct entry *backup,
                                struct ldb_error *err)
{
    /*
     * Creation makes the first MANIFEST, then CURRENT, then a journal, and a
     * database is never again without one of these: what lacks all but a
     * MANIFEST was cut off in its making and holds no data.
     */
    if (!listing->has_data && current->state == ENTRY_ABSENT &&
        backup->state == ENTRY_ABSENT)
        return ldb_error_set(err, LDB_NOT_FOUND, "%s: no database here", dir);
    switch (current->state) {
    case ENTRY_ABSENT:
    case ENTRY_SOUND:
        break;
    case ENTRY_UNSOUND:
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s/CURRENT: not the name of a MANIFEST", dir);
    case ENTRY_DANGLING:
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s/CURRENT: names MANIFEST-%06" PRIu64
                             ", which is not there",
                             dir, current->number);
    }
    return ldb_error_set(err, LDB_CORRUPTION,
                         "%s: database files without CURRENT", dir);
}

enum ldb_status ldb_current_read(struct ldb_env *env, const char *dir,
                                 struct ldb_error *err, uint64_t *out_number,
                                 bool *out_settled)
{
    struct listing listing = {0};
    struct entry pending;
    struct entry current;
    struct entry backup;
    const struct entry *chosen;
    enum ldb_status s;

    s = env->ops->list_dir(env, dir, note_name, &listing, err);
    if (s == LDB_NO_MEMORY)
        (void)ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = read_pending(env, dir, &listing, err, &pending);
    if (s == LDB_OK)
        s = read_entry(env, dir, LDB_FILE_CURRENT, 0, err, &current);
    if (s == LDB_OK)
        s = read_entry(env, dir, LDB_FILE_CURRENT_BAK, 0, err, &backup);
    if (s != LDB_OK)
        goto out;

    chosen = current.state == ENTRY_SOUND ? &current : &backup;
    if (pending.state == ENTRY_SOUND &&
        (chosen->state != ENTRY_SOUND || pending.number > chosen->number))
        chosen = &pending;
    if (chosen->state != ENTRY_SOUND) {
        s = no_entry(dir, &listing, &current, &backup, err);
        goto out;
    }
    *out_number = chosen->number;
    *out_settled = chosen == &current && listing.next_count == 0;
out:
    ldb_mem_free(listing.nexts);
    return s;
}
