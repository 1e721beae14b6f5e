/*
 * The floor: what running the bundle of `runc spec` costs at least.
 *
 *   floor ROOTFS COMMAND [ARG...]
 *
 * Makes the system calls that config demands and no others: namespaces, cgroups, mounts, devices,
 * masked and read-only paths, pivot_root, limits, capabilities, exec. Reads no config.json, keeps no
 * state, checks nothing, recovers from nothing: a yardstick, not a runtime. On cgroup v2 it leaves
 * out the program that filters devices.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/capability.h>
#include <linux/sched.h>
#include <net/if.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/sysmacros.h>
#include <sys/wait.h>
#include <unistd.h>

#define COUNT(array) (sizeof(array) / sizeof *(array))
#define CGROUP2_MAGIC 0x63677270
#define CGROUP "orlop-bench-floor"

static void check(long result, const char *what)
{
	if (result < 0) {
		perror(what);
		_exit(127);
	}
}

/* --- cgroups ----------------------------------------------------------------------------------- */

static const char *const hierarchies[] = { "cpu", "cpuacct", "cpuset", "memory", "devices", "freezer",
	"blkio", "pids", "systemd", "cpu,cpuacct", "net_cls", "net_prio", "net_cls,net_prio",
	"perf_event", "hugetlb", "rdma", "misc" };
static int joined[COUNT(hierarchies)]; /* v1: the descriptor of each `tasks`; -1: no such hierarchy */
static int is_v2;

static void write_file(const char *path, const char *value, size_t length)
{
	int fd = open(path, O_WRONLY | O_CLOEXEC);
	check(fd, path);
	check(write(fd, value, length), path);
	close(fd);
}

/* A new cpuset is empty: it needs what its parent has. */
static void copy_cpuset(const char *file)
{
	char path[128], value[4096];
	snprintf(path, sizeof path, "/sys/fs/cgroup/cpuset/%s", file);
	int fd = open(path, O_RDONLY | O_CLOEXEC);
	check(fd, path);
	ssize_t length = read(fd, value, sizeof value);
	close(fd);
	snprintf(path, sizeof path, "/sys/fs/cgroup/cpuset/" CGROUP "/%s", file);
	write_file(path, value, length);
}

/* Nothing, then what every container may use. */
static void allow_devices(void)
{
	static const char *const rules[] = { "c *:* m", "b *:* m", "c 1:3 rwm", "c 1:5 rwm", "c 1:7 rwm",
		"c 1:8 rwm", "c 1:9 rwm", "c 5:0 rwm", "c 5:2 rwm", "c 136:* rwm" };
	write_file("/sys/fs/cgroup/devices/" CGROUP "/devices.deny", "a", 1);
	int fd = open("/sys/fs/cgroup/devices/" CGROUP "/devices.allow", O_WRONLY | O_CLOEXEC);
	check(fd, "devices.allow");
	for (size_t i = 0; i < COUNT(rules); i++)
		check(write(fd, rules[i], strlen(rules[i])), rules[i]);
	close(fd);
}

static void make_v1_cgroups(void)
{
	for (size_t i = 0; i < COUNT(hierarchies); i++) {
		char path[128];
		joined[i] = -1;
		snprintf(path, sizeof path, "/sys/fs/cgroup/%s/" CGROUP, hierarchies[i]);
		if (mkdir(path, 0755) < 0)
			continue;
		if (!strcmp(hierarchies[i], "cpuset")) {
			copy_cpuset("cpuset.cpus");
			copy_cpuset("cpuset.mems");
		}
		if (!strcmp(hierarchies[i], "devices"))
			allow_devices();
		strcat(path, "/tasks");
		joined[i] = open(path, O_WRONLY | O_CLOEXEC);
		check(joined[i], path);
	}
}

static void remove_cgroups(void)
{
	if (is_v2)
		check(rmdir("/sys/fs/cgroup/" CGROUP), "rmdir");
	for (size_t i = 0; !is_v2 && i < COUNT(hierarchies); i++) {
		char path[128];
		snprintf(path, sizeof path, "/sys/fs/cgroup/%s/" CGROUP, hierarchies[i]);
		if (joined[i] >= 0)
			check(rmdir(path), path);
	}
}

