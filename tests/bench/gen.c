/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Sends as many small UDP packets as it can, until SIGTERM.
 *
 *   gen [-f FLOWS] [-r ROUTES] IFNAME DESTINATION_MAC
 */
#include "tests/bench/bench.h"
#include "tests/bench/traffic.h"

#include <arpa/inet.h>
#include <bpf/bpf.h>
#include <net/if.h>
#include <netinet/ether.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* after the types that it names */
#include "gen.skel.h"

enum {
	BATCH = 64,           /* frames a flush */
	TURN_FRAMES = 1 << 16 /* frames a system call: signals are seen in between */
};

static void read_mac(const char *ifname, uint8_t *ret_mac)
{
	struct ifreq ifr = {.ifr_name = ""};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		die(ifname);
	memcpy(ret_mac, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
	close(fd);
}

static uint16_t fold(uint32_t sum)
{
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)((sum & 0xffff) + (sum >> 16));
}

static void make_model(struct headers *h, const uint8_t *dst_mac, const char *ifname)
{
	const uint16_t ip_bytes = FRAME_BYTES - sizeof(h->eth);
	uint16_t words[sizeof(h->ip) / 2];
	uint32_t sum = 0;

	*h = (struct headers){
		.eth.h_proto = htons(ETH_P_IP),
		.ip = {.version = 4,
		       .ihl = sizeof(h->ip) / 4,
		       .ttl = TTL_SENT,
		       .protocol = IPPROTO_UDP,
		       .tot_len = htons(ip_bytes),
		       .saddr = htonl(SRC_ADDR)},
		.udp = {.dest = htons(PORT_DISCARD), .len = htons(ip_bytes - sizeof(h->ip))},
	};
	memcpy(h->eth.h_dest, dst_mac, ETH_ALEN);
	read_mac(ifname, h->eth.h_source);
	memcpy(words, &h->ip, sizeof(words));
	for (unsigned i = 0; i < sizeof(words) / sizeof(words[0]); i++)
		sum += words[i];
	h->ip.check = fold(sum);
}

static void send_all(int prog_fd, const char *ifname)
{
	uint8_t frame[FRAME_BYTES] = {0};
	struct xdp_md ctx = {.data_end = sizeof(frame), .ingress_ifindex = if_nametoindex(ifname)};
	LIBBPF_OPTS(bpf_test_run_opts, run, .data_in = frame, .data_size_in = sizeof(frame),
		    .ctx_in = &ctx, .ctx_size_in = sizeof(ctx), .flags = BPF_F_TEST_XDP_LIVE_FRAMES,
		    .repeat = TURN_FRAMES, .batch_size = BATCH);

	while (!must_end) {
		int rc = bpf_prog_test_run_opts(prog_fd, &run);

		if (rc && rc != -EINTR && rc != -EAGAIN) {
			errno = -rc;
			die("BPF_PROG_TEST_RUN");
		}
	}
}

int main(int argc, char **argv)
{
	struct gen_bpf *skel = gen_bpf__open();
	const struct ether_addr *dst_mac;
	int opt;

	if (!skel)
		die("gen.bpf.o");
	while ((opt = getopt(argc, argv, "f:r:")) != -1) {
		if (opt == 'f')
			skel->rodata->n_flows = (uint32_t)number(optarg);
		else if (opt == 'r')
			skel->rodata->n_routes = (uint32_t)number(optarg);
		else
			usage("gen [-f FLOWS] [-r ROUTES] IFNAME DESTINATION_MAC");
	}
	dst_mac = argc - optind == 2 ? ether_aton(argv[optind + 1]) : NULL;
	if (!dst_mac)
		usage("gen [-f FLOWS] [-r ROUTES] IFNAME DESTINATION_MAC");
	skel->rodata->ifindex = if_nametoindex(argv[optind]);
	make_model(&skel->bss->model, dst_mac->ether_addr_octet, argv[optind]);
	if (gen_bpf__load(skel))
		die("gen.bpf.o");
	end_on_signals();
	send_all(bpf_program__fd(skel->progs.gen), argv[optind]);
	printf("%llu\n", (unsigned long long)skel->bss->n_sent);
	gen_bpf__destroy(skel);
	return 0;
}
