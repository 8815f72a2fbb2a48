/* expect: tidepool: free(PTR): already free: a block of 112 bytes */
/* default too */
#include <pthread.h>

#include "tidepool/malloc.h"

static void *run(void *block)
{
    tide_free(block);
    tide_free(block);
    return NULL;
}

int main(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, run, tide_malloc(112)) == 0)
        pthread_join(thread, NULL);
    return 0;
}
