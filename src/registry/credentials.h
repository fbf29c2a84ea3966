/* What a registry's clients and its own TLS need, in one folder: the authority, the server's
 * certificate, tokens, and kubeconfig files for an administrator and a reader. All is made on the
 * first start and kept from then on; a server certificate that does not fit the address any more is
 * made anew. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#include <stdint.h>

#define CREDENTIALS_PATH 4096

struct credentials {
    char ca[CREDENTIALS_PATH], cert[CREDENTIALS_PATH], key[CREDENTIALS_PATH];
    char tokens[CREDENTIALS_PATH];
    char admin[CREDENTIALS_PATH], reader[CREDENTIALS_PATH]; /* kubeconfig files */
};

/* Makes the folder and what is missing in it. service: the address of the Service kubernetes, which
 * the certificate covers, too. */
int credentials_make(const char *folder, const struct ip *listen, const struct ip *service,
                     struct credentials *ret, struct err *e);
/* The kubeconfig files, which name the port: written on every start. */
int credentials_publish(const struct credentials *c, const struct ip *listen, uint16_t port,
                        struct err *e);
