/*
 * What `leveld serve` can be told: one struct, filled from defaults, then the
 * profile, then the environment (LEVELD_*), then flags, checked once, constant
 * afterwards. The table in config.c is the only list of options; --help prints
 * it.
 *
 * Thread-safety: plain values.
 */
#ifndef SERVICE_CONFIG_H
#define SERVICE_CONFIG_H

#include <stdio.h>

#include "service/log.h"

enum svc_role {
    SVC_ROLE_LEADER,
    SVC_ROLE_FOLLOWER,
};

/* Whose figures stand where no variable and no flag says otherwise. */
enum svc_profile {
    SVC_PROFILE_LEVELD,
    SVC_PROFILE_GETH,      /* go-ethereum's smallest cache */
    SVC_PROFILE_GOLEVELDB, /* its defaults */
    SVC_PROFILE_LEVELDB,   /* its defaults */
};

/*
 * Texts are borrowed from argv and the environment. Durations are in
 * microseconds, sizes in bytes.
 */
struct svc_config {
    const char *data_dir; /* required */
    const char *listen;   /* ADDR:PORT; port 0: any free one */
    bool insecure;        /* may listen beyond loopback without tokens */
    const char *tokens;   /* file of bearer tokens; "": none are asked for */
    const char *tls_cert; /* PEM files; "": no TLS */
    const char *tls_key;
    const char *tls_client_ca;  /* "": clients need no certificate */
    const char *checkpoint_dir; /* folder of checkpoints; "": none are made */
    bool read_only;
    bool create;
    const char *cluster_id; /* "": any */
    bool sync_default;
    uint64_t stop_timeout_us;

    /* replication */
    unsigned role;                      /* enum svc_role; what it begins with */
    const char *leader;                 /* URL; "": of a leader */
    const char *peers;                  /* URLs between commas; "": none */
    const char *advertise;              /* our own URL; "": made of --listen */
    unsigned follower_writes;           /* enum api_follower_writes */
    uint64_t max_lag_us;                /* 0: do not look */
    const char *replication_token_file; /* "": none is sent */
    const char *replication_ca;         /* PEM files; "": the system's, */
    const char *replication_cert;       /* none is shown */
    const char *replication_key;

    /* HTTP */
    uint64_t loops; /* 0: one per core */
    uint64_t connections_max;
    uint64_t idle_timeout_us;
    uint64_t header_timeout_us;
    uint64_t body_timeout_us;
    uint64_t upload_budget_bytes;
    uint64_t answer_budget_bytes;
    uint64_t feeds_max;
    uint64_t feed_heartbeat_us;

    /* limits of requests */
    uint64_t key_bytes_max;
    uint64_t value_bytes_max;
    uint64_t batch_bytes_max;
    uint64_t json_batch_bytes_max;
    uint64_t page_bytes_max;

    /* engine */
    unsigned profile; /* enum svc_profile; the figures below follow it */
    uint64_t write_buffer_bytes;
    uint64_t immutable_memtables_max;
    uint64_t block_cache_bytes;
    uint64_t row_cache_bytes; /* 0: none */
    uint64_t open_tables_max;
    uint64_t bloom_bits;
    uint64_t table_bytes;
    uint64_t compaction_threads;
    uint64_t compaction_rate_bytes;
    uint64_t pending_slowdown_bytes;
    uint64_t pending_limit_bytes;
    uint64_t block_bytes;
    uint64_t level1_bytes;
    uint64_t l0_compaction_trigger;
    uint64_t l0_slowdown_trigger;
    uint64_t l0_stop_trigger;
    uint64_t write_queue_bytes_max;
    uint64_t disk_reserve_bytes;
    unsigned journal; /* enum ldb_journal */
    uint64_t sync_interval_us;
    uint64_t archive_bytes;
    uint64_t archive_age_us;
    uint64_t slot_bytes;       /* of journals kept for one follower */
    uint64_t replicas_min;     /* followers that have to sync each write */
    uint64_t scrub_rate_bytes; /* 0: files are not read through */
    uint64_t scrub_interval_us;
    bool compress;
    bool verify_checksums;
    bool seek_compaction;
    bool strict_journal;

    unsigned log_level;          /* enum svc_log_level */
    unsigned log_format;         /* enum svc_log_format */
    unsigned access_log;         /* enum svc_access_form */
    const char *access_log_file; /* "": standard error */
    uint64_t slow_request_us;    /* 0: none */

    bool help; /* --help was given: nothing else was checked */
};

/*
 * Fills out from defaults, the environment and the arguments after the
 * subcommand (argv[0] is the first of them). getenv_fn is the C library's, or
 * a test's.
 *
 * Errors: INVALID_ARGUMENT with the option and what it takes; NOT_SUPPORTED
 * for what a later version brings.
 */
LDB_MUST_CHECK enum ldb_status
svc_config_parse(int argc, char *const *argv,
                 char *(*getenv_fn)(const char *name), struct ldb_error *err,
                 struct svc_config *out);

/* Prints every option with its unit, default and environment variable. */
void svc_config_print_help(FILE *out);

/* Room for the longest host in "ADDR:PORT", with its NUL. */
#define SVC_HOST_SIZE 64

/*
 * Takes "127.0.0.1:8080" or "[::1]:8080" apart. out_loopback: the address is
 * one of this host's own.
 */
LDB_MUST_CHECK enum ldb_status
svc_config_split_address(const char *address, struct ldb_error *err,
                         char out_host[SVC_HOST_SIZE], uint16_t *out_port,
                         bool *out_loopback);

#endif
