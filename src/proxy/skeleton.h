/* The fixed part of the ruleset as text; private to the renderer. */
#pragma once

#include "proxy/ruleset.h"

#define SKELETON_CHAINS 24

unsigned skeleton_rules(const struct ruleset_options *o);
void skeleton_print(const struct ruleset_options *o, struct strbuf *out);

/* The chain that draws one of `modulus` slots, as commands. */
unsigned draw_chain_rules(uint32_t modulus);
void draw_chain_print(uint8_t family, uint8_t protocol, uint32_t modulus, struct strbuf *out);
/* The chains that remember clients for so long: remember-<N>, and keep-<N> with the one rule that
 * does it. In IPv6 that rule is not text but a struct nft_keep_rule, to be added behind it. */
#define REMEMBER_CHAINS 2
#define REMEMBER_RULES  4
void remember_chain_print(uint8_t family, uint32_t seconds, struct strbuf *out);
