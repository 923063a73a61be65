/* SPDX-License-Identifier: BSD-3-Clause */
#include "lib/nl/nl.c"

#include <linux/rtnetlink.h>
#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static const struct nl_want want[] = {{1, 4}, {2, 0}, {3, 1}};

enum { ONE, TWO, THREE, N_WANT };

/* Exactly `len` bytes, so that the sanitizer sees any read beyond. */
static int attrs_of(const void *bytes, size_t len, const struct nlattr **ret)
{
	static void *copy;

	free(copy);
	copy = malloc(len ? len : 1);
	assert_non_null(copy);
	memcpy(copy, bytes, len);
	return wr_nl_attrs(copy, len, want, N_WANT, ret);
}

static void wanted_attributes_are_found(void **state)
{
	const uint8_t bytes[] = {8, 0, 1, 0,    1,   2, 3, 4, /* 1 */
				 6, 0, 9, 0,    1,   2, 0, 0, /* unknown, padded */
				 4, 0, 2, 0x80,               /* 2, nested flag, empty */
				 6, 0, 3, 0,    'x', 0};      /* 3, without its padding */
	const struct nlattr *a[N_WANT];
	char name[8];

	(void)state;
	assert_int_equal(attrs_of(bytes, sizeof(bytes), a), 0);
	assert_int_equal(wr_nl_u32(a[ONE]), le32toh(0x04030201));
	assert_non_null(a[TWO]);
	assert_int_equal(wr_nl_len(a[TWO]), 0);
	wr_nl_str(a[THREE], name, sizeof(name));
	assert_string_equal(name, "x");
}

static void the_last_of_several_counts(void **state)
{
	const uint8_t bytes[] = {8, 0, 1, 0, 1, 0, 0, 0, 8, 0, 1, 0, 2, 0, 0, 0};
	const struct nlattr *a[N_WANT];

	(void)state;
	assert_int_equal(attrs_of(bytes, sizeof(bytes), a), 0);
	assert_int_equal(wr_nl_u32(a[ONE]), le32toh(2));
	assert_null(a[TWO]);
}

static void lies_about_lengths_are_refused(void **state)
{
	const uint8_t beyond[] = {9, 0, 1, 0, 1, 2, 3, 4};
	const uint8_t below_header[] = {3, 0, 1, 0, 1, 2, 3, 4};
	const uint8_t zero[] = {0, 0, 1, 0, 1, 2, 3, 4};
	const uint8_t short_for_type[] = {7, 0, 1, 0, 1, 2, 3, 0};
	const uint8_t rest[] = {8, 0, 1, 0, 1, 2, 3, 4, 4, 0, 2};
	const struct nlattr *a[N_WANT];

	(void)state;
	assert_int_equal(attrs_of(beyond, sizeof(beyond), a), -EBADMSG);
	assert_int_equal(attrs_of(below_header, sizeof(below_header), a), -EBADMSG);
	assert_int_equal(attrs_of(zero, sizeof(zero), a), -EBADMSG);
	assert_int_equal(attrs_of(short_for_type, sizeof(short_for_type), a), -EBADMSG);
	assert_int_equal(attrs_of(rest, sizeof(rest), a), -EBADMSG);
	assert_int_equal(attrs_of("", 0, a), 0);
}

static void strings_are_cut(void **state)
{
	const uint8_t bytes[] = {9, 0, 3, 0, 'w', 'e', 'i', 'r', '!', 0, 0, 0}; /* no NUL within */
	const struct nlattr *a[N_WANT];
	char name[4], all[16];

	(void)state;
	assert_int_equal(attrs_of(bytes, 9, a), 0);
	wr_nl_str(a[THREE], name, sizeof(name));
	assert_string_equal(name, "wei");
	wr_nl_str(a[THREE], all, sizeof(all));
	assert_string_equal(all, "weir!");
}

static void bodies_are_checked(void **state)
{
	struct {
		struct nlmsghdr h;
		char body[16];
	} m = {.h.nlmsg_len = NLMSG_HDRLEN + 12};
	const void *attrs;
	size_t len;

	(void)state;
	assert_int_equal(wr_nl_body(&m.h, 8, &attrs, &len), 0);
	assert_ptr_equal(attrs, m.body + 8);
	assert_int_equal(len, 4);
	assert_int_equal(wr_nl_body(&m.h, 12, &attrs, &len), 0);
	assert_int_equal(len, 0);
	/* A header whose padding is cut off. */
	assert_int_equal(wr_nl_body(&m.h, 11, &attrs, &len), 0);
	assert_int_equal(len, 0);
	assert_int_equal(wr_nl_body(&m.h, 13, &attrs, &len), -EBADMSG);
}

