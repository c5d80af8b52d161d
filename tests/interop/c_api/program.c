/*
 * A program as one written for LevelDB: made with LevelDB's own header alone,
 * linked once with each library (libleveld.a, libleveld.so, libleveldb). It
 * calls every function of the interface and prints what it sees; the three
 * must print the same (tests/interop/test_c_api.py).
 *
 *   program DIR     DIR: an empty folder, the working directory of choice
 */
#include <dirent.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <leveldb/c.h>

static const char name[] = "db";

static leveldb_env_t *env;
static leveldb_options_t *options;
static leveldb_readoptions_t *reading;
static leveldb_writeoptions_t *writing;
static leveldb_t *db;

/* ---- printing ---- */

static void print_bytes(const char *bytes, size_t len)
{
    if (len > 40) {
        printf("%zu bytes", len);
        return;
    }
    for (size_t i = 0; i < len; i++) {
        unsigned char c = (unsigned char)bytes[i];

        if (c >= ' ' && c <= '~')
            putchar(c);
        else
            printf("\\%02x", c);
    }
}

/* The whole text, or what comes before its first colon; frees it. */
static void print_error(const char *what, char **err, bool is_whole)
{
    if (*err != NULL && !is_whole)
        (*err)[strcspn(*err, ":")] = '\0';
    printf("%s: %s\n", what, *err == NULL ? "no error" : *err);
    leveldb_free(*err);
    *err = NULL;
}

/* Numbers that differ by engine (files, sizes) become "N". */
static void print_masked(const char *text)
{
    for (const char *p = text; *p != '\0'; p++) {
        if (*p < '0' || *p > '9') {
            putchar(*p);
            continue;
        }
        putchar('N');
        p += strspn(p, "0123456789") - 1;
    }
}

/* ---- shorthands ---- */

static void put(const char *key, const char *value)
{
    char *err = NULL;

    leveldb_put(db, writing, key, strlen(key), value, strlen(value), &err);
    if (err != NULL)
        print_error(key, &err, true);
}

static void show(const char *key, size_t len)
{
    char *err = NULL;
    size_t value_len = 99;
    char *value = leveldb_get(db, reading, key, len, &value_len, &err);

    printf("get ");
    print_bytes(key, len);
    printf(" -> ");
    if (value == NULL)
        printf("none (%zu)", value_len);
    else
        print_bytes(value, value_len);
    printf("\n");
    if (err != NULL)
        print_error("get", &err, true);
    leveldb_free(value);
}

static void get(const char *key)
{
    show(key, strlen(key));
}

static void open_db(const char *what)
{
    char *err = NULL;

    db = leveldb_open(options, name, &err);
    print_error(what, &err, true);
    if (db == NULL)
        printf("%s: no handle\n", what);
}

static void close_db(void)
{
    if (db != NULL)
        leveldb_close(db);
    db = NULL;
}

static void print_at(const leveldb_iterator_t *it)
{
    size_t len;
    const char *bytes;

    if (!leveldb_iter_valid(it)) {
        printf("  not valid\n");
        return;
    }
    bytes = leveldb_iter_key(it, &len);
    printf("  ");
    print_bytes(bytes, len);
    bytes = leveldb_iter_value(it, &len);
    printf("=");
    print_bytes(bytes, len);
    printf("\n");
}

static void list(const char *what)
{
    leveldb_iterator_t *it = leveldb_create_iterator(db, reading);
    char *err = NULL;

    printf("%s\n", what);
    for (leveldb_iter_seek_to_first(it); leveldb_iter_valid(it);
         leveldb_iter_next(it))
        print_at(it);
    leveldb_iter_get_error(it, &err);
    print_error("  end", &err, true);
    leveldb_iter_destroy(it);
}

static void property(const char *property_name, bool is_masked)
{
    char *text = leveldb_property_value(db, property_name);

    printf("%s: ", property_name);
    if (text == NULL)
        printf("none");
    else if (is_masked)
        print_masked(text);
    else
        printf("%s", text);
    printf("\n");
    leveldb_free(text);
}

