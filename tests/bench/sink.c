/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Counts the frames that arrive at a port, or sends them back.
 *
 *   sink IFNAME MILLISECONDS   waits for the first frame, lets things settle, counts for so long
 *                              and prints "MPPS WHAT" (routed, bridged, bad, mixed or none)
 *   sink -e IFNAME             echoes UDP until SIGTERM
 */
#include "tests/bench/bench.h"
#include "tests/bench/traffic.h"

#include <bpf/bpf.h>
#include <bpf/libbpf.h>
#include <net/if.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

/* after the types that it names */
#include "sink.skel.h"

enum {
	MAX_CPUS = 1024,
	PATIENCE_MS = 3000, /* for the first frame */
	SETTLE_MS = 200,
};

struct counts {
	uint64_t n_frames, n_routed, n_bridged, n_bad;
};

struct sink {
	struct sink_bpf *skel;
	unsigned ifindex;
};

static void sleep_ms(unsigned ms)
{
	usleep(ms * 1000);
}

static void load(struct sink *s, const char *ifname)
{
	struct ifreq ifr = {.ifr_name = ""};
	int fd = socket(AF_INET, SOCK_DGRAM, 0);

	s->skel = sink_bpf__open();
	if (!s->skel)
		die("sink.bpf.o");
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", ifname);
	if (fd < 0 || ioctl(fd, SIOCGIFHWADDR, &ifr) < 0)
		die(ifname);
	close(fd);
	memcpy(s->skel->rodata->own_mac, ifr.ifr_hwaddr.sa_data, ETH_ALEN);
	if (sink_bpf__load(s->skel))
		die("sink.bpf.o");
	s->ifindex = if_nametoindex(ifname);
}

static void attach(const struct sink *s, const struct bpf_program *program)
{
	int rc = bpf_xdp_attach((int)s->ifindex, bpf_program__fd(program), 0, NULL);

	if (rc) {
		errno = -rc;
		die("attach");
	}
}

static struct counts read_counts(const struct sink *s)
{
	static struct counts of_cpu[MAX_CPUS];
	struct counts sum = {0};
	uint32_t zero = 0;

	if (bpf_map_lookup_elem(bpf_map__fd(s->skel->maps.counts), &zero, of_cpu))
		die("counts");
	for (int i = 0; i < libbpf_num_possible_cpus() && i < MAX_CPUS; i++) {
		sum.n_frames += of_cpu[i].n_frames;
		sum.n_routed += of_cpu[i].n_routed;
		sum.n_bridged += of_cpu[i].n_bridged;
		sum.n_bad += of_cpu[i].n_bad;
	}
	return sum;
}

static const char *what_came(const struct counts *c)
{
	if (c->n_bad)
		return "bad";
	if (c->n_routed && c->n_bridged)
		return "mixed";
	if (c->n_routed)
		return "routed";
	return c->n_bridged ? "bridged" : "none";
}

static void measure(const struct sink *s, unsigned ms)
{
	struct counts start = {0}, end;
	uint64_t start_ns;

	for (unsigned waited = 0; waited < PATIENCE_MS && !start.n_frames; waited++) {
		sleep_ms(1);
		start = read_counts(s);
	}
	sleep_ms(SETTLE_MS);
	start = read_counts(s);
	start_ns = now_ns();
	sleep_ms(ms);
	end = read_counts(s);
	printf("%.4f %s\n",
	       (double)(end.n_frames - start.n_frames) * 1e3 / (double)(now_ns() - start_ns),
	       what_came(&end));
}

int main(int argc, char **argv)
{
	struct sink s = {0};

	if (argc != 3)
		usage("sink IFNAME MILLISECONDS | sink -e IFNAME");
	if (!strcmp(argv[1], "-e")) {
		load(&s, argv[2]);
		attach(&s, s.skel->progs.echo);
		end_on_signals();
		while (!must_end)
			pause();
	} else {
		load(&s, argv[1]);
		attach(&s, s.skel->progs.sink);
		measure(&s, (unsigned)number(argv[2]));
	}
	(void)bpf_xdp_detach((int)s.ifindex, 0, NULL);
	sink_bpf__destroy(s.skel);
	return 0;
}
