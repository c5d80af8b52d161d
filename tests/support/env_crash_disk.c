#include <stdio.h>
#include <stdlib.h>

#include "storage/base/status.h"
#include "tests/support/bytes.h"
#include "tests/support/env_crash_record.h"

/* What a disk writes whole, and what a system does. */
#define SECTOR 512u
#define PAGE   4096u
/* How far ahead ENV_CRASH_JOURNAL_REMOVED_EARLY looks for the removal. */
#define LOOK_AHEAD 40

struct file {
    bool is_dir;
    bool is_mapped;        /* was stored into */
    const char *name;      /* the first it got; NULL: none yet */
    struct ldb_buf stable; /* as of its last sync */
    size_t *pending;       /* events since, in order */
    size_t pending_count;
};

struct env_crash_disk {
    const struct env_crash_record *record;
    enum env_crash_mistake mistake;
    size_t next; /* event */
    struct file *files;
    size_t file_count;
    struct env_crash_names names; /* durable ones */
    size_t *pending;              /* changes of names since, in order */
    size_t pending_count;
    bool *moved; /* by event: it was applied before its turn */
};

static void *allocate(size_t size)
{
    void *block = calloc(1, size == 0 ? 1 : size);

    if (block == NULL)
        abort();
    return block;
}

static void push(size_t **numbers, size_t *count, size_t number)
{
    size_t *more = realloc(*numbers, (*count + 1) * sizeof(*more));

    if (more == NULL)
        abort();
    more[(*count)++] = number;
    *numbers = more;
}

static struct file *file_of(const struct env_crash_disk *disk, uint32_t inode)
{
    assert(disk->files != NULL && inode < disk->file_count);
    return &disk->files[inode];
}

static bool ends_in(const char *text, const char *end)
{
    size_t len = text == NULL ? 0 : strlen(text);

    return len >= strlen(end) && strcmp(text + len - strlen(end), end) == 0;
}

static bool is_manifest(const char *path)
{
    return path != NULL && strstr(path, "/MANIFEST-") != NULL;
}

/* Whether path is right below dir. */
static bool is_in(const char *path, const char *dir)
{
    size_t len = strcmp(dir, "/") == 0 ? 0 : strlen(dir);

    return strncmp(path, dir, len) == 0 && path[len] == '/' &&
           strchr(path + len + 1, '/') == NULL;
}

/* ---- bytes ---- */

/* Those bytes of a store that lie in [from, to) of the file; what was cut off
 * meanwhile they do not bring back. */
static void store(struct ldb_buf *bytes, const struct env_crash_event *event,
                  uint64_t from, uint64_t to)
{
    uint64_t begin = event->offset > from ? event->offset : from;
    uint64_t end = event->offset + event->len;

    end = end < to ? end : to;
    end = end < bytes->len ? end : bytes->len;
    if (begin < end)
        memcpy(bytes->data + begin, event->bytes + (begin - event->offset),
               (size_t)(end - begin));
}

/* The first n bytes (of an append or store) or all of the event. */
static void apply(struct ldb_buf *bytes, const struct env_crash_event *event,
                  size_t n)
{
    if (event->kind == ENV_CRASH_EVENT_TRUNCATE)
        bytes->len = (size_t)event->len;
    else if (event->kind == ENV_CRASH_EVENT_STORE)
        store(bytes, event, 0, event->offset + n);
    else if (ldb_buf_append(bytes, ldb_slice_make(event->bytes, n)) != LDB_OK)
        abort();
}

/* Everything pending applied; out_low: the shortest that it was on the way. */
static void make_live(const struct env_crash_disk *disk,
                      const struct file *file, struct ldb_buf *out,
                      size_t *out_low)
{
    *out_low = out->len;
    for (size_t i = 0; i < file->pending_count; i++) {
        const struct env_crash_event *event =
            &disk->record->events[file->pending[i]];

        apply(out, event, (size_t)event->len);
        if (out->len < *out_low)
            *out_low = out->len;
        if (event->kind == ENV_CRASH_EVENT_STORE && event->offset < *out_low)
            *out_low = (size_t)event->offset;
    }
}

static void make_torn(const struct env_crash_disk *disk,
                      const struct file *file, uint64_t *seed,
                      struct ldb_buf *out)
{
    size_t whole = (size_t)(bytes_next(seed) % (file->pending_count + 1));
    size_t part;
    size_t at;

