/* Appends what it was started with to the file that RECORD_TO names: its arguments, its environment, working directory,
   mask and ids, each as a 4-byte length and bytes, in this order and with a count before the lists. Then, with
   RECORD_STAY in the environment, it waits for SIGTERM and leaves with 0; SIGHUP is noted and survived. */
#include <fcntl.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

extern char **environ;

static void put(FILE *file, const void *bytes, size_t size) {
    uint32_t length = (uint32_t)size;
    fwrite(&length, sizeof length, 1, file);
    fwrite(bytes, 1, size, file);
}

static void put_list(FILE *file, char **list) {
    uint32_t count = 0;
    while (list[count]) count++;
    fwrite(&count, sizeof count, 1, file);
    for (uint32_t i = 0; i < count; i++) put(file, list[i], strlen(list[i]));
}

static void put_facts(FILE *file) {
    char text[4096], directory[2048];
    mode_t mask = umask(0);
    gid_t groups[64];
    int count = getgroups(64, groups);
    if (!getcwd(directory, sizeof directory)) strcpy(directory, "?");
    int size = snprintf(text, sizeof text, "cwd=%s umask=%04o uid=%d gid=%d groups=", directory, (unsigned)mask,
        (int)getuid(), (int)getgid());
    for (int i = 0; i < count; i++) size += snprintf(text + size, sizeof text - (size_t)size, "%d,", (int)groups[i]);
    struct sockaddr_un name = {0};
    socklen_t length = sizeof name;
    int listens = 0;
    socklen_t width = sizeof listens;
    if (getsockopt(0, SOL_SOCKET, SO_ACCEPTCONN, &listens, &width) == 0 && listens
        && getsockname(0, (struct sockaddr *)&name, &length) == 0)
        size += snprintf(text + size, sizeof text - (size_t)size, " listens=%s",
            name.sun_family == AF_UNIX ? name.sun_path : "network");
    put(file, text, (size_t)size);
    umask(mask);
}

int main(int argc, char **argv) {
    (void)argc;
    const char *path = getenv("RECORD_TO");
    char named[4096];
    sigset_t set;
    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGHUP);
    sigaddset(&set, SIGQUIT);
    sigaddset(&set, SIGINT);
    sigprocmask(SIG_BLOCK, &set, NULL);
    if (!path) { /* under supervisor and what replaces it: one file for each process */
        const char *directory = getenv("RECORD_IN"), *name = getenv("SUPERVISOR_PROCESS_NAME");
        snprintf(named, sizeof named, "%s/%s", directory ? directory : "/tmp/record", name ? name : "unnamed");
        path = named;
    }
    FILE *file = fopen(path, "ab");
    if (!file) {
        perror(path);
        return 3;
    }
    put_list(file, argv);
    put_list(file, environ);
    put_facts(file);
    if (fclose(file)) return 3;
    if (!getenv("RECORD_STAY") && path != named) return 0;
    int signal = 0;
    do sigwait(&set, &signal);
    while (signal == SIGHUP);
    return 0;
}
