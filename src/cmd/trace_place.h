/* Where a traced request starts: in whose network, and which node carries it. A pod of a running
 * lab, or a process or pod of the node on which we run. */
#pragma once

#include "cmd/explain_source.h"

#define TRACE_CLIENT_IPS 16

struct trace_place_options {
    const char *lab_dir; /* or NULL */
    long pid;            /* 0: none */
    struct explain_objects_options objects;
};

struct trace_place {
    bool has_objects; /* a process may be traced without any */
    struct explain_objects objects;
    char client[600];         /* "pod shop/foo", "process 4711 (nginx)" */
    const char *key;          /* "shop/foo" in it, or NULL */
    pid_t pid;                /* a process of the client */
    char node[256];           /* its name, "" where it is not known */
    int client_net, node_net; /* descriptors */
    struct ip ips[TRACE_CLIENT_IPS];
    size_t n_ips; /* of the client */
};

/* Of a node, and not of a lab? */
bool trace_place_on_node(const struct trace_place_options *o);
/* from: "NAMESPACE/POD"; NULL with a pid. The process that calls this joins a lab's user namespace
 * for good; it must have a single thread. The thread is in the node's network afterwards. */
int trace_place_find(uv_loop_t *loop, const struct trace_place_options *o, const char *from,
                     struct trace_place *ret, struct err *e) must_check;
/* Before the loop ends. */
void trace_place_done(struct trace_place *p);
