/* test_thread.c - os/thread.h */
#include "os/thread.h"

#include <signal.h>
#include <stdatomic.h>
#include <sys/prctl.h>

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
