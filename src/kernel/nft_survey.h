/* What a table's chains and rules look like, as one number: as nft_backend.survey. Elements of maps
 * and sets do not count. */
#pragma once

#include "kernel/nft.h"

int nft_survey(void *ctx, uint8_t family, const char *table,
               void (*chain)(void *fn_ctx, const char *name), void *fn_ctx, uint64_t *ret_hash);
