#include "replication/copy_digests.h"

#include <inttypes.h>

#include "storage/base/mem.h"
#include "storage/base/status.h"

#define ITEMS_MIN 64

void repl_copy_digests_release(struct repl_copy_digests *digests)
{
    ldb_mem_free(digests->items);
    *digests = (struct repl_copy_digests){0};
}

bool repl_copy_digests_find(const struct repl_copy_digests *digests,
                            uint64_t number, uint64_t size,
                            struct ldb_digest *out)
{
    for (size_t i = digests->count; i-- > 0;) {
        if (digests->items[i].number == number &&
            digests->items[i].size == size) {
            *out = digests->items[i].digest;
            return true;
        }
    }
    return false;
}

void repl_copy_digests_note(struct repl_copy_digests *digests, uint64_t number,
                            uint64_t size, const struct ldb_digest *digest)
{
    size_t capacity =
        digests->capacity == 0 ? ITEMS_MIN : 2 * digests->capacity;
    struct repl_copy_digest *longer;

    if (digests->count == REPL_COPY_DIGESTS_MAX)
        digests->count = 0;
    if (digests->count == digests->capacity) {
        longer = ldb_mem_realloc(digests->items, capacity, sizeof(*longer));
        if (longer == NULL)
            return;
        digests->items = longer;
        digests->capacity = capacity;
    }
    digests->items[digests->count++] = (struct repl_copy_digest){
        .number = number,
        .size = size,
        .digest = *digest,
    };
}

/* ---- making one ---- */

struct making {
    struct ldb_digester *digester;
    uint64_t len;
};

static enum ldb_status take_bytes(void *context, struct ldb_slice bytes,
                                  struct ldb_error *err)
{
    struct making *making = context;

    (void)err;
    ldb_digester_add(making->digester, bytes);
    making->len += bytes.len;
    return LDB_OK;
}

enum ldb_status repl_copy_digest_make(struct repl_transport *transport,
                                      const char *name, uint64_t size,
                                      struct ldb_error *err,
                                      struct ldb_digest *out)
{
    struct making making = {.digester = ldb_digester_create()};
    const struct repl_get get = {
        .name = name,
        .head = repl_pass_head,
        .bytes = take_bytes,
        .context = &making,
    };
    enum ldb_status s;

    if (making.digester == NULL)
        return ldb_error_no_memory(err);
    s = transport->ops->get(transport, &get, err);
    if (s == LDB_OK && making.len != size)
        s = ldb_error_set(err, LDB_IO,
                          "%s has %" PRIu64 " bytes in the copy, and had "
                          "%" PRIu64,
                          name, making.len, size);
    if (s == LDB_OK)
        *out = ldb_digester_result(making.digester);
    ldb_digester_destroy(making.digester);
    return s;
}
