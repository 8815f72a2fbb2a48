/* bench/workloads/forks.c - a process with much memory forks: what do both write?
 *
 * After a fork, parent and child share their pages until one of them writes.
 * What either writes, program or allocator, is a page more that the machine
 * needs: Private_Dirty of /proc/PID/smaps_rollup.  It is read while the children
 * wait, before any ends; and so is the sum of Pss, which is the peak memory here.
 *
 *     fork-save     as a database writes a snapshot: the child reads all and waits
 *                   for its end, the parent rewrites and replaces blocks meanwhile
 *     fork-workers  as a server that loads its program before it forks its
 *                   workers: each reads all and replaces some of the blocks
 */
#include "table.h"

#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "held.h"

#define SMALL_BYTES   (150 * MIB) /* alive in blocks of 16 bytes to 2 KiB, when it forks */
#define LARGE_BYTES   (150 * MIB) /* ... of 64 KiB to 1 MiB */
#define SAVES         5           /* one child after the other */
#define SAVE_EVERY    10          /* one block of so many is rewritten, and one replaced */
#define WORKERS       20          /* children at the same time */
#define WORKER_EVERY  50          /* one block of so many is replaced by each */
#define BUFFER_EVERY  100         /* blocks read, for each that a child takes and frees */

/* Where the children may run; the parent may be tied to a core. */
static cpu_set_t cpus;

/* told: a byte from the child that was started last, when it has done what it has
 * to.  life: ends when all children may. */
static int told[2], life[2];

static pid_t children[WORKERS];

/* Of all rounds. */
static struct {
    uint64_t fork_ns, forks;
    double parent_dirty, children_dirty, added; /* bytes */
} sums;

/* ---- What a process does ---------------------------------------------------------------- */

/* A block like it in its place. */
static void replace_one(struct worker *worker, uint64_t at)
{
    struct heap *heap = worker->state;
    size_t size = ((struct sized *)heap->blocks[at])->size;

    remove_at(worker, at);
    push(worker, size);
}

static void rewrite_one(struct worker *worker, uint64_t at)
{
    struct heap *heap = worker->state;
    size_t size = check_sized(heap->blocks[at]);

    touch_pages(mark_sized(heap->blocks[at], size), size);
    worker->operations++;
}

static void change_some(struct worker *worker, uint64_t every,
                        void (*change)(struct worker *worker, uint64_t at))
{
    const struct heap *heap = worker->state;

    for (uint64_t i = 0; i < heap->count / every; i++)
        change(worker, random_below(worker, (uint32_t)heap->count));
}

static void read_block(const void *block)
{
    const struct sized *sized = block;
    const volatile unsigned char *bytes = block;

    if (sized->tag != tag_of(block, sized->size) || bytes[sized->size - 1] != sized->tag)
        fail_block(block, sized->size);
    for (size_t at = 0; at < sized->size; at += 64)
        (void)bytes[at];
}

/* As whoever sends or saves them: with a small buffer now and then. */
static void read_all(struct worker *worker)
{
    const struct heap *heap = worker->state;

    for (uint64_t i = 0; i < heap->count; i++) {
        read_block(heap->blocks[i]);
        if (i % BUFFER_EVERY == 0)
            give_sized(take_sized(random_between(worker, LEAST_SIZED, 2 * KIB)));
    }
}

/* ---- Children --------------------------------------------------------------------------- */

static void make_pipe(int *ends)
{
    if (pipe(ends) != 0)
        fail("pipe: %s", strerror(errno));
}

/* Returns false at the end of what others write. */
static bool receive_byte(int file)
{
    char byte;
    ssize_t got;

    do
        got = read(file, &byte, 1);
    while (got < 0 && errno == EINTR);
    return got == 1;
}

static _Noreturn void be_child(struct worker *worker, uint64_t replace_every)
{
    sched_setaffinity(0, sizeof cpus, &cpus);
    close(life[1]);
    read_all(worker);
    if (replace_every)
        change_some(worker, replace_every, replace_one);
    if (write(told[1], "", 1) != 1)
        _exit(1);
    receive_byte(life[0]);
    _exit(0);
}

static void start_child(struct worker *worker, unsigned number, uint64_t replace_every)
{
    uint64_t before;

    make_pipe(told);
    before = now_ns();
    children[number] = fork();
    sums.fork_ns += now_ns() - before;
    sums.forks++;
    if (children[number] == 0) {
        random_seed(worker, number);
        be_child(worker, replace_every);
    }
    if (children[number] < 0)
        fail("fork: %s", strerror(errno));
    close(told[1]); /* so that its end is seen */
}

/* Of the child that was started last: it has done what it has to. */
static void await_child(void)
{
    if (!receive_byte(told[0]))
        fail("a child ended early");
    close(told[0]);
}

static void end_children(unsigned count)
{
    close(life[0]);
    close(life[1]);
    for (unsigned i = 0; i < count; i++) {
        int status;

        if (waitpid(children[i], &status, 0) < 0 || status != 0)
            fail("child %u ended with wait status %d", i, status);
    }
}

