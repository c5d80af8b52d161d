#include "replication/json_document.h"

#include <inttypes.h>
#include <stdio.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

/* ---- parsing ---- */

/* Deepest nesting of brackets outside strings; jansson's own bound is 2,048,
 * which recursion would reach first on a small stack. */
static unsigned nesting_of(struct ldb_slice text)
{
    unsigned depth = 0;
    unsigned deepest = 0;
    bool in_string = false;

    for (size_t i = 0; i < text.len; i++) {
        uint8_t c = text.data[i];

        if (in_string) {
            if (c == '\\')
                i++;
            else if (c == '"')
                in_string = false;
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            depth++;
            if (depth > deepest)
                deepest = depth;
        } else if ((c == '}' || c == ']') && depth > 0) {
            depth--;
        }
    }
    return deepest;
}

/*
 * An allocation for jansson failed on this thread. Its own error says so in
 * some places only; in others it is a syntax error, and in one none at all: a
 * string then lacks some of its bytes.
 */
static _Thread_local bool alloc_failed;

static void *alloc_block(size_t size)
{
    void *block = ldb_mem_alloc(1, size);

    alloc_failed = alloc_failed || block == NULL;
    return block;
}

void repl_json_use_ldb_mem(void)
{
    json_set_alloc_funcs(alloc_block, ldb_mem_free);
}

json_t *repl_json_parse(struct ldb_slice text, unsigned depth_max, char *why,
                        size_t why_size)
{
    json_error_t error;
    json_t *root;

    if (text.len == 0) {
        (void)snprintf(why, why_size, "the body is empty");
        return NULL;
    }
    if (nesting_of(text) > depth_max) {
        (void)snprintf(why, why_size, "JSON nested deeper than %u levels",
                       depth_max);
        return NULL;
    }
    alloc_failed = false;
    root = json_loadb((const char *)text.data, text.len,
                      JSON_REJECT_DUPLICATES | JSON_ALLOW_NUL, &error);
    if (!alloc_failed && root != NULL)
        return root;
    if (!alloc_failed) {
        (void)snprintf(why, why_size, "JSON, line %d column %d: %s", error.line,
                       error.column, error.text);
        return NULL;
    }
    json_decref(root);
    why[0] = '\0';
    return NULL;
}

/* ---- failing ---- */

void repl_json_refuse(const struct repl_json_object *from, const char *name,
                      const char *why)
{
    struct repl_json_reader *reader = from->reader;
    const char *dot = from->name[0] == '\0' || name == NULL ? "" : ".";
    char index[24] = "";

    if (reader->status != LDB_OK)
        return;
    if (from->index != SIZE_MAX)
        (void)snprintf(index, sizeof(index), "[%zu]", from->index);
    reader->status = ldb_error_set(
        reader->err, LDB_CORRUPTION, "%s: %s%s%s%s %s", reader->document,
        from->name, index, dot, name == NULL ? "" : name, why);
}

/* The member; NULL when reading has failed, or does so now. */
static const json_t *take(const struct repl_json_object *from, const char *name)
{
    const json_t *value;

    if (from->reader->status != LDB_OK)
        return NULL;
    value = json_object_get(from->object, name);
    if (value == NULL)
        repl_json_refuse(from, name, "is missing");
    return value;
}

/* ---- the document ---- */

json_t *repl_json_read(struct repl_json_reader *reader, struct ldb_slice text,
                       unsigned depth_max)
{
    char why[256];
    json_t *root = repl_json_parse(text, depth_max, why, sizeof(why));

    if (root != NULL)
        return root;
    if (why[0] == '\0')
        reader->status = ldb_error_no_memory(reader->err);
    else
        reader->status = ldb_error_set(reader->err, LDB_CORRUPTION, "%s: %s",
                                       reader->document, why);
    return NULL;
}

struct repl_json_object repl_json_root(struct repl_json_reader *reader,
                                       const json_t *root)
{
    struct repl_json_object object = {
        .reader = reader, .object = root, .name = "", .index = SIZE_MAX};

    if (reader->status == LDB_OK && !json_is_object(root))
        reader->status = ldb_error_set(reader->err, LDB_CORRUPTION,
                                       "%s: not an object", reader->document);
    return object;
}

bool repl_json_has(const struct repl_json_object *from, const char *name)
{
    const json_t *value;

    if (from->reader->status != LDB_OK)
        return false;
    value = json_object_get(from->object, name);
    return value != NULL && !json_is_null(value);
}

/* ---- values ---- */

