/*
 * A version is held for as long as its tables are looked up, no longer: who
 * waits may be gone before the database is. So what is not known is listed and
 * asked for, one after the other; then the version of that time is tried.
 */
#include "replication/database_digest.h"

#include "replication/digest_index.h"
#include "replication/held_version.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"
#include "storage/base/writer.h"

/* Peers compare these: do not change. Epoch, MANIFEST's number and length,
 * last sequence; then of each table, ascending by number: number,
 * level, length, and its digest. Numbers are eight bytes, little-endian. */
#define HEAD_NUMBERS  4
#define TABLE_NUMBERS 3

/* Versions tried at most. Chosen: while one round asks for digests, compactions
 * make new tables; each round has fewer to ask for. */
#define ROUNDS_MAX 16

/*
 * Locking: what on_digest brings is written by the index's thread before it
 * calls wake, and read by whoever steps on after that: wake hands over.
 */
struct repl_database_digest {
    struct repl_held_table *wanted; /* whose digests were not known */
    size_t wanted_count;
    size_t at; /* those before it were asked for */
    unsigned rounds;

    struct repl_digest_ask ask; /* of the one at `at` */
    bool has_asked;
    void (*wake)(void *context);
    void *context;
    enum ldb_status answer; /* what ask brought */
    struct ldb_error error;
};

struct repl_database_digest *repl_database_digest_create(void)
{
    return ldb_mem_zalloc(1, sizeof(struct repl_database_digest));
}

void repl_database_digest_destroy(struct repl_database_digest *digest)
{
    if (digest == NULL)
        return;
    ldb_mem_free(digest->wanted);
    ldb_mem_free(digest);
}

static struct repl_digest_file file_of(const struct repl_held_table *table)
{
    return (struct repl_digest_file){
        .type = LDB_FILE_TABLE,
        .number = table->number,
        .size = table->size,
    };
}

/* ---- asking ---- */

/* The index's call. */
static void on_digest(struct repl_digest_ask *ask, enum ldb_status s,
                      const struct ldb_digest *digest,
                      const struct ldb_error *err)
{
    struct repl_database_digest *d = ask->context;

    (void)digest;
    d->answer = s;
    if (s != LDB_OK)
        d->error = *err;
    d->wake(d->context);
}

/* What the last ask brought; a table that has gone is in no version that is
 * tried later. */
static enum ldb_status take_answer(struct repl_database_digest *d,
                                   struct ldb_error *err)
{
    d->has_asked = false;
    d->at++;
    if (d->answer == LDB_OK || d->answer == LDB_NOT_FOUND)
        return LDB_OK;
    return ldb_error_set(err, d->answer, "%s", d->error.message);
}

/* Asks for what is left on the list, until something has to be waited for. */
static enum ldb_status ask_on(struct repl_database_digest *d,
                              struct repl_digest_index *digests,
                              struct ldb_error *err, bool *out_waits)
{
    enum ldb_status s = LDB_OK;

    for (; s == LDB_OK && d->at < d->wanted_count; d->at++) {
        struct ldb_digest known;

        d->ask = (struct repl_digest_ask){
            .file = file_of(&d->wanted[d->at]),
            .done = on_digest,
            .context = d,
        };
        d->has_asked = true; /* it may come before this returns */
        s = repl_digest_index_ask(digests, &d->ask, err, &known);
        if (s == LDB_STALLED) {
            *out_waits = true;
            return LDB_OK;
        }
        d->has_asked = false;
    }
    return s;
}

/* ---- trying a version ---- */

static void add_numbers(struct ldb_digester *digester, const uint64_t *numbers,
                        size_t count)
{
    uint8_t bytes[HEAD_NUMBERS * sizeof(uint64_t)];

    assert(count <= HEAD_NUMBERS);
    for (size_t i = 0; i < count; i++)
        ldb_store_fixed64(bytes + i * sizeof(uint64_t), numbers[i]);
    ldb_digester_add(digester, ldb_slice_make(bytes, count * sizeof(uint64_t)));
}

