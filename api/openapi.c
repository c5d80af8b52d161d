#include "api/openapi.h"

#include "api/document.h"
#include "api/params.h"
#include "api/response.h"

static const uint8_t document[] = {
#include "api/openapi_document.inc"
};

void api_openapi_finish(struct api_exchange *x)
{
    static const char *const types[] = {API_TYPE_JSON};
    size_t choice;

    if (api_no_params(x) && api_accept(x, types, 1, &choice))
        api_answer_static(x, 200, API_TYPE_JSON,
                          ldb_slice_make(document, sizeof(document)));
}
