/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Bytes as a file of settings: read or refused with a sentence that names the line, and never half
 * taken.
 */
#include "cnet/conf.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n);

static void check(void *arg, const struct conf_item *item)
{
	(void)arg;
	if (!item->value || (!*item->value && *item->range))
		abort(); /* a number, switch or choice without a value */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n)
{
	int fd = memfd_create("settings", MFD_CLOEXEC);
	struct wr_err err = {.text = ""};
	struct conf conf;
	char path[32];
	int rc;

	snprintf(path, sizeof(path), "/proc/self/fd/%d", fd);
	if (fd < 0 || write(fd, data, n) != (ssize_t)n)
		abort();
	wr_conf_init(&conf);
	rc = wr_conf_load(&conf, path, &err);
	if (rc && strncmp(err.text, path, strlen(path)) != 0)
		abort(); /* the sentence must begin with the file */
	if (conf.n_ports > WR_MAX_PORTS)
		abort();
	wr_conf_each(&conf, check, NULL);
	close(fd);
	return 0;
}
