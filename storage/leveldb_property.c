/* Properties as LevelDB writes them (contract: leveldb_property.h). */
#include "storage/leveldb_property.h"

#include <inttypes.h>
#include <string.h>

#include "storage/base/internal_key.h"
#include "storage/base/slice.h"
#include "storage/db_internal.h"
#include "storage/property.h"

#define MIB 1048576.0

static enum ldb_status append_stats(struct ldb_db *db, struct ldb_buf *out)
{
    struct ldb_stats stats;
    enum ldb_status s;

    ldb_stats(db, &stats);
    s = ldb_buf_append(
        out, ldb_slice_str("                               Compactions\n"
                           "Level  Files Size(MB) Time(sec) Read(MB) "
                           "Write(MB)\n"
                           "--------------------------------------------------"
                           "\n"));
    for (unsigned level = 0; s == LDB_OK && level < LDB_STATS_LEVELS; level++) {
        if (stats.levels[level].tables == 0 &&
            stats.levels[level].compaction_us == 0)
            continue;
        s = ldb_buf_printf(
            out, "%3u %8" PRIu64 " %8.0f %9.0f %8.0f %9.0f\n", level,
            stats.levels[level].tables, (double)stats.levels[level].bytes / MIB,
            (double)stats.levels[level].compaction_us / 1e6,
            (double)stats.levels[level].compaction_read_bytes / MIB,
            (double)stats.levels[level].compaction_write_bytes / MIB);
    }
    return s;
}

/* 'key' @ 7 : 1 */
static enum ldb_status append_key(struct ldb_buf *out, struct ldb_slice key)
{
    struct ldb_parsed_key parsed;
    enum ldb_status s;

    /* Bounds are checked when the MANIFEST is read. */
    if (!ldb_internal_key_parse(key, &parsed))
        return ldb_buf_append(out, ldb_slice_str("(bad)"));
    s = ldb_buf_append_byte(out, '\'');
    for (size_t i = 0; s == LDB_OK && i < parsed.user_key.len; i++) {
        uint8_t c = parsed.user_key.data[i];

        if (c >= ' ' && c <= '~')
            s = ldb_buf_append_byte(out, c);
        else
            s = ldb_buf_printf(out, "\\x%02x", c);
    }
    if (s != LDB_OK)
        return s;
    return ldb_buf_printf(out, "' @ %" PRIu64 " : %d", parsed.sequence,
                          (int)parsed.kind);
}

enum ldb_status ldb_leveldb_property(struct ldb_db *db, const char *name,
                                     struct ldb_buf *out)
{
    static const struct ldb_sstables_form sstables = {
        .has_all_levels = true, .before_table = " ", .append_key = append_key};
    uint64_t level;

    if (strcmp(name, "leveldb.stats") == 0)
        return append_stats(db, out);
    if (strcmp(name, "leveldb.sstables") == 0)
        return ldb_property_sstables(db, &sstables, out);
    /* LevelDB knows seven levels; goleveldb any number. */
    if (ldb_property_parse_level(name, &level) && level >= LDB_LEVEL_COUNT)
        return LDB_NOT_FOUND;
    return ldb_property(db, name, out);
}
