/// Tokencache for C++17 and later: the C header with owners, times, and exceptions.
///
///     auto cache = tokencache::cache::open(R"({"version": 1})");
///     cache.set("alice", token);
///     if (auto entry = cache.get("alice")) use(entry->view());
///
/// Failures are thrown as `tokencache::error`. What is an answer in C is a value here: not found, conflict, degraded.
/// The enumerations are those of the C header. Any member of `cache` may be called from any thread at any time, except
/// moving, assigning, closing and destroying it, for which nobody else may be using the object.
///
/// Built with `-fno-exceptions`, a failure ends the program; the members that begin with `try_` are for such programs,
/// and for the rest there is `cache::handle`.
#ifndef TOKENCACHE_HPP
#define TOKENCACHE_HPP

#include <string>

#include "tokencache/callbacks.hpp"
#include "tokencache/entry.hpp"

namespace tokencache {

/// A token cache: memory in front (L1), and behind it a store that processes share (L2). Movable, not copyable; closed
/// when it is destroyed. One that was moved from, closed, or made with `cache()` holds none: calls on it fail with
/// `TC_INVALID_HANDLE`, as they would in C.
///
/// Keys are bytes: 1 to `limits.max_key_bytes` of any value, not beginning with `__tokencache:`. A key that is not like
/// this is `TC_INVALID_ARGUMENT`, in every member that takes one.
class cache {
 public:
  cache() noexcept = default;
  cache(cache&& other) noexcept : handle_(std::exchange(other.handle_, nullptr)) {}
  cache& operator=(cache&& other) noexcept {
    cache taken(std::move(other));
    std::swap(handle_, taken.handle_);
    return *this;
  }
  cache(const cache&) = delete;
  cache& operator=(const cache&) = delete;
  /// As `close`, where nobody asks for the answer.
  ~cache() {
    if (handle_) tc_close(handle_);
  }

  /// Opens a cache from a JSON document. Throws `TC_INVALID_CONFIG` with a sentence that names the member, and with
  /// `l2.require_at_open` L2's failure.
  static cache open(std::string_view json) {
    cache opened;
    detail::check(try_open(json, opened));
    return opened;
  }
  /// As `open`; `out`, closed before, is only written to when this is `TC_OK`. Else `tc_last_error()` says why.
  static tc_status try_open(std::string_view json, cache& out) noexcept {
    cache opened;
    const tc_status status = tc_open(TC_ABI_VERSION, json.data(), json.size(), &opened.handle_);
    if (status == TC_OK) out = std::move(opened);
    return status;
  }

  /// Ends every call, waits at most `resilience.close_ms` for what was accepted and for callbacks that run, and frees.
  /// `TC_DEGRADED` when something was still owed. In a callback of this cache it takes effect when that returns.
  /// Again it does nothing.
  tc_status close() {
    return handle_ ? detail::check(tc_close(std::exchange(handle_, nullptr))) : TC_OK;
  }

  /// For the functions of the C header; stays this object's.
  tc_cache* handle() const noexcept { return handle_; }

  /// Reads from L1, then from L2; nothing when there is no live entry. Throws L2's failure when nothing was found and
  /// L2 could not be asked.
  std::optional<value> get(std::string_view key) const { return read(tc_get, key); }
  /// As `get`: `TC_OK` or `TC_DEGRADED` with `out`, `TC_NOT_FOUND` without, below zero a failure, of which
  /// `tc_last_error()` says why.
  tc_status try_get(std::string_view key, std::optional<value>& out) const noexcept {
    return try_read(tc_get, key, out);
  }
  /// Reads from L1 alone, without waiting for anybody; nothing also when the entry must be checked against L2 first.
  std::optional<value> peek(std::string_view key) const { return read(tc_peek, key); }
  /// As `peek`, with answers as of `try_get`.
  tc_status try_peek(std::string_view key, std::optional<value>& out) const noexcept {
    return try_read(tc_peek, key, out);
  }
  /// Reads into `size` bytes at `buffer`, as `get`.
  read_result get_into(std::string_view key, void* buffer, std::size_t size) const {
    read_result answer{TC_NOT_FOUND, 0};
    answer.status = tc_get_into(handle_, key.data(), key.size(), buffer, size, &answer.size);
    if (answer.status != TC_BUFFER_TOO_SMALL) detail::check(answer.status);
    return answer;
  }

