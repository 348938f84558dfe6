/// Tokencache for C++17 and later: the C header with owners, times, and failures that are thrown or answered.
///
///     auto cache = tokencache::cache::open(R"({"version": 1})");
///     cache.set("alice", token);
///     if (auto entry = cache.get("alice")) use(entry->view());
///
/// What is an answer in C is a value here: not found, conflict, degraded. A failure is a `tokencache::error`, and comes in
/// one of two ways, at each call as its caller likes. It is thrown; or the member that begins with `try_`, takes the same
/// and throws nothing but what memory and your own types throw, answers an `expected` of what the other returns:
///
///     auto entry = cache.try_get("alice");
///     if (!entry) log(entry.error().what());
///     else if (*entry) use((*entry)->view());
///
/// Programs built with `-fno-exceptions` use those; in them the others end the program when they fail.
///
/// The enumerations are those of the C header. Any member of `cache` may be called from any thread at any time, except
/// moving, assigning, closing and destroying it, for which nobody else may be using the object.
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

  /// Opens a cache from a JSON document. Fails with `TC_INVALID_CONFIG` and a sentence that names the member, and with
  /// `l2.require_at_open` as L2 does.
  static cache open(std::string_view json) { return try_open(json).value(); }
  static expected<cache> try_open(std::string_view json) {
    cache opened;
    const auto status = detail::checked(tc_open(TC_ABI_VERSION, json.data(), json.size(), &opened.handle_));
    if (!status) return status.error();
    return opened;
  }

  /// Flushes, ends every call, waits for what was accepted and for callbacks that run, all of it within
  /// `resilience.close_ms`, and frees. `TC_DEGRADED` when something was still owed. In a callback of this cache it takes
  /// effect when that returns. Again it does nothing.
  tc_status close() { return try_close().value(); }
  expected<tc_status> try_close() {
    return detail::checked(handle_ ? tc_close(std::exchange(handle_, nullptr)) : TC_OK);
  }

  /// For the functions of the C header; stays this object's.
  tc_cache* handle() const noexcept { return handle_; }

  /// Reads from L1, then from L2; nothing when there is no live entry. Fails as L2 does when nothing was found and L2
  /// could not be asked.
  std::optional<value> get(std::string_view key) const { return try_get(key).value(); }
  expected<std::optional<value>> try_get(std::string_view key) const { return read(tc_get, key); }

  /// Reads from L1 alone, without waiting for anybody; nothing also when the entry must be checked against L2 first.
  std::optional<value> peek(std::string_view key) const { return try_peek(key).value(); }
  expected<std::optional<value>> try_peek(std::string_view key) const { return read(tc_peek, key); }

  /// Reads into `size` bytes at `buffer`, as `get`.
  read_result get_into(std::string_view key, void* buffer, std::size_t size) const {
    return try_get_into(key, buffer, size).value();
  }
  expected<read_result> try_get_into(std::string_view key, void* buffer, std::size_t size) const {
    read_result answer{TC_NOT_FOUND, 0};
    answer.status = tc_get_into(handle_, key.data(), key.size(), buffer, size, &answer.size);
    if (answer.status < 0 && answer.status != TC_BUFFER_TOO_SMALL) return error(answer.status, tc_last_error());
    return answer;
  }

  /// Stores a copy of the bytes in both tiers. Fails with `TC_VALUE_TOO_LARGE`, `TC_INVALID_ARGUMENT`, and as L2 does.
  set_result set(std::string_view key, bytes data, const set_options& options = {}) {
    return try_set(key, data, options).value();
  }
  expected<set_result> try_set(std::string_view key, bytes data, const set_options& options = {}) {
    if (const char* why = detail::refusal(options)) return error(TC_INVALID_ARGUMENT, why);
    const tc_set_options in_c = detail::in_c(options);
    set_result answer{TC_OK, 0};
    answer.status = tc_set(handle_, key.data(), key.size(), data.data(), data.size(), &in_c, &answer.version);
    if (answer.status < 0) return error(answer.status, tc_last_error());
    return answer;
  }

  /// As `set`, only over the version `expected_version` of the entry, or where there is none (`absent`).
  [[nodiscard]] set_result compare_and_swap(std::string_view key, bytes data, std::uint64_t expected_version,
                                            const set_options& options = {}) {
    return try_compare_and_swap(key, data, expected_version, options).value();
  }
  expected<set_result> try_compare_and_swap(std::string_view key, bytes data, std::uint64_t expected_version,
                                            set_options options = {}) {
    options.expected_version = expected_version;
    return try_set(key, data, options);
  }

  /// Stores an MSAL token cache that was changed from `base` (null: nothing was there), merged with what others have made
  /// of it meanwhile; while L2 is away it is owed with its base. Fails with `TC_INVALID_ARGUMENT` when the bytes or the
  /// base are no MSAL token cache, `TC_L2_PROTOCOL` when what lies there is none, `TC_VALUE_TOO_LARGE`, and as L2 does.
  merge_result set_merged(std::string_view key, const value* base, bytes data, const set_options& options = {}) {
    return try_set_merged(key, base, data, options).value();
  }
  expected<merge_result> try_set_merged(std::string_view key, const value* base, bytes data,
                                        const set_options& options = {}) {
    if (const char* why = detail::refusal(options)) return error(TC_INVALID_ARGUMENT, why);
    const tc_set_options in_c = detail::in_c(options);
    const tc_value* merged = nullptr;
    const tc_status status = tc_set_merged(handle_, key.data(), key.size(), base ? base->handle() : nullptr,
                                           data.data(), data.size(), &in_c, nullptr, &merged);
    if (status < 0) return error(status, tc_last_error());
    merge_result answer{status, std::nullopt};
    if (merged) answer.merged.emplace(merged, status == TC_DEGRADED);
    return answer;
  }

  /// Removes from both tiers: `TC_OK`, also when there was nothing, or `TC_DEGRADED`. Fails as L2 does.
  tc_status remove(std::string_view key) { return try_remove(key).value(); }
  expected<tc_status> try_remove(std::string_view key) {
    return detail::checked(tc_remove(handle_, key.data(), key.size()));
  }

  /// Renews a sliding entry without reading it: `TC_OK`, also when it does not slide, or `TC_NOT_FOUND`. Fails as L2
  /// does.
  tc_status touch(std::string_view key) { return try_touch(key).value(); }
  expected<tc_status> try_touch(std::string_view key) {
    return detail::checked(tc_touch(handle_, key.data(), key.size()));
  }

  /// Empties L1 of this process, local-only entries included. L2 is untouched.
  void clear() { try_clear().value(); }
  expected<tc_status> try_clear() { return detail::checked(tc_clear(handle_)); }

  /// Waits until nothing is owed to L2 (`TC_OK`) or `timeout` is over (`TC_DEGRADED`).
  tc_status flush(milliseconds timeout) { return try_flush(timeout).value(); }
  expected<tc_status> try_flush(milliseconds timeout) {
    return detail::checked(tc_flush(handle_, detail::in_32_bits(timeout)));
  }

  /// Applies a whole new document. Fails with `TC_INVALID_CONFIG`, and then nothing was applied. Allowed in callbacks.
  void configure(std::string_view json) { try_configure(json).value(); }
  expected<tc_status> try_configure(std::string_view json) {
    return detail::checked(tc_configure(handle_, json.data(), json.size()));
  }

  /// Counters and health as a JSON document.
  std::string stats() const { return try_stats().value(); }
  expected<std::string> try_stats() const {
    const tc_value* json = nullptr;
    return copied(tc_stats(handle_, &json), json);
  }

  /// Seals `data` for `key` under the active key of the ring, as `set` would, and stores nothing.
  std::string protect(std::string_view key, std::string_view data) const { return try_protect(key, data).value(); }
  expected<std::string> try_protect(std::string_view key, std::string_view data) const {
    const tc_value* envelope = nullptr;
    return copied(tc_protect(handle_, key.data(), key.size(), data.data(), data.size(), &envelope), envelope);
  }

  /// Opens an envelope that was sealed for `key`, on this machine or another; nothing when it has ended.
  std::optional<value> unprotect(std::string_view key, std::string_view envelope) const {
    return try_unprotect(key, envelope).value();
  }
  expected<std::optional<value>> try_unprotect(std::string_view key, std::string_view envelope) const {
    const tc_value* opened = nullptr;
    return found(tc_unprotect(handle_, key.data(), key.size(), envelope.data(), envelope.size(), &opened), opened);
  }

  /// As `get`, in the background. `done` is called as `done(result)` exactly once, on a thread of the library, never
  /// inside this call, and then destroyed; it may be move-only. When this fails, it is not called. Two calls under
  /// way are not ordered against each other.
  template <class Done>
  void get_async(std::string_view key, Done&& done) {
    try_get_async(key, std::forward<Done>(done)).value();
  }
  template <class Done>
  expected<tc_status> try_get_async(std::string_view key, Done&& done) {
    return detail::hand_over_done(std::forward<Done>(done), [&](void* user_data) {
      return tc_get_async(handle_, key.data(), key.size(), detail::done<std::decay_t<Done>>, user_data);
    });
  }

  /// As `set`, in the background, with `done` as in `get_async`; a conflict is its `status`.
  template <class Done>
  void set_async(std::string_view key, bytes data, const set_options& options, Done&& done) {
    try_set_async(key, data, options, std::forward<Done>(done)).value();
  }
  template <class Done>
  expected<tc_status> try_set_async(std::string_view key, bytes data, const set_options& options, Done&& done) {
    if (const char* why = detail::refusal(options)) return error(TC_INVALID_ARGUMENT, why);
    const tc_set_options in_c = detail::in_c(options);
    return detail::hand_over_done(std::forward<Done>(done), [&](void* user_data) {
      return tc_set_async(handle_, key.data(), key.size(), data.data(), data.size(), &in_c,
                          detail::done<std::decay_t<Done>>, user_data);
    });
  }

  /// As `remove`, in the background, with `done` as in `get_async`.
  template <class Done>
  void remove_async(std::string_view key, Done&& done) {
    try_remove_async(key, std::forward<Done>(done)).value();
  }
  template <class Done>
  expected<tc_status> try_remove_async(std::string_view key, Done&& done) {
    return detail::hand_over_done(std::forward<Done>(done), [&](void* user_data) {
      return tc_remove_async(handle_, key.data(), key.size(), detail::done<std::decay_t<Done>>, user_data);
    });
  }

  /// Asks `callback`, a `decision(const failure&)`, once about each failed attempt at L2. It runs on threads of the
  /// library, several at once, may use this cache, and is destroyed after its last call. When it throws, the
  /// configuration decides. Null, or a `std::function` that is empty, goes back to the configuration.
  template <class Callback>
  void on_retry(Callback&& callback) {
    try_on_retry(std::forward<Callback>(callback)).value();
  }
  template <class Callback>
  expected<tc_status> try_on_retry(Callback&& callback) {
    using kept = std::decay_t<Callback>;
    if (detail::is_empty<kept>(callback)) return try_on_retry(nullptr);
    return detail::hand_over(std::forward<Callback>(callback), [&](void* user_data) {
      return tc_on_retry(handle_, detail::decide<kept>, user_data, detail::destroy<kept>);
    });
  }
  void on_retry(std::nullptr_t) { try_on_retry(nullptr).value(); }
  expected<tc_status> try_on_retry(std::nullptr_t) {
    return detail::checked(tc_on_retry(handle_, nullptr, nullptr, nullptr));
  }

  /// Hands log records at or above `level` (`TC_LEVEL_…`) to `callback`, a `void(tc_level, std::string_view target,
  /// std::string_view message)`, instead of `logging.to`. It runs on a thread of the library and is destroyed after
  /// its last call. Null, or a `std::function` that is empty, goes back to the configuration.
  template <class Callback>
  void on_log(tc_level level, Callback&& callback) {
    try_on_log(level, std::forward<Callback>(callback)).value();
  }
  template <class Callback>
  expected<tc_status> try_on_log(tc_level level, Callback&& callback) {
    using kept = std::decay_t<Callback>;
    if (detail::is_empty<kept>(callback)) return try_on_log(nullptr);
    return detail::hand_over(std::forward<Callback>(callback), [&](void* user_data) {
      return tc_on_log(handle_, level, detail::log<kept>, user_data, detail::destroy<kept>);
    });
  }
  void on_log(std::nullptr_t) { try_on_log(nullptr).value(); }
  expected<tc_status> try_on_log(std::nullptr_t) {
    return detail::checked(tc_on_log(handle_, TC_LEVEL_ERROR, nullptr, nullptr, nullptr));
  }

 private:
  using reader = tc_status (*)(tc_cache*, const char*, std::size_t, const tc_value**);

  expected<std::optional<value>> read(reader function, std::string_view key) const {
    const tc_value* entry = nullptr;
    return found(function(handle_, key.data(), key.size(), &entry), entry);
  }

  // What a call writes is taken by reference: arguments have no order.

  /// What a read answers.
  static expected<std::optional<value>> found(tc_status status, const tc_value* const& entry) {
    if (status < 0) return error(status, tc_last_error());
    std::optional<value> owned;
    if (entry) owned.emplace(entry, status == TC_DEGRADED);
    return owned;
  }

  static expected<std::string> copied(tc_status status, const tc_value* const& text) {
    if (status < 0) return error(status, tc_last_error());
    return std::string(value(text).view());
  }

  tc_cache* handle_ = nullptr;
};

}  // namespace tokencache

#endif  // TOKENCACHE_HPP
