/* The ABI in numbers: every value, size and offset that a program compiled against generation 1 relies on.
 *
 * Compiled twice by tests/abi.rs: with include/tokencache.h, and with tests/fixtures/contract/tokencache.h, so that
 * these numbers are the contract's and the header keeps them. Offsets are those of a 64-bit machine.
 */
#include <stddef.h>
#include <stdint.h>

#include "tokencache.h"

#define VALUE(name, number) _Static_assert((name) == (number), #name)
#define SIZE(type, number) _Static_assert(sizeof(type) == (number), "sizeof " #type)
#define MEMBER(type, member, offset, size)                                        \
  _Static_assert(offsetof(type, member) == (offset), "offset of " #type "." #member); \
  _Static_assert(sizeof(((type *)0)->member) == (size), "size of " #type "." #member)
#define CALLBACK(type, ...) _Static_assert(_Generic((type)0, __VA_ARGS__: 1, default: 0), #type)
#define SIGNATURE(function, ...) _Static_assert(_Generic(&function, __VA_ARGS__: 1, default: 0), #function)

VALUE(TC_ABI_VERSION, 1);
VALUE(TC_NTS, SIZE_MAX);
VALUE(TC_NEVER, -1);
VALUE(TC_VERSION_ABSENT, UINT64_MAX);
VALUE(TC_LOCAL_ONLY, 1);
VALUE(TC_VALUE_RETIRED_KEY, 1);

VALUE(TC_OK, 0);
VALUE(TC_NOT_FOUND, 1);
VALUE(TC_CONFLICT, 2);
VALUE(TC_DEGRADED, 3);
VALUE(TC_INVALID_ARGUMENT, -1);
VALUE(TC_INVALID_CONFIG, -2);
VALUE(TC_ABI_MISMATCH, -3);
VALUE(TC_BUFFER_TOO_SMALL, -4);
VALUE(TC_VALUE_TOO_LARGE, -5);
VALUE(TC_INVALID_HANDLE, -6);
VALUE(TC_CLOSED, -7);
VALUE(TC_OUT_OF_MEMORY, -8);
VALUE(TC_L2_UNREACHABLE, -20);
VALUE(TC_L2_TIMEOUT, -21);
VALUE(TC_L2_BUSY, -22);
VALUE(TC_L2_DENIED, -23);
VALUE(TC_L2_PROTOCOL, -24);
VALUE(TC_L2_SUSPENDED, -25);
VALUE(TC_L2_FULL, -26);
VALUE(TC_SEAL_UNKNOWN_KEY, -30);
VALUE(TC_SEAL_BROKEN, -31);
VALUE(TC_SEAL_WRONG_CONTEXT, -32);
VALUE(TC_SEAL_REVOKED_KEY, -33);
VALUE(TC_SEAL_FOREIGN, -34);
VALUE(TC_SEAL_UNSUPPORTED, -35);
VALUE(TC_PANIC, -99);

VALUE(TC_OPERATION_GET, 1);
VALUE(TC_OPERATION_SET, 2);
VALUE(TC_OPERATION_REMOVE, 3);
VALUE(TC_OPERATION_TOUCH, 4);
VALUE(TC_OPERATION_CONNECT, 5);

VALUE(TC_TIER_NONE, 0);
VALUE(TC_TIER_L1, 1);
VALUE(TC_TIER_L2, 2);

VALUE(TC_DECISION_DEFAULT, 0);
VALUE(TC_DECISION_RETRY, 1);
VALUE(TC_DECISION_GIVE_UP, 2);

VALUE(TC_LEVEL_ERROR, 1);
VALUE(TC_LEVEL_WARN, 2);
VALUE(TC_LEVEL_INFO, 3);
VALUE(TC_LEVEL_DEBUG, 4);

SIZE(tc_status, 4);
SIZE(tc_operation, 4);
SIZE(tc_tier, 4);
SIZE(tc_decision, 4);
SIZE(tc_level, 4);

SIZE(tc_value, 48);
MEMBER(tc_value, data, 0, 8);
MEMBER(tc_value, len, 8, 8);
MEMBER(tc_value, version, 16, 8);
MEMBER(tc_value, written_at_ms, 24, 8);
MEMBER(tc_value, expires_at_ms, 32, 8);
MEMBER(tc_value, tier, 40, 4);
MEMBER(tc_value, flags, 44, 4);

SIZE(tc_set_options, 48);
MEMBER(tc_set_options, struct_size, 0, 8);
MEMBER(tc_set_options, ttl_ms, 8, 8);
MEMBER(tc_set_options, expires_at_ms, 16, 8);
MEMBER(tc_set_options, sliding_ms, 24, 8);
MEMBER(tc_set_options, expected_version, 32, 8);
MEMBER(tc_set_options, flags, 40, 8);

SIZE(tc_result, 32);
MEMBER(tc_result, status, 0, 4);
MEMBER(tc_result, value, 8, 8);
MEMBER(tc_result, version, 16, 8);
MEMBER(tc_result, message, 24, 8);

SIZE(tc_failure, 56);
MEMBER(tc_failure, operation, 0, 4);
MEMBER(tc_failure, status, 4, 4);
MEMBER(tc_failure, key, 8, 8);
MEMBER(tc_failure, key_len, 16, 8);
MEMBER(tc_failure, attempt, 24, 4);
MEMBER(tc_failure, max_attempts, 28, 4);
MEMBER(tc_failure, elapsed_ms, 32, 8);
MEMBER(tc_failure, remaining_ms, 40, 8);
MEMBER(tc_failure, message, 48, 8);

CALLBACK(tc_done_fn, void (*)(void *, const tc_result *));
CALLBACK(tc_retry_fn, tc_decision (*)(void *, const tc_failure *, uint32_t *));
CALLBACK(tc_destroy_fn, void (*)(void *));
CALLBACK(tc_log_fn, void (*)(void *, tc_level, const char *, const char *));

SIGNATURE(tc_open, tc_status (*)(uint32_t, const char *, size_t, tc_cache **));
SIGNATURE(tc_configure, tc_status (*)(tc_cache *, const char *, size_t));
SIGNATURE(tc_flush, tc_status (*)(tc_cache *, uint32_t));
SIGNATURE(tc_close, tc_status (*)(tc_cache *));
SIGNATURE(tc_get, tc_status (*)(tc_cache *, const char *, size_t, const tc_value **));
SIGNATURE(tc_peek, tc_status (*)(tc_cache *, const char *, size_t, const tc_value **));
SIGNATURE(tc_get_into, tc_status (*)(tc_cache *, const char *, size_t, void *, size_t, size_t *));
SIGNATURE(tc_set,
          tc_status (*)(tc_cache *, const char *, size_t, const void *, size_t, const tc_set_options *, uint64_t *));
SIGNATURE(tc_remove, tc_status (*)(tc_cache *, const char *, size_t));
SIGNATURE(tc_touch, tc_status (*)(tc_cache *, const char *, size_t));
SIGNATURE(tc_clear, tc_status (*)(tc_cache *));
SIGNATURE(tc_get_async, tc_status (*)(tc_cache *, const char *, size_t, tc_done_fn, void *));
SIGNATURE(tc_set_async,
          tc_status (*)(tc_cache *, const char *, size_t, const void *, size_t, const tc_set_options *, tc_done_fn,
                        void *));
SIGNATURE(tc_remove_async, tc_status (*)(tc_cache *, const char *, size_t, tc_done_fn, void *));
SIGNATURE(tc_value_retain, const tc_value *(*)(const tc_value *));
SIGNATURE(tc_value_release, void (*)(const tc_value *));
SIGNATURE(tc_on_retry, tc_status (*)(tc_cache *, tc_retry_fn, void *, tc_destroy_fn));
SIGNATURE(tc_on_log, tc_status (*)(tc_cache *, tc_level, tc_log_fn, void *, tc_destroy_fn));
SIGNATURE(tc_stats, tc_status (*)(tc_cache *, const tc_value **));
SIGNATURE(tc_last_error, const char *(*)(void));
SIGNATURE(tc_status_name, const char *(*)(int32_t));
SIGNATURE(tc_version, const char *(*)(void));

int main(void) {
  tc_set_options options = TC_SET_OPTIONS;
  return options.struct_size == sizeof options && options.ttl_ms == 0 && options.flags == 0 ? 0 : 1;
}
