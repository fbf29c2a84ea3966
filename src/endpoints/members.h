/* Which Pods belong to which Service, kept up to date: for every Service with a selector the Pods
 * of its namespace that match, sorted by name. Objects are the store's; nothing is copied.
 *
 * Services are found from a Pod through an index by the first pair of their selector, so that a Pod
 * costs as many look-ups as it has labels, not as many as there are Services. */
#pragma once

#include "base/ht.h"
#include "base/vec.h"
#include "kube/pod.h"
#include "kube/service.h"

struct member_set {
    const struct service *service;
    VEC(const struct pod *) pods;
    bool dirty; /* in the list of those to be planned */
};

struct members {
    struct ht sets;  /* "ns/name" -> struct member_set */
    struct ht index; /* "ns key=value" -> struct member_list */
};

void members_done(struct members *m);
bool service_selects(const struct service *s); /* has a selector that is to be acted on */
struct member_set *members_find(const struct members *m, const char *ns, const char *service);
/* A set without Pods; the caller adds those that are there already (members_add()). */
struct member_set *members_add_service(struct members *m, const struct service *s);
void members_remove_service(struct members *m, const struct service *s);
/* The object has been replaced by one with the same selector. */
void members_replace_service(struct members *m, const struct service *s);
/* Calls fn with each set whose selector matches the Pod. */
void members_each(const struct members *m, const struct pod *pod,
                  void (*fn)(void *ctx, struct member_set *set, const struct pod *pod), void *ctx);
void member_set_add(struct member_set *set, const struct pod *pod);
void member_set_remove(struct member_set *set, const struct pod *pod);
