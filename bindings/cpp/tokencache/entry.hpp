/// What `cache` gives and takes: bytes, entries, and how to store them. Included by tokencache.hpp.
#ifndef TOKENCACHE_ENTRY_HPP
#define TOKENCACHE_ENTRY_HPP

#include <algorithm>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>

#include "expected.hpp"
#include "tokencache.h"

namespace tokencache {

using time_point = std::chrono::system_clock::time_point;
using milliseconds = std::chrono::milliseconds;

/// As `set_options::ttl`: keep until removed or evicted.
inline constexpr milliseconds never = milliseconds::max();
/// As `set_options::expected_version`: store only where there is no live entry.
inline constexpr std::uint64_t absent = TC_VERSION_ABSENT;

namespace detail {

inline std::optional<time_point> time_of(std::int64_t unix_ms) noexcept {
  if (unix_ms == 0) return std::nullopt;
  const auto last = std::chrono::duration_cast<milliseconds>(time_point::max().time_since_epoch());
  return unix_ms > last.count() ? time_point::max() : time_point(milliseconds(unix_ms));
}

}  // namespace detail

/// Bytes of the caller, to be stored: text, or any contiguous container of elements of one byte, or a pointer and a
/// length. They are copied before the call that takes them returns.
class bytes {
 public:
  bytes(const void* data, std::size_t size) noexcept : data_(data), size_(size) {}
  bytes(std::string_view text) noexcept : bytes(text.data(), text.size()) {}
  /// Up to its NUL, which is not stored.
  bytes(const char* text) noexcept : bytes(std::string_view(text)) {}
  template <class Container, class Element = std::remove_pointer_t<decltype(std::data(std::declval<Container&>()))>,
            class = std::enable_if_t<!std::is_array_v<Container> && sizeof(Element) == 1>>
  bytes(const Container& container) noexcept : bytes(std::data(container), std::size(container)) {}

  const void* data() const noexcept { return data_; }
  std::size_t size() const noexcept { return size_; }

 private:
  const void* data_;
  std::size_t size_;
};

/// An entry that was read: its bytes in the library's memory, and what is known of them. Never changes; stays valid
/// when the entry is replaced or removed and when the cache is closed. Copies share the bytes, which are wiped with
/// the last of them. One that was moved from may only be assigned or destroyed.
class value {
 public:
  /// Takes over a reference from the C functions; not null. `degraded`: it came with `TC_DEGRADED`.
  explicit value(const tc_value* owned, bool degraded = false) noexcept : it_(owned), degraded_(degraded) {}
  value(const value& other) noexcept : it_(tc_value_retain(other.it_)), degraded_(other.degraded_) {}
  value(value&& other) noexcept : it_(std::exchange(other.it_, nullptr)), degraded_(other.degraded_) {}
  value& operator=(value other) noexcept {
    std::swap(it_, other.it_);
    degraded_ = other.degraded_;
    return *this;
  }
  ~value() { tc_value_release(it_); }

  /// The bytes, not copied; valid as long as this or a copy of it.
  std::string_view view() const noexcept { return {static_cast<const char*>(it_->data), it_->len}; }
  /// The bytes; not NUL-terminated, and perhaps null when there are none.
  const std::byte* data() const noexcept { return static_cast<const std::byte*>(it_->data); }
  /// How many.
  std::size_t size() const noexcept { return it_->len; }
  /// Pass it to `cache::compare_and_swap`.
  std::uint64_t version() const noexcept { return it_->version; }
  /// When it was written, if the writer said.
  std::optional<time_point> written_at() const noexcept { return detail::time_of(it_->written_at_ms); }
  /// Its absolute end, if it has one. A sliding end is not counted.
  std::optional<time_point> expires_at() const noexcept { return detail::time_of(it_->expires_at_ms); }
  /// Which tier answered.
  tc_tier tier() const noexcept { return it_->tier; }
  /// `TC_VALUE_…`
  std::uint32_t flags() const noexcept { return it_->flags; }
  /// L2 could not be asked whether this is still the newest.
  bool degraded() const noexcept { return degraded_; }
  /// For the functions of the C header; stays this object's.
  const tc_value* handle() const noexcept { return it_; }

