#include "storage/base/memory_node.h"

#include "storage/base/mem.h"

#define FIRST_CAPACITY 8

/* ---- nodes ---- */

struct ldb_memory_node *ldb_memory_node_create(bool is_dir)
{
    struct ldb_memory_node *node = ldb_mem_zalloc(1, sizeof(*node));

    if (node == NULL)
        return NULL;
    *node = (struct ldb_memory_node){
        .refs = 1,
        .is_dir = is_dir,
        .bytes = LDB_BUF_INIT(SIZE_MAX),
        .cut = LDB_BUF_INIT(SIZE_MAX),
    };
    return node;
}

struct ldb_memory_node *ldb_memory_node_ref(struct ldb_memory_node *node)
{
    assert(node->refs > 0);
    node->refs++;
    return node;
}

/* Gives up one reference; who loses the last one goes on the list. */
static void drop(struct ldb_memory_node *node, struct ldb_memory_node **dead)
{
    if (node == NULL)
        return;
    assert(node->refs > 0);
    if (--node->refs > 0)
        return;
    node->next = *dead;
    *dead = node;
}

static void release_entries(struct ldb_memory_entries *entries,
                            struct ldb_memory_node **dead)
{
    for (size_t i = 0; i < entries->count; i++) {
        ldb_mem_free(entries->items[i].name);
        drop(entries->items[i].node, dead);
    }
    ldb_mem_free(entries->items);
    *entries = (struct ldb_memory_entries){0};
}

static void release_change(struct ldb_memory_change *change,
                           struct ldb_memory_node **dead)
{
    ldb_mem_free(change->set_name);
    ldb_mem_free(change->live_name);
    ldb_mem_free(change->remove_name);
    drop(change->node, dead);
    *change = (struct ldb_memory_change){0};
}

/* Frees the listed nodes, and those that live by them alone. */
static void free_dead(struct ldb_memory_node *dead)
{
    while (dead != NULL) {
        struct ldb_memory_node *node = dead;

        dead = node->next;
        release_entries(&node->live, &dead);
        release_entries(&node->durable, &dead);
        for (size_t i = 0; i < node->change_count; i++)
            release_change(&node->changes[i], &dead);
        ldb_mem_free(node->changes);
        ldb_buf_release(&node->bytes);
        ldb_buf_release(&node->cut);
        ldb_mem_free(node);
    }
}

void ldb_memory_node_unref(struct ldb_memory_node *node)
{
    struct ldb_memory_node *dead = NULL;

    drop(node, &dead);
    free_dead(dead);
}

/* ---- files ---- */

enum ldb_status ldb_memory_file_append(struct ldb_memory_node *file,
                                       struct ldb_slice bytes)
{
    assert(!file->is_dir);
    return ldb_buf_append(&file->bytes, bytes);
}

enum ldb_status ldb_memory_file_truncate(struct ldb_memory_node *file,
                                         size_t len)
{
    assert(!file->is_dir);
    assert(len <= file->bytes.len);
    if (len < file->stable_len) {
        if (!file->was_cut) {
            struct ldb_slice on_disk =
                ldb_slice_make(file->bytes.data, file->stable_len);
            enum ldb_status s = ldb_buf_assign(&file->cut, on_disk);

            if (s != LDB_OK)
                return s;
            file->was_cut = true;
        }
        file->stable_len = len;
    }
    file->bytes.len = len;
    return LDB_OK;
}

void ldb_memory_file_sync(struct ldb_memory_node *file)
{
    assert(!file->is_dir);
    file->stable_len = file->bytes.len;
    file->was_cut = false;
    ldb_buf_release(&file->cut);
}

/* ---- entries ---- */

/* Where name is or would be; true when it is there. */
static bool find_entry(const struct ldb_memory_entries *entries,
                       struct ldb_slice name, size_t *out_index)
{
    size_t low = 0;
    size_t high = entries->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;
        int order =
            ldb_slice_compare(ldb_slice_str(entries->items[middle].name), name);

        if (order == 0) {
            *out_index = middle;
            return true;
        }
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    *out_index = low;
    return false;
}

/* Room for that many items of that size; the array may move. */
static enum ldb_status reserve(void **items, size_t *capacity, size_t count,
                               size_t item_size)
{
    size_t wanted = *capacity == 0 ? FIRST_CAPACITY : *capacity;
    void *moved;

    if (count <= *capacity)
        return LDB_OK;
    while (wanted < count)
        wanted *= 2;
    moved = ldb_mem_realloc(*items, wanted, item_size);
    if (moved == NULL)
        return LDB_NO_MEMORY;
    *items = moved;
    *capacity = wanted;
    return LDB_OK;
}

static enum ldb_status reserve_entries(struct ldb_memory_entries *entries,
                                       size_t more)
{
    void *items = entries->items;
    enum ldb_status s =
        reserve(&items, &entries->capacity, entries->count + more,
                sizeof(entries->items[0]));

    entries->items = items;
    return s;
}

/* Takes over name and one reference to node; room was reserved. */
static void set_entry(struct ldb_memory_entries *entries, char *name,
                      struct ldb_memory_node *node,
                      struct ldb_memory_node **dead)
{
    size_t i;

