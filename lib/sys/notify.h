/* SPDX-License-Identifier: BSD-3-Clause */
/* sd_notify(3)'s protocol: one datagram of text to $NOTIFY_SOCKET. */
#ifndef WR_SYS_NOTIFY_H
#define WR_SYS_NOTIFY_H

/* Tells the service manager `state` ("READY=1\nSTATUS=..."); does nothing where there is none. 0, 1
 * if told, or -errno. */
int wr_notify(const char *state);

#endif
