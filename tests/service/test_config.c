#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "service/access_log.h"
#include "service/config.h"
#include "storage/include/ldb.h"

/* The environment of the test under way: "NAME=value", NULL at the end. */
static const char *const *environment;

static char *test_getenv(const char *name)
{
    static char value[256];
    size_t len = strlen(name);

    for (const char *const *p = environment; p != NULL && *p != NULL; p++) {
        if (strncmp(*p, name, len) == 0 && (*p)[len] == '=') {
            snprintf(value, sizeof value, "%s", *p + len + 1);
            return value;
        }
    }
    return NULL;
}

/* Arguments separated by blanks. */
static enum ldb_status parse(const char *line, struct ldb_error *err,
                             struct svc_config *out)
{
    static char text[1024];
    char *argv[32];
    int argc = 0;
    char *rest = text;
    char *word;

    snprintf(text, sizeof text, "%s", line);
    while ((word = strsep(&rest, " ")) != NULL) {
        if (word[0] != '\0')
            argv[argc++] = word;
    }
    return svc_config_parse(argc, argv, test_getenv, err, out);
}

static void defaults_are_the_documented_ones(void **state)
{
    struct svc_config config;
    struct ldb_error err = {0};

    (void)state;
    environment = NULL;
    assert_int_equal(LDB_OK, parse("--data d", &err, &config));
    assert_string_equal("d", config.data_dir);
    assert_string_equal("127.0.0.1:8080", config.listen);
    assert_false(config.insecure);
    assert_false(config.read_only);
    assert_true(config.create);
    assert_true(config.sync_default);
    assert_int_equal(SVC_ROLE_LEADER, config.role);
    assert_string_equal("", config.leader);
    assert_int_equal(10000000, config.max_lag_us);
    assert_int_equal(LDB_JOURNAL_APPENDED, config.journal);
    assert_int_equal(10000000, config.stop_timeout_us);
    assert_int_equal(65536, config.key_bytes_max);
    assert_int_equal(67108864, config.value_bytes_max);
    assert_int_equal(68157440, config.batch_bytes_max);
    assert_int_equal(100663296, config.json_batch_bytes_max);
    assert_int_equal(8388608, config.page_bytes_max);
    assert_int_equal(4194304, config.write_buffer_bytes);
    assert_int_equal(10, config.bloom_bits);
    assert_int_equal(SVC_LOG_INFO, config.log_level);
    assert_int_equal(SVC_LOG_KEY_VALUE, config.log_format);
    assert_int_equal(SVC_ACCESS_OFF, config.access_log);
    assert_string_equal("", config.access_log_file);
    assert_int_equal(0, config.slow_request_us);
}

static void values_of_every_kind_are_read(void **state)
{
    struct svc_config config;
    struct ldb_error err = {0};

    (void)state;
    environment = NULL;
    assert_int_equal(
        LDB_OK,
        parse("--data=x --listen [::1]:0 --read-only --create=no --loops 3 "
              "--stop-timeout 1500ms --idle-timeout 2m --block-cache 1GiB "
              "--write-buffer 1MB --log-level debug --log-format=json "
              "--journal mapped "
              "--access-log json --access-log-file f --slow-request 250ms "
              "--cluster-id 0123456789abcdef0123456789abcdef",
              &err, &config));
    assert_string_equal("[::1]:0", config.listen);
    assert_true(config.read_only);
    assert_false(config.create);
    assert_int_equal(3, config.loops);
    assert_int_equal(1500000, config.stop_timeout_us);
    assert_int_equal(120000000, config.idle_timeout_us);
    assert_int_equal(1073741824, config.block_cache_bytes);
    assert_int_equal(1000000, config.write_buffer_bytes);
    assert_int_equal(LDB_JOURNAL_MAPPED, config.journal);
    assert_int_equal(SVC_LOG_DEBUG, config.log_level);
    assert_int_equal(SVC_LOG_JSON, config.log_format);
    assert_int_equal(SVC_ACCESS_JSON, config.access_log);
    assert_string_equal("f", config.access_log_file);
    assert_int_equal(250000, config.slow_request_us);
}

static void a_flag_wins_over_the_environment(void **state)
{
    static const char *const variables[] = {
        "LEVELD_DATA=/from/env", "LEVELD_LOOPS=7", "LEVELD_BLOOM_BITS=5",
        "LEVELD_LISTEN=", NULL};
    struct svc_config config;
    struct ldb_error err = {0};

    (void)state;
    environment = variables;
    assert_int_equal(LDB_OK, parse("--loops 2", &err, &config));
    assert_int_equal(2, config.loops);
    assert_int_equal(5, config.bloom_bits);
    assert_string_equal("127.0.0.1:8080", config.listen);
    environment = NULL;
}

