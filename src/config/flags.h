/* Command line options from one table: parsing, --help, man page and shell completion all come from
 * it. Both "-flag" and "--flag" spellings are taken, "--flag=value" and "--flag value", as Go
 * programs do (the originals that signpost stands in for are Go programs). */
#pragma once

#include "base/err.h"

#include <stdbool.h>
#include <stdio.h>

enum flag_kind { FLAG_BOOL, FLAG_STRING, FLAG_INT, FLAG_DURATION, FLAG_LIST };

struct flag_list {
    const char **items; /* after parsing: malloc'ed, as are the strings */
    size_t n;
};
void flag_list_done(struct flag_list *l); /* not for lists of constants */

struct flag {
    const char *name; /* without dashes */
    enum flag_kind kind;
    void *value;      /* bool *, const char **, long *, long long * (ns), struct flag_list * */
    const char *arg;  /* shown in help: "FILE"; NULL for FLAG_BOOL */
    const char *help; /* one sentence */
};

struct command {
    const char *name;                  /* "dns" */
    const char *also;                  /* other program name that selects it: "coredns", or NULL */
    const char *args;                  /* positional arguments as shown in the usage line, or "" */
    const char *summary;               /* one line */
    const char *details;               /* paragraphs for --help and the man page, or NULL */
    int (*run)(int argc, char **argv); /* argv[0] is the command's name; returns the exit status */
};

/* Reads argv[1..]; what is left (positional arguments) is moved to the front of argv (argv[0] on)
 * and counted in *ret_left. Flags and arguments may be mixed; after "--" all are arguments. --help
 * and -h print the usage, --version the version, --man and --completion the texts below, and
 * return 1. An unknown flag is an error by name.
 *
 * The values before the call are the defaults. A flag given twice: the last one counts; a FLAG_LIST
 * takes "a,b" and adds up. "--flag" alone sets a FLAG_BOOL, which takes a value only after "=". */
int flags_parse(const struct command *c, const struct flag *flags, size_t n, int argc, char **argv,
                int *ret_left, struct err *e);
void flags_help(const struct command *c, const struct flag *flags, size_t n, FILE *out);
/* The manual page in mdoc(7), and a bash function _signpost_NAME that completes the command. */
void flags_man(const struct command *c, const struct flag *flags, size_t n, FILE *out);
void flags_completion(const struct command *c, const struct flag *flags, size_t n, FILE *out);
