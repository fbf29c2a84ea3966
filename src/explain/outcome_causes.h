/* Why a request ended where it did, or took so long, as far as the packets themselves tell. */
#pragma once

#include "base/arena.h"
#include "explain/journey.h"

#define OUTCOME_CAUSES_MAX 4

/* Texts lie in the arena; returns how many there are. Of a request that did well: none. */
size_t outcome_causes(const struct sightings *s, struct arena *a,
                      struct journey_cause ret[OUTCOME_CAUSES_MAX]);
