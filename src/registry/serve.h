/* The API's door: takes requests from the HTTP side, finds out who asks, and hands them on. */
#pragma once

#include "net/exchange.h"
#include "registry/access.h"
#include "registry/registry.h"

#define SERVE_WATCHES_MAX   1000 /* under way; more: 429 */
#define SERVE_IN_FLIGHT_MAX 400  /* other requests that wait for their answer; more: 429 */

struct server;

struct serve_options {
    uv_loop_t *loop;
    struct registry *registry;
    struct access *access; /* NULL: everybody may do all */
    struct tls_config *tls;
    struct ip ip;
    uint16_t port;
};

int server_open(const struct serve_options *o, struct server **ret, struct err *e);
/* Ends all requests and watches. NULL is fine. */
void server_close(struct server *s);
uint16_t server_port(const struct server *s);
