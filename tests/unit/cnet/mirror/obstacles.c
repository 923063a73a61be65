/* SPDX-License-Identifier: BSD-3-Clause */
/* Obstacles against the real kernel: each test in a network namespace of its own. */
#include "cnet/mirror/obstacles.c"

#include <fcntl.h>
#include <linux/bpf.h>
#include <net/if.h>
#include <sched.h>
#include <setjmp.h>
#include <stdarg.h>
#include <sys/mount.h>
#include <sys/syscall.h>

#include <cmocka.h>

enum { WAIT_S = 8 };

struct bench {
	struct wr_loop *loop;
	struct obstacles *o;
	unsigned n_changed;
	bool is_hasty; /* the slow timer fires every turn */
};

static struct bench b;

static void on_changed(void *arg)
{
	((struct bench *)arg)->n_changed++;
}

static void sh(const char *command)
{
	char quiet[1024];

	snprintf(quiet, sizeof(quiet), "{ %s ; } >/dev/null", command);
	if (system(quiet))
		fail_msg("failed: %s", command);
}

static bool has_command(const char *name)
{
	char command[100];

	snprintf(command, sizeof(command), "command -v %s >/dev/null 2>&1", name);
	return !system(command);
}

static void open_bench(bool bypass)
{
	struct wr_err err = {""};

	b.n_changed = 0;
	b.is_hasty = false;
	assert_int_equal(wr_loop_create(wr_clock_monotonic(), &b.loop), 0);
	if (wr_obstacles_create(b.loop, bypass, on_changed, &b, &b.o, &err))
		fail_msg("%s", err.text);
}

static void close_bench(void)
{
	wr_obstacles_free(b.o);
	b.o = NULL;
	wr_loop_free(b.loop);
}

static int setup(void **state)
{
	(void)state;
	if (unshare(CLONE_NEWNET))
		return -1;
	sh("ip link set lo up; ip link add va type veth peer name vb; ip link set va up; "
	   "ip link set vb up");
	open_bench(false);
	return 0;
}

static int teardown(void **state)
{
	(void)state;
	if (b.o)
		close_bench();
	return 0;
}

static unsigned n_obstacles(void)
{
	unsigned n;

	wr_obstacles_list(b.o, &n);
	return n;
}

static const struct obstacle *find(const char *part)
{
	unsigned n;
	const struct obstacle *all = wr_obstacles_list(b.o, &n);

	for (unsigned i = 0; i < n; i++)
		if (strstr(all[i].sentence, part))
			return &all[i];
	return NULL;
}

static struct obstacle must_find(const char *part)
{
	const struct obstacle *found = find(part);

	assert_non_null(found);
	return found ? *found : (struct obstacle){0};
}

static void print_all(void)
{
	unsigned n;
	const struct obstacle *all = wr_obstacles_list(b.o, &n);

	for (unsigned i = 0; i < n; i++)
		print_message("  if %u: %s\n", all[i].ifindex, all[i].sentence);
}

static uint64_t now(void)
{
	return wr_now_ns(wr_clock_monotonic());
}

/* Turns the loop until there are `n` obstacles; with a part, until a sentence has it. */
static void wait_for(unsigned n, const char *part)
{
	uint64_t end = now() + WAIT_S * WR_NS_PER_S;

	while (n_obstacles() != n || (part && !find(part))) {
		if (now() > end) {
			print_all();
			fail_msg("never saw %u obstacles, one with \"%s\"", n, part ? part : "");
		}
		if (b.is_hasty)
			wr_timer_start(b.loop, &b.o->slow, 0);
		wr_loop_turn(b.loop, 20 * WR_NS_PER_MS);
	}
	/* Announced before the next turn's end. */
	wr_loop_turn(b.loop, 0);
	assert_int_equal(b.o->announce.due_ns, 0);
}

static void turn_for_ms(unsigned ms)
{
	uint64_t end = now() + ms * WR_NS_PER_MS;

	while (now() < end)
		wr_loop_turn(b.loop, 10 * WR_NS_PER_MS);
}

static uint32_t index_of(const char *name)
{
	uint32_t ifindex = if_nametoindex(name);

	assert_int_not_equal(ifindex, 0);
	return ifindex;
}

