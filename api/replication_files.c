#include "api/replication_files.h"

#include <inttypes.h>
#include <string.h>

#include "api/context.h"
#include "api/db_gate.h"
#include "api/file_part.h"
#include "api/params.h"
#include "api/problem.h"
#include "api/replication.h"
#include "api/response.h"
#include "replication/file_headers.h"
#include "replication/leader.h"
#include "replication/table_name.h"
#include "storage/base/mem.h"
#include "storage/base/slice.h"
#include "storage/base/status.h"

/* ---- the stream ---- */

struct file_stream {
    struct api_exchange *x;
    struct repl_served_file *file;
    bool follows;
    uint64_t left; /* when it does not */
};

static void wake_exchange(void *context)
{
    api_exchange_wake(context);
}

/* Some bytes of a file that is read to where it ended when it was asked for. */
static int64_t read_part(struct file_stream *s, uint8_t *out, size_t max)
{
    size_t len = 0;

    if (s->left < max)
        max = (size_t)s->left;
    if (max > 0 &&
        (repl_served_file_read(s->file, max, out, NULL, &len) != LDB_OK ||
         len == 0))
        return API_STREAM_FAILED;
    s->left -= len;
    return (int64_t)len;
}

/* The same of one that is followed. */
static int64_t read_on(struct file_stream *s, uint8_t *out, size_t max)
{
    for (;;) {
        struct repl_served_head head;
        size_t len = 0;

        if (repl_served_file_read(s->file, max, out, NULL, &len) != LDB_OK)
            return API_STREAM_FAILED;
        if (len > 0)
            return (int64_t)len;
        repl_served_file_head(s->file, &head);
        if ((head.is_sealed || head.is_over) &&
            repl_served_file_at(s->file) == head.len)
            return 0;
        if (repl_served_file_wait(s->file, wake_exchange, s->x))
            return API_STREAM_WAIT;
    }
}

static int64_t stream_read(void *stream, uint8_t *out, size_t max)
{
    struct file_stream *s = stream;

    /* A file that lacks its end is seen to be cut. */
    if (api_db_gate_is_closing(s->x->context->gate))
        return API_STREAM_FAILED;
    return s->follows ? read_on(s, out, max) : read_part(s, out, max);
}

static void stream_destroy(void *stream)
{
    struct file_stream *s = stream;

    repl_served_file_close(s->file);
    ldb_mem_free(s);
}

static const struct api_stream_ops stream_ops = {
    .read = stream_read,
    .destroy = stream_destroy,
};

/* ---- the request ---- */

struct file_query {
    struct ldb_slice name; /* in the exchange's arena, or its path */
    bool has_from;
    uint64_t from;
    bool follows;
};

static bool parse_query(struct api_exchange *x, struct file_query *out)
{
    static const char *const allowed[] = {"from", "follow", NULL};
    struct api_params params;
    enum api_decode_result decoded;

    *out = (struct file_query){0};
    if (!api_params_parse(x, allowed, &params) ||
        !api_params_u64(x, &params, "from", 0, UINT64_MAX, &out->from) ||
        !api_params_bool(x, &params, "follow", &out->follows))
        return false;
    out->has_from = api_params_find(&params, "from") != NULL;
    decoded = api_percent_decode(x->arena, x->raw_rest, &out->name);
    if (decoded == API_DECODE_NO_MEMORY)
        api_answer_no_memory(x);
    else if (decoded == API_DECODE_BAD)
        api_answer_problemf(x, API_PROBLEM_MALFORMED,
                            "the file's name cannot be decoded");
    return decoded == API_DECODE_OK;
}

/* What the answer says of the file. leader: NULL: a follower's table, of no
 * epoch. tag: NULL: of a growing one. */
static bool add_headers(struct api_exchange *x, struct repl_leader *leader,
                        const struct repl_served_head *head, const char *tag)
{
    if (leader != NULL && !api_replication_epoch_id(x, leader))
        return false;
    if (api_header_add(x, REPL_SEALED_HEADER,
                       head->is_sealed ? "true" : "false") &&
        api_header_printf(x, REPL_SIZE_HEADER, "%" PRIu64, head->len) &&
        api_header_add(x, "Accept-Ranges", "bytes") &&
        (tag != NULL ? api_header_add(x, "ETag", tag)
                     : api_header_add(x, "Cache-Control", "no-store")))
        return true;
    api_answer_no_memory(x);
    return false;
}

static bool add_digest(struct api_exchange *x, const struct ldb_digest *digest)
{
    char text[REPL_DIGEST_HEADER_SIZE];

    repl_digest_header_print(digest, text);
    if (api_header_printf(x, REPL_DIGEST_HEADER, "%s", text))
        return true;
    api_answer_no_memory(x);
    return false;
}

static struct repl_digest_file digest_file(const struct repl_served_head *head)
{
    return (struct repl_digest_file){
        .type =
            head->type == LDB_FILE_JOURNAL ? LDB_FILE_JOURNAL : LDB_FILE_TABLE,
        .number = head->number,
        .size = head->len,
    };
}

/* ---- HEAD ---- */

struct head_wait {
    struct repl_digest_ask ask;
    uint64_t len;
    enum ldb_status status;
    struct ldb_error error;
    struct ldb_digest digest;
};

/* The index's call. */
static void on_digest(struct repl_digest_ask *ask, enum ldb_status s,
                      const struct ldb_digest *digest,
                      const struct ldb_error *err)
{
    struct api_exchange *x = ask->context;
    struct head_wait *wait = x->state;

    wait->status = s;
    if (s == LDB_OK)
        wait->digest = *digest;
    else
        wait->error = *err;
    api_exchange_wake(x);
}

