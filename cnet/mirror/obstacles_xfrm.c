/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * IPsec: policies that a packet in transit is compared with.
 *
 * The kernel looks up direction fwd to judge how a packet came, and out to transform it on its
 * way. A policy with an interface id belongs to an xfrm interface, where Weir has no port; one
 * that wants a mark never matches a packet without one. Policies of single sockets are not in the
 * dump. The default for what matches none may be block (`ip xfrm policy setdefault`). There may
 * be thousands, and one is as good a reason as all: they make one sentence.
 */
#include "cnet/mirror/obstacles_src.h"

#include <arpa/inet.h>
#include <errno.h>
#include <linux/xfrm.h>
#include <netlink/msg.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>

struct look {
	unsigned n_policies;
	char first[64]; /* "fwd 10.0.0.0/8 to 10.1.0.0/16" */
	struct xfrm_userpolicy_default defaults;
	int err;
};

static void restart(void *arg)
{
	memset(arg, 0, sizeof(struct look));
}

static void print_prefix(const xfrm_address_t *a, uint8_t len, char *buf, size_t n)
{
	char text[INET_ADDRSTRLEN];

	snprintf(buf, n, "%s/%u", inet_ntop(AF_INET, &a->a4, text, sizeof(text)), len);
}

static void print_policy(const struct xfrm_userpolicy_info *p, char *buf, size_t n)
{
	char from[INET_ADDRSTRLEN + 4], to[INET_ADDRSTRLEN + 4];

	print_prefix(&p->sel.saddr, p->sel.prefixlen_s, from, sizeof(from));
	print_prefix(&p->sel.daddr, p->sel.prefixlen_d, to, sizeof(to));
	snprintf(buf, n, "%s %s to %s", p->dir == XFRM_POLICY_FWD ? "fwd" : "out", from, to);
}

/* 1 if packets in transit are compared with the policy, 0 if not, -EBADMSG. */
static int parse_policy(const struct nlmsghdr *h, struct xfrm_userpolicy_info *ret)
{
	enum { IF_ID, MARK, N };
	static const struct nl_want want[N] = {
		[IF_ID] = {XFRMA_IF_ID, 4},
		[MARK] = {XFRMA_MARK, sizeof(struct xfrm_mark)},
	};
	struct xfrm_mark mark = {0};
	const struct nlattr *a[N];
	const void *attrs;
	size_t len;

	if (wr_nl_body(h, sizeof(*ret), &attrs, &len) || wr_nl_attrs(attrs, len, want, N, a))
		return -EBADMSG;
	memcpy(ret, (const char *)h + NLMSG_HDRLEN, sizeof(*ret));
	if (ret->sel.family == AF_INET6 ||
	    (ret->dir != XFRM_POLICY_FWD && ret->dir != XFRM_POLICY_OUT))
		return 0;
	if (a[IF_ID] && wr_nl_u32(a[IF_ID]))
		return 0;
	if (a[MARK])
		memcpy(&mark, wr_nl_data(a[MARK]), sizeof(mark));
	/* The kernel compares packet mark & m with v. */
	return mark.v == 0;
}

static void on_policy(void *arg, const struct nlmsghdr *h)
{
	struct look *look = arg;
	struct xfrm_userpolicy_info p;
	int concerns;

	if (look->err || h->nlmsg_type != XFRM_MSG_NEWPOLICY)
		return;
	concerns = parse_policy(h, &p);
	if (concerns < 0)
		look->err = concerns;
	else if (concerns && !look->n_policies++)
		print_policy(&p, look->first, sizeof(look->first));
}

static void on_defaults(void *arg, const struct nlmsghdr *h)
{
	struct look *look = arg;
	const void *attrs;
	size_t len;

	if (h->nlmsg_type != XFRM_MSG_GETDEFAULT)
		return;
	if (wr_nl_body(h, sizeof(look->defaults), &attrs, &len))
		look->err = -EBADMSG;
	else
		memcpy(&look->defaults, (const char *)h + NLMSG_HDRLEN, sizeof(look->defaults));
}

static int look_defaults(struct nl_sock *sock, struct look *look)
{
	const struct xfrm_userpolicy_default none = {0};
	struct nl_msg *msg = nlmsg_alloc_simple(XFRM_MSG_GETDEFAULT, 0);
	int err;

	if (!msg)
		return -ENOMEM;
	if (nlmsg_append(msg, (void *)(uintptr_t)&none, sizeof(none), NLMSG_ALIGNTO)) {
		nlmsg_free(msg);
		return -ENOMEM;
	}
	err = wr_nl_ask(sock, msg, on_defaults, look);
	/* Before Linux 5.16 there was no such message, and no default but accept. */
	return err == -EINVAL ? 0 : err;
}

int wr_obst_xfrm(const struct obst_ask *ask, struct obst_list *list)
{
	const struct xfrm_userpolicy_id any = {0};
	struct look look = {0};
	int err;

	if (!ask->xfrm)
		return 0;
	err = wr_obst_dump(ask->xfrm, XFRM_MSG_GETPOLICY, &any, sizeof(any), on_policy, restart,
			   &look);
	if (!err)
		err = look_defaults(ask->xfrm, &look);
	if (err || look.err)
		return err ? err : look.err;
	if (look.n_policies)
		wr_obst_add(list, 0, true,
			    "%u IPsec polic%s of direction fwd or out, as %s" OBST_BYPASS,
			    look.n_policies, look.n_policies == 1 ? "y" : "ies", look.first);
	if (look.defaults.fwd == XFRM_USERPOLICY_BLOCK ||
	    look.defaults.out == XFRM_USERPOLICY_BLOCK)
		wr_obst_add(list, 0, true,
			    "the default IPsec policy (ip xfrm policy getdefault) is "
			    "block" OBST_BYPASS);
	return 0;
}
