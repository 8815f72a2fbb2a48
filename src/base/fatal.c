/* base/fatal.c - see fatal.h.  No locks, no state. */
#include "base/fatal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { LINE_BYTES = 1024 };

struct line {
    char text[LINE_BYTES];
    size_t length;
};

TIDE_PRINTF_LIKE(2, 0)
static void append_list(struct line *line, const char *format, va_list arguments)
{
    size_t room = LINE_BYTES - line->length;
    int length = vsnprintf(line->text + line->length, room, format, arguments);

    if (length > 0)
        line->length += (size_t)length < room ? (size_t)length : room - 1;
}

TIDE_PRINTF_LIKE(2, 3)
static void append(struct line *line, const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    append_list(line, format, arguments);
    va_end(arguments);
}

/* A thread may have no files: then stderr is found as the process's. */
static long open_stderr(void)
{
    return syscall(SYS_openat, AT_FDCWD, "/proc/self/fd/2",
                   O_WRONLY | O_APPEND | O_NOCTTY | O_CLOEXEC);
}

/* What stderr doesn't take is lost: there is nobody to tell.  Bare system calls, so
 * that a thread isn't cancelled here, with locks held. */
static void put(const struct line *line)
{
    long file = STDERR_FILENO;
    int saved_errno = errno;
    size_t done = 0;

    while (done < line->length) {
        long wrote = syscall(SYS_write, file, line->text + done, line->length - done);

        if (wrote < 0 && errno == EBADF && file == STDERR_FILENO)
            file = open_stderr();
        else if (wrote < 0 && errno != EINTR)
            break;
        done += wrote > 0 ? (size_t)wrote : 0;
    }
    if (file != STDERR_FILENO && file >= 0)
        syscall(SYS_close, file);
    errno = saved_errno;
}

static void end_line(struct line *line)
{
    if (line->length == LINE_BYTES - 1)
        line->length--;
    line->text[line->length++] = '\n';
    put(line);
}

void tide_base_print(const char *format, ...)
{
    struct line line = { .length = 0 };
    va_list arguments;

    va_start(arguments, format);
    append_list(&line, format, arguments);
    va_end(arguments);
    put(&line);
}

TIDE_PRINTF_LIKE(1, 0)
static void warn_list(const char *format, va_list arguments)
{
    struct line line = { .length = 0 };

    append(&line, "tidepool: ");
    append_list(&line, format, arguments);
    end_line(&line);
}

void tide_base_warn(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    warn_list(format, arguments);
    va_end(arguments);
}

void tide_base_fatal(const char *format, ...)
{
    va_list arguments;

    va_start(arguments, format);
    warn_list(format, arguments);
    va_end(arguments);
    abort();
}

void tide_base_misuse(const char *call, const void *pointer, const char *format, ...)
{
    struct line line = { .length = 0 };
    va_list arguments;

    append(&line, "tidepool: %s(%p): ", call, pointer);
    va_start(arguments, format);
    append_list(&line, format, arguments);
    va_end(arguments);
    end_line(&line);
    abort();
}
