#include "service/config.h"

#include <arpa/inet.h>
#include <inttypes.h>
#include <stddef.h>
#include <string.h>

#include "replication/role_file.h"
#include "replication/write_concern.h"
#include "service/access_log.h"
#include "service/http_server.h"
#include "storage/base/checked.h"
#include "storage/base/slice.h"
#include "storage/base/status.h"

enum kind {
    KIND_TEXT,     /* const char * */
    KIND_BOOL,     /* bool */
    KIND_COUNT,    /* uint64_t */
    KIND_BYTES,    /* uint64_t */
    KIND_DURATION, /* uint64_t, microseconds */
    KIND_CHOICE,   /* unsigned: the index of the word in choices */
};

struct option {
    const char *flag; /* without the dashes */
    const char *env;
    enum kind kind;
    size_t offset;        /* of the field in struct svc_config */
    const char *fallback; /* the default, in the option's own syntax */
    uint64_t min;
    uint64_t max;
    const char *choices; /* "a|b|c", in the order of the enum */
    const char *help;
};

#define KIB         (UINT64_C(1) << 10)
#define MIB         (UINT64_C(1) << 20)
#define GIB         (UINT64_C(1) << 30)
#define TIB         (UINT64_C(1) << 40)
#define SECOND      UINT64_C(1000000)
#define FIELD(name) offsetof(struct svc_config, name)

#define TEXT(flag, env, field, fallback, help)                                 \
    {                                                                          \
        flag, env, KIND_TEXT, FIELD(field), fallback, 0, 0, NULL, help         \
    }
#define BOOL(flag, env, field, fallback, help)                                 \
    {                                                                          \
        flag, env, KIND_BOOL, FIELD(field), fallback, 0, 0, NULL, help         \
    }
#define COUNT(flag, env, field, fallback, min, max, help)                      \
    {                                                                          \
        flag, env, KIND_COUNT, FIELD(field), fallback, min, max, NULL, help    \
    }
#define BYTES(flag, env, field, fallback, min, max, help)                      \
    {                                                                          \
        flag, env, KIND_BYTES, FIELD(field), fallback, min, max, NULL, help    \
    }
#define DURATION(flag, env, field, fallback, min, max, help)                   \
    {                                                                          \
        flag, env, KIND_DURATION, FIELD(field), fallback, min, max, NULL, help \
    }
#define CHOICE(flag, env, field, fallback, choices, help)                      \
    {                                                                          \
        flag, env, KIND_CHOICE, FIELD(field), fallback, 0, 0, choices, help    \
    }

