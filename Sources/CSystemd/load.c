#include "csystemd.h"

#include <dlfcn.h>

const char *csystemd_load(struct csystemd *functions)
{
    // Never closed: the library keeps state in every thread that used it.
    void *library = dlopen("libsystemd.so.0", RTLD_NOW | RTLD_NODELETE);
    if (!library)
        return dlerror();
#define FIND(name) \
    if (!(functions->name = (__typeof__(&name))dlsym(library, #name))) \
        return dlerror();
    CSYSTEMD_FUNCTIONS(FIND)
#undef FIND
    return NULL;
}
