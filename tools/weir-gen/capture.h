/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * A capture file for replaying: read whole into memory by libpcap (pcap and pcapng), so that
 * sending it again and again needs no disk. Frames that the capture had cut are left out and
 * counted: what they were is not known.
 */
#ifndef WR_GEN_CAPTURE_H
#define WR_GEN_CAPTURE_H

#include "lib/base/err.h"

#define CAPTURE_MAX_BYTES (UINT64_C(4) << 30)

struct captured {
	uint64_t at_ns; /* after the first one; never before the one before it */
	uint64_t offset;
	uint32_t len;
};

struct capture {
	struct captured *frames;
	uint32_t n_frames, max_frames;
	uint64_t n_cut;   /* left out: not whole in the file */
	uint64_t n_bytes; /* of all frames */
	uint64_t max_bytes;
	uint8_t *bytes;
};

/* -errno and a sentence: not a capture, not of Ethernet, empty, too large. */
int wr_capture_read(const char *path, struct capture *ret_capture, struct wr_err *);
void wr_capture_fini(struct capture *);

#endif
