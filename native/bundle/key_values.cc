#include "bundle/key_values.h"

#include <charconv>
#include <cmath>
#include <locale>
#include <sstream>

namespace rknn_ep {
namespace {

int hex_digit(char c) {
  if (c >= '0' && c <= '9') return c - '0';
  if (c >= 'a' && c <= 'f') return c - 'a' + 10;
  if (c >= 'A' && c <= 'F') return c - 'A' + 10;
  return -1;
}

std::string unescaped(std::string_view value) {
  std::string plain;
  plain.reserve(value.size());
  for (size_t i = 0; i < value.size(); ++i) {
    if (value[i] == '%' && i + 2 < value.size()) {
      const int high = hex_digit(value[i + 1]);
      const int low = hex_digit(value[i + 2]);
      if (high >= 0 && low >= 0) {
        plain.push_back(static_cast<char>(high * 16 + low));
        i += 2;
        continue;
      }
    }
    plain.push_back(value[i]);
  }
  return plain;
}

std::optional<int64_t> parsed(std::string_view text) {
  int64_t number = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, number);
  if (error != std::errc{} || stopped != end || text.empty()) return std::nullopt;
  return number;
}

}  // namespace

KeyValues::KeyValues(std::string_view text) {
  while (!text.empty()) {
    const size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view{} : text.substr(end + 1);
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    const size_t split = line.find('=');
    if (split == std::string_view::npos || split == 0) continue;
    values_[std::string(line.substr(0, split))] = unescaped(line.substr(split + 1));
  }
}

std::string KeyValues::get(std::string_view key, std::string_view otherwise) const {
  const auto found = values_.find(key);
  return found == values_.end() ? std::string(otherwise) : found->second;
}

std::optional<int64_t> KeyValues::integer(std::string_view key) const {
  const auto found = values_.find(key);
  return found == values_.end() ? std::nullopt : parsed(found->second);
}

std::optional<double> KeyValues::number(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  std::istringstream stream(found->second);  // std::from_chars for doubles is missing from older C++ libraries
  stream.imbue(std::locale::classic());
  double value = 0;
  if (!(stream >> std::noskipws >> value) || stream.peek() != std::istringstream::traits_type::eof())
    return std::nullopt;
  return std::isfinite(value) ? std::optional<double>(value) : std::nullopt;
}

std::optional<std::vector<int64_t>> KeyValues::integers(std::string_view key) const {
  const auto found = values_.find(key);
  if (found == values_.end()) return std::nullopt;
  std::vector<int64_t> list;
  std::string_view rest = found->second;
  while (!rest.empty()) {
    const size_t comma = rest.find(',');
    const std::optional<int64_t> item = parsed(rest.substr(0, comma));
    if (!item || (comma != std::string_view::npos && comma + 1 == rest.size())) return std::nullopt;
    list.push_back(*item);
    rest = comma == std::string_view::npos ? std::string_view{} : rest.substr(comma + 1);
  }
  return list;
}

std::string KeyValues::text() const {
  std::string text;
  for (const auto& [key, value] : values_) {
    text += key;
    text += '=';
    for (const char c : value) {
      if (c == '%')
        text += "%25";
      else if (c == '\r')
        text += "%0D";
      else if (c == '\n')
        text += "%0A";
      else
        text += c;
    }
    text += '\n';
  }
  return text;
}

}  // namespace rknn_ep
