/* Who brings one family's changes into the kernel, whatever the mode: the applier of nftables mode
 * or the restorer of iptables mode behind one table of functions, for proxy/sync.h. */
#pragma once

#include "kernel/nft_watch.h"
#include "proxy/applier.h"
#include "proxy/metrics.h"
#include "proxy/restorer.h"

struct writer;

struct writer_kind {
    /* What it means that somebody else deletes this from nftables. */
    enum nft_harm (*judge)(const char *table, const char *chain);
    void (*run)(struct writer *w, const struct portal_change *changes, size_t n,
                struct applied *ret);
    /* Looks whether all is there; closely: whatever that takes. */
    void (*probe)(struct writer *w, bool closely);
    void (*distrust)(struct writer *w); /* somebody has been at it: the next run makes it anew */
    /* After a run: what the metrics say of it. */
    void (*count)(struct writer *w, const struct applied *a, struct proxy_metrics *m);
    void (*free)(struct writer *w);
};

struct writer {
    const struct writer_kind *kind;
};

/* The arguments are those of applier_init() and restorer_init(). */
struct writer *writer_nftables(const struct nft_backend *backend, const struct model *model,
                               const struct surroundings *around, const struct ruleset_options *o);
struct writer *writer_iptables(const struct iptables_backend *backend, const struct model *model,
                               const struct surroundings *around, const struct chain_options *o);
