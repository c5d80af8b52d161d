#include "service/http_tls.h"

#include <stdatomic.h>
#include <stdio.h>
#include <string.h>

#include "storage/base/buf.h"
#include "storage/base/mem.h"
#include "storage/base/mutex.h"
#include "storage/base/status.h"

struct credentials {
    _Atomic(unsigned) refs;
    gnutls_certificate_credentials_t gnutls;
    bool asks_clients;
};

/* Locking: env and files are constant. */
struct svc_tls {
    struct ldb_env *env;
    struct svc_tls_files files;
    struct ldb_mutex mu;
    struct credentials *in_force; /* guarded by mu; one reference */
};

/* ---- loading ---- */

static struct credentials *credentials_create(void)
{
    struct credentials *c = ldb_mem_zalloc(1, sizeof(*c));

    if (c == NULL)
        return NULL;
    atomic_init(&c->refs, 1);
    if (gnutls_certificate_allocate_credentials(&c->gnutls) !=
        GNUTLS_E_SUCCESS) {
        ldb_mem_free(c);
        return NULL;
    }
    return c;
}

void svc_tls_end(void *credentials)
{
    struct credentials *c = credentials;

    if (c == NULL ||
        atomic_fetch_sub_explicit(&c->refs, 1, memory_order_acq_rel) != 1)
        return;
    gnutls_certificate_free_credentials(c->gnutls);
    ldb_mem_free(c);
}

static gnutls_datum_t datum_of(struct ldb_buf *text)
{
    return (gnutls_datum_t){.data = text->data, .size = (unsigned)text->len};
}

static enum ldb_status fail(struct ldb_error *err, const char *path, int code)
{
    if (code == GNUTLS_E_MEMORY_ERROR)
        return ldb_error_no_memory(err);
    return ldb_error_set(err, LDB_INVALID_ARGUMENT, "%s: %s", path,
                         gnutls_strerror(code));
}

static enum ldb_status set_key(struct credentials *c,
                               const struct svc_tls_files *files,
                               struct ldb_buf *certificate, struct ldb_buf *key,
                               struct ldb_error *err)
{
    gnutls_datum_t chain = datum_of(certificate);
    gnutls_datum_t secret = datum_of(key);
    int code = gnutls_certificate_set_x509_key_mem2(
        c->gnutls, &chain, &secret, GNUTLS_X509_FMT_PEM, NULL, 0);
    char paths[512];

    if (code >= 0)
        return LDB_OK;
    (void)snprintf(paths, sizeof(paths), "%s with %s", files->certificate,
                   files->key);
    return fail(err, paths, code);
}

static enum ldb_status set_client_ca(struct credentials *c,
                                     const struct svc_tls_files *files,
                                     struct ldb_buf *text,
                                     struct ldb_error *err)
{
    gnutls_datum_t pem = datum_of(text);
    int count = gnutls_certificate_set_x509_trust_mem(c->gnutls, &pem,
                                                      GNUTLS_X509_FMT_PEM);

    if (count == 0)
        count = GNUTLS_E_NO_CERTIFICATE_FOUND;
    if (count < 0)
        return fail(err, files->client_ca, count);
    c->asks_clients = true;
    return LDB_OK;
}

/* The key's bytes do not stay in freed memory. */
static void release_secret(struct ldb_buf *buf)
{
    if (buf->data != NULL)
        explicit_bzero(buf->data, buf->capacity);
    ldb_buf_release(buf);
}

static enum ldb_status load(struct svc_tls *tls, struct credentials *c,
                            struct ldb_error *err)
{
    const struct svc_tls_files *files = &tls->files;
    struct ldb_buf certificate = LDB_BUF_INIT(SVC_TLS_FILE_BYTES_MAX);
    struct ldb_buf key = LDB_BUF_INIT(SVC_TLS_FILE_BYTES_MAX);
    struct ldb_buf ca = LDB_BUF_INIT(SVC_TLS_FILE_BYTES_MAX);
    enum ldb_status s;

    s = ldb_env_read_file(tls->env, files->certificate, err, &certificate);
    /* In one piece, so that none is left behind where the buffer grew. */
    if (s == LDB_OK && ldb_buf_reserve(&key, key.limit) != LDB_OK)
        s = ldb_error_no_memory(err);
    if (s == LDB_OK)
        s = ldb_env_read_file(tls->env, files->key, err, &key);
    if (s == LDB_OK)
        s = set_key(c, files, &certificate, &key, err);
    if (s == LDB_OK && files->client_ca[0] != '\0')
        s = ldb_env_read_file(tls->env, files->client_ca, err, &ca);
    if (s == LDB_OK && files->client_ca[0] != '\0')
        s = set_client_ca(c, files, &ca, err);
    ldb_buf_release(&certificate);
    release_secret(&key);
    ldb_buf_release(&ca);
    return s;
}

enum ldb_status svc_tls_load(struct svc_tls *tls, struct ldb_error *err)
{
    struct credentials *fresh = credentials_create();
    struct credentials *old = fresh;
    enum ldb_status s;

    if (fresh == NULL)
        return ldb_error_no_memory(err);
    s = load(tls, fresh, err);
    if (s == LDB_OK) {
        ldb_mutex_lock(&tls->mu);
        old = tls->in_force;
        tls->in_force = fresh;
        ldb_mutex_unlock(&tls->mu);
    }
    svc_tls_end(old);
    return s;
}

enum ldb_status svc_tls_create(struct ldb_env *env,
                               const struct svc_tls_files *files,
                               struct ldb_error *err, struct svc_tls **out)
{
    struct svc_tls *tls = ldb_mem_zalloc(1, sizeof(*tls));
    enum ldb_status s;

    if (tls == NULL)
        return ldb_error_no_memory(err);
    tls->env = env;
    tls->files = *files;
    ldb_mutex_init(&tls->mu);
    s = svc_tls_load(tls, err);
    if (s == LDB_OK)
        *out = tls;
    else
        svc_tls_destroy(tls);
    return s;
}

void svc_tls_destroy(struct svc_tls *tls)
{
    if (tls == NULL)
        return;
    svc_tls_end(tls->in_force);
    ldb_mutex_release(&tls->mu);
    ldb_mem_free(tls);
}

/* ---- connections ---- */

void *svc_tls_begin(struct svc_tls *tls, struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_GNUTLS_SESSION);
    gnutls_session_t session;
    struct credentials *c;

    if (info == NULL)
        return NULL;
    session = info->tls_session;
    ldb_mutex_lock(&tls->mu);
    c = tls->in_force;
    atomic_fetch_add_explicit(&c->refs, 1, memory_order_relaxed);
    ldb_mutex_unlock(&tls->mu);
    if (gnutls_credentials_set(session, GNUTLS_CRD_CERTIFICATE, c->gnutls) !=
        GNUTLS_E_SUCCESS) {
        svc_tls_end(c);
        return NULL;
    }
    if (c->asks_clients) {
        gnutls_certificate_server_set_request(session, GNUTLS_CERT_REQUIRE);
        gnutls_session_set_verify_cert(session, NULL, 0);
    }
    return c;
}

int svc_tls_no_certificate(gnutls_session_t session,
                           const gnutls_datum_t *request, int requests,
                           const gnutls_pk_algorithm_t *algorithms, int count,
                           gnutls_pcert_st **out, unsigned *out_count,
                           gnutls_privkey_t *out_key)
{
    (void)session;
    (void)request;
    (void)requests;
    (void)algorithms;
    (void)count;
    (void)out;
    (void)out_count;
    (void)out_key;
    return -1;
}
