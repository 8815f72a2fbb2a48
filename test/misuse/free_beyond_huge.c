/* expect: tidepool: free(PTR): not a tidepool block: a huge block is near */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    char *block = tide_malloc((size_t)9 << 20);
    tide_free(block + ((size_t)9 << 20) + 32768); /* in the same piece of the address map */
    return 0;
}