/* What makes it, the part of the sentence that must come, on which interface (NULL: all), and
 * what removes it. */
struct trial {
	const char *make;
	const char *part; /* NULL: nothing may come */
	const char *ifname;
	const char *undo;
};

static void try_one(const struct trial *t)
{
	unsigned n_changed = b.n_changed;

	sh(t->make);
	if (t->part) {
		wait_for(1, t->part);
		assert_int_equal(must_find(t->part).ifindex, t->ifname ? index_of(t->ifname) : 0);
		assert_int_equal(b.n_changed, n_changed + 1);
	} else {
		if (b.is_hasty)
			wr_timer_start(b.loop, &b.o->slow, 0);
		turn_for_ms(130);
		if (n_obstacles())
			fail_msg("%s: %s", t->make, must_find("").sentence);
		assert_int_equal(b.n_changed, n_changed);
	}
	sh(t->undo);
	wait_for(0, NULL);
}

static void try_all(const struct trial *t, unsigned n)
{
	assert_int_equal(n_obstacles(), 0);
	for (unsigned i = 0; i < n; i++)
		try_one(&t[i]);
}

static void test_pristine(void **state)
{
	uint64_t end = now() + 500 * WR_NS_PER_MS;
	unsigned n_turns = 0;

	(void)state;
	print_all();
	assert_int_equal(n_obstacles(), 0);
	turn_for_ms(150);
	for (; now() < end; n_turns++)
		wr_loop_turn(b.loop, 350 * WR_NS_PER_MS);
	assert_true(n_turns <= 2);
	assert_int_equal(b.n_changed, 0);
	assert_int_equal(wr_obstacles_look(b.o), 0);
	assert_int_equal(n_obstacles(), 0);
}

static void test_nft(void **state)
{
#define CHAIN(family, name, hook)                                                                  \
	"nft 'add table " family " t; add chain " family " t " name " { type filter hook " hook    \
	" ; }'"
#define RULE(family, name) "; nft 'add rule " family " t " name " counter'"
	static const struct trial trials[] = {
		{CHAIN("inet", "c", "forward priority 0"), NULL, NULL, "nft flush ruleset"},
		{CHAIN("inet", "c", "forward priority 0") RULE("inet", "c"),
		 "nft chain inet t c (hook forward, 1 rule, policy accept); --bypass", NULL,
		 "nft flush ruleset"},
		{CHAIN("ip", "c", "forward priority 0; policy drop"),
		 "nft chain ip t c (hook forward, 0 rules, policy drop)", NULL,
		 "nft flush ruleset"},
		{CHAIN("ip", "c", "prerouting priority 0") RULE("ip", "c") RULE("ip", "c"),
		 "ip t c (hook prerouting, 2 rules, ", NULL, "nft flush chain ip t c"},
		{CHAIN("ip", "d", "postrouting priority 0") RULE("ip", "d"),
		 "ip t d (hook postrouting, 1 rule", NULL, "nft delete table ip t"},
		{CHAIN("ip", "c", "input priority 0; policy drop"), NULL, NULL,
		 "nft flush ruleset"},
		{CHAIN("inet", "c", "output priority 0") RULE("inet", "c"), NULL, NULL,
		 "nft flush ruleset"},
		{CHAIN("ip6", "c", "forward priority 0; policy drop"), NULL, NULL,
		 "nft flush ruleset"},
		{CHAIN("bridge", "c", "forward priority 0; policy drop"), NULL, NULL,
		 "nft flush ruleset"},
		{"nft 'add table ip t; add chain ip t c; add rule ip t c drop'", NULL, NULL,
		 "nft flush ruleset"},
		{CHAIN("netdev", "c", "ingress device va priority 0; policy drop"),
		 "nft chain netdev t c (hook ingress, 0 rules, policy drop) at ingress of va;",
		 "va", "nft flush ruleset"},
		{CHAIN("inet", "c", "ingress device vb priority 0") RULE("inet", "c"),
		 "at ingress of vb;", "vb", "nft flush ruleset"},
		{CHAIN("netdev", "c", "egress device va priority 0") RULE("netdev", "c"),
		 "(hook egress, 1 rule", NULL, "nft flush ruleset"},
		{"nft 'add table ip n; add chain ip n c "
		 "{ type nat hook postrouting priority 100; }; "
		 "add rule ip n c masquerade'",
		 "ip n c (hook postrouting, 1 rule", NULL, "nft flush ruleset"},
		{"nft 'add table inet t; add flowtable inet t f "
		 "{ hook ingress priority 0; devices = { va }; }'",
		 "nft flowtable t f at ingress of va;", "va", "nft flush ruleset"},
	};
#undef CHAIN
#undef RULE
	(void)state;
	for (unsigned i = 0; i < wr_array_size(trials); i++) {
		if (strstr(trials[i].make, "flowtable") &&
		    system("nft -c 'table inet x { flowtable f { hook ingress priority 0; "
			   "devices = { va }; }; }' >/dev/null 2>&1"))
			continue; /* a kernel without them */
		try_one(&trials[i]);
	}
}

