/* tracer.c - stops a thread at each instruction of a malloc and of a free, while
 * another thread gives back what it keeps; and the other way round
 *
 * usage: tracer probe|owner|tidier; prints what was tried, at last "ok".
 *
 * The tracer runs a process of two threads: the owner has some hundred blocks, the
 * tidier calls malloc_trim, which gives back what the owner keeps, too. With "owner"
 * it is the owner that is single-stepped (ptrace), up to instruction 0, 1, 2 and so on
 * of a call, and held there until the tidier has done its work or waits for something,
 * which may be the owner; then it goes on, and all blocks are checked: none changed,
 * none given twice. With "tidier" it is the tidier that is single-stepped, and held at
 * every so many instructions, while the owner frees and mallocs blocks of its own, of
 * sizes that it has: which it must come to the end of, though the tidier doesn't move.
 * That the owner doesn't is found out by waiting for it for a minute.
 *
 * probe: status 77 if this can't be done here. TIDE_TEST_SCALE is the work in percent:
 * of 100 instructions that many are tried, and with 10000 the owner does a million
 * mallocs at each stop of the tidier.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <malloc.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>

#include "blocks.h"

enum {
    LIVE_MOST = 300,           /* blocks of the owner */
    LIVE_BYTES = 20 << 20,     /* or less, if they are so many bytes */
    TIDIERS = 40,              /* blocks that the tidier has */
    EACH = 400,                /* so many first instructions are all tried */
    INSTRUCTIONS_MOST = 20000, /* of a call */
    MISSES = 3,                /* calls that ended earlier, after which all were tried */
    TIDYING_MOST = 4000000,    /* instructions of malloc_trim that are stepped */
    STOPS_MANY = 500,          /* in one malloc_trim of DENSE, else few */
    STOPS_FEW = 8,
    DENSE = 10,
    RUNS = 40,
    PAIRS = 10000, /* of free and malloc, at a stop */
    PAIR_BLOCKS = 20,
    LITTER = 8000, /* blocks that are freed to be tidied, but for one in */
    LITTER_KEPT = 40,
};

static const size_t sizes[] = { 16, 100, 1000, 5000, 40000, 300000 };
static const size_t pair_sizes[] = { 16, 100, 500, 1000, 3000 };
#define COUNT(array) ((int)(sizeof(array) / sizeof(*(array))))

enum job {
    MALLOC,            /* from the list as it is */
    MALLOC_AFTER_FREE, /* the list has a block */
    FREE_NEWEST,       /* of the pool that malloc takes from */
    FREE_OLDEST,       /* of another pool, if there are several */
    STEPPED_JOBS,
    NEW_SIZE = STEPPED_JOBS,
    LITTERING,
    PAIRING,
    ENDING,
};

static const char *const names[] = { "malloc", "malloc after a free", "free of the newest block",
                                     "free of the oldest block" };

/* What the tracer and the process share. */
static struct shared {
    sem_t go_owner, owner_done;
    sem_t go_tidier, tidier_began, tidier_done;
    enum job job;
    size_t size;
    bool is_tidier_traced, is_tidier_to_end;
    pid_t owner, tidier;
    volatile int phase; /* 1 in the call that is stepped, 2 after it */
} *shared;

/* ---- The process: owner ---------------------------------------------------------- */

/* A mark for the tracer, which takes the signal away. */
static void stop_for_tracer(void)
{
    syscall(SYS_tgkill, getpid(), (pid_t)syscall(SYS_gettid), SIGUSR1);
}

static void await_go(sem_t *semaphore)
{
    while (sem_wait(semaphore) != 0)
        ;
}

static struct piece live[LIVE_MOST]; /* oldest is the next one */
static int live_count, oldest;
static unsigned next_mark;

static void take_in(void *block)
{
    if (block == NULL)
        die("no memory");
    for (int i = 0; i < live_count; i++)
        if (live[i].block == block)
            die("block %p was given twice", block);
    live[oldest] = (struct piece){ block, shared->size, (unsigned char)next_mark++ };
    piece_fill(&live[oldest]);
    oldest = (oldest + 1) % live_count;
}

static void replace_oldest(void)
{
    piece_free(&live[oldest]);
    take_in(malloc(shared->size));
}

static void begin_size(void)
{
    for (int i = 0; i < live_count; i++)
        piece_free(&live[i]);
    live_count = (int)(LIVE_BYTES / shared->size);
    live_count = live_count < LIVE_MOST ? live_count : LIVE_MOST;
    oldest = 0;
    for (int i = 0; i < live_count; i++)
        take_in(malloc(shared->size));
}

