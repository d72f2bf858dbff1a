// The program that tests run inside jobs: it does what a hostile or careless
// command would do, in bounded amounts. Every process it makes inherits the
// test's marker in its environment.

#define _GNU_SOURCE
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <pthread.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

static long number(const char *text) { return text ? strtol(text, NULL, 10) : 0; }

static void ignore_polite_signals(void)
{
    int signals[] = { SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGPIPE };
    for (unsigned i = 0; i < sizeof signals / sizeof *signals; i++)
        signal(signals[i], SIG_IGN);
}

static void sleep_for_ever(void)
{
    for (;;)
        pause();
}

// A daemon as daemon(3) makes it: double fork, own session, deaf to polite signals.
static void plant_daemon(void)
{
    int pipe_ends[2];
    if (pipe(pipe_ends) < 0)
        exit(90);
    pid_t child = fork();
    if (child < 0)
        exit(91);
    if (child == 0) {
        setsid();
        if (fork() == 0) {
            ignore_polite_signals();
            prctl(PR_SET_NAME, "probe-daemon");
            close(pipe_ends[0]);
            if (write(pipe_ends[1], "x", 1) != 1)
                exit(92);
            close(pipe_ends[1]);
            sleep_for_ever();
        }
        _exit(0);
    }
    close(pipe_ends[1]);
    char byte;
    if (read(pipe_ends[0], &byte, 1) != 1)
        exit(93);
    close(pipe_ends[0]);
    waitpid(child, NULL, 0);
}

static int plant(int count)
{
    for (int i = 0; i < count; i++)
        plant_daemon();
    printf("planted %d\n", count);
    fflush(stdout);
    return 0;
}

static int allocate(long mebibytes)
{
    for (long i = 0; i < mebibytes; i++) {
        char *block = mmap(NULL, 1 << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        if (block == MAP_FAILED)
            return 94;
        memset(block, 1, 1 << 20);
    }
    printf("allocated %ld MiB\n", mebibytes);
    return 0;
}

// Never more than asked for, and never more than 2000: this runs on machines with other users.
static int make_processes(long count)
{
    long made = 0, refused = 0;
    if (count > 2000)
        return 95;
    for (long i = 0; i < count; i++) {
        pid_t pid = fork();
        if (pid == 0)
            sleep_for_ever();
        if (pid < 0)
            refused++;
        else
            made++;
    }
    printf("made %ld refused %ld\n", made, refused);
    fflush(stdout);
    return refused > 0 ? 1 : 0;
}

static void *sleep_in_thread(void *unused)
{
    sleep_for_ever();
    return unused;
}

static int make_threads(long count)
{
    long made = 0, refused = 0;
    pthread_attr_t attributes;
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, 65536);
    for (long i = 0; i < count && i < 2000; i++) {
        pthread_t thread;
        if (pthread_create(&thread, &attributes, sleep_in_thread, NULL) == 0)
            made++;
        else
            refused++;
    }
    printf("made %ld refused %ld\n", made, refused);
    fflush(stdout);
    return refused > 0 ? 1 : 0;
}

static int list_descriptors(void)
{
    DIR *directory = opendir("/proc/self/fd");
    struct dirent *entry;
    while (directory && (entry = readdir(directory)))
        if (entry->d_name[0] != '.' && atoi(entry->d_name) != dirfd(directory))
            printf("%s\n", entry->d_name);
    return 0;
}

static int show_signals(void)
{
    sigset_t blocked;
    sigprocmask(SIG_BLOCK, NULL, &blocked);
    for (int n = 1; n < 65; n++) {
        struct sigaction action;
        if (sigismember(&blocked, n) == 1)
            printf("blocked %d\n", n);
        if (sigaction(n, NULL, &action) == 0 && action.sa_handler == SIG_IGN)
            printf("ignored %d\n", n);
    }
    return 0;
}

static volatile sig_atomic_t caught[65];
static void count_signal(int n) { caught[n]++; }

