// What a child of the agent does before all else: before the constructors of its libraries, and while it has one
// thread. Landlock holds for the thread that asks for it and what that starts; here this is the whole process. Go's
// runtime has threads as soon as it runs, and could only restrict one of them and start the program anew from it.
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <malloc.h>
#include <stdint.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

// Of Landlock, which has the same numbers everywhere, and headers that are newer than some systems.
enum { create_ruleset = 444, add_rule = 445, restrict_self = 446, path_beneath = 1, read_dir = 1 << 3 };
enum { call_close_range = 436, child_socket = 3 };

// The first message of the parent: see lockMessage in sandbox.go. Rules follow: access, 8 bytes, and a path with its 0.
struct head {
	char kind, no_new_privileges;
	uint8_t size; // of attributes; 0: no Landlock
	char pad[5];
	uint64_t attributes[3];
};

// vggse_locked is 0 where all that was asked for is done, else an errno; -1 where nobody has asked.
int vggse_locked = -1;

static int allow(int ruleset, const char *path, uint64_t access, uint64_t handled)
{
	int fd = open(path, O_PATH | O_CLOEXEC);
	if (fd < 0)
		return 0; // what is not there, or not for us, needs no rule
	struct stat info;
	if (fstat(fd, &info) == 0 && !S_ISDIR(info.st_mode))
		access &= ~(uint64_t)read_dir;
	struct __attribute__((packed)) {
		uint64_t access;
		int32_t fd;
	} beneath = {access & handled, fd};
	long failed = syscall(add_rule, ruleset, path_beneath, &beneath, 0);
	close(fd);
	return failed ? errno : 0;
}

static int take(const struct head *h, const char *rules, const char *end)
{
	if (h->no_new_privileges && prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0))
		return errno;
	if (!h->size)
		return 0;
	int ruleset = syscall(create_ruleset, h->attributes, (size_t)h->size, 0);
	if (ruleset < 0)
		return errno;
	int failed = 0;
	while (!failed && end - rules > 8) {
		uint64_t access;
		memcpy(&access, rules, sizeof access);
		rules += sizeof access;
		failed = allow(ruleset, rules, access, h->attributes[0]);
		rules += strnlen(rules, end - rules) + 1;
	}
	if (!failed && syscall(restrict_self, ruleset, 0))
		failed = errno;
	close(ruleset);
	return failed;
}

// spare makes the kernel end this process before others where memory lacks.
static void spare(void)
{
	int fd = open("/proc/self/oom_score_adj", O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "500", 3) < 0)
		errno = 0; // lower ones stay
	close(fd);
}

// close_others ends what the parent's libraries may have left open for its children.
static void close_others(void)
{
	struct rlimit limit;
	if (syscall(call_close_range, child_socket + 1, ~0U, 0) == 0 || getrlimit(RLIMIT_NOFILE, &limit))
		return;
	for (unsigned fd = child_socket + 1; fd < limit.rlim_cur && fd < 1 << 16; fd++) // before Linux 5.9
		close(fd);
}

static void early(int argc, char **argv, char **environment)
{
	(void)environment;
	static char buffer[(1 << 16) + 1]; // a path without an end ends here
	if (argc < 2 || strcmp(argv[1], "camera-worker"))
		return;
	int kind = 0;
	socklen_t size = sizeof kind;
	if (getsockopt(child_socket, SOL_SOCKET, SO_TYPE, &kind, &size) || kind != SOCK_SEQPACKET)
		return;
	ssize_t n;
	while ((n = recv(child_socket, buffer, sizeof buffer - 1, 0)) < 0 && errno == EINTR)
		;
	struct head h;
	if (n < (ssize_t)sizeof h || buffer[0] != 'l')
		return;
	memcpy(&h, buffer, sizeof h);
	mallopt(M_ARENA_MAX, 1); // a decoder allocates seldom, and each arena keeps what it once had
	close_others();
	spare();
	vggse_locked = take(&h, buffer + sizeof h, buffer + n);
}

__attribute__((section(".preinit_array"), used)) static void (*const first)(int, char **, char **) = early;
