#include <inttypes.h>

#include "replication/refusal.h"
#include "storage/base/status.h"
#include "tests/support/bytes.h"
#include "tests/support/memory_peer_internal.h"

/* Bytes read at once, and looked for again after so long. */
#define PIECE_MAX ((size_t)64 << 10)
#define LOOK_US   UINT64_C(3000)

/* How long a silent call without idle_us lasts. */
#define SILENCE_US (UINT64_C(30) * 1000000)

static enum ldb_status refuse_file(const struct memory_peer_way *way,
                                   const char *name, struct ldb_error *err)
{
    struct repl_refusal refusal = {.http = way->rule.http};

    return repl_refusal_file_error(&refusal, name, err);
}

/* The file as it is now, and up to max bytes of it from offset on. */
static enum ldb_status look(const struct memory_peer_way *way, const char *name,
                            uint64_t offset, size_t max, struct ldb_error *err,
                            struct repl_file_head *out, struct ldb_buf *bytes)
{
    struct memory_peer *peer = way->t->peer;
    const struct repl_epoch *epoch;
    struct served_db served;
    enum ldb_status s = memory_peer_enter(way, err, &served);

    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&peer->held_mu);
    s = served_db_head(&served, peer->versions, MEMORY_PEER_CHECKPOINTS_MAX,
                       name, err, out);
    ldb_mutex_unlock(&peer->held_mu);
    if (s == LDB_OK && offset > out->size)
        s = ldb_error_set(err, LDB_INVALID_ARGUMENT,
                          "%s: %" PRIu64 " lies behind its end at %" PRIu64,
                          name, offset, out->size);
    if (s == LDB_OK)
        s = served_db_read(&served, name, offset, out->size, max, err, bytes);
    memory_peer_leave(peer);
    ldb_mutex_lock(&peer->mu);
    epoch = repl_epoch_history_last(&peer->history);
    out->epoch = epoch->number;
    out->epoch_id = epoch->id;
    ldb_mutex_unlock(&peer->mu);
    return s;
}

enum ldb_status memory_peer_tell_head(struct repl_transport *base,
                                      const char *name, struct ldb_error *err,
                                      struct repl_file_head *out)
{
    struct memory_peer_transport *t = (struct memory_peer_transport *)base;
    struct ldb_buf none = LDB_BUF_INIT(1);
    struct repl_file_head head = {0};
    struct memory_peer_way way;
    enum ldb_status s =
        memory_peer_set_out(t, MEMORY_PEER_HEAD, name, 0, err, &way);

    if (s == LDB_OK && memory_peer_is_to(&way, MEMORY_PEER_STATUS))
        s = refuse_file(&way, name, err);
    else if (s == LDB_OK)
        s = look(&way, name, 0, 0, err, &head, &none);
    ldb_buf_release(&none);
    if (s != LDB_OK)
        return s;
    head.size += memory_peer_is_to(&way, MEMORY_PEER_BABBLE);
    *out = head;
    return LDB_OK;
}

/* One get, as it goes on. */
struct giving {
    const struct memory_peer_way *way;
    const struct repl_get *get;
    uint64_t offset;
    bool is_begun;  /* its head was given */
    bool has_given; /* since it was dry the last time */
    bool is_over;   /* OK: that was all */
    uint64_t idle_us;
};

static size_t piece_len(struct memory_peer *peer, size_t len)
{
    ldb_mutex_lock(&peer->mu);
    if (peer->pieces_max > 0) {
        size_t piece = 1 + (size_t)(bytes_next(&peer->seed) % peer->pieces_max);

        len = piece < len ? piece : len;
    }
    ldb_mutex_unlock(&peer->mu);
    return len;
}

static void count_bytes(const struct memory_peer_way *way, size_t len)
{
    struct memory_peer *peer = way->t->peer;

    ldb_mutex_lock(&peer->mu);
    peer->requests[way->request].bytes += len;
    ldb_mutex_unlock(&peer->mu);
}

/* All of the bytes, which stand at the offset, in pieces. */
static enum ldb_status give(struct giving *g, struct ldb_buf *bytes,
                            struct ldb_error *err)
{
    const struct memory_peer_rule *rule = &g->way->rule;
    enum ldb_status s = LDB_OK;
    size_t at = 0;

    if (memory_peer_is_to(g->way, MEMORY_PEER_FLIP) &&
        rule->bytes >= g->offset && rule->bytes - g->offset < bytes->len)
        bytes->data[rule->bytes - g->offset] ^= 0x10;
    while (s == LDB_OK && at < bytes->len) {
        size_t len = piece_len(g->way->t->peer, bytes->len - at);

        s = memory_peer_check(g->way, err);
        if (s != LDB_OK)
            break;
        count_bytes(g->way, len);
        g->has_given = true;
        g->idle_us = 0;
        s = g->get->bytes(g->get->context,
                          ldb_slice_make(bytes->data + at, len), err);
        at += len;
        g->offset += len;
    }
    return s;
}

