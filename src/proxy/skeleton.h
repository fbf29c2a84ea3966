/* The fixed part of the ruleset as text; private to the renderer. */
#pragma once

#include "proxy/render_nft.h"

#define SKELETON_CHAINS 11
#define SKELETON_RULES  13 /* without the masquerade rule for outsiders, which may be absent */

#define PROTOCOLS 3 /* enum protocol: TCP, UDP, SCTP */

const char *protocol_word(uint8_t protocol); /* "tcp" */
const char *family_word(uint8_t family); /* "ip", "ip6": the table's family and the header's name */
bool skeleton_has_outside_rule(const struct ruleset_options *o);
void skeleton_print(const struct ruleset_options *o, struct strbuf *out);
/* The chain that draws one of n slots, and how many rules it has. */
void mod_chain_print(const struct ruleset_options *o, uint8_t protocol, uint32_t n,
                     struct strbuf *out);
unsigned mod_chain_rules(uint32_t n);
