#include "replication/scrub_file.h"

#include <errno.h>
#include <inttypes.h>

#include "replication/digest_file.h"
#include "replication/digest_index.h"
#include "replication/table_check.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/journal/journal_reader.h"
#include "storage/journal/write_batch.h"
#include "storage/pinned_files.h"
#include "storage/retained.h"

const char *repl_scrub_kind_text(enum repl_scrub_kind kind)
{
    switch (kind) {
    case REPL_SCRUB_SOUND:
        return "sound";
    case REPL_SCRUB_MISSING:
        return "missing";
    case REPL_SCRUB_SIZE:
        return "size";
    case REPL_SCRUB_UNREADABLE:
        return "unreadable";
    case REPL_SCRUB_CHECKSUM:
        return "checksum";
    case REPL_SCRUB_DIGEST:
        return "digest";
    }
    return "";
}

/* ---- all its bytes ---- */

struct pass {
    const struct repl_scrub_reader *reader;
    uint64_t left; /* bytes that were not asked for yet */
};

static bool read_on(void *context)
{
    struct pass *pass = context;
    uint64_t bytes =
        pass->left < REPL_DIGEST_READ_SIZE ? pass->left : REPL_DIGEST_READ_SIZE;

    pass->left -= bytes;
    return pass->reader->goes_on(pass->reader->context, bytes);
}

/* The same bytes again. */
static bool look_on(void *context)
{
    const struct pass *pass = context;

    return pass->reader->goes_on(pass->reader->context, 0);
}

/* The digest, or why there is none. */
static enum ldb_status read_bytes(struct pass *pass,
                                  const struct repl_digest_file *file,
                                  struct ldb_error *err,
                                  struct repl_scrub_verdict *out)
{
    const struct repl_scrub_reader *reader = pass->reader;
    const struct repl_digest_reading reading = {
        .goes_on = read_on, .context = pass, .scratch = reader->scratch};
    enum ldb_status s = repl_digest_file_read(
        reader->env, reader->dir, file, &reading, &out->why, &out->digest);

    out->has_digest = s == LDB_OK;
    if (s == LDB_NOT_FOUND) {
        out->kind = REPL_SCRUB_MISSING;
    } else if (s == LDB_CORRUPTION) {
        out->kind = REPL_SCRUB_SIZE;
    } else if (s == LDB_IO && out->why.sys_errno == EIO) {
        out->kind =
            REPL_SCRUB_UNREADABLE; /* not one for want of a descriptor */
    } else if (s != LDB_OK) {
        if (err != NULL)
            *err = out->why;
        return s;
    }
    return LDB_OK;
}

/* ---- a table ---- */

/* Where table number lies: DIR/NNNNNN.ldb, or else .sst, as a fresh string.
 * NOT_FOUND: neither is there; out_name is then the first. */
static enum ldb_status find_table(struct ldb_env *env, const char *dir,
                                  uint64_t number, struct ldb_error *err,
                                  char out_name[LDB_FILE_NAME_SIZE],
                                  char **out_path)
{
    static const enum ldb_file_type types[] = {LDB_FILE_TABLE,
                                               LDB_FILE_TABLE_SST};
    uint64_t size = 0;

    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char *path = ldb_file_path(dir, types[i], number);
        enum ldb_status s;

        if (path == NULL)
            return ldb_error_no_memory(err);
        s = env->ops->file_size(env, path, err, &size);
        if (s == LDB_OK) {
            ldb_file_name_print(out_name, types[i], number);
            *out_path = path;
            return LDB_OK;
        }
        ldb_mem_free(path);
        if (s != LDB_NOT_FOUND)
            return s;
    }
    ldb_file_name_print(out_name, LDB_FILE_TABLE, number);
    return LDB_NOT_FOUND;
}

/* Of one that can be read from its begin to its end. */
static enum ldb_status look_at_blocks(struct pass *pass, const char *path,
                                      const struct repl_digest_file *file,
                                      struct ldb_error *err,
                                      struct repl_scrub_verdict *out)
{
    struct repl_table_damage damage = {0};
    enum ldb_status s =
        repl_table_check_blocks(pass->reader->env, path, out->name, file->size,
                                look_on, pass, err, &damage);

    if (s != LDB_OK || damage.damaged == 0)
        return s;
    out->kind = REPL_SCRUB_CHECKSUM;
    out->why = damage.why;
    out->first = damage.first;
    out->end = damage.end;
    return LDB_OK;
}

static enum ldb_status look_at_table(struct pass *pass,
                                     const struct repl_digest_file *file,
                                     struct ldb_error *err,
                                     struct repl_scrub_verdict *out)
{
    const struct repl_scrub_reader *reader = pass->reader;
    char *path = NULL;
    enum ldb_status s = find_table(reader->env, reader->dir, file->number, err,
                                   out->name, &path);

    if (s == LDB_OK)
        s = read_bytes(pass, file, err, out);
    /* What the disk does not give must not be mapped. */
    if (s == LDB_OK && out->kind == REPL_SCRUB_SOUND)
        s = look_at_blocks(pass, path, file, err, out);
    ldb_mem_free(path);
    if (s != LDB_NOT_FOUND)
        return s;
    out->kind = REPL_SCRUB_MISSING;
    (void)ldb_error_set(&out->why, s, "%s: there is no such file", out->name);
    return LDB_OK;
}

/* ---- a journal ---- */