// Prints each signal it gets, and returns the last one's number after `quiet` milliseconds of silence.
static int report_signals(long quiet)
{
    sigset_t all;
    sigfillset(&all);
    for (int n = 1; n < 32; n++)
        if (n != SIGKILL && n != SIGSTOP && n != SIGCHLD && n != SIGCONT && n != SIGTSTP)
            signal(n, count_signal);
    printf("ready\n");
    fflush(stdout);
    struct timespec step = { .tv_nsec = 10000000 };
    long silent = 0;
    int last = 0;
    while (silent < quiet || !last) {
        nanosleep(&step, NULL);
        silent += 10;
        for (int n = 1; n < 32; n++)
            while (caught[n]) {
                caught[n]--;
                printf("got %d\n", n);
                fflush(stdout);
                last = n;
                silent = 0;
            }
        if (!last && silent > 20000)
            return 96;
    }
    return 0;
}

static int burn(long milliseconds, long processes)
{
    for (long i = 1; i < processes; i++)
        if (fork() == 0)
            break;
    struct timespec now;
    do clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < milliseconds);
    return 0;
}

static int die_from(int n)
{
    struct rlimit none = { 0, 0 };
    setrlimit(RLIMIT_CORE, &none);
    signal(n, SIG_DFL);
    kill(getpid(), n);
    sleep(5);
    return 97;
}

static void print_size(void)
{
    struct winsize size = { 0 };
    ioctl(0, TIOCGWINSZ, &size);
    printf("size %dx%d\n", size.ws_col, size.ws_row);
    fflush(stdout);
}

// As careful as a program can be: everything is a terminal, it is its session's own, and this is its foreground.
static int demand_terminal(void)
{
    for (int place = 0; place < 3; place++)
        if (!isatty(place))
            return 101;
    if (tcgetpgrp(0) != getpgrp() || tcgetsid(0) != getsid(0) || open("/dev/tty", O_RDWR) < 0)
        return 102;
    print_size();
    fprintf(stderr, "and errors\n");
    return 0;
}

// Prints the terminal's size, and again after each change, `changes` of them.
static int report_size(long changes)
{
    sigset_t change;
    int number;
    sigemptyset(&change);
    sigaddset(&change, SIGWINCH);
    sigprocmask(SIG_BLOCK, &change, NULL);
    for (print_size(); changes > 0; changes--) {
        sigwait(&change, &number);
        print_size();
    }
    return 0;
}

// Types `text` and a line feed for whoever reads from its terminals, as far as they take it, and tells in `file` what came of it.
static int type_text(const char *file, const char *text)
{
    int places[] = { 0, 1, 2, open("/dev/tty", O_RDWR | O_NOCTTY) };
    int taken = 0;
    for (unsigned place = 0; place < sizeof places / sizeof *places; place++) {
        ioctl(places[place], TIOCSCTTY, 0);
        for (const char *next = text; *next; next++)
            taken += ioctl(places[place], TIOCSTI, next) == 0;
        taken += ioctl(places[place], TIOCSTI, "\n") == 0;
    }
    FILE *report = fopen(file, "w");
    if (!report)
        return 103;
    fprintf(report, "session %d leads %d tty %d taken %d readable %d%d%d\n", getsid(0), getsid(0) == getpid(),
            places[3] >= 0, taken > 0, (fcntl(0, F_GETFL) & O_ACCMODE) != O_WRONLY,
            (fcntl(1, F_GETFL) & O_ACCMODE) != O_WRONLY, (fcntl(2, F_GETFL) & O_ACCMODE) != O_WRONLY);
    fclose(report);
    printf("out\n");
    fprintf(stderr, "errors\n");
    return 0;
}