uint64_t repl_json_u64(const struct repl_json_object *from, const char *name,
                       uint64_t max)
{
    const json_t *value = take(from, name);
    json_int_t number;
    char why[64];

    if (value == NULL)
        return 0;
    number = json_integer_value(value); /* 0 of what is none */
    if (json_is_integer(value) && number >= 0 && (uint64_t)number <= max)
        return (uint64_t)number;
    (void)snprintf(why, sizeof(why), "is not a number from 0 to %" PRIu64, max);
    repl_json_refuse(from, name, why);
    return 0;
}

bool repl_json_bool(const struct repl_json_object *from, const char *name)
{
    const json_t *value = take(from, name);

    if (value != NULL && !json_is_boolean(value)) {
        repl_json_refuse(from, name, "is not true or false");
        return false;
    }
    return value != NULL && json_is_true(value);
}

static bool is_printable(struct ldb_slice text)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.data[i] < 0x20 || text.data[i] > 0x7e)
            return false;
    }
    return true;
}

void repl_json_text(const struct repl_json_object *from, const char *name,
                    char *out, size_t size)
{
    const json_t *value = take(from, name);
    struct ldb_slice text;

    out[0] = '\0';
    if (value == NULL)
        return;
    if (!json_is_string(value)) {
        repl_json_refuse(from, name, "is not a string");
        return;
    }
    text = ldb_slice_make(json_string_value(value), json_string_length(value));
    if (text.len >= size || !is_printable(text)) {
        repl_json_refuse(from, name, "is too long, or not printable ASCII");
        return;
    }
    memcpy(out, text.data, text.len);
    out[text.len] = '\0';
}

static int hex_digit(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* Of a digit that was looked at. */
static uint8_t nibble(char c)
{
    int value = hex_digit(c);

    assert(value >= 0);
    return (uint8_t)value;
}

void repl_json_hex(const struct repl_json_object *from, const char *name,
                   char *out, size_t digits)
{
    const json_t *value = take(from, name);
    const char *text = json_string_value(value); /* NULL of what is none */
    bool is_hex = text != NULL && json_string_length(value) == digits;
    char why[64];

    out[0] = '\0';
    for (size_t i = 0; is_hex && i < digits; i++)
        is_hex = hex_digit(text[i]) >= 0;
    if (is_hex) {
        memcpy(out, text, digits);
        out[digits] = '\0';
    } else if (value != NULL) {
        (void)snprintf(why, sizeof(why), "is not %zu hex digits", digits);
        repl_json_refuse(from, name, why);
    }
}

uint64_t repl_json_hex64(const struct repl_json_object *from, const char *name)
{
    char text[17];
    uint64_t value = 0;

    repl_json_hex(from, name, text, sizeof(text) - 1);
    for (const char *p = text; *p != '\0'; p++)
        value = value << 4 | nibble(*p);
    return value;
}

struct ldb_digest repl_json_digest(const struct repl_json_object *from,
                                   const char *name)
{
    struct ldb_digest digest = {{0}};
    char text[2 * LDB_DIGEST_SIZE + 1];

    repl_json_hex(from, name, text, sizeof(text) - 1);
    for (size_t i = 0; text[0] != '\0' && i < LDB_DIGEST_SIZE; i++)
        digest.bytes[i] =
            (uint8_t)(nibble(text[2 * i]) << 4 | nibble(text[2 * i + 1]));
    return digest;
}

/* ---- objects in it ---- */

struct repl_json_object repl_json_member(const struct repl_json_object *from,
                                         const char *name)
{
    struct repl_json_object member = {.reader = from->reader,
                                      .object = take(from, name),
                                      .name = name,
                                      .index = SIZE_MAX};

    /* One level deep: that is what a message can name. */
    assert(from->name[0] == '\0');
    if (member.object != NULL && !json_is_object(member.object))
        repl_json_refuse(from, name, "is not an object");
    return member;
}

size_t repl_json_count(const struct repl_json_object *from, const char *name)
{
    const json_t *value = take(from, name);

    if (value != NULL && !json_is_array(value))
        repl_json_refuse(from, name, "is not an array");
    return json_array_size(value); /* 0 of what is none */
}

struct repl_json_object repl_json_item(const struct repl_json_object *from,
                                       const char *name, size_t index)
{
    const json_t *array = take(from, name);
    struct repl_json_object item = {.reader = from->reader,
                                    .object = json_array_get(array, index),
                                    .name = name,
                                    .index = index};

    assert(from->name[0] == '\0');
    if (array != NULL && !json_is_object(item.object))
        repl_json_refuse(&item, NULL, "is not an object");
    return item;
}
