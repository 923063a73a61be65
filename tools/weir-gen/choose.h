/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Which flow is next: one after the other, each equally likely, or by Zipf's law, where flow k
 * (from 1) is as likely as k to the power of minus the exponent, as real traffic is.
 *
 * Zipf is drawn by Walker's alias method (Vose's way of building it): n columns of equal width,
 * each shared by at most two flows, so that one random number and one look into the table do.
 */
#ifndef WR_GEN_CHOOSE_H
#define WR_GEN_CHOOSE_H

#include "tools/weir-gen/rng.h"

enum choose_how { CHOOSE_TURN, CHOOSE_UNIFORM, CHOOSE_ZIPF };

struct choose_column {
	uint32_t threshold; /* below it: the column's own flow */
	uint32_t alias;     /* else this one */
};

struct choose {
	enum choose_how how;
	uint32_t n, turn;
	struct rng rng;
	struct choose_column *columns; /* Zipf only */
};

/* -ENOMEM */
int wr_choose_init(struct choose *, enum choose_how, double exponent, uint32_t n, uint64_t seed);
void wr_choose_fini(struct choose *);

static inline uint32_t wr_choose_next(struct choose *choose)
{
	const struct choose_column *column;
	uint64_t draw;
	uint32_t idx;

	if (choose->how == CHOOSE_TURN) {
		idx = choose->turn;
		choose->turn = idx + 1 == choose->n ? 0 : idx + 1;
		return idx;
	}
	draw = wr_rng_next(&choose->rng);
	idx = (uint32_t)((draw >> 32) * choose->n >> 32);
	if (choose->how == CHOOSE_UNIFORM)
		return idx;
	column = &choose->columns[idx];
	return (uint32_t)draw < column->threshold ? idx : column->alias;
}

#endif