static void a_profile_sets_defaults_that_all_else_wins_over(void **state)
{
    static const struct {
        const char *line;
        const char *variables[3];
        uint64_t open_tables, block_cache, write_buffer, bloom, level1;
    } rows[] = {
        {"", {NULL}, 500, 8 << 20, 4 << 20, 10, 100 << 20},
        {"--profile leveld", {NULL}, 500, 8 << 20, 4 << 20, 10, 100 << 20},
        {"--profile geth", {NULL}, 16, 8 << 20, 4 << 20, 10, 100 << 20},
        {"--profile goleveldb", {NULL}, 500, 8 << 20, 4 << 20, 0, 100 << 20},
        {"--profile=leveldb", {NULL}, 990, 8 << 20, 4 << 20, 0, 10 << 20},
        /* A flag before or behind it, and a variable, win over it. */
        {"--open-tables 77 --profile geth --bloom-bits 3",
         {NULL},
         77,
         8 << 20,
         4 << 20,
         3,
         100 << 20},
        {"",
         {"LEVELD_PROFILE=leveldb", "LEVELD_LEVEL1_SIZE=20MiB", NULL},
         990,
         8 << 20,
         4 << 20,
         0,
         20 << 20},
        {"--profile geth",
         {"LEVELD_PROFILE=leveldb", NULL},
         16,
         8 << 20,
         4 << 20,
         10,
         100 << 20},
    };

    (void)state;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct svc_config config;
        struct ldb_error err = {0};
        char line[200];

        environment = rows[i].variables;
        snprintf(line, sizeof line, "--data d %s", rows[i].line);
        assert_int_equal(LDB_OK, parse(line, &err, &config));
        assert_int_equal(rows[i].open_tables, config.open_tables_max);
        assert_int_equal(rows[i].block_cache, config.block_cache_bytes);
        assert_int_equal(rows[i].write_buffer, config.write_buffer_bytes);
        assert_int_equal(rows[i].bloom, config.bloom_bits);
        assert_int_equal(rows[i].level1, config.level1_bytes);
        /* Both libraries have it, go-ethereum turns it off. */
        assert_int_equal(rows[i].bloom == 0, config.seek_compaction);
        assert_true(config.sync_default && config.verify_checksums);
    }
    environment = NULL;
}

static void what_does_not_fit_is_refused_by_name(void **state)
{
    static const struct {
        const char *line;
        enum ldb_status status;
        const char *part; /* of the message */
    } rows[] = {
        {"", LDB_INVALID_ARGUMENT, "--data"},
        {"--data d extra", LDB_INVALID_ARGUMENT, "extra"},
        {"--data d --nonsense 1", LDB_INVALID_ARGUMENT, "--nonsense"},
        {"--data d --loops", LDB_INVALID_ARGUMENT, "--loops needs"},
        {"--data d --loops x", LDB_INVALID_ARGUMENT, "--loops"},
        {"--data d --loops -1", LDB_INVALID_ARGUMENT, "--loops"},
        {"--data d --loops 257", LDB_INVALID_ARGUMENT, "outside 0..256"},
        {"--data d --bloom-bits 1KiB", LDB_INVALID_ARGUMENT, "--bloom-bits"},
        {"--data d --read-only=maybe", LDB_INVALID_ARGUMENT, "yes or no"},
        {"--data d --profile geht", LDB_INVALID_ARGUMENT,
         "--profile takes leveld|geth|goleveldb|leveldb"},
        {"--data d --block-cache 1XiB", LDB_INVALID_ARGUMENT, "--block-cache"},
        {"--data d --block-cache 99999999999TiB", LDB_INVALID_ARGUMENT,
         "--block-cache"},
        {"--data d --stop-timeout 10", LDB_INVALID_ARGUMENT, "--stop-timeout"},
        {"--data d --access-log-file f", LDB_INVALID_ARGUMENT,
         "--access-log-file needs"},
        {"--data d --log-level loud", LDB_INVALID_ARGUMENT,
         "error|warn|info|debug"},
        {"--data d --log-level inf", LDB_INVALID_ARGUMENT, "--log-level"},
        {"--data d --listen 127.0.0.1", LDB_INVALID_ARGUMENT, "ADDRESS:PORT"},
        {"--data d --listen 127.0.0.1:65536", LDB_INVALID_ARGUMENT,
         "ADDRESS:PORT"},
        {"--data d --listen host:80", LDB_INVALID_ARGUMENT, "host"},
        {"--data d --listen 0.0.0.0:80", LDB_INVALID_ARGUMENT, "--insecure"},
        {"--data d --listen [::]:80", LDB_INVALID_ARGUMENT, "--insecure"},
        {"--data d --tls-cert c", LDB_INVALID_ARGUMENT, "--tls-key"},
        {"--data d --tls-key k", LDB_INVALID_ARGUMENT, "--tls-cert"},
        {"--data d --tls-client-ca a", LDB_INVALID_ARGUMENT, "--tls-cert"},
        {"--data d --role follower", LDB_INVALID_ARGUMENT, "--leader"},
        {"--data d --leader http://a:1", LDB_INVALID_ARGUMENT, "--role"},
        {"--data d --role follower --leader http://a:1 --read-only",
         LDB_INVALID_ARGUMENT, "--read-only"},
        {"--data d --role follower --leader -", LDB_INVALID_ARGUMENT,
         "--leader takes"},
        {"--data d --advertise -", LDB_INVALID_ARGUMENT, "--advertise"},
        {"--data d --follower-writes maybe", LDB_INVALID_ARGUMENT,
         "forward|redirect|reject"},
        {"--data d --replication-cert c", LDB_INVALID_ARGUMENT,
         "--replication-key"},
        {"--data d --replication-key k", LDB_INVALID_ARGUMENT,
         "--replication-cert"},
        {"--data d --cluster-id 12", LDB_INVALID_ARGUMENT, "--cluster-id"},
        {"--data d --value-max 65MiB", LDB_INVALID_ARGUMENT, "--batch-max"},
        {"--data d --upload-budget 128MiB", LDB_INVALID_ARGUMENT,
         "--upload-budget"},
        {"--data d --write-queue 1MiB", LDB_INVALID_ARGUMENT, "--write-queue"},
        {"--data d --l0-stop 5", LDB_INVALID_ARGUMENT, "--l0-stop"},
    };

    (void)state;
    environment = NULL;
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct svc_config config;
        struct ldb_error err = {0};
        enum ldb_status s = parse(rows[i].line, &err, &config);

        if (s != rows[i].status || strstr(err.message, rows[i].part) == NULL)
            fail_msg("\"%s\": %s: %s", rows[i].line, ldb_status_text(s),
                     err.message);
    }
}

