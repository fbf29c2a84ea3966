/* dnstap messages (dnstap.proto), as protocol buffers. Pure. */
#pragma once

#include "base/cursor.h"
#include "base/ip.h"

enum tap_type {
    TAP_CLIENT_QUERY = 5,
    TAP_CLIENT_RESPONSE,
    TAP_FORWARDER_QUERY,
    TAP_FORWARDER_RESPONSE,
};

struct tap_bytes {
    const void *p;
    size_t len;
};

struct tap_message {
    enum tap_type type;
    bool tcp;
    struct ip query, response; /* addresses; family 0: not told, nor its port */
    uint16_t query_port, response_port;
    int64_t query_ns, response_ns;             /* since 1970; 0: not told */
    struct tap_bytes query_msg, response_msg;  /* len 0: not told */
    struct tap_bytes identity, version, extra; /* the same */
};

/* More than the message takes. */
size_t tap_message_room(const struct tap_message *m);
/* A Dnstap message of type MESSAGE; out has that room. Returns its length. */
size_t tap_message_write(const struct tap_message *m, uint8_t *out);
