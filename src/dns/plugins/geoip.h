/* `geoip`: what its files share, and what is tested alone. */
#pragma once

#include "dns/plugin.h"

#define GEOIP_NUMBER_MAX 512 /* bytes of a number's text with NUL; beyond it is cut */

/* The shortest decimal fraction, without exponent, that reads back as v. */
char *geoip_number_text(double v, char out[GEOIP_NUMBER_MAX]);

/* The address of the first client subnet option (RFC 7871); family 0: there is none, or it is
 * malformed. A subnet of no family is 0.0.0.0. */
struct ip geoip_subnet(const struct edns *edns);
