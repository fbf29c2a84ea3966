/* Which fields of which messages are read. Private to kube/proto*.c. */
#pragma once

#include <stdbool.h>
#include <stdint.h>

#define PROTO_FIELDS_MAX 32 /* of one message that are read */

enum proto_type {
    PROTO_STRING,
    PROTO_INT,
    PROTO_BOOL,
    PROTO_MESSAGE,
    PROTO_MAP,           /* of texts to texts */
    PROTO_QUANTITIES,    /* a map of texts to resource.Quantity */
    PROTO_TIME,          /* metav1.Time and MicroTime */
    PROTO_INT_OR_STRING, /* intstr.IntOrString */
};

struct proto_field {
    uint8_t number;
    uint8_t type;
    bool repeated;
    uint8_t parts; /* enum object_part: who wants it; 0: everybody */
    const char *name;
    const struct proto_message *message; /* PROTO_MESSAGE */
};

struct proto_message {
    const struct proto_field *fields;
    uint8_t n_fields;
};
