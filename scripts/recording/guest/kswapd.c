/* kswapd: gives it its work, and waits until that is done. */
#define _GNU_SOURCE
#include "probe.h"

#include <ctype.h>
#include <dirent.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#define BYTES (1UL << 20)
#define KSWAPD_MICROSECONDS 300000 /* in which it scans something, if it has work left */
#define MOST_WAITS 400             /* two minutes; some memory is never enough */

/* What counts up while it scans: a run over slab caches alone may take long. */
static const char *const counters[] = { "\npgscan_kswapd ", "\nslabs_scanned ", "\npageoutrun " };

static unsigned long work_done(void)
{
	static char text[64 << 10];
	ssize_t length = read_file("/proc/vmstat", text, sizeof text - 1);
	unsigned long sum = 0;

	text[length > 0 ? length : 0] = 0;
	for (size_t i = 0; i < sizeof counters / sizeof *counters; i++) {
		const char *line = strstr(text, counters[i]);

		sum += line ? strtoul(line + strlen(counters[i]), NULL, 10) : 0;
	}
	return sum;
}

/* Of a line of /proc/PID/stat: "61 (kswapd0) S ...". */
static int tells_of_awake_kswapd(const char *stat)
{
	const char *name = strstr(stat, " (kswapd"), *end = name ? strstr(name, ") ") : NULL;

	return end && end[2] != 'S';
}

/* On a slow host none of them may have had its turn for a while. */
static int is_awake(void)
{
	DIR *proc = opendir("/proc");
	int awake = 0;

	for (struct dirent *entry; proc && !awake && (entry = readdir(proc));) {
		char path[300], stat[256];

		if (!isdigit((unsigned char)entry->d_name[0]))
			continue;
		snprintf(path, sizeof path, "/proc/%s/stat", entry->d_name);
		ssize_t length = read_file(path, stat, sizeof stat - 1);

		stat[length > 0 ? length : 0] = 0;
		awake = tells_of_awake_kswapd(stat);
	}
	if (proc)
		closedir(proc);
	return awake;
}

static void wait_until_done(void)
{
	for (int waits = 0; waits < MOST_WAITS; waits++) {
		unsigned long before = work_done();

		usleep(KSWAPD_MICROSECONDS);
		if (work_done() == before && !is_awake())
			return;
	}
}

/* Allocations below the low watermark wake it: a user's, and the kernel's own, which need another zone where
 * memory is high. So that it does not run while a tree is captured; not at once, or one run would be for both. */
void wait_for_kswapd(void)
{
	char *start = mmap(NULL, BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
	int ends[2];

	if (start == MAP_FAILED)
		return;
	memset(start, 1, BYTES);
	wait_until_done();
	if (socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0) {
		send(ends[0], start, BYTES, MSG_DONTWAIT);
		close(ends[0]);
		close(ends[1]);
		wait_until_done();
	}
	munmap(start, BYTES);
}