/* Two interfaces in one chain, one of them renamed, removed and made again. */
static void test_nft_devices(void **state)
{
	(void)state;
	sh("nft 'add table netdev t; add chain netdev t c { type filter hook ingress "
	   "devices = { va, vb } priority 0; policy drop; }'");
	wait_for(2, "at ingress of va;");
	assert_int_equal(must_find("of va;").ifindex, index_of("va"));
	assert_int_equal(must_find("of vb;").ifindex, index_of("vb"));
	assert_true(must_find("of vb;").is_netfilter);
	sh("ip link del va");
	wait_for(0, NULL);
	if (system("nft 'add table netdev u; add chain netdev u c { type filter hook ingress "
		   "device \"later\" priority 0; policy drop; }' 2>/dev/null"))
		return; /* before Linux 6.16 the interface must exist */
	turn_for_ms(200);
	assert_int_equal(n_obstacles(), 0);
	sh("ip link add later type veth peer name va");
	wait_for(2, "at ingress of later;");
	assert_int_equal(must_find("of later;").ifindex, index_of("later"));
}

static void test_burst(void **state)
{
	uint64_t start = now();
	unsigned n_looks;

	(void)state;
	sh("nft 'add table ip t; add chain ip t c { type filter hook forward priority 0; }'");
	wait_for(0, NULL);
	for (unsigned i = 0; i < 40; i++) {
		sh("nft add rule ip t c counter");
		wr_loop_turn(b.loop, 0);
	}
	wait_for(1, "40 rules");
	n_looks = (unsigned)((now() - start) / (QUIET_MS * WR_NS_PER_MS)) + 2;
	assert_true(b.n_changed <= n_looks);
	assert_true(b.n_changed >= 1);
	/* The same set again is no change. */
	n_looks = b.n_changed;
	sh("nft add table ip other");
	turn_for_ms(250);
	assert_int_equal(wr_obstacles_look(b.o), 0);
	turn_for_ms(150);
	assert_int_equal(b.n_changed, n_looks);
}

static void test_lost_events(void **state)
{
	int bytes = 1;

	(void)state;
	turn_for_ms(150);
	assert_int_equal(setsockopt(nl_socket_get_fd(b.o->rtnl.sock), SOL_SOCKET, SO_RCVBUF, &bytes,
				    sizeof(bytes)),
			 0);
	sh("for i in 1 2 3 4 5 6 7 8 9 10; do ip link set va down; ip link set va up; done; "
	   "ip rule add pref 100 lookup 100; ip xfrm policy list");
	/* In the quiet time, so that what is dirty stays to be seen. */
	wr_timer_start(b.loop, &b.o->quiet, QUIET_MS * WR_NS_PER_MS);
	on_ready(&b.o->rtnl.watch, EPOLLIN);
	assert_true(b.o->dirty & BIT(SRC_RULES));
	assert_true(b.o->dirty & BIT(SRC_TABLE_DEFAULT));
	wait_for(1, "ip rule 100");
}

