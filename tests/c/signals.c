/* Threads of the library take no signal: each would run the application's handler where it expects nothing. */
#include <dirent.h>

#include "check.h"

static _Atomic bool may_return;
static _Atomic int callbacks;

static void done(void *user_data, const tc_result *result) {
  (void)user_data, (void)result;
  callbacks++;
  UNTIL(may_return);
}

static void record(void *user_data, tc_level level, const char *target, const char *message) {
  (void)level, (void)target, (void)message;
  done(user_data, NULL);
}

static bool line(const char *task, const char *name, char (*text)[64]) {
  char path[300], begin[80], format[32];
  bool is_found = false;
  snprintf(path, sizeof path, "/proc/self/task/%s/status", task);
  snprintf(format, sizeof format, "%s: %%63s", name);
  FILE *file = fopen(path, "r");
  while (file != NULL && !is_found && fgets(begin, sizeof begin, file) != NULL) is_found = sscanf(begin, format, *text);
  if (file != NULL) fclose(file);
  return is_found;
}

void run(void) {
  tc_cache *cache = open_sqlite(NULL);
  int threads = 0, names = 0;
  char name[64], blocked[64];
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, record, NULL, NULL));
  IS(TC_OK, tc_get_async(cache, "nobody", TC_NTS, done, NULL));
  IS(TC_OK, set(cache, "key", "value"));
  IS(TC_OK, tc_clear(cache));
  IS(TC_OK, get(cache, "key"));
  UNTIL(callbacks == 2);
  DIR *tasks = opendir("/proc/self/task");
  for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
    if (!line(task->d_name, "Name", &name) || strncmp(name, "tc-", 3) != 0) continue;
    CHECK(line(task->d_name, "SigBlk", &blocked));
    unsigned long long mask = strtoull(blocked, NULL, 16);
    /* All that can be blocked: not SIGKILL and SIGSTOP, nor the two that the C library keeps for itself. */
    const unsigned long long never = 1ULL << 8 | 1ULL << 18 | 3ULL << 31;
    if ((mask | never) != ~0ULL) fprintf(stderr, "%s blocks %s\n", name, blocked);
    CHECK((mask | never) == ~0ULL);
    threads++;
    names |= strcmp(name, "tc-worker") == 0 ? 1 : strcmp(name, "tc-callback") == 0 ? 2 : strcmp(name, "tc-log") == 0 ? 4 : 8;
  }
  closedir(tasks);
  CHECK(names == 15);
  printf("%d threads of the library, every signal blocked\n", threads);
  may_return = true;
  IS(TC_OK, tc_close(cache));
}
