/* Who of several may act: the holder of one Lease (coordination.k8s.io/v1) on an API server.
 *
 * Those that do not hold it watch how it changes: one that has not changed for as long as it says,
 * by our own clock, is free. Clocks of machines are never compared. The holder renews it every
 * retry_ns; when it has not succeeded for renew_ns it stops, which is earlier than any other can
 * begin, as renew_ns is shorter than lease_ns.
 * Source: kubernetes.io/docs/concepts/architecture/leases. */
#pragma once

#include "source/api_client.h"

#include <stdint.h>

struct leader_options {
    const char *namespace, *name; /* of the Lease */
    const char *identity;         /* ours; nobody else's */
    int64_t lease_ns, renew_ns, retry_ns;
    void (*started)(void *ctx); /* we lead */
    void (*stopped)(void *ctx); /* we do not any more: nothing may be written from now on */
    void *ctx;
};

struct leader;

/* Begins at once, from the loop. Texts are copied. Fails with ERR_INVALID on times that do not keep
 * lease > renew > retry. */
int leader_new(uv_loop_t *loop, struct api_client *client, const struct leader_options *o,
               struct leader **ret, struct err *e) must_check;
/* Gives the Lease back, if it is ours, so that the next need not wait; done is called once, when
 * the server has answered or could not be reached. stopped() is not called. */
void leader_release(struct leader *l, void (*done)(void *ctx), void *ctx);
/* NULL is fine; the loop must run on for its timers to be closed. */
void leader_free(struct leader *l);
