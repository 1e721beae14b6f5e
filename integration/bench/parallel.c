/*
 * Times commands of which several run at the same time.
 *
 *   parallel WIDTH COUNT LABEL COMMAND [ARG...] ';' LABEL COMMAND [ARG...] ';' ...
 *
 * Of each in turn: COUNT, never more than WIDTH of them at once. "%" in an argument becomes the number of the
 * slot, 0 to WIDTH - 1, so that no two that run at once have a name in common. Prints for each
 *   LABEL MEDIAN P99 RATE
 * median and 99th percentile of the time from spawn to exit in microseconds, and how many ended per second.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <spawn.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <time.h>

#define WIDEST 64

extern char **environ;

static double now(void)
{
	struct timespec t;
	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

static void die(const char *what, int status)
{
	fprintf(stderr, "parallel: %s: %s (status %#x)\n", what, status ? "failed" : strerror(errno), status);
	exit(1);
}

static pid_t spawn(char **argv, int slot, const posix_spawn_file_actions_t *actions)
{
	static char text[64][4096];
	char *own[65];
	int count = 0;
	pid_t pid;

	for (; argv[count] && count < 64; count++) {
		const char *percent = strchr(argv[count], '%');
		own[count] = argv[count];
		if (!percent)
			continue;
		snprintf(text[count], sizeof *text, "%.*s%d%s", (int)(percent - argv[count]), argv[count], slot, percent + 1);
		own[count] = text[count];
	}
	own[count] = NULL;
	errno = posix_spawnp(&pid, own[0], actions, NULL, own, environ);
	if (errno)
		die(own[0], 0);
	return pid;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;
	return (x > y) - (x < y);
}

static void run(char *label, char **argv, int width, int count, const posix_spawn_file_actions_t *actions)
{
	pid_t pids[WIDEST] = { 0 };
	double starts[WIDEST], *times = calloc(count, sizeof *times), begin = now();
	int started = 0, ended = 0, status;

	while (ended < count) {
		for (int slot = 0; slot < width && started < count; slot++) {
			if (pids[slot])
				continue;
			starts[slot] = now();
			pids[slot] = spawn(argv, slot, actions);
			started++;
		}
		pid_t pid = wait(&status);
		for (int slot = 0; slot < width; slot++) {
			if (pids[slot] != pid)
				continue;
			if (status)
				die(argv[0], status);
			times[ended++] = now() - starts[slot];
			pids[slot] = 0;
		}
	}
	double seconds = (now() - begin) / 1e6;
	qsort(times, count, sizeof *times, by_value);
	printf("%s %.0f %.0f %.1f\n", label, times[count / 2], times[count * 99 / 100], count / seconds);
	fflush(stdout);
	free(times);
}

int main(int argc, char **argv)
{
	int width = argc > 3 ? atoi(argv[1]) : 0, count = argc > 3 ? atoi(argv[2]) : 0;
	posix_spawn_file_actions_t actions;

	if (width < 1 || width > WIDEST || count < 1)
		return 2;
	posix_spawn_file_actions_init(&actions);
	posix_spawn_file_actions_addopen(&actions, 0, "/dev/null", O_RDONLY, 0);
	posix_spawn_file_actions_addopen(&actions, 1, "/dev/null", O_WRONLY, 0);
	for (int i = 3; i < argc; i++) {
		char **command = argv + i;
		while (i < argc && strcmp(argv[i], ";"))
			i++;
		argv[i] = NULL;
		run(command[0], command + 1, width, count, &actions);
	}
	return 0;
}