    assert(entries->items != NULL);
    if (find_entry(entries, ldb_slice_str(name), &i)) {
        drop(entries->items[i].node, dead);
        entries->items[i].node = node;
        ldb_mem_free(name);
        return;
    }
    assert(entries->count < entries->capacity);
    memmove(&entries->items[i + 1], &entries->items[i],
            (entries->count - i) * sizeof(entries->items[0]));
    entries->items[i] = (struct ldb_memory_entry){.name = name, .node = node};
    entries->count++;
}

static void remove_entry(struct ldb_memory_entries *entries, const char *name,
                         struct ldb_memory_node **dead)
{
    size_t i;
    bool found = find_entry(entries, ldb_slice_str(name), &i);

    assert(found);
    (void)found;
    ldb_mem_free(entries->items[i].name);
    drop(entries->items[i].node, dead);
    entries->count--;
    memmove(&entries->items[i], &entries->items[i + 1],
            (entries->count - i) * sizeof(entries->items[0]));
}

/* ---- directories ---- */

struct ldb_memory_node *ldb_memory_dir_find(const struct ldb_memory_node *dir,
                                            struct ldb_slice name)
{
    size_t i;

    assert(dir->is_dir);
    return find_entry(&dir->live, name, &i) ? dir->live.items[i].node : NULL;
}

enum ldb_status ldb_memory_change_prepare(struct ldb_memory_node *dir,
                                          struct ldb_slice set_name,
                                          struct ldb_memory_node *node,
                                          struct ldb_slice remove_name,
                                          struct ldb_memory_change *out)
{
    struct ldb_memory_change change = {0};
    void *changes = dir->changes;
    enum ldb_status s = reserve_entries(&dir->live, 1);

    assert(dir->is_dir);
    assert((set_name.len > 0) == (node != NULL));
    if (s == LDB_OK) {
        s = reserve(&changes, &dir->change_capacity, dir->change_count + 1,
                    sizeof(dir->changes[0]));
        dir->changes = changes;
    }
    if (s != LDB_OK)
        return s;
    if (set_name.len > 0) {
        change.set_name = ldb_mem_printf("%.*s", (int)set_name.len,
                                         (const char *)set_name.data);
        change.live_name = ldb_mem_printf("%.*s", (int)set_name.len,
                                          (const char *)set_name.data);
        change.node = ldb_memory_node_ref(node);
        if (change.set_name == NULL || change.live_name == NULL)
            s = LDB_NO_MEMORY;
    }
    if (remove_name.len > 0) {
        change.remove_name = ldb_mem_printf("%.*s", (int)remove_name.len,
                                            (const char *)remove_name.data);
        if (change.remove_name == NULL)
            s = LDB_NO_MEMORY;
    }
    if (s != LDB_OK)
        ldb_memory_change_release(&change);
    else
        *out = change;
    return s;
}

void ldb_memory_change_release(struct ldb_memory_change *change)
{
    struct ldb_memory_node *dead = NULL;

    release_change(change, &dead);
    free_dead(dead);
}

void ldb_memory_change_commit(struct ldb_memory_node *dir,
                              struct ldb_memory_change *change)
{
    struct ldb_memory_node *dead = NULL;

    assert(dir->change_count < dir->change_capacity);
    if (change->set_name != NULL)
        set_entry(&dir->live, change->live_name,
                  ldb_memory_node_ref(change->node), &dead);
    change->live_name = NULL;
    if (change->remove_name != NULL)
        remove_entry(&dir->live, change->remove_name, &dead);
    dir->changes[dir->change_count++] = *change;
    *change = (struct ldb_memory_change){0};
    free_dead(dead);
}

enum ldb_status ldb_memory_dir_sync(struct ldb_memory_node *dir)
{
    struct ldb_memory_node *dead = NULL;
    enum ldb_status s = reserve_entries(&dir->durable, dir->change_count);

    assert(dir->is_dir);
    if (s != LDB_OK)
        return s;
    for (size_t i = 0; i < dir->change_count; i++) {
        struct ldb_memory_change *change = &dir->changes[i];

        if (change->set_name != NULL)
            set_entry(&dir->durable, change->set_name, change->node, &dead);
        if (change->remove_name != NULL)
            remove_entry(&dir->durable, change->remove_name, &dead);
        ldb_mem_free(change->remove_name);
    }
    dir->change_count = 0;
    assert(dir->durable.count == dir->live.count);
    free_dead(dead);
    return LDB_OK;
}

/* ---- power loss ---- */

/* One copy under way: the nodes met so far, and those yet to be filled. */
struct crash {
    enum ldb_crash_keep keep;
    uint64_t random;
    struct ldb_memory_node *met; /* chained by next; each has its copy */
};

/* 0..n, from the splitmix64 sequence. */
static size_t choose(struct crash *crash, size_t n)
{
    uint64_t z = crash->random += UINT64_C(0x9e3779b97f4a7c15);

    z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
    z ^= z >> 31;
    return n == SIZE_MAX ? (size_t)z : (size_t)(z % (n + 1));
}