static void test_limit(void **state)
{
	unsigned n;
	const struct obstacle *all;

	(void)state;
	sh("{ echo add table ip t; for i in $(seq 100); do echo \"add chain ip t c$i "
	   "{ type filter hook forward priority $i; policy drop; }\"; done; } | nft -f -");
	wait_for(OBST_MAX + 1, "and 36 more");
	all = wr_obstacles_list(b.o, &n);
	assert_int_equal(all[OBST_MAX].ifindex, 0);
	assert_true(all[OBST_MAX].is_netfilter);
	n = b.n_changed;
	assert_int_equal(wr_obstacles_look(b.o), 0);
	turn_for_ms(50);
	assert_int_equal(b.n_changed, n);
	/* What comes behind the limit may not be lifted with netfilter. */
	sh("ip rule add from 10.0.0.0/8 lookup 100");
	wait_for(OBST_MAX + 1, "and 37 more");
	all = wr_obstacles_list(b.o, &n);
	assert_false(all[OBST_MAX].is_netfilter);
}

/* Broken and mended by exchanging the descriptor below the socket. */
static void test_unreadable(void **state)
{
	int fd, saved, null;

	(void)state;
	sh("nft 'add table ip t; add chain ip t c { type filter hook forward priority 0; "
	   "policy drop; }'");
	wait_for(1, "policy drop");
	fd = nl_socket_get_fd(b.o->ask.nfnl);
	saved = dup(fd);
	null = open("/dev/null", O_RDWR | O_CLOEXEC);
	assert_true(saved >= 0 && null >= 0);
	assert_true(dup2(null, fd) >= 0);
	sh("nft flush ruleset");
	/* Chains, hooks: the old obstacle stays beside them. */
	wait_for(3, "policy drop");
	assert_non_null(find("nft chains cannot be read (Socket operation on non-socket)"));
	assert_true(must_find("netfilter hooks cannot be read").is_netfilter);
	assert_int_equal(wr_obstacles_look(b.o), -ENOTSOCK);
	assert_true(dup2(saved, fd) >= 0);
	close(saved);
	close(null);
	/* Without an event: the slow timer tries again. */
	wait_for(0, NULL);
}

/* A protocol that the kernel did not have at the start. */
static void test_late_protocol(void **state)
{
	(void)state;
	if (!b.o->ask.xfrm)
		skip();
	close_events(b.o, &b.o->xfrm);
	wr_nl_close(b.o->ask.xfrm);
	b.o->ask.xfrm = NULL;
	sh("ip xfrm policy add src 10.0.0.0/8 dst 11.0.0.0/8 dir fwd");
	assert_int_equal(wr_obstacles_look(b.o), 0);
	assert_int_equal(n_obstacles(), 0);
	b.is_hasty = true;
	wait_for(1, "1 IPsec policy");
	b.is_hasty = false;
	sh("ip xfrm policy flush");
	wait_for(0, NULL);
}

static void test_bypass(void **state)
{
	(void)state;
	close_bench();
	sh("nft 'add table ip t; add chain ip t c { type filter hook forward priority 0; policy "
	   "drop; }'; ip xfrm policy add src 10.0.0.0/8 dst 11.0.0.0/8 dir fwd");
	open_bench(true);
	assert_int_equal(n_obstacles(), 0);
	sh("ip rule add from 10.0.0.0/8 lookup 100");
	wait_for(1, "ip rule 32765 (from 10.0.0.0/8)");
	assert_false(must_find("ip rule").is_netfilter);
	close_bench();
	open_bench(false);
	assert_int_equal(n_obstacles(), 3);
}

static void test_iptables(void **state)
{
#define IPT "iptables-legacy "
	static const struct trial trials[] = {
		{IPT "-A FORWARD -j DROP",
		 "iptables-legacy table filter: chain FORWARD (1 rule, "
		 "policy accept); --bypass",
		 NULL, IPT "-F"},
		{IPT "-P FORWARD DROP", "chain FORWARD (0 rules, policy drop)", NULL,
		 IPT "-P FORWARD ACCEPT"},
		{IPT "-A INPUT -j DROP; " IPT "-N user; " IPT "-A user -j DROP", NULL, NULL,
		 IPT "-F; " IPT "-X"},
		{IPT "-t nat -A POSTROUTING -j MASQUERADE", "table nat: chain POSTROUTING (1 rule",
		 NULL, IPT "-t nat -F"},
		{IPT "-t mangle -A PREROUTING -j MARK --set-mark 1",
		 "table mangle: chain PREROUTING (1 rule", NULL, IPT "-t mangle -F"},
	};
#undef IPT
	(void)state;
	if (!has_command("iptables-legacy") || system("iptables-legacy -L >/dev/null 2>&1"))
		skip();
	b.is_hasty = true;
	try_all(trials, wr_array_size(trials));
	/* At the timer's own pace. */
	b.is_hasty = false;
	try_one(&trials[0]);
}

