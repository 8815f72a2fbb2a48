/* bench/workloads/prefork.c - workers of one thread each, forked by a parent with a small heap
 *
 * As prefork servers are: the parent has a little on its heap when it forks, and
 * each worker needs much once, frees nearly all of it and sleeps.  The parent
 * lets one worker work at a time, so that the machine needs no more than what
 * they keep, and they compete for no core.  The words are lone.c's; "peak" is
 * said when all have had theirs.  Parent and workers share only pipes: a worker
 * whose parent ends, ends.
 *
 * The scale changes how many workers there are, not how many bytes each takes.
 */
#include "lone.h"

#include <errno.h>
#include <signal.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define WORKERS      100
#define PARENT_BYTES MIB
#define WORKER_BYTES ((uint64_t)64 * MIB)
#define KEEP         3 /* percent of a worker's blocks */

struct duct {
    int read, write;
};

/* go: a byte for each worker that may work.  told: struct done of each that has,
 * and an empty one when it is ready.  life: nothing; it ends when the parent does. */
static struct duct go, told, life;

static void make_duct(struct duct *duct)
{
    int ends[2];

    if (pipe(ends) != 0)
        fail("pipe: %s", strerror(errno));
    *duct = (struct duct){ ends[0], ends[1] };
}

/* Returns false at the end of what others write. */
static bool receive(int file, void *data, size_t bytes)
{
    ssize_t got;

    do
        got = read(file, data, bytes);
    while (got < 0 && errno == EINTR);
    if (got != 0 && got != (ssize_t)bytes)
        fail("a pipe can't be read: %s", strerror(errno));
    return got != 0;
}

static void send_all(int file, const void *data, size_t bytes)
{
    if (write(file, data, bytes) != (ssize_t)bytes) /* at once: less than PIPE_BUF */
        fail("a pipe can't be written: %s", strerror(errno));
}

/* ---- A worker -------------------------------------------------------------------------- */

static void work_once(struct worker *worker, struct done *done)
{
    uint64_t start = now_ns();

    lone_fill(worker, WORKER_BYTES, SIZES_SMALL);
    lone_keep(worker, KEEP);
    done->ns = now_ns() - start;
    done->blocks = worker->operations;
    lone_count(worker, done);
}

static _Noreturn void be_worker(const struct run *parent, unsigned number)
{
    static struct run run;
    static struct worker worker;
    struct done done = { 0 };
    char byte;

    signal(SIGCHLD, SIG_DFL);
    close(go.write);
    close(life.write);
    run = (struct run){ .workload = parent->workload, .scale = parent->scale };
    lone_prepare(&run, &worker, number + 1);
    lone_make_heap(&worker, WORKER_BYTES, SIZES_SMALL);
    send_all(told.write, &done, sizeof done);
    if (!receive(go.read, &byte, 1))
        _exit(1);
    work_once(&worker, &done);
    send_all(told.write, &done, sizeof done);
    receive(life.read, &byte, 1);
    lone_check(&worker);
    _exit(0);
}

/* ---- The parent ------------------------------------------------------------------------- */

/* Of SIGCHLD: the others would keep the pipe open, and the parent wait for ever. */
static void give_up(int number)
{
    static const char text[] = "workload: prefork: a worker ended early\n";

    (void)number;
    if (write(STDERR_FILENO, text, sizeof text - 1) < 0)
        _exit(3);
    _exit(1);
}

static void fork_workers(const struct run *run, unsigned count)
{
    for (unsigned i = 0; i < count; i++) {
        pid_t child = fork();

        if (child < 0)
            fail("fork: %s", strerror(errno));
        if (child == 0)
            be_worker(run, i);
    }
}

static struct done await_worker(void)
{
    struct done done = { 0 };

    receive(told.read, &done, sizeof done); /* never ends: the parent could write to it, too */
    return done;
}

static void let_work(unsigned count, struct done *sum)
{
    for (unsigned i = 0; i < count; i++) {
        struct done done;

        send_all(go.write, "", 1);
        done = await_worker();
        sum->blocks += done.blocks;
        sum->ns += done.ns;
        sum->live_bytes += done.live_bytes;
        sum->live_page_bytes += done.live_page_bytes;
        sum->own_page_bytes += done.own_page_bytes;
    }
}

static void end_workers(unsigned count)
{
    signal(SIGCHLD, SIG_DFL);
    close(life.write);
    for (unsigned i = 0; i < count; i++) {
        int status;

        if (wait(&status) < 0 || status != 0)
            fail("prefork: a worker ended with wait status %d", status);
    }
}

void run_prefork(unsigned scale)
{
    static struct run run;
    static struct worker worker;
    static const struct workload workload = { .name = "prefork" };
    struct done sum = { 0 };
    unsigned count;

    run = (struct run){ .workload = &workload, .scale = scale };
    count = (unsigned)scaled(&run, WORKERS);
    make_duct(&go);
    make_duct(&told);
    make_duct(&life);
    lone_prepare(&run, &worker, 0);
    lone_make_heap(&worker, PARENT_BYTES, SIZES_SMALL);
    lone_fill(&worker, PARENT_BYTES, SIZES_SMALL);
    signal(SIGCHLD, give_up);
    fork_workers(&run, count);
    for (unsigned i = 0; i < count; i++)
        await_worker();
    lone_say("ready");
    let_work(count, &sum);
    lone_say("peak");
    lone_say("freed");
    lone_rest(&sum);
    end_workers(count);
    lone_check(&worker);
}
