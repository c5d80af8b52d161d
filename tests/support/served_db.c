#include "tests/support/served_db.h"

#include <inttypes.h>
#include <stdlib.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

/* Journals that a test's database has at most. */
#define JOURNALS_MAX 4096

/* Bytes of one of its files. */
#define FILE_MAX ((size_t)64 << 20)

/* ---- digests ---- */

/* Of the first size bytes; none when they are gone or it is not to be told. */
static enum ldb_status find_digest(const struct served_db *served,
                                   const char *name, uint64_t size,
                                   struct ldb_error *err, bool *out_has,
                                   struct ldb_digest *out)
{
    struct ldb_digester *digester = NULL;
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    enum ldb_status s;

    *out_has = false;
    if (!served->knows_digests)
        return LDB_OK;
    s = served_db_read(served, name, 0, size, FILE_MAX, err, &bytes);
    if (s == LDB_OK && bytes.len == size) {
        digester = ldb_digester_create();
        if (digester == NULL)
            s = ldb_error_no_memory(err);
    }
    if (digester != NULL) {
        ldb_digester_add(digester, ldb_slice_of_buf(&bytes));
        *out = ldb_digester_result(digester);
        *out_has = true;
    }
    ldb_digester_destroy(digester);
    ldb_buf_release(&bytes);
    return s == LDB_NO_MEMORY ? s : LDB_OK;
}

/* ---- journals ---- */

/* What of journal j is durable, at a position that was read before j was. */
static enum ldb_status fill_entry(const struct served_db *served,
                                  const struct ldb_position *durable,
                                  const struct ldb_retained_journal *j,
                                  struct ldb_error *err,
                                  struct repl_journal_entry *out)
{
    char name[LDB_FILE_NAME_SIZE];

    *out = (struct repl_journal_entry){
        .number = j->number,
        .len = j->len,
        .is_sealed = j->is_sealed,
        .is_archived = j->is_archived,
        .first = j->first,
        .last = j->last,
    };
    if (j->is_sealed) {
        ldb_file_name_print(name, LDB_FILE_JOURNAL, j->number);
        return find_digest(served, name, j->len, err, &out->has_digest,
                           &out->digest);
    }
    out->last = j->first - 1;
    if (durable->journal == j->number) {
        out->len = durable->offset;
        /* Without a record the sequence is that of before, or an epoch's base.
         */
        if (durable->offset > 0 && durable->sequence > out->last)
            out->last = durable->sequence;
    }
    return LDB_OK;
}

/* Those from the number on; the list is the caller's also after a failure. */
static enum ldb_status
list_journals(const struct served_db *served, uint64_t from,
              const struct ldb_position *durable, struct ldb_error *err,
              struct repl_journal_entry **out, size_t *out_count)
{
    struct ldb_retained_journal *all =
        ldb_mem_alloc(JOURNALS_MAX, sizeof(struct ldb_retained_journal));
    enum ldb_status s = LDB_OK;
    size_t n;

    if (all == NULL)
        return ldb_error_no_memory(err);
    n = ldb_retained_list(ldb_db_retained(served->db), 0, all, JOURNALS_MAX);
    assert(n < JOURNALS_MAX);
    *out = ldb_mem_zalloc(n + 1, sizeof(**out));
    if (*out == NULL)
        s = ldb_error_no_memory(err);
    for (size_t i = 0; s == LDB_OK && i < n; i++) {
        if (all[i].number < from)
            continue;
        s = fill_entry(served, durable, &all[i], err, &(*out)[*out_count]);
        *out_count += s == LDB_OK;
    }
    ldb_mem_free(all);
    return s;
}

/* ---- documents ---- */

static void fill_table_options(const struct ldb_options *options,
                               struct repl_table_options *out)
{
    const char *comparator = options->comparator == NULL
                                 ? "leveldb.BytewiseComparator"
                                 : options->comparator->name;

    (void)snprintf(out->comparator, sizeof(out->comparator), "%s", comparator);
    out->bloom_bits = options->bloom_bits;
    out->filter_base_lg = options->filter_base_lg;
    out->block_bytes = options->block_bytes;
    out->block_restart_interval = options->block_restart_interval;
    out->compress = options->compress;
}

static enum ldb_status find_manifest(const struct served_db *served,
                                     struct ldb_error *err,
                                     uint64_t *out_number, uint64_t *out_len)
{
    struct ldb_pinned_files files;
    enum ldb_status s = ldb_pinned_files_take(served->db, err, &files);

    *out_number = files.manifest_number;
    *out_len = files.manifest_len;
    ldb_pinned_files_release(&files);
    return s;
}

