/* `secondary`: shared by its files only. All but the marked fields belong to the control thread. */
#pragma once

#include "dns/axfr.h"
#include "dns/transfer.h"
#include "dns/zone_data.h"

#include "base/ht.h"
#include "base/rcu.h"
#include "base/vec.h"

#define PRIMARIES_MAX 64    /* of one directive */
#define MEMBERS_MAX   10000 /* of one catalog */
#define FETCHES_MAX   32    /* of a server block under way at a time; more zones wait their turn */

/* ---- one question to one primary (secondary_fetch.c) ---- */

#define FETCH_CONNECT_MS 2000
#define FETCH_IDLE_MS    5000   /* without a byte */
#define FETCH_TOTAL_MS   900000 /* for a whole transfer */

struct primary {
    struct ip ip;
    uint16_t port;
};

struct fetched {
    int code; /* 0, or negative with why */
    const char *why;
    uint32_t serial;        /* of the SOA */
    struct zone_data *zone; /* AXFR: the receiver's */
};

struct fetch_job {
    uv_loop_t *loop;
    struct primary primary;
    const uint8_t *origin; /* lower-case wire; copied */
    uint16_t type;         /* RR_SOA or RR_AXFR */
    /* Called once, unless it is cancelled; at the earliest after fetch_start() has returned. */
    void (*done)(void *ctx, struct fetched *f);
    void *ctx;
};

struct fetch;
struct fetch *fetch_start(const struct fetch_job *job);
void fetch_cancel(struct fetch *f); /* NULL is fine */

/* ---- catalogs (secondary_catalog.c; RFC 9432) ---- */

struct member {
    const uint8_t *zone, *coo; /* lower-case wire; coo: the catalog that may take it, or NULL */
    const uint8_t *id;         /* one label */
};

struct catalog {
    struct arena arena;
    VEC(struct member) members; /* sorted by zone */
};

/* What a catalog zone lists; the caller frees it with catalog_free(). */
int catalog_parse(const struct zone_data *z, struct catalog **ret, struct err *e);
void catalog_free(struct catalog *c); /* NULL is fine */
const struct member *catalog_find(const struct catalog *c, const uint8_t *zone);

/* ---- zones (secondary_replica.c) ---- */

/* What one directive says. In the set-up's arena. */
struct source {
    struct primary primaries[PRIMARIES_MAX];
    size_t n;
    bool is_catalog;
    struct zone_set *members; /* that a catalog may list; NULL: any */
};

struct secondary_counts {
    metric transfers, failures;
};

enum replica_work { WORK_NONE, WORK_CHECK, WORK_LOAD };

/* Our copy of a zone. */
struct replica {
    /* Workers read these three. */
    _Atomic(struct zone_data *) zone; /* NULL: nothing transferred so far */
    _Atomic bool expired;
    _Atomic bool notified; /* set by workers, cleared here */

    struct secondary *s;
    const struct source *source;
    const struct secondary_counts *counts; /* a member's: those of its catalog */
    struct catalog *catalog;               /* of a catalog zone: as it was last applied */
    struct replica *member_of;             /* NULL: named in the Corefile */
    uint8_t id[1 + NAME_MAX_LABEL];        /* of a member: its label in the catalog */

    uv_timer_t timer;    /* until the next check or attempt */
    uv_timer_t expiry;   /* while checks fail */
    unsigned open;       /* of the two */
    struct fetch *fetch; /* under way */
    enum replica_work doing, waiting_for;
    bool again; /* a NOTIFY came while a check was under way */
    bool failing;
    size_t tried, first;     /* primaries of this round; the one that it began with */
    unsigned backoff_ms;     /* until the first transfer */
    bool behind_logged;      /* the primaries have an older serial, and that was said */
    _Atomic int64_t good_ns; /* when the zone was last known to be current; 0: never */
    struct replica *next;    /* in the queue */
    char text[NAME_TEXT_MAX];
    uint8_t len;
    uint8_t origin[NAME_MAX_WIRE]; /* lower case */
};

struct replica *replica_new(struct secondary *s, const uint8_t *origin,
                            const struct source *source);
/* Begins with a transfer, whatever there is already. */
void replica_load(struct replica *r);
void replica_check(struct replica *r);
/* Ends its work; it is freed when no worker can see it any more. It must be out of the table. */
void replica_end(struct replica *r);

/* ---- the block ---- */

/* What workers read: lower-case name -> struct replica. Made anew when a zone comes or goes. */
struct replica_table {
    struct ht by_name;
};

struct secondary {
    _Atomic(struct replica_table *) table; /* workers read this */
    uv_async_t *wake;                      /* workers send this; on the heap */

    uv_loop_t *loop;
    struct arena *arena;
    struct transfers *transfers;
    struct zone_set *fallthrough; /* the last one of the block counts, as in the reference */
    struct ht by_name;            /* all zones, as the table that workers read is to be */
    VEC(struct replica *) arriving, leaving; /* while a catalog is applied */
    struct replica *queue, **queue_end;
    unsigned fetching;
    metric refused; /* NOTIFY messages of strangers */
};

/* The zone that a name lies in; any thread in its RCU section. NULL: none. */
struct replica *secondary_find(struct secondary *s, const struct question *q);
struct replica *secondary_get(const struct secondary *s, const uint8_t *origin);
/* After by_name has changed. */
void secondary_publish(struct secondary *s);

/* secondary_members.c: a catalog's zones come and go. Takes new over. */
void members_apply(struct replica *catalog, struct catalog *new);