/* As created, but for create_if_missing: NULL is no comparator to LevelDB. */
static void fresh_options(void)
{
    if (options != NULL)
        leveldb_options_destroy(options);
    options = leveldb_options_create();
    leveldb_options_set_create_if_missing(options, 1);
}

/* ---- the parts ---- */

static void opening(void)
{
    char *err = NULL;
    leveldb_t *second;

    printf("version %d.%d\n", leveldb_major_version(), leveldb_minor_version());
    open_db("open without a database");
    leveldb_options_set_create_if_missing(options, 1);
    open_db("create");
    put("kept", "1");
    /* A text that is there already is freed. */
    err = malloc(4);
    if (err != NULL)
        memcpy(err, "old", 4);
    second = leveldb_open(options, name, &err);
    printf("second handle %s\n", second == NULL ? "refused" : "given");
    print_error("open twice", &err, false);
    close_db();
    leveldb_options_set_error_if_exists(options, 1);
    open_db("open what exists");
    leveldb_options_set_error_if_exists(options, 0);
    open_db("open again");
    get("kept");
}

static void values(void)
{
    char *err = NULL;
    char *big = malloc(300000);

    if (big == NULL)
        return;
    memset(big, 'x', 300000);
    put("a", "1");
    put("a", "2");
    put("empty", "");
    put("", "the empty key");
    leveldb_put(db, writing, "n\0l\xff", 4, "v\0", 2, &err);
    print_error("put", &err, true);
    leveldb_put(db, writing, "big", 3, big, 300000, &err);
    print_error("put", &err, true);
    free(big);
    leveldb_writeoptions_set_sync(writing, 1);
    put("synced", "yes");
    leveldb_writeoptions_set_sync(writing, 0);
    leveldb_delete(db, writing, "kept", 4, &err);
    print_error("delete", &err, true);
    leveldb_delete(db, writing, "never", 5, &err);
    print_error("delete what is not there", &err, true);
    get("a");
    get("empty");
    get("");
    show("n\0l\xff", 4);
    get("big");
    get("synced");
    get("kept");
    list("entries");
}

static void on_put(void *count, const char *key, size_t key_len,
                   const char *value, size_t value_len)
{
    ++*(int *)count;
    printf("  put ");
    print_bytes(key, key_len);
    printf("=");
    print_bytes(value, value_len);
    printf("\n");
}

static void on_delete(void *count, const char *key, size_t key_len)
{
    ++*(int *)count;
    printf("  delete ");
    print_bytes(key, key_len);
    printf("\n");
}

static void batches(void)
{
    leveldb_writebatch_t *batch = leveldb_writebatch_create();
    leveldb_writebatch_t *more = leveldb_writebatch_create();
    char *err = NULL;
    int count = 0;

    leveldb_write(db, writing, batch, &err);
    print_error("empty batch", &err, true);
    leveldb_writebatch_put(batch, "lost", 4, "x", 1);
    leveldb_writebatch_clear(batch);
    leveldb_writebatch_put(batch, "b1", 2, "one", 3);
    leveldb_writebatch_delete(batch, "a", 1);
    leveldb_writebatch_put(more, "b2", 2, "", 0);
    leveldb_writebatch_put(more, "b1", 2, "uno", 3);
    leveldb_writebatch_append(batch, more);
    printf("batch\n");
    leveldb_writebatch_iterate(batch, &count, on_put, on_delete);
    printf("%d operations\n", count);
    leveldb_write(db, writing, batch, &err);
    print_error("write", &err, true);
    /* The same batch once more. */
    leveldb_write(db, writing, batch, &err);
    print_error("write", &err, true);
    leveldb_writebatch_destroy(more);
    leveldb_writebatch_destroy(batch);
    get("b1");
    get("b2");
    get("a");
    get("lost");
}