static void add_head(struct ldb_digester *digester,
                     const struct repl_database_digest_of *of,
                     const struct repl_held_version *held)
{
    const uint64_t numbers[HEAD_NUMBERS] = {of->epoch, held->manifest_number,
                                            held->manifest_len,
                                            held->last_sequence};

    add_numbers(digester, numbers, HEAD_NUMBERS);
}

static void add_table(struct ldb_digester *digester,
                      const struct repl_held_table *table,
                      const struct ldb_digest *digest)
{
    const uint64_t numbers[TABLE_NUMBERS] = {table->number, table->level,
                                             table->size};

    add_numbers(digester, numbers, TABLE_NUMBERS);
    ldb_digester_add(digester,
                     ldb_slice_make(digest->bytes, sizeof(digest->bytes)));
}

/* Digests the version, and lists the tables whose digests are not known: none:
 * the digester has it all. */
static void try_tables(struct repl_database_digest *d,
                       const struct repl_database_digest_of *of,
                       const struct repl_held_version *held,
                       struct ldb_digester *digester)
{
    add_head(digester, of, held);
    for (size_t i = 0; i < held->table_count; i++) {
        const struct repl_digest_file file = file_of(&held->tables[i]);
        struct ldb_digest digest;

        if (repl_digest_index_get(of->digests, &file, &digest))
            add_table(digester, &held->tables[i], &digest);
        else
            d->wanted[d->wanted_count++] = held->tables[i];
    }
}

static enum ldb_status make_room(struct repl_database_digest *d, size_t count,
                                 struct ldb_error *err)
{
    ldb_mem_free(d->wanted);
    d->wanted = NULL;
    d->wanted_count = 0;
    d->at = 0;
    if (count == 0)
        return LDB_OK;
    d->wanted = ldb_mem_alloc(count, sizeof(*d->wanted));
    return d->wanted == NULL ? ldb_error_no_memory(err) : LDB_OK;
}

static enum ldb_status try_version(struct repl_database_digest *d,
                                   const struct repl_database_digest_of *of,
                                   struct ldb_error *err,
                                   struct repl_database_digest_result *out)
{
    struct ldb_digester *digester = ldb_digester_create();
    struct repl_held_version held = {0};
    enum ldb_status s;

    s = digester == NULL ? ldb_error_no_memory(err)
                         : repl_held_version_take(of->db, err, &held);
    if (s == LDB_OK)
        s = make_room(d, held.table_count, err);
    if (s == LDB_OK) {
        try_tables(d, of, &held, digester);
        *out = (struct repl_database_digest_result){
            .epoch = of->epoch,
            .manifest_number = held.manifest_number,
            .manifest_len = held.manifest_len,
            .sequence = held.last_sequence,
            .tables = held.table_count,
            .digest = ldb_digester_result(digester),
        };
    }
    repl_held_version_release(&held);
    ldb_digester_destroy(digester);
    return s;
}

enum ldb_status
repl_database_digest_step(struct repl_database_digest *digest,
                          const struct repl_database_digest_of *of,
                          void (*wake)(void *context), void *context,
                          struct ldb_error *err, bool *out_waits,
                          struct repl_database_digest_result *out)
{
    struct repl_database_digest *d = digest;
    struct repl_database_digest_result result;
    bool waits = false;
    enum ldb_status s = LDB_OK;

    d->wake = wake;
    d->context = context;
    if (d->has_asked)
        s = take_answer(d, err);
    while (s == LDB_OK) {
        s = ask_on(d, of->digests, err, &waits);
        if (s != LDB_OK || waits)
            break;
        if (d->rounds++ == ROUNDS_MAX)
            return ldb_error_set(err, LDB_STALLED,
                                 "tables are made faster than they are "
                                 "digested");
        s = try_version(d, of, err, &result);
        if (s == LDB_OK && d->wanted_count == 0) {
            *out = result;
            break;
        }
    }
    if (s == LDB_OK)
        *out_waits = waits;
    return s;
}
