#include "service/http_tls.h"

#include <gnutls/x509.h>
#include <string.h>
#include <time.h>

#include "storage/base/buf.h"
#include "storage/base/slice.h"
#include "tests/support/assert_ldb.h"

/* What is seen of it over the wire is tests/e2e/test_security.py's. */

static const struct svc_tls_files files = {
    .certificate = "/d/cert", .key = "/d/key", .client_ca = ""};
static const struct svc_tls_files files_with_ca = {
    .certificate = "/d/cert", .key = "/d/key", .client_ca = "/d/ca"};

static void write_file(struct ldb_env *env, const char *path,
                       struct ldb_slice bytes)
{
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_replace_file(env, "/d", path, "/d/new", bytes, &err),
                  &err);
}

/* A fresh key and a certificate that it signs itself. */
static void write_pair(struct ldb_env *env, const char *certificate,
                       const char *key)
{
    gnutls_x509_privkey_t secret;
    gnutls_x509_crt_t crt;
    gnutls_datum_t pem;

    assert_int_equal(gnutls_x509_privkey_init(&secret), 0);
    assert_int_equal(gnutls_x509_privkey_generate(
                         secret, GNUTLS_PK_ECDSA,
                         GNUTLS_CURVE_TO_BITS(GNUTLS_ECC_CURVE_SECP256R1), 0),
                     0);
    assert_int_equal(gnutls_x509_crt_init(&crt), 0);
    assert_int_equal(gnutls_x509_crt_set_version(crt, 3), 0);
    assert_int_equal(gnutls_x509_crt_set_serial(crt, "\1", 1), 0);
    assert_int_equal(gnutls_x509_crt_set_activation_time(crt, time(NULL)), 0);
    assert_int_equal(
        gnutls_x509_crt_set_expiration_time(crt, time(NULL) + 3600), 0);
    assert_int_equal(gnutls_x509_crt_set_key(crt, secret), 0);
    assert_int_equal(
        gnutls_x509_crt_sign2(crt, crt, secret, GNUTLS_DIG_SHA256, 0), 0);
    assert_int_equal(gnutls_x509_crt_export2(crt, GNUTLS_X509_FMT_PEM, &pem),
                     0);
    write_file(env, certificate, ldb_slice_make(pem.data, pem.size));
    gnutls_free(pem.data);
    assert_int_equal(
        gnutls_x509_privkey_export2(secret, GNUTLS_X509_FMT_PEM, &pem), 0);
    write_file(env, key, ldb_slice_make(pem.data, pem.size));
    gnutls_free(pem.data);
    gnutls_x509_crt_deinit(crt);
    gnutls_x509_privkey_deinit(secret);
}

static int setup(void **state)
{
    struct ldb_env *env = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(ldb_env_memory_create(&err, &env), &err);
    assert_ldb_ok(env->ops->create_dir(env, "/d", &err), &err);
    write_pair(env, "/d/cert", "/d/key");
    write_pair(env, "/d/ca", "/d/ca-key");
    *state = env;
    return 0;
}

static int teardown(void **state)
{
    ldb_env_memory_destroy(*state);
    return 0;
}

static void assert_refused(struct ldb_env *env, const struct svc_tls_files *of,
                           enum ldb_status status, const char *text)
{
    struct svc_tls *tls = NULL;
    struct ldb_error err = {0};

    assert_int_equal(svc_tls_create(env, of, &err, &tls), status);
    assert_null(tls);
    if (strstr(err.message, text) == NULL)
        fail_msg("no %s in %s", text, err.message);
}

static void what_cannot_be_used_is_refused_by_its_name(void **state)
{
    const struct svc_tls_files no_certificate = {"/d/none", "/d/key", ""};
    const struct svc_tls_files no_key = {"/d/cert", "/d/none", ""};
    const struct svc_tls_files no_ca = {"/d/cert", "/d/key", "/d/none"};
    const struct svc_tls_files others_key = {"/d/cert", "/d/ca-key", ""};
    const struct svc_tls_files key_as_ca = {"/d/cert", "/d/key", "/d/key"};
    struct ldb_env *env = *state;

    assert_refused(env, &no_certificate, LDB_NOT_FOUND, "/d/none");
    assert_refused(env, &no_key, LDB_NOT_FOUND, "/d/none");
    assert_refused(env, &no_ca, LDB_NOT_FOUND, "/d/none");
    assert_refused(env, &others_key, LDB_INVALID_ARGUMENT,
                   "/d/cert with /d/ca-key");
    assert_refused(env, &key_as_ca, LDB_INVALID_ARGUMENT, "/d/key");
    write_file(env, "/d/cert", ldb_slice_str("no PEM"));
    assert_refused(env, &files, LDB_INVALID_ARGUMENT, "/d/cert");
}

static void a_reload_replaces_all_or_nothing(void **state)
{
    struct ldb_env *env = *state;
    struct svc_tls *tls = NULL;
    struct ldb_error err = {0};

    assert_ldb_ok(svc_tls_create(env, &files_with_ca, &err, &tls), &err);
    write_pair(env, "/d/cert", "/d/key");
    assert_ldb_ok(svc_tls_load(tls, &err), &err);
    write_file(env, "/d/ca", ldb_slice_str("no PEM"));
    assert_int_equal(svc_tls_load(tls, &err), LDB_INVALID_ARGUMENT);
    assert_non_null(strstr(err.message, "/d/ca"));
    write_pair(env, "/d/ca", "/d/ca-key");
    assert_ldb_ok(svc_tls_load(tls, &err), &err);
    svc_tls_destroy(tls);
    svc_tls_destroy(NULL);
    svc_tls_end(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            what_cannot_be_used_is_refused_by_its_name, setup, teardown),
        cmocka_unit_test_setup_teardown(a_reload_replaces_all_or_nothing, setup,
                                        teardown),
    };

    return cmocka_run_group_tests_name("http_tls", tests, NULL, NULL);
}