static void test_rules(void **state)
{
	static const struct trial trials[] = {
		{"ip rule add pref 100 from 10.0.0.0/8 to 11.1.0.0/16 lookup 100",
		 "ip rule 100 (from 10.0.0.0/8 to 11.1.0.0/16): ", NULL, "ip rule del pref 100"},
		{"ip rule add pref 100 lookup main", "ip rule 100 (from all): ", NULL,
		 "ip rule del pref 100"},
		{"ip rule add pref 100 iif lo lookup 100", NULL, NULL, "ip rule del pref 100"},
		{"ip rule add pref 100 not iif lo lookup 100", "ip rule 100 (not from all iif lo)",
		 NULL, "ip rule del pref 100"},
		{"ip rule add pref 100 fwmark 7 lookup 100", NULL, NULL, "ip rule del pref 100"},
		{"ip rule add pref 100 fwmark 0x10/0x0f lookup 100", "ip rule 100 (", NULL,
		 "ip rule del pref 100"},
		{"ip rule add pref 100 fwmark 0/0xff lookup 100", "ip rule 100 (", NULL,
		 "ip rule del pref 100"},
		{"ip rule add pref 100 not fwmark 7 lookup 100", "ip rule 100 (not", NULL,
		 "ip rule del pref 100"},
		{"ip rule add pref 100 ipproto tcp dport 80 prohibit", "ip rule 100 (", NULL,
		 "ip rule del pref 100"},
		{"ip rule add pref 100 tos 0x10 lookup 100", "ip rule 100 (", NULL,
		 "ip rule del pref 100"},
		{"ip rule add pref 100 iif va lookup 100", "ip rule 100 (from all iif va)", "va",
		 "ip rule del pref 100"},
		{"ip rule add pref 100 iif nosuch lookup 100", NULL, NULL, "ip rule del pref 100"},
		{"ip rule add pref 100 suppress_prefixlength 0 lookup main", "ip rule 100 (", NULL,
		 "ip rule del pref 100"},
		{"ip rule del pref 32766", "ip rule: the rule for table main is missing", NULL,
		 "ip rule add pref 32766 lookup main"},
		{"ip rule add pref 5 lookup local; ip rule del pref 5; ip rule del pref 0",
		 "the rule for table local is missing", NULL, "ip rule add pref 0 lookup local"},
		{"ip rule del pref 32767", NULL, NULL, "ip rule add pref 32767 lookup default"},
		{"ip -6 rule add pref 100 from all lookup 100", NULL, NULL,
		 "ip -6 rule del pref 100"},
		{"ip route add 10.9.0.0/16 dev va table default; ip route add 10.8.0.0/16 dev va "
		 "table default",
		 "2 routes in table default", NULL, "ip route flush table default"},
		{"ip route add 10.9.0.0/16 dev va; ip route add 10.9.0.0/16 dev va table 99", NULL,
		 NULL, "ip route flush table 99"},
	};

	(void)state;
	b.is_hasty = true; /* for the routes */
	try_all(trials, wr_array_size(trials));
}

/* A rule for an interface that comes later, and its part in other interfaces' reverse path
 * checks. */
static void test_rule_names(void **state)
{
	(void)state;
	sh("ip rule add pref 100 iif later lookup 100");
	turn_for_ms(200);
	assert_int_equal(n_obstacles(), 0);
	sh("ip link add later type veth peer name c");
	wait_for(1, "ip rule 100 (from all iif later)");
	assert_int_equal(must_find("ip rule").ifindex, index_of("later"));
	sh("sysctl -q net.ipv4.conf.va.rp_filter=1");
	wait_for(2, "takes part in va's reverse path check");
	assert_int_equal(must_find("takes part").ifindex, index_of("va"));
	sh("sysctl -q net.ipv4.conf.va.rp_filter=0 net.ipv4.conf.all.rp_filter=2");
	wait_for(2, "takes part in all's reverse path check");
	assert_int_equal(must_find("takes part").ifindex, 0);
	sh("ip link del later");
	wait_for(0, NULL);
}

