/* Loads: processes that hold huge pages or anonymous memory, files that are read, the OOM killer. */
#define _GNU_SOURCE
#include "probe.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#define PAGE 4096UL

static pid_t held[8];
static int held_count;
static char said[256];

/* Another word in each page, so that nothing can be merged or left out as zero. */
static void touch(char *start, size_t pages, size_t page_bytes)
{
	for (size_t i = 0; i < pages; i++)
		*(uintptr_t *)(start + i * page_bytes) = (uintptr_t)i * 0x9e3779b1u;
}

/* A process that does `load`, says so, and stays. Returns when it has said so or is gone. */
static void hold(void (*load)(char **), char **arguments)
{
	int ends[2];

	if (pipe(ends) < 0 || held_count == sizeof held / sizeof *held)
		die("a load");
	fflush(stdout);
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		dup2(ends[1], 1);
		load(arguments);
		fflush(stdout);
		for (;;)
			pause();
	}
	close(ends[1]);
	ssize_t length = read(ends[0], said, sizeof said - 1);

	said[length > 0 ? length : 0] = 0;
	close(ends[0]);
	held[held_count++] = pid;
}

static void map_huge(char **arguments)
{
	size_t pages = strtoul(arguments[1], NULL, 10), touched = strtoul(arguments[2], NULL, 10);
	size_t page_bytes = strtoul(arguments[3], NULL, 10) << 10;
	int fd = open(arguments[0], O_CREAT | O_RDWR, 0600);
	char *start = mmap(NULL, pages * page_bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

	if (fd < 0 || start == MAP_FAILED) {
		printf("huge: %s\n", strerror(errno));
		return;
	}
	touch(start, touched, page_bytes);
	printf("huge: mapped %zu touched %zu\n", pages, touched);
}

static void map_anonymous(char **arguments)
{
	size_t bytes = strtoul(arguments[0], NULL, 10) << 20;
	char *start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			   -1, 0);

	if (start == MAP_FAILED) {
		printf("anon: %s\n", strerror(errno));
		return;
	}
	madvise(start, bytes, MADV_NOHUGEPAGE);
	touch(start, bytes / PAGE, PAGE);
	putchar('\n'); /* done, and nothing to add */
}

void hold_huge(char **arguments)
{
	hold(map_huge, arguments);
}

void hold_anonymous(char **arguments)
{
	hold(map_anonymous, arguments);
}

void release(void)
{
	while (held_count) {
		kill(held[--held_count], SIGKILL);
		waitpid(held[held_count], NULL, 0);
	}
}

pid_t last_held(void)
{
	return held_count ? held[held_count - 1] : 0;
}

/* What the last load said, once. */
const char *held_log(void)
{
	static char line[sizeof said];

	memcpy(line, said, sizeof said);
	said[0] = 0;
	return line;
}

static void touch_everything(void)
{
	size_t bytes = sizeof(size_t) == 4 ? 2UL << 30 : (size_t)-1 >> 18;
	char *start = MAP_FAILED;

	for (; start == MAP_FAILED; bytes /= 2)
		start = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE,
			     -1, 0);
	madvise(start, bytes * 2, MADV_NOHUGEPAGE);
	touch(start, bytes * 2 / PAGE, PAGE);
}

int run_out_of_memory(void)
{
	pid_t pid = fork();
	int status;

	if (pid < 0)
		die("fork");
	if (pid == 0) {
		touch_everything();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* Not beyond the end: kernels before 5.12 cache a page of what is not there for who asks for it. */
static void read_whole(const char *path, off_t size)
{
	static char block[64 << 10];
	int fd = open(path, O_RDONLY);

	if (fd < 0)
		die(path);
	for (ssize_t got = 1; size > 0 && got > 0; size -= got)
		got = read(fd, block, size < (off_t)sizeof block ? (size_t)size : sizeof block);
	close(fd);
}

/* stat() and read() of every file below a folder. */
void read_tree(const char *folder)
{
	DIR *stream = opendir(folder);
	struct dirent *entry;

	if (!stream)
		die(folder);
	while ((entry = readdir(stream))) {
		char path[512];
		struct stat status;

		snprintf(path, sizeof path, "%s/%s", folder, entry->d_name);
		if (entry->d_name[0] == '.' || stat(path, &status) < 0)
			continue;
		if (S_ISDIR(status.st_mode))
			read_tree(path);
		else
			read_whole(path, status.st_size);
	}
	closedir(stream);
}
