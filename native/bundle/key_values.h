// Plain key=value lines, the format of native.txt, of EPContext notes and of options handed to native code.
// One pair a line, the first '=' splits; values write '%', CR and LF as %25, %0D and %0A. Lines without '=' are
// ignored.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rknn_ep {

class KeyValues {
 public:
  KeyValues() = default;
  explicit KeyValues(std::string_view text);

  bool has(std::string_view key) const { return values_.find(key) != values_.end(); }

  // The value, or `otherwise` where the key is missing.
  std::string get(std::string_view key, std::string_view otherwise = {}) const;

  // A whole decimal number; nothing where the key is missing or the value is not one that fits.
  std::optional<int64_t> integer(std::string_view key) const;

  // A finite decimal number read the same in every locale; nothing where missing or malformed.
  std::optional<double> number(std::string_view key) const;

  // Comma-separated whole numbers ("" is the empty list); nothing where missing or malformed.
  std::optional<std::vector<int64_t>> integers(std::string_view key) const;

  void set(std::string key, std::string value) { values_[std::move(key)] = std::move(value); }

  // The pairs as text that the constructor reads back, keys in order.
  std::string text() const;

  const std::map<std::string, std::string, std::less<>>& all() const { return values_; }

 private:
  std::map<std::string, std::string, std::less<>> values_;
};

}  // namespace rknn_ep
