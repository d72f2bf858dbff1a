#ifndef OR_ERRNO_H
#define OR_ERRNO_H

#include <errno.h>

/// Turns the -1 of a C library function into -errno.
static inline long or_errno(long result) { return result < 0 ? -errno : result; }

#endif