/* `tasks`, not `cgroup.procs`: a single thread moves without waiting for a grace period. */
static void join_v1_cgroups(void)
{
	for (size_t i = 0; i < COUNT(hierarchies); i++)
		if (joined[i] >= 0)
			check(write(joined[i], "0", 1), "tasks");
}

static void mount_cgroups(const char *at)
{
	const unsigned long flags = MS_NOSUID | MS_NOEXEC | MS_NODEV | MS_RELATIME;
	if (is_v2) {
		check(mount("/sys/fs/cgroup/" CGROUP, at, NULL, MS_BIND, NULL), "cgroup");
		check(mount(NULL, at, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL), "cgroup");
		return;
	}
	check(mount("tmpfs", at, "tmpfs", flags, "mode=755"), at);
	for (size_t i = 0; i < COUNT(hierarchies); i++) {
		char from[128], to[256];
		if (joined[i] < 0)
			continue;
		snprintf(from, sizeof from, "/sys/fs/cgroup/%s/" CGROUP, hierarchies[i]);
		snprintf(to, sizeof to, "%s/%s", at, hierarchies[i]);
		check(mkdir(to, 0755), to);
		check(mount(from, to, NULL, MS_BIND, NULL), to);
		check(mount(NULL, to, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL), to);
	}
	check(mount(NULL, at, NULL, MS_REMOUNT | MS_BIND | MS_RDONLY | flags, NULL), at);
}

/* --- the container's file system; the working directory is its root ------------------------------ */

static void make_mounts(void)
{
	const unsigned long no = MS_NOSUID | MS_NOEXEC | MS_NODEV;
	check(mount("proc", "proc", "proc", 0, NULL), "proc");
	check(mount("tmpfs", "dev", "tmpfs", MS_NOSUID | MS_STRICTATIME, "mode=755,size=65536k"), "dev");
	check(mkdir("dev/pts", 0755), "dev/pts");
	check(mount("devpts", "dev/pts", "devpts", MS_NOSUID | MS_NOEXEC,
		    "newinstance,ptmxmode=0666,mode=0620,gid=5"), "dev/pts");
	check(mkdir("dev/shm", 0755), "dev/shm");
	check(mount("shm", "dev/shm", "tmpfs", no, "mode=1777,size=65536k"), "dev/shm");
	check(mkdir("dev/mqueue", 0755), "dev/mqueue");
	check(mount("mqueue", "dev/mqueue", "mqueue", no, NULL), "dev/mqueue");
	check(mount("sysfs", "sys", "sysfs", no | MS_RDONLY, NULL), "sys");
	mount_cgroups("sys/fs/cgroup");
}

static void make_devices(void)
{
	static const struct { const char *path; int major, minor; } nodes[] = {
		{ "dev/null", 1, 3 }, { "dev/zero", 1, 5 }, { "dev/full", 1, 7 },
		{ "dev/random", 1, 8 }, { "dev/urandom", 1, 9 }, { "dev/tty", 5, 0 } };
	static const char *const links[][2] = { { "/proc/self/fd", "dev/fd" }, { "/proc/self/fd/0", "dev/stdin" },
		{ "/proc/self/fd/1", "dev/stdout" }, { "/proc/self/fd/2", "dev/stderr" }, { "pts/ptmx", "dev/ptmx" } };
	umask(0);
	for (size_t i = 0; i < COUNT(nodes); i++)
		check(mknod(nodes[i].path, S_IFCHR | 0666, makedev(nodes[i].major, nodes[i].minor)), nodes[i].path);
	umask(022);
	for (size_t i = 0; i < COUNT(links); i++)
		check(symlink(links[i][0], links[i][1]), links[i][1]);
}