static void iterators(void)
{
    leveldb_iterator_t *it = leveldb_create_iterator(db, reading);

    printf("iterator\n");
    print_at(it);
    leveldb_iter_seek_to_last(it);
    print_at(it);
    leveldb_iter_prev(it);
    print_at(it);
    leveldb_iter_next(it);
    leveldb_iter_next(it);
    print_at(it);
    leveldb_iter_seek(it, "b2", 2);
    print_at(it);
    leveldb_iter_seek(it, "b11", 3);
    print_at(it);
    leveldb_iter_prev(it);
    print_at(it);
    leveldb_iter_seek(it, "zzz", 3);
    print_at(it);
    leveldb_iter_seek(it, "", 0);
    print_at(it);
    leveldb_iter_prev(it);
    print_at(it);
    leveldb_iter_destroy(it);
}

static void snapshots(void)
{
    const leveldb_snapshot_t *snapshot;

    put("s", "before");
    snapshot = leveldb_create_snapshot(db);
    put("s", "after");
    put("t", "after");
    leveldb_readoptions_set_snapshot(reading, snapshot);
    leveldb_readoptions_set_fill_cache(reading, 0);
    get("s");
    get("t");
    list("at the snapshot");
    leveldb_readoptions_set_snapshot(reading, NULL);
    leveldb_readoptions_set_fill_cache(reading, 1);
    leveldb_release_snapshot(db, snapshot);
    get("s");
    get("t");
}

static void sizes(void)
{
    const char *const start[] = {"", "x", "k0500"};
    const size_t start_len[] = {0, 1, 5};
    const char *const limit[] = {"k0500", "y", "zzz"};
    const size_t limit_len[] = {5, 1, 3};
    uint64_t found[3] = {77, 77, 77};
    char key[16];
    char value[128];

    for (unsigned i = 0; i < 1000; i++) {
        snprintf(key, sizeof key, "k%04u", i);
        snprintf(value, sizeof value, "%u-%032u-%u", i * 2654435761u,
                 i * 40503u, i);
        put(key, value);
    }
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    leveldb_compact_range(db, "k0100", 5, "k0200", 5);
    leveldb_approximate_sizes(db, 3, start, start_len, limit, limit_len, found);
    for (unsigned i = 0; i < 3; i++)
        printf("size %u: %s\n", i, found[i] == 0 ? "0" : "some");
    get("k0150");
    get("k0999");
    get("k1000");
}

/* On a fresh database, whose figures no engine can vary. */
static void properties(void)
{
    property("leveldb.num-files-at-level0", false);
    property("leveldb.num-files-at-level6", false);
    property("leveldb.num-files-at-level7", false);
    property("leveldb.num-files-at-level", false);
    property("leveldb.num-files-at-levelx", false);
    property("leveldb.stats", false);
    property("leveldb.sstables", false);
    property("leveldb.approximate-memory-usage", true);
    property("leveldb.unknown", false);
    property("num-files-at-level0", false);
    property("", false);
    put("first \x01'\xfe", "1");
    put("last", "2");
    /* Into a table of some level: which one differs. */
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    close_db();
    open_db("reopen");
    get("last");
}

/* The tables' line of "leveldb.sstables", without number and size. */
static void table_keys(void)
{
    char *text = leveldb_property_value(db, "leveldb.sstables");
    const char *line = text == NULL ? NULL : strchr(text, '[');

    printf("keys %.*s\n", line == NULL ? 0 : (int)strcspn(line, "\n"),
           line == NULL ? "" : line);
    leveldb_free(text);
}

/* ---- what the caller brings along ---- */

static int reverse(void *calls, const char *a, size_t a_len, const char *b,
                   size_t b_len)
{
    size_t len = a_len < b_len ? a_len : b_len;
    int order = memcmp(b, a, len);

    *(bool *)calls = true;
    if (order != 0)
        return order;
    return a_len < b_len ? 1 : a_len > b_len ? -1 : 0;
}

