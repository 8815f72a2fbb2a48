/* expect: tidepool: free(PTR): already free: a block of 112 bytes */
#include <pthread.h>

#include "tidepool/malloc.h"

static void *run(void *block)
{
    tide_free(block);
    return NULL;
}

static void free_in_a_thread(void *block)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, block) == 0)
        pthread_join(thread, NULL);
}

int main(void)
{
    void *block = tide_malloc(112);
    free_in_a_thread(block);
    free_in_a_thread(block);
    return 0;
}
