/*
 * What leaves the machine: "PATH LENGTH\n" and the bytes, file after file, through a virtio port.
 * Nothing of it stays in a file of the machine, so its own copies move no page cache.
 */
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

static int stream = -1;

/* Static: a table of writes may forbid to allocate while its output arrives. */
static char output[4 << 20];

void open_stream(const char *port)
{
	stream = open(port, O_WRONLY | O_CLOEXEC);
	if (stream < 0)
		die(port);
}

static void write_all(const char *bytes, size_t length)
{
	while (length) {
		ssize_t done = write(stream, bytes, length);

		if (done < 0 && errno != EINTR)
			die("the port to the outside");
		if (done > 0) {
			bytes += done;
			length -= (size_t)done;
		}
	}
}

void send_file(const char *path, const char *bytes, size_t length)
{
	char head[512];

	write_all(head, (size_t)snprintf(head, sizeof head, "%s %zu\n", path, length));
	write_all(bytes, length);
}

static pid_t child(void)
{
	fflush(stdout);
	pid_t pid = fork();

	if (pid < 0)
		die("fork");
	return pid;
}

void in_child(void (*act)(const char *), const char *argument)
{
	pid_t pid = child();

	if (pid == 0) {
		act(argument);
		_exit(0);
	}
	waitpid(pid, NULL, 0);
}

static void as_output(int pipe_end, void (*print)(const char *), const char *argument)
{
	/* Nothing but 0, 1 and 2 is open: the next file is 3. */
	dup2(pipe_end, 1);
	close(stream);
	for (int fd = 3; fd < 16; fd++)
		close(fd);
	print(argument);
	fflush(stdout);
	_exit(0);
}

static size_t received(int pipe_end)
{
	size_t length = 0;
	ssize_t got;

	while (length < sizeof output && (got = read(pipe_end, output + length, sizeof output - length)) > 0)
		length += (size_t)got;
	return length;
}

/* Sends as `path` what `print` writes on stdout, in a process of its own. */
void send_output(const char *path, void (*print)(const char *), const char *argument)
{
	int ends[2];

	if (pipe(ends) < 0)
		die("pipe");
	pid_t pid = child();

	if (pid == 0) {
		close(ends[0]);
		as_output(ends[1], print, argument);
	}
	close(ends[1]);
	size_t length = received(ends[0]);

	close(ends[0]);
	waitpid(pid, NULL, 0);
	send_file(path, output, length);
}
