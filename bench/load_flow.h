/* A flow: one connected UDP socket with a window of queries under way.
 *
 * Several flows come from several source ports, so that a server with one SO_REUSEPORT socket a
 * worker gets work on all of them. */
#pragma once

#include "load_window.h"

#include <sys/socket.h>

struct flow {
    int fd;
    struct window window;
    struct mmsghdr out[WINDOW_MAX], in[WINDOW_MAX];
    struct iovec out_iov[WINDOW_MAX], in_iov[WINDOW_MAX];
    uint8_t answers[WINDOW_MAX][ANSWER_MAX];
};

/* The flow's memory is all zero before; flow_done() is due even when this fails. */
int flow_init(struct flow *f, const struct sockaddr *to, socklen_t to_len, unsigned window,
              struct err *e);
void flow_done(struct flow *f);

/* Sends what may be sent now. Returns 0 or a negative code (the server is gone). */
int flow_send(struct flow *f, struct load *l, struct err *e);
/* Takes what has come, without waiting. Returns how much, or a negative code. */
int flow_receive(struct flow *f, struct load *l, struct err *e);
