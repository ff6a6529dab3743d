/* meta/: what does not change from step to step, and the kernel's log. */
#include "probe.h"

#include <ctype.h>
#include <dirent.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/klog.h>
#include <sys/stat.h>
#include <unistd.h>

#define SLAB "/sys/kernel/slab"
#define NODE0 "/sys/devices/system/node/node0"
#define READ_CLEAR 4 /* SYSLOG_ACTION_READ_CLEAR */

/* What lies deeper in a folder of /proc/sys has nothing to do with memory. */
static const struct {
	const char *path;
	int is_deep;
} FOLDERS[] = {
	{ "/proc/sys/fs", 0 }, { "/proc/sys/kernel", 0 }, { "/proc/sys/vm", 0 },
	{ "/sys/devices/system/node", 1 }, { "/sys/kernel/mm", 1 },
};
static const char *const FILES[] = {
	"meminfo", "zoneinfo", "buddyinfo", "pagetypeinfo", "vmstat", "slabinfo", "swaps", "stat", "loadavg",
	"uptime", "version", "cmdline", "cpuinfo", "filesystems", "iomem", "vmallocinfo", "kmsg", "kcore",
	"sysrq-trigger", "self",
};
static const char *const SYS_FILES[] = {
	"cpu/online", "cpu/possible", "cpu/present", "memory/auto_online_blocks", "memory/block_size_bytes",
};
/* Key in slab-geometry.txt, and the file that has it. */
static const char *const GEOMETRY[][2] = {
	{ "object_size", "object_size" }, { "slab_size", "slab_size" }, { "objs_per_slab", "objs_per_slab" },
	{ "order", "order" }, { "align", "align" }, { "reclaim", "reclaim_account" },
	{ "min_partial", "min_partial" }, { "cpu_partial", "cpu_partial" },
};

static void for_each_entry(const char *folder, void (*visit)(const char *folder, const char *name))
{
	struct dirent **entries;
	int count = scandir(folder, &entries, NULL, alphasort);

	for (int i = 0; i < count; i++) {
		if (entries[i]->d_name[0] != '.')
			visit(folder, entries[i]->d_name);
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

static const char *kind(const struct stat *status)
{
	if (S_ISDIR(status->st_mode))
		return "directory";
	if (S_ISLNK(status->st_mode))
		return "symbolic link";
	return status->st_size ? "regular file" : "regular empty file";
}

static void print_mode(const char *path)
{
	struct stat status;

	if (lstat(path, &status) == 0)
		printf("%o %s %s\n", status.st_mode & 07777, kind(&status), path);
}

static void print_mode_in(const char *folder, const char *name)
{
	char path[512];

	snprintf(path, sizeof path, "%s/%s", folder, name);
	print_mode(path);
}

static void print_modes_below(const char *folder, const char *name)
{
	char path[512];
	struct stat status;

	if (!strcmp(name, "power") || fnmatch("memory[0-9]*", name, 0) == 0)
		return;
	print_mode_in(folder, name);
	snprintf(path, sizeof path, "%s/%s", folder, name);
	if (lstat(path, &status) == 0 && S_ISDIR(status.st_mode))
		for_each_entry(path, print_modes_below);
}

static void print_modes(const char *unused)
{
	(void)unused;
	for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS; i++) {
		print_mode(FOLDERS[i].path);
		for_each_entry(FOLDERS[i].path, FOLDERS[i].is_deep ? print_modes_below : print_mode_in);
	}
	for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++) {
		char path[64];

		snprintf(path, sizeof path, "/proc/%s", FILES[i]);
		print_mode(path);
	}
}

static void print_alias(const char *folder, const char *name)
{
	char path[512], target[512];
	ssize_t length;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	length = readlink(path, target, sizeof target - 1);
	if (length < 0)
		printf("%s  \n", name);
	else
		printf("%s -> %.*s\n", name, (int)length, target);
}

static void print_geometry(const char *folder, const char *name)
{
	char path[512];
	struct stat status;

	snprintf(path, sizeof path, "%s/%s", folder, name);
	if (lstat(path, &status) < 0 || !S_ISDIR(status.st_mode))
		return;
	fputs(name, stdout);
	for (size_t i = 0; i < sizeof GEOMETRY / sizeof *GEOMETRY; i++) {
		char value[64];

		snprintf(path, sizeof path, "%s/%s/%s", folder, name, GEOMETRY[i][1]);
		ssize_t length = read_file(path, value, sizeof value);

		while (length > 0 && isspace((unsigned char)value[length - 1]))
			length--;
		printf(" %s=%.*s", GEOMETRY[i][0], length < 0 ? 0 : (int)length, value);
	}
	putchar('\n');
}

static void print_name(const char *folder, const char *name)
{
	(void)folder;
	puts(name);
}

static void print_aliases(const char *folder)
{
	for_each_entry(folder, print_alias);
}

static void print_geometries(const char *folder)
{
	for_each_entry(folder, print_geometry);
}

static void print_names(const char *folder)
{
	for_each_entry(folder, print_name);
}

static void print_file(const char *path)
{
	static char content[4096];
	ssize_t length = read_file(path, content, sizeof content);

	fwrite(content, 1, length < 0 ? 0 : (size_t)length, stdout);
}

void send_meta(void)
{
	send_output("meta/modes.txt", print_modes, NULL);
	send_output("meta/slab-aliases.txt", print_aliases, SLAB);
	send_output("meta/slab-geometry.txt", print_geometries, SLAB);
	send_output("meta/node0-ls.txt", print_names, NODE0);
	for (size_t i = 0; i < sizeof SYS_FILES / sizeof *SYS_FILES; i++) {
		char path[128], target[160];

		snprintf(path, sizeof path, "/sys/devices/system/%s", SYS_FILES[i]);
		snprintf(target, sizeof target, "meta%s", path);
		if (access(path, F_OK) == 0)
			send_output(target, print_file, path);
	}
}

/* The log without the "<6>" before each line. */
static void print_kernel_log(const char *unused)
{
	static char text[1 << 20];
	int length = klogctl(READ_CLEAR, text, sizeof text);
	char *line = text;

	(void)unused;
	while (length > 0 && line < text + length) {
		char *end = memchr(line, '\n', (size_t)(text + length - line));
		char *start = line[0] == '<' ? strchr(line, '>') + 1 : line;

		if (!end)
			end = text + length;
		printf("%.*s\n", (int)(end - start), start);
		line = end + 1;
	}
}

void send_kernel_log(const char *path)
{
	send_output(path, print_kernel_log, NULL);
}
