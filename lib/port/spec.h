/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A port by its name: "scheme:name,name,option=value,...".
 *
 *     af_xdp:eth0                        memif:/run/weir/m0.sock,role=server
 *     tap:vnet0                          pcap:in.pcap,out.pcap
 *     ring:wire,descs=512                null:
 *
 * An application is moved from a NIC to a container to a test by another string. Each driver has
 * one row, `struct port_driver`, with a table of the options it takes; reading the string, checking
 * the values and saying what is wrong with them is written once, in spec.c. A text without a colon
 * is the name of an interface: "eth0" is "af_xdp:eth0". Names cannot contain ',' or '='.
 *
 * `dev=NAME` goes with any scheme and is not the driver's: a router's own interface in the kernel
 * for a port that is none (cnet/stack_port.c).
 */
#ifndef WR_PORT_SPEC_H
#define WR_PORT_SPEC_H

#include "lib/port/port.h"

#include <stdio.h>

enum { PORT_MAX_NAMES = 2, PORT_MAX_OPTIONS = 12, PORT_SPEC_BYTES = 256, PORT_DEV_BYTES = 16 };

/* One option of a driver. With `words` its value is one of them, and stored as its place in the
 * list; else a number from `min` to `max`. */
struct port_option {
	const char *name;
	const char *words; /* "server|client"; NULL: a number */
	uint32_t fallback, min, max;
	bool is_power_of_two;
	const char *text; /* for help and manual */
};

struct port_args;

struct port_driver {
	const char *scheme; /* "memif" */
	const char *names;  /* what stands behind the colon, for messages: "SOCKET" */
	const char *text;   /* what it is, for help and manual */
	uint8_t min_names, max_names;
	uint8_t n_options; /* at most PORT_MAX_OPTIONS */
	const struct port_option *options;
	/* -errno and a sentence that begins with the port's name on failure, nothing left behind.
	 * NULL: the driver needs more than its string, and its user opens it (af_xdp). */
	int (*open)(struct umem *, const struct port_args *, struct port **ret_port,
		    struct wr_err *);
	/* Frames that its rings hold at most, all queues together: what a UMEM must have for it. */
	uint32_t (*max_frames)(const struct port_args *);
};

/* A string that was read. Points into itself: not to be copied. */
struct port_args {
	const struct port_driver *driver;
	const char *names[PORT_MAX_NAMES]; /* "" where left out */
	unsigned n_names;
	uint32_t values[PORT_MAX_OPTIONS]; /* in the order of driver->options */
	bool is_given[PORT_MAX_OPTIONS];   /* false: the value is the fallback */
	char dev[PORT_DEV_BYTES];          /* "" if not given */
	char text[PORT_SPEC_BYTES];        /* the string as it was given, for messages */
	char words[PORT_SPEC_BYTES];       /* the same, cut into pieces */
};

/* Reads the string; nothing is opened. -EINVAL with a sentence: what is wrong, what is allowed. */
int wr_port_parse(const char *text, struct port_args *ret_args, struct wr_err *);
/* Queues that the port will have: as its option says, or the interface (by its driver) has. -errno
 * with a sentence if there is no such interface. */
int wr_port_n_queues(const struct port_args *, struct wr_err *);
/* Opens what wr_port_parse() has read. */
int wr_port_open(struct umem *, const struct port_args *, struct port **ret_port, struct wr_err *);

/* Whether an interface of the kernel can have this name. */
bool wr_port_is_ifname(const char *name);

/* The paragraphs of --help and of weir-ports(7): each driver with its options. */
void wr_port_print_drivers(FILE *);

/* All drivers, ended by NULL. */
extern const struct port_driver *const wr_port_drivers[];

/* The options of af_xdp, in order: its users open it by wr_port_af_xdp_open(). */
enum { AF_XDP_OPT_MODE, AF_XDP_OPT_COPY, AF_XDP_OPT_QUEUES, AF_XDP_OPT_DESCS };
enum { AF_XDP_MODE_AUTO, AF_XDP_MODE_NATIVE, AF_XDP_MODE_GENERIC };

/* One a driver, each in the driver's file. */
extern const struct port_driver wr_port_af_xdp_driver;
extern const struct port_driver wr_port_ring_driver;
extern const struct port_driver wr_port_tap_driver;
extern const struct port_driver wr_port_tun_driver;
extern const struct port_driver wr_port_memif_driver;
extern const struct port_driver wr_port_pcap_driver;
extern const struct port_driver wr_port_null_driver;

#endif
