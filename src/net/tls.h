/* TLS 1.2 and 1.3 between a socket and whoever frames messages on it, over OpenSSL.
 *
 * A `struct tls` touches no socket and never blocks: bytes that came from the peer are fed in,
 * plain bytes are read out, and the other way round; so it fits any event loop. What it holds is
 * bounded by what the caller feeds and writes before taking the results out.
 *
 * A `struct tls_config` is what one side shows and believes: certificate, key, authorities. It is
 * immutable, may be used by any thread and lives until the last session that began with it ends, so
 * that a reload with new files leaves old connections alone. */
#pragma once

#include "base/err.h"
#include "base/ip.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

#define TLS_FILE_MAX   (1 << 20) /* bytes of a certificate or key file */
#define TLS_CHAIN_MAX  16        /* certificates that a server shows */
#define TLS_ALPN_MAX   64        /* bytes of all protocols together */
#define TLS_IN_MAX     16384     /* bytes that should be fed at a time */
#define TLS_ERROR_MAX  256
#define TLS_NAME_MAX   256
#define TLS_GROUPS_MAX 8

struct tls_config;
struct tls;

/* What a server wants of its clients; the words of the reference. */
enum tls_client_auth {
    TLS_NO_CERT,         /* nothing */
    TLS_REQUEST,         /* asks; takes anything */
    TLS_REQUIRE,         /* some certificate, unchecked */
    TLS_VERIFY_IF_GIVEN, /* none, or a good one */
    TLS_REQUIRE_AND_VERIFY,
    TLS_CLIENT_AUTH_COUNT
};

struct tls_options {
    bool server;
    const char *cert, *key; /* PEM files; NULL: none (clients only) */
    const char *ca;         /* PEM file of those that are believed; NULL: the system's */
    enum tls_client_auth client_auth;
    bool insecure;           /* clients: any certificate is believed */
    const char *keylog;      /* secrets are appended to this file, in NSS's format; NULL: nowhere */
    const char *const *alpn; /* protocols, the most wanted first, ends with NULL; or NULL */
    bool alpn_strict;        /* servers: a client that offers only others is refused */
};

/* Reads the files. Fails with a sentence that names the file. */
int tls_config_new(const struct tls_options *o, struct tls_config **ret, struct err *e);
/* One owner more, or less. NULL is fine. */
struct tls_config *tls_config_ref(struct tls_config *c);
void tls_config_free(struct tls_config *c);

/* A client's memory of its last session with one server, for a shorter handshake the next time.
 * Zeroed at first; belongs to one thread; must outlive the sessions that it was given to. */
struct tls_ticket {
    void *session;
};

void tls_ticket_done(struct tls_ticket *t);

/* A session. server_name (clients): the DNS name or address that the certificate must be for; a
 * name is sent along (SNI) as well. ticket: NULL for servers and for clients without memory. NULL:
 * out of memory, or no name. */
struct tls *tls_new(struct tls_config *c, const char *server_name, struct tls_ticket *ticket);
void tls_free(struct tls *t);

/* Begins, or goes on with, the handshake; 0, or a negative code (tls_error() says why). Clients
 * call it once at the start, everything else follows from tls_feed(). */
int tls_handshake(struct tls *t);
/* Takes bytes from the peer and goes on with the handshake. After a failure there may still be
 * bytes to send: the alert that tells the peer. */
int tls_feed(struct tls *t, const uint8_t *data, size_t len) must_check;
bool tls_is_ready(const struct tls *t); /* the handshake is over */
/* Plain bytes: how many, 0 for none yet, -ENOTCONN when the peer has said goodbye, else an error.
 */
ssize_t tls_read(struct tls *t, uint8_t *buf, size_t cap);
/* Only when it is ready. All of it or an error. */
int tls_write(struct tls *t, const uint8_t *data, size_t len) must_check;
void tls_goodbye(struct tls *t); /* adds the closing alert to what is to be sent */

/* Bytes for the peer: where they lie (until the next call) and how many; then how many of them were
 * sent. */
size_t tls_out(const struct tls *t, const uint8_t **ret);
void tls_out_done(struct tls *t, size_t n);

/* The protocol agreed on; "" for none. At most TLS_ALPN_MAX bytes with the NUL. */
void tls_alpn(const struct tls *t, char ret[TLS_ALPN_MAX]);
/* Who the peer's certificate, which has been checked, is for; false: it has shown none. */
struct tls_subject {
    char name[TLS_NAME_MAX];                   /* common name */
    char groups[TLS_GROUPS_MAX][TLS_NAME_MAX]; /* organisations; further ones are left out */
    unsigned n_groups;
};
bool tls_subject(const struct tls *t, struct tls_subject *ret);
bool tls_is_resumed(const struct tls *t);
const char *tls_error(const struct tls *t); /* "certificate verify failed: ..." */
