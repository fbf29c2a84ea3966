/* `signpost COMMAND ...`: a table. Called under the name of a program that a command stands in for
 * (coredns, kube-proxy), the program is that command. */
#include "base/str.h"
#include "cmd/commands.h"

#include <signal.h>
#include <string.h>

static const struct command *const commands[] = {
    &cmd_dns,   &cmd_cache,  &cmd_proxy,   &cmd_controller, &cmd_registry,
    &cmd_up,    &cmd_lookup, &cmd_explain, &cmd_trace,      &cmd_resolvconf,
    &cmd_hosts, &cmd_lab,    &cmd_check,
};

static void usage(FILE *out)
{
    (void)fprintf(out,
                  "signpost %s: Kubernetes service discovery and service networking.\n\n"
                  "Usage: signpost COMMAND [OPTIONS]\n\nCommands:\n",
                  SIGNPOST_VERSION);
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        (void)fprintf(out, "  %-11s %s\n", commands[i]->name, commands[i]->summary);
    (void)fprintf(out, "\n`signpost COMMAND --help` explains each, --man prints its manual page;\n"
                       "`signpost completion` prints a script for bash.\n");
}

static const struct command *find_command(const char *name)
{
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
    return NULL;
}

/* A bash script: each command's own function, and one that finds the command. */
static int completion(void)
{
    char flag[] = "--completion";
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++) {
        char *argv[] = { (char *)commands[i]->name, flag, NULL };
        (void)commands[i]->run(2, argv);
    }
    (void)printf(
        "_signpost() {\n"
        "    if ((COMP_CWORD > 1)) && declare -F \"_signpost_${COMP_WORDS[1]}\" >/dev/null; then\n"
        "        \"_signpost_${COMP_WORDS[1]}\" \"$@\"\n"
        "        return\n"
        "    fi\n"
        "    COMPREPLY=($(compgen -W '");
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        (void)printf("%s ", commands[i]->name);
    (void)printf("completion help version' -- \"$2\"))\n}\ncomplete -F _signpost signpost\n");
    return 0;
}

static const struct command *find_program(const char *path)
{
    const char *slash = strrchr(path, '/');
    const char *name = slash ? slash + 1 : path;
    for (size_t i = 0; i < ARRAY_SIZE(commands); i++)
        if (commands[i]->also && strcmp(commands[i]->also, name) == 0)
            return commands[i];
    return NULL;
}

int main(int argc, char **argv)
{
    (void)signal(SIGPIPE, SIG_IGN);
    const struct command *c = argc > 0 ? find_program(argv[0]) : NULL;
    if (c)
        return c->run(argc, argv);
    if (argc < 2 || strcmp(argv[1], "--help") == 0 || strcmp(argv[1], "-h") == 0 ||
        strcmp(argv[1], "help") == 0) {
        usage(argc < 2 ? stderr : stdout);
        return argc < 2 ? 2 : 0;
    }
    if (strcmp(argv[1], "--version") == 0 || strcmp(argv[1], "version") == 0) {
        (void)printf("signpost %s\n", SIGNPOST_VERSION);
        return 0;
    }
    if (strcmp(argv[1], "completion") == 0)
        return completion();
    c = find_command(argv[1]);
    if (!c) {
        (void)fprintf(stderr, "signpost: no command '%s'; `signpost --help` lists them\n", argv[1]);
        return 2;
    }
    return c->run(argc - 1, argv + 1);
}
