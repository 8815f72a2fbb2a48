/* expect: tidepool: free(PTR): already free, or never allocated */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    char *whole = tide_malloc((size_t)12 << 20), *block;
    tide_free(whole);
    block = tide_malloc((size_t)9 << 20);
    if (block != whole)
        return 1;
    tide_free(block + ((size_t)9 << 20) + 32768); /* where the first one was, too */
    return 0;
}
