#define _GNU_SOURCE
#include "clinux.h"
#include "spawn.h"

#include <linux/close_range.h>
#include <linux/sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>

// The child shares the launcher's memory until exec (CLONE_VM | CLONE_VFORK), as in posix_spawn(3): no page table is
// copied, however large the host program. The child runs on the stack of the suspended parent, below the frame that
// made the call.

// Inlined in every build: if this function had a frame of its own, the child would return from it and overwrite it
// before the parent returns through it.
__attribute__((always_inline)) static inline long raw_syscall(long number, long a, long b, long c)
{
#if defined(__x86_64__)
    register long d __asm__("r10") = 0;
    register long e __asm__("r8") = 0;
    long result;
    __asm__ volatile("syscall"
                     : "=a"(result)
                     : "0"(number), "D"(a), "S"(b), "d"(c), "r"(d), "r"(e)
                     : "rcx", "r11", "memory");
    return result;
#elif defined(__aarch64__)
    register long x8 __asm__("x8") = number;
    register long x0 __asm__("x0") = a;
    register long x1 __asm__("x1") = b;
    register long x2 __asm__("x2") = c;
    register long x3 __asm__("x3") = 0;
    register long x4 __asm__("x4") = 0;
    __asm__ volatile("svc 0" : "+r"(x0) : "r"(x8), "r"(x1), "r"(x2), "r"(x3), "r"(x4) : "memory");
    return x0;
#else
#error "cgrun is written for x86_64 and aarch64"
#endif
}

_Noreturn static void fail(struct clinux_spawned *result, enum clinux_spawn_stage stage, int error)
{
    result->stage = stage;
    result->error = error;
    // Not _exit(2): a sanitizer replaces it with code of its own, which would run in the parent's memory.
    for (;;)
        raw_syscall(SYS_exit_group, 127, 0, 0);
}

void clinux_reset_signals(bool keeps_ignored, int last)
{
    for (int number = 1; number <= last; number++) {
        struct sigaction action;
        if (sigaction(number, NULL, &action) == 0 && !(keeps_ignored && action.sa_handler == SIG_IGN)
            && action.sa_handler != SIG_DFL) {
            action = (struct sigaction){ .sa_handler = SIG_DFL };
            sigaction(number, &action, NULL);
        }
    }
}

// Gives the child a descriptor table of its own, before the child changes any descriptor. The kernel copies only
// descriptors up to the last one that is needed: with a thousand jobs' descriptors open, copying all costs as much as
// exec.
static void leave_descriptors(const struct clinux_spawn *plan, struct clinux_spawned *result)
{
    unsigned end = 3;
    for (unsigned i = 0; i < plan->descriptor_count; i++)
        if (plan->descriptors[i] >= (int)end)
            end = (unsigned)plan->descriptors[i] + 1;
    if (syscall(SYS_close_range, end, ~0U, CLOSE_RANGE_UNSHARE) < 0)
        fail(result, CLINUX_STAGE_DESCRIPTORS, errno);
}

static void place_descriptors(const struct clinux_spawn *plan, struct clinux_spawned *result)
{
    int high[GUARD_MAX_DESCRIPTORS];
    unsigned count = plan->descriptor_count;
    if (count > GUARD_MAX_DESCRIPTORS)
        fail(result, CLINUX_STAGE_DESCRIPTORS, EINVAL);
    for (unsigned i = 0; i < count; i++)
        if ((high[i] = fcntl(plan->descriptors[i], F_DUPFD_CLOEXEC, (int)count)) < 0)
            fail(result, CLINUX_STAGE_DESCRIPTORS, errno);
    for (unsigned i = 0; i < count; i++)
        if (dup2(high[i], (int)i) < 0)
            fail(result, CLINUX_STAGE_DESCRIPTORS, errno);
}

static void reset_oom_score(struct clinux_spawned *result)
{
    int file = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
    if (file < 0 || write(file, "0", 1) != 1)
        fail(result, CLINUX_STAGE_OOM, errno);
    close(file);
}

