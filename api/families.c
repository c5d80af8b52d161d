#include "api/families.h"

static const struct api_family families[] = {
#define FAMILY(id, name_text, kind, counted_in, help_text)                     \
    [API_FAMILY_##id] = {.name = (name_text),                                  \
                         .help = (help_text),                                  \
                         .type = API_##kind,                                   \
                         .unit = API_##counted_in},
    API_FAMILY_LIST(FAMILY)
#undef FAMILY
};

const struct api_family *api_family_get(enum api_family_id id)
{
    assert(id > API_FAMILY_NONE && id < API_FAMILY_END);
    return &families[id];
}

const char *api_family_type_text(enum api_family_type type)
{
    switch (type) {
    case API_COUNTER:
        return "counter";
    case API_GAUGE:
        return "gauge";
    case API_HISTOGRAM:
        return "histogram";
    }
    return "untyped";
}
