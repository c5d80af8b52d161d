#include "tests/support/sim_versions.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "storage/base/status.h"

#define VERSION_TARGET "/v1/replication/checkpoint"
#define FILES_TARGET   "/v1/replication/files/"

#define TEXT_MAX ((size_t)1 << 20)

static struct {
    struct ldb_buf text; /* of the last one, and a NUL; empty: none */
    struct sim_versions seen;
} nodes[SIM_NODES_MAX];

void sim_versions_begin(void)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++) {
        nodes[i].text = (struct ldb_buf)LDB_BUF_INIT(TEXT_MAX);
        nodes[i].seen = (struct sim_versions){0};
    }
}

void sim_versions_end(void)
{
    for (unsigned i = 0; i < SIM_NODES_MAX; i++)
        ldb_buf_release(&nodes[i].text);
}

void sim_versions_forget(unsigned node)
{
    ldb_buf_clear(&nodes[node].text);
    nodes[node].seen = (struct sim_versions){0};
}

void sim_versions_read(unsigned node, struct sim_versions *out)
{
    *out = nodes[node].seen;
}

/* One that is made anew, by its files; those that are renewed have none. */
static void note_made(unsigned node, struct ldb_slice body)
{
    struct ldb_buf *text = &nodes[node].text;
    struct ldb_buf made = LDB_BUF_INIT(TEXT_MAX);

    if (ldb_buf_append(&made, body) != LDB_OK ||
        ldb_buf_append_byte(&made, '\0') != LDB_OK)
        abort();
    if (strstr((const char *)made.data, "\"files\":[") == NULL) {
        ldb_buf_release(&made);
        return;
    }
    ldb_buf_release(text);
    *text = made;
    nodes[node].seen.made++;
}

static void note_refused(unsigned node, const char *name)
{
    const struct ldb_buf *text = &nodes[node].text;
    struct sim_versions *seen = &nodes[node].seen;
    char quoted[SIM_TARGET_SIZE + 2];

    (void)snprintf(quoted, sizeof(quoted), "\"%.*s\"", (int)strcspn(name, "?"),
                   name);
    if (text->len == 0 || strstr((const char *)text->data, quoted) == NULL)
        return;
    if (seen->refused++ == 0)
        (void)snprintf(seen->table, sizeof(seen->table), "%.*s",
                       (int)strcspn(name, "?"), name);
}

void sim_versions_answered(const struct sim_flow *flow, struct ldb_slice body)
{
    if (flow->client >= SIM_NODES_MAX)
        return;
    if (flow->status == 200 && strcmp(flow->target, VERSION_TARGET) == 0)
        note_made(flow->client, body);
    if ((flow->status == 404 || flow->status == 410) &&
        strncmp(flow->target, FILES_TARGET, strlen(FILES_TARGET)) == 0)
        note_refused(flow->client, flow->target + strlen(FILES_TARGET));
}
