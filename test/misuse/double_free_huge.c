/* expect: tidepool: free(PTR): already free: a block of 2621440 bytes */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    void *block = tide_malloc(2621440);
    tide_free(block);
    tide_free(block);
    return 0;
}
