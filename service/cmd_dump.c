#include "service/cmd_dump.h"

#include <errno.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "replication/diverged.h"
#include "service/alias_env.h"
#include "service/cmd_offline.h"
#include "service/journal_listing.h"
#include "storage/base/buf.h"
#include "storage/base/status.h"
#include "storage/describe.h"

static const char usage[] = "dump DIR [--digest] | dump FILE | dump -";

/* Bytes of standard input that are read at a time. Chosen: two blocks. */
#define INPUT_BYTES 65536

/* ---- a folder ---- */

struct dump {
    struct sha256_ctx sha;
    struct ldb_buf line;
    uint64_t entries;
    bool digest_only;
};

static enum ldb_status add_hex(struct ldb_buf *out, struct ldb_slice bytes)
{
    static const char digits[] = "0123456789abcdef";
    uint8_t *p = NULL;
    enum ldb_status s;

    if (bytes.len == 0)
        return LDB_OK;
    s = ldb_buf_extend(out, 2 * bytes.len, &p);
    if (s != LDB_OK)
        return s;
    for (size_t i = 0; i < bytes.len; i++) {
        p[2 * i] = (uint8_t)digits[bytes.data[i] >> 4];
        p[2 * i + 1] = (uint8_t)digits[bytes.data[i] & 15];
    }
    return LDB_OK;
}

/* After a write to standard output that failed. */
static enum ldb_status output_lost(struct ldb_error *err)
{
    return ldb_error_set_errno(err, errno, "write to standard output");
}

static enum ldb_status dump_entry(struct dump *dump, struct ldb_slice key,
                                  struct ldb_slice value, struct ldb_error *err)
{
    enum ldb_status s;

    ldb_buf_clear(&dump->line);
    s = add_hex(&dump->line, key);
    if (s == LDB_OK)
        s = ldb_buf_append_byte(&dump->line, '\t');
    if (s == LDB_OK)
        s = add_hex(&dump->line, value);
    if (s == LDB_OK)
        s = ldb_buf_append_byte(&dump->line, '\n');
    if (s != LDB_OK)
        return ldb_error_set(err, s, "line: %s", ldb_status_text(s));
    sha256_update(&dump->sha, dump->line.len, dump->line.data);
    dump->entries++;
    if (!dump->digest_only &&
        fwrite(dump->line.data, 1, dump->line.len, stdout) != dump->line.len)
        return output_lost(err);
    return LDB_OK;
}

static enum ldb_status dump_entries(struct ldb_db *db, struct dump *dump,
                                    struct ldb_error *err)
{
    const struct ldb_read_options read = {.skip_cache = true, .checksums = 1};
    struct ldb_cursor *cursor = NULL;
    enum ldb_status s = ldb_cursor_open(db, &read, err, &cursor);

    if (s != LDB_OK)
        return s;
    for (ldb_cursor_seek_first(cursor); s == LDB_OK && ldb_cursor_valid(cursor);
         ldb_cursor_next(cursor))
        s = dump_entry(dump, ldb_cursor_key(cursor), ldb_cursor_value(cursor),
                       err);
    if (s == LDB_OK)
        s = ldb_cursor_status(cursor, err);
    ldb_cursor_close(cursor);
    return s;
}

static void print_digest(struct dump *dump)
{
    uint8_t digest[SHA256_DIGEST_SIZE];

    sha256_digest(&dump->sha, sizeof(digest), digest);
    printf("# sha256 ");
    for (size_t i = 0; i < sizeof(digest); i++)
        printf("%02x", (unsigned)digest[i]);
    printf(" entries %" PRIu64 "\n", dump->entries);
}

static enum ldb_status dump_folder(const char *path, bool digest_only,
                                   struct ldb_error *err)
{
    struct dump dump = {.line = LDB_BUF_INIT(SIZE_MAX),
                        .digest_only = digest_only};
    struct ldb_options options;
    struct ldb_db *db = NULL;
    enum ldb_status s;

    ldb_options_init(&options);
    options.create_if_missing = false;
    options.read_only = true;
    sha256_init(&dump.sha);
    s = ldb_open(path, &options, NULL, err, &db);
    if (s != LDB_OK)
        return s;
    s = dump_entries(db, &dump, err);
    if (s == LDB_OK)
        print_digest(&dump);
    ldb_buf_release(&dump.line);
    LDB_IGNORE(ldb_close(db, NULL)); /* read-only: nothing to lose */
    return s;
}

