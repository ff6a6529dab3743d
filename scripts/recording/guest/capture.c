/* The tree of one step: files of /proc and /sys, read one after another in this order. */
#include "probe.h"

#include <dirent.h>
#include <fnmatch.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

static const char *const FILES[] = {
	"/proc/meminfo", "/proc/zoneinfo", "/proc/buddyinfo", "/proc/pagetypeinfo", "/proc/vmstat",
	"/proc/slabinfo", "/proc/swaps", "/proc/stat", "/proc/loadavg", "/proc/uptime", "/proc/version",
	"/proc/cmdline", "/proc/cpuinfo", "/proc/filesystems", "/proc/mounts", "/proc/iomem",
	"/proc/pressure/cpu", "/proc/pressure/io", "/proc/pressure/memory",
	"/proc/self/status", "/proc/self/stat", "/proc/self/statm", "/proc/self/limits",
	"/proc/self/maps", "/proc/self/smaps", "/proc/self/smaps_rollup", "/proc/self/numa_maps",
	"/proc/self/oom_score", "/proc/self/oom_score_adj",
};
static const char *const FOLDERS[] = { "/proc/sys/vm", "/sys/devices/system/node", "/sys/kernel/mm" };
static const char *const PROCESS[] = {
	"status", "statm", "smaps_rollup", "numa_maps", "oom_score", "oom_score_adj",
};
/* Not memory: power management, events, the enclaves of a node. */
static const char *const LEFT_OUT[] = { "*/power", "*/uevent", "*/x86" };

static char content[1 << 20];
static const char *step_name;

static void send_copy(const char *path, const char *target)
{
	ssize_t length = read_file(path, content, sizeof content);

	/* A file that only takes writes is there, and empty. */
	send_file(target, content, length < 0 ? 0 : (size_t)length);
}

static void send_at_its_place(const char *path)
{
	char target[512];
	struct stat status;

	if (stat(path, &status) == 0) {
		snprintf(target, sizeof target, "%s%s", step_name, path);
		send_copy(path, target);
	}
}

static int is_left_out(const char *path)
{
	for (size_t i = 0; i < sizeof LEFT_OUT / sizeof *LEFT_OUT; i++)
		if (fnmatch(LEFT_OUT[i], path, 0) == 0)
			return 1;
	return 0;
}

static int compare_entries(const struct dirent **a, const struct dirent **b)
{
	return strcmp((*a)->d_name, (*b)->d_name);
}

/* Regular files below a folder, by name; symbolic links are not followed. */
void for_each_file(const char *folder, void (*visit)(const char *))
{
	struct dirent **entries;
	int count = scandir(folder, &entries, NULL, compare_entries);

	for (int i = 0; i < count; i++) {
		char path[512];
		struct stat status;

		snprintf(path, sizeof path, "%s/%s", folder, entries[i]->d_name);
		if (entries[i]->d_name[0] != '.' && !is_left_out(path) && lstat(path, &status) == 0) {
			if (S_ISDIR(status.st_mode))
				for_each_file(path, visit);
			else if (S_ISREG(status.st_mode))
				visit(path);
		}
		free(entries[i]);
	}
	if (count >= 0)
		free(entries);
}

static void send_tree(const char *step)
{
	step_name = step;
	for (size_t i = 0; i < sizeof FILES / sizeof *FILES; i++)
		send_at_its_place(FILES[i]);
	for (size_t i = 0; i < sizeof FOLDERS / sizeof *FOLDERS; i++)
		for_each_file(FOLDERS[i], send_at_its_place);
}

void capture_tree(const char *step)
{
	in_child(send_tree, step);
}

void capture_process(const char *step, pid_t pid)
{
	for (size_t i = 0; i < sizeof PROCESS / sizeof *PROCESS; i++) {
		char path[64], target[512];

		snprintf(path, sizeof path, "/proc/%d/%s", (int)pid, PROCESS[i]);
		snprintf(target, sizeof target, "%s/pid-%s", step, PROCESS[i]);
		send_copy(path, target);
	}
}
