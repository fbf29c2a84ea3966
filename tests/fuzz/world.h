/* A DNS server inside a fuzz target: a Corefile's chains behind real sockets, with one worker whose
 * loop runs on the fuzzer's own thread, so that one input after the other is worked on and nothing
 * else happens. Clients and the upstream are sockets of the same process. */
#pragma once

#include "base/err.h"
#include "wire/msg.h"

#define WORLD_PORT       1053 /* what keys of the Corefile say; the sockets' own port is free */
#define WORLD_ANSWER_MAX (4 + 2 * MSG_MAX)

/* Serves this Corefile from now on. Its blocks must share one listener, at WORLD_PORT. */
int world_serve(const char *corefile, size_t len, struct err *e);
/* The same if all directives are among `allowed` (ends with NULL), else ERR_INVALID: a fuzzer must
 * not come to open files and ports. */
int world_serve_only(const char *corefile, size_t len, const char *const *allowed, struct err *e);

/* The server's answer to a message, checked for being one: it parses, repeats the id, is a response
 * and no longer than the client takes. Returns its length, 0 for silence. */
size_t world_ask(const uint8_t *msg, size_t len, uint8_t out[MSG_MAX]);
/* Over TCP, with all messages of the answer (transfers have several) checked; returns how many. */
size_t world_ask_tcp(const uint8_t *msg, size_t len);

/* Where `forward` may ask: "127.0.0.1:PORT". UDP and TCP. */
const char *world_upstream(void);
/* Is called with each question that comes there, nth = 0, 1, ... until it returns 0, and writes
 * what is to be sent back: a message each time, or over TCP the bytes of the stream. Without it:
 * silence. */
typedef size_t world_answer_fn(const uint8_t *question, size_t len, bool tcp, unsigned nth,
                               uint8_t out[WORLD_ANSWER_MAX]);
extern world_answer_fn *world_answer;

/* A query's message; edns: bytes of UDP that the client takes, 0 for no EDNS.
 * Returns its length. */
size_t world_query(uint8_t *out, uint16_t id, const char *name, uint16_t type, uint16_t edns);
