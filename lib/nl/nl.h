/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Netlink: sockets, dumps, events, and attributes checked once at the door.
 *
 * Sockets are libnl-3's; messages are read by our own few lines, since nl_cache is quadratic for
 * routes. What a message may carry is a table of wanted attributes with their sizes: an attribute
 * that is shorter than its type refuses the message, an unknown one is passed over. After the check
 * the accessors cannot fail.
 *
 * Threads: a socket belongs to the thread that uses it.
 */
#ifndef WR_NL_NL_H
#define WR_NL_NL_H

#include "lib/base/err.h"
#include "lib/base/types.h"

#include <linux/netlink.h>
#include <netlink/netlink.h>

/* An attribute that a reader wants: its type, and the least number of payload bytes. The index in
 * the table is the index in the result. */
struct nl_want {
	uint16_t type;
	uint16_t min_bytes;
};

/*
 * Finds the wanted attributes in `len` bytes at `attrs`: ret[i] is the payload's header for
 * want[i], NULL if absent; of several the last counts. Type flags (NLA_F_NESTED ...) are ignored.
 * Returns 0, or -EBADMSG if an attribute runs beyond `len` or is too short. Nothing beyond `len` is
 * read.
 */
int wr_nl_attrs(const void *attrs, size_t len, const struct nl_want *want, unsigned n_want,
		const struct nlattr **ret);

/* Payload accessors; the attribute was checked to be long enough. Unaligned-safe. */
static inline const void *wr_nl_data(const struct nlattr *a)
{
	return (const char *)a + NLA_HDRLEN;
}

static inline size_t wr_nl_len(const struct nlattr *a)
{
	return (size_t)a->nla_len - NLA_HDRLEN;
}

static inline uint32_t wr_nl_u32(const struct nlattr *a)
{
	uint32_t v;

	__builtin_memcpy(&v, wr_nl_data(a), sizeof(v));
	return v;
}

static inline uint16_t wr_nl_u16(const struct nlattr *a)
{
	uint16_t v;

	__builtin_memcpy(&v, wr_nl_data(a), sizeof(v));
	return v;
}

static inline uint8_t wr_nl_u8(const struct nlattr *a)
{
	return *(const uint8_t *)wr_nl_data(a);
}

static inline struct ip4 wr_nl_ip4(const struct nlattr *a)
{
	return (struct ip4){wr_nl_u32(a)};
}

/* Copies a string attribute, cut to `n` bytes with the NUL; never reads beyond the attribute. */
void wr_nl_str(const struct nlattr *a, char *buf, size_t n);

/* The fixed header behind the netlink header; wr_nl_body() has checked that it is there. */
static inline const void *wr_nl_head(const struct nlmsghdr *h)
{
	return (const char *)h + NLMSG_HDRLEN;
}

/* The body after the fixed header of `hdr_bytes`: its address and length. -EBADMSG if the message
 * is shorter than that. */
int wr_nl_body(const struct nlmsghdr *, size_t hdr_bytes, const void **ret_attrs, size_t *ret_len);

/* Opens a socket of this netlink protocol in the thread's network namespace, with a receive buffer
 * of `rcvbuf_bytes` (forced beyond the system's limit where privileges allow; 0 = as is).
 * Non-blocking if `is_events`. */
int wr_nl_open(int protocol, uint32_t rcvbuf_bytes, bool is_events, struct nl_sock **ret_sock,
	       struct wr_err *);
void wr_nl_close(struct nl_sock *);

typedef void wr_nl_each(void *arg, const struct nlmsghdr *);

/*
 * Asks for a dump (`type`, with `body_bytes` at `body` after the netlink header) and calls `each`
 * for every message of the answer. Returns 0; -EAGAIN if the kernel says that the dump was
 * interrupted (take it again); -errno.
 */
int wr_nl_dump(struct nl_sock *, uint16_t type, const void *body, size_t body_bytes, wr_nl_each *,
	       void *arg);

/* Sends a request (built with libnl's nlmsg_*; consumed in every case) with NLM_F_ACK and waits for
 * the answer. `each` (may be NULL) sees reply messages. 0 or the kernel's -errno. */
int wr_nl_ask(struct nl_sock *, struct nl_msg *, wr_nl_each *, void *arg);

/* Sends a request (consumed) without waiting or asking for an answer. */
int wr_nl_tell(struct nl_sock *, struct nl_msg *);

/* Events that have come, at most `max_msgs` datagrams, without waiting. Returns the number of
 * datagrams; 0 if there are none; -ENOBUFS if the kernel lost some; -errno. */
int wr_nl_events(struct nl_sock *, unsigned max_msgs, wr_nl_each *, void *arg);

#endif
