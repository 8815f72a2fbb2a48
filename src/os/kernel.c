/* os/kernel.c - see kernel.h */
#include "os/kernel.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { PATH_ROOM = 1024 };

static const char *root = ""; /* set by tests only */

void tide_os_kernel_set_root(const char *new_root)
{
    root = new_root;
}

/* ---- Files ------------------------------------------------------------- */

static int open_file(const char *path)
{
    size_t root_length = strlen(root), length = strlen(path);
    char whole[PATH_ROOM];
    int saved_errno = errno, file;

    if (root_length + length >= sizeof whole)
        return -1;
    memcpy(whole, root, root_length);
    memcpy(whole + root_length, path, length + 1);
    file = (int)syscall(SYS_openat, AT_FDCWD, whole, O_RDONLY | O_CLOEXEC);
    errno = saved_errno;
    return file;
}

/* Bytes read; 0 at the end, or for an error, which ends it as well. */
static size_t read_file(int file, char *text, size_t room)
{
    int saved_errno = errno;
    long length;

    do
        length = syscall(SYS_read, file, text, room);
    while (length < 0 && errno == EINTR);
    errno = saved_errno;
    return length > 0 ? (size_t)length : 0;
}

static void close_file(int file)
{
    int saved_errno = errno;

    syscall(SYS_close, file);
    errno = saved_errno;
}

/* ---- Numbers ----------------------------------------------------------- */

bool tide_os_take_number(const char **text, uint64_t *number)
{
    const char *digit = *text;
    uint64_t value = 0;

    if (*digit < '0' || *digit > '9')
        return false;
    for (; *digit >= '0' && *digit <= '9'; digit++)
        if (__builtin_mul_overflow(value, 10, &value) ||
            __builtin_add_overflow(value, (uint64_t)(*digit - '0'), &value))
            return false;
    *number = value;
    *text = digit;
    return true;
}

bool tide_os_kernel_number(const char *path, uint64_t *number)
{
    char text[64];
    const char *at = text;
    int file = open_file(path);

    if (file < 0)
        return false;
    text[read_file(file, text, sizeof text - 1)] = '\0';
    close_file(file);
    return tide_os_take_number(&at, number);
}

/* ---- Lines ------------------------------------------------------------- */

bool tide_os_lines_open(struct tide_lines *lines, const char *path)
{
    lines->file = open_file(path);
    lines->from = lines->to = 0;
    lines->is_cut = false;
    return lines->file >= 0;
}

void tide_os_lines_close(struct tide_lines *lines)
{
    close_file(lines->file);
}

/* Reads behind what is left.  False at the end, or when there is no room. */
static bool read_more(struct tide_lines *lines)
{
    size_t length;

    memmove(lines->text, lines->text + lines->from, lines->to - lines->from);
    lines->to -= lines->from;
    lines->from = 0;
    length = read_file(lines->file, lines->text + lines->to, sizeof lines->text - 1 - lines->to);
    lines->to += length;
    return length > 0;
}

static char *find_end(struct tide_lines *lines)
{
    char *end;

    while (!(end = memchr(lines->text + lines->from, '\n', lines->to - lines->from)))
        if (!read_more(lines))
            return NULL;
    return end;
}

static void skip_rest_of_line(struct tide_lines *lines)
{
    char *end;

    do {
        lines->from = lines->to;
        end = find_end(lines);
    } while (!end && lines->from != lines->to);
    if (end)
        lines->from = (size_t)(end + 1 - lines->text);
}

char *tide_os_lines_next(struct tide_lines *lines)
{
    char *line, *end;

    if (lines->is_cut)
        skip_rest_of_line(lines);
    end = find_end(lines);
    if (!end && lines->from == lines->to)
        return NULL;
    line = lines->text + lines->from;
    lines->is_cut = !end && lines->to == sizeof lines->text - 1;
    if (!end)
        end = lines->text + lines->to;
    lines->from = end < lines->text + lines->to ? (size_t)(end + 1 - lines->text) : lines->to;
    *end = '\0';
    return line;
}

bool tide_os_kernel_count_lines(const char *path, size_t *count)
{
    char text[TIDE_LINE_ROOM];
    int file = open_file(path);
    size_t length;

    if (file < 0)
        return false;
    for (*count = 0; (length = read_file(file, text, sizeof text)) > 0;)
        for (size_t n = 0; n < length; n++)
            *count += text[n] == '\n';
    close_file(file);
    return true;
}

/* ---- Tables ------------------------------------------------------------ */

/* The number behind key if the line is that key's. */
static bool take_value(const char *line, const char *key, uint64_t *value)
{
    size_t length = strlen(key);

    if (strncmp(line, key, length) != 0 || (line[length] != ' ' && line[length] != ':'))
        return false;
    line += length;
    line += *line == ':';
    line += strspn(line, " \t");
    return tide_os_take_number(&line, value);
}

bool tide_os_kernel_value(const char *path, const char *key, uint64_t *value)
{
    struct tide_lines lines;
    bool is_found = false;
    char *line;

    if (!tide_os_lines_open(&lines, path))
        return false;
    while (!is_found && (line = tide_os_lines_next(&lines)))
        is_found = take_value(line, key, value);
    tide_os_lines_close(&lines);
    return is_found;
}

bool tide_os_kernel_meminfo(const char *key, uint64_t *bytes)
{
    return tide_os_kernel_value("/proc/meminfo", key, bytes) &&
           !__builtin_mul_overflow(*bytes, 1024, bytes);
}
