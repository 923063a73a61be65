/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Steering from the inside: shared by the files of this directory only.
 *
 *   steer.c   objects: load, maps, settings, counters
 *   attach.c  interface <-> program: what sits there, make way, attach, close, leftovers
 *   pin.c     the bpffs where a link outlives its process
 *   share.c   the same through libxdp's dispatcher
 */
#ifndef WR_STEER_STEER_PRIVATE_H
#define WR_STEER_STEER_PRIVATE_H

#include <linux/bpf.h>
#include <net/if.h>

#include "lib/steer/steer.h"

struct bpf_object;
struct steer_bpf;
struct xdp_program;

#define STEER_PROG_NAME "weir_steer"

struct steer {
	int locals_fd;
	int local_bits_fd;
	uint64_t local_bits[STEER_LOCAL_BITS / 64]; /* what the map holds */
	int beats_fd;
	struct steer_beat *beats; /* mapped, STEER_MAX_WORKERS of them */
};

struct steer_port {
	struct steer *steer;
	struct steer_bpf *object;        /* loaded as an XDP program: owns the maps */
	struct steer_settings *settings; /* in the object's mapped .data */
	char ifname[IF_NAMESIZE];        /* at open: for sentences only */
	uint32_t ifindex;
	enum steer_mode wanted;
	bool share;
	bool is_multi_buffer;

	enum steer_mode got; /* STEER_AUTO: not attached */
	int link_fd;         /* or -1 */
	bool is_pinned;

	/* With `share`: a second object on the same maps, loaded by libxdp as the dispatcher's
	 * extension. */
	struct steer_bpf *share_object;
	struct xdp_program *share_prog;
};

/* What the kernel says is attached to an interface. */
struct steer_attached {
	enum steer_found found;
	enum steer_mode mode; /* STEER_AUTO if nothing, or offloaded to hardware */
	uint32_t prog_id;
	char name[BPF_OBJ_NAME_LEN]; /* "" if this process may not ask for it */
};

/* --- steer.c */

/* An object that is opened, not loaded, whose maps `locals` and `beats` are the process's; NULL
 * with errno. */
struct steer_bpf *wr_steer_object_open(const struct steer *, bool is_multi_buffer, char *log,
				       size_t n_log);
/* Another object on all the maps of the port's. */
struct steer_bpf *wr_steer_object_twin(const struct steer_port *);
struct bpf_object *wr_steer_object_bpf(const struct steer_bpf *);
void wr_steer_object_free(struct steer_bpf *);
/* The program got generic mode: frames may be merged, checksums unfinished on any interface. */
void wr_steer_set_merged(struct steer_port *p);
int wr_steer_port_prog_fd(const struct steer_port *);
/* Writes the sentence for a refusal by capability and returns `code`. */
int wr_steer_denied(struct wr_err *, int code);

/* --- attach.c */

int wr_steer_query(uint32_t ifindex, struct steer_attached *ret_attached);
/* Removes what an earlier Weir left on the port's interface, so that only other people's programs
 * remain. */
int wr_steer_make_way(struct steer_port *, struct steer_attached *ret_left, struct wr_err *);
/* The sentence for an interface that somebody else has; returns -EBUSY. */
int wr_steer_busy(const struct steer_port *, const struct steer_attached *, struct wr_err *);
const char *wr_steer_mode_name(enum steer_mode);

/* --- pin.c: all paths are of the calling thread's network namespace */

/* Pins the link; 0, or -errno if no bpffs is to be had. */
int wr_steer_pin_save(uint32_t ifindex, int link_fd);
/* The pinned link, if it is alive and on this interface; a dead one is unpinned. The fd, or
 * -ENOENT. */
int wr_steer_pin_open(uint32_t ifindex, uint32_t *ret_prog_id);
/* Unpins, and removes directories that are now empty. */
void wr_steer_pin_remove(uint32_t ifindex);
/* The interfaces that have a pin, alive or dead: a count, and the array to be freed by the caller;
 * or -errno. */
int wr_steer_pin_list(uint32_t **ret_ifindexes);
/* Mounts a bpffs if there is none. 0 or -errno. */
int wr_steer_pin_mount(void);

/* --- share.c */

int wr_steer_share_attach(struct steer_port *, struct wr_err *ret_why, struct wr_err *);
void wr_steer_share_close(struct steer_port *, bool detach);
/* Takes Weir's programs out of the dispatcher on the interface: how many, or -errno. */
int wr_steer_share_remove(uint32_t ifindex);
/* Libraries print nothing of their own. */
void wr_steer_share_silence(void);

#endif