/* ---- Measuring -------------------------------------------------------------------------- */

struct memory {
    double dirty, pss; /* bytes */
};

static double rollup_bytes(const char *text, const char *name)
{
    const char *found = strstr(text, name);

    if (!found)
        fail("smaps_rollup has no %s", name);
    return (double)strtoull(found + strlen(name), NULL, 10) * KIB;
}

static struct memory memory_of(pid_t process)
{
    char path[64], text[4 * KIB];
    ssize_t length;
    int file;

    snprintf(path, sizeof path, "/proc/%d/smaps_rollup", (int)process);
    file = open(path, O_RDONLY | O_CLOEXEC);
    length = file < 0 ? -1 : read(file, text, sizeof text - 1);
    if (length <= 0)
        fail("%s can't be read: %s", path, strerror(errno));
    close(file);
    text[length] = 0;
    return (struct memory){ rollup_bytes(text, "\nPrivate_Dirty:"), rollup_bytes(text, "\nPss:") };
}

/* Before the first child of a round; returns the parent's memory. */
static double begin_round(void)
{
    make_pipe(life);
    return memory_of(getpid()).pss;
}

/* While so many children wait for their end; alone: what begin_round returned. */
static void note_memory(struct run *run, unsigned count, double alone)
{
    struct memory memory = memory_of(getpid());
    double pss = memory.pss;

    sums.parent_dirty += memory.dirty;
    for (unsigned i = 0; i < count; i++) {
        memory = memory_of(children[i]);
        sums.children_dirty += memory.dirty;
        pss += memory.pss;
    }
    sums.added += pss - alone;
    if (pss > (double)run->peak_bytes)
        run->peak_bytes = (size_t)pss;
}

static void add_metrics(struct run *run, unsigned rounds)
{
    struct rusage usage;

    getrusage(RUSAGE_CHILDREN, &usage);
    add_metric(run, "fork_us", (double)sums.fork_ns / (double)sums.forks / 1e3);
    add_metric(run, "parent_dirty_bytes", sums.parent_dirty / rounds);
    add_metric(run, "children_dirty_bytes", sums.children_dirty / rounds);
    add_metric(run, "added_bytes", sums.added / rounds);
    add_metric(run, "children_minor_faults", (double)usage.ru_minflt);
}

/* ---- Workloads -------------------------------------------------------------------------- */

static void fill(struct worker *worker)
{
    uint64_t small = own_share(worker, SMALL_BYTES), large = own_share(worker, LARGE_BYTES);

    make_heap(worker, small / 512 + 1000); /* blocks are twice as large */
    push_until(worker, small, LEAST_SIZED, 2 * KIB);
    push_until(worker, small + large, 64 * KIB, MIB);
    worker->operations = 0;
}

/* What is done since then isn't time of the loop. */
static void leave_out(struct run *run, uint64_t since_ns)
{
    run->idle_seconds += (double)(now_ns() - since_ns) / 1e9;
}

static void save(struct worker *worker)
{
    uint64_t since = now_ns();
    double alone = begin_round();

    leave_out(worker->run, since);
    start_child(worker, 0, 0);
    change_some(worker, SAVE_EVERY, rewrite_one);
    change_some(worker, SAVE_EVERY, replace_one);
    since = now_ns();
    await_child();
    note_memory(worker->run, 1, alone);
    end_children(1);
    leave_out(worker->run, since);
}

/* The time is the parent's: of its forks and of what it does meanwhile. */
static void saves(struct worker *worker)
{
    for (unsigned i = 0; i < SAVES; i++)
        save(worker);
    note_mappings(worker);
    add_metrics(worker->run, SAVES);
}

/* The time is that of all workers, one after the other, with their forks. */
static void workers(struct worker *worker)
{
    uint64_t since = now_ns();
    double alone = begin_round();

    leave_out(worker->run, since);
    for (unsigned i = 0; i < WORKERS; i++) {
        start_child(worker, i, WORKER_EVERY);
        await_child();
    }
    since = now_ns();
    note_memory(worker->run, WORKERS, alone);
    end_children(WORKERS);
    leave_out(worker->run, since);
    note_mappings(worker);
    worker->operations = WORKERS;
    add_metrics(worker->run, 1);
}

static void run_forks(struct run *run, void (*loop)(struct worker *worker))
{
    if (run->threads > 1)
        fail("%s is a program of one thread", run->workload->name);
    if (sched_getaffinity(0, sizeof cpus, &cpus) != 0)
        fail("sched_getaffinity: %s", strerror(errno));
    signal(SIGCHLD, SIG_DFL); /* ignored since the cores were asked for, and waitpid would fail */
    run->touches_all = true;
    run_stages(run, &(struct stages){ fill, loop, free_all });
}

void run_fork_save(struct run *run)
{
    run_forks(run, saves);
}

void run_fork_workers(struct run *run)
{
    run_forks(run, workers);
}