    for (size_t i = 0; i < whole; i++) {
        const struct env_crash_event *event =
            &disk->record->events[file->pending[i]];

        apply(out, event, (size_t)event->len);
    }
    if (whole == file->pending_count)
        return;
    const struct env_crash_event *event =
        &disk->record->events[file->pending[whole]];
    if (event->kind == ENV_CRASH_EVENT_TRUNCATE)
        return;
    part = (size_t)(bytes_next(seed) % (event->len + 1));
    at =
        event->kind == ENV_CRASH_EVENT_STORE ? (size_t)event->offset : out->len;
    if (bytes_next(seed) % 3 == 0 && part > (at + part) % SECTOR)
        part -= (at + part) % SECTOR;
    apply(out, event, part);
}

/* One page, or sector: the stores into it up to some moment, which may be in
 * the middle of one. */
static void make_page(const struct env_crash_disk *disk,
                      const struct file *file, uint64_t from, uint64_t to,
                      uint64_t *seed, struct ldb_buf *out)
{
    size_t count = (size_t)(bytes_next(seed) % (file->pending_count + 1));

    for (size_t i = 0; i < file->pending_count && i <= count; i++) {
        const struct env_crash_event *event =
            &disk->record->events[file->pending[i]];
        uint64_t end = to;

        if (event->kind != ENV_CRASH_EVENT_STORE)
            continue;
        if (i == count)
            end = event->offset + bytes_next(seed) % (event->len + 1);
        store(out, event, from, end < to ? end : to);
    }
}

/* What is done to a mapped file beside stores comes after a sync of them. */
static void make_pages(const struct env_crash_disk *disk,
                       const struct file *file, uint64_t *seed,
                       struct ldb_buf *out)
{
    uint64_t unit = bytes_next(seed) % 3 == 0 ? SECTOR : PAGE;
    size_t others = (size_t)(bytes_next(seed) % (file->pending_count + 1));

    if (!file->is_mapped) {
        make_torn(disk, file, seed, out);
        return;
    }
    for (uint64_t from = 0; from < out->len; from += unit)
        make_page(disk, file, from, from + unit, seed, out);
    for (size_t i = 0; i < others; i++) {
        const struct env_crash_event *event =
            &disk->record->events[file->pending[i]];

        if (event->kind != ENV_CRASH_EVENT_STORE)
            apply(out, event, (size_t)event->len);
    }
}

static void make_garbled(const struct env_crash_disk *disk,
                         const struct file *file, uint64_t *seed,
                         struct ldb_buf *out)
{
    bool may_be_garbage = !is_manifest(file->name) && bytes_next(seed) % 2 == 0;
    size_t low;
    size_t cut;

    make_live(disk, file, out, &low);
    if (out->len == low)
        return;
    cut = low + (size_t)(bytes_next(seed) % (out->len - low + 1));
    if (bytes_next(seed) % 2 == 0 && cut - low > cut % SECTOR)
        cut -= cut % SECTOR;
    out->len = cut + (size_t)(bytes_next(seed) % (out->len - cut + 1));
    while (cut < out->len) {
        size_t end = cut - cut % SECTOR + SECTOR;

        if (end > out->len)
            end = out->len;
        if (may_be_garbage && bytes_next(seed) % 2 == 0)
            bytes_fill(seed, out->data + cut, end - cut);
        else
            memset(out->data + cut, 0, end - cut);
        cut = end;
    }
}

static void make_file(const struct env_crash_disk *disk, uint32_t inode,
                      enum env_crash_keep keep, uint64_t seed,
                      struct ldb_buf *out)
{
    const struct file *file = file_of(disk, inode);
    size_t low;

    seed += inode * UINT64_C(0x9e3779b97f4a7c15);
    if (ldb_buf_append(out, ldb_slice_of_buf(&file->stable)) != LDB_OK)
        abort();
    switch (keep) {
    case ENV_CRASH_KEEP_NONE:
    case ENV_CRASH_KEEP_NAMES:
    case ENV_CRASH_KEEP_COUNT:
        break;
    case ENV_CRASH_KEEP_BYTES:
    case ENV_CRASH_KEEP_ALL:
        make_live(disk, file, out, &low);
        break;
    case ENV_CRASH_KEEP_TORN:
        make_torn(disk, file, &seed, out);
        break;
    case ENV_CRASH_KEEP_ZEROS:
        make_live(disk, file, out, &low);
        if (out->len > low)
            memset(out->data + low, 0, out->len - low);
        break;
    case ENV_CRASH_KEEP_GARBLED:
        if (file->is_mapped) /* its length stays, its pages are old or new */
            make_pages(disk, file, &seed, out);
        else
            make_garbled(disk, file, &seed, out);
        break;
    case ENV_CRASH_KEEP_PAGES:
        make_pages(disk, file, &seed, out);
        break;
    }
    while (disk->mistake == ENV_CRASH_WINDOW_NOT_SYNCED && file->is_mapped &&
           out->len > 0 && out->data[out->len - 1] == 0)
        out->len--;
}

