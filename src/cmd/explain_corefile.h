/* The Corefile of a name server, for `explain`: the ConfigMap that its pods have as a volume, else
 * the one called "coredns", else the only one with a Corefile in their namespace. */
#pragma once

#include "cmd/explain_source.h"
#include "explain/explain.h"

/* An explain_corefile_fn; ctx: a struct flag_list of folders of manifests. */
const char *explain_find_corefile(void *ctx, const char *ns, const char *service, struct arena *a,
                                  const char **ret_name);
/* Another, by one request to an API server; ctx: a struct explain_objects that has one. Nothing is
 * said when it may not be read. */
const char *explain_fetch_corefile(void *ctx, const char *ns, const char *service, struct arena *a,
                                   const char **ret_name);
