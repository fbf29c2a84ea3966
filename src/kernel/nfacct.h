/* Named packet counters of the kernel (nfnetlink_acct), which iptables rules count into by `-m
 * nfacct`. A counter belongs to a network namespace and must exist before a rule names it. Both
 * need CAP_NET_ADMIN. */
#pragma once

#include "base/cleanup.h"

#include <stdint.h>

#define NFACCT_LONGEST 31 /* bytes of a name */

/* Makes sure that it is there. 0 or a negated errno (-EOPNOTSUPP, -EINVAL: not in this kernel). */
int nfacct_ensure(const char *name) must_check;
/* 0 or a negated errno; -ENOENT: no such counter. */
int nfacct_read(const char *name, uint64_t *ret_packets) must_check;
/* Rules that name it must be gone; one that is not there is fine. */
void nfacct_remove(const char *name);
