/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Beside other XDP programs: libxdp puts a dispatcher on the interface which calls each in turn.
 *
 * libxdp loads the program itself, as an extension of the dispatcher; but sockets are put into the
 * maps before anything is attached. So the port's object is loaded in any case, and a twin on the
 * same maps is what libxdp gets. The dispatcher and its parts outlive a crash by libxdp's own pins.
 */
#include "lib/steer/steer_private.h"

#include <errno.h>
#include <string.h>

#include <xdp/libxdp.h>

enum {
	/* libxdp's default is 50, filters use less: they see each packet before we take it. */
	RUN_PRIORITY = 90,
	MAX_TRIES = 16, /* more of ours than a dispatcher has room for */
};

static int silent(enum libxdp_print_level level, const char *fmt, va_list ap)
{
	(void)level;
	(void)fmt;
	(void)ap;
	return 0;
}

void wr_steer_share_silence(void)
{
	libxdp_set_print(silent);
	libbpf_set_print(NULL);
}

static enum xdp_attach_mode libxdp_mode(enum steer_mode mode)
{
	return mode == STEER_NATIVE ? XDP_MODE_NATIVE : XDP_MODE_SKB;
}

static void give_up(struct steer_port *p)
{
	xdp_program__close(p->share_prog);
	wr_steer_object_free(p->share_object);
	p->share_prog = NULL;
	p->share_object = NULL;
	p->got = STEER_AUTO;
}

/* Whether libxdp used its dispatcher. Where the kernel refuses that, it attaches the program alone.
 */
static bool is_shared(const struct steer_port *p)
{
	struct steer_attached a;

	return wr_steer_query(p->ifindex, &a) < 0 || a.found != STEER_FOUND_OURS;
}

static int attach_mode(struct steer_port *p, enum steer_mode mode)
{
	int code;

	p->share_object = wr_steer_object_twin(p);
	if (!p->share_object)
		return -errno;
	p->share_prog = xdp_program__from_bpf_obj(wr_steer_object_bpf(p->share_object), "xdp");
	code = (int)libxdp_get_error(p->share_prog);
	if (code) {
		p->share_prog = NULL;
		goto err_prog;
	}
	code = xdp_program__set_run_prio(p->share_prog, RUN_PRIORITY);
	if (!code)
		code = xdp_program__attach(p->share_prog, (int)p->ifindex, libxdp_mode(mode), 0);
	if (!code && !is_shared(p)) {
		xdp_program__detach(p->share_prog, (int)p->ifindex, libxdp_mode(mode), 0);
		code = -EOPNOTSUPP;
	}
	if (code)
		goto err_prog;
	p->got = mode;
	p->is_pinned = true;
	return 0;

err_prog:
	give_up(p);
	return code;
}

static int attach_failed(const struct steer_port *p, int code, struct wr_err *err)
{
	char text[128];

	if (code == -EPERM)
		return wr_err(err, code,
			      "%s: libxdp's dispatcher needs CAP_SYS_ADMIN besides CAP_NET_ADMIN "
			      "and CAP_BPF (run as root)",
			      p->ifname);
	if (code == -EOPNOTSUPP)
		return wr_err(err, code,
			      "%s: this kernel cannot run XDP programs beside each other (it needs "
			      "Linux 5.10 with BTF); start without --xdp-share",
			      p->ifname);
	libxdp_strerror(code, text, sizeof(text));
	return wr_err(err, code,
		      "%s: libxdp could not attach: %s (it needs a bpffs on /sys/fs/bpf)",
		      p->ifname, text);
}

static int attach_beside(struct steer_port *p, const struct steer_attached *a, struct wr_err *err)
{
	const char *mode = wr_steer_mode_name(a->mode);
	int code;

	if (p->wanted != STEER_AUTO && p->wanted != a->mode)
		return wr_err(err, -EBUSY,
			      "%s: libxdp's dispatcher runs in %s mode there; "
			      "--xdp-mode %s or auto joins it",
			      p->ifname, mode, mode);
	code = attach_mode(p, a->mode);
	return code ? attach_failed(p, code, err) : 0;
}

int wr_steer_share_attach(struct steer_port *p, struct wr_err *ret_why, struct wr_err *err)
{
	struct steer_attached left = {.found = STEER_FOUND_NOTHING};
	int code = wr_steer_make_way(p, &left, err);

	if (code)
		return code;
	/* libxdp mounts none by itself; if we cannot either, it says so. */
	wr_steer_pin_mount();
	if (left.found == STEER_FOUND_DISPATCHER)
		return attach_beside(p, &left, err);
	if (left.found != STEER_FOUND_NOTHING)
		return wr_steer_busy(p, &left, err);
	code = attach_mode(p, p->wanted == STEER_GENERIC ? STEER_GENERIC : STEER_NATIVE);
	if (code && code != -EPERM && p->wanted == STEER_AUTO) {
		wr_err(ret_why, 0, "%s: native XDP refused: %s", p->ifname, strerror(-code));
		code = attach_mode(p, STEER_GENERIC);
	}
	return code ? attach_failed(p, code, err) : 0;
}

void wr_steer_share_close(struct steer_port *p, bool detach)
{
	if (detach)
		xdp_program__detach(p->share_prog, (int)p->ifindex, libxdp_mode(p->got), 0);
	give_up(p);
}

/* Takes one of ours out: 1, 0 if there is none, or -errno. */
static int remove_one(uint32_t ifindex)
{
	struct xdp_multiprog *mp = xdp_multiprog__get_from_ifindex((int)ifindex);
	struct xdp_program *prog = NULL;
	int code = (int)libxdp_get_error(mp);

	if (code)
		return code == -ENOENT ? 0 : code;
	if (!xdp_multiprog__is_legacy(mp))
		while ((prog = xdp_multiprog__next_prog(prog, mp)))
			if (strcmp(xdp_program__name(prog), STEER_PROG_NAME) == 0)
				break;
	if (prog) {
		code = xdp_program__detach(prog, (int)ifindex, xdp_multiprog__attach_mode(mp), 0);
		if (!code)
			code = 1;
	}
	xdp_multiprog__close(mp);
	return code;
}

int wr_steer_share_remove(uint32_t ifindex)
{
	int n = 0, code = 0;

	while (n < MAX_TRIES && (code = remove_one(ifindex)) > 0)
		n++;
	return code < 0 ? code : n;
}
