/*
 * Tables stand by key, a journal by sequence, and goleveldb refuses one that
 * does not: so a pass over the tables holds the entries of the lowest sequences
 * that fit into memory, writes them, and the next pass goes on above them.
 */
#include "replication/diverged_entries.h"

#include <inttypes.h>
#include <stdlib.h>

#include "replication/diverged.h"
#include "storage/base/digest.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/folder_files.h"
#include "storage/journal/journal_writer.h"
#include "storage/journal/write_batch.h"
#include "storage/table/table_scan.h"

struct entry {
    ldb_sequence sequence;
    enum ldb_kind kind;
    size_t key_len;
    size_t value_len;
    uint8_t *bytes; /* key, value; owned */
};

struct range {
    ldb_sequence first;
    ldb_sequence last;
};

struct search {
    const struct repl_diverged_search *in;
    size_t memory_max;
    struct range *covered; /* ascending */
    size_t covered_count;
    bool is_counting; /* no entry is held */
    /* Of a pass: entries above floor, up to ceiling. */
    ldb_sequence floor;
    ldb_sequence ceiling;
    struct entry *entries;
    size_t count;
    size_t capacity;
    size_t bytes;
    bool has_left; /* some did not fit */
    struct ldb_journal_writer *writer;
    struct repl_diverged_found found;
};

/* ---- what is set aside anyhow ---- */

static enum ldb_status note_covered(struct search *search,
                                    struct ldb_error *err)
{
    const struct repl_diverged_search *in = search->in;

    search->covered =
        ldb_mem_alloc(in->journal_count + 1, sizeof(*search->covered));
    if (search->covered == NULL)
        return ldb_error_no_memory(err);
    for (size_t i = 0; i < in->journal_count; i++) {
        const struct repl_held_journal *journal = &in->journals[i];

        if (journal->first == 0 || journal->is_damaged)
            continue;
        search->covered[search->covered_count++] =
            (struct range){.first = journal->first, .last = journal->last};
    }
    return LDB_OK;
}

static bool is_covered(const struct search *search, ldb_sequence sequence)
{
    size_t low = 0;
    size_t high = search->covered_count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (search->covered[middle].last < sequence)
            low = middle + 1;
        else
            high = middle;
    }
    return low < search->covered_count &&
           search->covered[low].first <= sequence;
}

/* ---- the entries of a pass ---- */

static void release_entries(struct search *search, size_t from)
{
    for (size_t i = from; i < search->count; i++) {
        search->bytes -= search->entries[i].key_len +
                         search->entries[i].value_len + sizeof(struct entry);
        ldb_mem_free(search->entries[i].bytes);
    }
    search->count = from;
}

static int compare_entries(const void *a, const void *b)
{
    const struct entry *left = a;
    const struct entry *right = b;

    return (left->sequence > right->sequence) -
           (left->sequence < right->sequence);
}

static void sort_entries(struct search *search)
{
    if (search->count > 1)
        qsort(search->entries, search->count, sizeof(*search->entries),
              compare_entries);
}

/* Keeps those of the lowest sequences that fit, one at least. */
static void shrink(struct search *search)
{
    size_t keep = 0;
    size_t bytes = 0;

    sort_entries(search);
    while (keep < search->count) {
        const struct entry *entry = &search->entries[keep];

        bytes += entry->key_len + entry->value_len + sizeof(*entry);
        if (keep > 0 && bytes > search->memory_max)
            break;
        keep++;
    }
    if (keep == search->count)
        return;
    release_entries(search, keep);
    search->ceiling = search->entries[keep - 1].sequence;
    search->has_left = true;
}

static bool reserve_entry(struct search *search)
{
    size_t capacity = search->capacity * 2 + 64;
    struct entry *grown;

    if (search->count < search->capacity)
        return true;
    grown = ldb_mem_realloc(search->entries, capacity, sizeof(*grown));
    if (grown == NULL)
        return false;
    search->entries = grown;
    search->capacity = capacity;
    return true;
}

static enum ldb_status hold_entry(struct search *search,
                                  const struct ldb_parsed_key *key,
                                  struct ldb_slice value, struct ldb_error *err)
{
    struct entry entry = {
        .sequence = key->sequence,
        .kind = key->kind,
        .key_len = key->user_key.len,
        .value_len = value.len,
        .bytes = ldb_mem_alloc(key->user_key.len + value.len + 1, 1),
    };

