/* Which system calls this process may still make: a seccomp filter with the list of those that a
 * network server needs. Nothing can start a program, look into another process, load code, mount,
 * make namespaces or change identities, whatever goes wrong elsewhere.
 *
 * Any other call fails with EPERM and the server goes on: it is counted in
 * signpost_syscalls_refused_total, and the first of each kind is logged by name. (Starting
 * processes fails silently: it happens where signals are blocked.) Memory that is writable and
 * executable is refused, which leaves PCRE2 without its compiler: expressions are interpreted. */
#pragma once

/* Holds for all threads of the process, for good. Sets no_new_privs. Returns 0 or a negated errno.
 */
int syscalls_limit(void);
