#include "fork.h"

#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

enum { PATIENCE_S = 60, CUT_OFF = 77 };

static void hangs(int number) {
  (void)number;
  char command[256];
  snprintf(command, sizeof command,
           "command -v gdb >/dev/null && gdb -p %d -batch -ex 'thread apply all backtrace 25' 2>/dev/null | tail -150 >&2",
           (int)getpid());
  fprintf(stderr, "process %d of %s hangs\n", (int)getpid(), chosen);
  if (system(command) != 0) fprintf(stderr, "no backtrace\n");
  _exit(1);
}

void give_up_after(unsigned seconds) {
  signal(SIGALRM, hangs);
  alarm(seconds);
}

pid_t forked(void) {
  pid_t child = fork();
  CHECK(child >= 0);
  if (child == 0) give_up_after(PATIENCE_S);
  return child;
}

bool reap(pid_t child) {
  int status = 0;
  CHECK(waitpid(child, &status, 0) == child);
  if (WIFEXITED(status) && WEXITSTATUS(status) == CUT_OFF) return true;
  if (status != 0) fprintf(stderr, "child %d: status %#x\n", (int)child, status);
  CHECK(status == 0);
  return false;
}

void end_cut_off(tc_cache *cache) {
  if (get(cache, "is it cut off?") == TC_L2_UNREACHABLE && says("was forked while")) _exit(CUT_OFF);
}

static void count(void *user_data, const tc_result *result) {
  IS(TC_OK, result->status);
  ++*(_Atomic int *)user_data;
}

void use(tc_cache *cache, const char *who) {
  const tc_value *stats = NULL;
  static _Atomic int answered;
  answered = 0;
  IS(TC_OK, set(cache, who, who));
  IS(TC_OK, get(cache, who));
  CHECK(strcmp(got_text, who) == 0);
  IS(TC_OK, tc_get_async(cache, who, TC_NTS, count, &answered));
  IS(TC_OK, tc_set_async(cache, who, TC_NTS, who, strlen(who), NULL, count, &answered));
  IS(TC_OK, tc_flush(cache, 60000));
  UNTIL(answered == 2);
  IS(TC_OK, tc_stats(cache, &stats));
  tc_value_release(stats);
}
