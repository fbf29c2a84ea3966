/* Tells when addresses of this network namespace come and go. */
#pragma once

#include "kernel/nl.h"

/* Returns 0 or a negated errno; nl_done() ends it. mnl_socket_get_fd(n->sock) for poll(). */
int address_watch_open(struct nl *n) __attribute__((warn_unused_result));
/* Throws away what was told: something has changed, that is all. */
void address_watch_drain(struct nl *n);