/* ---- a file ---- */

/* context: set when the line cannot be printed. */
static enum ldb_status print_line(void *context, struct ldb_slice line)
{
    bool *is_output_lost = context;

    if (fwrite(line.data, 1, line.len, stdout) == line.len &&
        putchar('\n') != EOF)
        return LDB_OK;
    *is_output_lost = true;
    return LDB_IO;
}

static const char *name_of(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash == NULL ? path : slash + 1;
}

/* One of leveld/diverged/ is of the kind that it was before. */
static enum ldb_status dump_file(const char *path, struct ldb_error *err,
                                 uint64_t *out_damages)
{
    struct svc_alias_env alias = svc_alias_env_make(path);
    const char *plain = repl_diverged_plain_name(name_of(path));
    struct ldb_options options;
    bool is_output_lost = false;
    enum ldb_status s;

    ldb_options_init(&options);
    if (plain != NULL)
        options.env = &alias.env;
    s = ldb_describe_file(plain != NULL ? plain : path, &options, print_line,
                          &is_output_lost, err, out_damages);
    return is_output_lost ? output_lost(err) : s;
}

/* ---- standard input ---- */

/* *out_len 0: its end. */
static enum ldb_status read_input(uint8_t bytes[INPUT_BYTES],
                                  struct ldb_error *err, size_t *out_len)
{
    ssize_t n;

    do {
        n = read(STDIN_FILENO, bytes, INPUT_BYTES);
    } while (n < 0 && errno == EINTR);
    if (n < 0)
        return ldb_error_set_errno(err, errno, "read standard input");
    *out_len = (size_t)n;
    return LDB_OK;
}

/* Whoever watches sees each record as it comes: what was printed goes out
 * before more is waited for. */
static enum ldb_status list_input(struct svc_journal_listing *listing,
                                  struct ldb_error *err)
{
    uint8_t bytes[INPUT_BYTES];
    size_t len = 0;
    enum ldb_status s;

    do {
        s = read_input(bytes, err, &len);
        if (s == LDB_OK)
            s = svc_journal_listing_add(listing, ldb_slice_make(bytes, len),
                                        err);
        if (s == LDB_OK && fflush(stdout) != 0)
            s = output_lost(err);
    } while (s == LDB_OK && len > 0);
    return s;
}

static enum ldb_status dump_input(struct ldb_error *err, uint64_t *out_damages)
{
    bool is_output_lost = false;
    struct svc_journal_listing *listing = svc_journal_listing_create(
        "standard input", print_line, &is_output_lost);
    enum ldb_status s;

    if (listing == NULL)
        return ldb_error_no_memory(err);
    s = list_input(listing, err);
    if (s == LDB_OK)
        s = svc_journal_listing_end(listing, err, out_damages);
    svc_journal_listing_destroy(listing);
    return is_output_lost ? output_lost(err) : s;
}

/* ---- which one ---- */

static bool is_folder(const char *path)
{
    struct stat about;

    return stat(path, &about) == 0 && S_ISDIR(about.st_mode);
}

int svc_cmd_dump(int argc, char *const *argv)
{
    struct svc_offline_arguments arguments;
    struct ldb_error err = {0};
    uint64_t damages = 0;
    int code = SVC_EXIT_CLEAN;
    enum ldb_status s;

    if (!svc_offline_parse(argc, argv, usage, "--digest", &arguments, &code))
        return code;
    if (strcmp(arguments.path, "-") == 0 && !arguments.has_flag)
        s = dump_input(&err, &damages);
    else if (is_folder(arguments.path))
        s = dump_folder(arguments.path, arguments.has_flag, &err);
    else if (arguments.has_flag)
        s = ldb_error_set(&err, LDB_INVALID_ARGUMENT,
                          "%s: --digest is for a folder", arguments.path);
    else
        s = dump_file(arguments.path, &err, &damages);
    if (s == LDB_OK && fflush(stdout) != 0)
        s = output_lost(&err);
    if (s != LDB_OK)
        return svc_offline_fail("dump", s, &err);
    return damages == 0 ? SVC_EXIT_CLEAN : SVC_EXIT_DAMAGE;
}
