/* heap/reclaim.c - see reclaim.h.  handler_lock guards which handler is called,
 * and nothing is done under it. */
#include "heap/reclaim.h"

#include <errno.h>
#include <pthread.h>

#include "base/lock.h"
#include "heap/heap.h"
#include "heap/maintenance.h"

/* ---- Reclaiming -------------------------------------------------------- */

/* Whether something came back to the calling thread's own pools. */
static bool drain_own(void)
{
    struct heap *heap = tide_heap_enter();
    bool is_more = heap && tide_relaxed(&heap->inbox);

    if (heap) {
        tide_heap_drain_inbox(heap);
        tide_heap_leave(heap);
    }
    return is_more;
}

/* What maintenance had in its hands is there again, too. */
bool tide_reclaim(void)
{
    struct tide_lock *lock = tide_maintenance_lock();
    bool is_free = tide_lock_try(lock), is_more = drain_own();

    if (is_free)
        tide_unlock(lock);
    return tide_maintenance_purge(0) > 0 || is_more || !is_free;
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
    tide_maintenance_purge(0);
    tell_program();
    tide_maintenance_purge(0);
    pthread_setcancelstate(cancel_state, NULL);
}

/* Not where a program's function can't be called. */
static void relieve_if_crossed(void)
{
    pthread_t nobody = 0;

    if (tide_lock_is_forking() || !tide_heap_is_at_home() ||
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