 private:
  const tc_value* it_;
  bool degraded_;
};

/// How to store an entry; what is not set is as configured. The earliest of all limits holds.
///
/// A lifetime or a window that is not above zero, and an expected version of 0, which no entry has, are refused with
/// `TC_INVALID_ARGUMENT`: who computed them did not mean "as configured".
struct set_options {
  /// From now, or `never`.
  std::optional<milliseconds> ttl{};
  /// When it ends. A moment that is past removes the entry.
  std::optional<time_point> expires_at{};
  /// A window that reads renew.
  std::optional<milliseconds> sliding{};
  /// Store only over this version, or where nothing is (`absent`).
  std::optional<std::uint64_t> expected_version{};
  /// Keep it in this process, off L2.
  bool local_only = false;
};

/// What a set answered; true when the bytes were stored.
struct set_result {
  /// `TC_OK`; `TC_CONFLICT`: the version is not the expected one and nothing was written; `TC_DEGRADED`: owed to L2.
  tc_status status;
  /// The version written; 0 when nothing was, or when it had expired already.
  std::uint64_t version;
  explicit operator bool() const noexcept { return status >= 0 && status != TC_CONFLICT; }
};

/// What a merged set answered; true when something was stored or is owed.
struct merge_result {
  /// `TC_OK`; `TC_CONFLICT`: others came between until the deadline and nothing was written; `TC_DEGRADED`: owed to L2.
  tc_status status;
  /// What is stored; nothing after a conflict, and where nothing was left to store.
  std::optional<value> merged;
  explicit operator bool() const noexcept { return status >= 0 && status != TC_CONFLICT; }
};

/// What a read into a buffer answered; true when the bytes are in the buffer.
struct read_result {
  /// `TC_OK`, `TC_DEGRADED`, `TC_NOT_FOUND`, or `TC_BUFFER_TOO_SMALL`, when the buffer was not written to.
  tc_status status;
  /// Of the value, in bytes, also when the buffer is too small for it.
  std::size_t size;
  explicit operator bool() const noexcept { return status == TC_OK || status == TC_DEGRADED; }
};

namespace detail {

/// Why options are refused here, where C would take them for the default; or null.
inline const char* refusal(const set_options& options) noexcept {
  const milliseconds none(0);
  if (options.ttl && *options.ttl <= none) return "ttl must be above zero; leave it out for the configured default.";
  if (options.sliding && *options.sliding <= none) return "sliding must be above zero; leave it out for the default.";
  if (options.expected_version && *options.expected_version == 0) {
    return "0 is the version of no entry; pass tokencache::absent to store only where there is none.";
  }
  return nullptr;
}

inline std::uint32_t in_32_bits(milliseconds span) noexcept {
  return static_cast<std::uint32_t>(std::clamp<std::int64_t>(span.count(), 0, UINT32_MAX));
}

inline tc_set_options in_c(const set_options& from) noexcept {
  tc_set_options to = TC_SET_OPTIONS;
  if (from.ttl) to.ttl_ms = *from.ttl == never ? TC_NEVER : from.ttl->count();
  if (from.expires_at) {
    const auto since_1970 = std::chrono::floor<milliseconds>(from.expires_at->time_since_epoch()).count();
    // What ended before 1970 is as over as what ended in it; 0 would be no end.
    to.expires_at_ms = std::max<std::int64_t>(since_1970, 1);
  }
  if (from.sliding) to.sliding_ms = from.sliding->count();
  if (from.expected_version) to.expected_version = *from.expected_version;
  if (from.local_only) to.flags = TC_LOCAL_ONLY;
  return to;
}

}  // namespace detail

}  // namespace tokencache

#endif  // TOKENCACHE_ENTRY_HPP