struct seen {
	unsigned n, n_loopbacks;
};

static void count_link(void *arg, const struct nlmsghdr *h)
{
	struct seen *seen = arg;
	const struct ifinfomsg *ifi = wr_nl_head(h);

	assert_int_equal(h->nlmsg_type, RTM_NEWLINK);
	seen->n++;
	seen->n_loopbacks += ifi->ifi_index == 1;
}

static void links_are_dumped(void **state)
{
	const struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC};
	struct seen first = {0}, second = {0};
	struct nl_sock *sock;

	(void)state;
	assert_int_equal(wr_nl_open(NETLINK_ROUTE, 1 << 20, false, &sock, NULL), 0);
	assert_int_equal(wr_nl_dump(sock, RTM_GETLINK, &ifi, sizeof(ifi), count_link, &first), 0);
	assert_int_equal(first.n_loopbacks, 1);
	assert_int_equal(wr_nl_dump(sock, RTM_GETLINK, &ifi, sizeof(ifi), count_link, &second), 0);
	assert_int_equal(first.n, second.n);
	wr_nl_close(sock);
}

static struct nl_msg *ask_for_link(int ifindex)
{
	struct ifinfomsg ifi = {.ifi_family = AF_UNSPEC, .ifi_index = ifindex};
	struct nl_msg *msg = nlmsg_alloc_simple(RTM_GETLINK, 0);

	assert_non_null(msg);
	assert_int_equal(nlmsg_append(msg, &ifi, sizeof(ifi), NLMSG_ALIGNTO), 0);
	return msg;
}

static void questions_are_answered(void **state)
{
	struct seen seen = {0};
	struct nl_sock *sock;

	(void)state;
	assert_int_equal(wr_nl_open(NETLINK_ROUTE, 0, false, &sock, NULL), 0);
	assert_int_equal(wr_nl_ask(sock, ask_for_link(1), count_link, &seen), 0);
	assert_int_equal(seen.n, 1);
	assert_int_equal(wr_nl_ask(sock, ask_for_link(0x7ffffff0), count_link, &seen), -ENODEV);
	assert_int_equal(seen.n, 1);
	wr_nl_close(sock);
}

/* Answers that nobody waited for, here errors, do not come between a question and its answer,
 * however many they are. */
static void told_requests_leave_no_answers_behind(void **state)
{
	struct seen seen = {0};
	struct nl_sock *sock;

	(void)state;
	assert_int_equal(wr_nl_open(NETLINK_ROUTE, 4096, false, &sock, NULL), 0);
	for (unsigned i = 0; i < 100; i++)
		assert_int_equal(wr_nl_tell(sock, ask_for_link(0x7ffffff0)), 0);
	assert_int_equal(wr_nl_ask(sock, ask_for_link(1), count_link, &seen), 0);
	assert_int_equal(seen.n, 1);
	wr_nl_close(sock);
}

static void unknown_protocols_are_refused(void **state)
{
	struct nl_sock *sock = NULL;
	struct wr_err err = {""};

	(void)state;
	assert_true(wr_nl_open(31, 0, false, &sock, &err) < 0);
	assert_null(sock);
	assert_string_not_equal(err.text, "");
}

static void no_events_is_zero(void **state)
{
	struct nl_sock *sock;

	(void)state;
	assert_int_equal(wr_nl_open(NETLINK_ROUTE, 0, true, &sock, NULL), 0);
	assert_int_equal(wr_nl_events(sock, 10, count_link, NULL), 0);
	wr_nl_close(sock);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(wanted_attributes_are_found),
		cmocka_unit_test(the_last_of_several_counts),
		cmocka_unit_test(lies_about_lengths_are_refused),
		cmocka_unit_test(strings_are_cut),
		cmocka_unit_test(bodies_are_checked),
		cmocka_unit_test(links_are_dumped),
		cmocka_unit_test(questions_are_answered),
		cmocka_unit_test(told_requests_leave_no_answers_behind),
		cmocka_unit_test(unknown_protocols_are_refused),
		cmocka_unit_test(no_events_is_zero),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
