/* api/start.c - see start.h */
#include "api/start.h"

#include <pthread.h>
#include <tidepool/malloc.h>

#include "api/enter.h"
#include "api/fork.h"
#include "base/fatal.h"
#include "base/options.h"
#include "os/rcu.h"

/* The first constructor of all (the library is linked with -z initfirst): fork
 * runs handlers that prepare in reverse order, so tidepool's, which take every
 * lock, run last, and nobody else's wait for a lock meanwhile.  The C library
 * has no environ yet; constructors are given it. */
void tide_api_start(int argc, char **argv, char **environment)
{
    (void)argc;
    (void)argv;
    tide_api_make_ready(environment);
    if (pthread_atfork(tide_fork_prepare, tide_fork_in_parent, tide_fork_in_child) != 0)
        tide_base_fatal("no memory to register the fork handlers");
}

__attribute__((destructor)) static void end(void)
{
    tide_rcu_end();
    if (tide_options.stats)
        tide_malloc_stats();
}
