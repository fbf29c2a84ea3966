/* A file as a process sees it: below its root folder, whatever links there are in it. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

/* path: without a slash in front. Malloc'ed text of at most max bytes, NULL with errno set. */
char *process_file(pid_t pid, const char *path, size_t max);