/* The order is --help's. */
static const struct option options[] = {
    TEXT("data", "LEVELD_DATA", data_dir, "",
         "folder of the database; required"),
    TEXT("listen", "LEVELD_LISTEN", listen, "127.0.0.1:8080",
         "address and port of HTTP; port 0 takes a free one"),
    BOOL("insecure", "LEVELD_INSECURE", insecure, "no",
         "allow an address beyond loopback, without any authentication"),
    TEXT("tokens", "LEVELD_TOKENS", tokens, "",
         "file of bearer tokens that requests must have; read again on HUP"),
    TEXT("tls-cert", "LEVELD_TLS_CERT", tls_cert, "",
         "PEM file of the server's certificate and those that vouch for it; "
         "read again on HUP, as the two below"),
    TEXT("tls-key", "LEVELD_TLS_KEY", tls_key, "",
         "PEM file of its private key"),
    TEXT("tls-client-ca", "LEVELD_TLS_CLIENT_CA", tls_client_ca, "",
         "PEM file of authorities; clients must have a certificate of one"),
    TEXT("checkpoint-dir", "LEVELD_CHECKPOINT_DIR", checkpoint_dir, "",
         "folder that /v1/admin/checkpoint makes its copies in; made when "
         "absent"),
    BOOL("read-only", "LEVELD_READ_ONLY", read_only, "no",
         "serve the folder and change no byte of it"),
    BOOL("create", "LEVELD_CREATE", create, "yes",
         "make the database when the folder has none"),
    TEXT("cluster-id", "LEVELD_CLUSTER_ID", cluster_id, "",
         "32 hex digits: refuse a folder that is not of this cluster"),
    BOOL("sync", "LEVELD_SYNC", sync_default, "yes",
         "writes that do not say sync= are durable before their answer"),
    DURATION("stop-timeout", "LEVELD_STOP_TIMEOUT", stop_timeout_us, "10s", 0,
             3600 * SECOND,
             "how long accepted requests may take after SIGTERM"),

    CHOICE("role", "LEVELD_ROLE", role, "leader", "leader|follower",
           "what this node begins as; what was decided at run time is kept as "
           "long as this and --leader do not change"),
    TEXT("leader", "LEVELD_LEADER", leader, "",
         "URL of the node to follow, http://HOST:PORT; or of a copy of its "
         "folder, files+http://HOST/PATH/ or files:/PATH"),
    TEXT("peers", "LEVELD_PEERS", peers, "",
         "URLs of the other nodes, between commas: a leader starts only when "
         "none that answers knows a later epoch, a follower finds a new leader "
         "among them"),
    TEXT("advertise", "LEVELD_ADVERTISE", advertise, "",
         "URL that the others reach this node by; else made of --listen"),
    CHOICE("follower-writes", "LEVELD_FOLLOWER_WRITES", follower_writes,
           "forward", "forward|redirect|reject",
           "what a follower does with a write: asks its leader, 307, or 421"),
    DURATION("max-lag", "LEVELD_MAX_LAG", max_lag_us, "10s", 0, 86400 * SECOND,
             "a follower further behind is not ready; 0s: do not look"),
    TEXT("replication-token-file", "LEVELD_REPLICATION_TOKEN_FILE",
         replication_token_file, "",
         "file of the bearer token that this node shows to the others"),
    TEXT("replication-ca", "LEVELD_REPLICATION_CA", replication_ca, "",
         "PEM file of authorities for the other nodes' certificates"),
    TEXT("replication-cert", "LEVELD_REPLICATION_CERT", replication_cert, "",
         "PEM file of the certificate that this node shows to the others"),
    TEXT("replication-key", "LEVELD_REPLICATION_KEY", replication_key, "",
         "PEM file of its private key"),

    COUNT("loops", "LEVELD_LOOPS", loops, "0", 0, 256,
          "threads that serve HTTP; 0: one per core"),
    COUNT("connections-max", "LEVELD_CONNECTIONS_MAX", connections_max, "4096",
          1, 1000000, "connections open at once; beyond: 503"),
    DURATION("idle-timeout", "LEVELD_IDLE_TIMEOUT", idle_timeout_us, "60s",
             SECOND, 86400 * SECOND,
             "a connection on which nothing moves is closed"),
    DURATION("header-timeout", "LEVELD_HEADER_TIMEOUT", header_timeout_us,
             "10s", SECOND, 3600 * SECOND,
             "a request's headers must be there so long after its first line"),
    DURATION(
        "body-timeout", "LEVELD_BODY_TIMEOUT", body_timeout_us, "60s", SECOND,
        3600 * SECOND,
        "in each such time a body must bring 64 KiB or its end, and of a "
        "value or batch a 32nd; so must the reader of a large answer take"),
    BYTES("upload-budget", "LEVELD_UPLOAD_BUDGET", upload_budget_bytes,
          "768MiB", MIB, 64 * GIB,
          "memory for request bodies, each counted seven times; beyond: 503"),
    BYTES("answer-budget", "LEVELD_ANSWER_BUDGET", answer_budget_bytes, "1GiB",
          MIB, 64 * GIB,
          "memory for large answers until they are read; beyond: 503"),

    COUNT("feeds-max", "LEVELD_FEEDS_MAX", feeds_max, "256", 0, 100000,
          "streams of changes open at once; beyond: 429"),
    DURATION("feed-heartbeat", "LEVELD_FEED_HEARTBEAT", feed_heartbeat_us,
             "10s", 100000, 3600 * SECOND,
             "a live feed of changes that is silent tells its sequence"),

    BYTES("key-max", "LEVELD_KEY_MAX", key_bytes_max, "64KiB", 1, MIB,
          "largest key"),
    BYTES("value-max", "LEVELD_VALUE_MAX", value_bytes_max, "64MiB", 1, GIB,
          "largest value"),
    BYTES("batch-max", "LEVELD_BATCH_MAX", batch_bytes_max, "65MiB", KIB,
          2 * GIB, "largest batch in LevelDB form; at least a value and a key"),
    BYTES("json-batch-max", "LEVELD_JSON_BATCH_MAX", json_batch_bytes_max,
          "96MiB", KIB, 2 * GIB, "largest body of a JSON batch"),
    BYTES("page-max", "LEVELD_PAGE_MAX", page_bytes_max, "8MiB", KIB, GIB,
          "bytes at which a JSON page ends"),

    CHOICE("profile", "LEVELD_PROFILE", profile, "leveld",
           "leveld|geth|goleveldb|leveldb",
           "whose engine figures are the defaults; a variable or flag wins"),
    BYTES("write-buffer", "LEVELD_WRITE_BUFFER", write_buffer_bytes, "4MiB",
          64 * KIB, GIB, "memtable size at which it is flushed"),
    COUNT("immutable-memtables", "LEVELD_IMMUTABLE_MEMTABLES",
          immutable_memtables_max, "2", 1, 64,
          "memtables that may wait for their flush"),
    BYTES("block-cache", "LEVELD_BLOCK_CACHE", block_cache_bytes, "8MiB", KIB,
          TIB, "cache of table blocks"),
    BYTES("row-cache", "LEVELD_ROW_CACHE", row_cache_bytes, "16MiB", 0, TIB,
          "cache of small values by key, as they were read; 0: none"),
    COUNT("open-tables", "LEVELD_OPEN_TABLES", open_tables_max, "500", 16,
          1000000, "table files kept open"),
    COUNT("bloom-bits", "LEVELD_BLOOM_BITS", bloom_bits, "10", 0, 64,
          "bloom filter bits a key; 0: no filter"),
    BYTES("table-size", "LEVELD_TABLE_SIZE", table_bytes, "2MiB", 64 * KIB, GIB,
          "table file that compaction writes"),
    BYTES("compaction-rate", "LEVELD_COMPACTION_RATE", compaction_rate_bytes,
          "0", 0, TIB,
          "bytes a second that compactions read and write; 0: any"),
    BYTES("pending-slowdown", "LEVELD_PENDING_SLOWDOWN", pending_slowdown_bytes,
          "4GiB", MIB, 1024 * TIB,
          "bytes yet to be compacted at which writes slow down"),
    BYTES("pending-limit", "LEVELD_PENDING_LIMIT", pending_limit_bytes, "16GiB",
          MIB, 1024 * TIB, "the same at which they are slowest"),
    COUNT("compaction-threads", "LEVELD_COMPACTION_THREADS", compaction_threads,
          "2", 1, 8, "compactions that may run at once"),
    BOOL("seek-compaction", "LEVELD_SEEK_COMPACTION", seek_compaction, "no",
         "compact tables that reads look into in vain too often"),
    BYTES("block-size", "LEVELD_BLOCK_SIZE", block_bytes, "4KiB", 256, 4 * MIB,
          "data block before compression"),
    BYTES("level1-size", "LEVELD_LEVEL1_SIZE", level1_bytes, "100MiB", MIB, TIB,
          "bytes of level 1; each deeper level holds ten times more"),
    COUNT("l0-compaction", "LEVELD_L0_COMPACTION", l0_compaction_trigger, "4",
          1, 1000, "level-0 tables at which compaction starts"),
    COUNT("l0-slowdown", "LEVELD_L0_SLOWDOWN", l0_slowdown_trigger, "8", 1,
          1000, "level-0 tables at which writes slow down"),
    COUNT("l0-stop", "LEVELD_L0_STOP", l0_stop_trigger, "12", 1, 1000,
          "level-0 tables at which writes stop"),
    BYTES("write-queue", "LEVELD_WRITE_QUEUE", write_queue_bytes_max, "256MiB",
          MIB, 64 * GIB, "batches waiting to be written; beyond: 503"),
    BYTES("disk-reserve", "LEVELD_DISK_RESERVE", disk_reserve_bytes, "64MiB", 0,
          TIB, "free disk space below which /readyz is 503; 0: do not look"),
    CHOICE("journal", "LEVELD_JOURNAL", journal, "appended", "appended|mapped",
           "mapped: no system call for a write without a sync; a power cut may "
           "take more of those (operations.md)"),
    DURATION("sync-interval", "LEVELD_SYNC_INTERVAL", sync_interval_us, "100ms",
             0, 3600 * SECOND,
             "while somebody follows the changes, a write without a sync is "
             "durable within this; 0s: once something else syncs it"),
    BYTES("archive-bytes", "LEVELD_ARCHIVE_BYTES", archive_bytes, "1GiB", 0,
          TIB, "journals kept for readers of changes, at most; 0: none"),
    DURATION("archive-min-age", "LEVELD_ARCHIVE_MIN_AGE", archive_age_us, "1h",
             0, 8760 * 3600 * SECOND,
             "how long they are kept when no reader needs them, if they fit"),
    BYTES("slot-bytes", "LEVELD_SLOT_BYTES", slot_bytes, "1GiB", MIB, TIB,
          "journals kept for one follower, at most; beyond, it copies the "
          "folder anew"),
    COUNT("min-replicas", "LEVELD_MIN_REPLICAS", replicas_min, "0", 0,
          REPL_REPLICAS_MAX,
          "followers that have to sync every write before it is answered"),
    BYTES("scrub-rate", "LEVELD_SCRUB_RATE", scrub_rate_bytes, "8MiB", 0, TIB,
          "bytes a second, at most, at which tables and sealed journals are "
          "read through for damage; 0: they are not"),
    DURATION("scrub-interval", "LEVELD_SCRUB_INTERVAL", scrub_interval_us,
             "24h", SECOND, 8760 * 3600 * SECOND,
             "from the begin of one such pass to that of the next"),
    BOOL("compress", "LEVELD_COMPRESS", compress, "yes",
         "snappy where it saves over an eighth"),
    BOOL("verify-checksums", "LEVELD_VERIFY_CHECKSUMS", verify_checksums, "yes",
         "verify data blocks when first read"),
    BOOL("strict-journal", "LEVELD_STRICT_JOURNAL", strict_journal, "no",
         "refuse to start on damage inside a journal, else drop and count it"),

    CHOICE("log-level", "LEVELD_LOG_LEVEL", log_level, "info",
           "error|warn|info|debug", "least level that is logged"),
    CHOICE("log-format", "LEVELD_LOG_FORMAT", log_format, "text", "text|json",
           "lines of key=value, or JSON"),
    CHOICE("access-log", "LEVELD_ACCESS_LOG", access_log, "off",
           "off|text|json", "one line a request"),
    TEXT("access-log-file", "LEVELD_ACCESS_LOG_FILE", access_log_file, "",
         "file of the access log, opened again on SIGHUP; none: standard "
         "error"),
    DURATION("slow-request", "LEVELD_SLOW_REQUEST", slow_request_us, "0s", 0,
             3600 * SECOND,
             "log requests that take as long as a warning; 0s: none"),
};

