#define _GNU_SOURCE
#include "clinux.h"
#include "or_errno.h"

#include <sys/ioctl.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>

#ifndef P_PIDFD
#define P_PIDFD 3
#endif

// Swift finds the arguments by way of `environ`, beside which the kernel has put them. A library that is loaded before
// the program, as LD_PRELOAD has it, may have set a variable, and so have moved `environ`. So this program takes what
// the C library hands to every constructor.
static int argument_count;
static char **arguments;

__attribute__((constructor)) static void take_arguments(int count, char **values)
{
    argument_count = count;
    arguments = values;
}

int clinux_argument_count(void) { return argument_count; }
const char *clinux_argument(int index) { return arguments[index]; }

char *const *clinux_environment(void) { return environ; }

void clinux_set_name(const char *name) { prctl(PR_SET_NAME, name, 0, 0, 0); }

uint64_t clinux_raise_descriptor_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return 0;
    rlim_t before = limit.rlim_cur;
    clinux_set_descriptor_limit(limit.rlim_max);
    return before;
}

void clinux_set_descriptor_limit(uint64_t soft)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0 || soft == 0)
        return;
    limit.rlim_cur = soft;
    setrlimit(RLIMIT_NOFILE, &limit);
}

uint64_t clinux_cpu_time_limit(pid_t pid)
{
    struct rlimit limit;
    return prlimit(pid, RLIMIT_CPU, NULL, &limit) < 0 || limit.rlim_max == RLIM_INFINITY ? UINT64_MAX : limit.rlim_max;
}

void clinux_adopt_orphans(void) { prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); }

pid_t clinux_ended_child(void)
{
    siginfo_t info = { 0 };
    return waitid(P_ALL, 0, &info, WEXITED | WNOHANG | WNOWAIT) < 0 ? -errno : info.si_pid;
}

int clinux_pidfd_open(pid_t pid)
{
    return (int)or_errno(syscall(SYS_pidfd_open, pid, 0));
}

int clinux_pidfd_send_signal(int pidfd, int signal)
{
    return (int)or_errno(syscall(SYS_pidfd_send_signal, pidfd, signal, NULL, 0));
}

// The status of a child that somebody else has reaped: a host program may ignore SIGCHLD, or wait for any child. The
// pidfd keeps the status (PIDFD_GET_INFO with PIDFD_INFO_EXIT, Linux 6.15).
static int status_after_reaping(int pidfd, struct clinux_wait_status *result)
{
    struct {
        uint64_t mask, cgroup;
        uint32_t ids[11];
        int32_t exit_code;
    } info;
    bool is_gone = false;
    for (int attempt = 0; attempt < 100; attempt++) {
        memset(&info, 0, sizeof info);
        info.mask = 1 << 3;
        if (ioctl(pidfd, _IOWR(0xFF, 11, info), &info) < 0) {
            // The kernel looks for the status before it looks for the process. If another thread reaps the process in
            // between, the kernel finds neither. The status is there by then, so ask once more.
            if (errno != ESRCH || is_gone)
                return -ECHILD;
            is_gone = true;
            continue;
        }
        if (info.mask & 1 << 3) {
            int status = info.exit_code;
            result->code = WIFEXITED(status) ? CLD_EXITED : WCOREDUMP(status) ? CLD_DUMPED : CLD_KILLED;
            result->status = WIFEXITED(status) ? WEXITSTATUS(status) : WTERMSIG(status);
            return 0;
        }
        // The process has ended, but the kernel does not have its status yet.
        clinux_poll(NULL, 0, 1000000);
    }
    return -ECHILD;
}

_Noreturn void clinux_die_of(int number)
{
    sigset_t only;
    sigemptyset(&only);
    sigaddset(&only, number);
    // The command has left a core file, if one was wanted. Nobody wants one of this process.
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    signal(number, SIG_DFL);
    raise(number);
    sigprocmask(SIG_UNBLOCK, &only, NULL);
    // The init of a pid namespace does not die of its own signals.
    _exit(128 + number);
}

int clinux_wait(int pidfd, int options, struct clinux_wait_status *result)
{
    siginfo_t info;
    memset(&info, 0, sizeof info);
    int r;
    do r = waitid((idtype_t)P_PIDFD, (id_t)pidfd, &info, options); while (r < 0 && errno == EINTR);
    if (r < 0)
        return errno == ECHILD && options & WEXITED ? status_after_reaping(pidfd, result) : -errno;
    result->code = info.si_pid ? info.si_code : 0;
    result->status = info.si_status;
    return 0;
}

int clinux_execute_in(int executable, char *const *argv, char *const *envp, int control)
{
    if (dup2(control, GUARD_CONTROL) < 0)
        return -errno;
    syscall(SYS_execveat, executable, "", argv, envp, AT_EMPTY_PATH);
    return -errno;
}

int clinux_execute(int executable, char *const *argv, int control)
{
    return clinux_execute_in(executable, argv, environ, control);
}

pid_t clinux_execute_child(int executable, char *const *argv, int control)
{
    pid_t pid = fork();
    if (pid == 0) {
        clinux_execute(executable, argv, control);
        _exit(127);
    }
    return (pid_t)or_errno(pid);
}