/* ---- names ---- */

static void copy_names(const struct env_crash_names *from,
                       struct env_crash_names *to)
{
    for (size_t i = 0; i < from->count; i++) {
        const struct env_crash_event event = {.kind = ENV_CRASH_EVENT_NAMES,
                                              .set_name = from->items[i].path,
                                              .inode = from->items[i].inode};

        env_crash_names_change(to, &event);
    }
}

/* By chance a prefix of the changes, or any of them, or all. */
static void make_names(const struct env_crash_disk *disk,
                       enum env_crash_keep keep, uint64_t seed,
                       struct env_crash_names *out)
{
    size_t count = disk->pending_count;
    bool is_any = false;

    copy_names(&disk->names, out);
    if (keep == ENV_CRASH_KEEP_NONE || keep == ENV_CRASH_KEEP_BYTES)
        return;
    if (keep == ENV_CRASH_KEEP_TORN || keep == ENV_CRASH_KEEP_GARBLED ||
        keep == ENV_CRASH_KEEP_PAGES) {
        uint64_t way = bytes_next(&seed) % 3;

        is_any = way == 0;
        if (way == 1)
            count = (size_t)(bytes_next(&seed) % (count + 1));
    }
    for (size_t i = 0; i < count; i++)
        if (!is_any || bytes_next(&seed) % 2 == 0)
            env_crash_names_change(out,
                                   &disk->record->events[disk->pending[i]]);
}

/* Whether the directory that path is in has a name itself. */
static bool is_reachable(const struct env_crash_names *names, const char *path)
{
    char dir[512];

    (void)snprintf(dir, sizeof(dir), "%s", path);
    *strrchr(dir, '/') = '\0';
    return dir[0] == '\0' || env_crash_names_find(names, dir) != NULL;
}

/* ---- a state ---- */

static uint64_t hash_bytes(uint64_t hash, const void *bytes, size_t len)
{
    const uint8_t *p = bytes;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3); /* FNV-1a */
    return hash;
}

static void put_file(struct ldb_env *env, const char *path,
                     struct ldb_slice bytes)
{
    struct ldb_writable_file *file = NULL;

    if (env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, NULL, &file) !=
            LDB_OK ||
        ldb_file_append(file, bytes, NULL) != LDB_OK ||
        ldb_file_close(file, NULL) != LDB_OK)
        abort();
}

/* The order of directories and what is in them. */
static int compare_paths(const void *a, const void *b)
{
    return strcmp(((const struct env_crash_name *)a)->path,
                  ((const struct env_crash_name *)b)->path);
}

struct ldb_env *env_crash_disk_state(const struct env_crash_disk *disk,
                                     enum env_crash_keep keep, uint64_t seed,
                                     uint64_t *out_hash)
{
    struct env_crash_names names = {0};
    struct ldb_env *env = NULL;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);

    if (ldb_env_memory_create(NULL, &env) != LDB_OK)
        abort();
    make_names(disk, keep, seed, &names);
    if (names.count > 1)
        qsort(names.items, names.count, sizeof(*names.items), compare_paths);
    for (size_t i = 0; i < names.count; i++) {
        const char *path = names.items[i].path;
        struct ldb_buf bytes = LDB_BUF_INIT(SIZE_MAX);

        if (!is_reachable(&names, path))
            continue;
        hash = hash_bytes(hash, path, strlen(path) + 1);
        if (file_of(disk, names.items[i].inode)->is_dir) {
            if (env->ops->create_dir(env, path, NULL) != LDB_OK)
                abort();
            continue;
        }
        make_file(disk, names.items[i].inode, keep, seed, &bytes);
        hash = hash_bytes(hash, &bytes.len, sizeof(bytes.len));
        hash = hash_bytes(hash, bytes.data, bytes.len);
        put_file(env, path, ldb_slice_of_buf(&bytes));
        ldb_buf_release(&bytes);
    }
    env_crash_names_release(&names);
    *out_hash = hash;
    return env;
}

const char *env_crash_keep_text(enum env_crash_keep keep)
{
    static const char *const texts[] = {
#define ENV_CRASH_TEXT(code, text) text,
        ENV_CRASH_KEEP_LIST(ENV_CRASH_TEXT)
#undef ENV_CRASH_TEXT
    };

    return texts[keep];
}

/* ---- going on ---- */

static void on_inode(struct env_crash_disk *disk,
                     const struct env_crash_event *event)
{
    assert(event->inode == disk->file_count);
    disk->files =
        realloc(disk->files, (disk->file_count + 1) * sizeof(*disk->files));
    if (disk->files == NULL)
        abort();
    disk->files[disk->file_count++] = (struct file){
        .is_dir = event->is_dir, .stable = LDB_BUF_INIT(SIZE_MAX)};
}

