/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * An interface and its program.
 *
 * What sits on the interface is asked of the kernel each time, never remembered. Ours is what
 * carries our name; it is touched only by way of its pinned link, through libxdp, or by a plain
 * detach, which the kernel refuses while a living process holds a link. Everything else is somebody
 * else's and stays.
 */
#include "lib/steer/steer_private.h"

#include <errno.h>
#include <linux/if_link.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <bpf/bpf.h>
#include <bpf/libbpf.h>

#define DISPATCHER_NAME "xdp_dispatcher" /* libxdp's */

const char *wr_steer_mode_name(enum steer_mode mode)
{
	switch (mode) {
	case STEER_NATIVE:
		return "native";
	case STEER_GENERIC:
		return "generic";
	case STEER_AUTO:
		break;
	}
	return "";
}

const char *wr_steer_port_mode(const struct steer_port *p)
{
	return wr_steer_mode_name(p->got);
}

static uint32_t mode_flag(enum steer_mode mode)
{
	return mode == STEER_NATIVE ? XDP_FLAGS_DRV_MODE : XDP_FLAGS_SKB_MODE;
}

/* --- what is there */

/* Names take CAP_SYS_ADMIN; without it the name stays empty. */
static void get_prog_name(uint32_t prog_id, char *ret_name)
{
	struct bpf_prog_info info = {};
	uint32_t n = sizeof(info);
	int fd = bpf_prog_get_fd_by_id(prog_id);

	if (fd < 0)
		return;
	if (bpf_obj_get_info_by_fd(fd, &info, &n) == 0)
		memcpy(ret_name, info.name, BPF_OBJ_NAME_LEN);
	close(fd);
}

int wr_steer_query(uint32_t ifindex, struct steer_attached *ret_attached)
{
	LIBBPF_OPTS(bpf_xdp_query_opts, q);
	struct steer_attached a = {.found = STEER_FOUND_NOTHING};
	char name[IF_NAMESIZE];
	int code;

	/* The query below finds nothing on an interface that is not there. */
	if (!if_indextoname(ifindex, name))
		return -ENODEV;
	code = bpf_xdp_query((int)ifindex, 0, &q);
	if (code < 0)
		return code;
	if (q.drv_prog_id) {
		a.mode = STEER_NATIVE;
		a.prog_id = q.drv_prog_id;
	} else if (q.skb_prog_id) {
		a.mode = STEER_GENERIC;
		a.prog_id = q.skb_prog_id;
	} else {
		a.prog_id = q.hw_prog_id;
	}
	if (a.prog_id) {
		get_prog_name(a.prog_id, a.name);
		a.found = STEER_FOUND_FOREIGN;
		if (strcmp(a.name, STEER_PROG_NAME) == 0)
			a.found = STEER_FOUND_OURS;
		else if (strcmp(a.name, DISPATCHER_NAME) == 0)
			a.found = STEER_FOUND_DISPATCHER;
	}
	*ret_attached = a;
	return 0;
}

static int query_failed(const char *ifname, int code, struct wr_err *err)
{
	if (code == -ENODEV)
		return wr_err(err, -ENODEV, "%s: no such interface", ifname);
	return wr_err(err, code, "%s: cannot ask for its XDP program: %s", ifname, strerror(-code));
}

static int describe(const char *ifname, const struct steer_attached *a, struct wr_err *ret_what)
{
	const char *name = a->name[0] ? a->name : "?", *mode = wr_steer_mode_name(a->mode);

	switch (a->found) {
	case STEER_FOUND_NOTHING:
		return wr_err(ret_what, 0, "%s: no XDP program is attached", ifname);
	case STEER_FOUND_OURS:
		return wr_err(ret_what, 0, "%s: Weir's XDP program (id %u, %s) is attached", ifname,
			      a->prog_id, mode);
	case STEER_FOUND_DISPATCHER:
		return wr_err(ret_what, 0, "%s: libxdp's dispatcher (id %u, %s) is attached",
			      ifname, a->prog_id, mode);
	case STEER_FOUND_FOREIGN:
		break;
	}
	return wr_err(ret_what, 0, "%s: an XDP program '%s' (id %u, %s) is attached", ifname, name,
		      a->prog_id, mode);
}

