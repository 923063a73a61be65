# SPDX-License-Identifier: BSD-3-Clause
#
# Samples of tests/bench/lib.sh to Markdown: a table each, in the order of their declaration. A cell
# is the median over the rounds; the table's own metric has its least and greatest beside it, and the
# ratio to each row of reference, round by round.

BEGIN {
	FS = "\t"
}

$1 == "table" && !($2 in title) {
	name[++n_tables] = $2
	metric[$2] = $3
	title[$2] = $4
	for (i = 5; i <= NF; i++)
		reference[$2, ++n_references[$2]] = $i
}

$1 == "note" || $1 == "text" {
	lines[$2, $1] = lines[$2, $1] $3 "\n"
}

$1 == "sample" {
	if (!(($2, $3) in row_seen)) {
		row_seen[$2, $3] = 1
		row[$2, ++n_rows[$2]] = $3
	}
	if ($5 != metric[$2] && !(($2, $5) in column_seen)) {
		column_seen[$2, $5] = 1
		column[$2, ++n_columns[$2]] = $5
	}
	if ($4 + 0 > n_rounds[$2])
		n_rounds[$2] = $4 + 0
	value[$2, $3, $4, $5] = $6
}

# Numbers in `list`, by insertion; sets `least` and `greatest`.
function median(list, n,    i, j, t) {
	for (i = 2; i <= n; i++)
		for (j = i; j > 1 && list[j - 1] + 0 > list[j] + 0; j--) {
			t = list[j]
			list[j] = list[j - 1]
			list[j - 1] = t
		}
	least = list[1]
	greatest = list[n]
	return n % 2 ? list[(n + 1) / 2] : tidy((list[n / 2] + list[n / 2 + 1]) / 2)
}

function tidy(number) {
	return sprintf("%.4g", number) + 0 >= 1000 ? sprintf("%.0f", number) : sprintf("%.4g", number)
}

# The median of a row's metric; words are listed once each.
function cell(table, r, m,    list, words, n, i, v) {
	for (i = 1; i <= n_rounds[table]; i++) {
		if (!((table, r, i, m) in value))
			continue
		v = value[table, r, i, m]
		if (v !~ /^-?[0-9.]+$/) {
			if (index(words, v) == 0)
				words = words (words ? ", " : "") v
			continue
		}
		list[++n] = v
	}
	if (words || !n) {
		least = greatest = ""
		return words ? words : "-"
	}
	return median(list, n)
}

function ratio(table, r, reference, m,    list, n, i, v, base) {
	for (i = 1; i <= n_rounds[table]; i++) {
		v = value[table, r, i, m]
		base = value[table, reference, i, m]
		if (base > 0 && v != "")
			list[++n] = v / base
	}
	return n ? sprintf("%.2f", median(list, n)) : "-"
}

function print_table(t,    i, k, head, rule, line) {
	head = "| | " metric[t] " | spread |"
	rule = "| --- | --: | --: |"
	for (k = 1; k <= n_references[t]; k++) {
		head = head " / " reference[t, k] " |"
		rule = rule " --: |"
	}
	for (k = 1; k <= n_columns[t]; k++) {
		head = head " " column[t, k] " |"
		rule = rule " --: |"
	}
	print head
	print rule
	for (i = 1; i <= n_rows[t]; i++) {
		line = "| " row[t, i] " | " cell(t, row[t, i], metric[t]) " | " least ".." greatest " |"
		for (k = 1; k <= n_references[t]; k++)
			line = line " " ratio(t, row[t, i], reference[t, k], metric[t]) " |"
		for (k = 1; k <= n_columns[t]; k++)
			line = line " " cell(t, row[t, i], column[t, k]) " |"
		print line
	}
	printf "\n%d round%s.\n", n_rounds[t], n_rounds[t] == 1 ? "" : "s"
}

END {
	for (i = 1; i <= n_tables; i++) {
		t = name[i]
		printf "\n## %s\n\n", title[t]
		if (n_rows[t])
			print_table(t)
		if ((t, "text") in lines)
			printf "```\n%s```\n", lines[t, "text"]
		if ((t, "note") in lines)
			printf "\n%s", lines[t, "note"]
	}
}