static void step_through_malloc(void)
{
    piece_free(&live[oldest]);
    if (shared->job == MALLOC_AFTER_FREE)
        free(malloc(shared->size));
    stop_for_tracer();
    shared->phase = 1;
    void *block = malloc(shared->size);
    shared->phase = 2;
    take_in(block);
}

static void step_through_free(void)
{
    struct piece *piece = &live[oldest], newest;

    if (shared->job == FREE_NEWEST) {
        piece_new(&newest, shared->size, next_mark++);
        piece = &newest;
    }
    piece_check(piece);
    void *block = piece->block;
    stop_for_tracer();
    shared->phase = 1;
    free(block);
    shared->phase = 2;
    piece->block = NULL;
    if (piece != &newest)
        take_in(malloc(shared->size));
}

/* A block that is free twice, or was lost, shows when more are taken. */
static void check_all(void)
{
    for (int i = 0; i < live_count; i++)
        piece_check(&live[i]);
    for (int i = 0; i < 20; i++)
        replace_oldest();
    for (int i = 0; i < live_count; i++)
        piece_check(&live[i]);
}

static struct piece paired[PAIR_BLOCKS * COUNT(pair_sizes)];

static void *littered[LITTER];

static void litter(void)
{
    for (int i = 0; i < LITTER; i += LITTER_KEPT)
        free(littered[i]);
    for (int i = 0; i < LITTER; i++)
        littered[i] = malloc(pair_sizes[i % COUNT(pair_sizes)] + (i % 50 == 0 ? 50000 : 0));
    for (int i = 0; i < COUNT(paired); i++)
        if (paired[i].block == NULL)
            piece_new(&paired[i], pair_sizes[i % COUNT(pair_sizes)], (unsigned)i);
    for (int i = 0; i < LITTER; i++)
        if (i % LITTER_KEPT != 0)
            free(littered[i]);
}

static void do_pairs(void)
{
    long pairs = scaled(PAIRS);

    for (long i = 0; i < pairs; i++) {
        struct piece *piece = &paired[i % COUNT(paired)];
        piece_free(piece);
        piece_new(piece, piece->bytes, next_mark++);
    }
}

static void *run_owner(void *argument)
{
    shared->owner = (pid_t)syscall(SYS_gettid);
    sem_post(&shared->owner_done);
    for (bool is_over = false; !is_over;) {
        await_go(&shared->go_owner);
        switch (shared->job) {
        case MALLOC:
        case MALLOC_AFTER_FREE:
            step_through_malloc();
            check_all();
            break;
        case FREE_NEWEST:
        case FREE_OLDEST:
            step_through_free();
            check_all();
            break;
        case NEW_SIZE:
            begin_size();
            break;
        case LITTERING:
            litter();
            break;
        case PAIRING:
            do_pairs();
            break;
        case ENDING:
            is_over = true;
        }
        sem_post(&shared->owner_done);
    }
    return argument;
}

/* ---- The process: tidier ----------------------------------------------------------- */

/* After it has tidied it takes blocks of that size, which it has until next time. */
static void *run_tidier(void *argument)
{
    static struct piece pieces[TIDIERS];

    shared->tidier = (pid_t)syscall(SYS_gettid);
    sem_post(&shared->tidier_began);
    for (;;) {
        await_go(&shared->go_tidier);
        if (shared->is_tidier_to_end)
            return argument;
        sem_post(&shared->tidier_began);
        for (int i = 0; i < TIDIERS && !shared->is_tidier_traced; i++)
            piece_free(&pieces[i]);
        if (shared->is_tidier_traced)
            stop_for_tracer();
        shared->phase = shared->is_tidier_traced ? 1 : shared->phase;
        malloc_trim(0);
        shared->phase = shared->is_tidier_traced ? 2 : shared->phase;
        for (int i = 0; i < TIDIERS && !shared->is_tidier_traced; i++)
            piece_new(&pieces[i], shared->size, 200);
        sem_post(&shared->tidier_done);
    }
}

static _Noreturn void run_process(void)
{
    pthread_t owner, tidier;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (pthread_create(&owner, NULL, run_owner, NULL) != 0 ||
        pthread_create(&tidier, NULL, run_tidier, NULL) != 0)
        die("no thread");
    pthread_join(owner, NULL);
    shared->is_tidier_to_end = true;
    sem_post(&shared->go_tidier);
    pthread_join(tidier, NULL);
    for (int i = 0; i < live_count; i++)
        piece_free(&live[i]);
    for (int i = 0; i < COUNT(paired); i++)
        piece_free(&paired[i]);
    _exit(3);
}

