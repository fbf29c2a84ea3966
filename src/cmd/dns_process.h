/* A process that serves DNS: reads a configuration, starts the server and its control socket, reads
 * again on a signal or when `reload` says so, hands its sockets over to a successor, and ends with
 * the lameduck time. What the commands `dns` and `cache` share; each fills in what is its own.
 *
 * Control thread throughout. */
#pragma once

#include "base/rand.h"
#include "cmd/dns_control.h"
#include "cmd/guard.h"
#include "loop/waste.h"

#include <uv.h>

struct dns_process {
    /* ---- by the command, before dns_process_run() ---- */
    const char *pidfile; /* NULL: none */
    const char *control; /* flag of the control socket; NULL: the default */
    long port;           /* of server blocks that name none */
    long workers;        /* 0: one a core */
    bool is_part; /* of a command that says itself when all is ready, and is not taken over */
    bool quiet, takeover; /* takeover: follow the process at the control socket */
    struct guard guard;
    /* Reads the configuration as it is now. */
    int (*corefile)(void *ctx, struct corefile **ret, struct err *e);
    /* The first configuration is served; a predecessor has not been told yet. NULL: nothing to do.
     */
    int (*serving)(void *ctx, uv_loop_t *loop, struct err *e);
    /* The end begins: new queries go to the process that has taken over, or had better go
     * elsewhere. Called once if serving() was; NULL: nothing to do. */
    void (*ending)(void *ctx, bool is_taken);
    void *ctx;

    /* ---- its own ---- */
    uv_loop_t *loop;
    struct waste waste;
    uv_signal_t term, interrupt, usr1, hup;
    uv_timer_t lameduck; /* from the first signal to end until the end */
    bool is_serving, is_ending;
    uv_timer_t look;            /* of `reload` */
    long long interval, jitter; /* ns; interval 0: the Corefile is not looked at */
    uint8_t refused[64];        /* hash of a Corefile that was tried and refused */
    uint8_t tried[64];          /* of the one that is being tried */
    uv_timer_t wait;            /* of a reload that waits */
    bool is_started;
    enum { AGAIN_NO, AGAIN_IF_CHANGED, AGAIN_ALWAYS } again; /* a reload was asked for meanwhile */
    struct rand rand;
    struct dns_server *server;
    struct clusters clusters;
    struct dns_control control_socket;
    struct dns_successor successor; /* of another process, at the start */
    uv_timer_t drain;
    uint64_t drain_until;
};

/* The rows of a command's table of flags; first those for a command that does more than DNS. */
#define DNS_PART_FLAGS(p)                                                                          \
    { "dns.port", FLAG_INT, &(p).port, "PORT",                                                     \
      "Port of server blocks that name none (default 53)." },                                      \
        { "workers", FLAG_INT, &(p).workers, "N",                                                  \
          "Worker threads (default: one a usable core)." },                                        \
        { "pidfile", FLAG_STRING, &(p).pidfile, "FILE",                                            \
          "Write the process id there once serving." },                                            \
    {                                                                                              \
        "control", FLAG_STRING, &(p).control, "PATH",                                              \
            "Unix socket that `dns why` and -takeover talk to (default " DNS_CONTROL_PATH          \
            " where that can be made); \"\": none."                                                \
    }

#define DNS_PROCESS_FLAGS(p)                                                                       \
    DNS_PART_FLAGS(p), { "p", FLAG_INT, &(p).port, "PORT", "The same as -dns.port." },             \
        { "quiet", FLAG_BOOL, &(p).quiet, NULL, "Do not print zones and version at the start." },  \
    {                                                                                              \
        "takeover", FLAG_BOOL, &(p).takeover, NULL,                                                \
            "Take the sockets over from the process at the control socket, which then ends; "      \
            "nobody there: an ordinary start."                                                     \
    }

/* Are the flags' values possible? */
int dns_process_check(const struct dns_process *p, struct err *e);
/* Serves until a signal ends it. p is zeroed but for the command's part and lives as long as the
 * process. */
int dns_process_run(struct dns_process *p, struct err *e);
/* The same in parts, for a process that has more on its loop than DNS, and that has seen to its
 * rights itself (guard_begin()). open: serves (1: a signal has ended it before); a signal to end
 * stops the loop when the lameduck time is over. close: on failure, too, before the loop ends;
 * free: after it. */
int dns_process_open(struct dns_process *p, uv_loop_t *loop, struct err *e);
void dns_process_close(struct dns_process *p);
void dns_process_free(struct dns_process *p);
/* Reads the configuration and serves it if it is another than what is served. */
void dns_process_look(struct dns_process *p);
