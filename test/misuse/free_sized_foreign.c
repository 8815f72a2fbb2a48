/* expect: tidepool: free_sized(PTR): not a tidepool block: no memory of tidepool's is there */
/* default too */
#include "tidepool/malloc.h"

int main(void)
{
    long object[4] = {0};
    tide_free_sized(object, sizeof object);
    return 0;
}