    if (entry.bytes == NULL || !reserve_entry(search)) {
        ldb_mem_free(entry.bytes);
        return ldb_error_no_memory(err);
    }
    if (entry.key_len > 0)
        memcpy(entry.bytes, key->user_key.data, entry.key_len);
    if (value.len > 0)
        memcpy(entry.bytes + entry.key_len, value.data, value.len);
    search->entries[search->count++] = entry;
    search->bytes += entry.key_len + entry.value_len + sizeof(entry);
    /* Twice as much for a moment, so that it is sorted now and then only. */
    if (search->bytes / 2 > search->memory_max)
        shrink(search);
    return LDB_OK;
}

static enum ldb_status see_entry(void *context, uint64_t block_offset,
                                 struct ldb_slice key, struct ldb_slice value,
                                 struct ldb_error *err)
{
    struct search *search = context;
    struct ldb_parsed_key parsed;

    (void)block_offset;
    if (!ldb_internal_key_parse(key, &parsed)) {
        search->found.damages++;
        return LDB_OK;
    }
    if (parsed.sequence <= search->floor || parsed.sequence > search->ceiling ||
        is_covered(search, parsed.sequence))
        return LDB_OK;
    if (search->is_counting) {
        search->found.entries++;
        return LDB_OK;
    }
    return hold_entry(search, &parsed, value, err);
}

static enum ldb_status see_damage(void *context,
                                  const struct ldb_table_damage *damage,
                                  struct ldb_error *err)
{
    struct search *search = context;

    (void)damage;
    (void)err;
    search->found.damages++;
    return LDB_OK;
}

static enum ldb_status scan_table(struct search *search, uint64_t number,
                                  struct ldb_error *err)
{
    const struct ldb_table_options options = {.comparator =
                                                  search->in->comparator};
    const struct ldb_table_visitor visitor = {
        .context = search, .on_entry = see_entry, .on_damage = see_damage};
    struct ldb_random_file *file = NULL;
    char name[LDB_FILE_NAME_SIZE];
    uint64_t size = 0;
    enum ldb_status s = ldb_folder_open_table(search->in->env, search->in->dir,
                                              number, err, name, &size, &file);

    if (s != LDB_OK)
        return s;
    s = ldb_table_scan(file, size, name, &options, &visitor, err, NULL);
    ldb_random_close(file);
    return s;
}

/* Damages are those of one pass; it is the same each time. */
static enum ldb_status scan_tables(struct search *search, struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    search->ceiling = LDB_SEQUENCE_MAX;
    search->has_left = false;
    search->found.damages = 0;
    for (size_t i = 0; s == LDB_OK && i < search->in->table_count; i++)
        s = scan_table(search, search->in->tables[i], err);
    if (s == LDB_OK && search->bytes > search->memory_max)
        shrink(search);
    sort_entries(search);
    return s;
}

/* ---- writing ---- */

static enum ldb_status write_entry(struct search *search,
                                   const struct entry *entry,
                                   struct ldb_error *err)
{
    const struct ldb_slice key = ldb_slice_make(entry->bytes, entry->key_len);
    const struct ldb_slice value =
        ldb_slice_make(entry->bytes + entry->key_len, entry->value_len);
    struct ldb_batch batch;
    struct ldb_slice record;
    enum ldb_status s;

    ldb_batch_init(&batch, SIZE_MAX);
    s = entry->kind == LDB_KIND_PUT ? ldb_batch_put(&batch, key, value)
                                    : ldb_batch_delete(&batch, key);
    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK) {
        ldb_batch_set_sequence(&batch, entry->sequence);
        record = ldb_slice_of_buf(&batch.rep);
        s = ldb_journal_writer_add(search->writer, &record, 1, err);
    }
    ldb_batch_release(&batch);
    return s;
}

/* Two tables may have an entry both, where one is left of a compaction that was
 * cut off: it is written once. */
static enum ldb_status write_entries(struct search *search,
                                     struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; s == LDB_OK && i < search->count; i++) {
        const struct entry *entry = &search->entries[i];

        if (entry->sequence == search->floor)
            continue;
        s = write_entry(search, entry, err);
        search->floor = entry->sequence;
        search->found.entries++;
    }
    release_entries(search, 0);
    return s;
}

static enum ldb_status open_writer(struct search *search, const char *path,
                                   struct ldb_error *err)
{
    struct ldb_env *env = search->in->env;
    struct ldb_writable_file *file = NULL;
    enum ldb_status s =
        env->ops->open_writable(env, path, LDB_OPEN_TRUNCATE, err, &file);

    if (s == LDB_OK)
        s = ldb_journal_writer_create(file, 0, err, &search->writer);
    return s;
}

/* The entries of this pass, and those of as many more as it takes. */
static enum ldb_status write_passes(struct search *search,
                                    struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (;;) {
        bool has_left = search->has_left;

        s = write_entries(search, err);
        if (s == LDB_OK && has_left)
            s = scan_tables(search, err);
        if (s != LDB_OK || !has_left)
            return s;
    }
}

