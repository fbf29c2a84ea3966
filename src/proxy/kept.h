/* Clients that are kept at an endpoint (session affinity), as the kernel remembers them: read back
 * so that they stay where they are when the table is made anew, and forgotten when their endpoint
 * has left. The packet path writes this map; we only read and delete. */
#pragma once

#include "kernel/nft.h"
#include "proxy/ruleset.h"

/* Appends to the text of a new table the clients that the old one remembers, as far as the staged
 * picture keeps them; reads the kernel. Returns how many. */
size_t kept_carry_over(const struct nft_backend *b, const struct ruleset *staged, uint8_t family,
                       struct strbuf *out);
/* Deletes every client whose endpoint is no more in the committed picture. Returns how many. */
size_t kept_forget(const struct nft_backend *b, const struct ruleset *r, uint8_t family);
