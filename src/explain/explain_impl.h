/* Between the files of explain/: how a report is made. Private to the room. */
#pragma once

#include "explain/explain.h"

void explain_cause(struct explain_report *r, const char *code, const char *text,
                   const char *change);
void explain_note(struct explain_report *r, const char *code, const char *text, const char *change);
/* A note that the verdict repeats. */
void explain_doubt(struct explain_report *r, const char *code, const char *text,
                   const char *change);

/* explain_names.c: who sends, and whom the target's name means. */
int explain_find_source(struct explain_report *r, struct err *e);
int explain_find_target(struct explain_report *r, struct err *e);
const struct pod *explain_pod_at(const struct store *s, const struct ip *ip);
const struct node *explain_node_at(const struct store *s, const struct ip *ip);
const struct node *explain_node_named(const struct store *s, const char *name);

/* explain_lookup.c: the addresses that the client gets; ERR_NOT_FOUND with a cause: none. */
int explain_look_up(struct explain_report *r, struct ip ips[EXPLAIN_ADDRESSES_MAX], size_t *ret_n);

/* explain_endpoints.c: each endpoint of the Service, in or out; and why there is none. */
void explain_endpoints(struct explain_report *r, const struct portal *portal, uint8_t family,
                       bool local);
void explain_nobody(struct explain_report *r);
void explain_target_ports(struct explain_report *r);

/* explain_path.c */
const struct service *explain_service_at(const struct store *s, const struct ip *ip);
int explain_walk(struct explain_report *r, const struct ip *to, uint16_t port, uint8_t protocol,
                 bool dns, struct err *e);

/* explain_server.c: what the Corefile of the name server that the client asks means for its names;
 * false: they are not answered, and the causes say why. */
bool explain_name_server(struct explain_report *r);

/* explain_rules.c: the rules of others on the source's Node. */
void explain_rules_of_others(struct explain_report *r);
/* explain_entries.c: the connections that the Node still knows. */
void explain_old_entries(struct explain_report *r);

/* explain_verdict.c: the end of every report. */
void explain_judge(struct explain_report *r);

/* explain_words.c: what both forms of output say. All in the report's arena. */
const char *explain_service_text(const struct explain_report *r); /* type, port, policies */
const char *explain_answer_text(const struct explain_report *r, const struct explain_candidate *c);
/* Who is at an address: "pod shop/bar-1 on node-1", or "". */
const char *explain_owner_text(const struct explain_report *r, const struct ip *ip);
/* Why an outcome is masqueraded; NULL: it is not. */
const char *explain_masquerade_text(const struct explain_report *r, const struct flow_outcome *o);
const char *explain_reply_text(const struct explain_report *r, const struct explain_leg *l,
                               const struct flow_outcome *o);
/* Does the step do more than lead to the next chain? */
bool explain_step_matters(const struct flow_step *s);
const char *explain_port_text(const struct explain_report *r, const struct ip *ip, uint16_t port);
