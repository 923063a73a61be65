/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/choose.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Shares such that their mean is 1. */
static void weigh(double *shares, uint32_t n, double exponent)
{
	double sum = 0;

	for (uint32_t i = 0; i < n; i++) {
		shares[i] = pow((double)i + 1, -exponent);
		sum += shares[i];
	}
	for (uint32_t i = 0; i < n; i++)
		shares[i] *= (double)n / sum;
}

static uint32_t threshold_of(double share)
{
	return share >= 1 ? UINT32_MAX : (uint32_t)(share * 4294967296.0);
}

/*
 * Vose: each column that its own flow does not fill is filled up by one that has too much. `stack`
 * holds the poor from its start and the rich from its end.
 */
static void build_columns(struct choose_column *columns, double *shares, uint32_t *stack,
			  uint32_t n)
{
	uint32_t n_poor = 0, rich = n;

	for (uint32_t i = 0; i < n; i++)
		stack[shares[i] < 1 ? n_poor++ : --rich] = i;
	while (n_poor && rich < n) {
		const uint32_t poor_idx = stack[--n_poor], rich_idx = stack[rich];

		columns[poor_idx].threshold = threshold_of(shares[poor_idx]);
		columns[poor_idx].alias = rich_idx;
		shares[rich_idx] -= 1 - shares[poor_idx];
		if (shares[rich_idx] < 1) {
			rich++;
			stack[n_poor++] = rich_idx;
		}
	}
	/* What is left is 1 but for rounding. */
	while (n_poor || rich < n) {
		const uint32_t idx = n_poor ? stack[--n_poor] : stack[rich++];

		columns[idx].threshold = UINT32_MAX;
		columns[idx].alias = idx;
	}
}

static int init_zipf(struct choose *choose, double exponent)
{
	double *shares = calloc(choose->n, sizeof(*shares));
	uint32_t *stack = calloc(choose->n, sizeof(*stack));

	choose->columns = calloc(choose->n, sizeof(*choose->columns));
	if (shares && stack && choose->columns) {
		weigh(shares, choose->n, exponent);
		build_columns(choose->columns, shares, stack, choose->n);
	}
	free(shares);
	free(stack);
	return shares && stack && choose->columns ? 0 : -ENOMEM;
}

int wr_choose_init(struct choose *choose, enum choose_how how, double exponent, uint32_t n,
		   uint64_t seed)
{
	memset(choose, 0, sizeof(*choose));
	choose->how = how;
	choose->n = n;
	wr_rng_init(&choose->rng, seed);
	return how == CHOOSE_ZIPF ? init_zipf(choose, exponent) : 0;
}

void wr_choose_fini(struct choose *choose)
{
	free(choose->columns);
	choose->columns = NULL;
}