/* A journal's removal that comes soon after this append to a MANIFEST, and
 * before the next, comes already now. */
static void remove_early(struct env_crash_disk *disk, size_t append)
{
    const struct env_crash_record *record = disk->record;

    for (size_t i = append + 1; i < record->count && i < append + LOOK_AHEAD;
         i++) {
        const struct env_crash_event *event = &record->events[i];

        if (event->kind == ENV_CRASH_EVENT_APPEND &&
            event->inode == record->events[append].inode)
            return;
        if (event->kind != ENV_CRASH_EVENT_NAMES || event->set_name != NULL ||
            !ends_in(event->remove_name, ".log"))
            continue;
        push(&disk->pending, &disk->pending_count, i);
        disk->moved[i] = true;
        return;
    }
}

static void on_sync(struct env_crash_disk *disk, size_t index)
{
    struct file *file = file_of(disk, disk->record->events[index].inode);
    enum env_crash_mistake mistake = disk->mistake;
    size_t low;

    if ((mistake == ENV_CRASH_JOURNAL_NOT_SYNCED &&
         ends_in(file->name, ".log")) ||
        (mistake == ENV_CRASH_TABLE_NOT_SYNCED &&
         ends_in(file->name, ".ldb")) ||
        (mistake == ENV_CRASH_MANIFEST_NOT_SYNCED && is_manifest(file->name)))
        return;
    make_live(disk, file, &file->stable, &low);
    file->pending_count = 0;
}

static void on_sync_dir(struct env_crash_disk *disk, const char *dir)
{
    size_t kept = 0;

    if (disk->mistake == ENV_CRASH_DIRECTORY_NOT_SYNCED &&
        strcmp(dir, "/") != 0)
        return;
    for (size_t i = 0; i < disk->pending_count; i++) {
        const struct env_crash_event *event =
            &disk->record->events[disk->pending[i]];
        const char *name =
            event->set_name == NULL ? event->remove_name : event->set_name;

        if (is_in(name, dir))
            env_crash_names_change(&disk->names, event);
        else
            disk->pending[kept++] = disk->pending[i];
    }
    disk->pending_count = kept;
}

static void on_event(struct env_crash_disk *disk, size_t index)
{
    const struct env_crash_event *event = &disk->record->events[index];
    struct file *file;

    switch (event->kind) {
    case ENV_CRASH_EVENT_INODE:
        on_inode(disk, event);
        break;
    case ENV_CRASH_EVENT_APPEND:
    case ENV_CRASH_EVENT_STORE:
    case ENV_CRASH_EVENT_TRUNCATE:
        file = file_of(disk, event->inode);
        file->is_mapped |= event->kind == ENV_CRASH_EVENT_STORE;
        push(&file->pending, &file->pending_count, index);
        if (disk->mistake == ENV_CRASH_JOURNAL_REMOVED_EARLY &&
            is_manifest(file->name))
            remove_early(disk, index);
        break;
    case ENV_CRASH_EVENT_SYNC:
        on_sync(disk, index);
        break;
    case ENV_CRASH_EVENT_NAMES:
        if (disk->moved[index])
            break;
        push(&disk->pending, &disk->pending_count, index);
        if (event->set_name == NULL)
            break;
        file = file_of(disk, event->inode);
        if (file->name == NULL)
            file->name = event->set_name;
        break;
    case ENV_CRASH_EVENT_SYNC_DIR:
        on_sync_dir(disk, event->set_name);
        break;
    }
}

void env_crash_disk_advance(struct env_crash_disk *disk, uint64_t position)
{
    size_t end = disk->record->adopted + (size_t)position;

    assert(end <= disk->record->count && end >= disk->next);
    assert(disk->moved != NULL);
    while (disk->next < end)
        on_event(disk, disk->next++);
}

struct env_crash_disk *env_crash_disk_create(struct env_crash *crash,
                                             enum env_crash_mistake mistake)
{
    struct env_crash_disk *disk = allocate(sizeof(*disk));

    disk->record = env_crash_record_of(crash);
    disk->mistake = mistake;
    disk->moved = allocate(disk->record->count * sizeof(*disk->moved));
    env_crash_disk_advance(disk, 0);
    return disk;
}

void env_crash_disk_destroy(struct env_crash_disk *disk)
{
    if (disk == NULL)
        return;
    for (size_t i = 0; i < disk->file_count; i++) {
        ldb_buf_release(&disk->files[i].stable);
        free(disk->files[i].pending);
    }
    free(disk->files);
    free(disk->pending);
    free(disk->moved);
    env_crash_names_release(&disk->names);
    free(disk);
}
