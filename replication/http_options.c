#include "replication/http_options.h"

#include <curl/curl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <string.h>
#include <sys/socket.h>

#include "replication/protocol.h"
#include "storage/base/mem.h"
#include "storage/base/status.h"

/* CURLOPT_QUICK_EXIT; and curl_global_init() from any thread since 7.84. */
#if LIBCURL_VERSION_NUM < 0x075700
#error "libcurl 7.87 or later is needed"
#endif

/* As libcurl reads from a socket. Chosen: two journal blocks and more. */
#define RECEIVE_BYTES 131072L

/* A leader that moved is found again under its name after so long. */
#define DNS_CACHE_S 5L

/* Seconds without a byte after which the kernel asks whether the other side is
 * there still, and between its questions: a followed file may be silent. */
#define KEEPALIVE_IDLE_S     20L
#define KEEPALIVE_INTERVAL_S 10L

/* What was sent and is not taken by the machine there for so long, or a
 * question that it does not answer, is the connection's end: the way to it is
 * cut. The kernel alone would try for a quarter of an hour. Chosen: some
 * retransmissions, the last one seconds after the one before. */
#define UNTAKEN_MS 10000u

/* A limit has to fit into libcurl's milliseconds, a long. A day. */
#define LIMIT_US_MAX (UINT64_C(86400) * 1000000)

void repl_http_options_init(struct repl_http_options *options)
{
    *options = (struct repl_http_options){
        .connect_timeout_us = UINT64_C(5000000),
        .head_timeout_us = UINT64_C(30000000),
        .digest_timeout_us = UINT64_C(300000000),
        .low_speed_bytes = 1024,
        .low_speed_us = UINT64_C(30000000),
    };
}

/* ---- check ---- */

static enum ldb_status bad(struct ldb_error *err, const char *what)
{
    return ldb_error_set(err, LDB_INVALID_ARGUMENT, "%s", what);
}

static bool has_part(CURLU *url, CURLUPart part)
{
    char *text = NULL;
    bool has = curl_url_get(url, part, &text, 0) == CURLUE_OK;

    curl_free(text);
    return has;
}

static bool part_is(CURLU *url, CURLUPart part, const char *other)
{
    char *text = NULL;
    bool is_other = curl_url_get(url, part, &text, 0) == CURLUE_OK &&
                    strcmp(text, other) == 0;

    curl_free(text);
    return is_other;
}

static enum ldb_status check_parts(CURLU *url, const char *text, bool is_folder,
                                   struct ldb_error *err)
{
    CURLUcode code = curl_url_set(url, CURLUPART_URL, text, 0);

    if (code == CURLUE_OUT_OF_MEMORY)
        return ldb_error_no_memory(err);
    /* First of all, for no error may show it. */
    if (code == CURLUE_OK &&
        (has_part(url, CURLUPART_USER) || has_part(url, CURLUPART_PASSWORD)))
        return bad(err, "a URL with a user or a password: use a token");
    if (code != CURLUE_OK)
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "no URL of another node, as http://HOST:PORT: %s",
                             curl_url_strerror(code));
    if (!part_is(url, CURLUPART_SCHEME, "http") &&
        !part_is(url, CURLUPART_SCHEME, "https"))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "URL %s: neither http nor https", text);
    if (has_part(url, CURLUPART_QUERY) || has_part(url, CURLUPART_FRAGMENT))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "URL %s: more than a host and a %s", text,
                             is_folder ? "path" : "port");
    if (!is_folder && !part_is(url, CURLUPART_PATH, "/"))
        return ldb_error_set(err, LDB_INVALID_ARGUMENT,
                             "URL %s: more than a host and a port (a folder of "
                             "files there is files+http://...)",
                             text);
    return LDB_OK;
}

static enum ldb_status check_url(const char *text, bool is_folder,
                                 struct ldb_error *err)
{
    CURLU *url;
    enum ldb_status s;

    if (text == NULL)
        return bad(err, "no URL of another node");
    if (strlen(text) >= REPL_URL_SIZE)
        return bad(err, "the URL is too long");
    url = curl_url();
    if (url == NULL)
        return ldb_error_no_memory(err);
    s = check_parts(url, text, is_folder, err);
    curl_url_cleanup(url);
    return s;
}

static bool is_limit(uint64_t us)
{
    return us > 0 && us <= LIMIT_US_MAX;
}

enum ldb_status repl_http_options_check(const struct repl_http_options *options,
                                        struct ldb_error *err)
{
    const char *token = options->token == NULL ? "" : options->token;