static void test_xfrm(void **state)
{
#define ADD "ip xfrm policy add src 10.0.0.0/8 dst 11.1.0.0/16 dir "
#define FLUSH "ip xfrm policy flush"
	static const struct trial trials[] = {
		{ADD "fwd",
		 "1 IPsec policy of direction fwd or out, as fwd 10.0.0.0/8 to "
		 "11.1.0.0/16; --bypass",
		 NULL, FLUSH},
		{ADD "out", "as out 10.0.0.0/8", NULL, FLUSH},
		{ADD "out;" ADD "fwd", "2 IPsec policies", NULL, FLUSH},
		{ADD "in", NULL, NULL, FLUSH},
		{ADD "out if_id 7", NULL, NULL, FLUSH},
		{ADD "out mark 7 mask 0xff", NULL, NULL, FLUSH},
		{ADD "out mark 0 mask 0xff", "1 IPsec policy", NULL, FLUSH},
		{"ip xfrm policy add src 2001:db8::/32 dst ::/0 dir fwd", NULL, NULL, FLUSH},
		{"ip xfrm policy setdefault fwd block", "the default IPsec policy", NULL,
		 "ip xfrm policy setdefault fwd accept"},
	};
#undef ADD
#undef FLUSH
	(void)state;
	if (system("ip xfrm policy list >/dev/null 2>&1"))
		skip();
	try_all(trials, wr_array_size(trials));
}

static void test_tc(void **state)
{
#define FILTER(where) "tc filter add dev va " where " prio 1 u32 match u32 0 0 flowid 1:1"
	static const struct trial trials[] = {
		{"tc qdisc add dev va clsact", NULL, NULL, "tc qdisc del dev va clsact"},
		{"tc qdisc add dev va clsact; " FILTER("ingress"),
		 "tc filter at ingress of va; delete it", "va", "tc qdisc del dev va clsact"},
		{"tc qdisc add dev va clsact; " FILTER("egress"),
		 "tc filter at egress of va: ", NULL, "tc qdisc del dev va clsact"},
		{"tc qdisc add dev va ingress; " FILTER("parent ffff:"),
		 "tc filter at ingress of va", "va",
		 "tc filter del dev va parent ffff:; tc qdisc del dev va ingress"},
		{"tc qdisc add dev va ingress_block 7 clsact; "
		 "tc filter add block 7 prio 1 u32 match "
		 "u32 0 0 flowid 1:1",
		 "tc filter at ingress of va", "va", "tc qdisc del dev va clsact"},
		{"tc qdisc add dev va root handle 1: htb default 1", "tc qdisc htb on va (egress)",
		 NULL, "tc qdisc del dev va root"},
		{"tc qdisc add dev va root tbf rate 1mbit burst 10k latency 10ms",
		 "tc qdisc tbf on va", NULL, "tc qdisc del dev va root"},
		{"tc qdisc add dev va root pfifo limit 10", NULL, NULL, "tc qdisc del dev va root"},
		{"ip tuntap add weir17 mode tap; tc qdisc add dev weir17 clsact; tc filter add dev "
		 "weir17 ingress prio 1 u32 match u32 0 0 flowid 1:1",
		 NULL, NULL, "ip link del weir17"},
	};
#undef FILTER
	(void)state;
	try_all(trials, wr_array_size(trials));
}

static int load_pass_all(void)
{
	struct bpf_insn insns[] = {
		{.code = BPF_ALU64 | BPF_MOV | BPF_K, .dst_reg = 0, .imm = -1},
		{.code = BPF_JMP | BPF_EXIT},
	};
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.prog_type = BPF_PROG_TYPE_SCHED_CLS;
	attr.insns = (uint64_t)(uintptr_t)insns;
	attr.insn_cnt = wr_array_size(insns);
	attr.license = (uint64_t)(uintptr_t) "GPL";
	return (int)syscall(SYS_bpf, BPF_PROG_LOAD, &attr, sizeof(attr));
}

static int attach(int prog_fd, uint32_t ifindex, unsigned attach_type, int cmd)
{
	union bpf_attr attr;

	memset(&attr, 0, sizeof(attr));
	attr.target_fd = ifindex;
	attr.attach_bpf_fd = (uint32_t)prog_fd;
	attr.attach_type = attach_type;
	return (int)syscall(SYS_bpf, cmd, &attr, sizeof(attr));
}

