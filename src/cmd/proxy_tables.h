/* Removing tables of nftables as a whole: ours, and those of the program that we stand in for. */
#pragma once

#include "base/err.h"

/* --cleanup; what is not there is fine. */
int proxy_tables_remove(struct err *e);
/* What kube-proxy has left in nftables translates as we do, so it may stay until our rules are
 * there; afterwards nobody would keep it in line. Says in the log what it did. */
void proxy_tables_remove_original(void);
