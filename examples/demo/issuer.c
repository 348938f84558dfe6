/* The service that signs users in, in C: stores one user's token blob where other programs find it.
 *
 *     issuer CONFIG KEY FILE TTL_SECONDS
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "tokencache.h"

static void *read_file(const char *path, size_t *len) {
  FILE *file = fopen(path, "rb");
  if (file == NULL || fseek(file, 0, SEEK_END) != 0) {
    perror(path);
    exit(1);
  }
  long size = ftell(file);
  rewind(file);
  void *bytes = malloc(size > 0 ? (size_t)size : 1);
  if (bytes == NULL || size < 0 || fread(bytes, 1, (size_t)size, file) != (size_t)size) {
    fprintf(stderr, "%s could not be read.\n", path);
    exit(1);
  }
  fclose(file);
  *len = (size_t)size;
  return bytes;
}

static void check(tc_status status, const char *what) {
  if (status != TC_OK) {
    fprintf(stderr, "%s: %s. %s\n", what, tc_status_name(status), tc_last_error());
    exit(1);
  }
}

static double microseconds(void) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return (double)now.tv_sec * 1e6 + (double)now.tv_nsec / 1e3;
}

int main(int argc, char **argv) {
  if (argc != 5) {
    fprintf(stderr, "usage: issuer CONFIG KEY FILE TTL_SECONDS\n");
    return 2;
  }
  size_t len = 0;
  void *blob = read_file(argv[3], &len);

  tc_cache *cache = NULL;
  check(tc_open(TC_ABI_VERSION, argv[1], TC_NTS, &cache), "tc_open");

  tc_set_options options = TC_SET_OPTIONS;
  options.ttl_ms = atoll(argv[4]) * 1000;
  uint64_t version = 0;
  double started = microseconds();
  check(tc_set(cache, argv[2], TC_NTS, blob, len, &options, &version), "tc_set");
  double took = microseconds() - started;

  check(tc_close(cache), "tc_close");
  free(blob);
  printf("%zu %llu %.1f\n", len, (unsigned long long)version, took);
  return 0;
}
