/* upkeep/reclaim.c - see reclaim.h.  handler_lock guards which handler is called,
 * and nothing is done under it. */
#include "upkeep/reclaim.h"

#include <errno.h>
#include <pthread.h>

#include "arena/retired.h"
#include "base/lock.h"
#include "heap/heap.h"
#include "os/thread.h"
#include "upkeep/look.h"

enum { MOST_WAIT_MS = 20 };

/* ---- Reclaiming -------------------------------------------------------- */

/* Empty arenas that are released while somebody walks are mapped until the walk
 * ends: most last for a moment. */
static void wait_for_walks(void)
{
    _Atomic uint32_t never = 0;

    for (int ms = 0; tide_retired_reclaim() != 0 && ms < MOST_WAIT_MS; ms++)
        tide_os_wait(&never, 0, 1);
}

/* What maintenance had in its hands is there again, too, and what came back to this
 * thread's pools. */
void tide_reclaim(void)
{
    tide_upkeep_purge(0, true);
    wait_for_walks();
    tide_upkeep_unmap(); /* with what was walked */
}

/* ---- The soft limit ---------------------------------------------------- */

static struct tide_lock handler_lock = TIDE_LOCK_INITIALIZER;
static tide_reclaim_handler *handler; /* under handler_lock */
static void *handler_argument;        /* under handler_lock */

static _Atomic pthread_t reliever; /* the thread that is at it, so that none enters again; or 0 */

tide_reclaim_handler *tide_reclaim_set_handler(tide_reclaim_handler *new_handler, void *argument)
{
    tide_reclaim_handler *before;

    tide_lock(&handler_lock);
    before = handler;
    handler = new_handler;
    handler_argument = argument;
    tide_unlock(&handler_lock);
    return before;
}

static void tell_program(void)
{
    tide_reclaim_handler *chosen;
    void *argument;

    tide_lock(&handler_lock);
    chosen = handler;
    argument = handler_argument;
    tide_unlock(&handler_lock);
    if (chosen)
        chosen(tide_os_limits_mapped(), tide_os_limits_soft(), argument);
}

/* What the program gave up goes, too, or its next crossing would be none. */
static void relieve(void)
{
    int cancel_state;

    pthread_setcancelstate(PTHREAD_CANCEL_DISABLE, &cancel_state);
    tide_upkeep_purge(0, true);
    tell_program();
    tide_upkeep_purge(0, true);
    pthread_setcancelstate(cancel_state, NULL);
}

/* Not where a program's function can't be called, as in tidepool's own threads. */
static void relieve_if_crossed(void)
{
    pthread_t nobody = 0;

    if (tide_os_is_own_thread() || tide_lock_is_forking() || !tide_heap_is_at_home() ||
        !atomic_compare_exchange_strong(&reliever, &nobody, pthread_self()))
        return;
    if (atomic_exchange(&tide_os_limits_are_crossed, false))
        relieve();
    atomic_store(&reliever, 0);
}

bool tide_reclaim_check(void)
{
    int saved_errno = errno;

    if (!tide_relaxed(&tide_os_limits_are_crossed))
        return false;
    relieve_if_crossed();
    errno = saved_errno;
    return tide_relaxed(&tide_os_limits_are_crossed);
}

/* ---- Fork -------------------------------------------------------------- */

struct tide_lock *tide_reclaim_handler_lock(void)
{
    return &handler_lock;
}

void tide_reclaim_after_fork_in_child(void)
{
    if (tide_relaxed(&reliever) != pthread_self())
        atomic_store(&reliever, 0);
}
