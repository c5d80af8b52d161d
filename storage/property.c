/* Properties as goleveldb writes them (contracts: ldb.h, property.h). */
#include "storage/property.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/checked.h"
#include "storage/base/go_text.h"
#include "storage/base/internal_key.h"
#include "storage/base/slice.h"
#include "storage/db_internal.h"

#define MIB 1048576.0

/* Of an internal key shown: a longer user key becomes "abc..xyz". */
#define SHOWN_KEY_LEN  8
#define SHOWN_PART_LEN 3

static const char stats_rule[] =
    "-------+------------+---------------+---------------+---------------+-----"
    "----------\n";

bool ldb_property_parse_level(const char *name, uint64_t *out_level)
{
    static const char prefix[] = "leveldb.num-files-at-level";
    size_t len = sizeof(prefix) - 1;
    const char *digits = name + len;

    if (strncmp(name, prefix, len) != 0 || *digits == '\0' ||
        digits[strspn(digits, "0123456789")] != '\0')
        return false;
    if (!ldb_parse_u64(ldb_slice_str(digits), out_level))
        *out_level = UINT64_MAX;
    return true;
}

uint64_t ldb_property_memory_bytes(const struct ldb_stats *stats)
{
    return stats->memtable_bytes + stats->immutable_bytes +
           stats->block_cache_bytes + stats->table_memory_bytes;
}

/* ---- leveldb.stats ---- */

static enum ldb_status stats_row(struct ldb_buf *out, const char *label,
                                 uint64_t tables, uint64_t bytes, uint64_t us,
                                 uint64_t read, uint64_t written)
{
    return ldb_buf_printf(
        out, " %s | %10" PRIu64 " | %13.5f | %13.5f | %13.5f | %13.5f\n", label,
        tables, (double)bytes / MIB, (double)us / 1e6, (double)read / MIB,
        (double)written / MIB);
}

/* Levels up to the deepest that has a table: goleveldb knows no others. */
static unsigned levels_in_use(const struct ldb_stats *stats)
{
    unsigned count = LDB_STATS_LEVELS;

    while (count > 0 && stats->levels[count - 1].tables == 0)
        count--;
    return count;
}

static enum ldb_status property_stats(const struct ldb_stats *stats,
                                      struct ldb_buf *out)
{
    uint64_t total[5] = {0};
    char label[8];
    enum ldb_status s = ldb_buf_printf(
        out,
        "Compactions\n Level |   Tables   |    Size(MB)   |    Time(sec)  |    "
        "Read(MB)   |   Write(MB)\n%s",
        stats_rule);

    for (unsigned level = 0; s == LDB_OK && level < levels_in_use(stats);
         level++) {
        const uint64_t row[5] = {stats->levels[level].tables,
                                 stats->levels[level].bytes,
                                 stats->levels[level].compaction_us,
                                 stats->levels[level].compaction_read_bytes,
                                 stats->levels[level].compaction_write_bytes};

        if (row[0] == 0 && row[2] == 0)
            continue;
        for (unsigned i = 0; i < 5; i++)
            total[i] += row[i];
        (void)snprintf(label, sizeof(label), "%3u  ", level);
        s = stats_row(out, label, row[0], row[1], row[2], row[3], row[4]);
    }
    if (s == LDB_OK)
        s = ldb_buf_append(out, ldb_slice_str(stats_rule));
    if (s == LDB_OK)
        s = stats_row(out, "Total", total[0], total[1], total[2], total[3],
                      total[4]);
    return s;
}

/* ---- leveldb.sstables ---- */

/* The whole text "key,v7" is quoted, not the key alone. */
static enum ldb_status append_key(struct ldb_buf *out, struct ldb_slice key)
{
    struct ldb_buf text = LDB_BUF_INIT(SHOWN_KEY_LEN + 32);
    struct ldb_parsed_key parsed;
    enum ldb_status s;

    /* Bounds are checked when the MANIFEST is read. */
    if (!ldb_internal_key_parse(key, &parsed))
        return ldb_buf_append(out, ldb_slice_str("\"<invalid>\""));
    if (parsed.user_key.len <= SHOWN_KEY_LEN) {
        s = ldb_buf_append(&text, parsed.user_key);
    } else {
        const uint8_t *end = parsed.user_key.data + parsed.user_key.len;

        s = ldb_buf_append(
            &text, ldb_slice_make(parsed.user_key.data, SHOWN_PART_LEN));
        if (s == LDB_OK)
            s = ldb_buf_append(&text, ldb_slice_str(".."));
        if (s == LDB_OK)
            s = ldb_buf_append(
                &text, ldb_slice_make(end - SHOWN_PART_LEN, SHOWN_PART_LEN));
    }
    if (s == LDB_OK)
        s = ldb_buf_printf(&text, ",%c%" PRIu64,
                           parsed.kind == LDB_KIND_PUT ? 'v' : 'd',
                           parsed.sequence);
    if (s == LDB_OK)
        s = ldb_go_text_quote(out, ldb_slice_of_buf(&text));
    ldb_buf_release(&text);
    return s;
}

static enum ldb_status append_table(const struct ldb_sstables_form *form,
                                    const struct ldb_file_meta *meta,
                                    struct ldb_buf *out)
{
    enum ldb_status s =
        ldb_buf_printf(out, "%s%" PRIu64 ":%" PRIu64 "[", form->before_table,
                       meta->number, meta->size);

