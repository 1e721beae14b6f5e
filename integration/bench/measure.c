/*
 * Times commands, interleaved, so that whatever else the machine does strikes all of them alike.
 *
 *   measure ROUNDS LABEL COMMAND [ARG...] ';' LABEL COMMAND [ARG...] ';' ...
 *
 * Each round runs all commands in the given order. For every label but "-" prints
 *   LABEL MEDIAN QUARTILE MEMORY
 * in order of first appearance: median and lower quartile of the wall time from spawn to exit in
 * microseconds, and the largest resident set of the command or a process it waited for, in KiB.
 * Before each command waits for processes that earlier ones left behind and "@reap" in the place of
 * a command waits for all of them. A command that fails ends the whole: its times would mean nothing.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

extern char **environ;

struct command {
	const char *label;
	char **argv;
	long memory;
	double *times;
};

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void die(const char *what, int status)
{
	fprintf(stderr, "measure: %s: %s (status %#x)\n", what, status ? "failed" : strerror(errno), status);
	exit(1);
}

static void run(struct command *command, int round, const posix_spawn_file_actions_t *actions)
{
	struct rusage usage;
	int status;
	pid_t pid;

	if (!strcmp(command->argv[0], "@reap")) {
		while (waitpid(-1, NULL, 0) > 0)
			;
		return;
	}
	while (waitpid(-1, NULL, WNOHANG) > 0)
		;
	double start = now();
	errno = posix_spawnp(&pid, command->argv[0], actions, NULL, command->argv, environ);
	if (errno)
		die(command->argv[0], 0);
	if (wait4(pid, &status, 0, &usage) != pid)
		die(command->argv[0], 0);
	command->times[round] = now() - start;
	if (status)
		die(command->argv[0], status);
	if (usage.ru_maxrss > command->memory)
		command->memory = usage.ru_maxrss;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

int main(int argc, char **argv)
{
	int rounds = argc > 2 ? atoi(argv[1]) : 0, count = 0;
	struct command commands[128];
	posix_spawn_file_actions_t actions;

	if (rounds < 1)
		return 2;
	for (int i = 2; i < argc && count < 128; i++) {
		struct command *c = &commands[count++];
		*c = (struct command){ .label = argv[i], .argv = argv + i + 1, .times = calloc(rounds, sizeof(double)) };
		while (i < argc && strcmp(argv[i], ";"))
			i++;
		argv[i] = NULL;
		if (!c->argv[0] || !c->times)
			return 2;
	}
	/* What a detached container leaves behind comes to us. */
	prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0);
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	for (int round = 0; round < rounds; round++)
		for (int i = 0; i < count; i++)
			run(&commands[i], round, &actions);
	for (int i = 0; i < count; i++) {
		struct command *c = &commands[i];
		if (!strcmp(c->label, "-"))
			continue;
		qsort(c->times, rounds, sizeof(double), by_value);
		printf("%s %.0f %.0f %ld\n", c->label, c->times[rounds / 2], c->times[rounds / 4], c->memory);
	}
	return 0;
}
