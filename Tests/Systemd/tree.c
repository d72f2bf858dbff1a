/* tree PORT WORKERS — a service as they are: listens on PORT (0: on none), forks WORKERS, one more that leaves its session
   and its parent, and lets all of them ignore SIGTERM. SIGHUP adds a line to `reloads` in the working directory. At
   SIGTERM the main process leaves, and the others stay. */
#include <arpa/inet.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

static void stay(void) {
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    for (;;) pause();
}

int main(int argc, char **argv) {
    int port = argc > 1 ? atoi(argv[1]) : 0, workers = argc > 2 ? atoi(argv[2]) : 0, signal = 0;
    if (port) {
        int socket_ = socket(AF_INET, SOCK_STREAM, 0), yes = 1;
        struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port)};
        setsockopt(socket_, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
        if (bind(socket_, (struct sockaddr *)&address, sizeof address) || listen(socket_, 16)) {
            perror("listen");
            return 3;
        }
    }
    for (int i = 0; i < workers; i++)
        if (fork() == 0) stay();
    if (fork() == 0) {
        setsid();
        if (fork() == 0) stay();
        _exit(0);
    }
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigprocmask(SIG_BLOCK, &set, NULL);
    FILE *file = fopen("started", "a");
    if (!file || fprintf(file, "%s\n", getenv("FROM_FILE") ? getenv("FROM_FILE") : "?") < 0 || fclose(file)) {
        perror("started");
        return 4;
    }
    for (;;) {
        sigwait(&set, &signal);
        if (signal == SIGTERM) return 0;
        if ((file = fopen("reloads", "a"))) {
            fputs("reloaded\n", file);
            fclose(file);
        }
    }
}