int wr_steer_probe(const char *ifname, enum steer_found *ret_found, struct wr_err *ret_what)
{
	unsigned ifindex = if_nametoindex(ifname);
	struct steer_attached a;
	int code;

	if (!ifindex)
		return wr_err(ret_what, -ENODEV, "%s: no such interface", ifname);
	code = wr_steer_query(ifindex, &a);
	if (code)
		return query_failed(ifname, code, ret_what);
	describe(ifname, &a, ret_what);
	*ret_found = a.found;
	return 0;
}

int wr_steer_busy(const struct steer_port *p, const struct steer_attached *a, struct wr_err *err)
{
	const char *name = a->name[0] ? a->name : "?", *ifname = p->ifname;

	if (a->found == STEER_FOUND_OURS)
		return wr_err(
			err, -EBUSY,
			"%s: another Weir process holds it (program id %u): stop that first, or "
			"if none runs, 'weir detach' removes what it has left",
			ifname, a->prog_id);
	if (a->found == STEER_FOUND_DISPATCHER)
		return wr_err(
			err, -EBUSY,
			"%s: libxdp's dispatcher (id %u) with other XDP programs is attached; "
			"unload them (xdp-loader unload %s --all) or start with --xdp-share",
			ifname, a->prog_id, ifname);
	return wr_err(err, -EBUSY,
		      "%s: an XDP program '%s' (id %u) is attached%s; "
		      "detach it (ip link set dev %s xdp off)%s",
		      ifname, name, a->prog_id,
		      p->share ? " without libxdp's dispatcher and cannot share" : "", ifname,
		      p->share ? "" : " or start with --xdp-share");
}

/* --- make way */

/* The link that holds a program, or -errno. Its pin may be out of sight: `ip netns exec` shows
 * another /sys. */
static int find_link(uint32_t ifindex, uint32_t prog_id)
{
	uint32_t id = 0;

	while (bpf_link_get_next_id(id, &id) == 0) {
		struct bpf_link_info info = {};
		uint32_t n = sizeof(info);
		int fd = bpf_link_get_fd_by_id(id);

		if (fd < 0)
			continue;
		if (bpf_obj_get_info_by_fd(fd, &info, &n) == 0 && info.type == BPF_LINK_TYPE_XDP &&
		    info.prog_id == prog_id && info.xdp.ifindex == ifindex)
			return fd;
		close(fd);
	}
	return -ENOENT;
}

/* 1, 0 if none of ours was there, or -errno. No living process may have it. */
static int remove_by_link(uint32_t ifindex)
{
	struct steer_attached a;
	int code = wr_steer_query(ifindex, &a), fd;

	if (code || a.found != STEER_FOUND_OURS)
		return code;
	fd = find_link(ifindex, a.prog_id);
	if (fd < 0)
		return -EBUSY;
	code = bpf_link_detach(fd);
	close(fd);
	return code ? code : 1;
}

/*
 * Removes our own program from where it sits alone: 1, 0 if there was none to remove, or -errno.
 * The kernel answers EBUSY to the plain detach if a link holds it, so a living process keeps its
 * program.
 */
static int remove_own(uint32_t ifindex)
{
	struct steer_attached a;
	uint32_t prog_id;
	int fd, code;

	fd = wr_steer_pin_open(ifindex, &prog_id);
	if (fd >= 0) {
		code = bpf_link_detach(fd);
		close(fd);
		wr_steer_pin_remove(ifindex);
		return code ? code : 1;
	}
	code = wr_steer_query(ifindex, &a);
	if (code || a.found != STEER_FOUND_OURS)
		return code;
	code = bpf_xdp_detach((int)ifindex, mode_flag(a.mode), NULL);
	return code ? code : 1;
}