  /// Stores a copy of the bytes in both tiers. Throws `TC_VALUE_TOO_LARGE`, `TC_INVALID_ARGUMENT`, L2's failure.
  set_result set(std::string_view key, bytes data, const set_options& options = {}) {
    const set_result answer = try_set(key, data, options);
    if (const char* why = detail::refusal(options)) detail::fail(answer.status, why);
    detail::check(answer.status);
    return answer;
  }
  /// As `set`; `status` may be a failure. `tc_last_error()` says why, but not what `set_options` itself refuses.
  set_result try_set(std::string_view key, bytes data, const set_options& options = {}) noexcept {
    set_result answer{TC_INVALID_ARGUMENT, 0};
    if (detail::refusal(options)) return answer;
    const tc_set_options in_c = detail::in_c(options);
    answer.status = tc_set(handle_, key.data(), key.size(), data.data(), data.size(), &in_c, &answer.version);
    return answer;
  }
  /// As `set`, only over the version `expected` of the entry, or where there is none (`absent`).
  [[nodiscard]] set_result compare_and_swap(std::string_view key, bytes data, std::uint64_t expected,
                                            set_options options = {}) {
    options.expected_version = expected;
    return set(key, data, options);
  }

  /// Stores an MSAL token cache that was changed from `base` (null: nothing was there), merged with what others have made
  /// of it meanwhile; while L2 is away it is owed with its base. Throws `TC_INVALID_ARGUMENT` when the bytes or the base
  /// are no MSAL token cache, `TC_L2_PROTOCOL` when what lies there is none, `TC_VALUE_TOO_LARGE`, L2's failure.
  merge_result set_merged(std::string_view key, const value* base, bytes data, const set_options& options = {}) {
    if (const char* why = detail::refusal(options)) detail::fail(TC_INVALID_ARGUMENT, why);
    const tc_set_options in_c = detail::in_c(options);
    const tc_value* merged = nullptr;
    const tc_status status = detail::check(tc_set_merged(handle_, key.data(), key.size(), base ? base->handle() : nullptr,
                                                         data.data(), data.size(), &in_c, nullptr, &merged));
    merge_result answer{status, std::nullopt};
    if (merged) answer.merged.emplace(merged, status == TC_DEGRADED);
    return answer;
  }

  /// Removes from both tiers: `TC_OK`, also when there was nothing, or `TC_DEGRADED`. Throws L2's failure.
  tc_status remove(std::string_view key) { return detail::check(try_remove(key)); }
  /// As `remove`; may be a failure, of which `tc_last_error()` says why.
  tc_status try_remove(std::string_view key) noexcept { return tc_remove(handle_, key.data(), key.size()); }
  /// Renews a sliding entry without reading it: `TC_OK`, also when it does not slide, or `TC_NOT_FOUND`. Throws L2's
  /// failure.
  tc_status touch(std::string_view key) { return detail::check(tc_touch(handle_, key.data(), key.size())); }
  /// Empties L1 of this process, local-only entries included. L2 is untouched.
  void clear() { detail::check(tc_clear(handle_)); }
  /// Waits until nothing is owed to L2 (`TC_OK`) or `timeout` is over (`TC_DEGRADED`).
  tc_status flush(milliseconds timeout) {
    return detail::check(tc_flush(handle_, detail::in_32_bits(timeout)));
  }
  /// Applies a whole new document. Throws `TC_INVALID_CONFIG`, and then nothing was applied. Allowed in callbacks.
  void configure(std::string_view json) { detail::check(tc_configure(handle_, json.data(), json.size())); }
  /// Counters and health as a JSON document.
  std::string stats() const {
    const tc_value* json = nullptr;
    detail::check(tc_stats(handle_, &json));
    return std::string(value(json).view());
  }

  /// Seals `data` for `key` under the active key of the ring, as `set` would, and stores nothing.
  std::string protect(std::string_view key, std::string_view data) const {
    const tc_value* envelope = nullptr;
    detail::check(tc_protect(handle_, key.data(), key.size(), data.data(), data.size(), &envelope));
    return std::string(value(envelope).view());
  }

