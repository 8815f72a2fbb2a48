/* test/unit/unit.h - what the unit tests share
 *
 * Criterion runs each test in a process of its own, in which the allocator has
 * already started; with the override build Criterion itself lives on it.  So
 * counts are compared before and after, and what must be seen from outside
 * runs elsewhere:
 *   run_apart     in a fork of the test: what aborts, what spoils the allocator
 *   PROGRAM       in this program started again, with settings of its own
 *   peer          on another thread, step by step
 * In all three failures are told with TIDE_REQUIRE, in tests with Criterion.
 */
#ifndef TIDE_TEST_UNIT_H
#define TIDE_TEST_UNIT_H

#include <criterion/criterion.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include "api/start.h"
#include "base/bits.h"
#include "base/fatal.h"
#include "base/geometry.h"

#define MAY_BE_UNUSED __attribute__((unused))

/* Takes the start into every program: without the standard names a test of a
 * lower layer has nothing else that asks for it. */
static void (*const unit_start)(int, char **, char **) __attribute__((used)) = tide_api_start;

/* A size the compiler can't judge the sense of. */
MAY_BE_UNUSED static size_t opaque(size_t size)
{
    __asm__ volatile("" : "+r"(size));
    return size;
}

/* ---- What goes to stderr ----------------------------------------------- */

enum { TEXT_BYTES = 16 * 1024 };

/* Lets a function write to a file instead of stderr and reads that into text,
 * allocating nothing. */
MAY_BE_UNUSED static void capture(void (*function)(void), char text[TEXT_BYTES])
{
    int file = memfd_create("stderr", 0), saved = dup(STDERR_FILENO);
    ssize_t length;

    TIDE_REQUIRE(file >= 0 && saved >= 0);
    dup2(file, STDERR_FILENO);
    function();
    dup2(saved, STDERR_FILENO);
    length = pread(file, text, TEXT_BYTES - 1, 0);
    TIDE_REQUIRE(length >= 0);
    text[length] = '\0';
    close(file);
    close(saved);
}

/* ---- Other processes --------------------------------------------------- */

/* For what hangs; far more than anything takes on the busiest machine. */
enum { WATCHDOG_SECONDS = 600 };

struct outcome {
    int status; /* as of waitpid */
    char text[TEXT_BYTES];
};

static void finish_child(int file, pid_t child, struct outcome *outcome)
{
    ssize_t length;

    TIDE_REQUIRE(waitpid(child, &outcome->status, 0) == child);
    length = pread(file, outcome->text, TEXT_BYTES - 1, 0);
    TIDE_REQUIRE(length >= 0);
    outcome->text[length] = '\0';
    close(file);
}

/* In the new process: its stderr is file, it leaves no core, and it ends. */
static void become_child(int file)
{
    static const struct rlimit none = { 0, 0 };

    dup2(file, STDERR_FILENO);
    setrlimit(RLIMIT_CORE, &none);
    alarm(WATCHDOG_SECONDS);
}

/* Runs function in a fork, which ends well when function returns. */
MAY_BE_UNUSED static struct outcome run_apart(void (*function)(void))
{
    struct outcome outcome;
    int file = memfd_create("stderr", 0);
    pid_t child = fork();

    TIDE_REQUIRE(file >= 0 && child >= 0);
    if (child == 0) {
        become_child(file);
        function();
        _exit(0);
    }
    finish_child(file, child, &outcome);
    return outcome;
}

/* Code that run_program runs in a new process, before main and after the
 * allocator's own constructor. */
