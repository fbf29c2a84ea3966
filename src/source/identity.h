/* Who we are to an API server, kept up to date: tokens and certificates in files are read again
 * every minute and when the server has refused what they say; programs are asked when what they
 * printed has expired or was refused. On the loop's thread. */
#pragma once

#include "net/http_client.h"
#include "source/kubeconfig.h"

struct identity;

/* changed() is called from the loop when identity_ready() is worth another look. Copies the
 * configuration. Fails when files of certificates cannot be used, or programs not be started. */
int identity_new(uv_loop_t *loop, const struct api_config *c, void (*changed)(void *ctx), void *ctx,
                 struct identity **ret, struct err *e) must_check;
void identity_free(struct identity *i); /* NULL is fine; the loop must run on */

/* 1; 0: credentials have been asked for; a negative code: they cannot be had, and this was told:
 * the next call asks again. */
int identity_ready(struct identity *i, struct err *e);
/* Puts into the request: tls (or NULL, for plain HTTP), bearer, user, password, which are valid
 * until the next call. */
void identity_fill(struct identity *i, bool tls, struct http_request *r);
/* The server has said 401. */
void identity_refused(struct identity *i);
/* No connection came about: perhaps the certificates are no longer those in the files. */
void identity_look_again(struct identity *i);