static void note_drop(void *context, uint64_t offset, uint64_t bytes,
                      const char *reason)
{
    struct repl_scrub_verdict *out = context;

    if (out->kind != REPL_SCRUB_CHECKSUM) {
        out->kind = REPL_SCRUB_CHECKSUM;
        out->first = offset;
        (void)ldb_error_set(&out->why, LDB_CORRUPTION,
                            "%s: at %" PRIu64 ": %" PRIu64
                            " bytes cannot be used: %s",
                            out->name, offset, bytes, reason);
    }
    out->end = offset + bytes;
}

static enum ldb_status open_journal(const struct repl_scrub_reader *reader,
                                    const struct repl_digest_file *file,
                                    const char *folder, const char *name,
                                    struct ldb_error *err,
                                    struct ldb_sequential_file **out)
{
    char *path = ldb_mem_printf("%s%s/%s", reader->dir, folder, name);
    enum ldb_status s;

    if (path == NULL)
        return ldb_error_no_memory(err);
    s = ldb_pinned_open(reader->env, path, file->size, err, out);
    ldb_mem_free(path);
    return s;
}

static enum ldb_status read_records(struct pass *pass,
                                    struct ldb_journal_reader *journal,
                                    struct ldb_error *err,
                                    struct repl_scrub_verdict *out)
{
    struct ldb_slice record;
    enum ldb_status s;

    while ((s = ldb_journal_reader_next(journal, err, &record)) == LDB_OK) {
        struct ldb_error why = {0};
        uint64_t offset = ldb_journal_reader_record_offset(journal);

        if (!look_on(pass))
            return ldb_error_set(err, LDB_CANCELLED, "given up");
        if (ldb_batch_check(record, &why, NULL, NULL) != LDB_OK)
            note_drop(out, offset,
                      ldb_journal_reader_end_offset(journal) - offset,
                      why.message);
    }
    if (s != LDB_NOT_FOUND)
        return s;
    /* Sealed at the end of a record. */
    if (ldb_journal_reader_tail_bytes(journal) > 0)
        note_drop(out, ldb_journal_reader_end_offset(journal),
                  ldb_journal_reader_tail_bytes(journal),
                  "no whole record is left behind it");
    return LDB_OK;
}

static enum ldb_status look_at_records(struct pass *pass,
                                       const struct repl_digest_file *file,
                                       struct ldb_error *err,
                                       struct repl_scrub_verdict *out)
{
    const struct ldb_journal_reader_options options = {.on_drop = note_drop,
                                                       .context = out};
    struct ldb_sequential_file *opened = NULL;
    struct ldb_journal_reader *journal = NULL;
    enum ldb_status s =
        open_journal(pass->reader, file, "", out->name, err, &opened);

    if (s == LDB_NOT_FOUND)
        s = open_journal(pass->reader, file, "/" LDB_ARCHIVE_FOLDER, out->name,
                         err, &opened);
    if (s == LDB_NOT_FOUND) {
        out->kind = REPL_SCRUB_MISSING;
        (void)ldb_error_set(&out->why, s, "%s: it has gone", out->name);
        return LDB_OK;
    }
    if (s == LDB_OK)
        s = ldb_journal_reader_create(opened, out->name, &options, err,
                                      &journal);
    if (s == LDB_OK)
        s = read_records(pass, journal, err, out);
    ldb_journal_reader_destroy(journal);
    if (opened != NULL)
        ldb_sequential_close(opened);
    return s;
}

static enum ldb_status look_at_journal(struct pass *pass,
                                       const struct repl_digest_file *file,
                                       struct ldb_error *err,
                                       struct repl_scrub_verdict *out)
{
    enum ldb_status s;

    ldb_file_name_print(out->name, file->type, file->number);
    s = read_bytes(pass, file, err, out);
    if (s == LDB_OK && out->kind == REPL_SCRUB_SOUND)
        s = look_at_records(pass, file, err, out);
    return s;
}

/* ---- either ---- */

/* All could be read, and has its checksums. */
static void compare(const struct repl_scrub_reader *reader,
                    const struct repl_digest_file *file,
                    struct repl_scrub_verdict *out)
{
    if (!out->has_known) {
        /* Without memory for it it is found out again. */
        (void)repl_digest_index_put(reader->digests, file, &out->digest);
        return;
    }
    if (ldb_digest_equal(&out->known, &out->digest))
        return;
    out->kind = REPL_SCRUB_DIGEST;
    (void)ldb_error_set(&out->why, LDB_CORRUPTION,
                        "%s: all checksums are right, and its digest is "
                        "another one than it had",
                        out->name);
}

enum ldb_status repl_scrub_file(const struct repl_scrub_reader *reader,
                                const struct repl_digest_file *file,
                                struct ldb_error *err,
                                struct repl_scrub_verdict *out)
{
    struct pass pass = {.reader = reader, .left = file->size};
    struct repl_scrub_verdict verdict = {0};
    enum ldb_status s;

    verdict.has_known =
        repl_digest_index_get(reader->digests, file, &verdict.known);
    s = file->type == LDB_FILE_JOURNAL
            ? look_at_journal(&pass, file, err, &verdict)
            : look_at_table(&pass, file, err, &verdict);
    if (s != LDB_OK)
        return s;
    if (verdict.kind == REPL_SCRUB_SOUND)
        compare(reader, file, &verdict);
    *out = verdict;
    return LDB_OK;
}
