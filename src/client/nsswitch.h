/* The line "hosts:" of nsswitch.conf: where names are looked for, in which order, and when the
 * search ends (nsswitch.conf(5)). Reading never fails; what is not followed is kept in `ignored`.
 */
#pragma once

#include "client/strlist.h"

#include <stdint.h>

#define NSS_STEPS_MAX 8 /* sources of one line; more are passed over */

enum nss_source { NSS_FILES, NSS_DNS, NSS_OTHER };

/* What a source may have to say. */
enum nss_status { NSS_SUCCESS, NSS_NOTFOUND, NSS_UNAVAIL, NSS_TRYAGAIN, NSS_STATUS_COUNT };

struct nss_step {
    enum nss_source source;
    const char *name; /* "mdns4_minimal" */
    uint8_t returns;  /* bit 1 << status: the search ends there */
};

struct nss_order {
    bool found; /* there is such a line, and it names something */
    struct nss_step steps[NSS_STEPS_MAX];
    unsigned n;
    struct strlist ignored;
};

/* The first "hosts:" line that is there; text NULL: no file. Strings lie in `a`. */
void nsswitch_parse(const char *text, struct arena *a, struct nss_order *ret);

/* "files", then "dns". */
void nsswitch_default(struct nss_order *ret);
