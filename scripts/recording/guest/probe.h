/* The program that drives a recorded machine from inside: see run.c. */
#ifndef PROBE_H
#define PROBE_H

#include <stddef.h>
#include <stdio.h>
#include <sys/types.h>

/* text.c */
void die(const char *what) __attribute__((noreturn));
const char *error_name(int error);                     /* "EINVAL", or "0" for none */
size_t unescape(char *text);                           /* in place; the number of bytes */
void print_escaped(const char *bytes, size_t length);  /* on stdout */
ssize_t read_file(const char *path, char *bytes, size_t size);
int compare_names(const void *a, const void *b);

/* stream.c: what leaves the machine */
void open_stream(const char *port);
void send_file(const char *path, const char *bytes, size_t length);
void send_output(const char *path, void (*print)(const char *argument), const char *argument);
void in_child(void (*act)(const char *argument), const char *argument);

/* capture.c */
void capture_tree(const char *step);                   /* sends proc/ and sys/ of one step */
void capture_process(const char *step, pid_t pid);     /* sends pid-* */
void for_each_file(const char *folder, void (*visit)(const char *path));

/* meta.c */
void send_meta(void);
void send_kernel_log(const char *path);                /* what was logged since the last time */

/* loads.c: each ends the process that it could not serve */
void hold_huge(char **arguments);
void hold_anonymous(char **arguments);
void release(void);
pid_t last_held(void);
const char *held_log(void);
int run_out_of_memory(void);                           /* the status a shell would show */
void read_tree(const char *folder);

/* kswapd.c */
void wait_for_kswapd(void);

/* calls.c, writes.c: the tables of semantics/ */
void print_calls_as_root(const char *list);
void print_calls_as_user(const char *list);
void print_sequences(const char *list);
void print_writes(const char *table);

#endif
