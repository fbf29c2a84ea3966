/* Tables and chains that are to go: our own on --cleanup, and those of the original or of the other
 * mode once ours do their work. */
#pragma once

#include "kernel/iptables.h"
#include "proxy/metrics.h"

/* --cleanup: removes the rules of this mode, or of all modes; fine when there are none. In iptables
 * mode they have the original's names, so that the original's go as well. */
int proxy_tables_remove(bool all_modes, enum proxy_mode mode, struct err *e);
/* Our rules of this mode are in the kernel (iptables mode: of this kind): removes all others, also
 * the original's. What happens is logged. */
void proxy_tables_remove_others(enum proxy_mode mode, const struct iptables_backend *own);
