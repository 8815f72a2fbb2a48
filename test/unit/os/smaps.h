/* test/unit/os/smaps.h - what the kernel says of a mapping: /proc/self/smaps,
 * read without allocating */
#ifndef TIDE_TEST_SMAPS_H
#define TIDE_TEST_SMAPS_H

#include <fcntl.h>

#include "../unit.h"
#include "os/huge_pages.h"

static char smaps_text[4 << 20];

MAY_BE_UNUSED static void read_file(const char *path, char *text, size_t room)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    size_t length = 0;
    ssize_t got;

    while (file >= 0 && length < room - 1 &&
           (got = read(file, text + length, room - 1 - length)) > 0)
        length += (size_t)got;
    text[length] = '\0';
    if (file >= 0)
        close(file);
}

/* The lines of the mapping that address lies in; they end at a "VmFlags:" line. */
MAY_BE_UNUSED static const char *find_mapping(const void *address)
{
    const char *entry = smaps_text, *flags;

    read_file("/proc/self/smaps", smaps_text, sizeof smaps_text);
    while ((flags = strstr(entry, "\nVmFlags:"))) {
        unsigned long from, to;

        TIDE_REQUIRE(sscanf(entry, "%lx-%lx", &from, &to) == 2);
        if ((uintptr_t)address >= from && (uintptr_t)address < to)
            return entry;
        entry = strchr(flags + 1, '\n') + 1;
    }
    return NULL;
}

/* Such as "hg" and "nh" (huge pages asked for, refused), "ht" (of the pool). */
MAY_BE_UNUSED static bool has_flag(const void *address, const char *flag)
{
    const char *entry = find_mapping(address), *line, *found;

    TIDE_REQUIRE(entry);
    line = strstr(entry, "\nVmFlags:");
    found = strstr(line, flag);
    return found && found < strchr(line + 1, '\n');
}

/* Of the whole mapping. */
MAY_BE_UNUSED static size_t transparent_bytes(const void *address)
{
    const char *entry = find_mapping(address), *line = entry ? strstr(entry, "AnonHugePages:") : NULL;
    size_t kilobytes;

    TIDE_REQUIRE(line && sscanf(line, "AnonHugePages: %zu", &kilobytes) == 1);
    return kilobytes << 10;
}

/* Whether this machine gives huge pages to a program that asks. */
MAY_BE_UNUSED static bool has_transparent(void)
{
    return tide_os_huge_pages() != TIDE_HUGE_PAGES_NEVER;
}

#endif
