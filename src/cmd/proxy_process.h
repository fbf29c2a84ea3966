/* The service proxy as a part of a process: follows a store of its own, or that of others in the
 * process, and keeps the rules in line with it on the loop that it is given. What the commands
 * `proxy` and `up` share.
 *
 * Control thread throughout. */
#pragma once

#include "cmd/cluster.h"
#include "cmd/proxy_around.h"
#include "cmd/proxy_rules.h"
#include "kernel/address_watch.h"
#include "proxy/health_ports.h"
#include "proxy/sync.h"

struct event_writer;

struct proxy_page {
    const char *flag;
    enum health_role role;
    struct proxy_address address;
    struct health_server *running;
};

struct proxy_process {
    /* ---- by the command ---- */
    struct proxy_options options;
    struct proxy_settings settings;
    struct cluster *shared; /* the objects of this process; NULL: what the options say is opened */

    /* ---- its own ---- */
    uv_loop_t *loop;
    uv_timer_t listen_retry, patience;
    uv_poll_t addresses;
    uv_fs_poll_t config_file;
    struct nl address_watch;
    struct cluster *cluster;
    struct model *model;
    struct sync *sync; /* NULL until the rules' options are known */
    struct health_ports *ports;
    struct listener listener;
    struct proxy_metrics metrics;
    struct health health;
    struct proxy_page pages[2];
    struct proxy_around around;
    struct event_writer *events;             /* NULL without an API server */
    struct ip node_addresses[FAMILIES];      /* of the Node when rules were first written */
    const struct iptables_backend *iptables; /* NULL: nftables mode */
    struct chain_options chains[FAMILIES];
    bool families[FAMILIES]; /* that rules are written for */
    bool serving, running, took_over;
    bool failed; /* the loop was stopped, for a reason that the log has */
};

/* Opens the objects. All but the command's part of p is zero; on failure, too,
 * proxy_process_close() is due. */
int proxy_process_open(struct proxy_process *p, uv_loop_t *loop, struct err *e);
/* For those who write rules once: waits for the objects, then prints or writes them. */
int proxy_process_print(struct proxy_process *p, struct err *e);
int proxy_process_once(struct proxy_process *p, struct err *e);
/* Follows the objects from now on. What it cannot go on with stops the loop. */
void proxy_process_serve(struct proxy_process *p);
/* Waits for work under way; the rules stay. Before the loop ends; free: after it. */
void proxy_process_close(struct proxy_process *p);
void proxy_process_free(struct proxy_process *p);
