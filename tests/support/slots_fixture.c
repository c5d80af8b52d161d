#include "tests/support/slots_fixture.h"

#include <stdio.h>

#include "replication/sidecar.h"
#include "storage/base/mem.h"
#include "tests/support/assert_ldb.h"

static void on_lost(void *context, const char *node_id, bool is_lost)
{
    struct slots_fixture *f = context;

    if (is_lost)
        f->told_lost++;
    else
        f->told_found++;
    memcpy(f->told, node_id, REPL_ID_SIZE);
}

static void open_slots(struct slots_fixture *f)
{
    const struct repl_slots_options options = {
        .env = f->env,
        .dir = SLOTS_DIR,
        .retained = f->retained,
        .bytes_max = f->bytes_max,
        .on_lost = on_lost,
        .context = f,
    };
    struct ldb_error err = {0};

    assert_ldb_ok(repl_slots_open(&options, &err, &f->slots), &err);
}

static void close_slots(struct slots_fixture *f)
{
    struct ldb_error err = {0};

    assert_ldb_ok(repl_slots_close(f->slots, &err), &err);
    f->slots = NULL;
}

int slots_fixture_setup(void **state)
{
    const struct ldb_retained_found found = {.is_new = true};
    struct slots_fixture *f = ldb_mem_zalloc(1, sizeof(*f));
    struct ldb_retained_options options = {
        .dir = SLOTS_DIR, .bytes_max = UINT64_C(1) << 30, .age_us = 0};
    struct ldb_error err = {0};

    assert_non_null(f);
    f->fault = env_fault_create(NULL);
    f->env = env_fault_env(f->fault);
    env_fault_set_clock(f->fault, SLOTS_SECOND_US);
    assert_ldb_ok(f->env->ops->create_dir(f->env, SLOTS_DIR, &err), &err);
    assert_ldb_ok(repl_sidecar_make_folder(f->env, SLOTS_DIR, &err), &err);
    options.env = f->env;
    assert_ldb_ok(ldb_retained_create(&options, &err, &f->retained), &err);
    assert_ldb_ok(ldb_retained_open(f->retained, &found, 1, 0, &err), &err);
    f->newest = 1;
    open_slots(f);
    *state = f;
    return 0;
}

int slots_fixture_teardown(void **state)
{
    struct slots_fixture *f = *state;

    if (f->slots != NULL)
        close_slots(f);
    ldb_retained_destroy(f->retained);
    env_fault_destroy(f->fault);
    ldb_mem_free(f);
    return 0;
}

void slots_fixture_reopen(struct slots_fixture *f)
{
    close_slots(f);
    open_slots(f);
}

/* ---- journals ---- */

static void put_journal(struct slots_fixture *f, uint64_t number)
{
    static const uint8_t bytes[SLOTS_JOURNAL_LEN];
    char *path = ldb_file_path(SLOTS_DIR, LDB_FILE_JOURNAL, number);
    struct ldb_error err = {0};

    assert_non_null(path);
    assert_ldb_ok(ldb_env_replace_file(f->env, SLOTS_DIR, path, SLOTS_DIR "/t",
                                       ldb_slice_make(bytes, sizeof(bytes)),
                                       &err),
                  &err);
    ldb_mem_free(path);
}

void slots_fixture_seal(struct slots_fixture *f, unsigned count)
{
    struct ldb_error err = {0};

    for (unsigned i = 0; i < count; i++) {
        put_journal(f, f->newest);
        assert_ldb_ok(ldb_retained_reserve(f->retained, &err), &err);
        ldb_retained_seal(f->retained, SLOTS_JOURNAL_LEN, f->newest * 100,
                          f->newest + 1);
        f->newest++;
    }
}

void slots_fixture_retire(struct slots_fixture *f, uint64_t number)
{
    ldb_retained_retire(f->retained, &number, 1);
}

bool slots_fixture_has(struct slots_fixture *f, uint64_t number)
{
    struct ldb_retained_journal journal;

    return ldb_retained_get(f->retained, number, &journal) == LDB_OK;
}

/* ---- slots ---- */

void slots_fixture_node_id(unsigned n, char out[REPL_ID_SIZE])
{
    snprintf(out, REPL_ID_SIZE, "%032x", n);
}

bool slots_fixture_ack(struct slots_fixture *f, unsigned n, uint64_t journal,
                       uint64_t offset, ldb_sequence sequence)
{
    const struct repl_place place = {journal, offset, sequence};
    struct repl_ack ack = {.url = "http://node",
                           .epoch = 1,
                           .written = place,
                           .synced = place,
                           .applied = place,
                           .state = "streaming"};
    struct ldb_error err = {0};
    bool is_lost = false;

    slots_fixture_node_id(n, ack.node_id);
    assert_ldb_ok(repl_slots_ack(f->slots, &ack, &err, &is_lost), &err);
    return is_lost;
}

struct ldb_position slots_fixture_durable(const struct slots_fixture *f)
{
    if (f->newest == 1)
        return (struct ldb_position){.journal = 1};
    return (struct ldb_position){.journal = f->newest - 1,
                                 .offset = SLOTS_JOURNAL_LEN,
                                 .sequence = (f->newest - 1) * 100};
}

void slots_fixture_tick(struct slots_fixture *f)
{
    struct ldb_position durable = slots_fixture_durable(f);
    struct ldb_error err = {0};

    assert_ldb_ok(repl_slots_tick(f->slots, &durable, &err), &err);
}

struct repl_slot slots_fixture_slot(struct slots_fixture *f, unsigned n)
{
    struct ldb_position durable = slots_fixture_durable(f);
    struct repl_slot *all = ldb_mem_alloc(REPL_SLOTS_MAX, sizeof(*all));
    char node_id[REPL_ID_SIZE];
    struct repl_slot slot = {0};
    size_t count;

    assert_non_null(all);
    slots_fixture_node_id(n, node_id);
    count = repl_slots_list(f->slots, &durable, "", all, REPL_SLOTS_MAX);
    for (size_t i = 0; i < count; i++) {
        if (strcmp(all[i].node_id, node_id) == 0)
            slot = all[i];
    }
    ldb_mem_free(all);
    assert_string_equal(node_id, slot.node_id);
    return slot;
}