enum ldb_status served_db_state(const struct served_db *served,
                                struct ldb_error *err, struct repl_state *out)
{
    struct ldb_env *env = served->options->env;
    enum ldb_status s;

    /* The version before the position before the journals: what the first
     * names, the later ones have. */
    s = find_manifest(served, err, &out->manifest_number, &out->manifest_len);
    if (s != LDB_OK)
        return s;
    out->durable = ldb_durable_position(served->db);
    s = list_journals(served, 0, &out->durable, err, &out->journals,
                      &out->journal_count);
    out->last_sequence = ldb_last_sequence(served->db);
    out->clock_us = env->ops->wall_us(env);
    fill_table_options(served->options, &out->table_options);
    return s;
}

enum ldb_status served_db_heartbeat(const struct served_db *served,
                                    struct ldb_error *err,
                                    struct repl_heartbeat *out)
{
    struct ldb_env *env = served->options->env;
    enum ldb_status s;

    s = find_manifest(served, err, &out->manifest_number, &out->manifest_len);
    out->durable = ldb_durable_position(served->db);
    out->last_sequence = ldb_last_sequence(served->db);
    out->clock_us = env->ops->wall_us(env);
    return s;
}

/* ---- versions ---- */

/* .ldb, unless the folder has it under the older name. */
static enum ldb_status print_table_name(const struct served_db *served,
                                        uint64_t number, struct ldb_error *err,
                                        char out[LDB_FILE_NAME_SIZE])
{
    struct ldb_env *env = served->options->env;
    char *path = ldb_file_path(served->dir, LDB_FILE_TABLE, number);
    enum ldb_file_type type = LDB_FILE_TABLE;
    uint64_t size;

    if (path == NULL)
        return ldb_error_no_memory(err);
    if (env->ops->file_size(env, path, NULL, &size) != LDB_OK)
        type = LDB_FILE_TABLE_SST;
    ldb_file_name_print(out, type, number);
    ldb_mem_free(path);
    return LDB_OK;
}

static int compare_entries(const void *a, const void *b)
{
    const struct repl_file_entry *left = a;
    const struct repl_file_entry *right = b;
    uint64_t x = 0;
    uint64_t y = 0;

    (void)ldb_file_name_parse(left->name, &x);
    (void)ldb_file_name_parse(right->name, &y);
    return (x > y) - (x < y);
}

static enum ldb_status list_tables(const struct served_db *served,
                                   const struct ldb_version *version,
                                   struct ldb_error *err,
                                   struct repl_checkpoint *out)
{
    size_t count = 1; /* room for an empty version */
    enum ldb_status s = LDB_OK;

    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++)
        count += version->levels[l].count;
    out->files = ldb_mem_zalloc(count, sizeof(out->files[0]));
    if (out->files == NULL)
        return ldb_error_no_memory(err);
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++)
        for (size_t i = 0; s == LDB_OK && i < version->levels[l].count; i++) {
            const struct ldb_file_meta *meta = version->levels[l].files[i];
            struct repl_file_entry *entry = &out->files[out->file_count++];

            entry->size = meta->size;
            s = print_table_name(served, meta->number, err, entry->name);
            if (s == LDB_OK)
                s = find_digest(served, entry->name, entry->size, err,
                                &entry->has_digest, &entry->digest);
        }
    qsort(out->files, out->file_count, sizeof(out->files[0]), compare_entries);
    return s;
}

enum ldb_status served_db_hold(const struct served_db *served,
                               struct served_version *version,
                               struct ldb_error *err,
                               struct repl_checkpoint *out)
{
    struct ldb_retained *retained = ldb_db_retained(served->db);
    struct ldb_position durable;
    enum ldb_status s;

    served_db_let_go(served, version);
    /* A flush between the two takes the journal away: once more. */
    for (;;) {
        s = ldb_pinned_files_take(served->db, err, &version->files);
        version->is_held = true;
        if (s != LDB_OK)
            return s;
        if (ldb_retained_pin(retained, &version->pin,
                             version->files.log_number))
            break;
        served_db_let_go(served, version);
    }
    durable = ldb_durable_position(served->db);
    out->manifest_number = version->files.manifest_number;
    out->manifest_len = version->files.manifest_len;
    out->log_number = version->files.log_number;
    out->last_sequence = durable.sequence;
    s = list_tables(served, version->files.version, err, out);
    if (s == LDB_OK)
        s = list_journals(served, out->log_number, &durable, err,
                          &out->journals, &out->journal_count);
    return s;
}

void served_db_let_go(const struct served_db *served,
                      struct served_version *version)
{
    if (!version->is_held)
        return;
    ldb_retained_unpin(ldb_db_retained(served->db), &version->pin);
    ldb_pinned_files_release(&version->files);
    *version = (struct served_version){0};
}

