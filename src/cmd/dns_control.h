/* The control socket of a running `signpost dns`, and the talk by which one process takes over from
 * another (net/control.h has the transport).
 *
 *     sockets                            -> "socket IP PORT" with two descriptors (UDP, TCP) each,
 *                                           "sockets N"; the Corefile is not read again meanwhile
 *     taken                              -> "ending": the sockets are served by the client now
 *
 *     why NAME TYPE CLIENT AT            -> see cmd/dns_why.h
 *
 * Control thread. */
#pragma once

#include "cmd/cluster.h"
#include "dns/server.h"
#include "net/control.h"

#define DNS_CONTROL_FOLDER "/run/signpost"
#define DNS_CONTROL_PATH   DNS_CONTROL_FOLDER "/dns.sock"

struct dns_control {
    uv_loop_t *loop;
    struct dns_server *server;
    struct clusters *clusters;
    void (*taken)(void *ctx); /* another process serves the sockets from now on; NULL: none may */
    void *ctx;
    struct control_server *socket;
    struct control_client *successor; /* has asked for the sockets */
};

/* The flag's value, or the default. */
const char *dns_control_path(const char *flag);
/* The folder that the socket will lie in, made if it is the default one; false: there will be none.
 */
bool dns_control_folder(const char *flag, char *out, size_t size);
/* flag NULL: the default path, done without where that cannot be. "": none. replace: also where
 * another process listens. */
int dns_control_open(struct dns_control *c, const char *flag, bool replace, struct err *e);
void dns_control_close(struct dns_control *c);
/* Has another process asked for the sockets and not yet taken over? */
bool dns_control_hands_over(const struct dns_control *c);

/* ---- the other side ---- */

struct dns_successor {
    struct control_link link;
    bool open;
};

bool dns_successor_is_there(const char *path);
/* Asks for the sockets; the list is the caller's. Nobody there any more: 0 and an empty list. */
int dns_successor_ask(struct dns_successor *s, const char *path, struct dns_handed_list *ret,
                      struct err *e);
/* Tells that the sockets are served. */
int dns_successor_tell(struct dns_successor *s, struct err *e);
void dns_successor_done(struct dns_successor *s);
