/* The file system read-only but for a few folders (Landlock, Linux 5.13 and later).
 *
 * Holds for the calling thread and those that it starts later, for good. Needs privilege_no_new()
 * or CAP_SYS_ADMIN. What is open stays as it is; reading is not limited. */
#pragma once

#include <stddef.h>

/* Nothing may be made, written, renamed or removed but below the folders, where this is allowed
 * for files and sockets; no program may be started. A folder that cannot be opened is left out.
 * Returns 0 or a negated errno: -ENOSYS, -EOPNOTSUPP: the kernel has no Landlock. */
int landlock_write_only_below(const char *const *folders, size_t n);
