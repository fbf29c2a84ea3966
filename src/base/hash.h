/* Hashes with keys drawn once per process: names and labels come from outside, so no table may be
 * steered into collisions.
 *
 * Up to 256 bytes it is NH, a sum of products of words with random words added (Black, Halevi,
 * Krawczyk, Krovetz and Rogaway, "UMAC", 1999): whoever does not know the keys finds two keys that
 * collide with a chance of about 2^-64, whatever they are. Beyond that it is SipHash-1-3 (Aumasson
 * and Bernstein, "SipHash", 2012). */
#pragma once

#include <stddef.h>
#include <stdint.h>

uint64_t hash_bytes(const void *p, size_t n);
uint64_t hash_str(const char *s);

/* FNV-1a, 64 bits: the same in every process, for values that several processes must agree on.
 * Not for tables that outsiders can fill. */
uint64_t hash_stable(const void *p, size_t n);
