/* The time of the first call in a forked child: it makes its own threads and connections, and asks L2. Usage:
 * child FORKS [PORT of a Redis, else SQLite] */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "bench.h"

enum { MOST = 1000, VALUE = 7000 };

int main(int count, char **arguments) {
  size_t forks = count > 1 ? strtoul(arguments[1], NULL, 10) : 100;
  if (forks < 1 || forks > MOST) return 2;
  bool is_redis = count > 2;
  char document[600], l2[300], key[KEY_STRIDE], folder[] = "/tmp/tokencache-child-XXXXXX", command[64];
  static char value[VALUE];
  if (!mkdtemp(folder)) return 2;
  if (is_redis) snprintf(l2, sizeof l2, "\"kind\": \"redis\", \"url\": \"redis://127.0.0.1:%s\"", arguments[2]);
  else snprintf(l2, sizeof l2, "\"kind\": \"sqlite\", \"path\": \"%s/tokens.db\"", folder);
  snprintf(document, sizeof document, "{\"version\": 1, \"l2\": {%s}, \"encryption\": {\"algorithm\": \"none\"}}", l2);
  subject on = open_document(document);
  write_key(1, key);
  must(set(&on, key, value, sizeof value), "set");
  double *ms = mmap(NULL, MOST * sizeof *ms, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (ms == MAP_FAILED) return 2;
  for (size_t i = 0; i < forks; i++) {
    pid_t pid = fork();
    if (pid == 0) {
      const tc_value *found;
      double start = now_ns();
      must(on.get(on.cache, key, KEY_LENGTH, &found), "the first call");
      ms[i] = (now_ns() - start) / 1e6;
      _exit(found->len == VALUE ? 0 : 1);
    }
    int status = 1;
    if (pid < 0 || waitpid(pid, &status, 0) != pid || status != 0) return 2;
  }
  double longest = 0;
  for (size_t i = 0; i < forks; i++) longest = ms[i] > longest ? ms[i] : longest;
  report(is_redis ? "redis_child" : "child", median(ms, forks), "median of %zu forks, the longest %.1f ms", forks,
         longest);
  on.close(on.cache);
  snprintf(command, sizeof command, "rm -r %s", folder);
  return system(command) == 0 ? 0 : 2;
}
