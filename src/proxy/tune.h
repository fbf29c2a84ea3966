/* Kernel settings that the original sets too: room and time-outs of connection tracking. Written
 * only when they differ, so that a read-only /proc/sys with the right values is fine; what cannot
 * be written is reported by name and is no failure. Source: kube-proxy's conntrack configuration.
 */
#pragma once

#include "base/err.h"

#include <stdbool.h>

struct tune_options {
    long max_per_core,
        min; /* nf_conntrack_max: the larger of min and max_per_core x cores; 0: leave */
    long long tcp_established_ns, tcp_close_wait_ns, udp_ns, udp_stream_ns; /* 0: leave */
    bool tcp_be_liberal;
};

/* root: "/proc/sys" (another folder in tests). warn: one sentence a setting that stays as it is. */
void tune_apply(const struct tune_options *o, const char *root,
                void (*warn)(void *ctx, const char *text), void *ctx);
/* Lets packets to and from 127.0.0.0/8 be routed, for node ports there. */
void tune_localnet(const char *root, void (*warn)(void *ctx, const char *text), void *ctx);
/* Does connection tracking let TCP packets outside the window pass? */
bool tune_is_liberal(const char *root);
