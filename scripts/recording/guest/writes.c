/*
 * semantics/writes.tsv: one write(2) a row, with what the file said before and after. Where that changed,
 * the old content is written back. The table names folders, their payloads, and files with which large
 * payloads would take the machine's memory; see guest/write_table.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <fnmatch.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MOST 128

static const char *payloads[MOST], *costly[MOST];
static int is_large[MOST];
static int payload_count, costly_count;

struct content {
	char bytes[8192];
	ssize_t length; /* -1: unreadable */
	int error;
};

static void get(const char *path, struct content *content)
{
	content->length = read_file(path, content->bytes, sizeof content->bytes);
	content->error = errno;
}

static int is_same(const struct content *a, const struct content *b)
{
	return a->length == b->length && (a->length < 0 || !memcmp(a->bytes, b->bytes, (size_t)a->length));
}

static void print_content(const struct content *content)
{
	if (content->length < 0)
		printf("!%s", error_name(content->error));
	else
		print_escaped(content->bytes, (size_t)content->length);
}

static int matches(const char *path, const char *const *patterns, int count)
{
	for (int i = 0; i < count; i++)
		if (fnmatch(patterns[i], path, 0) == 0)
			return 1;
	return 0;
}

/* Prints open, ret and err. */
static void print_write(const char *path, const char *bytes, size_t length)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0) {
		printf("\topen=%s\tret=-1\terr=0", error_name(errno));
		return;
	}
	ssize_t done = write(fd, bytes, length);

	printf("\topen=0\tret=%zd\terr=%s", done, error_name(done < 0 ? errno : 0));
	close(fd);
}

static const char *restored(const char *path, const struct content *before, const struct content *after)
{
	struct content now;
	int fd;

	if (before->length < 0 || is_same(before, after))
		return "-";
	fd = open(path, O_WRONLY);
	if (fd >= 0) {
		ssize_t done = write(fd, before->bytes, (size_t)before->length);

		(void)done; /* what the file says now tells */
		close(fd);
	}
	get(path, &now);
	return is_same(before, &now) ? "restored" : "NOT-RESTORED";
}

static void row(const char *path, const char *escaped)
{
	static struct content before, after;
	char bytes[512];

	snprintf(bytes, sizeof bytes, "%s", escaped);
	size_t length = unescape(bytes);

	get(path, &before);
	printf("%s\t", path);
	print_escaped(bytes, length);
	print_write(path, bytes, length);
	get(path, &after);
	fputs("\tbefore=", stdout);
	print_content(&before);
	fputs("\tafter=", stdout);
	if (before.length >= 0 && is_same(&before, &after))
		putchar('=');
	else
		print_content(&after);
	printf("\t%s\n", restored(path, &before, &after));
}

static void rows_of(const char *path)
{
	struct stat status;
	int dear = matches(path, costly, costly_count);

	if (stat(path, &status) < 0 || !(status.st_mode & 0222))
		return;
	for (int i = 0; i < payload_count; i++)
		if (!(is_large[i] && dear))
			row(path, payloads[i]);
}

static void add_payload(const char *escaped, int large_one)
{
	is_large[payload_count] = large_one;
	payloads[payload_count++] = escaped;
}

static void obey(const char *word, const char *rest)
{
	if (payload_count == MOST || costly_count == MOST)
		die("the table of writes");
	if (!strcmp(word, "payload"))
		add_payload(rest, 0);
	else if (!strcmp(word, "large"))
		add_payload(rest, 1);
	else if (!strcmp(word, "costly"))
		costly[costly_count++] = rest;
	else if (!strcmp(word, "below")) {
		for_each_file(rest, rows_of);
		payload_count = 0;
	} else {
		errno = EINVAL;
		die(word);
	}
}

void print_writes(const char *table)
{
	static char text[16 << 10];

	if (read_file(table, text, sizeof text - 1) < 0)
		die(table);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
		char *rest = strchr(line, ' ');

		if (line[0] == '#')
			continue;
		if (rest)
			*rest++ = 0;
		obey(line, rest ? rest : "");
	}
}
