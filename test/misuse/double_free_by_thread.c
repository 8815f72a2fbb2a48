/* expect: tidepool: free(PTR): already free: a block of 112 bytes */
#include <pthread.h>

#include "tidepool/malloc.h"

static void *run(void *block)
{
    tide_free(block);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    void *block = tide_malloc(112);
    if (pthread_create(&thread, NULL, run, block) == 0)
        pthread_join(thread, NULL);
    tide_free(block);
    return 0;
}
