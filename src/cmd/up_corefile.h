/* The Corefile that `signpost up` serves when none is given: the objects of its own registry, all
 * other names from somewhere else. */
#pragma once

#include "config/corefile.h"
#include "config/flags.h"

struct up_corefile {
    struct flag_list addresses; /* where it listens */
    const char *domain;         /* of the cluster */
    const char *forward; /* addresses or a file, with commas or blanks between; "": nowhere */
    const char *metrics; /* IP:PORT; "": nowhere */
};

/* Are these words that can stand in a Corefile? */
int up_corefile_check(const struct up_corefile *c, struct err *e);
int up_corefile_read(const struct up_corefile *c, uint16_t port, struct corefile **ret,
                     struct err *e);
