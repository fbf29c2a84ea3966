/* Other programs: started without a shell, in the C locale, with no signal blocked or ignored, and
 * found in PATH or, as an ordinary user's has none of them, in the system's sbin folders. */
#pragma once

#include <stddef.h>
#include <sys/types.h>

#define PROGRAM_SAID_MAX 4096 /* bytes kept of what one writes to standard error */

struct program_said {
    char text[PROGRAM_SAID_MAX]; /* with a NUL behind it */
    size_t n;
};

/* Starts argv[0] with these descriptors as its input, output and errors; -1: /dev/null. Returns 0
 * or a negated errno; -ENOENT: there is no such program. */
int program_start(const char *const *argv, const int fds[3], pid_t *ret_pid);
/* The same in another environment than the C locale and a plain PATH. */
int program_start_in(const char *const *argv, char *const *env, const int fds[3], pid_t *ret_pid);
/* Waits for its end: its exit status, 128 + the signal that ended it, or a negated errno. */
int program_wait(pid_t pid);
/* Runs it to its end; its output is dropped. Returns as program_wait() or program_start() does;
 * -ETIMEDOUT: it took longer than timeout_ms and was killed. Blocks; any thread. */
int program_run(const char *const *argv, int in_fd, int timeout_ms, struct program_said *ret_said);
/* The same; what it writes to standard output goes to out_fd, -1: is dropped. */
int program_run_to(const char *const *argv, int in_fd, int out_fd, int timeout_ms,
                   struct program_said *ret_said);
/* A file in memory that holds the text, to be read from its beginning: a program's input without
 * the deadlock of two full pipes, and without SIGPIPE. Returns a descriptor or a negated errno. */
int program_text_fd(const char *text, size_t len);
/* What it said as one line without control characters, for a log or an error. */
const char *program_one_line(struct program_said *said);
