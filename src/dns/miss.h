/* Why a cluster name has no answer: the causes, a phrase for each, and a sentence. Pure. */
#pragma once

#include "base/str.h"

enum miss {
    MISS_NONE,             /* it has one */
    MISS_FORM,             /* no cluster name looks like that */
    MISS_NAMESPACE,        /* no such namespace, or it is not exposed */
    MISS_NAMESPACE_HIDDEN, /* the second of these, when that is known */
    MISS_SERVICE,
    MISS_SERVICE_HIDDEN, /* its labels */
    MISS_READY,          /* headless, and no endpoint is ready */
    MISS_EMPTY,          /* `ignore empty_service` */
    MISS_PORT,
    MISS_ENDPOINT,
    MISS_ZONE,    /* of a zonal name */
    MISS_POD,     /* no such pod (pods verified) */
    MISS_NO_PODS, /* pods disabled */
    MISS_POD_FORM,
    MISS_OWNER,  /* nobody has the address */
    MISS_TYPE,   /* the name is there, but nothing of that type */
    MISS_TARGET, /* an external name that is none */
    MISS_SYNC,   /* objects are still being read */
    MISS_COUNT
};

/* What a sentence may speak of; NULL: not known or not there. */
struct miss_facts {
    const char *namespace, *service, *port, *protocol, *endpoint, *address, *type;
    unsigned not_ready; /* endpoints */
};

const char *miss_text(enum miss m); /* "no such Service" */
void miss_sentence(enum miss m, const struct miss_facts *f, struct strbuf *out);