static void answer_digest(struct api_exchange *x, const struct head_wait *wait)
{
    if (wait->status != LDB_OK)
        api_replication_answer_status(x, wait->status, &wait->error);
    else if (add_digest(x, &wait->digest))
        api_answer_head(x, 200, API_TYPE_BYTES, wait->len);
}

/*
 * Nothing of the file is held while the exchange waits: it may be buried after
 * the database is closed.
 */
static void answer_head(struct api_exchange *x,
                        const struct repl_served_head *head)
{
    struct ldb_digest digest = {0};
    struct ldb_error error = {0};
    struct head_wait *wait;
    enum ldb_status s;

    if (!head->is_sealed) {
        api_answer_head(x, 200, API_TYPE_BYTES, head->len);
        return;
    }
    wait = ldb_arena_alloc_aligned(x->arena, sizeof(*wait));
    if (wait == NULL) {
        api_answer_no_memory(x);
        return;
    }
    *wait = (struct head_wait){
        .ask = {.file = digest_file(head), .done = on_digest, .context = x},
        .len = head->len,
    };
    x->state = wait;
    /* STALLED: what wait has is the index's until it wakes x. */
    s = repl_digest_index_ask(x->context->digests, &wait->ask, &error, &digest);
    if (s == LDB_STALLED)
        return;
    wait->status = s;
    wait->error = error;
    wait->digest = digest;
    answer_digest(x, wait);
}

void api_replication_files_resume(struct api_exchange *x)
{
    answer_digest(x, x->state);
}

/* ---- GET ---- */

/* False: answered. */
static bool choose_part(struct api_exchange *x, const struct file_query *query,
                        const struct repl_served_head *head, const char *tag,
                        struct api_file_part *out)
{
    if (!query->has_from && !query->follows)
        return api_file_part_find(x, tag, head->len, out);
    if (query->from > head->len) {
        api_file_answer_outside(x, head->len);
        return false;
    }
    *out = (struct api_file_part){
        .status = 200, .start = query->from, .len = head->len - query->from};
    return true;
}

/* Takes file over. */
static void answer_stream(struct api_exchange *x,
                          const struct file_query *query,
                          const struct api_file_part *part,
                          struct repl_served_file *file)
{
    struct file_stream *s = ldb_mem_zalloc(1, sizeof(*s));
    struct ldb_error error = {0};
    enum ldb_status status;

    status = s == NULL ? ldb_error_no_memory(&error)
                       : repl_served_file_seek(file, part->start, &error);
    if (status != LDB_OK) {
        ldb_mem_free(s);
        repl_served_file_close(file);
        api_replication_answer_status(x, status, &error);
        return;
    }
    *s = (struct file_stream){
        .x = x, .file = file, .follows = query->follows, .left = part->len};
    if (query->follows) {
        api_answer_stream(x, 200, API_TYPE_BYTES, &stream_ops, s);
    } else if (part->len > 0) {
        api_answer_stream_of(x, part->status, API_TYPE_BYTES, part->len,
                             &stream_ops, s);
    } else {
        stream_destroy(s);
        api_answer_static(x, part->status, API_TYPE_BYTES,
                          (struct ldb_slice){0});
    }
}

/* Takes file over. */
static void answer_get(struct api_exchange *x, const struct file_query *query,
                       const struct repl_served_head *head, const char *tag,
                       struct repl_served_file *file)
{
    const struct repl_digest_file asked = digest_file(head);
    struct ldb_digest digest;
    struct api_file_part part;

    if ((head->is_sealed &&
         repl_digest_index_get(x->context->digests, &asked, &digest) &&
         !add_digest(x, &digest)) ||
        !choose_part(x, query, head, tag, &part)) {
        repl_served_file_close(file);
        return;
    }
    answer_stream(x, query, &part, file);
}

/* ---- both ---- */

static bool is_table(struct ldb_slice name)
{
    char text[LDB_FILE_NAME_SIZE] = {0};
    uint64_t number;

    if (name.len >= sizeof(text))
        return false;
    memcpy(text, name.data, name.len);
    return repl_is_table_name(text, &number);
}

/* Who has the file: a leader, or of tables a follower too (*out_leader NULL).
 * NULL: answered. */
static struct repl_served_files *choose_files(struct api_exchange *x,
                                              struct ldb_slice name,
                                              struct repl_leader **out_leader)
{
    *out_leader = NULL;
    assert(x->is_inside);
    if (x->context->tables != NULL && is_table(name))
        return x->context->tables;
    *out_leader = api_replication_leader(x);
    return *out_leader == NULL ? NULL : repl_leader_files(*out_leader);
}

void api_replication_files_finish(struct api_exchange *x)
{
    struct repl_served_file *file = NULL;
    struct repl_served_files *files;
    struct repl_leader *leader;
    struct repl_served_head head;
    struct ldb_error error = {0};
    struct file_query query;
    const char *tag = NULL;
    enum ldb_status s;

    if (!parse_query(x, &query))
        return;
    files = choose_files(x, query.name, &leader);
    if (files == NULL)
        return;
    s = repl_served_file_open(files, query.name, &error, &file);
    if (s != LDB_OK) {
        api_replication_answer_status(x, s, &error);
        return;
    }
    repl_served_file_head(file, &head);
    if (!query.follows) {
        tag = api_file_tag(x, repl_served_file_name(file), head.len);
        if (tag == NULL)
            api_answer_no_memory(x);
    }
    if (x->response.ready || !add_headers(x, leader, &head, tag)) {
        repl_served_file_close(file);
    } else if (api_file_is_unchanged(x, tag)) {
        repl_served_file_close(file);
        api_answer_empty(x, 304);
    } else if (x->method == API_HEAD) {
        repl_served_file_close(file);
        answer_head(x, &head);
    } else {
        answer_get(x, &query, &head, tag, file);
    }
}
