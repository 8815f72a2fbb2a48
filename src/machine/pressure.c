/* machine/pressure.c - see pressure.h */
#include "machine/pressure.h"

#include <string.h>

#include "os/kernel.h"

/* Of "some avg10=1.23 avg60=...". */
static bool parse_line(const char *line, unsigned *percent)
{
    static const char begin[] = "some avg10=";
    uint64_t number;

    if (strncmp(line, begin, sizeof begin - 1) != 0)
        return false;
    line += sizeof begin - 1;
    if (!tide_os_take_number(&line, &number) || number > 100)
        return false;
    *percent = (unsigned)number;
    return true;
}

static bool read_stalled(const char *path, unsigned *percent)
{
    struct tide_lines lines;
    bool is_known = false;
    char *line;

    if (!tide_os_lines_open(&lines, path))
        return false;
    while (!is_known && (line = tide_os_lines_next(&lines)))
        is_known = parse_line(line, percent);
    tide_os_lines_close(&lines);
    return is_known;
}

bool tide_machine_pressure_stalled(const struct tide_cgroup *group, unsigned *percent)
{
    char path[TIDE_CGROUP_ROOM];

    if (group && tide_machine_cgroup_file(group, "memory.pressure", path) &&
        read_stalled(path, percent))
        return true;
    return read_stalled("/proc/pressure/memory", percent);
}

bool tide_machine_pressure_is_high(const struct tide_cgroup *group)
{
    unsigned percent;

    return (group && tide_machine_cgroup_is_filled(group, TIDE_FILLED_PERCENT)) ||
           (tide_machine_pressure_stalled(group, &percent) && percent >= TIDE_STALLED_PERCENT);
}
