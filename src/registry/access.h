/* Who may do what: bearer tokens of a file and client certificates of our authority. Members of
 * system:masters may do all; everybody else who is known may read; the pages of health, version and
 * discovery are open.
 *
 * The file has a line "TOKEN,NAME,UID,\"GROUP,GROUP\"" for each user, as the original's
 * --token-auth-file. Source: Kubernetes, authenticating. */
#pragma once

#include "base/err.h"
#include "net/tls.h"

#include <stdbool.h>
#include <stddef.h>

#define ACCESS_USERS_MAX  1000
#define ACCESS_GROUPS_MAX 8
#define ACCESS_ADMIN      "system:masters"
#define ACCESS_READER     "signpost:readers"

struct user {
    char *token; /* NULL: known by certificate */
    char *name, *uid;
    char *groups[ACCESS_GROUPS_MAX];
    unsigned n_groups;
    bool admin;
};

struct access;

/* tokens NULL: no tokens. */
int access_open(const char *tokens, struct access **ret, struct err *e);
void access_close(struct access *a); /* NULL is fine */
/* authorization: the header's value, or NULL; subject: NULL without a certificate. NULL: nobody
 * that we know. The user lives until the next call for one with a certificate. */
const struct user *access_user(struct access *a, const char *authorization,
                               const struct tls_subject *subject);
