/* `signpost dns why`: the request as it goes over the control socket, and what comes back.
 *
 *     why NAME TYPE CLIENT AT    CLIENT: an address, "pod:NS/NAME" or "-"; AT: "IP:PORT" or "-"
 *     -> "row\tDEPTH\tSTEP\tWHAT\tDETAIL" and so on, "end"; or "error SENTENCE"
 *
 * Tabs and line breaks inside a field become blanks. */
#pragma once

#include "cmd/cluster.h"
#include "dns/server.h"

/* The words behind "why ". pods: where pods are looked up. */
int dns_why_parse(char *words, const struct clusters *pods, struct why_request *ret, struct err *e);
void dns_why_rows(const struct why_row *rows, size_t n, struct strbuf *out);

/* The command; argv[0] is "why". */
int dns_why_command(int argc, char **argv);
