/* A child writes, its parent closes, the child exits, and a third process reads what the child wrote. */
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include "fork.h"

extern char **environ;

static _Atomic int written;

/* Until the cache is closed. */
static void *traffic(void *cache) {
  tc_status status = TC_OK;
  while (status != TC_CLOSED && status != TC_INVALID_HANDLE) {
    char key[32];
    snprintf(key, sizeof key, "traffic %d", written % 50);
    if ((status = set(cache, key, "traffic")) == TC_OK) status = get(cache, key);
    written++;
  }
  return NULL;
}

static void name(char (*key)[32], int round) { snprintf(*key, sizeof *key, "child %d", round); }

static _Noreturn void child(tc_cache *cache, const char *key, int acknowledged, int closed) {
  char byte = 0;
  end_cut_off(cache);
  IS(TC_OK, get(cache, "parent"));
  IS(TC_OK, set(cache, key, key));
  CHECK(write(acknowledged, &byte, 1) == 1 && read(closed, &byte, 1) == 0);
  exit(0);
}

/* Whether the child could write. */
static bool hand_over(int round, bool has_threads) {
  int acknowledged[2], closed[2], before = written;
  char key[32], byte;
  name(&key, round);
  tc_cache *cache = open_sqlite(", \"l1\": {\"enabled\": false}, \"resilience\": {\"deadline_ms\": 60000}");
  IS(TC_OK, set(cache, "parent", "parent"));
  if (has_threads) {
    start_threads(2, traffic, cache);
    UNTIL(written > before + 2);
  }
  CHECK(pipe(acknowledged) == 0 && pipe(closed) == 0);
  pid_t pid = forked();
  if (pid == 0) {
    close(closed[1]);
    child(cache, key, acknowledged[1], closed[0]);
  }
  close(acknowledged[1]);
  bool has_written = read(acknowledged[0], &byte, 1) == 1;
  IS(TC_OK, tc_close(cache));
  join_threads();
  close(closed[1]);
  CHECK(reap(pid) == !has_written);
  close(closed[0]);
  close(acknowledged[0]);
  return has_written;
}

/* The third process: a program of its own that has never seen the others. */
static bool is_kept(int round) {
  char key[32];
  pid_t reader;
  int status = 0;
  name(&key, round);
  char *arguments[] = {"reader", (char *)folder, key, NULL};
  CHECK(posix_spawn(&reader, "/proc/self/exe", NULL, NULL, arguments, environ) == 0);
  CHECK(waitpid(reader, &status, 0) == reader && WIFEXITED(status));
  return WEXITSTATUS(status) == 0;
}

static void read_one(void) {
  tc_cache *cache = open_sqlite(NULL);
  tc_status status = get(cache, chosen);
  IS(TC_OK, tc_close(cache));
  _exit(status == TC_OK && strcmp(got_text, chosen) == 0 ? 0 : 2);
}

static bool is_writer_there(void) {
  char path[512];
  snprintf(path, sizeof path, "%s/beside", folder);
  return access(path, F_OK) == 0;
}

void run(void) {
  if (strncmp(chosen, "child ", 6) == 0) read_one();
  bool has_threads = strcmp(chosen, "threads") == 0;
  int rounds = getenv("TOKENCACHE_TEST_LONG") ? 1000 : 100, acknowledged = 0, kept = 0;
  give_up_after(900);
  IS(TC_OK, tc_close(open_sqlite(NULL)));
  UNTIL(is_writer_there());
  for (int round = 0; round < rounds; round++) {
    if (!hand_over(round, has_threads)) continue;
    acknowledged++;
    kept += is_kept(round);
  }
  printf("%d of %d writes of a child kept (%d forks)\n", kept, acknowledged, rounds);
  CHECK(kept == acknowledged && acknowledged >= rounds * 9 / 10);
  CHECK(has_threads || acknowledged == rounds);
}