static void change_credentials(const struct clinux_spawn *plan, struct clinux_spawned *result)
{
    // Not by the glibc wrappers, which would try to change every thread that the parent's memory lists.
    if (syscall(SYS_setgroups, plan->group_count, plan->groups) < 0
        || syscall(SYS_setresgid, plan->gid, plan->gid, plan->gid) < 0
        || syscall(SYS_setresuid, plan->uid, plan->uid, plan->uid) < 0)
        fail(result, CLINUX_STAGE_CREDENTIALS, errno);
}

_Noreturn static void execute(const struct clinux_spawn *plan, struct clinux_spawned *result)
{
    int error = ENOENT;
    for (char *const *path = plan->candidates; *path; path++) {
        execve(*path, plan->argv, plan->envp);
        if (errno == ENOEXEC) {
            plan->shell_argv[0] = "/bin/sh";
            plan->shell_argv[1] = *path;
            execve("/bin/sh", plan->shell_argv, plan->envp);
            error = errno;
            break;
        }
        // As execvp(3) does: after a file that may not be executed the search goes on, and if it finds nothing, the
        // error of that file is reported.
        if (errno != ENOENT && errno != ENOTDIR)
            error = errno;
        if (errno != ENOENT && errno != ENOTDIR && errno != EACCES)
            break;
    }
    fail(result, CLINUX_STAGE_EXEC, error);
}

void clinux_write_pid(char *text)
{
    char digits[11];
    unsigned count = 0;
    for (unsigned pid = (unsigned)getpid(); pid > 0; pid /= 10)
        digits[count++] = (char)('0' + pid % 10);
    while (count > 0)
        *text++ = digits[--count];
    *text = 0;
}

