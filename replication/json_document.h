/*
 * JSON documents that come in, by jansson: parsed behind a limit of depth, and
 * read member by member. What is missing or of another kind is an error that
 * names the member: "state: journals[2].digest is not 32 hex digits".
 *
 *     struct repl_json_reader reader = {.document = "state", .err = err};
 *     json_t *root = repl_json_read(&reader, text, 2);
 *     struct repl_json_object object = repl_json_root(&reader, root);
 *
 *     out->number = repl_json_u64(&object, "number", UINT32_MAX);
 *     ...
 *     json_decref(root);
 *     return reader.status;
 *
 * As with struct ldb_reader the first failure stays: from then on every call
 * gives zero, an empty text or an empty array, and changes nothing; so a whole
 * document is read, and then status looked at once.
 *
 * Members that nobody asks for are passed over: a newer node may say more.
 *
 * Thread-safety: functions of their arguments; use_ldb_mem before any thread.
 */
#ifndef REPLICATION_JSON_DOCUMENT_H
#define REPLICATION_JSON_DOCUMENT_H

#include <jansson.h>

#include "storage/base/digest.h"

/* Makes jansson allocate through ldb_mem_*. Before any other use of it. */
void repl_json_use_ldb_mem(void);

/*
 * A whole document, an object or array, nested at most depth_max deep, no
 * name twice in an object, strings UTF-8. NULL: why says what is wrong (or is
 * "" when there was no memory, which shows after use_ldb_mem alone). The caller
 * owns a reference.
 */
LDB_MUST_CHECK json_t *repl_json_parse(struct ldb_slice text,
                                       unsigned depth_max, char *why,
                                       size_t why_size);

/* ---- members ---- */

struct repl_json_reader {
    const char *document;   /* its name in messages */
    struct ldb_error *err;  /* NULL: not wanted */
    enum ldb_status status; /* OK, or of the first failure: CORRUPTION,
                               NO_MEMORY, or the caller's own */
};

/* An object in a document, which it borrows. */
struct repl_json_object {
    struct repl_json_reader *reader;
    const json_t *object; /* NULL: reading has failed */
    const char *name;     /* of the member that it is, or is in; "": root */
    size_t index;         /* in an array; SIZE_MAX: it is in none */
};

/* Parses text. NULL: reader->status says why. */
LDB_MUST_CHECK json_t *repl_json_read(struct repl_json_reader *reader,
                                      struct ldb_slice text,
                                      unsigned depth_max);
/* root (borrowed, NULL is fine) as an object. */
struct repl_json_object repl_json_root(struct repl_json_reader *reader,
                                       const json_t *root);

/* Whether it has the member at all; null counts as none. */
bool repl_json_has(const struct repl_json_object *from, const char *name);

/* A whole number from 0 to max. */
uint64_t repl_json_u64(const struct repl_json_object *from, const char *name,
                       uint64_t max);
bool repl_json_bool(const struct repl_json_object *from, const char *name);
/* Printable ASCII that fits out with its NUL. */
void repl_json_text(const struct repl_json_object *from, const char *name,
                    char *out, size_t size);
/* Exactly digits lower-case hex digits, as text with a NUL. */
void repl_json_hex(const struct repl_json_object *from, const char *name,
                   char *out, size_t digits);
/* 64 bits as 16 of them. */
uint64_t repl_json_hex64(const struct repl_json_object *from, const char *name);
/* A digest as 32 of them. */
struct ldb_digest repl_json_digest(const struct repl_json_object *from,
                                   const char *name);

/* A member that is an object. */
struct repl_json_object repl_json_member(const struct repl_json_object *from,
                                         const char *name);
/* How many objects a member has that is an array. */
size_t repl_json_count(const struct repl_json_object *from, const char *name);
/* One of those: index is below their count. */
struct repl_json_object repl_json_item(const struct repl_json_object *from,
                                       const char *name, size_t index);

/* The caller finds the member wrong: "DOCUMENT: MEMBER WHY", CORRUPTION. NULL
 * for name: the object is. */
void repl_json_refuse(const struct repl_json_object *from, const char *name,
                      const char *why);

#endif
