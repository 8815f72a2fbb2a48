/* machine/cgroup.c - see cgroup.h */
#include "machine/cgroup.h"

#include <limits.h>
#include <string.h>

#include "os/kernel.h"

/* Version 1 has no word for "unlimited", but the largest number of whole pages. */
#define UNLIMITED (UINT64_C(1) << 62)

/* ---- Where the group is ------------------------------------------------ */

/* Whether one of the words between commas is word. */
static bool has_word(const char *list, const char *word)
{
    size_t length = strlen(word);

    for (; list; list = strchr(list, ',') ? strchr(list, ',') + 1 : NULL)
        if (strncmp(list, word, length) == 0 && (list[length] == ',' || list[length] == '\0'))
            return true;
    return false;
}

static bool copy(char to[TIDE_CGROUP_ROOM], const char *from)
{
    size_t length = strlen(from);

    if (length >= TIDE_CGROUP_ROOM)
        return false;
    memcpy(to, from, length + 1);
    return true;
}

/* Of "4:cpu,cpuacct:/a/b", or "0::/a/b" in version 2: the path if it is the
 * controller's. */
static bool take_path(char *line, const char *controller, unsigned version,
                      char path[TIDE_CGROUP_ROOM])
{
    char *list = strchr(line, ':'), *own = list ? strchr(list + 1, ':') : NULL;

    if (!own)
        return false;
    *own = '\0';
    list++;
    return (version == 1 ? has_word(list, controller) : *list == '\0') && copy(path, own + 1);
}

/* The version is 1 where that has the controller. */
static unsigned find_path(const char *controller, char path[TIDE_CGROUP_ROOM])
{
    for (unsigned version = 1; version <= 2; version++) {
        struct tide_lines lines;
        bool is_found = false;
        char *line;

        if (!tide_os_lines_open(&lines, "/proc/self/cgroup"))
            return 0;
        while (!is_found && (line = tide_os_lines_next(&lines)))
            is_found = take_path(line, controller, version, path);
        tide_os_lines_close(&lines);
        if (is_found)
            return version;
    }
    return 0;
}

/* mountinfo writes blanks and the like as three octal digits. */
static void decode(char *text)
{
    char *to = text;

    for (; *text; text++, to++) {
        *to = *text;
        if (text[0] == '\\' && text[1] && text[2] && text[3]) {
            *to = (char)((text[1] - '0') << 6 | (text[2] - '0') << 3 | (text[3] - '0'));
            text += 3;
        }
    }
    *to = '\0';
}

struct mount {
    char *root, *point, *type, *options; /* the part that is mounted, where, and what it is */
};

/* Of "36 25 0:32 /root /point rw shared:1 - type source options". */
static bool parse_mount(char *line, struct mount *mount)
{
    char *fields[5];

    for (int n = 0; n < 5; n++)
        fields[n] = strsep(&line, " ");
    if (!line || !(line = strstr(line, " - ")))
        return false;
    line += 3;
    mount->root = fields[3];
    mount->point = fields[4];
    mount->type = strsep(&line, " ");
    strsep(&line, " ");
    mount->options = line;
    decode(mount->root);
    decode(mount->point);
    return line != NULL;
}

/* The rest of path below root; NULL when it isn't below. */
static const char *path_below(const char *path, const char *root)
{
    size_t length = strcmp(root, "/") == 0 ? 0 : strlen(root);

    if (strncmp(path, root, length) != 0 || (path[length] != '/' && path[length] != '\0'))
        return NULL;
    return strcmp(path + length, "/") == 0 ? "" : path + length;
}

static bool take_mount(char *line, const char *controller, const char *path,
                       struct tide_cgroup *group)
{
    struct mount mount;
    const char *below;

    if (!parse_mount(line, &mount) ||
        strcmp(mount.type, group->version == 1 ? "cgroup" : "cgroup2") != 0 ||
        (group->version == 1 && !has_word(mount.options, controller)))
        return false;
    below = path_below(path, mount.root);
    if (!below || strlen(mount.point) + strlen(below) >= sizeof group->path)
        return false;
    group->mount_length = (unsigned)strlen(mount.point);
    strcpy(group->path, mount.point);
    strcpy(group->path + group->mount_length, below);
    return true;
}

bool tide_machine_cgroup_find(struct tide_cgroup *group, const char *controller)
{
    char path[TIDE_CGROUP_ROOM], *line;
    struct tide_lines lines;
    bool is_found = false;

    group->version = find_path(controller, path);
    if (group->version == 0 || !tide_os_lines_open(&lines, "/proc/self/mountinfo"))
        return false;
    while (!is_found && (line = tide_os_lines_next(&lines)))
        is_found = take_mount(line, controller, path, group);
    tide_os_lines_close(&lines);
    return is_found;
}

