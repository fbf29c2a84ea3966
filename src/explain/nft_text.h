/* Reads the text of nftables rules into a firewall (explain/firewall.h): what `signpost proxy`
 * renders, a skeleton and what was added to it since. The language is read as far as those rules
 * go; a word that is not known is an error with its line, never passed over. Source: nft(8). */
#pragma once

#include "base/err.h"
#include "explain/firewall.h"

/* Commands are carried out in order, so that text may come in pieces. On failure the firewall holds
 * what came before. */
int nft_text_read(struct firewall *f, const char *text, struct err *e) must_check;