static void protect_paths(void)
{
	static const char *const readonly[] = { "/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys",
		"/proc/sysrq-trigger" };
	static const char *const masked[] = { "/proc/acpi", "/proc/asound", "/proc/kcore", "/proc/keys",
		"/proc/latency_stats", "/proc/timer_list", "/proc/timer_stats", "/proc/sched_debug", "/sys/firmware",
		"/proc/scsi" };
	for (size_t i = 0; i < COUNT(readonly); i++)
		if (mount(readonly[i], readonly[i], NULL, MS_BIND | MS_REC, NULL) == 0)
			check(mount(NULL, readonly[i], NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), readonly[i]);
	for (size_t i = 0; i < COUNT(masked); i++)
		if (mount("/dev/null", masked[i], NULL, MS_BIND, NULL) < 0 && errno == ENOTDIR)
			check(mount("tmpfs", masked[i], "tmpfs", MS_RDONLY, NULL), masked[i]);
}

static void enter_root(const char *rootfs)
{
	check(mount(NULL, "/", NULL, MS_SLAVE | MS_REC, NULL), "/");
	check(mount(rootfs, rootfs, NULL, MS_BIND | MS_REC, NULL), rootfs);
	check(chdir(rootfs), rootfs);
	make_mounts();
	make_devices();
	check(syscall(SYS_pivot_root, ".", "."), "pivot_root");
	check(umount2(".", MNT_DETACH), "umount");
	protect_paths();
	check(mount(NULL, "/", NULL, MS_REMOUNT | MS_BIND | MS_RDONLY, NULL), "/");
}

/* --- the process --------------------------------------------------------------------------------- */

static void raise_loopback(void)
{
	struct ifreq request = { .ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING };
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	check(fd, "socket");
	check(ioctl(fd, SIOCSIFFLAGS, &request), "lo");
	close(fd);
}

static void drop_privileges(void)
{
	const unsigned kept = 1u << CAP_KILL | 1u << CAP_NET_BIND_SERVICE | 1u << CAP_AUDIT_WRITE;
	struct __user_cap_header_struct header = { .version = _LINUX_CAPABILITY_VERSION_3 };
	struct __user_cap_data_struct data[2] = { { .effective = kept, .permitted = kept } };
	for (int cap = 0; cap <= CAP_LAST_CAP; cap++)
		if (cap > 31 || !(kept & 1u << cap))
			check(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "bounding set");
	check(syscall(SYS_setgroups, 0, NULL), "setgroups");
	check(syscall(SYS_capset, &header, data), "capset");
	check(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), "no_new_privs");
}

static void child(const char *rootfs, char **argv)
{
	static char *const env[] = { "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
		"TERM=xterm", NULL };
	const struct rlimit files = { 1024, 1024 };
	setsid();
	if (!is_v2)
		join_v1_cgroups();
	raise_loopback();
	enter_root(rootfs);
	check(sethostname("runc", 4), "sethostname");
	check(setrlimit(RLIMIT_NOFILE, &files), "setrlimit");
	drop_privileges();
	check(syscall(SYS_close_range, 3, ~0u, 0), "close_range");
	execve(argv[0], argv, env);
	check(-1, argv[0]);
}

int main(int argc, char **argv)
{
	struct clone_args args = { .exit_signal = SIGCHLD,
		.flags = CLONE_NEWPID | CLONE_NEWNET | CLONE_NEWIPC | CLONE_NEWUTS | CLONE_NEWNS };
	struct statfs fs;
	int status;

	if (argc < 3)
		return 2;
	check(statfs("/sys/fs/cgroup", &fs), "/sys/fs/cgroup");
	is_v2 = fs.f_type == CGROUP2_MAGIC;
	if (is_v2) {
		check(mkdir("/sys/fs/cgroup/" CGROUP, 0755), "mkdir");
		args.cgroup = open("/sys/fs/cgroup/" CGROUP, O_PATH | O_CLOEXEC);
		args.flags |= CLONE_INTO_CGROUP;
	} else {
		make_v1_cgroups();
	}
	pid_t pid = syscall(SYS_clone3, &args, sizeof args);
	check(pid, "clone3");
	if (pid == 0)
		child(argv[1], argv + 2);
	check(waitpid(pid, &status, 0), "waitpid");
	remove_cgroups();
	return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}
