/* A 32-bit stand-in for srcds: it is started, polled and stopped as the real one, and prints what the sandbox grants.
 *
 * Answers A2S_INFO with a challenge, and RCON: login, status, sv_cheats, echo, crash, quit. On a crash a child stops it
 * with ptrace and writes a dump beside it, as Valve's crash handler does.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MOST = 32, ROOM = 8192, AUTH = 3, COMMAND = 2, AUTH_RESPONSE = 2, RESPONSE = 0 };
static char host_name[128] = "unnamed", password[128], map[64] = "c1m1_hotel";
static int port = 27015, ends;
static struct { char bytes[ROOM]; int size, is_in; } peers[MOST];

static void setting(const char *line, const char *name, char *value, int room) {
    if (strncmp(line, name, strlen(name)) || line[strlen(name)] != ' ') return;
    const char *from = strchr(line, '"'), *to = from ? strchr(from + 1, '"') : 0;
    if (to && to - from <= room) { memcpy(value, from + 1, to - from - 1); value[to - from - 1] = 0; }
}

static void read_configuration(void) {
    char line[512];
    FILE *file = fopen("left4dead2/cfg/server.cfg", "r");
    while (file && fgets(line, sizeof line, file)) {
        setting(line, "hostname", host_name, sizeof host_name);
        setting(line, "rcon_password", password, sizeof password);
    }
    if (file) fclose(file);
}

static void crashed(int number) {
    pid_t parent = getpid();
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    pid_t child = fork();
    if (!child) {
        FILE *dump = fopen("left4dead2/crash.dmp", "w");
        int code = ptrace(PTRACE_ATTACH, parent, 0, 0) ? errno : 0;
        if (dump) { fprintf(dump, "signal %d, ptrace %s\n", number, code ? strerror(code) : "granted"); fclose(dump); }
        if (!code) { waitpid(parent, 0, __WALL); ptrace(PTRACE_DETACH, parent, 0, 0); }
        _exit(0);
    }
    waitpid(child, 0, 0);
    signal(number, SIG_DFL);
    raise(number);
}

static void terminated(int number) { (void)number; ends = 1; }

static void send_packet(int fd, int id, int kind, const char *body) {
    char packet[ROOM];
    int length = strlen(body), head[3] = {length + 10, id, kind};
    memcpy(packet, head, 12);
    memcpy(packet + 12, body, length + 1);
    packet[13 + length] = 0;
    send(fd, packet, 14 + length, MSG_NOSIGNAL);
}

static void carry_out(int fd, int id, const char *command) {
    char answer[1024] = "";
    if (!strcmp(command, "status"))
        snprintf(answer, sizeof answer,
                 "hostname: %s\nversion : 2.2.4.3 10097 secure  (unknown)\nudp/ip  : 0.0.0.0:%d [ public n/a ]\n"
                 "os      : Linux Dedicated\nmap     : %s\nplayers : 1 humans, 0 bots (8 max) (not hibernating) "
                 "(unreserved)\n\n# userid name uniqueid connected ping loss state rate adr\n"
                 "#  2 1 \"Ellis\" STEAM_1:0:4711 00:42 55 0 active 30000 192.0.2.7:27005\n#end\n",
                 host_name, port, map);
    else if (!strcmp(command, "sv_cheats"))
        strcpy(answer, "\"sv_cheats\" = \"0\" notify replicated\n - Allow cheats on server\n");
    else if (!strncmp(command, "echo ", 5))
        snprintf(answer, sizeof answer, "%s\n", command + 5);
    else if (!strcmp(command, "quit"))
        ends = 1;
    else if (!strcmp(command, "crash"))
        *(volatile int *)0 = 1;
    send_packet(fd, id, RESPONSE, answer);
}

/* One whole packet of a peer; 0 when there is none yet, -1 for what is no packet. */
static int take_packet(int fd, int n) {
    int head[3];
    if (peers[n].size < 12) return 0;
    memcpy(head, peers[n].bytes, 12);
    int whole = head[0] + 4;
    if (head[0] < 10 || whole > ROOM) return -1;
    if (peers[n].size < whole) return 0;
    peers[n].bytes[whole - 1] = 0;
    const char *body = peers[n].bytes + 12;
    if (head[2] == AUTH) {
        peers[n].is_in = *password && !strcmp(body, password);
        send_packet(fd, head[1], RESPONSE, "");
        send_packet(fd, peers[n].is_in ? head[1] : -1, AUTH_RESPONSE, "");
    } else if (peers[n].is_in) {
        carry_out(fd, head[1], body);
    }
    memmove(peers[n].bytes, peers[n].bytes + whole, peers[n].size -= whole);
    return 1;
}