/* ---- The tracer -------------------------------------------------------------------- */

static pid_t process, traced;

static _Noreturn void end_with(const char *what)
{
    kill(process, SIGKILL);
    die("%s", what);
}

/* The traced thread's next stop: its signal, 0 if there is none yet. */
static int stop_signal(int options)
{
    int status;
    pid_t stopped = waitpid(traced, &status, __WALL | options);

    if (stopped == 0)
        return 0;
    if (stopped != traced || !WIFSTOPPED(status))
        end_with("the process has ended, see above");
    return WSTOPSIG(status);
}

static void go_on(int request, int signal_number)
{
    if (ptrace((enum __ptrace_request)request, traced, NULL, (void *)(intptr_t)signal_number) != 0)
        end_with("ptrace: the thread can't be moved");
}

/* Waits for the process; passes signals on that the traced thread stops for, unless
 * that is held. */
static void await(sem_t *semaphore, bool is_held, const char *what)
{
    for (long waited = 0; sem_trywait(semaphore) != 0; waited++) {
        int signal_number = is_held ? 0 : stop_signal(WNOHANG);
        if (signal_number != 0)
            go_on(PTRACE_CONT, signal_number);
        if (is_held && waitpid(process, NULL, WNOHANG) == process)
            end_with("the process has ended, see above");
        if (waited > PATIENCE_S * 3500L)
            end_with(what);
        if (waited > 200)
            pause_us(200);
        else
            sched_yield();
    }
}

static void tell_owner(enum job job)
{
    shared->job = job;
    shared->phase = 0;
    sem_post(&shared->go_owner);
}

static void owner_does(enum job job)
{
    tell_owner(job);
    await(&shared->owner_done, false, "the owner hangs");
}

static void attach(pid_t thread)
{
    traced = thread;
    if (ptrace(PTRACE_SEIZE, traced, NULL, (void *)PTRACE_O_EXITKILL) != 0)
        end_with("ptrace: no thread can be traced");
}

/* Up to the mark. */
static void await_mark(void)
{
    for (int signal_number; (signal_number = stop_signal(0)) != SIGUSR1;)
        go_on(PTRACE_CONT, signal_number == SIGTRAP ? 0 : signal_number);
}

static void step(void)
{
    go_on(PTRACE_SINGLESTEP, 0);
    for (int signal_number; (signal_number = stop_signal(0)) != SIGTRAP;)
        go_on(PTRACE_SINGLESTEP, signal_number);
}

/* Whether the call hasn't ended before. */
static bool step_to(long instruction)
{
    while (shared->phase == 0)
        step();
    for (long i = 0; i < instruction && shared->phase == 1; i++)
        step();
    return shared->phase == 1;
}

static char state_of(pid_t thread)
{
    char path[64], text[300] = "";

    snprintf(path, sizeof(path), "/proc/%d/task/%d/stat", process, thread);
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0 || read(file, text, sizeof(text) - 1) < 0)
        end_with("/proc can't be read");
    close(file);
    const char *name_end = strrchr(text, ')');
    return name_end != NULL ? name_end[2] : '?';
}

/* The traced thread is held while the tidier works: to its end, or, if that waits for
 * the thread, as far as it comes. */
static bool let_tidier_work(void)
{
    int asleep = 0;

    sem_post(&shared->go_tidier);
    await(&shared->tidier_began, true, "the tidier doesn't begin");
    for (int i = 0; i < 2000 && asleep < 5; i++) {
        if (sem_trywait(&shared->tidier_done) == 0)
            return true;
        pause_us(100);
        asleep = state_of(shared->tidier) == 'S' ? asleep + 1 : 0;
    }
    return false;
}

/* ---- The owner is held ----------------------------------------------------------- */

/* Whether the call came to that instruction. */
static bool try_instruction(enum job job, long instruction, long *tidied)
{
    bool is_done = true;

    tell_owner(job);
    await_mark();
    bool is_there = step_to(instruction);
    if (is_there) {
        is_done = let_tidier_work();
        *tidied += is_done;
    }
    go_on(PTRACE_CONT, 0);
    await(&shared->owner_done, false, "the owner hangs after it was held");
    if (!is_done)
        await(&shared->tidier_done, false, "the tidier hangs");
    return is_there;
}

