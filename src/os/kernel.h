/* os/kernel.h - what the kernel tells in /proc and /sys
 *
 * Bare system calls into buffers of the caller's: nothing allocates, is a
 * cancellation point or changes errno.  A file that is absent, unreadable or
 * says something else is unknown, which the result tells.  Any thread.
 */
#ifndef TIDE_OS_KERNEL_H
#define TIDE_OS_KERNEL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* A folder in front of every path, for tests; it must stay as it is.  "": none. */
void tide_os_kernel_set_root(const char *root);

/* The number that a file begins with; "max" and other words are none. */
bool tide_os_kernel_number(const char *path, uint64_t *number);

/* The number at text; *text goes on behind it. */
bool tide_os_take_number(const char **text, uint64_t *number);

enum { TIDE_LINE_ROOM = 1024 };

/* A file that is read line by line. */
struct tide_lines {
    int file;
    size_t from, to; /* what of text was read and not yet given */
    bool is_cut;     /* the line given last was longer than the room */
    char text[TIDE_LINE_ROOM];
};

bool tide_os_lines_open(struct tide_lines *lines, const char *path);

/* The next line without its end, cut where it is longer than the room; NULL at
 * the end.  It stays until the next call. */
char *tide_os_lines_next(struct tide_lines *lines);
void tide_os_lines_close(struct tide_lines *lines);

/* How many lines the file has. */
bool tide_os_kernel_count_lines(const char *path, size_t *count);

/* The number behind key in a file of lines "key 1", "key: 1" or "key: 1 kB". */
bool tide_os_kernel_value(const char *path, const char *key, uint64_t *value);

/* A value of /proc/meminfo, in bytes. */
bool tide_os_kernel_meminfo(const char *key, uint64_t *bytes);

#endif
