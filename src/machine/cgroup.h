/* machine/cgroup.h - the control groups this process is in, and what they allow
 *
 * Version 2, or version 1 where its controller is mounted.  A group's folder is
 * found through /proc/self/cgroup and /proc/self/mountinfo, so also where only a
 * part of the tree is mounted, as in containers.  Limits hold for all below
 * them: each question is asked of the group and of its parents as far as they
 * can be seen.  Any thread; nothing is kept between calls.
 */
#ifndef TIDE_MACHINE_CGROUP_H
#define TIDE_MACHINE_CGROUP_H

#include <stdbool.h>
#include <stdint.h>

enum { TIDE_CGROUP_ROOM = 512 };

struct tide_cgroup {
    char path[TIDE_CGROUP_ROOM]; /* its folder */
    unsigned mount_length;       /* of path: where the group tree is mounted */
    unsigned version;            /* 1 or 2 */
};

struct tide_cgroup_memory {
    uint64_t limit, used; /* bytes; used has the file cache in it */
};

/* The group of this process that has the controller, "memory" or "cpu". */
bool tide_machine_cgroup_find(struct tide_cgroup *group, const char *controller);

/* The smallest limit, and what the group that has it uses.  False when there is
 * none. */
bool tide_machine_cgroup_memory(const struct tide_cgroup *group, struct tide_cgroup_memory *memory);

/* Whether one uses more than percent of its limit, not counting file cache that
 * can go at once. */
bool tide_machine_cgroup_is_filled(const struct tide_cgroup *group, unsigned percent);

/* The smallest CPU quota, in whole CPUs, rounded up.  False when there is none. */
bool tide_machine_cgroup_cpus(const struct tide_cgroup *group, unsigned *cpus);

/* Puts the path of a file of the group together; false when it is too long. */
bool tide_machine_cgroup_file(const struct tide_cgroup *group, const char *name,
                         char path[TIDE_CGROUP_ROOM]);

#endif