    if (s == LDB_OK)
        s = form->append_key(out, meta->smallest);
    if (s == LDB_OK)
        s = ldb_buf_append(out, ldb_slice_str(" .. "));
    if (s == LDB_OK)
        s = form->append_key(out, meta->largest);
    return s == LDB_OK ? ldb_buf_append(out, ldb_slice_str("]\n")) : s;
}

enum ldb_status ldb_property_sstables(struct ldb_db *db,
                                      const struct ldb_sstables_form *form,
                                      struct ldb_buf *out)
{
    ldb_sequence sequence;
    struct ldb_view *view = ldb_db_view(db, &sequence);
    uint32_t levels = LDB_LEVEL_COUNT;
    enum ldb_status s = LDB_OK;

    while (!form->has_all_levels && levels > 0 &&
           view->version->levels[levels - 1].count == 0)
        levels--;
    for (uint32_t level = 0; s == LDB_OK && level < levels; level++) {
        const struct ldb_level *files = &view->version->levels[level];

        s = ldb_buf_printf(out, "--- level %u ---\n", level);
        for (size_t i = 0; s == LDB_OK && i < files->count; i++)
            s = append_table(form, files->files[i], out);
    }
    ldb_db_view_release(db, view);
    return s;
}

/* ---- lines of figures ---- */

static enum ldb_status property_iostats(const struct ldb_stats *stats,
                                        struct ldb_buf *out)
{
    uint64_t read = 0;
    uint64_t written = stats->journal_written_bytes;

    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++) {
        read += stats->levels[level].compaction_read_bytes;
        written += stats->levels[level].compaction_write_bytes;
    }
    return ldb_buf_printf(out, "Read(MB):%.5f Write(MB):%.5f",
                          (double)read / MIB, (double)written / MIB);
}

static enum ldb_status property_writedelay(const struct ldb_stats *stats,
                                           struct ldb_buf *out)
{
    enum ldb_status s = ldb_buf_printf(
        out,
        "DelayN:%" PRIu64 " Delay:", stats->slowdown_count + stats->stop_count);

    if (s == LDB_OK)
        s = ldb_go_text_duration(out, stats->slowdown_us + stats->stop_us);
    if (s == LDB_OK)
        s = ldb_buf_printf(out, " Paused:%s",
                           stats->stopped ? "true" : "false");
    return s;
}

/* A level's compactions are counted where they write. */
static enum ldb_status property_compcount(const struct ldb_stats *stats,
                                          struct ldb_buf *out)
{
    uint64_t by_size[LDB_STATS_LEVELS]; /* or marks */
    uint64_t deeper = 0;
    uint64_t seek = 0;

    for (unsigned level = 0; level < LDB_STATS_LEVELS; level++) {
        by_size[level] = stats->levels[level].compactions -
                         stats->levels[level].seek_compactions;
        seek += stats->levels[level].seek_compactions;
        deeper += level < 2 ? 0 : by_size[level];
    }
    return ldb_buf_printf(out,
                          "MemComp:%" PRIu64 " Level0Comp:%" PRIu64
                          " NonLevel0Comp:%" PRIu64 " SeekComp:%" PRIu64,
                          stats->flushes, by_size[1], deeper, seek);
}

/* There is no pool of buffers: goleveldb's text with its pool disabled. */
static enum ldb_status property_blockpool(const struct ldb_stats *stats,
                                          struct ldb_buf *out)
{
    (void)stats;
    return ldb_buf_append(out, ldb_slice_str("<nil>"));
}

/* Those that are one number. */
static bool find_number(const char *name, const struct ldb_stats *stats,
                        uint64_t *out)
{
    const struct {
        const char *name;
        uint64_t value;
    } numbers[] = {
        {"leveldb.approximate-memory-usage", ldb_property_memory_bytes(stats)},
        {"leveldb.cachedblock", stats->block_cache_bytes},
        {"leveldb.openedtables", stats->open_tables},
        {"leveldb.alivesnaps", stats->live_snapshots},
        {"leveldb.aliveiters", stats->live_cursors},
    };
    uint64_t level;

    if (ldb_property_parse_level(name, &level)) {
        *out = level < LDB_STATS_LEVELS ? stats->levels[level].tables : 0;
        return true;
    }
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++) {
        if (strcmp(name, numbers[i].name) == 0) {
            *out = numbers[i].value;
            return true;
        }
    }
    return false;
}

enum ldb_status ldb_property(struct ldb_db *db, const char *name,
                             struct ldb_buf *out)
{
    static const struct {
        const char *name;
        enum ldb_status (*append)(const struct ldb_stats *stats,
                                  struct ldb_buf *out);
    } texts[] = {
        {"leveldb.stats", property_stats},
        {"leveldb.iostats", property_iostats},
        {"leveldb.writedelay", property_writedelay},
        {"leveldb.compcount", property_compcount},
        {"leveldb.blockpool", property_blockpool},
    };
    static const struct ldb_sstables_form sstables = {.before_table = "",
                                                      .append_key = append_key};
    struct ldb_stats stats;
    uint64_t number;

    if (strcmp(name, "leveldb.sstables") == 0)
        return ldb_property_sstables(db, &sstables, out);
    if (strcmp(name, "leveldb.cachedblock") == 0 && db->block_cache == NULL)
        return ldb_buf_append(out, ldb_slice_str("<nil>"));
    ldb_stats(db, &stats);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        if (strcmp(name, texts[i].name) == 0)
            return texts[i].append(&stats, out);
    }
    if (find_number(name, &stats, &number))
        return ldb_buf_printf(out, "%" PRIu64, number);
    return LDB_NOT_FOUND;
}
