#include "service/token_file.h"

#include "storage/base/buf.h"

enum ldb_status svc_token_file_load(struct ldb_env *env, const char *path,
                                    struct api_token_store *store,
                                    struct ldb_error *err, size_t *out_count)
{
    struct ldb_buf text = LDB_BUF_INIT(API_TOKENS_BYTES_MAX);
    struct api_tokens *tokens = NULL;
    enum ldb_status s = ldb_env_read_file(env, path, err, &text);

    if (s == LDB_OK)
        s = api_tokens_parse(ldb_slice_of_buf(&text), err, &tokens);
    if (s == LDB_OK) {
        *out_count = api_tokens_count(tokens);
        api_token_store_set(store, tokens);
    }
    ldb_buf_release(&text);
    return s;
}