/* Nothing is at hand. */
static enum ldb_status wait_for_more(struct giving *g, struct ldb_error *err)
{
    struct memory_peer *peer = g->way->t->peer;
    bool is_silent = memory_peer_is_to(g->way, MEMORY_PEER_SILENT);
    enum ldb_status s = LDB_OK;

    if (g->has_given && g->get->dry != NULL)
        s = g->get->dry(g->get->context, err);
    g->has_given = false;
    if (s != LDB_OK)
        return s;
    ldb_mutex_lock(&peer->mu);
    s = memory_peer_check_locked(peer, g->way, err);
    if (s == LDB_OK && !ldb_cond_wait_for(&peer->changed, &peer->mu, LOOK_US))
        g->idle_us += LOOK_US;
    ldb_mutex_unlock(&peer->mu);
    if (s == LDB_OK && g->get->follow && g->get->idle_us != 0 &&
        g->idle_us >= g->get->idle_us)
        g->is_over = true;
    else if (s == LDB_OK && is_silent && g->idle_us >= SILENCE_US)
        s = ldb_error_set(err, LDB_IO, "%s: silent for too long", g->get->name);
    return s;
}

/* Where the rule, if it is about an end, has it; else far away. */
static uint64_t end_of_rule(const struct memory_peer_way *way)
{
    if (memory_peer_is_to(way, MEMORY_PEER_CUT) ||
        memory_peer_is_to(way, MEMORY_PEER_END) ||
        memory_peer_is_to(way, MEMORY_PEER_SILENT))
        return way->rule.bytes;
    return UINT64_MAX;
}

/* What happens at the end of the rule. */
static enum ldb_status end_by_rule(struct giving *g, struct ldb_error *err)
{
    if (memory_peer_is_to(g->way, MEMORY_PEER_SILENT))
        return wait_for_more(g, err);
    if (memory_peer_is_to(g->way, MEMORY_PEER_CUT))
        return ldb_error_set(err, LDB_IO, "%s: cut at %" PRIu64, g->get->name,
                             g->offset);
    g->is_over = true;
    return LDB_OK;
}

/* All was given that there is. */
static enum ldb_status end_or_wait(struct giving *g,
                                   const struct repl_file_head *head,
                                   struct ldb_buf *bytes, struct ldb_error *err)
{
    if (g->get->follow && !head->is_sealed)
        return wait_for_more(g, err);
    g->is_over = true;
    if (!memory_peer_is_to(g->way, MEMORY_PEER_BABBLE))
        return LDB_OK;
    if (ldb_buf_append_byte(bytes, 'x') != LDB_OK)
        return ldb_error_no_memory(err);
    return give(g, bytes, err);
}

static enum ldb_status step(struct giving *g, struct ldb_buf *bytes,
                            struct ldb_error *err)
{
    uint64_t end = end_of_rule(g->way);
    uint64_t given = g->offset - g->get->from;
    size_t max = PIECE_MAX;
    struct repl_file_head head = {0};
    enum ldb_status s;

    if (g->get->count > 0 && given == g->get->count) {
        g->is_over = true;
        return LDB_OK;
    }
    if (g->get->count > 0 && g->get->count - given < max)
        max = (size_t)(g->get->count - given);
    if (g->is_begun && g->offset >= end)
        return end_by_rule(g, err);
    if (end > g->offset && end - g->offset < max)
        max = (size_t)(end - g->offset);
    if (end == g->offset)
        max = 0;
    s = look(g->way, g->get->name, g->offset, max, err, &head, bytes);
    if (s == LDB_NOT_FOUND && g->is_begun && g->get->follow) {
        /* It has gone; what there was of it was given. */
        g->is_over = true;
        return LDB_OK;
    }
    if (s != LDB_OK)
        return s;
    if (!g->is_begun) {
        g->is_begun = true;
        s = g->get->head(g->get->context, &head, err);
        if (s != LDB_OK)
            return s;
    }
    if (bytes->len > 0)
        return give(g, bytes, err);
    return g->offset >= end ? end_by_rule(g, err)
                            : end_or_wait(g, &head, bytes, err);
}

enum ldb_status memory_peer_give(struct repl_transport *base,
                                 const struct repl_get *get,
                                 struct ldb_error *err)
{
    struct memory_peer_transport *t = (struct memory_peer_transport *)base;
    struct ldb_buf bytes = LDB_BUF_INIT(PIECE_MAX);
    struct memory_peer_way way;
    struct giving g = {.way = &way, .get = get, .offset = get->from};
    enum ldb_status s = memory_peer_set_out(t, MEMORY_PEER_GET, get->name,
                                            get->from, err, &way);

    if (s == LDB_OK && memory_peer_is_to(&way, MEMORY_PEER_STATUS))
        s = refuse_file(&way, get->name, err);
    while (s == LDB_OK && !g.is_over)
        s = step(&g, &bytes, err);
    ldb_buf_release(&bytes);
    return s;
}