#define OPTION_COUNT (sizeof options / sizeof options[0])

/*
 * What a profile sets; the rest is as by default, durability and checksums
 * among it. geth: its smallest cache, 16 MiB. LevelDB keeps 10 of its 1000
 * files for other uses.
 */
static const struct {
    enum svc_profile profile;
    const char *flag;
    const char *text;
} profile_values[] = {
    {SVC_PROFILE_GETH, "open-tables", "16"},
    {SVC_PROFILE_GETH, "block-cache", "8MiB"},
    {SVC_PROFILE_GETH, "write-buffer", "4MiB"},
    {SVC_PROFILE_GETH, "bloom-bits", "10"},
    {SVC_PROFILE_GOLEVELDB, "open-tables", "500"},
    {SVC_PROFILE_GOLEVELDB, "block-cache", "8MiB"},
    {SVC_PROFILE_GOLEVELDB, "write-buffer", "4MiB"},
    {SVC_PROFILE_GOLEVELDB, "bloom-bits", "0"},
    {SVC_PROFILE_GOLEVELDB, "level1-size", "100MiB"},
    {SVC_PROFILE_GOLEVELDB, "seek-compaction", "yes"},
    {SVC_PROFILE_LEVELDB, "open-tables", "990"},
    {SVC_PROFILE_LEVELDB, "block-cache", "8MiB"},
    {SVC_PROFILE_LEVELDB, "write-buffer", "4MiB"},
    {SVC_PROFILE_LEVELDB, "bloom-bits", "0"},
    {SVC_PROFILE_LEVELDB, "level1-size", "10MiB"},
    {SVC_PROFILE_LEVELDB, "seek-compaction", "yes"},
};