/* ---- What it says ------------------------------------------------------ */

/* To the group around; false at the outermost that can be seen. */
static bool go_up(struct tide_cgroup *group)
{
    char *slash = strrchr(group->path + group->mount_length, '/');

    if (slash)
        *slash = '\0';
    return slash != NULL;
}

bool tide_machine_cgroup_file(const struct tide_cgroup *group, const char *name,
                         char path[TIDE_CGROUP_ROOM])
{
    size_t length = strlen(group->path), name_length = strlen(name);

    if (length + 1 + name_length >= TIDE_CGROUP_ROOM)
        return false;
    memcpy(path, group->path, length);
    path[length] = '/';
    memcpy(path + length + 1, name, name_length + 1);
    return true;
}

static bool read_number(const struct tide_cgroup *group, const char *name, uint64_t *number)
{
    char path[TIDE_CGROUP_ROOM];

    return tide_machine_cgroup_file(group, name, path) && tide_os_kernel_number(path, number);
}

/* The limit of one group, and what it uses. */
static bool read_memory(const struct tide_cgroup *group, struct tide_cgroup_memory *memory)
{
    bool is_v1 = group->version == 1;
    uint64_t most, high;

    if (!read_number(group, is_v1 ? "memory.limit_in_bytes" : "memory.max", &most))
        most = UNLIMITED;
    if (is_v1 || !read_number(group, "memory.high", &high))
        high = UNLIMITED;
    memory->limit = most < high ? most : high;
    return memory->limit < UNLIMITED &&
           read_number(group, is_v1 ? "memory.usage_in_bytes" : "memory.current", &memory->used);
}

bool tide_machine_cgroup_memory(const struct tide_cgroup *group, struct tide_cgroup_memory *memory)
{
    struct tide_cgroup at = *group;
    struct tide_cgroup_memory here;

    memory->limit = UNLIMITED;
    do
        if (read_memory(&at, &here) && here.limit < memory->limit)
            *memory = here;
    while (go_up(&at));
    return memory->limit < UNLIMITED;
}

/* Bytes of files that were read once and not needed since. */
static uint64_t read_idle_files(const struct tide_cgroup *group)
{
    char path[TIDE_CGROUP_ROOM];
    uint64_t bytes;

    return tide_machine_cgroup_file(group, "memory.stat", path) &&
                   tide_os_kernel_value(
                       path, group->version == 1 ? "total_inactive_file" : "inactive_file", &bytes)
               ? bytes
               : 0;
}

static bool is_above(uint64_t used, uint64_t limit, unsigned percent)
{
    return used > limit / 100 * percent;
}

bool tide_machine_cgroup_is_filled(const struct tide_cgroup *group, unsigned percent)
{
    struct tide_cgroup at = *group;
    struct tide_cgroup_memory here;

    do
        if (read_memory(&at, &here) && is_above(here.used, here.limit, percent)) {
            uint64_t idle = read_idle_files(&at);

            if (is_above(idle < here.used ? here.used - idle : 0, here.limit, percent))
                return true;
        }
    while (go_up(&at));
    return false;
}

/* Version 2 has "quota period" in one file, version 1 a file for each. */
static bool read_quota(const struct tide_cgroup *group, uint64_t *quota, uint64_t *period)
{
    char path[TIDE_CGROUP_ROOM], *line;
    const char *text;
    struct tide_lines lines;
    bool is_known;

    if (group->version == 1)
        return read_number(group, "cpu.cfs_quota_us", quota) &&
               read_number(group, "cpu.cfs_period_us", period);
    if (!tide_machine_cgroup_file(group, "cpu.max", path) || !tide_os_lines_open(&lines, path))
        return false;
    line = tide_os_lines_next(&lines);
    text = line;
    is_known = text && tide_os_take_number(&text, quota) && *text++ == ' ' &&
               tide_os_take_number(&text, period);
    tide_os_lines_close(&lines);
    return is_known;
}

bool tide_machine_cgroup_cpus(const struct tide_cgroup *group, unsigned *cpus)
{
    struct tide_cgroup at = *group;
    uint64_t quota, period, least = UINT_MAX;

    do
        if (read_quota(&at, &quota, &period) && quota > 0 && period > 0) {
            uint64_t count = quota / period + (quota % period != 0);

            least = count < least ? count : least;
        }
    while (go_up(&at));
    *cpus = (unsigned)least;
    return least < UINT_MAX;
}
