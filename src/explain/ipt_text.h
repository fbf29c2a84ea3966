/* Reads the text of iptables rules into a firewall (explain/firewall.h): what `signpost proxy`
 * gives to iptables-restore in iptables mode. The language is read as far as those rules go; a word
 * that is not known is an error with its line. Chains are named with their table: "nat
 * KUBE-SERVICES". Source: iptables-restore(8), iptables-extensions(8). */
#pragma once

#include "base/err.h"
#include "explain/firewall.h"

/* One family's text, any number of tables; may come in pieces. A chain that is declared (":NAME")
 * is empty from then on. On failure the firewall holds what came before. */
int ipt_text_read(struct firewall *f, uint8_t family, const char *text, struct err *e) must_check;