static void outside_addresses_need_tokens_or_insecure(void **state)
{
    struct svc_config config;
    struct ldb_error err = {0};

    (void)state;
    environment = NULL;
    assert_int_equal(LDB_OK, parse("--data d --listen 0.0.0.0:80 --insecure",
                                   &err, &config));
    assert_int_equal(LDB_OK, parse("--data d --listen 0.0.0.0:80 --tokens f",
                                   &err, &config));
    assert_string_equal("f", config.tokens);
    assert_int_equal(LDB_OK, parse("--data d --listen 0.0.0.0:80 --tls-cert c "
                                   "--tls-key k --tls-client-ca a",
                                   &err, &config));
    assert_int_equal(LDB_INVALID_ARGUMENT,
                     parse("--data d --listen 0.0.0.0:80 --tls-cert c "
                           "--tls-key k",
                           &err, &config));
    assert_int_equal(LDB_OK,
                     parse("--data d --listen localhost:80", &err, &config));
    assert_int_equal(LDB_OK,
                     parse("--data d --listen 127.1.2.3:80", &err, &config));
}

static void addresses_are_taken_apart(void **state)
{
    char host[SVC_HOST_SIZE];
    struct ldb_error err = {0};
    bool is_loopback = false;
    uint16_t port = 0;

    (void)state;
    assert_int_equal(LDB_OK, svc_config_split_address("[::1]:8081", &err, host,
                                                      &port, &is_loopback));
    assert_string_equal("::1", host);
    assert_int_equal(8081, port);
    assert_true(is_loopback);
    assert_int_equal(LDB_OK, svc_config_split_address("10.0.0.1:1", &err, host,
                                                      &port, &is_loopback));
    assert_string_equal("10.0.0.1", host);
    assert_false(is_loopback);
}

static void help_names_every_option_it_takes(void **state)
{
    static const char *const names[] = {
        "--data",         "--listen",  "--loops",        "--stop-timeout",
        "--block-cache",  "--profile", "LEVELD_PROFILE", "LEVELD_UPLOAD_BUDGET",
        "default: 768MiB"};
    struct svc_config config;
    struct ldb_error err = {0};
    char *text = NULL;
    size_t len = 0;
    FILE *out = open_memstream(&text, &len);

    (void)state;
    environment = NULL;
    assert_int_equal(LDB_OK, parse("--nonsense --help", &err, &config));
    assert_true(config.help);
    assert_non_null(out);
    svc_config_print_help(out);
    fclose(out);
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        assert_non_null(strstr(text, names[i]));
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults_are_the_documented_ones),
        cmocka_unit_test(values_of_every_kind_are_read),
        cmocka_unit_test(a_flag_wins_over_the_environment),
        cmocka_unit_test(a_profile_sets_defaults_that_all_else_wins_over),
        cmocka_unit_test(what_does_not_fit_is_refused_by_name),
        cmocka_unit_test(outside_addresses_need_tokens_or_insecure),
        cmocka_unit_test(addresses_are_taken_apart),
        cmocka_unit_test(help_names_every_option_it_takes),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
