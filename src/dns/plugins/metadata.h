/* Labels about a query, "plugin/name", for those who print or decide by them.
 *
 * A block has them when `metadata` stands in it. Plugins that know something offer it at set-up
 * under a prefix; a value is worked out when somebody asks for it, so labels that nobody reads cost
 * nothing. */
#pragma once

#include "dns/plugin.h"

struct metadata; /* of one block */

/* The value of a label without the provider's prefix, in the query's arena or static; NULL: there
 * is none. */
typedef const char *metadata_fn(struct query *q, const void *conf, const char *name);

/* NULL: the block has no `metadata`. Plugins behind it in plugin order may ask. */
struct metadata *metadata_of(struct setup *s);
/* prefix: "kubernetes/"; static. Does nothing when m is NULL. */
void metadata_provide(struct metadata *m, const char *prefix, metadata_fn *fn, const void *conf);
/* The value for this query: what the first provider of the prefix that knows it says. NULL: nobody
 * does, m is NULL, or the name that the client asked for is in none of the zones of `metadata`. */
const char *metadata_value(const struct metadata *m, struct query *q, const char *label);
