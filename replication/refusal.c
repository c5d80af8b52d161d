#include "replication/refusal.h"

#include "replication/json_document.h"
#include "storage/base/status.h"

/* A problem body is small, whatever a peer sends. Chosen. */
#define BODY_MAX  ((size_t)64 << 10)
#define DEPTH_MAX 8

#define TYPE_PREFIX "/problems/"

/* Cut to the room, with what is no printable ASCII as '?'. */
static void copy_text(const char *text, char *out, size_t out_size)
{
    size_t len = 0;

    for (; text[len] != '\0' && len < out_size - 1; len++)
        out[len] = text[len] >= ' ' && text[len] <= '~' ? text[len] : '?';
    out[len] = '\0';
}

static void copy_member(const json_t *body, const char *name, char *out,
                        size_t out_size)
{
    const char *text = json_string_value(json_object_get(body, name));

    if (text != NULL)
        copy_text(text, out, out_size);
}

/* The last part of the type's URI. */
static void copy_type(const json_t *body, struct repl_refusal *out)
{
    const char *type = json_string_value(json_object_get(body, "type"));
    const char *at = type == NULL ? NULL : strstr(type, TYPE_PREFIX);

    if (at != NULL)
        copy_text(at + strlen(TYPE_PREFIX), out->type, sizeof(out->type));
}

/* A URL that is cut or mended is another one: none, then. */
static void copy_leader(const json_t *body, struct repl_refusal *out)
{
    const char *url = json_string_value(json_object_get(body, "leader"));

    if (url == NULL)
        return;
    copy_text(url, out->leader, sizeof(out->leader));
    if (strcmp(out->leader, url) != 0)
        out->leader[0] = '\0';
}

void repl_refusal_read(unsigned http, struct ldb_slice body,
                       struct repl_refusal *out)
{
    json_t *document = NULL;
    char why[128]; /* not wanted: what is no document has no reason */

    *out = (struct repl_refusal){.http = http};
    if (body.len > 0 && body.len <= BODY_MAX)
        document = repl_json_parse(body, DEPTH_MAX, why, sizeof(why));
    if (!json_is_object(document))
        goto out;
    copy_type(document, out);
    copy_member(document, "title", out->detail, sizeof(out->detail));
    copy_member(document, "detail", out->detail, sizeof(out->detail));
    copy_leader(document, out);
out:
    json_decref(document);
}

static enum ldb_status status_of(const struct repl_refusal *refusal)
{
    if (strcmp(refusal->type, "outcome-unknown") == 0)
        return LDB_OUTCOME_UNKNOWN;
    if (strcmp(refusal->type, "corruption") == 0)
        return LDB_CORRUPTION;
    switch (refusal->http) {
    case 400:
    case 401:
    case 403:
    case 411:
    case 414:
    case 416:
    case 431:
        return LDB_INVALID_ARGUMENT;
    case 404:
        return LDB_NOT_FOUND;
    case 405:
    case 406:
    case 415:
    case 501:
    case 505:
        return LDB_NOT_SUPPORTED;
    case 409:
    case 412:
    case 421:
        return LDB_PRECONDITION;
    case 410:
        return LDB_GONE;
    case 413:
        return LDB_TOO_LARGE;
    case 429:
    case 503:
        return LDB_STALLED;
    case 504:
        return LDB_OUTCOME_UNKNOWN;
    case 507:
        return LDB_NO_SPACE;
    default:
        return LDB_IO;
    }
}

static enum ldb_status set_error(const struct repl_refusal *refusal,
                                 enum ldb_status status, const char *path,
                                 struct ldb_error *err)
{
    return ldb_error_set(err, status, "%s: answered %u%s%s%s%s", path,
                         refusal->http, refusal->type[0] == '\0' ? "" : " ",
                         refusal->type, refusal->detail[0] == '\0' ? "" : ": ",
                         refusal->detail);
}

enum ldb_status repl_refusal_error(const struct repl_refusal *refusal,
                                   const char *path, struct ldb_error *err)
{
    return set_error(refusal, status_of(refusal), path, err);
}

enum ldb_status repl_refusal_file_error(const struct repl_refusal *refusal,
                                        const char *name, struct ldb_error *err)
{
    enum ldb_status s = LDB_IO;

    if (refusal->http == 404 || refusal->http == 410)
        s = LDB_NOT_FOUND;
    else if (refusal->http == 416)
        s = LDB_INVALID_ARGUMENT;
    return set_error(refusal, s, name, err);
}