/* ---- values ---- */

struct unit {
    const char *suffix;
    uint64_t factor;
};

static const struct unit byte_units[] = {
    {"", 1},      {"B", 1},        {"KiB", KIB},
    {"MiB", MIB}, {"GiB", GIB},    {"TiB", TIB},
    {"kB", 1000}, {"MB", 1000000}, {"GB", 1000000000},
};

static const struct unit duration_units[] = {
    {"us", 1},          {"ms", 1000},         {"s", SECOND},
    {"m", 60 * SECOND}, {"h", 3600 * SECOND},
};

/* Digits, then one of the units. */
static bool parse_with_unit(const char *text, const struct unit *units,
                            size_t unit_count, uint64_t *out)
{
    size_t digits = strspn(text, "0123456789");
    uint64_t number;

    if (!ldb_parse_u64(ldb_slice_make(text, digits), &number))
        return false;
    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(text + digits, units[i].suffix) == 0)
            return !__builtin_mul_overflow(number, units[i].factor, out);
    }
    return false;
}

static bool parse_bool(const char *text, bool *out)
{
    static const char *const yes[] = {"yes", "true", "on", "1"};
    static const char *const no[] = {"no", "false", "off", "0"};

    for (size_t i = 0; i < sizeof yes / sizeof yes[0]; i++) {
        if (strcmp(text, yes[i]) == 0 || strcmp(text, no[i]) == 0) {
            *out = strcmp(text, yes[i]) == 0;
            return true;
        }
    }
    return false;
}

