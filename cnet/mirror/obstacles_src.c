/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/mirror/obstacles_src.h"

#include <errno.h>
#include <net/if.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>

enum { DUMP_TRIES = 4 };

static void make_printable(char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			*s = '?';
}

bool wr_obst_is_same(const struct obstacle *a, const struct obstacle *b)
{
	return a->ifindex == b->ifindex && a->is_netfilter == b->is_netfilter &&
	       a->egress_ifindex == b->egress_ifindex && !strcmp(a->sentence, b->sentence);
}

void wr_obst_list_add(struct obst_list *list, const struct obstacle *o)
{
	for (unsigned i = 0; i < list->n; i++)
		if (wr_obst_is_same(&list->items[i], o))
			return;
	if (list->n < OBST_MAX) {
		list->items[list->n++] = *o;
		return;
	}
	list->n_more++;
	list->is_more_other |= !o->is_netfilter;
}

void wr_obst_add(struct obst_list *list, uint32_t ifindex, bool is_netfilter, const char *fmt, ...)
{
	struct obstacle o = {.ifindex = ifindex, .is_netfilter = is_netfilter};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(o.sentence, sizeof(o.sentence), fmt, ap);
	va_end(ap);
	make_printable(o.sentence);
	wr_obst_list_add(list, &o);
}

void wr_obst_add_egress(struct obst_list *list, uint32_t egress_ifindex, const char *fmt, ...)
{
	struct obstacle o = {.egress_ifindex = egress_ifindex};
	va_list ap;

	va_start(ap, fmt);
	vsnprintf(o.sentence, sizeof(o.sentence), fmt, ap);
	va_end(ap);
	make_printable(o.sentence);
	wr_obst_list_add(list, &o);
}

int wr_obst_ifindex(const struct obst_ask *ask, const char *name, uint32_t *ret_ifindex)
{
	struct ifreq req = {0};

	if (strlen(name) >= sizeof(req.ifr_name)) {
		*ret_ifindex = 0;
		return 0;
	}
	memcpy(req.ifr_name, name, strlen(name));
	if (!ioctl(ask->inet_fd, SIOCGIFINDEX, &req))
		*ret_ifindex = (uint32_t)req.ifr_ifindex;
	else if (errno == ENODEV)
		*ret_ifindex = 0;
	else
		return -errno;
	return 0;
}

const char *wr_obst_ifname(const struct obst_ask *ask, uint32_t ifindex, char *buf)
{
	struct ifreq req = {.ifr_ifindex = (int)ifindex};

	if (ioctl(ask->inet_fd, SIOCGIFNAME, &req))
		snprintf(buf, IF_NAMESIZE, "if%u", ifindex);
	else
		snprintf(buf, IF_NAMESIZE, "%.15s", req.ifr_name);
	return buf;
}

int wr_obst_dump(struct nl_sock *sock, uint16_t type, const void *body, size_t body_bytes,
		 wr_nl_each *each, void (*restart)(void *arg), void *arg)
{
	int err = -EAGAIN;

	for (unsigned i = 0; i < DUMP_TRIES && err == -EAGAIN; i++) {
		restart(arg);
		err = wr_nl_dump(sock, type, body, body_bytes, each, arg);
	}
	return err;
}
