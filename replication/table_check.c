#include "replication/table_check.h"

#include <inttypes.h>

#include "storage/base/internal_key.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/table/block_reader.h"
#include "storage/table/stored_block.h"
#include "storage/table/table_scan.h"

/* Blocks between two questions whether to go on. Chosen: 256 KiB of the default
 * size. */
#define BLOCKS_A_LOOK 64

/* ---- by its checksums ---- */

struct walk {
    struct ldb_random_file *file;
    const char *name;
    uint64_t limit; /* where the footer begins */
    bool (*goes_on)(void *context);
    void *context;
    struct repl_table_damage *out;
    uint8_t scratch[LDB_BLOCK_SCRATCH_SIZE];
};

/* Room is there for the first one's text alone. */
static void note_damage(struct walk *walk, uint64_t offset, uint64_t end,
                        const struct ldb_error *why)
{
    struct repl_table_damage *out = walk->out;

    if (out->damaged++ == 0) {
        out->why = *why;
        out->first = offset;
        out->end = end;
        return;
    }
    if (offset < out->first)
        out->first = offset;
    if (end > out->end)
        out->end = end;
}

static enum ldb_status damage_text(struct walk *walk, uint64_t offset,
                                   uint64_t end, const char *text)
{
    struct ldb_error why = {0};

    (void)ldb_error_set(&why, LDB_CORRUPTION, "%s: at %" PRIu64 ": %s",
                        walk->name, offset, text);
    note_damage(walk, offset, end, &why);
    return LDB_OK;
}

static enum ldb_status may_go_on(struct walk *walk, struct ldb_error *err)
{
    if (walk->out->blocks++ % BLOCKS_A_LOOK != 0 || walk->goes_on == NULL ||
        walk->goes_on(walk->context))
        return LDB_OK;
    return ldb_error_set(err, LDB_CANCELLED, "given up");
}

/* What a block of that handle takes of the file, as far as that can be. */
static uint64_t end_of(const struct walk *walk, struct ldb_block_handle handle)
{
    return ldb_block_handle_fits(handle, walk->limit)
               ? handle.offset + handle.size + LDB_BLOCK_TRAILER_SIZE
               : walk->limit;
}

/* Whether the block can be read; one that is not wanted is not uncompressed. */
static enum ldb_status look_at(struct walk *walk,
                               struct ldb_block_handle handle,
                               struct ldb_error *err)
{
    struct ldb_block_scratch scratch = {walk->scratch, sizeof(walk->scratch)};
    struct ldb_stored_block block;
    struct ldb_error why = {0};
    enum ldb_status s = may_go_on(walk, err);

    if (s != LDB_OK)
        return s;
    s = ldb_stored_block_begin(walk->file, walk->name, walk->limit, handle,
                               true, scratch, &why, &block);
    if (s == LDB_OK)
        ldb_stored_block_release(&block);
    else if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    else
        note_damage(walk, handle.offset, end_of(walk, handle), &why);
    return LDB_OK;
}

/* Looks at each block that the entries of this one name. */
static enum ldb_status look_at_named(struct walk *walk, uint64_t offset,
                                     uint64_t end, struct ldb_slice contents,
                                     struct ldb_error *err)
{
    const char *problem = NULL;
    struct ldb_block_iter it;
    struct ldb_block block;
    enum ldb_status s = LDB_OK;

    if (!ldb_block_init(contents, &block, &problem))
        return damage_text(walk, offset, end, problem);
    ldb_block_iter_init(&it, NULL);
    ldb_block_iter_set(&it, &block);
    for (ldb_block_iter_seek_first(&it); s == LDB_OK && it.valid;
         ldb_block_iter_next(&it)) {
        struct ldb_reader r = ldb_reader_make(it.value);
        struct ldb_block_handle handle;

        s = ldb_block_handle_read(&r, &handle)
                ? look_at(walk, handle, err)
                : damage_text(walk, offset, end, "bad block handle");
    }
    if (s == LDB_OK && it.status == LDB_NO_MEMORY)
        s = ldb_error_no_memory(err);
    else if (s == LDB_OK && it.status != LDB_OK)
        s = damage_text(walk, offset, end, it.problem);
    ldb_block_iter_release(&it);
    return s;
}

/* The index or the metaindex, and what it names. */
static enum ldb_status look_through(struct walk *walk,
                                    struct ldb_block_handle handle,
                                    struct ldb_error *err)
{
    const struct ldb_block_scratch none = {0};
    struct ldb_stored_block stored = {0};
    struct ldb_error why = {0};
    uint64_t end = end_of(walk, handle);
    enum ldb_status s = may_go_on(walk, err);

