/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * memif 2.0 as bytes: the messages on the control socket, and what lies in shared memory. Numbers
 * are in the machine's byte order: both ends are on one machine.
 *
 * "Client" and "server" are what older texts call slave and master; C2S and S2C are the directions
 * S2M and M2S there. The names here begin with mif_ and MIF_, so that nobody takes this file for
 * another project's.
 */
#ifndef WR_PORT_MEMIF_PROTO_H
#define WR_PORT_MEMIF_PROTO_H

#include "lib/base/types.h"

enum {
	MIF_COOKIE = 0x3e31f20, /* in each ring's header */
	MIF_VERSION = 2 << 8,   /* major, minor */
	MIF_NAME_BYTES = 32,
	MIF_SECRET_BYTES = 24,
	MIF_REASON_BYTES = 96,
	MIF_MSG_BYTES = 128,
};

enum mif_type {
	MIF_NONE,
	MIF_ACK,        /* server: what you said is taken, say the next */
	MIF_HELLO,      /* server, first of all: what it can */
	MIF_INIT,       /* client: whom it wants */
	MIF_ADD_REGION, /* client, with the memory's descriptor */
	MIF_ADD_RING,   /* client, with the ring's eventfd */
	MIF_CONNECT,    /* client: that was all */
	MIF_CONNECTED,  /* server */
	MIF_DISCONNECT, /* either */
	MIF_N_TYPES,
};

enum { MIF_MODE_ETHERNET, MIF_MODE_IP, MIF_MODE_PUNT_INJECT };

struct mif_hello {
	char name[MIF_NAME_BYTES]; /* the program's */
	uint16_t min_version, max_version;
	uint16_t max_region_idx;
	uint16_t max_s2c_ring_idx;
	uint16_t max_c2s_ring_idx;
	uint8_t max_log2_descs;
} __attribute__((packed));

struct mif_init {
	uint16_t version;
	uint32_t id;
	uint8_t mode;
	char secret[MIF_SECRET_BYTES];
	char name[MIF_NAME_BYTES];
} __attribute__((packed));

struct mif_add_region {
	uint16_t region_idx;
	uint64_t n_bytes;
} __attribute__((packed));

enum { MIF_ADD_RING_C2S = 1 << 0 };

struct mif_add_ring {
	uint16_t flags;
	uint16_t ring_idx; /* in its direction */
	uint16_t region_idx;
	uint32_t offset;
	uint8_t log2_descs;
	uint16_t private_header_bytes;
} __attribute__((packed));

struct mif_connect {
	char port_name[MIF_NAME_BYTES];
} __attribute__((packed));

struct mif_disconnect {
	uint32_t code;
	char reason[MIF_REASON_BYTES];
} __attribute__((packed));

struct mif_msg {
	uint16_t type;
	union {
		struct mif_hello hello;
		struct mif_init init;
		struct mif_add_region add_region;
		struct mif_add_ring add_ring;
		struct mif_connect connect; /* and connected */
		struct mif_disconnect disconnect;
		uint8_t bytes[MIF_MSG_BYTES - 2];
	} __attribute__((packed));
} __attribute__((packed));

static_assert(sizeof(struct mif_msg) == MIF_MSG_BYTES, "as on the socket");
static_assert(offsetof(struct mif_msg, hello.min_version) == 34, "as on the socket");
static_assert(offsetof(struct mif_msg, hello.max_log2_descs) == 44, "as on the socket");
static_assert(offsetof(struct mif_msg, init.id) == 4, "as on the socket");
static_assert(offsetof(struct mif_msg, init.name) == 33, "as on the socket");
static_assert(offsetof(struct mif_msg, add_region.n_bytes) == 4, "as on the socket");
static_assert(offsetof(struct mif_msg, add_ring.offset) == 8, "as on the socket");
static_assert(offsetof(struct mif_msg, add_ring.private_header_bytes) == 13, "as on the socket");
static_assert(offsetof(struct mif_msg, disconnect.reason) == 6, "as on the socket");

/* --- shared memory ---------------------------------------------------------------------------- */

enum { MIF_DESC_NEXT = 1 << 0 };

/* A buffer: `n_bytes` are its room as long as the sender has it, then what lies in it. */
struct mif_desc {
	uint16_t flags;
	uint16_t region_idx;
	uint32_t n_bytes;
	uint32_t offset;
	uint32_t metadata;
};

static_assert(sizeof(struct mif_desc) == 16, "as in memory");
static_assert(offsetof(struct mif_desc, offset) == 8, "two words: read and written as such");

/* The receiver sets it while it polls: no interrupt is wanted. */
enum { MIF_RING_MASK_INT = 1 << 0 };

struct mif_ring {
	uint32_t cookie;
	uint16_t flags;
	uint16_t head; /* the client's */
	uint8_t pad[56];
	uint16_t tail; /* the server's */
	uint8_t pad2[62];
	struct mif_desc descs[];
};

static_assert(offsetof(struct mif_ring, head) == 6, "as in memory");
static_assert(offsetof(struct mif_ring, tail) == 64, "as in memory");
static_assert(sizeof(struct mif_ring) == 128, "as in memory");

#endif
