#include "explain/outcome.h"

#include "base/cleanup.h"

#include <stdio.h>
#include <string.h>

#define SLOW_NS 1000000000LL /* a resolver's shortest time-out */

const char *outcome_word(enum outcome o)
{
    static const char *const words[OUTCOME_COUNT] = {
        [OUTCOME_ANSWERED] = "answered",         [OUTCOME_CONNECTED] = "connected",
        [OUTCOME_NAME_UNSENT] = "name-unsent",   [OUTCOME_NAME_UNHEARD] = "name-unheard",
        [OUTCOME_NAME_SILENT] = "name-silent",   [OUTCOME_NAME_UNANSWERED] = "name-unanswered",
        [OUTCOME_NAME_FAILED] = "name-failed",   [OUTCOME_NAME_UNKNOWN] = "name-unknown",
        [OUTCOME_NAME_EMPTY] = "name-empty",     [OUTCOME_UNTRIED] = "untried",
        [OUTCOME_REJECTED] = "rejected",         [OUTCOME_DROPPED] = "dropped",
        [OUTCOME_UNTRANSLATED] = "untranslated", [OUTCOME_LOST] = "lost",
        [OUTCOME_PORT_CLOSED] = "port-closed",   [OUTCOME_PEER_SILENT] = "peer-silent",
        [OUTCOME_ANSWER_LOST] = "answer-lost",   [OUTCOME_REFUSED_AFAR] = "refused-afar",
        [OUTCOME_UNANSWERED] = "unanswered",
    };
    return words[o];
}

static enum outcome outcome_of_name(const struct sightings *s)
{
    if (!s->dns.asked)
        return OUTCOME_NAME_UNSENT;
    if (!s->dns.answered)
        return s->dns.server_got ? OUTCOME_NAME_SILENT
               : s->dns.blind    ? OUTCOME_NAME_UNANSWERED
                                 : OUTCOME_NAME_UNHEARD;
    if (s->dns.failure && *s->dns.failure)
        return OUTCOME_NAME_FAILED;
    return *s->dns.empty ? OUTCOME_NAME_EMPTY : OUTCOME_NAME_UNKNOWN;
}

/* Nothing came back: how far did the attempt come? */
static enum outcome outcome_of_attempt(const struct sightings *s)
{
    if (s->tcp.refused_there)
        return OUTCOME_PORT_CLOSED;
    if (s->tcp.answered_there)
        return OUTCOME_ANSWER_LOST;
    if (s->tcp.arrived)
        return OUTCOME_PEER_SILENT;
    if (s->tcp.rejected)
        return OUTCOME_REJECTED;
    if (s->tcp.dropped)
        return OUTCOME_DROPPED;
    if (s->tcp.blind)
        return s->tcp.refused_here ? OUTCOME_REFUSED_AFAR : OUTCOME_UNANSWERED;
    return s->tcp.translated || s->tcp.to_is_somebody ? OUTCOME_LOST : OUTCOME_UNTRANSLATED;
}

enum outcome outcome_of(const struct sightings *s)
{
    if (s->reply_bytes || (s->status && !s->tcp.attempts))
        return OUTCOME_ANSWERED;
    if (s->tcp.answer_came)
        return OUTCOME_CONNECTED;
    if (s->tcp.attempts)
        return outcome_of_attempt(s);
    if (s->literal || (s->dns.name && *s->dns.name))
        return OUTCOME_UNTRIED;
    return outcome_of_name(s);
}

static double ms(int64_t ns)
{
    return (double)ns / 1e6;
}

static int put_who(const struct sightings *s, char out[OUTCOME_TEXT_MAX])
{
    return snprintf(out, OUTCOME_TEXT_MAX, "%s asked for %s", s->client, s->typed);
}

static void put_name(enum outcome o, const struct sightings *s, char *out, size_t room)
{
    const char *server = s->dns.server ? s->dns.server : "";
    switch (o) {
    case OUTCOME_NAME_UNSENT:
        (void)snprintf(out, room, ", and neither a DNS query nor a connection attempt left it");
        break;
    case OUTCOME_NAME_UNHEARD:
        (void)snprintf(
            out, room,
            ": none of its %u queries to %s was answered, and none arrived at a pod that "
            "serves names",
            s->dns.asked, server);
        break;
    case OUTCOME_NAME_SILENT:
        (void)snprintf(out, room,
                       ": %u of its %u queries to %s arrived at a name server, which answered none",
                       s->dns.server_got, s->dns.asked, server);
        break;
    case OUTCOME_NAME_UNANSWERED:
        (void)snprintf(out, room,
                       ": none of its %u queries to %s was answered; whether one arrived cannot be "
                       "seen from here",
                       s->dns.asked, server);
        break;
    case OUTCOME_NAME_FAILED:
        (void)snprintf(out, room, ": the name server %s answered %s", server, s->dns.failure);
        break;
    case OUTCOME_NAME_UNKNOWN:
        (void)snprintf(out, room, ": by %s there is no such name, under none of its search domains",
                       server);
        break;
    default:
        (void)snprintf(out, room, ": by %s there is %s, but without an address", server,
                       s->dns.empty);
    }
}

