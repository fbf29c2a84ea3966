/* What this process may still do: its user, its capabilities, what it may become.
 *
 * Capabilities and the bounding set belong to a thread and are inherited by the threads that it
 * starts: all of this is to be called before the first other thread. Nothing here can be taken
 * back. Functions return 0 or a negated errno, unless they take a `struct err`. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#define CAPABILITIES_MAX 64 /* capabilities(7) are bits of a uint64_t */

struct privilege_user {
    uid_t uid;
    gid_t gid;
};

/* "NAME", "UID", either with ":GID". A name's group is that of the user database; a UID that stands
 * alone and is not in the database is its own GID. */
int privilege_user_parse(const char *text, struct privilege_user *ret, struct err *e);

/* Becomes that user for good, with no supplementary groups, and keeps the permitted capabilities
 * (privilege_keep_only() cuts them down next). Being that user already is fine; else it takes
 * CAP_SETUID and CAP_SETGID. */
int privilege_become(const struct privilege_user *u, struct err *e);

/* Cuts the bounding set down: no program that is started can have capabilities but those of `keep`.
 * Without CAP_SETPCAP it stays as it is: -EPERM when there is anything in it but those of
 * `harmless`. */
int privilege_limit_bounding(uint64_t keep, uint64_t harmless);
/* Permitted and effective: those of `capabilities` that were permitted; inheritable and ambient:
 * none. */
int privilege_keep_only(uint64_t capabilities);
/* Starting a program never gives rights (set-user-id bits, file capabilities). */
int privilege_no_new(void);
/* No core files, and no other process of the same user may look into this one's memory. */
int privilege_no_dump(void);