static bool parse_choice(const char *text, const char *choices, unsigned *out)
{
    size_t len = strlen(text);
    unsigned index = 0;

    for (const char *p = choices;; index++) {
        size_t word = strcspn(p, "|");

        if (word == len && memcmp(p, text, len) == 0) {
            *out = index;
            return true;
        }
        if (p[word] == '\0')
            return false;
        p += word + 1;
    }
}

static const char *what_it_takes(const struct option *option)
{
    switch (option->kind) {
    case KIND_TEXT:
        return "a text";
    case KIND_BOOL:
        return "yes or no";
    case KIND_COUNT:
        return "a number";
    case KIND_BYTES:
        return "a size like 4096, 64KiB, 4MiB or 1GiB";
    case KIND_DURATION:
        return "a duration like 500ms, 10s or 5m";
    case KIND_CHOICE:
        return option->choices;
    }
    return "";
}

static bool store_number(const struct option *option, const char *text,
                         uint64_t *out)
{
    static const struct unit none[] = {{"", 1}};

    switch (option->kind) {
    case KIND_BYTES:
        return parse_with_unit(text, byte_units,
                               sizeof byte_units / sizeof byte_units[0], out);
    case KIND_DURATION:
        return parse_with_unit(text, duration_units,
                               sizeof duration_units / sizeof duration_units[0],
                               out);
    case KIND_COUNT:
        return parse_with_unit(text, none, 1, out);
    case KIND_TEXT:
    case KIND_BOOL:
    case KIND_CHOICE:
        break;
    }
    return false;
}

