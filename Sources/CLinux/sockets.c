#define _GNU_SOURCE
#include "clinux.h"
#include "or_errno.h"

#include <string.h>
#include <sys/uio.h>
#include <sys/un.h>

int clinux_socketpair(int ends[2])
{
    return (int)or_errno(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
}

int clinux_connect(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0 || connect(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
        return (int)or_errno(descriptor);
    int error = errno;
    close(descriptor);
    return -error;
}

int clinux_send(int socket, const void *data, size_t size, const int *descriptors, unsigned count)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * GUARD_MAX_DESCRIPTORS)];
    struct iovec part = { .iov_base = (void *)data, .iov_len = size };
    struct msghdr message = { .msg_iov = &part, .msg_iovlen = 1 };
    if (count > GUARD_MAX_DESCRIPTORS)
        return -EINVAL;
    if (count > 0) {
        memset(control, 0, sizeof control);
        message.msg_control = control;
        message.msg_controllen = CMSG_SPACE(sizeof(int) * count);
        struct cmsghdr *header = CMSG_FIRSTHDR(&message);
        header->cmsg_level = SOL_SOCKET;
        header->cmsg_type = SCM_RIGHTS;
        header->cmsg_len = CMSG_LEN(sizeof(int) * count);
        memcpy(CMSG_DATA(header), descriptors, sizeof(int) * count);
    }
    return (int)or_errno(sendmsg(socket, &message, MSG_NOSIGNAL | MSG_DONTWAIT));
}

static ssize_t receive(int socket, void *data, size_t size, int *descriptors, unsigned *count, int flags)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(int) * GUARD_MAX_DESCRIPTORS)];
    struct iovec part = { .iov_base = data, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1,
        .msg_control = control, .msg_controllen = sizeof control,
    };
    *count = 0;
    ssize_t n;
    // A peer that died before it had read everything shows as ECONNRESET once, before the messages that it had sent.
    // These count; the end of file after them tells of its death.
    do n = recvmsg(socket, &message, flags | MSG_CMSG_CLOEXEC);
    while (n < 0 && (errno == EINTR || errno == ECONNRESET));
    if (n < 0)
        return -errno;
    struct cmsghdr *header = CMSG_FIRSTHDR(&message);
    if (header && header->cmsg_level == SOL_SOCKET && header->cmsg_type == SCM_RIGHTS) {
        *count = (unsigned)((header->cmsg_len - CMSG_LEN(0)) / sizeof(int));
        memcpy(descriptors, CMSG_DATA(header), sizeof(int) * *count);
    }
    return n;
}

ssize_t clinux_receive(int socket, void *data, size_t size, int *descriptors, unsigned *count)
{
    return receive(socket, data, size, descriptors, count, MSG_DONTWAIT);
}

int clinux_receive_descriptor(int socket, int *descriptor)
{
    int received[GUARD_MAX_DESCRIPTORS];
    unsigned count;
    char byte;
    if (receive(socket, &byte, 1, received, &count, 0) != 1 || count != 1)
        return -EPIPE;
    *descriptor = received[0];
    return 0;
}
