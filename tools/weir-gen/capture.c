/* SPDX-License-Identifier: BSD-3-Clause */
#include "tools/weir-gen/capture.h"

#include "lib/sys/clock.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdlib.h>
#include <string.h>

void wr_capture_fini(struct capture *capture)
{
	free(capture->frames);
	free(capture->bytes);
	memset(capture, 0, sizeof(*capture));
}

/* Room for one frame more, of `len` bytes. */
static int grow(struct capture *capture, uint32_t len)
{
	if (capture->n_frames == capture->max_frames) {
		const uint32_t max = capture->max_frames * 2 + 1024;
		struct captured *frames = reallocarray(capture->frames, max, sizeof(*frames));

		if (!frames)
			return -ENOMEM;
		capture->frames = frames;
		capture->max_frames = max;
	}
	if (capture->n_bytes + len > capture->max_bytes) {
		const uint64_t max = capture->max_bytes * 2 + len + (1 << 20);
		uint8_t *bytes = realloc(capture->bytes, max);

		if (!bytes)
			return -ENOMEM;
		capture->bytes = bytes;
		capture->max_bytes = max;
	}
	return 0;
}

/* `at_ns`: of the clock of the capture. */
static int add_frame(struct capture *capture, const uint8_t *bytes, uint32_t len, uint64_t at_ns,
		     uint64_t *first_ns)
{
	const struct captured *last;
	int rc = grow(capture, len);

	if (rc)
		return rc;
	last = capture->n_frames ? &capture->frames[capture->n_frames - 1] : NULL;
	if (!last)
		*first_ns = at_ns;
	at_ns = at_ns > *first_ns ? at_ns - *first_ns : 0;
	if (last && at_ns < last->at_ns)
		at_ns = last->at_ns;
	memcpy(capture->bytes + capture->n_bytes, bytes, len);
	capture->frames[capture->n_frames++] =
		(struct captured){.at_ns = at_ns, .offset = capture->n_bytes, .len = len};
	capture->n_bytes += len;
	return 0;
}

static int read_frames(const char *path, pcap_t *pcap, struct capture *capture, struct wr_err *err)
{
	struct pcap_pkthdr *header;
	const uint8_t *bytes;
	uint64_t first_ns = 0;
	int rc;

	while ((rc = pcap_next_ex(pcap, &header, &bytes)) == 1) {
		const uint64_t at_ns = (uint64_t)header->ts.tv_sec * WR_NS_PER_S +
				       (uint64_t)header->ts.tv_usec; /* nanoseconds */

		if (header->caplen < header->len || !header->len) {
			capture->n_cut++;
			continue;
		}
		if (capture->n_bytes + header->caplen > CAPTURE_MAX_BYTES)
			return wr_err(err, -EFBIG,
				      "%s: more than %llu GiB: replay it in parts, see editcap -c",
				      path, (unsigned long long)(CAPTURE_MAX_BYTES >> 30));
		if (add_frame(capture, bytes, header->caplen, at_ns, &first_ns))
			return wr_err(err, -ENOMEM, "%s: out of memory: replay it in parts", path);
	}
	if (rc != PCAP_ERROR_BREAK)
		return wr_err(err, -EINVAL, "%s: frame %u cannot be read: %s", path,
			      capture->n_frames + 1, pcap_geterr(pcap));
	return 0;
}

static int read_all(const char *path, pcap_t *pcap, struct capture *capture, struct wr_err *err)
{
	const int link = pcap_datalink(pcap);
	int rc;

	if (link != DLT_EN10MB)
		return wr_err(err, -EINVAL,
			      "%s: link type %s: only captures of Ethernet can be replayed", path,
			      pcap_datalink_val_to_name(link) ? pcap_datalink_val_to_name(link)
							      : "unknown");
	rc = read_frames(path, pcap, capture, err);
	if (!rc && !capture->n_frames)
		rc = wr_err(err, -ENODATA, "%s: no frame that is whole in it (%llu cut)", path,
			    (unsigned long long)capture->n_cut);
	return rc;
}

int wr_capture_read(const char *path, struct capture *ret_capture, struct wr_err *err)
{
	char why[PCAP_ERRBUF_SIZE] = "";
	struct capture capture = {.n_frames = 0};
	pcap_t *pcap =
		pcap_open_offline_with_tstamp_precision(path, PCAP_TSTAMP_PRECISION_NANO, why);
	int rc;

	if (!pcap)
		return wr_err(err, -EINVAL, "%s: not a capture that can be read: %s", path, why);
	rc = read_all(path, pcap, &capture, err);
	pcap_close(pcap);
	if (rc)
		wr_capture_fini(&capture);
	else
		*ret_capture = capture;
	return rc;
}
