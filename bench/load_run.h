/* One run of the load: sockets with their windows, and the loop that keeps them busy.
 *
 * The loop spins instead of waiting, so that the server is not charged for waking it. */
#pragma once

#include "load_window.h"

#include <sys/socket.h>

#define SOCKETS_MAX 64

enum transport { TRANSPORT_UDP, TRANSPORT_TCP, TRANSPORT_TLS };

struct target {
    struct sockaddr_storage to;
    socklen_t to_len;
    enum transport transport;
    long sockets, window; /* the window is shared out over the sockets */
    long seconds;         /* at most */
};

/* Until l->left queries have been sent and answered or lost, or time is up. */
int load_run(const struct target *t, struct load *l, struct err *e);