#define PROGRAM(name)                                                                        \
    static void program_##name(void);                                                        \
    __attribute__((constructor)) static void start_program_##name(void)                      \
    {                                                                                        \
        const char *wanted = getenv("UNIT_PROGRAM");                                         \
                                                                                             \
        if (wanted && strcmp(wanted, #name) == 0) {                                          \
            program_##name();                                                                \
            exit(0);                                                                         \
        }                                                                                    \
    }                                                                                        \
    static void program_##name(void)

enum { MOST_SETTINGS = 8 };

/* Runs PROGRAM(name) with an environment of these settings, up to a NULL. */
MAY_BE_UNUSED static struct outcome run_program_with(const char *name,
                                                     const char *const settings[MOST_SETTINGS])
{
    struct outcome outcome;
    int file = memfd_create("stderr", 0);
    char wanted[100];
    char *arguments[] = { (char *)"unit", NULL };
    char *environment[MOST_SETTINGS + 2] = { wanted, (char *)"ASAN_OPTIONS=detect_leaks=0" };
    pid_t child;

    for (int n = 0; n < MOST_SETTINGS - 1 && settings[n]; n++)
        environment[2 + n] = (char *)settings[n];
    snprintf(wanted, sizeof wanted, "UNIT_PROGRAM=%s", name);
    child = fork();
    TIDE_REQUIRE(file >= 0 && child >= 0);
    if (child == 0) {
        become_child(file);
        execve("/proc/self/exe", arguments, environment);
        _exit(127);
    }
    finish_child(file, child, &outcome);
    return outcome;
}

/* The same for up to two settings. */
MAY_BE_UNUSED static struct outcome run_program(const char *name, const char *setting,
                                                const char *another)
{
    const char *const settings[MOST_SETTINGS] = { setting, another };

    return run_program_with(name, settings);
}

MAY_BE_UNUSED static void assert_ended_well(struct outcome outcome)
{
    cr_assert(WIFEXITED(outcome.status) && WEXITSTATUS(outcome.status) == 0,
              "status %#x, stderr: %s", (unsigned)outcome.status, outcome.text);
}

/* Aborted, and all it said is "tidepool: " and the message. */
__attribute__((format(printf, 2, 3))) MAY_BE_UNUSED static void
assert_aborted(struct outcome outcome, const char *format, ...)
{
    char expected[1024];
    va_list arguments;
    int length = snprintf(expected, sizeof expected, "tidepool: ");

    va_start(arguments, format);
    length += vsnprintf(expected + length, sizeof expected - (size_t)length, format, arguments);
    va_end(arguments);
    snprintf(expected + length, sizeof expected - (size_t)length, "\n");
    cr_assert(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT,
              "status %#x, stderr: %s", (unsigned)outcome.status, outcome.text);
    cr_assert_str_eq(outcome.text, expected, "%s instead of %s", outcome.text, expected);
}

/* Aborted by an invariant that does not hold. */
MAY_BE_UNUSED static void assert_broken(struct outcome outcome)
{
    cr_assert(WIFSIGNALED(outcome.status) && WTERMSIG(outcome.status) == SIGABRT &&
                  strstr(outcome.text, "broken invariant"),
              "status %#x, stderr: %s", (unsigned)outcome.status, outcome.text);
}

/* ---- Other threads ----------------------------------------------------- */

/* A thread that does one thing at a time and waits in between. */
struct peer {
    pthread_t thread;
    sem_t asked, done;
    void (*function)(void *); /* NULL: end */
    void *argument;
};

static void *peer_main(void *argument)
{
    struct peer *peer = argument;

    for (;;) {
        while (sem_wait(&peer->asked) != 0)
            ;
        if (!peer->function)
            return NULL;
        peer->function(peer->argument);
        sem_post(&peer->done);
    }
}

MAY_BE_UNUSED static void peer_start(struct peer *peer)
{
    sem_init(&peer->asked, 0, 0);
    sem_init(&peer->done, 0, 0);
    TIDE_REQUIRE(pthread_create(&peer->thread, NULL, peer_main, peer) == 0);
}

/* Lets the peer begin to run function. */
MAY_BE_UNUSED static void peer_ask(struct peer *peer, void (*function)(void *), void *argument)
{
    peer->function = function;
    peer->argument = argument;
    sem_post(&peer->asked);
}

MAY_BE_UNUSED static void peer_wait(struct peer *peer)
{
    while (sem_wait(&peer->done) != 0)
        ;
}

/* Lets the peer run function and waits for it. */
MAY_BE_UNUSED static void peer_do(struct peer *peer, void (*function)(void *), void *argument)
{
    peer_ask(peer, function, argument);
    peer_wait(peer);
}

MAY_BE_UNUSED static void peer_end(struct peer *peer)
{
    peer_ask(peer, NULL, NULL);
    pthread_join(peer->thread, NULL);
}

/* Runs function on a new thread from its birth to its end. */
MAY_BE_UNUSED static void run_thread(void (*function)(void *), void *argument)
{
    struct peer peer;

    peer_start(&peer);
    peer_do(&peer, function, argument);
    peer_end(&peer);
}

/* ---- Memory ------------------------------------------------------------ */

MAY_BE_UNUSED static bool is_zero(const void *memory, size_t bytes)
{
    const unsigned char *byte = memory;

    return bytes == 0 || (byte[0] == 0 && memcmp(byte, byte + 1, bytes - 1) == 0);
}

MAY_BE_UNUSED static bool is_aligned(const void *address, size_t alignment)
{
    return ((uintptr_t)address & (alignment - 1)) == 0;
}

/* Whether something is mapped at the page of address. */
MAY_BE_UNUSED static bool is_mapped(const void *address)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char resident;

    return mincore((void *)tide_round_down((uintptr_t)address, page), page, &resident) == 0;
}

/* Whether the page of address takes memory. */
MAY_BE_UNUSED static bool is_resident(const void *address)
{
    size_t page = (size_t)sysconf(_SC_PAGESIZE);
    unsigned char resident = 0;

    return mincore((void *)tide_round_down((uintptr_t)address, page), page, &resident) == 0 &&
           resident & 1;
}

#endif