static int hear_peer(int fd, int n) {
    int got = recv(fd, peers[n].bytes + peers[n].size, ROOM - peers[n].size, 0), code;
    if (got <= 0) return -1;
    peers[n].size += got;
    while ((code = take_packet(fd, n)) > 0) {}
    return code;
}

static int put(char *to, const char *text) { strcpy(to, text); return strlen(text) + 1; }

static void answer_query(int fd) {
    static const char query[] = "\xff\xff\xff\xffTSource Engine Query", challenge[] = "\xff\xff\xff\xff" "A1234";
    char asked[1400], answer[1400] = "\xff\xff\xff\xffI\x11";
    struct sockaddr_in from;
    socklen_t length = sizeof from;
    int got = recvfrom(fd, asked, sizeof asked, 0, (struct sockaddr *)&from, &length), at = 6;
    if (got < (int)sizeof query || memcmp(asked, query, sizeof query)) return;
    if (got < (int)sizeof query + 4 || memcmp(asked + sizeof query, "1234", 4)) {
        sendto(fd, challenge, sizeof challenge - 1, 0, (struct sockaddr *)&from, length);
        return;
    }
    at += put(answer + at, host_name);
    at += put(answer + at, map);
    at += put(answer + at, "left4dead2");
    at += put(answer + at, "Left 4 Dead 2");
    memcpy(answer + at, "\x26\x02\x01\x08\x00" "dl\x00\x01", 9); /* app 550, 1 of 8 players, no bots, dedicated, Linux, VAC */
    at += 9;
    at += put(answer + at, "2.2.4.3");
    answer[at++] = 0;
    sendto(fd, answer, at, 0, (struct sockaddr *)&from, length);
}

static int bound(int kind) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port)};
    int yes = 1, fd = socket(AF_INET, kind, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, (struct sockaddr *)&place, sizeof place) || (kind == SOCK_STREAM && listen(fd, 16))) {
        printf("Couldn't allocate dedicated server port %d: %s\n", port, strerror(errno));
        exit(1);
    }
    return fd;
}

static void serve(void) {
    struct pollfd all[2 + MOST] = {{bound(SOCK_DGRAM), POLLIN, 0}, {bound(SOCK_STREAM), POLLIN, 0}};
    for (int n = 0; n < MOST; n++) all[2 + n].fd = -1;
    printf("Connection to Steam servers successful.\nserver runs on port %d\n", port);
    fflush(stdout);
    while (!ends) {
        if (poll(all, 2 + MOST, 200) <= 0) continue;
        if (all[0].revents) answer_query(all[0].fd);
        for (int n = 0; n < MOST; n++)
            if (all[2 + n].fd >= 0 && all[2 + n].revents && hear_peer(all[2 + n].fd, n) < 0) {
                close(all[2 + n].fd);
                all[2 + n].fd = -1;
            }
        if (!all[1].revents) continue;
        for (int n = 0; n < MOST; n++)
            if (all[2 + n].fd < 0) {
                all[2 + n] = (struct pollfd){accept(all[1].fd, 0, 0), POLLIN, 0};
                peers[n].size = peers[n].is_in = 0;
                break;
            }
    }
}

int main(int count, char **words) {
    for (int n = 1; n + 1 < count; n++) {
        if (!strcmp(words[n], "-port")) port = atoi(words[n + 1]);
        if (!strcmp(words[n], "+map")) snprintf(map, sizeof map, "%s", words[n + 1]);
    }
    void *library = dlopen("dedicated_srv.so", RTLD_NOW); /* found by srcds_run's LD_LIBRARY_PATH, as Valve's is */
    if (!library) {
        printf("Failed to open dedicated_srv.so (%s)\n", dlerror());
        return 1;
    }
    ((void (*)(int))dlsym(library, "run_probes"))(port);
    read_configuration();
    signal(SIGTERM, terminated);
    signal(SIGSEGV, crashed);
    serve();
    return 0;
}
