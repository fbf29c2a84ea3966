/* Sockets that go from one process to the next. All sockets of an address share its queries (the
 * kernel chooses by the client's address and port), so the new process has to read every one of
 * them, however many workers it has, and for as long as it serves that address: what lies in a
 * socket that nobody reads is lost. Private to the room; see dns/server.h. */
#pragma once

#include "dns/setup.h"

/* Begins a start with these sockets (NULL: none), which s->handed points to. */
void handed_adopt(struct dns_server *s, struct dns_handed_list *list);
/* Raises the places of the configuration's listeners to what was adopted. */
void handed_make_room(const struct dns_server *s, struct dns_config *c);
/* Takes the next pair for the listener's address; false: there is none. list may be NULL. */
bool handed_take(struct dns_handed_list *list, const struct dns_listener *l, int ret_fd[2]);
