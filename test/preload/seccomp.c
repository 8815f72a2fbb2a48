/* seccomp.c - programs that let the kernel end them at a system call which they
 * don't expect
 *
 * usage: seccomp probe|alone|threads [rounds]; prints "ok".
 *
 * alone: a program of one thread that, once it has started, allows itself the calls
 * that any malloc makes to get and return memory, and a few to end and to tell. Then
 * it allocates with all of malloc's family, blocks of all kinds, grows to 300 MB and
 * shrinks, several times. threads: one with several threads that allows everything but
 * calls that change how its threads are scheduled; it has enough memory for a thread
 * of malloc's own to start. probe: nothing is allocated; status 77 if there is no
 * seccomp here. What isn't allowed is told, by number, with status 1.
 */
#define _GNU_SOURCE
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <stdbool.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "blocks.h"

enum { ROUNDS = 4, GROWN_MB = 300, BLOCKS = 60000, THREADS = 4, OF_A_THREAD = 400 };

#if defined(__x86_64__)
#define ARCHITECTURE AUDIT_ARCH_X86_64
#elif defined(__aarch64__)
#define ARCHITECTURE AUDIT_ARCH_AARCH64
#elif defined(__riscv) && __riscv_xlen == 64
#define ARCHITECTURE AUDIT_ARCH_RISCV64
#endif

/* ---- Filters --------------------------------------------------------------------- */

static const int allowed[] = { SYS_mmap,    SYS_munmap,     SYS_mremap, SYS_mprotect,
                               SYS_madvise, SYS_exit_group, SYS_write,  SYS_rt_sigreturn };
static const int forbidden[] = { SYS_sched_setscheduler, SYS_sched_setattr };

/* Instead of ending the process at once the kernel sends it this, as though the call
 * had; and ends it if the thread blocks it. */
static void on_forbidden_call(int number, siginfo_t *info, void *context)
{
    (void)number;
    (void)context;
    die("system call %d isn't allowed", info->si_syscall);
}

#ifdef ARCHITECTURE
/* The listed calls are allowed, and no others, or the other way round. */
static bool install(const int *calls, unsigned count, bool are_allowed)
{
    unsigned listed = are_allowed ? SECCOMP_RET_ALLOW : SECCOMP_RET_TRAP;
    unsigned others = are_allowed ? SECCOMP_RET_TRAP : SECCOMP_RET_ALLOW;
    struct sock_filter code[64] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, arch)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, ARCHITECTURE, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
    };
    unsigned short length = 4;
    struct sigaction action = { .sa_sigaction = on_forbidden_call, .sa_flags = SA_SIGINFO };

    for (unsigned i = 0; i < count; i++) {
        code[length++] = (struct sock_filter)BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K,
                                                      (unsigned)calls[i], 0, 1);
        code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, listed);
    }
    code[length++] = (struct sock_filter)BPF_STMT(BPF_RET | BPF_K, others);
    struct sock_fprog program = { length, code };
    sigaction(SIGSYS, &action, NULL);
    return prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0 &&
           prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0;
}
#else
static bool install(const int *calls, unsigned count, bool are_allowed)
{
    (void)calls;
    (void)count;
    (void)are_allowed;
    errno = ENOSYS;
    return false;
}
#endif

#define COUNT(array) (sizeof(array) / sizeof(*(array)))

/* ---- Work ------------------------------------------------------------------------ */

static void resize(struct piece *piece, size_t bytes)
{
    size_t least = bytes < piece->bytes ? bytes : piece->bytes;

    piece_check(piece);
    unsigned char *block = realloc(piece->block, bytes);
    if (block == NULL)
        die("realloc: no memory for %zu bytes", bytes);
    for (size_t i = 0; i < least && i < ENDS_BYTES; i++)
        if (block[i] != piece->mark)
            die("realloc: block %p was changed by someone else", (void *)block);
    *piece = (struct piece){ block, bytes, piece->mark };
    piece_fill(piece);
}

static struct piece pieces[BLOCKS];

/* Small blocks fill half of what it grows to, those of other kinds the rest. */
static size_t next_size(unsigned i, uint64_t *random)
{
    if (i % 100 != 0)
        return 1 + below(5000, random);
    return sizes_of_each_kind[i / 100 % KINDS] + below(100, random);
}

static void grow_and_shrink(uint64_t *random)
{
    size_t total = 0;
    unsigned count = 0;

    for (; count < BLOCKS && total < (size_t)GROWN_MB << 20; count++) {
        piece_new_somehow(&pieces[count], next_size(count, random), random);
        total += pieces[count].bytes;
        if (count % 7 == 0) {
            struct piece *other = &pieces[below(count + 1, random)];
            total -= other->bytes;
            resize(other, next_size(below(BLOCKS, random), random));
            total += other->bytes;
        }
    }
    if (total < (size_t)GROWN_MB << 20)
        die("%u blocks have only %zu bytes", count, total);
    for (unsigned i = 0; i < count; i += 3)
        piece_free(&pieces[i]);
    for (unsigned i = 0; i < count; i += 3)
        piece_new(&pieces[i], 1 + below(300, random), i);
    for (unsigned i = count; i > 0; i--)
        piece_free(&pieces[i - 1]);
}

static void *run_thread(void *argument)
{
    static struct piece held[THREADS][OF_A_THREAD];
    struct piece *mine = held[(intptr_t)argument];
    uint64_t random = (uint64_t)(intptr_t)argument;

    for (int round = 0; round < 5; round++) {
        for (unsigned i = 0; i < OF_A_THREAD; i++)
            piece_new_somehow(&mine[i], 1000 + below(60000, &random), &random);
        churn(random);
        pause_us(10000);
        for (unsigned i = 0; i < OF_A_THREAD; i++)
            piece_free(&mine[i]);
    }
    return NULL;
}

static void work_in_threads(void)
{
    pthread_t threads[THREADS];

    for (intptr_t i = 0; i < THREADS; i++)
        if (pthread_create(&threads[i], NULL, run_thread, (void *)i) != 0)
            die("no thread");
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
}

int main(int argc, char **argv)
{
    bool has_threads = argc > 1 && strcmp(argv[1], "threads") == 0;
    bool is_probe = argc > 1 && strcmp(argv[1], "probe") == 0;
    long rounds = argc > 2 ? atol(argv[2]) : scaled(ROUNDS);
    uint64_t random = 1;
    bool is_installed = has_threads ? install(forbidden, COUNT(forbidden), false)
                                    : install(allowed, COUNT(allowed), true);

    if (!is_installed) {
        dprintf(STDOUT_FILENO, "seccomp: %s\n", strerror(errno));
        return SKIPPED;
    }
    for (long i = 0; i < rounds && !is_probe; i++) {
        if (has_threads)
            work_in_threads();
        else
            grow_and_shrink(&random);
    }
    if (write(STDOUT_FILENO, "ok\n", 3) != 3)
        return 1;
    _exit(0);
}
