/* Text: errors by name, escapes as recordings spell them, whole files. */
#define _GNU_SOURCE
#include "probe.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/reboot.h>
#include <unistd.h>

/* Says on the console what is wrong, for the program outside, and ends the machine. */
void die(const char *what)
{
	printf("record: %s: %s\n", what, strerror(errno));
	fflush(stdout);
	if (getpid() == 1)
		reboot(RB_AUTOBOOT);
	_exit(1);
}

const char *error_name(int error)
{
	return error ? strerrorname_np(error) : "0";
}

static char unescaped(char **from)
{
	static const char codes[] = "n\nt\tr\r\\\\";
	char code = *(*from)++;

	if (code == 'x') {
		char digits[3] = { (*from)[0], (*from)[1], 0 };
		*from += 2;
		return (char)strtol(digits, NULL, 16);
	}
	for (const char *c = codes; *c; c += 2)
		if (*c == code)
			return c[1];
	return code;
}

size_t unescape(char *text)
{
	char *to = text;

	for (char *from = text; *from;)
		*to++ = *from == '\\' ? (from++, unescaped(&from)) : *from++;
	*to = 0;
	return (size_t)(to - text);
}

void print_escaped(const char *bytes, size_t length)
{
	for (size_t i = 0; i < length; i++) {
		unsigned char c = (unsigned char)bytes[i];

		if (c == '\n')
			fputs("\\n", stdout);
		else if (c == '\t')
			fputs("\\t", stdout);
		else if (c == '\\')
			fputs("\\\\", stdout);
		else if (isprint(c))
			putchar(c);
		else
			printf("\\x%02x", c);
	}
}

/* As much of a file as fits; -1 and errno where it cannot be read. */
ssize_t read_file(const char *path, char *bytes, size_t size)
{
	int fd = open(path, O_RDONLY);
	size_t length = 0;
	ssize_t got;

	if (fd < 0)
		return -1;
	while (length < size && (got = read(fd, bytes + length, size - length)) != 0) {
		if (got < 0) {
			int error = errno;

			close(fd);
			errno = error;
			return -1;
		}
		length += (size_t)got;
	}
	close(fd);
	return (ssize_t)length;
}

int compare_names(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}
