#define _GNU_SOURCE
#include "clinux.h"
#include "or_errno.h"

#include <arpa/inet.h>
#include <stddef.h>
#include <string.h>
#include <sys/uio.h>
#include <sys/un.h>

int clinux_socketpair(int ends[2])
{
    return (int)or_errno(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends));
}

// Binds or connects a new socket. The address fits where `path` is short; a long path can be reached through /proc/self/fd.
static int open_socket(const char *path, int type, int (*use)(int, const struct sockaddr *, socklen_t))
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    if (strlen(path) >= sizeof address.sun_path)
        return -ENAMETOOLONG;
    strcpy(address.sun_path, path);
    int descriptor = socket(AF_UNIX, type | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0 || use(descriptor, (struct sockaddr *)&address, sizeof address) == 0)
        return (int)or_errno(descriptor);
    int error = errno;
    close(descriptor);
    return -error;
}

int clinux_connect(const char *path) { return open_socket(path, SOCK_STREAM, connect); }
int clinux_connect_packets(const char *path) { return open_socket(path, SOCK_SEQPACKET, connect); }

int clinux_listen_packets(const char *path)
{
    int descriptor = open_socket(path, SOCK_SEQPACKET, bind);
    if (descriptor < 0 || listen(descriptor, 64) == 0)
        return descriptor;
    int error = errno;
    close(descriptor);
    return -error;
}

int clinux_accept(int socket)
{
    return (int)or_errno(accept4(socket, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK));
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

// MARK: Services

int clinux_listen_notices(const char *name)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    size_t length = strlen(name);
    int on = 1;
    if (length + 1 > sizeof address.sun_path)
        return -ENAMETOOLONG;
    memcpy(address.sun_path + 1, name, length);
    int descriptor = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor >= 0 && setsockopt(descriptor, SOL_SOCKET, SO_PASSCRED, &on, sizeof on) == 0
        && bind(descriptor, (struct sockaddr *)&address, (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + length)) == 0)
        return descriptor;
    int error = errno;
    if (descriptor >= 0)
        close(descriptor);
    return -error;
}

ssize_t clinux_receive_notice(int socket, void *data, size_t size, pid_t *sender)
{
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(struct ucred)) + CMSG_SPACE(sizeof(int) * 64)];
    struct iovec part = { .iov_base = data, .iov_len = size };
    struct msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof control,
    };
    *sender = 0;
    ssize_t n = recvmsg(socket, &message, MSG_DONTWAIT | MSG_CMSG_CLOEXEC);
    if (n < 0)
        return -errno;
    for (struct cmsghdr *header = CMSG_FIRSTHDR(&message); header; header = CMSG_NXTHDR(&message, header)) {
        if (header->cmsg_level != SOL_SOCKET)
            continue;
        if (header->cmsg_type == SCM_CREDENTIALS) {
            struct ucred credentials;
            memcpy(&credentials, CMSG_DATA(header), sizeof credentials);
            *sender = credentials.pid;
        } else if (header->cmsg_type == SCM_RIGHTS) {
            int *descriptors = (int *)CMSG_DATA(header);
            for (size_t i = 0; i < (header->cmsg_len - CMSG_LEN(0)) / sizeof(int); i++)
                close(descriptors[i]);
        }
    }
    return n;
}

union internet_address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
};

// Returns the address's size, or 0 where the text is no numeric address.
static socklen_t parse_address(const char *text, uint16_t port, union internet_address *address)
{
    memset(address, 0, sizeof *address);
    if (inet_pton(AF_INET, text, &address->v4.sin_addr) == 1) {
        address->v4.sin_family = AF_INET;
        address->v4.sin_port = htons(port);
        return sizeof address->v4;
    }
    if (inet_pton(AF_INET6, text, &address->v6.sin6_addr) == 1) {
        address->v6.sin6_family = AF_INET6;
        address->v6.sin6_port = htons(port);
        return sizeof address->v6;
    }
    return 0;
}

int clinux_is_address(const char *text)
{
    union internet_address address;
    return parse_address(text, 0, &address) > 0;
}

int clinux_begin_connection(const char *text, uint16_t port)
{
    union internet_address address;
    socklen_t size = parse_address(text, port, &address);
    if (size == 0)
        return -EINVAL;
    int descriptor = socket(address.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (descriptor < 0 || connect(descriptor, &address.any, size) == 0 || errno == EINPROGRESS)
        return (int)or_errno(descriptor);
    int error = errno;
    close(descriptor);
    return -error;
}

int clinux_is_connected(int descriptor)
{
    int error = 0;
    socklen_t length = sizeof error;
    if (getsockopt(descriptor, SOL_SOCKET, SO_ERROR, &error, &length) != 0 || error != 0)
        return 0;
    // Both ends of a connection to a port of the local range may be this socket.
    union internet_address own, peer;
    socklen_t own_size = sizeof own, peer_size = sizeof peer;
    return getsockname(descriptor, &own.any, &own_size) == 0 && getpeername(descriptor, &peer.any, &peer_size) == 0
           && (own_size != peer_size || memcmp(&own, &peer, own_size) != 0);
}
