/* A personality: whose ways a look-up follows. A table of what differs between resolvers; what they
 * share is in stub.c (the look-up), walk.c (the search list) and ask.c (messages and trace). Each
 * is in a file of its own: way_glibc.c, way_musl.c, way_go.c, way_cares.c. */
#pragma once

#include "base/err.h"
#include "client/hostsfile.h"
#include "client/nsswitch.h"
#include "client/stub_conf.h"
#include "client/walk.h"

struct ask;
struct name;
struct stub;
struct stub_result;

struct way {
    const char *name;     /* "musl" */
    const char *function; /* that programs call: "getaddrinfo()" */
    const char *like;     /* "musl 1.2.4 and later" */
    const struct walk_rules *walk;
    const struct hostsfile_rules *hosts;
    bool only_addresses; /* other types are not asked for by this function */

    /* As stub_conf_parse(). */
    void (*read_conf)(const char *text, const struct stub_env *env, struct arena *a,
                      struct stub_conf *ret);
    /* Where it looks, from the stub's nsswitch.conf and resolv.conf. */
    void (*order)(const struct stub *s, struct arena *a, struct nss_order *ret);
    bool (*is_literal)(const char *name, struct ip *ret);
    /* DNS may be asked for an address of it; NULL: of anything. */
    bool (*is_host_name)(const char *name);
    /* An address that needs no file and no server. NULL: none. */
    bool (*knows)(const char *name);

    void *(*open)(struct stub *s, struct arena *a); /* state for one look-up; NULL: none needed */
    void (*close)(void *state);
    /* Asks for one candidate; name NULL: its text is no name. Sets the result's error, too, unless
     * `finish` does. */
    enum walk_outcome (*ask)(struct ask *a, const struct name *name);
    void (*finish)(const struct walk *w, uint16_t type, struct stub_result *r); /* or NULL */

    int not_host_error;  /* for what is no name of a host */
    int no_source_error; /* when no source had a word to say */
    int literal_error;   /* for an address of the other family */
    int hosts_error;     /* for a name of which the hosts file has only the other family */
    const char *(*error_name)(int error);
    const char *(*error_text)(int error, const char *name, struct arena *a);
};

extern const struct way way_glibc, way_musl, way_musl_old, way_go, way_cares;

#define WAYS_MAX 8
extern const struct way *const ways[]; /* ends with NULL; at most WAYS_MAX */

/* "glibc"; others are refused with a list of those that are known. */
int way_from_text(const char *text, const struct way **ret, struct err *e) must_check;