/* source: "--flag" or the variable, for the message. */
static enum ldb_status set_option(struct svc_config *config,
                                  const struct option *option,
                                  const char *source, const char *text,
                                  struct ldb_error *err)
{
    char *base = (char *)config;
    bool is_good = true;
    uint64_t number = 0;
    bool flag = false;
    unsigned choice = 0;

    switch (option->kind) {
    case KIND_TEXT:
        memcpy(base + option->offset, &text, sizeof text);
        return LDB_OK;
    case KIND_BOOL:
        is_good = parse_bool(text, &flag);
        if (is_good)
            memcpy(base + option->offset, &flag, sizeof flag);
        break;
    case KIND_CHOICE:
        is_good = parse_choice(text, option->choices, &choice);
        if (is_good)
            memcpy(base + option->offset, &choice, sizeof choice);
        break;
    case KIND_COUNT:
    case KIND_BYTES:
    case KIND_DURATION:
        is_good = store_number(option, text, &number);
        if (is_good && (number < option->min || number > option->max))
            return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                                 "%s: \"%s\" is outside %" PRIu64 "..%" PRIu64
                                 "%s",
                                 source, text, option->min, option->max,
                                 option->kind == KIND_DURATION ? " us" : "");
        if (is_good)
            memcpy(base + option->offset, &number, sizeof number);
        break;
    }
    if (!is_good)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "%s takes %s, not \"%s\"", source,
                             what_it_takes(option), text);
    return LDB_OK;
}

/* ---- defaults, environment, flags ---- */

static enum ldb_status set_defaults(struct svc_config *config,
                                    struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    *config = (struct svc_config){0};
    for (size_t i = 0; i < OPTION_COUNT && s == LDB_OK; i++)
        s = set_option(config, &options[i], options[i].flag,
                       options[i].fallback, err);
    return s;
}

static enum ldb_status read_environment(struct svc_config *config,
                                        char *(*getenv_fn)(const char *),
                                        struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0; i < OPTION_COUNT && s == LDB_OK; i++) {
        const char *text = getenv_fn(options[i].env);

        if (text != NULL && text[0] != '\0')
            s = set_option(config, &options[i], options[i].env, text, err);
    }
    return s;
}

static const struct option *find_option(const char *name, size_t len)
{
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        if (strlen(options[i].flag) == len &&
            memcmp(options[i].flag, name, len) == 0)
            return &options[i];
    }
    return NULL;
}

/* One argument, "--flag=value", "--flag value" or a lone "--bool". */
static enum ldb_status read_flag(struct svc_config *config, int argc,
                                 char *const *argv, int *at,
                                 struct ldb_error *err)
{
    const char *argument = argv[*at];
    const struct option *option;
    const char *value;
    char source[64];
    size_t len;

    if (strncmp(argument, "--", 2) != 0)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "\"%s\" is not an option; see --help", argument);
    len = strcspn(argument + 2, "=");
    option = find_option(argument + 2, len);
    if (option == NULL)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "no option \"%s\"; see --help", argument);
    snprintf(source, sizeof source, "--%s", option->flag);
    if (argument[2 + len] == '=') {
        value = argument + 2 + len + 1;
    } else if (option->kind == KIND_BOOL) {
        value = "yes";
    } else if (*at + 1 < argc) {
        value = argv[++*at];
    } else {
        return ldb_error_set(err, LDB_INVALID_ARGUMENT, "%s needs %s", source,
                             what_it_takes(option));
    }
    return set_option(config, option, source, value, err);
}

static enum ldb_status apply_profile(struct svc_config *config,
                                     enum svc_profile profile,
                                     struct ldb_error *err)
{
    enum ldb_status s = LDB_OK;

    for (size_t i = 0;
         i < sizeof profile_values / sizeof profile_values[0] && s == LDB_OK;
         i++) {
        const char *flag = profile_values[i].flag;

        if (profile_values[i].profile == profile)
            s = set_option(config, find_option(flag, strlen(flag)), flag,
                           profile_values[i].text, err);
    }
    return s;
}

