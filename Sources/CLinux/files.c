#define _GNU_SOURCE
#include "clinux.h"
#include "or_errno.h"

#include <linux/openat2.h>
#include <stdio.h>
#include <sys/syscall.h>

int clinux_open_beneath(int directory, const char *path, int flags)
{
    struct open_how how = {
        .flags = (uint64_t)(unsigned)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS,
    };
    return (int)or_errno(syscall(SYS_openat2, directory, path, &how, sizeof how));
}

ssize_t clinux_read(int descriptor, void *buffer, size_t size)
{
    ssize_t n;
    do n = read(descriptor, buffer, size); while (n < 0 && errno == EINTR);
    return or_errno(n);
}

ssize_t clinux_write(int descriptor, const void *buffer, size_t size)
{
    ssize_t n;
    do n = write(descriptor, buffer, size); while (n < 0 && errno == EINTR);
    return or_errno(n);
}

int64_t clinux_mount_id(int descriptor)
{
    struct statx facts;
    if (statx(descriptor, "", AT_EMPTY_PATH, STATX_MNT_ID, &facts) < 0)
        return -errno;
    return facts.stx_mask & STATX_MNT_ID ? (int64_t)facts.stx_mnt_id : -ENODATA;
}

int clinux_memfd(const char *name)
{
    return (int)or_errno(memfd_create(name, MFD_CLOEXEC));
}

int clinux_pipe(int ends[2])
{
    return (int)or_errno(pipe2(ends, O_CLOEXEC));
}

int clinux_flush_output(void)
{
    if (fflush(stdout) != 0)
        return -errno;
    if (!ferror(stdout))
        return 0;
    // The C library has not kept why an earlier write failed. The next one fails for the same reason.
    return write(STDOUT_FILENO, "\n", 1) < 0 ? -errno : -EIO;
}

ssize_t clinux_move(int pipe, int file, size_t size)
{
    ssize_t n;
    do n = splice(pipe, NULL, file, NULL, size, SPLICE_F_MOVE | SPLICE_F_NONBLOCK); while (n < 0 && errno == EINTR);
    return or_errno(n);
}

void clinux_enlarge_pipe(int pipe, int size) { (void)fcntl(pipe, F_SETPIPE_SZ, size); }

bool clinux_contains(const void *data, size_t size, const void *part, size_t part_size)
{
    return memmem(data, size, part, part_size) != NULL;
}
