#define _GNU_SOURCE
#include "clinux.h"
#include "or_errno.h"
#include "spawn.h"

#include <linux/sched.h>
#include <sys/syscall.h>

// Makes the kernel ready to move processes between cgroups. To take its lock for that costs an RCU grace period (some
// 10 ms), unless somebody took the lock a moment ago. So the child takes it before a manager is asked to move
// processes, while the launcher does other things. Where the child may not take it, nothing happens.
static void await_move_lock(void)
{
    char text[4096] = "", path[4200] = "/sys/fs/cgroup", digits[11];
    int file = open("/proc/self/cgroup", O_RDONLY | O_CLOEXEC);
    if (file < 0)
        return;
    clinux_read(file, text, sizeof text - 1);
    close(file);
    // cgroup v2 has the last line: the hierarchies of v1, if the kernel has any, come first.
    char *own = strstr(text, "0::/"), *end = own ? strchr(own, '\n') : NULL;
    if (!end)
        return;
    *end = 0;
    // The kernel takes threads here only of processes in this cgroup. So if somebody has moved this process already,
    // the write fails, and cannot move the process back. A number, since the kernel does not take the lock for "0".
    strcat(strcat(path, own + 3), "/cgroup.threads");
    clinux_write_pid(digits);
    if ((file = open(path, O_WRONLY | O_CLOEXEC)) < 0)
        return;
    clinux_write(file, digits, strlen(digits));
    close(file);
}

_Noreturn static void held_child(const struct clinux_spawn *plan, const struct clinux_spawn *successor,
                                 struct clinux_shared *shared, const int gate[2])
{
    // clone(2) keeps the launcher's signal handlers, which have nothing to do here.
    clinux_reset_signals(true, NSIG - 1);
    // If the launcher's end stayed open here, the wait would not end when the launcher is lost.
    close(gate[0]);
    clinux_set_name(successor->argv[0]);
    await_move_lock();
    struct clinux_spawn command = *plan;
    if (clinux_receive_descriptor(gate[1], &command.cgroup) < 0) {
        if (shared->cgroup_before)
            clinux_await_scope(shared->cgroup_before);
        _exit(127);
    }
    long pid = clinux_start(&command, &shared->result, &shared->result.pid, true);
    if (pid < 0)
        shared->result.pid = (pid_t)pid;
    // The launcher waits for this end to be closed.
    close(gate[1]);
    struct clinux_spawned ignored;
    clinux_child(successor, &ignored, false);
}

int clinux_hold_program(const struct clinux_spawn *plan, const struct clinux_spawn *successor,
                        struct clinux_held *held)
{
    int gate[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, gate) < 0)
        return -errno;
    struct clinux_shared *shared = clinux_share();
    if (!shared) {
        int error = errno;
        close(gate[0]);
        close(gate[1]);
        return -error;
    }
    // The child gets a copy of the memory, and does not share it: the launcher goes on meanwhile, and if the kernel
    // kills the child in a cgroup with a tight limit, it kills all processes that share its memory.
    int pidfd = -1;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    long pid = or_errno(syscall(SYS_clone, CLONE_PIDFD | SIGCHLD, NULL, &pidfd, NULL, NULL));
    if (pid == 0)
        held_child(plan, successor, shared, gate);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(gate[1]);
    *held = (struct clinux_held) { .pid = (pid_t)pid, .pidfd = pidfd, .gate = gate[0], .shared = shared };
    if (pid > 0)
        return 0;
    clinux_close_held(*held);
    return (int)pid;
}

void clinux_await_scope_held(struct clinux_held held, uint64_t cgroup_before)
{
    held.shared->cgroup_before = cgroup_before;
}

int clinux_start_held(struct clinux_held held, int cgroup, struct clinux_spawned *result)
{
    char byte = 1;
    // The child closes its end when the program runs or has failed, and also by its own end.
    if (clinux_send(held.gate, &byte, 1, &cgroup, 1) == 1)
        while (read(held.gate, &byte, 1) < 0 && errno == EINTR)
            ;
    // The program is a child of this process that is not reaped yet, so that no other process can have its pid.
    pid_t pid = held.shared->result.pid;
    int pidfd = pid > 0 ? clinux_pidfd_open(pid) : -1;
    if (pid > 0 && pidfd < 0) {
        kill(pid, SIGKILL);
        waitpid(pid, NULL, 0);
        pid = pidfd;
    }
    // The program neither started nor failed: somebody killed the child that waited.
    if (pid == 0 && held.shared->result.error == 0)
        pid = -ECANCELED;
    clinux_conclude(&held.shared->result, result, pid, pidfd);
    return -result->error;
}

void clinux_close_held(struct clinux_held held)
{
    close(held.gate);
    munmap(held.shared, sizeof *held.shared);
}
