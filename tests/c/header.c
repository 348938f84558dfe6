/* The header under the strictest warnings, in every language that reads it: each macro is used once. */
#include "tokencache.h"

int main(void) {
  tc_set_options options = TC_SET_OPTIONS;
  options.ttl_ms = TC_NEVER;
  options.expected_version = TC_VERSION_ABSENT;
  options.flags = TC_LOCAL_ONLY;
  tc_decision decision = TC_DECISION_RETRY;
  tc_level level = TC_LEVEL_WARN;
  size_t length = TC_NTS;
  return options.ttl_ms < 0 && length > 0 && decision == 1 && level == 2 && TC_ABI_VERSION == 1 ? TC_OK : TC_PANIC;
}
