/* Namespaces: making them, entering them, and the kernel settings that live in them.
 *
 * Descriptors are owned by the caller and close on exec. Functions return 0 (or a descriptor) or a
 * negated errno, unless they take a `struct err`. */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <sys/types.h>

/* Gives this process (which must have a single thread) a user namespace in which it is root and
 * has every capability over the namespaces made next: network, mount, PID, host name, IPC. Only the
 * calling user is mapped, so it may do nothing outside that it could not do before. Children are in
 * the new PID namespace, the first of them as its init; the process itself is not. Where root may
 * not make user namespaces, it goes without. */
int netns_enter_own_world(struct err *e);

/* A new, empty network namespace (its loopback is up). The calling thread stays where it is. */
int netns_new(void);
/* The network namespace in which the thread is now. */
int netns_current(void);
int netns_enter(int fd);

/* Puts the calling process (single thread) into namespaces of another: `types` is a set of
 * CLONE_NEW* flags. The user namespace is left out when it is the caller's own already. */
int netns_join(pid_t pid, int types);

/* Sets /proc/sys/<path> in the network namespace of the thread. */
int netns_sysctl(const char *path, const char *value);