static enum ldb_status close_file(struct search *search, struct ldb_error *err)
{
    enum ldb_status s = ldb_journal_writer_flush(search->writer, err);
    enum ldb_status closed;

    if (s == LDB_OK)
        s = ldb_journal_writer_sync(search->writer, err);
    closed = ldb_journal_writer_close(search->writer, s == LDB_OK ? err : NULL);
    search->writer = NULL;
    return s == LDB_OK ? closed : s;
}

/* The part gets the name, unless another file has it; by that one, of the same
 * bytes, it is replaced. */
static enum ldb_status name_file(struct search *search, const char *part,
                                 const char *path, struct ldb_error *err)
{
    struct ldb_env *env = search->in->env;
    struct ldb_digest digest;
    struct ldb_digest other;
    struct ldb_error why = {0};
    uint64_t size = 0;
    enum ldb_status s = ldb_digest_file(env, path, &why, &other, &size);

    if (s == LDB_OK) {
        s = ldb_digest_file(env, part, &why, &digest, &size);
        if (s == LDB_OK && !ldb_digest_equal(&digest, &other))
            s = ldb_error_set(&why, LDB_EXISTS,
                              "%.160s is there, with other bytes", path);
    } else if (s == LDB_NOT_FOUND) {
        s = LDB_OK;
    }
    if (s == LDB_OK)
        s = env->ops->rename_file(env, part, path, &why);
    if (s != LDB_OK && err != NULL)
        *err = why;
    return s;
}

static enum ldb_status finish_file(struct search *search, const char *part,
                                   const char *path, struct ldb_error *err)
{
    struct ldb_env *env = search->in->env;
    char *folder = ldb_mem_printf("%s/" REPL_DIVERGED_FOLDER, search->in->dir);
    enum ldb_status s = close_file(search, err);

    if (s == LDB_OK && folder == NULL)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = name_file(search, part, path, err);
    if (s == LDB_OK)
        s = env->ops->sync_dir(env, folder, err);
    ldb_mem_free(folder);
    return s;
}

static enum ldb_status write_file(struct search *search, uint64_t rewind,
                                  struct ldb_error *err)
{
    struct ldb_env *env = search->in->env;
    char *path = ldb_mem_printf("%s/" REPL_DIVERGED_FOLDER "/%" PRIu64
                                "-" REPL_DIVERGED_ENTRIES,
                                search->in->dir, rewind);
    char *part = path == NULL ? NULL : ldb_mem_printf("%s.part", path);
    enum ldb_status s = part == NULL ? ldb_error_no_memory(err)
                                     : open_writer(search, part, err);

    if (s == LDB_OK)
        s = write_passes(search, err);
    if (s == LDB_OK)
        s = finish_file(search, part, path, err);
    else if (search->writer != NULL) /* the failure before is the one to tell */
        LDB_IGNORE(ldb_journal_writer_close(search->writer, NULL));
    if (s != LDB_OK && part != NULL) /* what stays is a part, which is no file
                                        of ours */
        (void)env->ops->remove_file(env, part, NULL);
    ldb_mem_free(path);
    ldb_mem_free(part);
    return s;
}

/* ---- both ---- */

static enum ldb_status begin(struct search *search,
                             const struct repl_diverged_search *in,
                             struct ldb_error *err)
{
    *search = (struct search){
        .in = in,
        .memory_max =
            in->memory_max == 0 ? REPL_DIVERGED_MEMORY : in->memory_max,
        .floor = in->fork,
    };
    return note_covered(search, err);
}

static void end(struct search *search)
{
    release_entries(search, 0);
    ldb_mem_free(search->entries);
    ldb_mem_free(search->covered);
}

enum ldb_status
repl_diverged_count_entries(const struct repl_diverged_search *in,
                            struct ldb_error *err,
                            struct repl_diverged_found *out)
{
    struct search search;
    enum ldb_status s = begin(&search, in, err);

    search.is_counting = true;
    if (s == LDB_OK)
        s = scan_tables(&search, err);
    if (s == LDB_OK)
        *out = search.found;
    end(&search);
    return s;
}

enum ldb_status
repl_diverged_write_entries(const struct repl_diverged_search *in,
                            uint64_t rewind, struct ldb_error *err,
                            struct repl_diverged_found *out)
{
    struct search search;
    enum ldb_status s = begin(&search, in, err);

    if (s == LDB_OK)
        s = scan_tables(&search, err);
    if (s == LDB_OK && search.count > 0)
        s = write_file(&search, rewind, err);
    if (s == LDB_OK)
        *out = search.found;
    end(&search);
    return s;
}
