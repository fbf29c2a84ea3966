/* A small HTTP server for health, readiness and metrics pages, on a thread of its own
 * (libmicrohttpd). GET and HEAD only; at most HTTP_CONNS_MAX connections, five seconds each. */
#pragma once

#include "base/err.h"
#include "base/ip.h"
#include "base/str.h"

#define HTTP_CONNS_MAX 64
#define HTTP_TIMEOUT_S 5

struct http_server;

struct http_reply {
    int status;               /* 200 unless set */
    const char *content_type; /* static; "text/plain; charset=utf-8" unless set */
    struct strbuf body;
};

/* Fills the reply for a path; called on the server's thread. Leaves status 404 for unknown paths.
 */
typedef void http_handler(void *ctx, const char *path, struct http_reply *reply);

/* Opening the same address with the same handler again gives the same server (several server blocks
 * share a page), with the new ctx; it is closed with the last of them. Control thread only.
 *
 * address: "127.0.0.1:8080", "[::1]:8080", ":8080" (all addresses), "localhost:9153". */
int http_server_open(const char *address, http_handler *handler, void *ctx,
                     struct http_server **ret, struct err *e);
void http_server_close(struct http_server *s); /* NULL is fine */
/* All servers stop listening, for another process has their addresses too and is to have all new
 * connections. */
void http_servers_retire(void);
