/* All records of a zone in canonical order: SOA and NS of the apex first. */
#pragma once

#include "dns/transfer.h"
#include "dns/zone_data.h"

/* A transfer_fn's work; z: NULL is a zone that has not been read. */
int zone_transfer(const struct zone_data *z, transfer_emit *emit, void *ctx);