static struct ldb_slice surviving_bytes(const struct ldb_memory_node *file,
                                        struct crash *crash)
{
    struct ldb_slice all = ldb_slice_of_buf(&file->bytes);
    struct ldb_slice durable = ldb_slice_make(all.data, file->stable_len);

    if (file->was_cut)
        durable = ldb_slice_of_buf(&file->cut);
    switch (crash->keep) {
    case LDB_CRASH_KEEP_NONE:
        return durable;
    case LDB_CRASH_KEEP_ALL:
        return all;
    case LDB_CRASH_KEEP_TORN:
        break;
    }
    if (file->was_cut && choose(crash, 1) == 0)
        return durable; /* the cut itself is lost */
    all.len = file->stable_len + choose(crash, all.len - file->stable_len);
    return all;
}

/* How many of the directory's changes survive. */
static size_t surviving_changes(const struct ldb_memory_node *dir,
                                struct crash *crash)
{
    switch (crash->keep) {
    case LDB_CRASH_KEEP_NONE:
        return 0;
    case LDB_CRASH_KEEP_ALL:
        return dir->change_count;
    case LDB_CRASH_KEEP_TORN:
        break;
    }
    return choose(crash, dir->change_count);
}

/* The node's copy, borrowed; made, and if a file filled, when first met. */
static enum ldb_status copy_of(struct crash *crash,
                               struct ldb_memory_node *node,
                               struct ldb_memory_node **out)
{
    enum ldb_status s = LDB_OK;

    if (node->copy == NULL) {
        node->copy = ldb_memory_node_create(node->is_dir);
        if (node->copy == NULL)
            return LDB_NO_MEMORY;
        node->next = crash->met;
        crash->met = node;
        if (!node->is_dir)
            s = ldb_memory_file_append(node->copy,
                                       surviving_bytes(node, crash));
        if (s == LDB_OK && !node->is_dir)
            ldb_memory_file_sync(node->copy);
    }
    *out = node->copy;
    return s;
}

/* Sets a copy of name in entries, where there is room, to the node's copy. */
static enum ldb_status copy_entry(struct crash *crash, const char *name,
                                  struct ldb_memory_node *node,
                                  struct ldb_memory_entries *entries,
                                  struct ldb_memory_node **dead)
{
    struct ldb_memory_node *copy = NULL;
    enum ldb_status s = copy_of(crash, node, &copy);
    char *name_copy;

    if (s != LDB_OK)
        return s;
    name_copy = ldb_mem_strdup(name);
    if (name_copy == NULL)
        return LDB_NO_MEMORY;
    set_entry(entries, name_copy, ldb_memory_node_ref(copy), dead);
    return LDB_OK;
}

/* Fills one of the two states of dir's copy with the first changes done. */
static enum ldb_status fill_entries(struct crash *crash,
                                    const struct ldb_memory_node *dir,
                                    size_t changes,
                                    struct ldb_memory_entries *entries)
{
    struct ldb_memory_node *dead = NULL;
    enum ldb_status s = reserve_entries(entries, dir->durable.count + changes);

    for (size_t i = 0; i < dir->durable.count && s == LDB_OK; i++)
        s = copy_entry(crash, dir->durable.items[i].name,
                       dir->durable.items[i].node, entries, &dead);
    for (size_t i = 0; i < changes && s == LDB_OK; i++) {
        const struct ldb_memory_change *change = &dir->changes[i];

        if (change->set_name != NULL)
            s = copy_entry(crash, change->set_name, change->node, entries,
                           &dead);
        if (s == LDB_OK && change->remove_name != NULL)
            remove_entry(entries, change->remove_name, &dead);
    }
    /* Every copy met is still held by the node it is of. */
    assert(dead == NULL);
    return s;
}

enum ldb_status ldb_memory_crash_copy(struct ldb_memory_node *root,
                                      enum ldb_crash_keep keep, uint64_t seed,
                                      struct ldb_memory_node **out_root)
{
    struct crash crash = {.keep = keep, .random = seed};
    struct ldb_memory_node *copy = NULL;
    struct ldb_memory_node *done = NULL; /* met before: filled already */
    enum ldb_status s = copy_of(&crash, root, &copy);

    /* Directories met while one is filled stand before it in the list. */
    while (s == LDB_OK && crash.met != done) {
        struct ldb_memory_node *newest = crash.met;

        for (struct ldb_memory_node *node = newest; node != done && s == LDB_OK;
             node = node->next) {
            size_t changes;

            if (!node->is_dir)
                continue;
            changes = surviving_changes(node, &crash);
            s = fill_entries(&crash, node, changes, &node->copy->live);
            if (s == LDB_OK)
                s = fill_entries(&crash, node, changes, &node->copy->durable);
        }
        done = newest;
    }
    if (s == LDB_OK)
        *out_root = ldb_memory_node_ref(copy);
    for (struct ldb_memory_node *node = crash.met; node != NULL;
         node = node->next) {
        ldb_memory_node_unref(node->copy);
        node->copy = NULL;
    }
    return s;
}