void clinux_child(const struct clinux_spawn *plan, struct clinux_spawned *result, bool shares_descriptors)
{
    for (unsigned i = 0; i < plan->join_count; i++)
        if (write(plan->join_files[i], "0", 1) != 1) {
            result->join_index = i;
            fail(result, CLINUX_STAGE_JOIN, errno);
        }
    if (shares_descriptors)
        leave_descriptors(plan, result);
    if (plan->new_session && setsid() < 0)
        fail(result, CLINUX_STAGE_SESSION, errno);
    if (plan->reset_oom_score)
        reset_oom_score(result);
    if (plan->own_pid)
        clinux_write_pid(plan->own_pid);
    if (plan->descriptors)
        place_descriptors(plan, result);
    // Closed at exec rather than now: the gate of a held child has to stay open until exec.
    if (plan->close_from > 0 && syscall(SYS_close_range, plan->close_from, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
        fail(result, CLINUX_STAGE_DESCRIPTORS, errno);
    if (plan->takes_terminal && ioctl(0, TIOCSCTTY, 0) < 0)
        fail(result, CLINUX_STAGE_TERMINAL, errno);
    if (plan->change_credentials)
        change_credentials(plan, result);
    if (plan->working_directory && chdir(plan->working_directory) < 0)
        fail(result, CLINUX_STAGE_DIRECTORY, errno);
    if (!plan->keep_ignored)
        clinux_reset_signals(false, SIGSYS);
    sigprocmask(SIG_SETMASK, &plan->mask, NULL);
    execute(plan, result);
}

// Not inlined: the parent resumes in this frame after the child has used the stack below it, so that the caller may
// keep nothing in that part of the stack.
__attribute__((noinline)) static long start_with_clone3(
    struct clone_args *arguments, const struct clinux_spawn *plan, struct clinux_spawned *result)
{
    long pid = raw_syscall(SYS_clone3, (long)arguments, sizeof *arguments, 0);
    if (pid == 0)
        clinux_child(plan, result, arguments->flags & CLONE_FILES);
    return pid;
}

__attribute__((noinline)) static long start_with_clone(
    unsigned long flags, int *number, const struct clinux_spawn *plan, struct clinux_spawned *result)
{
    long pid = raw_syscall(SYS_clone, (long)(flags | SIGCHLD), 0, (long)number);
    if (pid == 0) {
        // clone(2) keeps the parent's signal handlers, and a child that shares the parent's memory must not run them.
        clinux_reset_signals(true, NSIG - 1);
        clinux_child(plan, result, flags & CLONE_FILES);
    }
    return pid;
}

long clinux_start(const struct clinux_spawn *plan, struct clinux_spawned *result, int *number, bool for_parent)
{
    unsigned long flags = CLONE_VFORK | (plan->copies_memory ? 0 : CLONE_VM)
        | (plan->close_from > 0 ? CLONE_FILES : 0) | (for_parent ? CLONE_PARENT | CLONE_PARENT_SETTID : CLONE_PIDFD);
    struct clone_args arguments = {
        .flags = flags | CLONE_CLEAR_SIGHAND | (plan->cgroup >= 0 ? CLONE_INTO_CGROUP : 0),
        .pidfd = for_parent ? 0 : (uint64_t)(uintptr_t)number,
        .parent_tid = for_parent ? (uint64_t)(uintptr_t)number : 0,
        // A child of this process's parent gets the exit signal that this process has.
        .exit_signal = for_parent ? 0 : SIGCHLD,
        .cgroup = plan->cgroup >= 0 ? (uint64_t)plan->cgroup : 0,
    };
    long pid = start_with_clone3(&arguments, plan, result);
    if (pid > 0 || pid == -EAGAIN || pid == -ENOMEM)
        return pid;
    if (plan->cgroup < 0)
        return pid == -ENOSYS ? start_with_clone(flags, number, plan, result) : pid;

    // clone3 is filtered (ENOSYS, EPERM) or may not place the child: let the child join the cgroup by itself.
    int files[GUARD_MAX_GROUPS + 1];
    struct clinux_spawn joining = *plan;
    if (plan->join_count > GUARD_MAX_GROUPS)
        return -EINVAL;
    if ((files[0] = clinux_open_beneath(plan->cgroup, "cgroup.procs", O_WRONLY)) < 0)
        return files[0];
    if (plan->join_count > 0)
        memcpy(&files[1], plan->join_files, plan->join_count * sizeof(int));
    joining.cgroup = -1;
    joining.join_files = files;
    joining.join_count = plan->join_count + 1;
    result->joined_late = true;
    pid = start_with_clone(flags, number, &joining, result);
    close(files[0]);
    return pid;
}

struct clinux_shared *clinux_share(void)
{
    void *shared = mmap(NULL, sizeof(struct clinux_shared), PROT_READ | PROT_WRITE,
                        MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return shared == MAP_FAILED ? NULL : shared;
}

void clinux_conclude(const struct clinux_spawned *shared, struct clinux_spawned *result, long pid, int pidfd)
{
    *result = *shared;
    result->pid = (pid_t)pid;
    result->pidfd = pidfd;
    if (pid < 0) {
        result->stage = CLINUX_STAGE_CLONE;
        result->error = (int)-pid;
    } else if (pid > 0 && result->error != 0) {
        struct clinux_wait_status ignored;
        clinux_wait(pidfd, WEXITED, &ignored);
        close(pidfd);
        result->pidfd = -1;
    }
}

int clinux_spawn_program(const struct clinux_spawn *plan, struct clinux_spawned *result)
{
    // A child that has a copy of this process's memory needs a shared page for its result.
    struct clinux_shared own = { 0 }, *shared = plan->copies_memory ? clinux_share() : &own;
    if (!shared)
        return -errno;
    int pidfd = -1;
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    long pid = clinux_start(plan, &shared->result, &pidfd, false);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    clinux_conclude(&shared->result, result, pid, pidfd);
    if (shared != &own)
        munmap(shared, sizeof *shared);
    return -result->error;
}
