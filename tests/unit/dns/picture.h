/* A snapshot as text, told by nothing but its reader functions: for comparing two of them. */
#pragma once

#include "base/str.h"
#include "dns/snapshot.h"

/* The names and addresses to ask for. */
struct universe {
    const char *const *namespaces, *const *services;
    const struct ip *ips;
    size_t n_namespaces, n_services, n_ips;
};

void picture(const struct snapshot *s, const struct universe *u, struct strbuf *out);

/* "web" and "default" as the key that snapshot_service() takes; returns its length. */
size_t key_of(const char *service, const char *namespace, uint8_t key[128]);
const struct snap_service *find_service(const struct snapshot *s, const char *service,
                                        const char *namespace);
/* Names of an address, each once, sorted, blank after each: "db-0.db.prod.svc ". */
void owners_text(const struct snapshot *s, const struct ip *ip, struct strbuf *out);
/* One endpoint: "10.1.0.2 10-1-0-2 zone=us-a tcp/pg=5432". */
void endpoint_text(const struct snap_service *s, const struct snap_endpoint *e, struct strbuf *out);
