/* A shared library that has a mutex and keeps it usable in forked children: its fork handlers hold the mutex
 * over the fork. It is initialised before a program that needs it, and before libraries that are preloaded. */
#include <pthread.h>

pthread_mutex_t library_mutex = PTHREAD_MUTEX_INITIALIZER;

static void lock(void) { pthread_mutex_lock(&library_mutex); }
static void unlock(void) { pthread_mutex_unlock(&library_mutex); }

__attribute__((constructor)) static void register_handlers(void) { pthread_atfork(lock, unlock, unlock); }
