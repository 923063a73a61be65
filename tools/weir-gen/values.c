/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/values.h"

#include <arpa/inet.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

struct unit {
	const char *name;
	double factor;
};

/* The first row is what stands for no unit. */
static const struct unit multiples[] = {{"", 1}, {"k", 1e3}, {"K", 1e3}, {"M", 1e6}, {"G", 1e9}};
static const struct unit times[] = {{"", 1e9},  {"ns", 1},   {"us", 1e3},  {"ms", 1e6},
				    {"s", 1e9}, {"m", 60e9}, {"h", 3600e9}};

/* A number that is not negative; `ret_rest` is what follows. No sign, no hexadecimal, no "inf". */
static int read_decimal(const char *text, double *ret, const char **ret_rest)
{
	char *end;

	if (!isdigit((unsigned char)*text) || (text[0] == '0' && tolower(text[1]) == 'x'))
		return -EINVAL;
	errno = 0;
	*ret = strtod(text, &end);
	*ret_rest = end;
	return errno ? -EINVAL : 0;
}

static int read_unit(const char *text, const struct unit *units, size_t n, double *ret_factor)
{
	for (size_t i = 0; i < n; i++)
		if (!strcmp(text, units[i].name)) {
			*ret_factor = units[i].factor;
			return 0;
		}
	return -EINVAL;
}

static int read_whole(const char *text, const struct unit *units, size_t n, uint64_t *ret)
{
	double number, factor;
	const char *rest;

	if (read_decimal(text, &number, &rest) || read_unit(rest, units, n, &factor))
		return -EINVAL;
	number *= factor;
	/* Above 2^53 not every number is one of these. */
	if (number > 9e15 || fabs(number - round(number)) > 1e-6)
		return -EINVAL;
	*ret = (uint64_t)round(number);
	return 0;
}

int wr_read_count(const char *text, uint64_t *ret)
{
	return read_whole(text, multiples, wr_array_size(multiples), ret);
}

int wr_read_time_ns(const char *text, uint64_t *ret_ns)
{
	return read_whole(text, times, wr_array_size(times), ret_ns);
}

/* What stands behind number and multiple. */
static int read_rate_unit(const char *text, enum pace_unit *ret)
{
	static const struct {
		const char *name;
		enum pace_unit unit;
	} names[] = {{"", PACE_PACKETS},     {"pps", PACE_PACKETS},    {"bps", PACE_BITS},
		     {"bpsl2", PACE_BITS},   {"bit", PACE_BITS},       {"bit/s", PACE_BITS},
		     {"bit/sec", PACE_BITS}, {"bpsl1", PACE_WIRE_BITS}};

	for (size_t i = 0; i < wr_array_size(names); i++)
		if (!strcmp(text, names[i].name)) {
			*ret = names[i].unit;
			return 0;
		}
	return -EINVAL;
}

int wr_read_rate(const char *text, struct pace_rate *ret)
{
	struct pace_rate rate = {.unit = PACE_MAX};
	const char *rest;
	char multiple[2] = "";
	double factor;

	if (!strcmp(text, "max") || !strcmp(text, "own")) {
		rate.unit = *text == 'm' ? PACE_MAX : PACE_OWN;
		*ret = rate;
		return 0;
	}
	if (read_decimal(text, &rate.per_s, &rest))
		return -EINVAL;
	if (*rest && strchr("kKMG", *rest))
		multiple[0] = *rest++;
	if (read_unit(multiple, multiples, wr_array_size(multiples), &factor) ||
	    read_rate_unit(rest, &rate.unit))
		return -EINVAL;
	rate.per_s *= factor;
	if (rate.per_s < 1e-3 || rate.per_s > 1e13)
		return -EINVAL;
	*ret = rate;
	return 0;
}

/* NUMBER or LOW-HIGH within the bounds. */
static int read_low_high(const char *text, unsigned min, unsigned max, uint16_t *ret_low,
			 uint16_t *ret_high)
{
	unsigned long low, high;
	char *end;

	if (!isdigit((unsigned char)*text))
		return -EINVAL;
	low = high = strtoul(text, &end, 10);
	if (*end == '-' && isdigit((unsigned char)end[1]))
		high = strtoul(end + 1, &end, 10);
	if (*end || low > high || low < min || high > max)
		return -EINVAL;
	*ret_low = (uint16_t)low;
	*ret_high = (uint16_t)high;
	return 0;
}

int wr_read_size(const char *text, struct size_rule *ret)
{
	struct size_rule size = {.is_imix = !strcmp(text, "imix")};

	if (size.is_imix)
		size.low = MIN_FRAME_BYTES, size.high = 1518;
	else if (read_low_high(text, MIN_FRAME_BYTES, MAX_FRAME_BYTES, &size.low, &size.high))
		return -EINVAL;
	*ret = size;
	return 0;
}

int wr_read_ports(const char *text, struct port_range *ret)
{
	return read_low_high(text, 0, UINT16_MAX, &ret->low, &ret->high);
}

int wr_read_prefix(const char *text, struct prefix4 *ret)
{
	char address[INET_ADDRSTRLEN];
	const char *slash = strchr(text, '/');
	size_t n = slash ? (size_t)(slash - text) : strlen(text);
	uint16_t len = 32, same;
	struct ip4 addr;

	if (n >= sizeof(address) || (slash && read_low_high(slash + 1, 0, 32, &len, &same)) ||
	    (slash && strchr(slash, '-')))
		return -EINVAL;
	memcpy(address, text, n);
	address[n] = '\0';
	if (inet_pton(AF_INET, address, &addr.raw) != 1 || (ip4_to(addr) & ~ip4_mask(len)))
		return -EINVAL;
	ret->addr = addr;
	ret->len = (uint8_t)len;
	return 0;
}

int wr_read_mac(const char *text, struct mac *ret)
{
	struct mac mac;

	for (unsigned i = 0; i < 6; i++) {
		char digits[3] = {0};

		if (!isxdigit((unsigned char)text[0]) || !isxdigit((unsigned char)text[1]) ||
		    text[2] != (i == 5 ? '\0' : ':'))
			return -EINVAL;
		digits[0] = text[0];
		digits[1] = text[1];
		mac.b[i] = (uint8_t)strtoul(digits, NULL, 16);
		text += 3;
	}
	*ret = mac;
	return 0;
}

int wr_read_choice(const char *text, enum choose_how *ret_how, double *ret_exponent)
{
	double exponent = 1;
	const char *rest = "";

	if (!strcmp(text, "turn") || !strcmp(text, "uniform")) {
		*ret_how = *text == 't' ? CHOOSE_TURN : CHOOSE_UNIFORM;
		return 0;
	}
	if (strncmp(text, "zipf", 4) != 0 || (text[4] && text[4] != ':'))
		return -EINVAL;
	if (text[4] && (read_decimal(text + 5, &exponent, &rest) || *rest || exponent > 10))
		return -EINVAL;
	*ret_how = CHOOSE_ZIPF;
	*ret_exponent = exponent;
	return 0;
}