    if (s != LDB_OK)
        return s;
    s = ldb_stored_block_read(walk->file, walk->name, walk->limit, handle, true,
                              none, &why, &stored);
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK) {
        note_damage(walk, handle.offset, end, &why);
        return LDB_OK;
    }
    s = look_at_named(walk, handle.offset, end, stored.contents, err);
    ldb_mem_free(stored.memory);
    return s;
}

static enum ldb_status look_at_file(struct walk *walk, uint64_t size,
                                    struct ldb_error *err)
{
    uint8_t scratch[LDB_FOOTER_SIZE];
    struct ldb_footer footer = {0};
    struct ldb_error why = {0};
    struct ldb_slice bytes;
    enum ldb_status s;

    if (size < LDB_FOOTER_SIZE)
        return damage_text(walk, 0, size, "too short to be a table");
    walk->limit = size - LDB_FOOTER_SIZE;
    s = ldb_random_read_at(walk->file, walk->limit, LDB_FOOTER_SIZE, scratch,
                           &bytes, &why);
    if (s == LDB_NO_MEMORY)
        return ldb_error_no_memory(err);
    if (s != LDB_OK)
        return damage_text(walk, walk->limit, size,
                           "the footer cannot be read");
    if (!ldb_footer_has_magic(bytes) || !ldb_footer_read(bytes, &footer))
        return damage_text(walk, walk->limit, size, "the footer is none");
    s = look_through(walk, footer.metaindex, err);
    if (s == LDB_OK)
        s = look_through(walk, footer.index, err);
    return s;
}

enum ldb_status repl_table_check_blocks(struct ldb_env *env, const char *path,
                                        const char *name, uint64_t size,
                                        bool (*goes_on)(void *context),
                                        void *context, struct ldb_error *err,
                                        struct repl_table_damage *out)
{
    struct repl_table_damage damage = {0};
    struct walk walk = {
        .name = name, .goes_on = goes_on, .context = context, .out = &damage};
    enum ldb_status s = env->ops->open_random(env, path, err, &walk.file);

    if (s != LDB_OK)
        return s;
    s = look_at_file(&walk, size, err);
    ldb_random_close(walk.file);
    if (s == LDB_OK)
        *out = damage;
    return s;
}

/* ---- by all that is in it ---- */

struct reading {
    const char *name;
    const struct ldb_comparator *comparator;
    const struct repl_table_meta *meta;
    bool has_first;
    bool is_last; /* the last entry so far is the last that there may be */
};

static enum ldb_status refuse(void *context,
                              const struct ldb_table_damage *damage,
                              struct ldb_error *err)
{
    (void)context;
    return ldb_error_set(err, LDB_CORRUPTION, "%s", damage->message);
}

static enum ldb_status take_entry(void *context, uint64_t block_offset,
                                  struct ldb_slice key, struct ldb_slice value,
                                  struct ldb_error *err)
{
    struct reading *reading = context;
    const struct ldb_comparator *comparator = reading->comparator;
    const struct repl_table_meta *meta = reading->meta;

    (void)value;
    if (!reading->has_first &&
        ldb_internal_compare(comparator, key, meta->smallest) != 0)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: block at %" PRIu64
                             ": its first entry is not the version's",
                             reading->name, block_offset);
    reading->has_first = true;
    reading->is_last =
        ldb_internal_compare(comparator, key, meta->largest) == 0;
    return LDB_OK;
}

static enum ldb_status read_whole(struct ldb_random_file *file,
                                  struct reading *reading,
                                  struct ldb_error *err)
{
    const struct ldb_table_options options = {.comparator = reading->comparator,
                                              .verify_index_checksums = true};
    const struct ldb_table_visitor visitor = {
        .context = reading, .on_entry = take_entry, .on_damage = refuse};
    enum ldb_status s = ldb_table_scan(file, reading->meta->size, reading->name,
                                       &options, &visitor, err, NULL);

    if (s == LDB_OK && !reading->is_last)
        s = ldb_error_set(err, LDB_CORRUPTION,
                          "%s: its last entry is not the version's",
                          reading->name);
    return s;
}

enum ldb_status repl_table_check_whole(struct ldb_env *env, const char *path,
                                       const char *name,
                                       const struct ldb_comparator *comparator,
                                       const struct repl_table_meta *meta,
                                       struct ldb_error *err)
{
    struct reading reading = {
        .name = name, .comparator = comparator, .meta = meta};
    struct ldb_random_file *file = NULL;
    uint64_t size = 0;
    enum ldb_status s = env->ops->file_size(env, path, err, &size);

    if (s == LDB_OK && size != meta->size)
        return ldb_error_set(err, LDB_CORRUPTION,
                             "%s: %" PRIu64 " bytes, its version says %" PRIu64,
                             name, size, meta->size);
    if (s == LDB_OK)
        s = env->ops->open_random(env, path, err, &file);
    if (s != LDB_OK)
        return s;
    s = read_whole(file, &reading, err);
    ldb_random_close(file);
    return s;
}