static const char *reverse_name(void *state)
{
    (void)state;
    return "test.reverse";
}

static void farewell(void *state)
{
    printf("destroyed %s\n", *(bool *)state ? "after use" : "unused");
}

static void destroy_db(void)
{
    char *err = NULL;

    close_db();
    leveldb_destroy_db(options, name, &err);
    print_error("destroy", &err, true);
}

static void comparators(void)
{
    static bool used;
    leveldb_comparator_t *cmp =
        leveldb_comparator_create(&used, farewell, reverse, reverse_name);

    leveldb_options_set_comparator(options, cmp);
    open_db("create with a comparator");
    put("a", "1");
    put("ab", "2");
    put("b", "3");
    list("in reverse");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    get("ab");
    list("in reverse, from a table");
    destroy_db();
    fresh_options();
    leveldb_comparator_destroy(cmp);
}

static void wrong_comparator(void)
{
    static bool used;
    leveldb_comparator_t *cmp =
        leveldb_comparator_create(&used, farewell, reverse, reverse_name);
    char *err = NULL;

    open_db("create with the default comparator");
    close_db();
    leveldb_options_set_comparator(options, cmp);
    db = leveldb_open(options, name, &err);
    print_error("open with another comparator", &err, false);
    fresh_options();
    leveldb_comparator_destroy(cmp);
    destroy_db();
}

static bool may_match_says = true;

static char *make_filter(void *used, const char *const *keys,
                         const size_t *lengths, int count, size_t *len)
{
    char *filter = malloc(4);

    for (int i = 0; i < count; i++) {
        if (lengths[i] != 2 || keys[i][0] != 'f')
            printf("  filter of a strange key\n");
    }
    *(bool *)used = true;
    *len = 4;
    if (filter != NULL)
        memcpy(filter, "fake", 4);
    return filter;
}

static unsigned char may_match(void *used, const char *key, size_t key_len,
                               const char *filter, size_t len)
{
    (void)used;
    (void)key;
    (void)key_len;
    if (len != 4 || memcmp(filter, "fake", 4) != 0)
        printf("  a filter of %zu bytes\n", len);
    return may_match_says;
}

static const char *filter_name(void *state)
{
    (void)state;
    return "test.filter";
}

static void filters(bool is_bloom)
{
    static bool used;
    leveldb_filterpolicy_t *policy =
        is_bloom ? leveldb_filterpolicy_create_bloom(10)
                 : leveldb_filterpolicy_create(&used, farewell, make_filter,
                                               may_match, filter_name);

    leveldb_options_set_filter_policy(options, policy);
    open_db("create with a filter");
    put("f1", "1");
    put("f2", "2");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    get("f1");
    get("f3");
    may_match_says = false;
    get("f1");
    may_match_says = true;
    get("f2");
    table_keys();
    destroy_db();
    leveldb_options_set_filter_policy(options, NULL);
    leveldb_filterpolicy_destroy(policy);
}

/* Every setter, with values that LevelDB draws into its ranges. */
static void extremes(void)
{
    leveldb_cache_t *cache = leveldb_cache_create_lru(100000);

    leveldb_options_set_env(options, env);
    leveldb_options_set_info_log(options, NULL);
    leveldb_options_set_cache(options, cache);
    leveldb_options_set_write_buffer_size(options, 1);
    leveldb_options_set_max_open_files(options, 1);
    leveldb_options_set_block_size(options, 1);
    leveldb_options_set_block_restart_interval(options, 1);
    leveldb_options_set_max_file_size(options, 1);
    leveldb_options_set_compression(options, leveldb_no_compression);
    leveldb_options_set_paranoid_checks(options, 1);
    open_db("create with the least of all");
    put("least", "1");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    get("least");
    close_db();
    leveldb_options_set_write_buffer_size(options, (size_t)1 << 40);
    leveldb_options_set_max_open_files(options, 1 << 30);
    leveldb_options_set_block_size(options, (size_t)1 << 40);
    leveldb_options_set_block_restart_interval(options, 1000);
    leveldb_options_set_max_file_size(options, (size_t)1 << 40);
    leveldb_options_set_compression(options, leveldb_snappy_compression);
    open_db("open with the most of all");
    get("least");
    destroy_db();
    fresh_options();
    leveldb_cache_destroy(cache);
}

