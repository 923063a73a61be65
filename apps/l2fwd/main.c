/* SPDX-License-Identifier: BSD-3-Clause */
/* l2fwd PORT PORT...: of each pair, what comes in by one port leaves by the other, unchanged. */
#include <stdio.h>
#include <weir/port.h>

enum { POLL_NS = 10000000 };

int main(int argc, char **argv)
{
	const unsigned n_ports = (unsigned)argc - 1;
	struct weir_packet *packets[WEIR_BURST];
	struct weir_queue *queues[WEIR_IO_PORTS];
	struct weir_error error = {"usage: l2fwd PORT PORT..."};
	struct weir_io *io;
	int rc = n_ports % 2 ? -1 : 0;

	if (!rc)
		rc = weir_io_open((const char *const *)argv + 1, n_ports, NULL, &io, &error);
	if (rc) {
		fprintf(stderr, "%s\n", error.text);
		return 1;
	}
	for (unsigned i = 0; i < n_ports; i++)
		queues[i] = weir_io_queue(io, i, 0);
	for (unsigned i = 0; i < n_ports; i++)
		while (!weir_io_is_connected(io, i))
			weir_wait(queues, n_ports, POLL_NS);
	while (rc >= 0) {
		unsigned n_all = 0;

		for (unsigned i = 0; i < n_ports; i++) {
			unsigned n = weir_rx(queues[i], packets, WEIR_BURST);

			weir_tx(queues[i ^ 1], packets, n);
			n_all += n;
		}
		if (!n_all)
			rc = weir_wait(queues, n_ports, -1);
	}
	weir_io_close(io);
	return 0;
}
