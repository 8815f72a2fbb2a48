/* os/rcu.c - see rcu.h
 *
 * grace_lock guards is_grace: a fork holds it and so knows that no grace period
 * of ours begins, and a grace period is waited for without it.
 */
#include "os/rcu.h"

#include <dlfcn.h>
#include <errno.h>
#include <link.h>
#include <pthread.h>
#include <signal.h>
#include <stdint.h>
#include <sys/auxv.h>

#include "base/fatal.h"
#include "base/lock.h"
#include "base/options.h"

enum state {
    UNTRIED, /* to be loaded by who reads first */
    LOADING, /* somebody does; others don't wait */
    READY,
    ABSENT,  /* not to be had, or not wanted */
    LOST,    /* in the child of a fork that liburcu wasn't told of */
};

struct functions {
    void (*read_lock)(void);
    void (*read_unlock)(void);
    void (*synchronize)(void);
    void (*before_fork)(void);
    void (*after_fork_parent)(void);
    void (*after_fork_child)(void);
};

static _Atomic int state;       /* enum state; READY by release, after liburcu is written */
static struct functions liburcu; /* constant once READY */

static _Atomic unsigned readers; /* threads' depths, summed up */
static _Thread_local unsigned depth; /* how often this thread has entered */

static struct tide_lock grace_lock = TIDE_LOCK_INITIALIZER;
static bool is_grace; /* under grace_lock: a grace period is being waited for */
static bool is_held;  /* likewise: a fork holds liburcu's locks */
static _Thread_local bool is_prepared; /* a fork of this thread holds grace_lock */

/* ---- Loading ----------------------------------------------------------- */

static bool find(void *library, const char *name, void (**function)(void))
{
    *(void **)function = dlsym(library, name);
    return *function != NULL;
}

static bool find_all(void *library)
{
    return find(library, "urcu_bp_read_lock", &liburcu.read_lock) &&
           find(library, "urcu_bp_read_unlock", &liburcu.read_unlock) &&
           find(library, "urcu_bp_synchronize_rcu", &liburcu.synchronize) &&
           find(library, "urcu_bp_before_fork", &liburcu.before_fork) &&
           find(library, "urcu_bp_after_fork_parent", &liburcu.after_fork_parent) &&
           find(library, "urcu_bp_after_fork_child", &liburcu.after_fork_child);
}

/* Whether the program asks for a dynamic linker.  A static one would load a
 * second C library along with liburcu. */
static bool is_dynamic(void)
{
    const ElfW(Phdr) *header = (const ElfW(Phdr) *)getauxval(AT_PHDR);

    for (unsigned long n = getauxval(AT_PHNUM); header && n > 0; n--, header++)
        if (header->p_type == PT_INTERP)
            return true;
    return false;
}

/* Found by name, as linkers warn when a static program mentions it. */
static void *open_liburcu(void)
{
    void *(*open_library)(const char *, int);

    *(void **)&open_library = dlsym(RTLD_DEFAULT, "dlopen");
    return open_library ? open_library(TIDE_LIBURCU, RTLD_NOW | RTLD_LOCAL | RTLD_NODELETE) : NULL;
}

static bool can_load(void)
{
    void *library;
    const char *why;

    if (!is_dynamic())
        return false;
    library = open_liburcu();
    if (library && find_all(library))
        return true;
    why = dlerror();
    tide_base_warn("reading the lists of arenas takes locks, as " TIDE_LIBURCU " can't be loaded "
                   "(%s): install it (Debian: liburcu8), or set TIDEPOOL_RCU=off to do without",
                   why ? why : "no reason given");
    return false;
}

/* Whether this call has changed it. */
static bool change_state(int from, int to)
{
    return atomic_compare_exchange_strong(&state, &from, to);
}

static void load(void)
{
    int saved_errno = errno, cancel_state;

    if (tide_relaxed(&state) != UNTRIED || !change_state(UNTRIED, LOADING))
        return;
    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    tide_set_release(&state, can_load() ? READY : ABSENT);
    pthread_setcancelstate(cancel_state, NULL);
    errno = saved_errno;
}

static bool is_ready(void)
{
    return tide_acquire(&state) == READY; /* pairs with the release in load */
}

void tide_rcu_end(void)
{
    change_state(UNTRIED, ABSENT);
}

/* ---- Reading and waiting ----------------------------------------------- */

/* A thread that forks holds liburcu's locks. */
bool tide_rcu_enter(void)
{
    if (!tide_options.rcu || tide_lock_is_forking())
        return false;
    load();
    if (!is_ready())
        return false;
    depth++;
    liburcu.read_lock();
    atomic_fetch_add_explicit(&readers, 1, memory_order_acq_rel); /* with has_readers */
    return true;
}

void tide_rcu_leave(void)
{
    atomic_fetch_sub_explicit(&readers, 1, memory_order_acq_rel); /* with has_readers */
    liburcu.read_unlock();
    depth--;
}

/* A read-modify-write as well, so that one of the two comes first: either the
 * reader is seen here, or it sees the list as it is now. */
bool tide_rcu_has_readers(void)
{
    return atomic_fetch_add_explicit(&readers, 0, memory_order_acq_rel) != 0;
}

static void set_grace(bool value)
{
    tide_lock(&grace_lock);
    is_grace = value;
    tide_unlock(&grace_lock);
}

bool tide_rcu_synchronize(void)
{
    if (!is_ready())
        return !tide_rcu_has_readers();
    set_grace(true);
    liburcu.synchronize();
    set_grace(false);
    tide_rcu_has_readers(); /* what ended readers did is before what the caller does */
    return true;
}

/* ---- Fork -------------------------------------------------------------- */

/* As whoever holds liburcu's locks for a fork has them: its urcu_bp_before_fork
 * does that, and other code that registered it has run by now. */
static bool are_signals_blocked(void)
{
    sigset_t blocked;

    pthread_sigmask(SIG_SETMASK, NULL, &blocked);
    for (int signal_number = 1; signal_number <= SIGRTMAX; signal_number++)
        if ((signal_number < 32 || signal_number >= SIGRTMIN) && signal_number != SIGKILL &&
            signal_number != SIGSTOP && sigismember(&blocked, signal_number) == 0)
            return false;
    return true;
}

bool tide_rcu_is_used(void)
{
    int now = tide_relaxed(&state);

    return now == LOADING || now == READY;
}

/* During a grace period liburcu's locks are held until the last reader leaves,
 * and a fork doesn't wait for that; nor, if it is one, for itself. */
void tide_rcu_before_fork(void)
{
    tide_lock(&grace_lock);
    is_prepared = true;
    is_held = is_ready() && !is_grace && depth == 0 && !are_signals_blocked();
    if (is_held)
        liburcu.before_fork();
}

static void become_child(void)
{
    int before = tide_relaxed(&state);

    if (before == LOADING || (before == READY && !is_held))
        tide_set_relaxed(&state, LOST);
    tide_set_relaxed(&readers, depth);
    is_grace = false;
}

void tide_rcu_after_fork(bool in_child)
{
    bool was_held = is_held;

    if (!is_prepared && !in_child)
        return;
    if (in_child)
        become_child();
    is_held = false;
    if (is_prepared)
        tide_lock_after_fork(&grace_lock, in_child);
    else
        tide_lock_reset(&grace_lock, false);
    is_prepared = false;
    if (was_held)
        (in_child ? liburcu.after_fork_child : liburcu.after_fork_parent)();
}