int wr_steer_make_way(struct steer_port *p, struct steer_attached *ret_left, struct wr_err *err)
{
	int code = remove_own(p->ifindex);

	if (code >= 0)
		code = wr_steer_query(p->ifindex, ret_left);
	if (code >= 0 && ret_left->found == STEER_FOUND_DISPATCHER) {
		/* What cannot be removed is reported by the next query. */
		wr_steer_share_remove(p->ifindex);
		code = wr_steer_query(p->ifindex, ret_left);
	}
	if (code == -EBUSY && wr_steer_query(p->ifindex, ret_left) == 0)
		return wr_steer_busy(p, ret_left, err);
	return code < 0 ? query_failed(p->ifname, code, err) : 0;
}

/* --- attach by a link of our own */

/* The crashed process's program is replaced by ours between two packets. */
static bool take_over(struct steer_port *p)
{
	struct steer_attached a;
	uint32_t prog_id;
	int fd = wr_steer_pin_open(p->ifindex, &prog_id);

	if (fd < 0)
		return false;
	/* With STEER_AUTO a generic one is not good enough: the driver is asked again. */
	if (wr_steer_query(p->ifindex, &a) < 0 ||
	    a.mode != (p->wanted == STEER_GENERIC ? STEER_GENERIC : STEER_NATIVE) ||
	    bpf_link_update(fd, wr_steer_port_prog_fd(p), NULL) < 0) {
		close(fd);
		return false;
	}
	p->link_fd = fd;
	p->is_pinned = true;
	p->got = a.mode;
	return true;
}

static int attach_mode(struct steer_port *p, enum steer_mode mode)
{
	LIBBPF_OPTS(bpf_link_create_opts, opts, .flags = mode_flag(mode));
	int fd = bpf_link_create(wr_steer_port_prog_fd(p), (int)p->ifindex, BPF_XDP, &opts);

	if (fd < 0)
		return fd;
	p->link_fd = fd;
	p->got = mode;
	/* Raw I/O has no next start that would take over from this one: its link goes with it. */
	if (!(p->settings->flags & STEER_F_ALL))
		p->is_pinned = wr_steer_pin_save(p->ifindex, fd) == 0;
	return 0;
}

static void explain_native(const struct steer_port *p, int code, struct wr_err *ret_why)
{
	uint32_t mtu = p->settings->max_frame_bytes - 14;

	if (code == -EOPNOTSUPP)
		wr_err(ret_why, 0, "%s: its driver has no native XDP", p->ifname);
	else if (!p->is_multi_buffer)
		wr_err(ret_why, 0,
		       "%s: native XDP refused by the driver: %s "
		       "(MTU %u; large ones need Linux 5.18)",
		       p->ifname, strerror(-code), mtu);
	else
		wr_err(ret_why, 0,
		       "%s: native XDP refused by the driver: %s "
		       "(MTU %u; too large, or too few queues?)",
		       p->ifname, strerror(-code), mtu);
}

static int attach_failed(const struct steer_port *p, int code, struct wr_err *err)
{
	struct steer_attached a;

	if (code == -EPERM)
		return wr_steer_denied(err, code);
	if (code == -ENODEV)
		return wr_err(err, code, "%s: no such interface", p->ifname);
	if ((code == -EBUSY || code == -EEXIST) && wr_steer_query(p->ifindex, &a) == 0 && a.prog_id)
		return wr_steer_busy(p, &a, err);
	if (p->wanted == STEER_NATIVE) {
		explain_native(p, code, err);
		return code;
	}
	return wr_err(err, code, "%s: cannot attach the XDP program: %s (needs Linux 5.15)",
		      p->ifname, strerror(-code));
}

static bool may_be_generic(const struct steer_port *p, int code)
{
	return p->wanted == STEER_AUTO && code != -EPERM && code != -ENODEV && code != -EBUSY &&
	       code != -EEXIST;
}

