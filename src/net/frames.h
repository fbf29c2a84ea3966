/* Frame Streams, the framing of dnstap: data frames {length, bytes}, and control frames {0, length,
 * type, fields} that open and close a stream in both directions (READY, ACCEPT, START, data ...,
 * STOP, FINISH). Pure: bytes in, bytes out. Source: the format's description in fstrm's
 * fstrm/control.h. */
#pragma once

#include "base/cursor.h"

#define FRAMES_CONTROL_MAX 512 /* bytes of a control frame, as the format has it */
#define FRAMES_CONTENT_MAX 256 /* bytes of a content type */
#define FRAMES_HEADER      4   /* of a data frame: its length */

enum frames_control {
    FRAMES_ACCEPT = 1,
    FRAMES_START,
    FRAMES_STOP,
    FRAMES_READY,
    FRAMES_FINISH,
};

/* Reads the control frame at the start of p. Returns the bytes that it takes, 0 when it is not
 * whole yet, or ERR_PARSE: it is malformed, or it is a data frame. content: "protobuf:...";
 * *ret_fits: it is among the frame's content types, or there are none. */
int frames_read_control(const uint8_t *p, size_t len, const char *content,
                        enum frames_control *ret_type, bool *ret_fits);

/* Writes one; content: NULL for the types that have none. Returns its length; out must have
 * 16 + FRAMES_CONTENT_MAX + 4 bytes. */
size_t frames_write_control(uint8_t *out, enum frames_control type, const char *content);
