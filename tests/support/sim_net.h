/*
 * The network of a simulated cluster, and HTTP over it: nodes reach each other
 * by the handlers of api/, as over libmicrohttpd and libcurl, but that bytes go
 * through memory and happen what links say.
 *
 * It stands for replication/transport_http.c (repl_http_peer_create(), whose
 * env tells who calls, and whose URL "http://a" whom) and for the HTTP server
 * (svc_http_server_cut_streams()): linked in front of their libraries.
 *
 * Each request is one connection, served by a fiber of its own: those of one
 * caller overtake each other. A connection that breaks does so for both sides;
 * a caller that gives up leaves his request on its way.
 */
#ifndef TESTS_SUPPORT_SIM_NET_H
#define TESTS_SUPPORT_SIM_NET_H

#include "api/context.h"
#include "storage/base/buf.h"

struct svc_http_server;

#define SIM_NODES_MAX 4
/* Clients and operators: a place from which every node is reached. */
#define SIM_OUTSIDE SIM_NODES_MAX

/* Of what goes from one place to another. */
struct sim_link {
    bool is_silent;       /* nothing arrives, and nobody is told */
    uint64_t delay_us;    /* of a piece, at most */
    uint64_t cut_one_in;  /* pieces: the connection breaks; 0: none, as below */
    uint64_t flip_one_in; /* pieces of files: a bit is another */
    uint64_t late_one_in; /* requests without a body worth waiting for: the
                             caller is told of a break, and it arrives */
    size_t piece_max;     /* bytes that come at once; 0: all there are */
};

struct sim_net_counts {
    uint64_t requests;
    uint64_t cuts;
    uint64_t late;
    uint64_t flips;
};

void sim_net_begin(void);
/* No server is up. */
void sim_net_end(void);
void sim_net_counts(struct sim_net_counts *out);

/* ---- links ---- */

struct sim_link *sim_net_link(unsigned from, unsigned to);
/* All connections between the two break, whichever of them made it. */
void sim_net_break(unsigned one, unsigned other);
/* A link was changed: what is silent no more goes on. */
void sim_net_changed(void);

/* ---- servers ---- */

/* Requests to the node are served with context from now on. */
struct svc_http_server *sim_net_serve(unsigned node,
                                      struct api_context *context);
/* Who is not answered yet sees a break, and nobody comes in. Returns when what
 * is left waits for work of others. */
void sim_net_stop(unsigned node);
/* Stopped; waits until nothing is left. */
void sim_net_close(unsigned node);
/* The node is dead: all its connections break, in and out, and it makes none
 * until it is revived. */
void sim_net_kill(unsigned node);
void sim_net_revive(unsigned node);

/* ---- calls from outside ---- */

/* From SIM_OUTSIDE; headers: "Name: value" each, NULL-ended; NULL: none. Status
 * 0: no answer came, or not all of it. The body into out (cleared). */
unsigned sim_net_call(unsigned node, const char *method, const char *target,
                      const char *const *headers, struct ldb_slice body,
                      struct ldb_buf *out);

#endif
