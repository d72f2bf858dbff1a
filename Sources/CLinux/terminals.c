#define _GNU_SOURCE
#include "clinux.h"
#include "or_errno.h"

#include <sys/ioctl.h>

int clinux_pseudo_terminal(int *master, int *peer)
{
    int unlocked = 0, error;
    if ((*master = open("/dev/ptmx", O_RDWR | O_NOCTTY | O_NONBLOCK | O_CLOEXEC)) < 0)
        return -errno;
    // Not by its path: another devpts may be mounted on /dev/pts.
    if (ioctl(*master, TIOCSPTLCK, &unlocked) == 0
        && (*peer = ioctl(*master, TIOCGPTPEER, O_RDWR | O_NOCTTY | O_CLOEXEC)) >= 0)
        return 0;
    error = errno;
    close(*master);
    return -error;
}

int clinux_terminal_signal(int master, int signal)
{
    return (int)or_errno(ioctl(master, TIOCSIG, signal));
}