/* Flips a byte near the start of the largest table. */
static void damage(void)
{
    char path[512] = "";
    long largest = 0;
    DIR *dir = opendir(name);

    for (struct dirent *entry; dir != NULL && (entry = readdir(dir)) != NULL;) {
        char candidate[512];
        FILE *file;

        if (strstr(entry->d_name, ".ldb") == NULL)
            continue;
        snprintf(candidate, sizeof candidate, "%s/%s", name, entry->d_name);
        file = fopen(candidate, "rb");
        if (file != NULL && fseek(file, 0, SEEK_END) == 0 &&
            ftell(file) > largest) {
            largest = ftell(file);
            memcpy(path, candidate, sizeof path);
        }
        if (file != NULL)
            fclose(file);
    }
    if (dir != NULL)
        closedir(dir);
    FILE *file = fopen(path, "r+b");
    if (file == NULL || fseek(file, 100, SEEK_SET) != 0)
        return;
    int byte = getc(file);
    if (fseek(file, 100, SEEK_SET) == 0)
        putc(byte ^ 0x20, file);
    fclose(file);
}

static void damaged(void)
{
    char *err = NULL;
    size_t len;
    char *value;
    leveldb_iterator_t *it;

    open_db("create");
    sizes();
    close_db();
    damage();
    open_db("open what is damaged");
    leveldb_readoptions_set_verify_checksums(reading, 1);
    value = leveldb_get(db, reading, "k0001", 5, &len, &err);
    printf("damaged value: %s\n", value == NULL ? "none" : "there");
    print_error("damaged get", &err, false);
    it = leveldb_create_iterator(db, reading);
    leveldb_iter_seek(it, "k0001", 5);
    leveldb_iter_get_error(it, &err);
    print_error("damaged iterator", &err, false);
    leveldb_iter_destroy(it);
    leveldb_readoptions_set_verify_checksums(reading, 0);
    destroy_db();
}

static void repair(void)
{
    char *err = NULL;

    open_db("create");
    put("kept", "1");
    put("table", "2");
    leveldb_compact_range(db, NULL, 0, NULL, 0);
    put("kept", "3");
    close_db();
    remove("db/CURRENT");
    leveldb_repair_db(options, name, &err);
    print_error("repair", &err, true);
    open_db("open what was repaired");
    list("repaired");
    destroy_db();
}

static void environment(void)
{
    char *path = leveldb_env_get_test_directory(env);

    printf("test directory %s\n", path == NULL ? "none" : path);
    leveldb_free(path);
    setenv("TEST_TMPDIR", "", 1);
    path = leveldb_env_get_test_directory(env);
    printf("test directory %s\n", path == NULL ? "none" : path);
    leveldb_free(path);
}

int main(int argc, char **argv)
{
    if (argc != 2 || chdir(argv[1]) != 0) {
        fprintf(stderr, "usage: %s DIR\n", argv[0]);
        return 2;
    }
    env = leveldb_create_default_env();
    options = leveldb_options_create();
    reading = leveldb_readoptions_create();
    writing = leveldb_writeoptions_create();
    opening();
    values();
    batches();
    iterators();
    snapshots();
    sizes();
    destroy_db();
    open_db("create");
    properties();
    table_keys();
    destroy_db();
    destroy_db();
    comparators();
    wrong_comparator();
    filters(true);
    filters(false);
    extremes();
    damaged();
    repair();
    environment();
    leveldb_options_destroy(options);
    leveldb_readoptions_destroy(reading);
    leveldb_writeoptions_destroy(writing);
    leveldb_env_destroy(env);
    return 0;
}
