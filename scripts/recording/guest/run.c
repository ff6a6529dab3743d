/*
 * Process 1 of a recorded machine: obeys /steps, one verb a line with its arguments behind tabs, and sends
 * what a recording keeps through the port that is its argument. A step ends where the next one begins;
 * then its tree is captured.
 */
#include "probe.h"

#include <stdarg.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/reboot.h>
#include <sys/swap.h>
#include <unistd.h>

#define SETTLE_SECONDS 2 /* counters of CPUs are folded once a second */

static char step[128], actions[64 << 10];
static size_t actions_length;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));

static void note(const char *format, ...)
{
	va_list arguments;
	size_t room = sizeof actions - actions_length;

	va_start(arguments, format);
	size_t length = (size_t)vsnprintf(actions + actions_length, room, format, arguments);

	va_end(arguments);
	actions_length += length < room ? length : 0;
}

static void send_in_step(const char *name, const char *text)
{
	char path[256];

	snprintf(path, sizeof path, "%s/%s", step, name);
	send_file(path, text, strlen(text));
}

static void finish_step(void)
{
	const char *said = held_log();

	if (!step[0])
		return;
	sleep(SETTLE_SECONDS);
	wait_for_kswapd();
	capture_tree(step);
	send_in_step("actions", actions);
	if (said[0] && said[0] != '\n')
		send_in_step("log", said);
	step[0] = 0;
	actions[actions_length = 0] = 0;
}

static void begin_step(char **arguments)
{
	finish_step();
	snprintf(step, sizeof step, "%s", arguments[0]);
	printf("step %s\n", step);
	fflush(stdout);
}

static void say(char **arguments)
{
	note("# %s\n", arguments[0]);
}

/* Of "A|B" the first that is there, or A: a file that was renamed from one release to the next. */
static const char *present(char *paths)
{
	char *first = strtok(paths, "|");

	for (char *path = first; path; path = strtok(NULL, "|"))
		if (access(path, F_OK) == 0)
			return path;
	return first;
}

static void write_once(char **arguments)
{
	const char *path = present(arguments[0]);
	int fd = open(path, O_WRONLY);

	note("write\t%s\t%s\topen=%s", path, arguments[1], error_name(fd < 0 ? errno : 0));
	if (fd < 0) {
		note("\tret=-1\terr=0\n");
		return;
	}
	size_t length = unescape(arguments[1]);
	ssize_t done = write(fd, arguments[1], length);

	note("\tret=%zd\terr=%s\n", done, error_name(done < 0 ? errno : 0));
	close(fd);
}

static void settle(char **arguments)
{
	sleep((unsigned)atoi(arguments[0]));
}

static void exit_all(char **unused)
{
	(void)unused;
	release();
}

static void remove_file(char **arguments)
{
	if (unlink(arguments[0]) < 0)
		die(arguments[0]);
}

static void mount_files(char **arguments)
{
	if (mount(arguments[0], arguments[1], "ext4", MS_RDONLY | MS_NOATIME, NULL) < 0)
		die(arguments[0]);
}

static void swap_on(char **arguments)
{
	if (swapon(arguments[0], 0) < 0)
		die(arguments[0]);
}

static void swap_off(char **arguments)
{
	if (swapoff(arguments[0]) < 0)
		die(arguments[0]);
}

static void read_files(char **arguments)
{
	read_tree(arguments[0]);
}

static void fill_memory(char **unused)
{
	(void)unused;
	note("exit status %d\n", run_out_of_memory());
}

static void show_holder(char **unused)
{
	(void)unused;
	capture_process(step, last_held());
}

static void log_to(char **arguments)
{
	send_kernel_log(arguments[0]);
}

static void show_meta(char **unused)
{
	(void)unused;
	finish_step();
	puts("step meta");
	send_meta();
}

static void run_calls(char **unused)
{
	(void)unused;
	finish_step();
	puts("step calls");
	send_output("semantics/root.tsv", print_calls_as_root, "/calls");
	send_output("semantics/user1000.tsv", print_calls_as_user, "/calls");
}

static void run_writes(char **unused)
{
	(void)unused;
	finish_step();
	puts("step writes");
	send_output("semantics/writes.tsv", print_writes, "/write_table");
}

static void run_sequences(char **unused)
{
	(void)unused;
	finish_step();
	send_output("semantics/sequences.tsv", print_sequences, "/calls");
}

static const struct {
	const char *name;
	void (*obey)(char **arguments);
} VERBS[] = {
	{ "step", begin_step },        { "say", say },
	{ "write", write_once },       { "settle", settle },
	{ "hold-huge", hold_huge },    { "hold-anon", hold_anonymous },
	{ "exit", exit_all },          { "remove", remove_file },
	{ "mount", mount_files },      { "read", read_files },
	{ "swapon", swap_on },         { "swapoff", swap_off },
	{ "out-of-memory", fill_memory }, { "holder", show_holder },
	{ "dmesg", log_to },           { "meta", show_meta },
	{ "calls", run_calls },        { "writes", run_writes },
	{ "sequences", run_sequences },
};

static void obey(char *line)
{
	char *arguments[8] = { 0 };
	int count = 0;

	for (char *tab = strchr(line, '\t'); tab && count < 7; tab = strchr(tab, '\t')) {
		*tab++ = 0;
		arguments[count++] = tab;
	}
	for (size_t i = 0; i < sizeof VERBS / sizeof *VERBS; i++)
		if (!strcmp(VERBS[i].name, line)) {
			VERBS[i].obey(arguments);
			return;
		}
	errno = EINVAL;
	die(line);
}

int main(int count, char **arguments)
{
	static char steps[64 << 10];
	char *rest = steps;

	/* This program's own data as a huge page would show in the counters: it starts again without. */
	if (prctl(PR_GET_THP_DISABLE, 0, 0, 0, 0) == 0 && prctl(PR_SET_THP_DISABLE, 1, 0, 0, 0) == 0)
		execv(arguments[0], arguments);
	if (count < 2 || read_file("/steps", steps, sizeof steps - 1) < 0)
		die("/steps");
	open_stream(arguments[1]);
	for (char *line = strsep(&rest, "\n"); line; line = strsep(&rest, "\n"))
		if (line[0])
			obey(line);
	finish_step();
	send_file("complete", "", 0);
	puts("step end");
	fflush(stdout);
	reboot(RB_AUTOBOOT);
	return 1;
}
