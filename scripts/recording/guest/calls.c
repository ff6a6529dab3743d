/* System calls on files, as root and as an ordinary user: semantics/{root,user1000,sequences}.tsv. */
#define _GNU_SOURCE
#include "probe.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/xattr.h>
#include <unistd.h>

static const char *path;
static char beside[512], inside[512], bytes[64 << 10];

static void row(const char *call, long result)
{
	printf("%s\t%s\tret=%ld\terr=%s\n", path, call, result, error_name(result < 0 ? errno : 0));
}

static void row_open(const char *call, const char *name, int flags)
{
	int fd = open(name, flags, 0644);

	row(call, fd);
	if (fd >= 0)
		close(fd);
}

static void row_stat(const struct stat *s)
{
	printf("%s\tstat\tmode=%o\tnlink=%lu\tuid=%u\tgid=%u\tsize=%lld\tblksize=%ld\tblocks=%lld\n", path,
	       s->st_mode, (unsigned long)s->st_nlink, s->st_uid, s->st_gid, (long long)s->st_size,
	       (long)s->st_blksize, (long long)s->st_blocks);
}

static void row_statfs(void)
{
	struct statfs s;

	if (statfs(path, &s) < 0) {
		row("statfs", -1);
		return;
	}
	printf("%s\tstatfs\ttype=0x%lx\tbsize=%ld\tblocks=%llu\tbfree=%llu\tfiles=%llu\tnamelen=%ld\n", path,
	       (unsigned long)s.f_type, (long)s.f_bsize, (unsigned long long)s.f_blocks,
	       (unsigned long long)s.f_bfree, (unsigned long long)s.f_files, (long)s.f_namelen);
}

static void rows_read(int fd)
{
	int count = 0;

	while (count < 4096 && read(fd, bytes, 1) == 1)
		count++;
	printf("%s\tread_1byte_at_a_time\tbytes=%d\n", path, count);
	row("lseek_set0", lseek(fd, 0, SEEK_SET));
	printf("%s\tread_64k\tret=%zd\n", path, read(fd, bytes, sizeof bytes));
	row("read_after", read(fd, bytes, sizeof bytes));
	row("lseek_set3", lseek(fd, 3, SEEK_SET));
	row("read_at3_5", read(fd, bytes, 5));
	row("lseek_end", lseek(fd, 0, SEEK_END));
	row("lseek_cur", lseek(fd, 0, SEEK_CUR));
	row("lseek_neg", lseek(fd, -1, SEEK_SET));
	row("pread_at2_4", pread(fd, bytes, 4, 2));
	row("pread_past", pread(fd, bytes, 4, 1 << 20));
}

static void rows_of_reader(int fd)
{
	struct pollfd ready = { .fd = fd, .events = POLLIN | POLLPRI | POLLOUT };
	void *mapped = mmap(NULL, 4096, PROT_READ, MAP_SHARED, fd, 0);

	row("mmap", mapped == MAP_FAILED ? -1 : 0);
	if (mapped != MAP_FAILED)
		munmap(mapped, 4096);
	int count = poll(&ready, 1, 0);

	printf("%s\tpoll\tret=%d\trevents=0x%x\n", path, count, (unsigned)ready.revents);
	row("flock_sh", flock(fd, LOCK_SH));
	row("flock_un", flock(fd, LOCK_UN));
	row("fsync", fsync(fd));
	row("write_on_rdonly", write(fd, "1", 1));
}

static void rows_of_writer(void)
{
	int fd = open(path, O_WRONLY);

	if (fd < 0)
		return;
	row("write_empty", write(fd, "", 0));
	row("ftruncate0", ftruncate(fd, 0));
	row("fallocate", fallocate(fd, 0, 0, 4096));
	close(fd);
}

static void rows_of_file(int reader)
{
	if (reader >= 0) {
		rows_read(reader);
		rows_of_reader(reader);
		close(reader);
	}
	row_open("open_wronly", path, O_WRONLY);
	row_open("open_rdwr", path, O_RDWR);
	row_open("open_wronly_trunc", path, O_WRONLY | O_TRUNC);
	row_open("open_wronly_append", path, O_WRONLY | O_APPEND);
	row_open("open_creat_trunc", path, O_WRONLY | O_CREAT | O_TRUNC);
	row_open("open_excl", path, O_WRONLY | O_CREAT | O_EXCL);
	row_open("open_directory", path, O_RDONLY | O_DIRECTORY);
	row("truncate0", truncate(path, 0));
	row("truncate5", truncate(path, 5));
	rows_of_writer();
}

