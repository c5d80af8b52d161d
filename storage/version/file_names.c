#include "storage/version/file_names.h"

#include <inttypes.h>
#include <stdio.h>

#include "storage/base/checked.h"
#include "storage/base/mem.h"

/* "NNNNNN" at least six digits wide; docs/formats.md. */
#define NUMBER_FORMAT "%06" PRIu64

/* The names with a number: what stands before it and after it. */
static const struct pattern {
    const char *prefix;
    const char *suffix;
    enum ldb_file_type type;
} patterns[] = {
    {"", ".log", LDB_FILE_JOURNAL},
    {"", ".ldb", LDB_FILE_TABLE},
    {"", ".sst", LDB_FILE_TABLE_SST},
    {"MANIFEST-", "", LDB_FILE_MANIFEST},
    {"CURRENT.", "", LDB_FILE_CURRENT_NEXT},
    {"", ".dbtmp", LDB_FILE_DBTMP},
    {"", ".tmp", LDB_FILE_TMP},
};

/* The names without one. The first of a type is the one printed. */
static const struct fixed_name {
    const char *name;
    enum ldb_file_type type;
} fixed_names[] = {
    {"CURRENT", LDB_FILE_CURRENT},
    {"LOCK", LDB_FILE_LOCK},
    {"CURRENT.bak", LDB_FILE_CURRENT_BAK},
    {"LOG", LDB_FILE_LOG},
    {"LOG.old", LDB_FILE_LOG},
};

#define COUNT_OF(array) (sizeof(array) / sizeof((array)[0]))

/* The number between prefix and suffix, in the one spelling we print. */
static bool match(const struct pattern *pattern, const char *name,
                  uint64_t *out_number)
{
    struct ldb_slice text = ldb_slice_str(name);
    size_t prefix_len = strlen(pattern->prefix);
    size_t suffix_len = strlen(pattern->suffix);
    char canonical[LDB_FILE_NAME_SIZE];
    uint64_t number;

    if (text.len < prefix_len + suffix_len)
        return false;
    text = ldb_slice_make(text.data + prefix_len,
                          text.len - prefix_len - suffix_len);
    if (!ldb_parse_u64(text, &number) || number > LDB_FILE_NUMBER_MAX)
        return false;
    ldb_file_name_print(canonical, pattern->type, number);
    if (strcmp(canonical, name) != 0)
        return false;
    *out_number = number;
    return true;
}

enum ldb_file_type ldb_file_name_parse(const char *name, uint64_t *out_number)
{
    *out_number = 0;
    for (size_t i = 0; i < COUNT_OF(fixed_names); i++) {
        if (strcmp(fixed_names[i].name, name) == 0)
            return fixed_names[i].type;
    }
    for (size_t i = 0; i < COUNT_OF(patterns); i++) {
        if (match(&patterns[i], name, out_number))
            return patterns[i].type;
    }
    return LDB_FILE_FOREIGN;
}

void ldb_file_name_print(char out[LDB_FILE_NAME_SIZE], enum ldb_file_type type,
                         uint64_t number)
{
    int len = 0;

    for (size_t i = 0; i < COUNT_OF(patterns) && len == 0; i++) {
        const struct pattern *p = &patterns[i];

        if (p->type != type)
            continue;
        /* CURRENT.N alone is not padded. */
        len = snprintf(out, LDB_FILE_NAME_SIZE,
                       type == LDB_FILE_CURRENT_NEXT ? "%s%" PRIu64 "%s"
                                                     : "%s" NUMBER_FORMAT "%s",
                       p->prefix, number, p->suffix);
    }
    for (size_t i = 0; i < COUNT_OF(fixed_names) && len == 0; i++) {
        if (fixed_names[i].type == type)
            len = snprintf(out, LDB_FILE_NAME_SIZE, "%s", fixed_names[i].name);
    }
    assert(len > 0);
    assert(len < LDB_FILE_NAME_SIZE);
}

char *ldb_file_path(const char *dir, enum ldb_file_type type, uint64_t number)
{
    char name[LDB_FILE_NAME_SIZE];

    ldb_file_name_print(name, type, number);
    return ldb_mem_printf("%s/%s", dir, name);
}