static void hold_owner(void)
{
    long stride = 100 / scaled(100), total = 0;

    stride = stride > 1 ? stride : 1;
    attach(shared->owner);
    for (int s = 0; s < COUNT(sizes); s++) {
        shared->size = sizes[s];
        owner_does(NEW_SIZE);
        for (enum job job = 0; job < STEPPED_JOBS; job++) {
            long tried = 0, tidied = 0, misses = 0, last = 0;
            for (long i = 0; i < INSTRUCTIONS_MOST && misses < MISSES;) {
                if (!try_instruction(job, i, &tidied)) {
                    misses++;
                    continue;
                }
                misses = 0;
                tried++;
                last = i;
                i += stride * (i < EACH ? 1 : i / 50);
            }
            printf("%zu bytes, %s: held at %ld instructions, the last of them number %ld; "
                   "the other thread tidied meanwhile at %ld\n",
                   sizes[s], names[job], tried, last, tidied);
            fflush(stdout);
            total += tried;
        }
    }
    printf("%ld instructions tried\n", total);
    owner_does(ENDING);
}

/* ---- The tidier is held ---------------------------------------------------------- */

/* Returns how many instructions it took. */
static long tidy(long every, long first, long *stops)
{
    long instruction = 0;
    char what[100];

    owner_does(LITTERING);
    shared->phase = 0;
    sem_post(&shared->go_tidier);
    await_mark();
    while (sem_trywait(&shared->tidier_began) != 0)
        ;
    for (; step_to(1) && instruction < TIDYING_MOST; instruction++) {
        if (every == 0 || instruction % every != first)
            continue;
        shared->job = PAIRING;
        sem_post(&shared->go_owner);
        snprintf(what, sizeof(what),
                 "the owner waits for the tidier, which is held at instruction %ld", instruction);
        await(&shared->owner_done, true, what);
        ++*stops;
    }
    go_on(PTRACE_CONT, 0);
    await(&shared->tidier_done, false, "the tidier hangs after it was held");
    return instruction;
}

static void hold_tidier(void)
{
    long stops = 0, runs = scaled(RUNS);
    uint64_t random = 1;

    shared->is_tidier_traced = true;
    attach(shared->tidier);
    long all = tidy(0, 0, &stops);
    for (long run = 0; run < runs; run++) {
        /* Many stops, at each of which the owner wakes up, and few, so that the tidier
         * comes to what it does only with a thread that goes on sleeping. */
        unsigned every = (unsigned)(all / (run % DENSE == 1 ? STOPS_MANY : STOPS_FEW) + 1);
        all = tidy(every, below(every, &random), &stops);
        printf("malloc_trim of %ld instructions, held at each %u.\n", all, every);
        fflush(stdout);
    }
    printf("%ld stops, at each %ld times free and malloc\n", stops, scaled(PAIRS));
    owner_does(ENDING);
}

/* The process has ended when its traced thread was waited for, too. */
static void await_end(void)
{
    int status = 0;

    while (waitpid(traced, &status, __WALL) == traced && WIFSTOPPED(status))
        go_on(PTRACE_CONT, WSTOPSIG(status));
    expect_end(process, 3, "the process");
}

/* On other machines atomics may be made of instructions that never succeed when they
 * are stepped. */
#ifdef __x86_64__
enum { CAN_BE_STEPPED = true };
#else
enum { CAN_BE_STEPPED = false };
#endif

static int probe(void)
{
    pid_t child = fork();

    if (child == 0) {
        pause();
        _exit(0);
    }
    bool is_permitted = ptrace(PTRACE_SEIZE, child, NULL, NULL) == 0;
    int error = errno;
    kill(child, SIGKILL);
    if (is_permitted && CAN_BE_STEPPED)
        return 0;
    printf("ptrace: %s\n", is_permitted ? "not on this kind of CPU" : strerror(error));
    return SKIPPED;
}

int main(int argc, char **argv)
{
    const char *part = argc > 1 ? argv[1] : "owner";
    sem_t *semaphores;

    if (strcmp(part, "probe") == 0)
        return probe();
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED)
        die("no memory");
    semaphores = &shared->go_owner;
    for (int i = 0; i < 5; i++)
        sem_init(&semaphores[i], 1, 0);
    process = fork();
    if (process == 0)
        run_process();
    await(&shared->owner_done, true, "the owner doesn't begin");
    await(&shared->tidier_began, true, "the tidier doesn't begin");
    if (strcmp(part, "tidier") == 0)
        hold_tidier();
    else
        hold_owner();
    await_end();
    puts("ok");
    return 0;
}