static void rows_of_directory(int reader)
{
	if (reader >= 0)
		close(reader);
	row_open("create_in_dir", inside, O_WRONLY | O_CREAT);
	row("mkdir_in_dir", mkdir(inside, 0755));
	row("rmdir", rmdir(path));
	row_open("open_missing", inside, O_RDONLY);
	row("unlink_missing", unlink(inside));
	row_open("open_dir_wronly", path, O_WRONLY);
}

static void rows_of_inode(mode_t mode)
{
	row("chmod", chmod(path, mode & 07777));
	row("chown", chown(path, 0, 0));
	row("unlink", unlink(path));
	row("rename", rename(path, beside));
	row("link", link(path, beside));
	row("symlink", symlink("x", beside));
	row("utimes", utimensat(AT_FDCWD, path, NULL, 0));
	row("listxattr", listxattr(path, NULL, 0));
	row("getxattr_user", getxattr(path, "user.x", bytes, sizeof bytes));
	row("setxattr_user", setxattr(path, "user.x", "1", 1, 0));
}

static void rows_of(const char *name)
{
	struct stat status;

	path = name;
	snprintf(beside, sizeof beside, "%s.x", name);
	snprintf(inside, sizeof inside, "%s/x", name);
	if (stat(path, &status) < 0) {
		row("stat", -1);
		return;
	}
	row_stat(&status);
	row_statfs();
	row("access_R", access(path, R_OK));
	row("access_W", access(path, W_OK));
	row("access_X", access(path, X_OK));
	int reader = open(path, O_RDONLY);

	row("open_rdonly", reader);
	if (S_ISDIR(status.st_mode))
		rows_of_directory(reader);
	else
		rows_of_file(reader);
	rows_of_inode(status.st_mode);
}

/* The list has "WHO PATH" lines, WHO being r for root, u for the user, s for sequences. */
static void for_each_path(const char *list, char who, void (*visit)(const char *))
{
	static char text[16 << 10];
	ssize_t length = read_file(list, text, sizeof text - 1);

	if (length < 0)
		die(list);
	for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n"))
		if (line[0] == who && line[1] == ' ')
			visit(line + 2);
}

void print_calls_as_root(const char *list)
{
	for_each_path(list, 'r', rows_of);
}

void print_calls_as_user(const char *list)
{
	if (setgroups(0, NULL) < 0 || setgid(1000) < 0 || setuid(1000) < 0)
		die("setuid");
	for_each_path(list, 'u', rows_of);
}

static void print_after(void)
{
	ssize_t length = read_file(path, bytes, sizeof bytes);

	fputs("\tafter=", stdout);
	print_escaped(bytes, length < 0 ? 0 : (size_t)length);
	putchar('\n');
}

static void row_pwrite(const char *byte, off_t offset)
{
	int fd = open(path, O_WRONLY);
	ssize_t result = pwrite(fd, byte, 1, offset);

	printf("%s\tpwrite_offset%ld\tret=%zd\terr=%s", path, (long)offset, result,
	       error_name(result < 0 ? errno : 0));
	close(fd);
	print_after();
}

static void row_two_writes(void)
{
	int fd = open(path, O_WRONLY);
	ssize_t one = write(fd, "1", 1);
	int first = one < 0 ? errno : 0;
	ssize_t two = write(fd, "0\n", 2);
	int second = two < 0 ? errno : 0;

	printf("%s\ttwo_writes_'1'_'0\\n'\tret=%zd,%zd\terr=%s,", path, one, two, error_name(first));
	fputs(error_name(second), stdout);
	close(fd);
	print_after();
}

static void sequences_of(const char *name)
{
	path = name;
	if (access(name, F_OK) == 0) {
		row_pwrite("5", 1);
		row_pwrite("7", 3);
		row_two_writes();
	}
}

void print_sequences(const char *list)
{
	for_each_path(list, 's', sequences_of);
}
