#include "tests/support/sim_folder.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/env.h"
#include "storage/base/status.h"
#include "storage/journal/journal_format.h"
#include "storage/version/file_names.h"
#include "storage/version/version_edit.h"
#include "tests/support/bytes.h"
#include "tests/support/sim_sched.h"

#define FILE_MAX ((size_t)64 << 20)

/* ---- keys and values ---- */

void sim_key(unsigned key, char out[SIM_KEY_SIZE])
{
    (void)snprintf(out, SIM_KEY_SIZE, "key%04u", key % 10000);
}

unsigned sim_key_parse(struct ldb_slice key)
{
    unsigned number = 0;

    if (key.len != SIM_KEY_SIZE - 1 || memcmp(key.data, "key", 3) != 0)
        return SIM_KEYS;
    for (size_t i = 3; i < key.len; i++)
        number = number * 10 + (unsigned)(key.data[i] - '0');
    return number < SIM_KEYS ? number : SIM_KEYS;
}

/* Eight digits, and bytes that follow from them; a third of the values is
 * short. */
size_t sim_value(uint32_t value, uint8_t out[SIM_VALUE_MAX])
{
    char digits[9];
    uint64_t seed = value;
    size_t len = 8 + (value % 3 == 0 ? value % 16
                                     : bytes_next(&seed) % (SIM_VALUE_MAX - 8));

    (void)snprintf(digits, sizeof(digits), "%08" PRIx32, value);
    memcpy(out, digits, 8);
    bytes_fill(&seed, out + 8, len - 8);
    return len;
}

uint32_t sim_value_parse(struct ldb_slice bytes)
{
    uint8_t wanted[SIM_VALUE_MAX];
    char digits[9] = "";
    uint32_t value;
    size_t len;

    if (bytes.len < 8)
        return 0;
    memcpy(digits, bytes.data, 8);
    value = (uint32_t)strtoul(digits, NULL, 16);
    len = sim_value(value, wanted);
    return bytes.len == len && memcmp(bytes.data, wanted, len) == 0 ? value : 0;
}

/* ---- frames ---- */

void sim_frames_init(struct sim_frames *frames, struct ldb_slice bytes,
                     size_t at)
{
    *frames = (struct sim_frames){
        .bytes = bytes, .at = at, .record = LDB_BUF_INIT(FILE_MAX)};
}

void sim_frames_release(struct sim_frames *frames)
{
    ldb_buf_release(&frames->record);
}

bool sim_frames_next(struct sim_frames *frames, struct ldb_slice *out)
{
    size_t at = frames->at;

    ldb_buf_clear(&frames->record);
    for (;;) {
        size_t left = LDB_JOURNAL_BLOCK_SIZE - at % LDB_JOURNAL_BLOCK_SIZE;
        const uint8_t *header;
        size_t len;
        uint8_t type;

        if (left < LDB_JOURNAL_HEADER_SIZE)
            at += left;
        if (at + LDB_JOURNAL_HEADER_SIZE > frames->bytes.len)
            return false;
        header = frames->bytes.data + at;
        len = (size_t)header[4] | (size_t)header[5] << 8;
        type = header[6];
        at += LDB_JOURNAL_HEADER_SIZE;
        if (type < LDB_CHUNK_FULL || type > LDB_CHUNK_LAST ||
            len > frames->bytes.len - at)
            return false;
        if (ldb_buf_append(&frames->record,
                           ldb_slice_make(frames->bytes.data + at, len)) !=
            LDB_OK)
            abort();
        at += len;
        if (type == LDB_CHUNK_FULL || type == LDB_CHUNK_LAST)
            break;
    }
    frames->at = at;
    *out = ldb_slice_of_buf(&frames->record);
    return true;
}

/* ---- files from outside ---- */

bool sim_read_file(struct ldb_env *env, const char *path, struct ldb_buf *out)
{
    struct ldb_error err = {0};
    enum ldb_status s = ldb_env_read_file(env, path, &err, out);

    if (s != LDB_OK && s != LDB_NOT_FOUND)
        sim_fail("%s cannot be read: %s", path, err.message);
    return s == LDB_OK;
}

/* ---- versions ---- */

static void drop_table(struct sim_version *version, uint64_t number)
{
    for (size_t i = 0; i < version->table_count; i++) {
        if (version->tables[i].number != number)
            continue;
        version->tables[i] = version->tables[--version->table_count];
        return;
    }
}

static void apply_edit(struct sim_version *version,
                       const struct ldb_version_edit *edit)
{
    if (edit->has_log_number)
        version->log_number = edit->log_number;
    if (edit->has_last_sequence)
        version->last_sequence = edit->last_sequence;
    for (size_t i = 0; i < edit->deleted_count; i++)
        drop_table(version, edit->deleted[i].number);
    for (size_t i = 0; i < edit->added_count; i++) {
        if (version->table_count == SIM_TABLES_MAX)
            sim_fail("a version of more than %d tables", SIM_TABLES_MAX);
        version->tables[version->table_count++] = (struct sim_table){
            edit->added[i].meta->number, edit->added[i].meta->size};
    }
}

static void read_manifest(struct ldb_slice bytes, struct sim_version *out)
{
    struct ldb_version_edit edit;
    struct sim_frames frames;
    struct ldb_slice record;
    struct ldb_error err = {0};

    sim_frames_init(&frames, bytes, 0);
    ldb_version_edit_init(&edit);
    while (sim_frames_next(&frames, &record)) {
        ldb_version_edit_clear(&edit);
        if (ldb_version_edit_decode(&edit, record, &err) != LDB_OK)
            sim_fail("MANIFEST-%06" PRIu64 ": %s", out->manifest, err.message);
        apply_edit(out, &edit);
    }
    ldb_version_edit_release(&edit);
    sim_frames_release(&frames);
}

bool sim_current_read(struct ldb_env *env, const char *dir, uint64_t *out)
{
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    char path[128];
    char name[64] = "";
    bool is_sound = false;

    (void)snprintf(path, sizeof(path), "%s/CURRENT", dir);
    if (sim_read_file(env, path, &bytes) && bytes.len > 1 &&
        bytes.len < sizeof(name)) {
        memcpy(name, bytes.data, bytes.len - 1); /* without its newline */
        is_sound = ldb_file_name_parse(name, out) == LDB_FILE_MANIFEST;
    }
    ldb_buf_release(&bytes);
    return is_sound;
}

bool sim_version_read(struct ldb_env *env, const char *dir,
                      struct sim_version *out)
{
    struct ldb_buf bytes = LDB_BUF_INIT(FILE_MAX);
    char name[LDB_FILE_NAME_SIZE];
    char path[128];

    out->manifest = 0;
    out->log_number = 0;
    out->last_sequence = 0;
    out->table_count = 0;
    if (!sim_current_read(env, dir, &out->manifest))
        return false;
    ldb_file_name_print(name, LDB_FILE_MANIFEST, out->manifest);
    (void)snprintf(path, sizeof(path), "%s/%s", dir, name);
    if (!sim_read_file(env, path, &bytes))
        sim_fail("%s: CURRENT names %s, which is not there", dir, name);
    read_manifest(ldb_slice_of_buf(&bytes), out);
    ldb_buf_release(&bytes);
    return true;
}