    assert(options->env != NULL);
    if (options->token != NULL && *token == '\0')
        return bad(err, "the token is empty");
    for (; *token != '\0'; token++)
        if (*token <= ' ' || *token > '~')
            return bad(err, "the token has other than printable ASCII");
    if ((options->cert_file == NULL) != (options->key_file == NULL))
        return bad(err, "a certificate and its key go together");
    if (!is_limit(options->connect_timeout_us) ||
        !is_limit(options->head_timeout_us) ||
        !is_limit(options->digest_timeout_us) ||
        !is_limit(options->low_speed_us))
        return bad(err, "a time limit has to be above 0 and at most a day");
    return check_url(options->url, options->is_folder, err);
}

/* ---- copy ---- */

static const char **texts_of(struct repl_http_options *options, size_t i)
{
    const char **const texts[] = {
        &options->url,       &options->token,    &options->ca_file,
        &options->cert_file, &options->key_file,
    };

    return i < sizeof(texts) / sizeof(texts[0]) ? texts[i] : NULL;
}

enum ldb_status repl_http_options_copy(const struct repl_http_options *options,
                                       struct ldb_error *err,
                                       struct repl_http_options *out)
{
    struct repl_http_options from = *options;
    struct repl_http_options copy = *options;

    for (size_t i = 0; texts_of(&copy, i) != NULL; i++)
        *texts_of(&copy, i) = NULL;
    for (size_t i = 0; texts_of(&copy, i) != NULL; i++) {
        const char *text = *texts_of(&from, i);

        if (text == NULL)
            continue;
        *texts_of(&copy, i) = ldb_mem_strdup(text);
        if (*texts_of(&copy, i) == NULL) {
            repl_http_options_release(&copy);
            return ldb_error_no_memory(err);
        }
    }
    *out = copy;
    return LDB_OK;
}

void repl_http_options_release(struct repl_http_options *copy)
{
    assert(copy != NULL);
    for (size_t i = 0; texts_of(copy, i) != NULL; i++) {
        /* Owned here, const for who reads it. */
        union {
            const char *text;
            char *owned;
        } block = {.text = *texts_of(copy, i)};

        ldb_mem_free(block.owned);
    }
    *copy = (struct repl_http_options){0};
}

/* ---- libcurl ---- */

static int limit_untaken(void *context, curl_socket_t socket,
                         curlsocktype purpose)
{
    unsigned ms = UNTAKEN_MS;

    (void)context;
    (void)purpose;
    /* Without it a cut is found later. */
    (void)setsockopt(socket, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
    return CURL_SOCKOPT_OK;
}

int repl_http_options_find_cuts(void *easy)
{
    CURL *curl = easy;

    return (int)curl_easy_setopt(curl, CURLOPT_SOCKOPTFUNCTION, limit_untaken);
}

int repl_http_options_apply(const struct repl_http_options *options, void *easy)
{
    long connect_ms = (long)(options->connect_timeout_us / 1000);
    CURL *curl = easy;
    CURLcode code = CURLE_OK;

#define SET(option, value)                                                     \
    (code = code != CURLE_OK ? code : curl_easy_setopt(curl, option, value))
    SET(CURLOPT_PROTOCOLS_STR, "http,https");
    SET(CURLOPT_FOLLOWLOCATION, 0L);
    SET(CURLOPT_PROXY, ""); /* nor one that the environment names */
    SET(CURLOPT_HTTP_VERSION, (long)CURL_HTTP_VERSION_1_1);
    SET(CURLOPT_PATH_AS_IS, 1L);
    SET(CURLOPT_NOSIGNAL, 1L);
    SET(CURLOPT_BUFFERSIZE, RECEIVE_BYTES);
    SET(CURLOPT_CONNECTTIMEOUT_MS, connect_ms > 0 ? connect_ms : 1L);
    SET(CURLOPT_DNS_CACHE_TIMEOUT, DNS_CACHE_S);
    /* A name server that does not answer holds up libcurl's thread that asks
     * it, not who has given up: the thread ends, and frees what it has, when
     * the resolver does. Without it each such request would wait for that, up
     * to half a minute, and so would a stop. */
    SET(CURLOPT_QUICK_EXIT, 1L);
    SET(CURLOPT_TCP_KEEPALIVE, 1L);
    SET(CURLOPT_TCP_KEEPIDLE, KEEPALIVE_IDLE_S);
    SET(CURLOPT_TCP_KEEPINTVL, KEEPALIVE_INTERVAL_S);
    SET(CURLOPT_SSLVERSION, (long)CURL_SSLVERSION_TLSv1_2);
    if (options->ca_file != NULL) {
        SET(CURLOPT_CAINFO, options->ca_file);
        SET(CURLOPT_CAPATH, (char *)NULL); /* the system's are not meant */
    }
    if (options->cert_file != NULL) {
        SET(CURLOPT_SSLCERT, options->cert_file);
        SET(CURLOPT_SSLKEY, options->key_file);
    }
#undef SET
    return code == CURLE_OK ? repl_http_options_find_cuts(easy) : (int)code;
}
