/* SPDX-License-Identifier: BSD-3-Clause */
/* l2fwd PORT PORT: what comes in by one port leaves by the other, unchanged. */
#include <stdio.h>
#include <weir/port.h>

int main(int argc, char **argv)
{
	const char *const *names = (const char *const *)argv + 1;
	struct weir_packet *packets[WEIR_BURST];
	struct weir_queue *queues[2];
	struct weir_error error;
	struct weir_io *io;
	int rc = argc == 3 ? weir_io_open(names, 2, NULL, &io, &error) : -1;

	if (rc) {
		fprintf(stderr, "%s\n", argc == 3 ? error.text : "usage: l2fwd PORT PORT");
		return 1;
	}
	for (unsigned i = 0; i < 2; i++)
		queues[i] = weir_io_queue(io, i, 0);
	while (rc >= 0) {
		unsigned n_all = 0;

		for (unsigned i = 0; i < 2; i++) {
			unsigned n = weir_rx(queues[i], packets, WEIR_BURST);

			weir_tx(queues[!i], packets, n);
			n_all += n;
		}
		if (!n_all)
			rc = weir_wait(queues, 2, -1);
	}
	weir_io_close(io);
	return 0;
}
