/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * The settings of a stack: cnet/conf.def as a struct, and the ways a value gets into it.
 *
 * A setting is written as text in two places, the command line (--name-with-dashes VALUE) and a
 * file ("name value" a line), and checked in one. The command line beats the file in whichever
 * order they are read, because each setting remembers who set it.
 *
 * Nothing here is live: who reads the struct later sees what was set before the stack started.
 */
#ifndef WR_CNET_CONF_H
#define WR_CNET_CONF_H

#include "lib/base/err.h"
#include "lib/port/spec.h"

#include <getopt.h>
#include <stdio.h>

enum { CONF_STRING_BYTES = 108, CONF_PORTS_BYTES = 1024 };

/* The words of each CHOICE row, in the row's order; a row without its enum does not compile. */
enum conf_spread { CONF_SPREAD_QUEUE, CONF_SPREAD_FLOW };
enum conf_xdp_mode { CONF_XDP_MODE_AUTO, CONF_XDP_MODE_NATIVE, CONF_XDP_MODE_GENERIC };

enum conf_id {
#define NUMBER(name, ...) CONF_ID_##name,
#define SWITCH(name, ...) CONF_ID_##name,
#define CHOICE(name, ...) CONF_ID_##name,
#define STRING(name, ...) CONF_ID_##name,
#include "cnet/conf.def"
#undef NUMBER
#undef SWITCH
#undef CHOICE
#undef STRING
	CONF_N
};

/* Who set a value; a later one beats an earlier one. */
enum conf_origin { CONF_FROM_DEFAULT, CONF_FROM_FILE, CONF_FROM_COMMAND_LINE };

struct conf {
#define NUMBER(name, ...) uint32_t name;
#define SWITCH(name, ...) bool name;
#define CHOICE(name, ...) enum conf_##name name;
#define STRING(name, ...) char name[CONF_STRING_BYTES];
#include "cnet/conf.def"
#undef NUMBER
#undef SWITCH
#undef CHOICE
#undef STRING
	/* "eth0", "memif:/run/a.sock,dev=m0" ..., each ended by a NUL: see wr_conf_port(). */
	char ports[CONF_PORTS_BYTES];
	unsigned ports_bytes; /* used of it */
	unsigned n_ports;
	uint8_t origins[CONF_N]; /* enum conf_origin */
	uint8_t ports_origin;    /* of all in the list */
};

void wr_conf_init(struct conf *);

/* From the command line: one setting, its name with '_' or '-'. A NULL value switches a switch on.
 * 0; -ENOENT: no such setting (the sentence names the nearest); -EINVAL: the value, and what is
 * allowed. */
int wr_conf_set(struct conf *, const char *name, const char *value, struct wr_err *);
/* From the command line: one more port, by the name of an interface or any string that
 * lib/port/spec.h knows. Those of a file are forgotten. */
int wr_conf_add_interface(struct conf *, const char *ifname, struct wr_err *);

/* The string of one port, in the order given; `idx` is below n_ports. */
const char *wr_conf_port(const struct conf *, unsigned idx);

/* Reads a file: lines "name value" and "interface IFACE", '#' starts a comment. The sentence begins
 * "file:line: ". Settings before a bad line are taken. */
int wr_conf_load(struct conf *, const char *path, struct wr_err *);

/* One setting as text, for people. Strings in it live for the call. */
struct conf_item {
	const char *name; /* as in the file: with '_' */
	const char *value;
	const char *fallback; /* the default */
	const char *range;    /* "64..8192", "on|off", "auto|native|generic", "" for a string */
	const char *unit;     /* "" if none */
	const char *text;
	enum conf_origin origin;
};
void wr_conf_each(const struct conf *, void (*each)(void *arg, const struct conf_item *),
		  void *arg);

/* The rows for getopt_long(), ended by an empty one. Row i has val first_val + i; its name is what
 * wr_conf_set() takes. */
struct conf_options {
	struct option rows[CONF_N + 1];
	char names[CONF_N][32];
};
void wr_conf_options(struct conf_options *ret_options, int first_val);

/* The paragraph of options for --help. */
void wr_conf_print_options(FILE *);

#endif
