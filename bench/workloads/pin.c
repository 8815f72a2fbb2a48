/* bench/workloads/pin.c - see pin.h */
#include "pin.h"

#include <errno.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static int cpus[CPU_SETSIZE]; /* one of each core */
static unsigned cpu_count;
static bool on;

unsigned parallel(unsigned threads)
{
    cpu_set_t set;

    if (sched_getaffinity(0, sizeof set, &set) != 0)
        return 1;
    return threads < (unsigned)CPU_COUNT(&set) ? threads : (unsigned)CPU_COUNT(&set);
}

/* The program `cores` beside our own; false if there is none. */
static bool find_cores(char *path, size_t bytes)
{
    ssize_t length = readlink("/proc/self/exe", path, bytes - sizeof "cores");
    char *name;

    if (length < 0)
        return false;
    path[length] = 0;
    name = strrchr(path, '/');
    strcpy(name + 1, "cores");
    return access(path, X_OK) == 0;
}

static void read_cpus(int file)
{
    static char text[8 * CPU_SETSIZE];
    size_t length = 0;
    ssize_t more;
    char *next = text, *end;

    do {
        more = read(file, text + length, sizeof text - 1 - length);
        if (more > 0)
            length += (size_t)more;
    } while (more > 0 || (more < 0 && errno == EINTR));
    for (long cpu; cpu_count < CPU_SETSIZE; next = end) {
        cpu = strtol(next, &end, 10);
        if (end == next || cpu < 0 || cpu >= CPU_SETSIZE)
            return;
        cpus[cpu_count++] = (int)cpu;
    }
}

void pin_prepare(unsigned threads)
{
    static char path[PATH_MAX], number[16];
    char *const arguments[] = { path, number, NULL };
    int ends[2];
    pid_t process;

    if (parallel(threads) < threads || !find_cores(path, sizeof path) || pipe(ends) != 0)
        return;
    /* Not waited for, lest its peak and its time be counted as ours. */
    signal(SIGCHLD, SIG_IGN);
    unsetenv("LD_PRELOAD");
    snprintf(number, sizeof number, "%d", ends[1]);
    if (posix_spawn(&process, path, NULL, NULL, arguments, environ) != 0)
        fprintf(stderr, "workload: %s doesn't start; nothing is pinned\n", path);
    close(ends[1]);
    read_cpus(ends[0]);
    close(ends[0]);
    on = cpu_count >= threads;
}

void pin_thread(unsigned index)
{
    cpu_set_t set;

    if (!on)
        return;
    CPU_ZERO(&set);
    CPU_SET(cpus[index], &set);
    if (pthread_setaffinity_np(pthread_self(), sizeof set, &set) != 0)
        fprintf(stderr, "workload: thread %u isn't pinned to CPU %d\n", index, cpus[index]);
}

bool pin_is_on(void)
{
    return on;
}
