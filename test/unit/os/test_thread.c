/* test_thread.c - os/thread.h */
#include "os/thread.h"

#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sched.h>
#include <signal.h>
#include <stdatomic.h>
#include <stddef.h>
#include <sys/prctl.h>
#include <sys/syscall.h>

#include "../unit.h"

static sem_t done;
static char name[16];
static sigset_t blocked;
static _Atomic uint32_t word, woken;

static void *look_at_itself(void *unused)
{
    prctl(PR_GET_NAME, name);
    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    sem_post(&done);
    return unused;
}

Test(thread, it_has_its_name_and_takes_no_signals)
{
    static const struct tide_os_job job = { look_at_itself, "a-name", 256 * 1024 };
    sigset_t before, after;

    sem_init(&done, 0, 0);
    pthread_sigmask(SIG_SETMASK, NULL, &before);
    cr_assert(tide_os_start_thread(&job));
    sem_wait(&done);
    cr_assert_str_eq(name, "a-name");
    for (int number = 1; number < 32; number++)
        if (number != SIGKILL && number != SIGSTOP)
            cr_assert(sigismember(&blocked, number), "signal %d", number);
    pthread_sigmask(SIG_SETMASK, NULL, &after);
    for (int number = 1; number < 32; number++)
        cr_assert_eq(sigismember(&before, number), sigismember(&after, number));
}

/* ---- How it is scheduled ------------------------------------------------ */

static int policy;

static void *look_at_policy(void *unused)
{
    policy = sched_getscheduler(0);
    sem_post(&done);
    return unused;
}

static int policy_of_thread(void)
{
    static const struct tide_os_job job = { look_at_policy, "a-name", 256 * 1024 };

    policy = -1;
    sem_init(&done, 0, 0);
    TIDE_REQUIRE(tide_os_start_thread(&job));
    while (sem_wait(&done) != 0)
        ;
    return policy;
}

Test(thread, it_is_scheduled_as_its_maker)
{
    static const struct sched_param none;

    cr_assert_eq(policy_of_thread(), sched_getscheduler(0));
    cr_assert_eq(sched_setscheduler(0, SCHED_BATCH, &none), 0);
    cr_assert_eq(policy_of_thread(), SCHED_BATCH);
}

Test(thread, a_real_time_threads_is_none)
{
    static const int policies[] = {
        SCHED_FIFO, SCHED_RR, SCHED_FIFO | SCHED_RESET_ON_FORK, SCHED_RR | SCHED_RESET_ON_FORK,
    };
    static const struct sched_param least = { .sched_priority = 1 };

    for (size_t n = 0; n < sizeof policies / sizeof *policies; n++) {
        if (sched_setscheduler(0, policies[n], &least) != 0)
            cr_skip("this process may not be real-time");
        cr_assert_eq(policy_of_thread(), SCHED_OTHER);
    }
}

/* The process is killed when it sets how a thread is scheduled. */
static void forbid_scheduling(void)
{
    static struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setscheduler, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setparam, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_sched_setattr, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_KILL_PROCESS),
    };
    static const struct sock_fprog program = { sizeof filter / sizeof *filter, filter };

    TIDE_REQUIRE(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
    if (prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

static void start_one_under_filter(void)
{
    forbid_scheduling();
    TIDE_REQUIRE(policy_of_thread() == sched_getscheduler(0));
}

Test(thread, a_program_that_may_not_set_scheduling_gets_one)
{
    struct outcome outcome = run_apart(start_one_under_filter);

    if (WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 77)
        cr_skip("no filter can be set");
    assert_ended_well(outcome);
}

/* ---- Its files ---------------------------------------------------------- */

static bool has_left;
static int opened = -1; /* the first number that is free to the thread */

static void *leave_files(void *unused)
{
    has_left = tide_os_leave_files();
    opened = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(opened);
    tide_base_warn("from a thread without files");
    sem_post(&done);
    return unused;
}

static void run_leave_files(void)
{
    static const struct tide_os_job job = { leave_files, "leaves", (size_t)256 << 10 };

    sem_init(&done, 0, 0);
    TIDE_REQUIRE(tide_os_start_thread(&job));
    sem_wait(&done);
}

/* The pipe's reader sees its end, though the thread lives. */
Test(thread, it_can_leave_the_programs_files)
{
    char text[TEXT_BYTES], byte;
    int ends[2];

    cr_assert_eq(pipe(ends), 0);
    capture(run_leave_files, text);
    if (!has_left)
        cr_skip("this kernel is older than 5.9");
    cr_assert_str_eq(text, "tidepool: from a thread without files\n");
    cr_assert_eq(opened, 0);
    cr_assert_eq(fcntl(ends[0], F_GETFD), 0, "the program's are open");
    close(ends[1]);
    cr_assert_eq(read(ends[0], &byte, 1), 0);
}

/* ---- Waiting ------------------------------------------------------------ */

static void *wait_for_word(void *unused)
{
    sem_post(&done);
    while (atomic_load(&word) == 1)
        tide_os_wait(&word, 1, TIDE_OS_FOREVER);
    atomic_store(&woken, 1);
    sem_post(&done);
    return unused;
}

Test(thread, a_waiting_thread_is_woken)
{
    static const struct tide_os_job job = { wait_for_word, "waits", 256 * 1024 };

    sem_init(&done, 0, 0);
    atomic_store(&word, 1);
    cr_assert(tide_os_start_thread(&job));
    sem_wait(&done);
    usleep(1000);
    cr_assert_eq(atomic_load(&woken), 0);
    atomic_store(&word, 0);
    tide_os_wake(&word);
    sem_wait(&done);
    cr_assert_eq(atomic_load(&woken), 1);
}

Test(thread, waiting_for_a_word_that_has_changed_ends_at_once)
{
    atomic_store(&word, 2);
    tide_os_wait(&word, 1, TIDE_OS_FOREVER);
}

Test(thread, waiting_ends_with_its_time)
{
    atomic_store(&word, 1);
    tide_os_wait(&word, 1, 1);
}
