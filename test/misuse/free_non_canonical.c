/* expect: tidepool: free(PTR): not a tidepool block: no memory of tidepool's is there */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    tide_free((void *)0x4141414141414141);
    return 0;
}
