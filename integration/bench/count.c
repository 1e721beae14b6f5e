/*
 * Counts the instructions a command and all its processes execute in user mode, by single-stepping
 * them: for machines whose processor counters are not to be had.
 *
 *   count COMMAND [ARG...]        the count goes to descriptor 3
 *
 * A repeated string instruction counts once, as it does for the processor.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/ptrace.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#define OPTIONS (PTRACE_O_EXITKILL | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK | PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC)

static long instruction_pointer(pid_t pid)
{
	return ptrace(PTRACE_PEEKUSER, pid, offsetof(struct user_regs_struct, rip), 0);
}

int main(int argc, char **argv)
{
	static long last[1 << 22]; /* by pid: where its last step ended */
	unsigned long long count = 0;
	int status, result = 127;

	if (argc < 2)
		return 2;
	pid_t first = fork();
	if (first == 0) {
		close(3);
		raise(SIGSTOP);
		execvp(argv[1], argv + 1);
		_exit(127);
	}
	waitpid(first, &status, WUNTRACED);
	if (ptrace(PTRACE_SEIZE, first, 0, OPTIONS) < 0) {
		perror("ptrace");
		return 127;
	}
	kill(first, SIGCONT);

	int running = 0; /* counting starts with the command itself */
	for (pid_t pid; (pid = waitpid(-1, &status, __WALL)) > 0;) {
		if (!WIFSTOPPED(status)) {
			if (pid == first)
				result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
			continue;
		}
		int event = status >> 16, deliver = 0;
		if (event == PTRACE_EVENT_EXEC)
			running = 1;
		else if (event == 0 && WSTOPSIG(status) != SIGTRAP)
			deliver = WSTOPSIG(status);
		else if (event == 0) {
			long now = instruction_pointer(pid);
			if (running && now != last[pid])
				count++;
			last[pid] = now;
		}
		ptrace(running ? PTRACE_SINGLESTEP : PTRACE_CONT, pid, 0, deliver);
	}
	dprintf(3, "%llu\n", count);
	return result;
}
