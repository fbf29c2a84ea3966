/* A client that lives on: resolves each name that it reads from standard input and prints its name,
 * getaddrinfo's code, the milliseconds that it took and the addresses. For any C library. */
#include <arpa/inet.h>
#include <netdb.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

static double now_ms(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec * 1e3 + (double)t.tv_nsec / 1e6;
}

static void print_addresses(const struct addrinfo *list)
{
    char text[INET6_ADDRSTRLEN];
    for (; list; list = list->ai_next) {
        const void *address = list->ai_family == AF_INET6
                                  ? (const void *)&((struct sockaddr_in6 *)list->ai_addr)->sin6_addr
                                  : (const void *)&((struct sockaddr_in *)list->ai_addr)->sin_addr;
        printf(" %s", inet_ntop(list->ai_family, address, text, sizeof text));
    }
}

int main(void)
{
    const struct addrinfo hints = { .ai_socktype = SOCK_STREAM };
    char name[512];
    while (fgets(name, sizeof name, stdin)) {
        struct addrinfo *list = NULL;
        name[strcspn(name, "\n")] = '\0';
        double start = now_ms();
        int code = getaddrinfo(name, NULL, &hints, &list);
        printf("%s %d %.1f", name, code, now_ms() - start);
        print_addresses(list);
        putchar('\n');
        fflush(stdout);
        if (list)
            freeaddrinfo(list);
    }
    return 0;
}