  /// Opens an envelope that was sealed for `key`, on this machine or another; nothing when it has ended.
  std::optional<value> unprotect(std::string_view key, std::string_view envelope) const {
    const tc_value* opened = nullptr;
    if (detail::check(tc_unprotect(handle_, key.data(), key.size(), envelope.data(), envelope.size(), &opened)) ==
        TC_NOT_FOUND)
      return std::nullopt;
    return value(opened);
  }

  /// As `get`, in the background. `done` is called as `done(result)` exactly once, on a thread of the library, never
  /// inside this call, and then destroyed; it may be move-only. When this throws, it is not called. Two calls under
  /// way are not ordered against each other.
  template <class Done>
  void get_async(std::string_view key, Done&& done) {
    detail::hand_over(std::forward<Done>(done), [&](void* user_data) {
      return tc_get_async(handle_, key.data(), key.size(), detail::done<std::decay_t<Done>>, user_data);
    });
  }
  /// As `set`, in the background, with `done` as in `get_async`; a conflict is its `status`.
  template <class Done>
  void set_async(std::string_view key, bytes data, const set_options& options, Done&& done) {
    if (const char* why = detail::refusal(options)) detail::fail(TC_INVALID_ARGUMENT, why);
    const tc_set_options in_c = detail::in_c(options);
    detail::hand_over(std::forward<Done>(done), [&](void* user_data) {
      return tc_set_async(handle_, key.data(), key.size(), data.data(), data.size(), &in_c,
                          detail::done<std::decay_t<Done>>, user_data);
    });
  }
  /// As `remove`, in the background, with `done` as in `get_async`.
  template <class Done>
  void remove_async(std::string_view key, Done&& done) {
    detail::hand_over(std::forward<Done>(done), [&](void* user_data) {
      return tc_remove_async(handle_, key.data(), key.size(), detail::done<std::decay_t<Done>>, user_data);
    });
  }

  /// Asks `callback`, a `decision(const failure&)`, once about each failed attempt at L2. It runs on threads of the
  /// library, several at once, may use this cache, and is destroyed after its last call. When it throws, the
  /// configuration decides. Null goes back to the configuration.
  template <class Callback>
  void on_retry(Callback&& callback) {
    using Kept = std::decay_t<Callback>;
    detail::hand_over(std::forward<Callback>(callback), [&](void* user_data) {
      return tc_on_retry(handle_, detail::decide<Kept>, user_data, detail::destroy<Kept>);
    });
  }
  void on_retry(std::nullptr_t) { detail::check(tc_on_retry(handle_, nullptr, nullptr, nullptr)); }

  /// Hands log records at or above `level` (`TC_LEVEL_…`) to `callback`, a `void(tc_level, std::string_view target,
  /// std::string_view message)`, instead of `logging.to`. It runs on a thread of the library and is destroyed after
  /// its last call. Null goes back to the configuration.
  template <class Callback>
  void on_log(tc_level level, Callback&& callback) {
    using Kept = std::decay_t<Callback>;
    detail::hand_over(std::forward<Callback>(callback), [&](void* user_data) {
      return tc_on_log(handle_, level, detail::log<Kept>, user_data, detail::destroy<Kept>);
    });
  }
  void on_log(std::nullptr_t) { detail::check(tc_on_log(handle_, TC_LEVEL_ERROR, nullptr, nullptr, nullptr)); }

 private:
  using reader = tc_status (*)(tc_cache*, const char*, std::size_t, const tc_value**);

  tc_status try_read(reader function, std::string_view key, std::optional<value>& out) const noexcept {
    const tc_value* found = nullptr;
    const tc_status status = function(handle_, key.data(), key.size(), &found);
    out.reset();
    if (found) out.emplace(found, status == TC_DEGRADED);
    return status;
  }

  std::optional<value> read(reader function, std::string_view key) const {
    std::optional<value> found;
    detail::check(try_read(function, key, found));
    return found;
  }

  tc_cache* handle_ = nullptr;
};

}  // namespace tokencache

#endif  // TOKENCACHE_HPP
