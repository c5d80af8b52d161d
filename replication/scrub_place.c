#include "replication/scrub_place.h"

#include <inttypes.h>

#include "replication/sidecar.h"
#include "storage/base/checked.h"
#include "storage/base/slice.h"
#include "storage/base/status.h"

/* Three lines of numbers. */
#define TEXT_MAX ((size_t)4096)

static const char *const part_words[] = {
    [REPL_SCRUB_TABLES] = "table",
    [REPL_SCRUB_JOURNALS] = "journal",
    [REPL_SCRUB_END] = "end",
};

static bool parse_part(struct ldb_slice word, enum repl_scrub_part *out)
{
    for (unsigned i = 0; i < sizeof(part_words) / sizeof(part_words[0]); i++) {
        if (ldb_slice_equal(word, ldb_slice_str(part_words[i]))) {
            *out = (enum repl_scrub_part)i;
            return true;
        }
    }
    return false;
}

/* The next line: a word and two more. */
static bool read_line(struct ldb_slice *lines, const char *first,
                      struct repl_words *out)
{
    return repl_words_next(lines, out) && repl_words_are(out, first, 3);
}

static bool parse(struct ldb_slice lines, struct repl_scrub_place *out)
{
    struct repl_words words;

    return read_line(&lines, "pass", &words) &&
           ldb_parse_u64(words.word[1], &out->passes) &&
           ldb_parse_u64(words.word[2], &out->begun_us) &&
           read_line(&lines, "at", &words) &&
           parse_part(words.word[1], &out->part) &&
           ldb_parse_u64(words.word[2], &out->number) &&
           read_line(&lines, "last", &words) &&
           ldb_parse_u64(words.word[1], &out->ended_us) &&
           ldb_parse_u64(words.word[2], &out->duration_us) && lines.len == 0;
}

enum ldb_status repl_scrub_place_load(struct ldb_env *env, const char *dir,
                                      struct ldb_error *err,
                                      struct repl_scrub_place *out)
{
    struct ldb_buf text = LDB_BUF_INIT(TEXT_MAX);
    struct repl_scrub_place place = {0};
    enum ldb_status s = repl_sidecar_read(env, dir, REPL_SCRUB_FILE,
                                          REPL_SCRUB_VERSION, err, &text);

    if (s == LDB_OK && !parse(ldb_slice_of_buf(&text), &place))
        place = (struct repl_scrub_place){0};
    if (s == LDB_NOT_FOUND || s == LDB_CORRUPTION || s == LDB_TOO_LARGE)
        s = LDB_OK;
    if (s == LDB_OK)
        *out = place;
    ldb_buf_release(&text);
    return s;
}

enum ldb_status repl_scrub_place_store(struct ldb_env *env, const char *dir,
                                       const struct repl_scrub_place *place,
                                       struct ldb_error *err)
{
    struct ldb_buf lines = LDB_BUF_INIT(TEXT_MAX);
    enum ldb_status s =
        ldb_buf_printf(&lines,
                       "pass %" PRIu64 " %" PRIu64 "\nat %s %" PRIu64
                       "\nlast %" PRIu64 " %" PRIu64 "\n",
                       place->passes, place->begun_us, part_words[place->part],
                       place->number, place->ended_us, place->duration_us);

    if (s != LDB_OK)
        s = ldb_error_no_memory(err);
    else
        s = repl_sidecar_write(env, dir, REPL_SCRUB_FILE, REPL_SCRUB_VERSION,
                               ldb_slice_of_buf(&lines), err);
    ldb_buf_release(&lines);
    return s;
}
