/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Takes the first receive queues of an interface by AF_XDP, as another program would, and keeps
 * them until SIGTERM.
 *
 *   taker READY_FILE IF [QUEUES]
 */
#include "lib/port/port.h"

#include <fcntl.h>
#include <net/if.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

enum { N_FRAMES = 256, N_DESCS = 64 };

int main(int argc, char **argv)
{
	const struct umem_conf memory = {.n_frames = N_FRAMES, .frame_bytes = 2048};
	struct af_xdp_conf conf = {.n_queues = 1, .rx_descs = N_DESCS, .tx_descs = N_DESCS};
	struct wr_err err = {.text = ""};
	struct umem *umem;
	struct port *port;
	int fd;

	if (argc < 3 || argc > 4) {
		fputs("usage: taker READY_FILE IF [QUEUES]\n", stderr);
		return 2;
	}
	conf.ifname = argv[2];
	conf.ifindex = if_nametoindex(argv[2]);
	if (argc == 4)
		conf.n_queues = (uint16_t)atoi(argv[3]);
	if (wr_umem_create(&memory, &umem, &err) || wr_port_af_xdp_open(umem, &conf, &port, &err)) {
		fprintf(stderr, "taker: %s\n", err.text);
		return 1;
	}
	fd = open(argv[1], O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
	if (fd < 0) {
		perror(argv[1]);
		return 1;
	}
	close(fd);
	pause();
	return 0;
}
