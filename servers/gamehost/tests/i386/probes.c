/* The library of the 32-bit stand-in: tries what srcds, its plugins and its crash handler do, and prints each result.
 *
 * Compiled without -fPIC, since the libraries of the real game have text relocations too. A probe returns 0 when it was
 * granted, otherwise an errno.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <ifaddrs.h>
#include <netdb.h>
#include <pthread.h>
#include <pwd.h>
#include <sched.h>
#include <semaphore.h>
#include <setjmp.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/file.h>
#include <sys/inotify.h>
#include <sys/ipc.h>
#include <sys/mman.h>
#include <sys/mount.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/resource.h>
#include <sys/sem.h>
#include <sys/shm.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/syscall.h>
#include <sys/sysinfo.h>
#include <sys/time.h>
#include <sys/timerfd.h>
#include <sys/uio.h>
#include <sys/utsname.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static int own_port;
static int result(long value) { return value < 0 ? errno : 0; }
static int library(const char *name) { return dlopen(name, RTLD_NOW) ? 0 : ENOENT; }

static int readable(const char *path) {
    char bytes[16];
    int fd = open(path, O_RDONLY);
    if (fd < 0) return errno;
    int code = result(read(fd, bytes, sizeof bytes));
    close(fd);
    return code;
}

static int writable(const char *path) {
    int fd = open(path, O_RDWR | O_CREAT | O_TRUNC, 0644);
    if (fd < 0) return errno;
    int code = result(write(fd, "x", 1));
    close(fd);
    return code;
}

/* --- the program and its memory --- */
static int is_32_bit(void) { return sizeof(long) == 4 && sizeof(void *) == 4 ? 0 : ENOEXEC; }
static int lib_stdcpp(void) { return library("libstdc++.so.6"); }
static int lib_gcc(void) { return library("libgcc_s.so.1"); }
static int lib_z(void) { return library("libz.so.1"); }
static int lib_m(void) { return library("libm.so.6"); }
static int steamclient(void) {
    char path[512];
    snprintf(path, sizeof path, "%s/.steam/sdk32/steamclient.so", getenv("HOME"));
    return library(path);
}
static int write_and_execute(void) {
    static const unsigned char code[] = {0xb8, 42, 0, 0, 0, 0xc3}; /* mov eax, 42; ret */
    void *page = mmap(0, 4096, PROT_READ | PROT_WRITE | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (page == MAP_FAILED) return errno;
    memcpy(page, code, sizeof code);
    return ((int (*)(void))page)() == 42 ? 0 : EFAULT;
}
static int data_made_executable(void) {
    void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    *(unsigned char *)page = 0xc3;
    if (mprotect(page, 4096, PROT_READ | PROT_EXEC)) return errno;
    ((void (*)(void))page)();
    return 0;
}
static int half_a_gigabyte(void) {
    void *room = mmap(0, 512u << 20, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    if (room == MAP_FAILED) return errno;
    return result(munmap(room, 512u << 20));
}
static int lock_memory(void) { static char room[4096]; return result(mlock(room, sizeof room)); }
static int read_personality(void) { return result(personality(0xffffffff)); }
static int set_personality(void) { return result(personality(personality(0xffffffff) | READ_IMPLIES_EXEC)); }
static int local_descriptors(void) { char room[64]; return result(syscall(SYS_modify_ldt, 0, room, sizeof room)); }

/* --- threads, signals, children --- */
static void *nothing(void *value) { return value; }
static int threads(void) {
    pthread_t all[16];
    for (int n = 0; n < 16; n++) { int code = pthread_create(&all[n], 0, nothing, 0); if (code) return code; }
    for (int n = 0; n < 16; n++) pthread_join(all[n], 0);
    return 0;
}
static int name_thread(void) { return result(prctl(PR_SET_NAME, "srcds_thread")); }
static int affinity(void) { cpu_set_t set; return result(sched_getaffinity(0, sizeof set, &set) || sched_setaffinity(0, sizeof set, &set) ? -1 : 0); }
static int change_priority(int by) { return result(setpriority(PRIO_PROCESS, 0, getpriority(PRIO_PROCESS, 0) + by)); }
static int lower_priority(void) { return change_priority(1); }
static int raise_priority(void) { return change_priority(-5); }
static sigjmp_buf back;
static void jump(int number) { siglongjmp(back, number); }
static int catch_segv(void) {
    struct sigaction now = {.sa_handler = jump}, old;
    sigaction(SIGSEGV, &now, &old);
    if (!sigsetjmp(back, 1)) { *(volatile int *)0 = 1; return EFAULT; }
    return result(sigaction(SIGSEGV, &old, 0));
}
static int alternate_stack(void) { static char room[65536]; stack_t stack = {.ss_sp = room, .ss_size = sizeof room}; return result(sigaltstack(&stack, 0)); }
static int timer_signal(void) { struct itimerval none = {{0, 0}, {0, 0}}; return result(setitimer(ITIMER_REAL, &none, 0)); }
static int child_of_a_shell(void) {
    FILE *pipe = popen("uname -m", "r");
    char answer[64] = "";
    if (!pipe || !fgets(answer, sizeof answer, pipe)) return ECHILD;
    pclose(pipe);
    return 0;
}
static int tracer(void) { /* as a crash handler: a child stops its parent and reads its memory */
    int ready[2], status;
    static volatile int secret = 4711;
    if (pipe(ready)) return errno;
    prctl(PR_SET_PTRACER, PR_SET_PTRACER_ANY);
    pid_t parent = getpid(), child = fork();
    if (!child) {
        long seen;
        if (ptrace(PTRACE_ATTACH, parent, 0, 0)) _exit(errno);
        waitpid(parent, 0, __WALL);
        errno = 0;
        seen = ptrace(PTRACE_PEEKDATA, parent, (void *)&secret, 0);
        ptrace(PTRACE_DETACH, parent, 0, 0);
        _exit(seen == 4711 ? 0 : EIO);
    }
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {}
    return WIFEXITED(status) ? WEXITSTATUS(status) : EINTR;
}
static int trace_me(void) {
    int status;
    pid_t child = fork();
    if (!child) _exit(ptrace(PTRACE_TRACEME, 0, 0, 0) ? errno : 0);
    waitpid(child, &status, 0);
    return WEXITSTATUS(status);
}
static int read_own_memory(void) {
    int from = 7, to = 0;
    struct iovec here = {&to, sizeof to}, there = {&from, sizeof from};
    return result(process_vm_readv(getpid(), &here, 1, &there, 1, 0));
}
static int core_dumps(void) { struct rlimit room = {2000 * 1024, 2000 * 1024}; return result(setrlimit(RLIMIT_CORE, &room)); }

/* --- files --- */
static int proc_exe(void) { char path[512]; return result(readlink("/proc/self/exe", path, sizeof path)); }
static int proc_maps(void) { return readable("/proc/self/maps"); }
static int proc_status(void) { return readable("/proc/self/status"); }
static int proc_cpuinfo(void) { return readable("/proc/cpuinfo"); }
static int proc_meminfo(void) { return readable("/proc/meminfo"); }
static int proc_other(void) { return readable("/proc/1/environ"); }
static int sys_cpus(void) { return readable("/sys/devices/system/cpu/online"); }
static int random_bytes(void) { return readable("/dev/urandom"); }
static int time_zone(void) { time_t now = time(0); tzset(); return localtime(&now) ? 0 : EINVAL; }
static int beside_itself(void) { return writable("left4dead2/downloads.txt"); }
static int replace_a_file(void) { int code = writable("left4dead2/new"); return code ? code : result(rename("left4dead2/new", "left4dead2/steam.inf")); }
static int make_directory(void) { rmdir("left4dead2/logs"); return result(mkdir("left4dead2/logs", 0755)); } /* an earlier start made it */
static int change_mode(void) { int code = writable("left4dead2/tool"); return code ? code : result(chmod("left4dead2/tool", 0755)); }
static int shared_map(void) {
    int fd = open("left4dead2/map.bin", O_RDWR | O_CREAT, 0644);
    if (fd < 0 || ftruncate(fd, 4096)) return errno;
    void *page = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (page == MAP_FAILED) return errno;
    *(int *)page = 1;
    return result(msync(page, 4096, MS_SYNC));
}
static int lock_a_file(void) {
    int fd = open("left4dead2/lock", O_RDWR | O_CREAT, 0644);
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fd < 0 ? errno : result(flock(fd, LOCK_EX) || fcntl(fd, F_SETLK, &whole) ? -1 : 0);
}
static int narrow_stat(void) { struct stat about; return result(stat("left4dead2", &about)); } /* EOVERFLOW on big inodes */
static int room_left(void) { struct statvfs about; return result(statvfs(".", &about)); }
static int watch_files(void) { return result(inotify_init()); }
static int temporary(void) { return writable("/tmp/probe"); }
static int write_system(void) { return writable("/usr/probe"); }

/* --- between processes --- */
static int shared_memory(void) { return result(shm_open("/probe", O_RDWR | O_CREAT, 0600)); }
static int system_v_memory(void) { int id = shmget(IPC_PRIVATE, 4096, IPC_CREAT | 0600); return id < 0 ? errno : result(shmctl(id, IPC_RMID, 0)); }
static int system_v_semaphores(void) { int id = semget(IPC_PRIVATE, 1, IPC_CREAT | 0600); return id < 0 ? errno : result(semctl(id, 0, IPC_RMID)); }
static int named_semaphore(void) { return sem_open("/probe", O_CREAT, 0600, 1) == SEM_FAILED ? errno : 0; }
static int event_descriptors(void) { return result(epoll_create1(0) < 0 || eventfd(0, 0) < 0 || timerfd_create(CLOCK_MONOTONIC, 0) < 0 ? -1 : 0); }
static int memory_file(void) { return result(memfd_create("probe", 0)); }

/* --- network --- */
static struct sockaddr_in at(int port, unsigned address) {
    struct sockaddr_in place = {.sin_family = AF_INET, .sin_port = htons(port), .sin_addr = {htonl(address)}};
    return place;
}
static int bound(int kind, int port) {
    struct sockaddr_in place = at(port, INADDR_ANY);
    int yes = 1, fd = socket(AF_INET, kind, 0);
    if (fd < 0) return errno;
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    int code = result(bind(fd, (struct sockaddr *)&place, sizeof place));
    close(fd);
    return code;
}
static int connected(int port) { /* nobody listens: "refused" by the peer means granted by the sandbox */
    struct sockaddr_in place = at(port, INADDR_LOOPBACK);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    int code = result(connect(fd, (struct sockaddr *)&place, sizeof place));
    close(fd);
    return code == ECONNREFUSED ? 0 : code;
}
static int socketcall(void) { long words[] = {AF_INET, SOCK_DGRAM, 0}; return result(syscall(SYS_socketcall, 1, words)); }
static int odd_socketcall(void) { long words[] = {AF_VSOCK, 100, 0}; return result(syscall(SYS_socketcall, 1, words)); }
static int own_udp(void) { return bound(SOCK_DGRAM, own_port); }
static int own_tcp(void) { return bound(SOCK_STREAM, own_port); }
static int other(int kind) { /* "in use" by somebody means granted by the sandbox */
    int code = bound(kind, own_port + 5 > 65535 ? own_port - 5 : own_port + 5);
    return code == EADDRINUSE ? 0 : code;
}
static int other_udp(void) { return other(SOCK_DGRAM); }
static int other_tcp(void) { return other(SOCK_STREAM); }
static int to_web(void) { return connected(443); }
static int to_mysql(void) { return connected(3306); }
static int to_foreign_port(void) { return connected(6380); }
static int broadcast(void) { int yes = 1, fd = socket(AF_INET, SOCK_DGRAM, 0); return result(setsockopt(fd, SOL_SOCKET, SO_BROADCAST, &yes, sizeof yes)); }
static int raw_socket(void) { return result(socket(AF_INET, SOCK_RAW, IPPROTO_ICMP)); }
static int interfaces(void) { struct ifaddrs *all; return result(getifaddrs(&all)); }
static int resolve_localhost(void) { return gethostbyname("localhost") ? 0 : ENOENT; }
static int resolve_own_name(void) { char name[256]; return gethostname(name, sizeof name) || !gethostbyname(name) ? ENOENT : 0; }

/* --- who it is, and what nobody needs --- */
static int own_account(void) { return getpwuid(getuid()) ? 0 : ENOENT; }
static int clocks(void) { struct timespec now; return result(clock_gettime(CLOCK_MONOTONIC_RAW, &now)); }
static int system_facts(void) { struct sysinfo facts; struct utsname name; return result(sysinfo(&facts) || uname(&name) ? -1 : 0); }
static int become_root(void) { return getuid() == 0 ? 0 : result(setuid(0)); }
static int mount_something(void) { return result(mount("none", "/tmp", "tmpfs", 0, "")); }
static int new_namespace(void) { return result(unshare(CLONE_NEWUSER)); }
static int change_root(void) { return result(chroot("/tmp")); }
static int make_device(void) { return result(mknod("/tmp/null", S_IFCHR | 0666, 0x103)); }
static int io_ports(void) { return result(syscall(SYS_iopl, 3)); }
static int kernel_log(void) { return result(syscall(SYS_syslog, 10, 0, 0)); }
static int keyrings(void) { return result(syscall(SYS_keyctl, 0, -3, 0)); }
static int kernel_programs(void) { return result(syscall(SYS_bpf, 0, 0, 0)); }
static int performance_events(void) { return result(syscall(SYS_perf_event_open, 0, 0, -1, -1, 0)); }
static int set_clock(void) { struct timespec now; clock_gettime(CLOCK_REALTIME, &now); return result(clock_settime(CLOCK_REALTIME, &now)); }

#define PROBE(name) {#name, name}
static const struct { const char *name; int (*run)(void); } probes[] = {
    PROBE(is_32_bit), PROBE(lib_m), PROBE(lib_gcc), PROBE(lib_stdcpp), PROBE(lib_z), PROBE(steamclient),
    PROBE(write_and_execute), PROBE(data_made_executable), PROBE(half_a_gigabyte), PROBE(lock_memory),
    PROBE(read_personality), PROBE(set_personality), PROBE(local_descriptors), PROBE(threads), PROBE(name_thread),
    PROBE(affinity), PROBE(lower_priority), PROBE(raise_priority), PROBE(catch_segv), PROBE(alternate_stack),
    PROBE(timer_signal), PROBE(child_of_a_shell), PROBE(trace_me), PROBE(tracer), PROBE(read_own_memory),
    PROBE(core_dumps), PROBE(proc_exe), PROBE(proc_maps), PROBE(proc_status), PROBE(proc_cpuinfo), PROBE(proc_meminfo),
    PROBE(proc_other), PROBE(sys_cpus), PROBE(random_bytes), PROBE(time_zone), PROBE(beside_itself),
    PROBE(replace_a_file), PROBE(make_directory), PROBE(change_mode), PROBE(shared_map), PROBE(lock_a_file),
    PROBE(narrow_stat), PROBE(room_left), PROBE(watch_files), PROBE(temporary), PROBE(write_system),
    PROBE(shared_memory), PROBE(system_v_memory), PROBE(system_v_semaphores), PROBE(named_semaphore),
    PROBE(event_descriptors), PROBE(memory_file), PROBE(socketcall), PROBE(odd_socketcall), PROBE(own_udp), PROBE(own_tcp), PROBE(other_udp),
    PROBE(other_tcp), PROBE(to_web), PROBE(to_mysql), PROBE(to_foreign_port), PROBE(broadcast), PROBE(raw_socket),
    PROBE(interfaces), PROBE(resolve_localhost), PROBE(resolve_own_name), PROBE(own_account), PROBE(clocks),
    PROBE(system_facts), PROBE(become_root), PROBE(mount_something), PROBE(new_namespace), PROBE(change_root),
    PROBE(make_device), PROBE(io_ports), PROBE(kernel_log), PROBE(keyrings), PROBE(kernel_programs),
    PROBE(performance_events), PROBE(set_clock),
};

void run_probes(int port) {
    own_port = port;
    for (unsigned n = 0; n < sizeof probes / sizeof *probes; n++) {
        int code = probes[n].run();
        printf("probe %s %s\n", probes[n].name, code ? strerrorname_np(code) ? strerrorname_np(code) : "?" : "granted");
    }
    fflush(stdout);
}