/* Everything over defaults and profile, unchecked. */
static enum ldb_status read_all(int argc, char *const *argv,
                                char *(*getenv_fn)(const char *),
                                enum svc_profile profile, struct ldb_error *err,
                                struct svc_config *out)
{
    enum ldb_status s = set_defaults(out, err);

    if (s == LDB_OK)
        s = apply_profile(out, profile, err);
    if (s == LDB_OK)
        s = read_environment(out, getenv_fn, err);
    for (int i = 0; i < argc && s == LDB_OK; i++)
        s = read_flag(out, argc, argv, &i, err);
    return s;
}

/* ---- what must fit together ---- */

enum ldb_status svc_config_split_address(const char *address,
                                         struct ldb_error *err,
                                         char out_host[SVC_HOST_SIZE],
                                         uint16_t *out_port, bool *out_loopback)
{
    const char *colon = strrchr(address, ':');
    const char *host = address;
    size_t host_len;
    struct in6_addr v6;
    struct in_addr v4;
    char text[SVC_HOST_SIZE];
    uint64_t port;

    if (colon == NULL || !ldb_parse_u64(ldb_slice_str(colon + 1), &port) ||
        port > UINT16_MAX)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--listen takes ADDRESS:PORT, not \"%s\"",
                             address);
    host_len = (size_t)(colon - address);
    if (host_len >= 2 && host[0] == '[' && host[host_len - 1] == ']') {
        host++;
        host_len -= 2;
    }
    if (host_len >= sizeof text)
        host_len = sizeof text - 1;
    memcpy(text, host, host_len);
    text[host_len] = '\0';
    if (inet_pton(AF_INET, text, &v4) == 1) {
        *out_loopback = (ntohl(v4.s_addr) >> 24) == 127;
    } else if (inet_pton(AF_INET6, text, &v6) == 1) {
        *out_loopback = IN6_IS_ADDR_LOOPBACK(&v6);
    } else if (strcmp(text, "localhost") == 0) {
        memcpy(text, "127.0.0.1", sizeof "127.0.0.1");
        *out_loopback = true;
    } else {
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--listen: \"%s\" is not an IP address", text);
    }
    memcpy(out_host, text, sizeof text);
    *out_port = (uint16_t)port;
    return LDB_OK;
}

static bool is_hex_id(const char *text)
{
    return strlen(text) == 32 && strspn(text, "0123456789abcdef") == 32;
}

static enum ldb_status check_sizes(const struct svc_config *config,
                                   struct ldb_error *err)
{
    /* A put's own bytes in a batch: header, kind, two lengths. */
    const uint64_t put_overhead = 12 + 1 + 5 + 5;

    if (config->batch_bytes_max <
        config->value_bytes_max + config->key_bytes_max + put_overhead)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--batch-max must hold a --value-max and a "
                             "--key-max");
    if (config->upload_budget_bytes / SVC_HTTP_UPLOAD_WEIGHT <
            config->batch_bytes_max ||
        config->upload_budget_bytes / SVC_HTTP_UPLOAD_WEIGHT <
            config->json_batch_bytes_max)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--upload-budget must hold seven times a "
                             "--batch-max and a --json-batch-max");
    if (config->write_queue_bytes_max < config->batch_bytes_max)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--write-queue must hold a --batch-max");
    if (config->l0_slowdown_trigger < config->l0_compaction_trigger ||
        config->l0_stop_trigger < config->l0_slowdown_trigger)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--l0-compaction, --l0-slowdown and --l0-stop "
                             "must not fall");
    if (config->pending_limit_bytes < config->pending_slowdown_bytes)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--pending-limit is below --pending-slowdown");
    return LDB_OK;
}

static enum ldb_status check_role(const struct svc_config *config,
                                  struct ldb_error *err)
{
    bool follows = config->role == SVC_ROLE_FOLLOWER;

    if (follows != (config->leader[0] != '\0'))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--role follower and --leader URL go together");
    if (follows && config->read_only)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--read-only: a follower writes what its leader "
                             "has written");
    if (!repl_role_url_is_storable(config->leader))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--leader takes a URL like http://HOST:PORT");
    if (!repl_role_url_is_storable(config->advertise))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--advertise takes a URL like http://HOST:PORT");
    if ((config->replication_cert[0] == '\0') !=
        (config->replication_key[0] == '\0'))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--replication-cert and --replication-key go "
                             "together");
    return LDB_OK;
}