// Runs a command with a system call refused, as container engines do with those that they do not know.
static int without(const char *name, char **argv)
{
    static const struct { const char *name; int call, error; } filters[] = {
        { "clone3", SYS_clone3, ENOSYS },
        { "clone3-eperm", SYS_clone3, EPERM },
        { "openat2", SYS_openat2, EPERM },
        { "pidfd_send_signal", SYS_pidfd_send_signal, ENOSYS },
    };
    unsigned chosen = 0;
    while (strcmp(filters[chosen].name, name))
        if (++chosen == sizeof filters / sizeof *filters)
            return 98;
    struct sock_filter instructions[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (unsigned)filters[chosen].call, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (unsigned)filters[chosen].error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog filter = { .len = 4, .filter = instructions };
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &filter) < 0)
        return 99;
    execv(argv[0], argv);
    return 100;
}

// A manager that hangs: takes connections, and says nothing.
static int listen_without_a_word(const char *path)
{
    struct sockaddr_un address = { .sun_family = AF_UNIX };
    int listener = socket(AF_UNIX, SOCK_STREAM, 0);
    strncpy(address.sun_path, path, sizeof address.sun_path - 1);
    if (bind(listener, (struct sockaddr *)&address, sizeof address) < 0 || listen(listener, 8) < 0)
        return 1;
    puts("listening");
    fflush(stdout);
    sleep_for_ever();
    return 0;
}

int main(int argc, char **argv)
{
    const char *verb = argc > 1 ? argv[1] : "";
    const char *first = argc > 2 ? argv[2] : NULL;
    const char *second = argc > 3 ? argv[3] : NULL;

    if (!strcmp(verb, "exit"))
        return (int)number(first);
    if (!strcmp(verb, "die"))
        return die_from((int)number(first));
    if (!strcmp(verb, "plant")) // N daemons, then leave
        return plant((int)number(first));
    if (!strcmp(verb, "tree")) { // N daemons, then stay, deaf as they are
        ignore_polite_signals();
        plant((int)number(first));
        sleep_for_ever();
    }
    if (!strcmp(verb, "allocate"))
        return allocate(number(first));
    if (!strcmp(verb, "child-allocate")) { // the child's end, as a shell would tell it, or 0 with a second argument
        int status = 0;
        pid_t pid = fork();
        if (pid == 0)
            return allocate(number(first));
        waitpid(pid, &status, 0);
        if (second)
            return 0;
        return WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
    }
    if (!strcmp(verb, "processes"))
        return make_processes(number(first));
    if (!strcmp(verb, "threads"))
        return make_threads(number(first));
    if (!strcmp(verb, "headless")) { // deaf, with a thread that goes on once the main thread has ended
        ignore_polite_signals();
        make_threads(1);
        syscall(SYS_exit, 0);
    }
    if (!strcmp(verb, "descriptors"))
        return list_descriptors();
    if (!strcmp(verb, "signals"))
        return show_signals();
    if (!strcmp(verb, "catch"))
        return report_signals(number(first));
    if (!strcmp(verb, "group-catch")) { // the same in a process group of its own
        setpgid(0, 0);
        return report_signals(number(first));
    }
    if (!strcmp(verb, "deaf")) {
        ignore_polite_signals();
        printf("ready\n");
        fflush(stdout);
        sleep_for_ever();
    }
    if (!strcmp(verb, "burn"))
        return burn(number(first), second ? number(second) : 1);
    if (!strcmp(verb, "without") && second)
        return without(first, argv + 3);
    if (!strcmp(verb, "listen") && first)
        return listen_without_a_word(first);
    if (!strcmp(verb, "terminal"))
        return demand_terminal();
    if (!strcmp(verb, "window"))
        return report_size(number(first));
    if (!strcmp(verb, "type") && second)
        return type_text(first, second);
    if (!strcmp(verb, "group")) { // pid, process group, session, terminal's foreground group
        printf("%d %d %d %d\n", getpid(), getpgrp(), getsid(0), tcgetpgrp(0));
        return 0;
    }
    fprintf(stderr, "probe: what is %s?\n", verb);
    return 98;
}
