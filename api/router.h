/*
 * The table of routes: which function answers which method and path. It lists
 * itself, for the 405's Allow, for /stats and for the test that holds it
 * against the documentation.
 *
 * Thread-safety: constant.
 */
#ifndef API_ROUTER_H
#define API_ROUTER_H

#include "api/exchange.h"

/* Bits for api_route.methods. */
#define API_METHOD_BIT(method) (1u << (unsigned)(method))

/*
 * Handlers of a route; see exchange.h for when each is called. Only finish is
 * always there.
 */
struct api_route {
    const char *name; /* "GET /v1/kv/{key}": the label in /stats */
    const char *path; /* whole, or up to and with a last '/' when is_prefix */
    bool is_prefix;   /* the rest of the path is x->raw_rest */
    unsigned methods; /* bits */
    bool writes;      /* a follower sends it to its leader (forward.h) */
    bool database;    /* its handlers run inside the gate, but begin */
    bool waits;     /* knows Leveld-Min-Sequence: finish, and take, wait for it;
                       database too */
    unsigned scope; /* API_SCOPE_...: what a token must have; 0: none */
    void (*begin)(struct api_exchange *x);
    void (*take)(struct api_exchange *x);
    void (*refuse)(struct api_exchange *x, const struct api_problem *problem);
    void (*finish)(struct api_exchange *x);
    void (*resume)(struct api_exchange *x);
    void (*abandon)(struct api_exchange *x);
};

/* All routes; the one at index i counts at index i of the metrics. */
const struct api_route *api_routes(size_t *out_count);

/* The metrics' index of requests that no route took (404, 405): the last. */
size_t api_route_none(void);

/* The name of the route at that index of the metrics; "other" of the last. */
const char *api_route_label(size_t index);

/* "" for NULL. */
const char *api_method_text(enum api_method method);

#endif
