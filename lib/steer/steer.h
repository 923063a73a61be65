/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Steering: which packets leave the kernel's path.
 *
 * A `struct steer` holds what all interfaces of the process share: the table of local addresses and
 * the heartbeats. A `struct steer_port` is the XDP program on one interface. The order that keeps
 * traffic flowing at every step:
 *
 *   start: steer_create, locals filled -> steer_port_open (program loaded, not attached) -> sockets
 *          bound and fill rings filled -> wr_steer_port_set_socket -> wr_steer_port_attach ->
 *          TRANSIT flag on
 *   stop:  TRANSIT flag off -> wr_steer_port_set_socket(-1) -> ports drained ->
 *          wr_steer_port_close(detach)
 *
 * Attaching. By a bpf_link, pinned under <bpffs>/weir/<net namespace inode>/<ifindex>, so that the
 * program outlives a crash (on many NICs attaching resets the link) and the next start replaces it
 * atomically (bpf_link_update). Where no bpffs is mounted and none can be, the link is not pinned
 * and goes with the process. With `share`, through libxdp's dispatcher beside other programs
 * instead. A foreign program on the interface is refused with a sentence.
 *
 * Threads: control thread only, except wr_steer_beat().
 */
#ifndef WR_STEER_STEER_H
#define WR_STEER_STEER_H

#include "bpf/steer.h"
#include "lib/base/err.h"
#include "lib/base/types.h"

enum steer_mode { STEER_AUTO, STEER_NATIVE, STEER_GENERIC };

struct steer;
struct steer_port;

int wr_steer_create(struct steer **ret_steer, struct wr_err *);
void wr_steer_free(struct steer *); /* after its ports are closed */

/* An address that is the host's own, broadcast addresses included: packets to and from it stay with
 * the kernel. Adding twice is adding once. -E2BIG when the table is full: such packets are then
 * punted by the graph. */
int wr_steer_local_add(struct steer *, struct ip4);
int wr_steer_local_del(struct steer *, struct ip4); /* -ENOENT if it was not there */

/* The heartbeat of a worker, mapped memory; the worker stores to it with relaxed atomics. */
uint64_t *wr_steer_beat(struct steer *, unsigned worker_idx);

struct steer_port_conf {
	const char *ifname;
	uint32_t ifindex;
	enum steer_mode mode;
	bool share; /* through libxdp's dispatcher */
	struct mac mac;
	uint32_t mtu;
	bool is_virtual;
	bool takes_all; /* raw packet I/O: every frame, no matter whose; TRANSIT means nothing */
	uint64_t deadline_ns;
};

/* Loads the program for one interface; attaches nothing. */
int wr_steer_port_open(struct steer *, const struct steer_port_conf *, struct steer_port **ret_port,
		       struct wr_err *);
/* Detaches (and removes the pin) if `detach`; else leaves an attached program with no sockets
 * behind: all traffic passes to the kernel. Frees in both cases. */
void wr_steer_port_close(struct steer_port *, bool detach);

/* Attaches: native first, generic if the driver cannot (STEER_AUTO), and says in `ret_why` (if not
 * NULL) why native was not had. Errors: -EBUSY (a foreign program sits there), -EPERM, -EOPNOTSUPP
 * with the kernel version needed ... */
int wr_steer_port_attach(struct steer_port *, struct wr_err *ret_why, struct wr_err *);
/* "native" or "generic"; "" before attach. */
const char *wr_steer_port_mode(const struct steer_port *);
/* Whether the attached program outlives a crash of this process; if not, the kernel forwards on
 * without it. */
bool wr_steer_port_is_pinned(const struct steer_port *);
/* Whether frames in several buffers are taken (Linux 5.18); if not, an MTU above about 3500 refuses
 * native XDP. */
bool wr_steer_port_is_multi_buffer(const struct steer_port *);

/* Puts a socket in the XSKMAP (fd >= 0) for the queue served by `worker_idx`, or takes it out (fd <
 * 0). */
int wr_steer_port_set_socket(struct steer_port *, unsigned queue_idx, unsigned worker_idx,
			     int xsk_fd);

/* Live settings. */
void wr_steer_port_set_transit(struct steer_port *, bool on);
void wr_steer_port_set_mac(struct steer_port *, const struct mac *);
void wr_steer_port_set_mtu(struct steer_port *, uint32_t mtu);

/* Sums over the CPUs; `ret_counts[STEER_N_VERDICTS]`. */
int wr_steer_port_counts(const struct steer_port *, uint64_t *ret_counts);

/* What is attached to an interface now, for --check and messages. */
enum steer_found {
	STEER_FOUND_NOTHING,
	STEER_FOUND_OURS,
	STEER_FOUND_DISPATCHER,
	STEER_FOUND_FOREIGN
};
int wr_steer_probe(const char *ifname, enum steer_found *ret_found, struct wr_err *ret_what);

/* Whether a living process, Weir or another, receives on the interface by AF_XDP. May take 0.2 s,
 * since the queues of a process that was killed are not free at once. */
bool wr_steer_is_in_use(uint32_t ifindex);

/* Removes what a crashed process of this network namespace left: pinned links, and Weir's programs
 * in dispatchers. Calls `each` (may be NULL) with the interface's name for each. Returns how many,
 * or -errno. Interfaces that a living process receives on are left alone. */
int wr_steer_detach_leftovers(void (*each)(void *arg, const char *ifname), void *arg,
			      struct wr_err *);

#endif