static void test_tcx(void **state)
{
	enum { INGRESS = 46, EGRESS = 47 };
	int prog = load_pass_all();

	(void)state;
	if (prog < 0 || attach(prog, index_of("va"), INGRESS, BPF_PROG_ATTACH)) {
		if (prog >= 0)
			close(prog);
		skip();
	}
	wait_for(1, "tc program (tcx) at ingress of va");
	assert_int_equal(must_find("tcx").ifindex, index_of("va"));
	assert_int_equal(attach(prog, index_of("va"), INGRESS, BPF_PROG_DETACH), 0);
	assert_int_equal(attach(prog, index_of("vb"), EGRESS, BPF_PROG_ATTACH), 0);
	wait_for(1, "tc program (tcx) at egress of vb");
	assert_int_equal(must_find("tcx").ifindex, 0);
	assert_int_equal(attach(prog, index_of("vb"), EGRESS, BPF_PROG_DETACH), 0);
	close(prog);
	wait_for(0, NULL);
}

static void test_sentences(void **state)
{
	static struct obst_list list;
	char longer[400];

	(void)state;
	wr_obst_add(&list, 3, true, "a\x1b[2J\nb");
	wr_obst_add(&list, 3, true, "a\x1b[2J\nb");
	assert_int_equal(list.n, 1);
	assert_string_equal(list.items[0].sentence, "a?[2J?b");
	wr_obst_add(&list, 4, true, "a\x1b[2J\nb");
	assert_int_equal(list.n, 2);
	memset(longer, 'x', sizeof(longer));
	longer[sizeof(longer) - 1] = '\0';
	wr_obst_add(&list, 0, false, "%s", longer);
	assert_int_equal(strlen(list.items[2].sentence), sizeof(list.items[2].sentence) - 1);
	for (unsigned i = 0; i < OBST_MAX; i++)
		wr_obst_add(&list, i, true, "y");
	assert_int_equal(list.n, OBST_MAX);
	assert_int_equal(list.n_more, 3);
	assert_false(list.is_more_other);
	wr_obst_add(&list, 0, false, "z");
	assert_true(list.is_more_other);
}

static void test_equal_sets(void **state)
{
	const struct obstacle one = {1, true, "one", 0}, two = {2, false, "two", 0},
			      other = {2, true, "two", 0};
	const struct obstacle x[] = {one, two}, y[] = {two, one}, z[] = {one, other};

	(void)state;
	assert_true(is_equal_set(x, 2, y, 2));
	assert_false(is_equal_set(x, 2, z, 2));
	assert_false(is_equal_set(x, 2, x, 1));
	assert_true(is_equal_set(x, 0, y, 0));
}

int main(void)
{
	static const struct CMUnitTest anywhere[] = {
		cmocka_unit_test(test_sentences),
		cmocka_unit_test(test_equal_sets),
	};
#define LIVE(f) cmocka_unit_test_setup_teardown(f, setup, teardown)
	static const struct CMUnitTest live[] = {
		LIVE(test_pristine),   LIVE(test_nft),         LIVE(test_nft_devices),
		LIVE(test_burst),      LIVE(test_lost_events), LIVE(test_limit),
		LIVE(test_unreadable), LIVE(test_bypass),      LIVE(test_late_protocol),
		LIVE(test_iptables),   LIVE(test_rules),       LIVE(test_rule_names),
		LIVE(test_xfrm),       LIVE(test_tc),          LIVE(test_tcx),
	};
	int err = cmocka_run_group_tests(anywhere, NULL, NULL);

	if (err)
		return err;
	/* A /run of our own, for the lock of iptables; nothing is mounted outside. */
	if (geteuid() || unshare(CLONE_NEWNET | CLONE_NEWNS) ||
	    mount("", "/", "", MS_REC | MS_PRIVATE, NULL) ||
	    mount("tmpfs", "/run", "tmpfs", 0, NULL)) {
		puts("skip: the kernel's part needs root");
		return 77;
	}
	if (!has_command("nft") || !has_command("ip") || !has_command("tc")) {
		puts("skip: needs nft, ip and tc");
		return 77;
	}
	return cmocka_run_group_tests(live, NULL, NULL);
}
