/* Threads of the library take no signal: each would run the application's handler where it expects nothing. */
#include <dirent.h>
#include <unistd.h>

#include "check.h"

/* Every kind that there is. */
static const char *const kinds[] = {"tc-tend", "tc-worker", "tc-callback", "tc-log", "tc-io", "tc-retry", "tc-probe"};
enum { KINDS = sizeof kinds / sizeof *kinds, ALL = (1 << KINDS) - 1 };

static _Atomic bool may_return;
static _Atomic int asked;

static void done(void *user_data, const tc_result *result) { (void)user_data, (void)result; }

static void record(void *user_data, tc_level level, const char *target, const char *message) {
  (void)user_data, (void)level, (void)target, (void)message;
  UNTIL(may_return);
}

static tc_decision retry(void *user_data, const tc_failure *failure, uint32_t *delay_ms) {
  (void)user_data, (void)failure, (void)delay_ms;
  asked++;
  UNTIL(may_return);
  return TC_DECISION_GIVE_UP;
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

/* Which kinds there are now. A thread that has only just begun has no name yet; it blocks signals all the same. */
static int kinds_that_block(void) {
  int found = 0;
  char name[64], blocked[64];
  DIR *tasks = opendir("/proc/self/task");
  CHECK(tasks != NULL);
  for (struct dirent *task; (task = readdir(tasks)) != NULL;) {
    if (*task->d_name == '.' || atoi(task->d_name) == getpid()) continue;
    /* It may have ended meanwhile. */
    if (!line(task->d_name, "Name", &name) || !line(task->d_name, "SigBlk", &blocked)) continue;
    unsigned long long mask = strtoull(blocked, NULL, 16);
    /* All that can be blocked: not SIGKILL and SIGSTOP, nor the two that the C library keeps for itself. */
    const unsigned long long never = 1ULL << 8 | 1ULL << 18 | 3ULL << 31;
    if ((mask | never) != ~0ULL) fprintf(stderr, "%s blocks %s\n", name, blocked);
    CHECK((mask | never) == ~0ULL);
    for (int kind = 0; kind < KINDS; kind++) found |= (strcmp(name, kinds[kind]) == 0) << kind;
  }
  closedir(tasks);
  return found;
}

static tc_cache *open_away(void) {
  tc_cache *cache = NULL;
  /* A name, which a helper of tc-io looks up. */
  const char *document = "{\"version\": 1, \"l2\": {\"kind\": \"redis\", \"url\": \"redis://localhost:1\"},"
                         " \"encryption\": {\"algorithm\": \"none\"}, \"logging\": {\"to\": \"none\"},"
                         " \"resilience\": {\"circuit_failures\": 1}}";
  IS(TC_OK, tc_open(TC_ABI_VERSION, document, TC_NTS, &cache));
  IS(TC_OK, tc_on_retry(cache, retry, NULL, NULL));
  return cache;
}

void run(void) {
  tc_cache *cache = open_sqlite(NULL), *away = open_away();
  IS(TC_OK, tc_on_log(cache, TC_LEVEL_DEBUG, record, NULL, NULL));
  IS(TC_OK, set(cache, "key", "value"));
  IS(TC_OK, tc_clear(cache));
  IS(TC_OK, get(cache, "key"));
  for (int found = 0; found != ALL;) {
    /* Threads that have nothing to do go after a while. */
    IS(TC_OK, tc_get_async(cache, "nobody", TC_NTS, done, NULL));
    if (asked == 0) IS(TC_OK, tc_get_async(away, "nobody", TC_NTS, done, NULL));
    for (int64_t end = now_ms() + 1000; found != ALL && now_ms() < end; yield_briefly()) found |= kinds_that_block();
  }
  printf("%d kinds of threads of the library, every signal blocked\n", KINDS);
  may_return = true;
  IS(TC_OK, tc_close(cache));
  tc_close(away);
}
