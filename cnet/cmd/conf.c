/* SPDX-License-Identifier: BSD-3-Clause */
#include "cnet/cmd/cmd.h"

#include <stdlib.h>

static json_t *value(const struct conf_item *item)
{
	char *end;
	json_int_t number = strtoll(item->value, &end, 10);

	return *item->value && !*end ? json_integer(number) : wr_cmd_text(item->value);
}

static void add_row(void *arg, const struct conf_item *item)
{
	static const char *const origins[] = {
		[CONF_FROM_DEFAULT] = "default",
		[CONF_FROM_FILE] = "file",
		[CONF_FROM_COMMAND_LINE] = "command line",
	};
	json_t *row = json_object();

	json_object_set_new(row, "name", json_string(item->name));
	json_object_set_new(row, "value", value(item));
	json_object_set_new(row, "from", json_string(origins[item->origin]));
	json_object_set_new(row, "default", json_string(item->fallback));
	json_object_set_new(row, "range", json_string(item->range));
	json_object_set_new(row, "unit", json_string(item->unit));
	json_object_set_new(row, "text", json_string(item->text));
	wr_req_reply_row(arg, row);
}

int wr_cmd_conf_show(const struct cmd *cmd)
{
	int rc = wr_cmd_no_more(cmd, 0);

	if (rc)
		return rc;
	wr_req_reply_list(cmd->reply);
	wr_conf_each(&cmd->weir->conf, add_row, cmd->reply);
	return 0;
}