/* ---- files ---- */

/* Whether the version names the table; then its size. */
static bool names_table(const struct ldb_version *version, uint64_t number,
                        uint64_t *out_size)
{
    for (uint32_t l = 0; l < LDB_LEVEL_COUNT; l++)
        for (size_t i = 0; i < version->levels[l].count; i++)
            if (version->levels[l].files[i]->number == number) {
                *out_size = version->levels[l].files[i]->size;
                return true;
            }
    return false;
}

static enum ldb_status find_table(const struct served_db *served,
                                  const struct served_version *held,
                                  size_t count, uint64_t number,
                                  struct ldb_error *err, bool *out_found,
                                  uint64_t *out_size)
{
    struct ldb_pinned_files now;
    enum ldb_status s;

    *out_found = false;
    for (size_t i = 0; !*out_found && i < count; i++)
        *out_found = held[i].is_held &&
                     names_table(held[i].files.version, number, out_size);
    if (*out_found)
        return LDB_OK;
    s = ldb_pinned_files_take(served->db, err, &now);
    if (s == LDB_OK)
        *out_found = names_table(now.version, number, out_size);
    ldb_pinned_files_release(&now);
    return s;
}

static bool find_journal(const struct served_db *served, uint64_t number,
                         struct repl_file_head *out)
{
    struct ldb_position durable = ldb_durable_position(served->db);
    struct ldb_retained_journal journal;

    if (ldb_retained_get(ldb_db_retained(served->db), number, &journal) !=
        LDB_OK)
        return false;
    out->is_sealed = journal.is_sealed;
    if (journal.is_sealed)
        out->size = journal.len;
    else if (durable.journal == number)
        out->size = durable.offset;
    return true;
}

enum ldb_status served_db_head(const struct served_db *served,
                               const struct served_version *held, size_t count,
                               const char *name, struct ldb_error *err,
                               struct repl_file_head *out)
{
    struct repl_file_head head = {0};
    uint64_t number = 0;
    uint64_t manifest = 0;
    enum ldb_file_type type = ldb_file_name_parse(name, &number);
    bool is_found = false;
    enum ldb_status s = LDB_OK;

    if (type == LDB_FILE_JOURNAL) {
        is_found = find_journal(served, number, &head);
    } else if (type == LDB_FILE_TABLE || type == LDB_FILE_TABLE_SST) {
        s = find_table(served, held, count, number, err, &is_found, &head.size);
        head.is_sealed = true;
    } else if (type == LDB_FILE_MANIFEST) {
        s = find_manifest(served, err, &manifest, &head.size);
        is_found = manifest == number;
    }
    if (s == LDB_OK && !is_found)
        s = ldb_error_set(err, LDB_NOT_FOUND, "%s: not there", name);
    if (s == LDB_OK && head.is_sealed)
        s = find_digest(served, name, head.size, err, &head.has_digest,
                        &head.digest);
    if (s == LDB_OK)
        *out = head;
    return s;
}

static enum ldb_status open_file(const struct served_db *served,
                                 const char *name, struct ldb_error *err,
                                 struct ldb_random_file **out)
{
    struct ldb_env *env = served->options->env;
    uint64_t number = 0;
    char *path;
    enum ldb_status s;

    if (ldb_file_name_parse(name, &number) == LDB_FILE_JOURNAL)
        return ldb_retained_open_random(ldb_db_retained(served->db), number,
                                        err, out);
    path = ldb_mem_printf("%s/%s", served->dir, name);
    if (path == NULL)
        return ldb_error_no_memory(err);
    s = env->ops->open_random(env, path, err, out);
    ldb_mem_free(path);
    return s;
}

enum ldb_status served_db_read(const struct served_db *served, const char *name,
                               uint64_t offset, uint64_t size, size_t max,
                               struct ldb_error *err, struct ldb_buf *out)
{
    struct ldb_random_file *file = NULL;
    struct ldb_slice bytes = {0};
    uint8_t *scratch = NULL;
    size_t len = max;
    enum ldb_status s;

    assert(offset <= size);
    ldb_buf_clear(out);
    if (len > size - offset)
        len = (size_t)(size - offset);
    if (len == 0)
        return LDB_OK;
    s = open_file(served, name, err, &file);
    if (s != LDB_OK)
        return s;
    scratch = ldb_mem_alloc(1, len);
    if (scratch == NULL)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = ldb_random_read_at(file, offset, len, scratch, &bytes, err);
    if (s == LDB_OK && ldb_buf_assign(out, bytes) != LDB_OK)
        s = ldb_error_no_memory(err);
    ldb_mem_free(scratch);
    ldb_random_close(file);
    return s;
}