static int attach_alone(struct steer_port *p, struct wr_err *ret_why, struct wr_err *err)
{
	struct steer_attached left = {.found = STEER_FOUND_NOTHING};
	int code;

	if (take_over(p))
		return 0;
	code = wr_steer_make_way(p, &left, err);
	if (code)
		return code;
	if (left.found != STEER_FOUND_NOTHING)
		return wr_steer_busy(p, &left, err);
	code = attach_mode(p, p->wanted == STEER_GENERIC ? STEER_GENERIC : STEER_NATIVE);
	if (code && may_be_generic(p, code)) {
		explain_native(p, code, ret_why);
		code = attach_mode(p, STEER_GENERIC);
	}
	return code ? attach_failed(p, code, err) : 0;
}

int wr_steer_port_attach(struct steer_port *p, struct wr_err *ret_why, struct wr_err *err)
{
	int code;

	if (ret_why)
		ret_why->text[0] = '\0';
	if (p->got != STEER_AUTO)
		return wr_err(err, -EALREADY, "%s: is attached already", p->ifname);
	code = p->share ? wr_steer_share_attach(p, ret_why, err) : attach_alone(p, ret_why, err);
	if (!code && p->got == STEER_GENERIC)
		wr_steer_set_merged(p);
	return code;
}

/* --- close */

static void leave(struct steer_port *p, bool detach)
{
	if (detach) {
		/* By the pin or a descriptor elsewhere the link could outlive this close. */
		bpf_link_detach(p->link_fd);
		if (p->is_pinned)
			wr_steer_pin_remove(p->ifindex);
	}
	close(p->link_fd);
}

void wr_steer_port_close(struct steer_port *p, bool detach)
{
	if (!p)
		return;
	wr_steer_port_set_transit(p, false);
	for (unsigned i = 0; i < STEER_MAX_QUEUES; i++)
		wr_steer_port_set_socket(p, i, 0, -1);
	if (p->share_prog)
		wr_steer_share_close(p, detach);
	else if (p->link_fd >= 0)
		leave(p, detach);
	wr_steer_object_free(p->object);
	free(p);
}

/* --- after a crash */

static int remove_all(uint32_t ifindex)
{
	struct steer_attached a;
	int n = remove_own(ifindex), n_shared = 0;

	if (n == -EBUSY)
		n = remove_by_link(ifindex);
	if (wr_steer_query(ifindex, &a) == 0 && a.found == STEER_FOUND_DISPATCHER)
		n_shared = wr_steer_share_remove(ifindex);
	if (n < 0 && n_shared <= 0)
		return n;
	return (n > 0) + (n_shared > 0);
}

/* The program is that of a living process. Asked only where there is one: it takes time. */
static bool is_living(uint32_t ifindex)
{
	struct steer_attached a;

	return wr_steer_query(ifindex, &a) == 0 &&
	       (a.found == STEER_FOUND_OURS || a.found == STEER_FOUND_DISPATCHER) &&
	       wr_steer_is_in_use(ifindex);
}

/* Pins of interfaces that are gone. */
static void remove_dead_pins(void)
{
	uint32_t *ifindexes, prog_id;
	int n = wr_steer_pin_list(&ifindexes);

	for (int i = 0; i < n; i++) {
		int fd = wr_steer_pin_open(ifindexes[i], &prog_id);

		if (fd >= 0)
			close(fd);
	}
	free(ifindexes);
}

int wr_steer_detach_leftovers(void (*each)(void *arg, const char *ifname), void *arg,
			      struct wr_err *err)
{
	struct if_nameindex *all = if_nameindex();
	int n = 0, failed = 0;

	if (!all)
		return wr_err(err, -errno, "cannot list the interfaces: %s", strerror(errno));
	wr_steer_share_silence();
	remove_dead_pins();
	for (struct if_nameindex *i = all; i->if_index; i++) {
		int code = is_living(i->if_index) ? 0 : remove_all(i->if_index);

		if (code > 0) {
			n++;
			if (each)
				each(arg, i->if_name);
		} else if (code < 0 && code != -ENODEV) {
			failed = wr_err(err, code, "%s: cannot detach Weir's XDP program: %s",
					i->if_name, strerror(-code));
		}
	}
	if_freenameindex(all);
	return failed ? failed : n;
}
