/* test/unit/auxv.h - getauxval in place of the C library's: a test says whether this
 * is a setuid program
 */
#ifndef TIDE_TEST_AUXV_H
#define TIDE_TEST_AUXV_H

#include <elf.h>
#include <fcntl.h>
#include <stdbool.h>
#include <sys/auxv.h>
#include <unistd.h>

static bool is_secure;

unsigned long getauxval(unsigned long type)
{
    Elf64_auxv_t entry = { .a_type = AT_NULL };
    unsigned long value = 0;
    int file = open("/proc/self/auxv", O_RDONLY | O_CLOEXEC);

    while (read(file, &entry, sizeof entry) == sizeof entry && entry.a_type != AT_NULL)
        if (entry.a_type == type)
            value = entry.a_un.a_val;
    close(file);
    return type == AT_SECURE && is_secure ? 1 : value;
}

#endif
