/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Chance with a seed: xoshiro256**, its state filled by splitmix64 (Blackman and Vigna). The same
 * seed gives the same run.
 */
#ifndef WR_GEN_RNG_H
#define WR_GEN_RNG_H

#include <stdint.h>

struct rng {
	uint64_t s[4];
};

static inline uint64_t wr_splitmix(uint64_t *state)
{
	uint64_t z = (*state += 0x9e3779b97f4a7c15);

	z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9;
	z = (z ^ (z >> 27)) * 0x94d049bb133111eb;
	return z ^ (z >> 31);
}

static inline void wr_rng_init(struct rng *rng, uint64_t seed)
{
	for (unsigned i = 0; i < 4; i++)
		rng->s[i] = wr_splitmix(&seed);
}

static inline uint64_t wr_rotl(uint64_t x, unsigned n)
{
	return x << n | x >> (64 - n);
}

static inline uint64_t wr_rng_next(struct rng *rng)
{
	uint64_t *s = rng->s;
	const uint64_t result = wr_rotl(s[1] * 5, 7) * 9, t = s[1] << 17;

	s[2] ^= s[0];
	s[3] ^= s[1];
	s[1] ^= s[2];
	s[0] ^= s[3];
	s[2] ^= t;
	s[3] = wr_rotl(s[3], 45);
	return result;
}

/* 0..n-1; the bias is below n / 2^32. */
static inline uint32_t wr_rng_below(struct rng *rng, uint32_t n)
{
	return (uint32_t)((wr_rng_next(rng) >> 32) * n >> 32);
}

#endif