/* What left the client to be connected, or answered. */
static const char *what(const struct sightings *s)
{
    return s->udp ? "datagram" : "connection attempt";
}

static void put_attempt(enum outcome o, const struct sightings *s, char *out, size_t room)
{
    const char *to = s->tcp.to, *peer = s->tcp.peer && *s->tcp.peer ? s->tcp.peer : s->tcp.chosen;
    switch (o) {
    case OUTCOME_REJECTED:
    case OUTCOME_DROPPED:
        (void)snprintf(out, room, " and its %s to %s was %s by a rule of its node: %s", what(s), to,
                       o == OUTCOME_REJECTED ? "refused" : "dropped", s->tcp.rule);
        break;
    case OUTCOME_UNTRANSLATED:
        (void)snprintf(out, room,
                       " and no rule of its node knew %s, an address that no pod and no node has%s",
                       to, s->tcp.refused_here ? ": it was refused" : "");
        break;
    case OUTCOME_LOST:
        (void)snprintf(out, room, " and its %s to %s was sent on to %s, where it did not arrive",
                       what(s), to, peer);
        break;
    case OUTCOME_PORT_CLOSED:
        (void)snprintf(out, room,
                       " and its %s to %s arrived%s%s at %s, where nothing listens on that port",
                       what(s), to, s->tcp.translated ? " as " : "",
                       s->tcp.translated ? s->tcp.chosen : "", peer);
        break;
    case OUTCOME_PEER_SILENT:
        (void)snprintf(out, room, " and its %s to %s arrived at %s, which did not answer it",
                       what(s), to, peer);
        break;
    case OUTCOME_ANSWER_LOST:
        (void)snprintf(
            out, room, " and its %s to %s was answered by %s, but that answer did not come back%s",
            what(s), to, peer,
            s->tcp.translated ? " by the way on which addresses are translated back" : "");
        break;
    case OUTCOME_REFUSED_AFAR:
    case OUTCOME_UNANSWERED:
        (void)snprintf(
            out, room,
            " and its %s to %s was sent on to %s and %s; whether it arrived there cannot be seen "
            "from here",
            what(s), to, peer, o == OUTCOME_UNANSWERED ? "not answered" : "refused");
        break;
    default:
        (void)snprintf(out, room, " and no %s left it", what(s));
    }
}

static void put_success(enum outcome o, const struct sightings *s, char *out, size_t room)
{
    const char *peer = s->tcp.peer && *s->tcp.peer ? s->tcp.peer : s->tcp.chosen;
    if (o == OUTCOME_CONNECTED)
        (void)snprintf(out, room, " and was connected with %s, which sent nothing", peer);
    else if (!s->tcp.attempts)
        (void)snprintf(
            out, room,
            " and was answered with status %d without a packet leaving it: the name is its "
            "own, by its hosts file, or the address is",
            s->status);
    else if (s->status)
        (void)snprintf(out, room, " and %s answered with status %d after %.1f ms", peer, s->status,
                       ms(s->total_ns));
    else
        (void)snprintf(out, room, " and %s answered%s after %.1f ms", peer,
                       s->udp ? "" : ", not in HTTP,", ms(s->total_ns));
}

char *outcome_text(enum outcome o, const struct sightings *s, char out[OUTCOME_TEXT_MAX])
{
    int n = put_who(s, out);
    if (n < 0 || n >= OUTCOME_TEXT_MAX)
        return out;
    char *at = out + n;
    size_t room = OUTCOME_TEXT_MAX - (size_t)n;
    if (o <= OUTCOME_CONNECTED)
        put_success(o, s, at, room);
    else if (o < OUTCOME_UNTRIED)
        put_name(o, s, at, room);
    else
        put_attempt(o, s, at, room);
    return out;
}

char *outcome_cost(const struct sightings *s, char out[OUTCOME_TEXT_MAX])
{
    int n = 0;
    *out = 0;
    if (s->dns.repeated)
        n = snprintf(out, OUTCOME_TEXT_MAX,
                     "%u of its queries got no answer and had to be sent again%s; ",
                     s->dns.repeated, s->dns.ns >= SLOW_NS ? ", which is where the time went" : "");
    if (s->dns.before && n >= 0)
        n += snprintf(
            out + n, OUTCOME_TEXT_MAX - (size_t)n,
            "%u of its %u queries were for names that the search list made and that have no "
            "address; ",
            s->dns.before, s->dns.asked);
    if (s->tcp.attempts > 1 && s->tcp.answer_came && n >= 0)
        n += snprintf(out + n, OUTCOME_TEXT_MAX - (size_t)n, "%u %ss were needed; ",
                      s->tcp.attempts, what(s));
    if (n >= 2)
        out[n - 2] = 0;
    return out;
}

bool outcome_is_typed(const char *typed, const char *name)
{
    size_t n = strcspn(typed, ":");
    n -= n > 0 && typed[n - 1] == '.';
    return strlen(name) == n + 1 && strncasecmp(name, typed, n) == 0;
}
