/* The answers of the cluster's DNS for `explain`: a server of this program, set up over the objects
 * without opening a port, is asked as `signpost dns why` asks it. */
#pragma once

#include "config/flags.h"
#include "explain/explain.h"

#include <uv.h>

struct explain_dns;

/* zone: the cluster's domain. outside: "NAME=IP" and "*.NAME=IP", what the world's DNS says; when
 * there are any, other names do not exist. */
int explain_dns_open(uv_loop_t *loop, struct store *store, const char *zone,
                     const struct flag_list *outside, struct explain_dns **ret, struct err *e);
/* NULL is fine. */
void explain_dns_close(struct explain_dns *d);
/* An explain_ask_fn; ctx: the explain_dns. */
void explain_dns_ask(void *ctx, const char *name, struct arena *a, struct explain_answer *ret);