static enum ldb_status check(const struct svc_config *config,
                             struct ldb_error *err)
{
    char host[SVC_HOST_SIZE];
    bool is_loopback = false;
    enum ldb_status s;
    uint16_t port;

    if (config->data_dir[0] == '\0')
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--data DIR is required; see --help");
    s = svc_config_split_address(config->listen, err, host, &port,
                                 &is_loopback);
    if (s != LDB_OK)
        return s;
    if (!is_loopback && !config->insecure && config->tokens[0] == '\0' &&
        config->tls_client_ca[0] == '\0')
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--listen %s is reachable from outside and "
                             "nothing is authenticated: give --tokens or "
                             "--tls-client-ca, or say --insecure to allow it",
                             config->listen);
    if ((config->tls_cert[0] == '\0') != (config->tls_key[0] == '\0'))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--tls-cert and --tls-key go together");
    if (config->tls_client_ca[0] != '\0' && config->tls_cert[0] == '\0')
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--tls-client-ca needs --tls-cert and --tls-key");
    if (config->access_log_file[0] != '\0' &&
        config->access_log == SVC_ACCESS_OFF)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--access-log-file needs --access-log text or "
                             "json");
    s = check_role(config, err);
    if (s != LDB_OK)
        return s;
    if (config->cluster_id[0] != '\0' && !is_hex_id(config->cluster_id))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "--cluster-id takes 32 lower-case hex digits, "
                             "not \"%s\"",
                             config->cluster_id);
    return check_sizes(config, err);
}

enum ldb_status svc_config_parse(int argc, char *const *argv,
                                 char *(*getenv_fn)(const char *name),
                                 struct ldb_error *err, struct svc_config *out)
{
    struct svc_config config;
    enum ldb_status s;

    s = set_defaults(&config, err);
    if (s != LDB_OK)
        return s;
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            config.help = true;
            *out = config;
            return LDB_OK;
        }
    }
    s = read_all(argc, argv, getenv_fn, SVC_PROFILE_LEVELD, err, &config);
    /* Which profile is known now; what was said explicitly wins over it. */
    if (s == LDB_OK && config.profile != SVC_PROFILE_LEVELD)
        s = read_all(argc, argv, getenv_fn, (enum svc_profile)config.profile,
                     err, &config);
    if (s == LDB_OK)
        s = check(&config, err);
    if (s == LDB_OK)
        *out = config;
    return s;
}

/* ---- help ---- */

static const char *metavar(const struct option *option)
{
    switch (option->kind) {
    case KIND_TEXT:
        return "TEXT";
    case KIND_BOOL:
        return "yes|no";
    case KIND_COUNT:
        return "N";
    case KIND_BYTES:
        return "SIZE";
    case KIND_DURATION:
        return "DURATION";
    case KIND_CHOICE:
        return option->choices;
    }
    return "";
}

void svc_config_print_help(FILE *out)
{
    fputs("Usage: leveld serve --data DIR [OPTION...]\n"
          "\n"
          "Serves the LevelDB database in DIR over HTTP until SIGTERM or "
          "SIGINT.\n"
          "\n"
          "A flag wins over its environment variable. SIZE is a number of "
          "bytes, or\n"
          "has a unit: KiB MiB GiB TiB kB MB GB. DURATION has a unit: us ms s "
          "m h.\n"
          "A flag of kind yes|no alone means yes.\n"
          "\n",
          out);
    for (size_t i = 0; i < OPTION_COUNT; i++) {
        const struct option *option = &options[i];

        fprintf(out, "  --%s=%s\n", option->flag, metavar(option));
        fprintf(out, "        %s\n", option->help);
        fprintf(out, "        default: %s; environment: %s\n",
                option->fallback[0] == '\0' ? "none" : option->fallback,
                option->env);
    }
}
