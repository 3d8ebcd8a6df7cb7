#include "simulator/weights.h"

#include <charconv>
#include <utility>

#include "abi/rknn_api.h"
#include "simulator/failure.h"
#include "simulator/protobuf_reader.h"

namespace rknn_ep::simulator {
namespace {

using protobuf::Field;
using protobuf::invalid;
using protobuf::Message;

// Field numbers of onnx.proto.
constexpr uint32_t kModelGraph = 7;
constexpr uint32_t kGraphInitializer = 5;
constexpr uint32_t kTensorDims = 1;
constexpr uint32_t kTensorType = 2;
constexpr uint32_t kTensorName = 8;
constexpr uint32_t kTensorExternal = 13;
constexpr uint32_t kTensorLocation = 14;
constexpr uint32_t kEntryKey = 1;
constexpr uint32_t kEntryValue = 2;
constexpr uint64_t kExternalLocation = 1;
constexpr uint64_t kUnlimited = UINT64_MAX;
constexpr int64_t kMostElements = int64_t{1} << 40;

uint64_t number(std::string_view text) {
  uint64_t value = 0;
  const char* end = text.data() + text.size();
  const auto [stopped, error] = std::from_chars(text.data(), end, value);
  if (error != std::errc{} || stopped != end) invalid("an external tensor has no proper offset or length");
  return value;
}

uint64_t bytes_of(int32_t element_type) {
  switch (element_type) {
    case 2:
    case 3:
    case 9:
      return 1;  // UINT8, INT8, BOOL
    case 4:
    case 5:
    case 10:
    case 16:
      return 2;  // UINT16, INT16, FLOAT16, BFLOAT16
    case 1:
    case 6:
    case 12:
      return 4;  // FLOAT, INT32, UINT32
    case 7:
    case 11:
    case 13:
      return 8;  // INT64, DOUBLE, UINT64
    default:
      invalid("an external tensor has element type " + std::to_string(element_type));
  }
}

void read_external(Bytes bytes, ExternalTensor& tensor, std::string& location) {
  std::string_view key, value;
  Message entry(bytes);
  for (Field field; entry.next(field);) {
    if (field.number == kEntryKey) key = field.bytes.text();
    if (field.number == kEntryValue) value = field.bytes.text();
  }
  if (key == "location") location = std::string(value);
  if (key == "offset") tensor.offset = number(value);
  if (key == "length") tensor.size = number(value);
}

// Whether the tensor is external; fills it if so.
bool read_tensor(Bytes bytes, uint64_t data_size, ExternalTensor& tensor) {
  bool external = false;
  std::string location;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number == kTensorDims && field.wire == 0) tensor.dims.push_back(static_cast<int64_t>(field.value));
    if (field.number == kTensorDims && field.wire == 2) {
      Message packed(field.bytes);
      while (!packed.done()) tensor.dims.push_back(static_cast<int64_t>(packed.varint()));
    }
    if (field.number == kTensorType) tensor.element_type = static_cast<int32_t>(field.value);
    if (field.number == kTensorName) tensor.name = std::string(field.bytes.text());
    if (field.number == kTensorLocation) external = field.value == kExternalLocation;
    if (field.number == kTensorExternal) read_external(field.bytes, tensor, location);
  }
  if (!external) return false;
  if (location != "simulation.data")
    invalid("tensor '" + tensor.name + "' lies in '" + location + "', outside the bundle");
  int64_t elements = 1;
  for (const int64_t dim : tensor.dims) {
    if (dim < 0 || dim > kMostElements || (dim != 0 && elements > kMostElements / dim)) {
      invalid("tensor '" + tensor.name + "' has an impossible shape");
    }
    elements *= dim;
  }
  const bool fits = tensor.offset <= data_size && tensor.size <= data_size - tensor.offset;
  if (!fits || tensor.size != static_cast<uint64_t>(elements) * bytes_of(tensor.element_type)) {
    invalid("tensor '" + tensor.name + "' does not fit into simulation.data");
  }
  return true;
}

void append_varint(std::string& to, uint64_t value) {
  for (; value >= 0x80; value >>= 7) to.push_back(static_cast<char>(value | 0x80));
  to.push_back(static_cast<char>(value));
}

void append_message(std::string& to, uint32_t number, const std::string& content) {
  append_varint(to, static_cast<uint64_t>(number) << 3 | 2);
  append_varint(to, content.size());
  to += content;
}

std::string relocated_tensor(Bytes bytes, const ExternalTensor& tensor, const std::string& location, uint64_t begin) {
  std::string result;
  Message message(bytes);
  for (Field field; message.next(field);) {
    if (field.number != kTensorExternal) result += field.whole.text();
  }
  const std::pair<const char*, std::string> entries[] = {{"location", location},
                                                         {"offset", std::to_string(begin + tensor.offset)},
                                                         {"length", std::to_string(tensor.size)}};
  for (const auto& [key, value] : entries) {
    std::string entry;
    append_message(entry, kEntryKey, key);
    append_message(entry, kEntryValue, value);
    append_message(result, kTensorExternal, entry);
  }
  return result;
}

}  // namespace

std::string relocated(Bytes model, const std::string& location, uint64_t begin) {
  std::string result;
  Message message(model);
  for (Field field; message.next(field);) {
    if (field.number != kModelGraph || field.wire != 2) {
      result += field.whole.text();
      continue;
    }
    std::string graph;
    Message items(field.bytes);
    for (Field item; items.next(item);) {
      ExternalTensor tensor;
      if (item.number == kGraphInitializer && item.wire == 2 && read_tensor(item.bytes, kUnlimited, tensor)) {
        append_message(graph, kGraphInitializer, relocated_tensor(item.bytes, tensor, location, begin));
      } else {
        graph += item.whole.text();
      }
    }
    append_message(result, kModelGraph, graph);
  }
  return result;
}

std::vector<ExternalTensor> external_tensors(Bytes model, uint64_t data_size) {
  std::vector<ExternalTensor> found;
  Message message(model);
  for (Field field; message.next(field);) {
    if (field.number != kModelGraph || field.wire != 2) continue;
    Message graph(field.bytes);
    for (Field item; graph.next(item);) {
      if (item.number != kGraphInitializer || item.wire != 2) continue;
      ExternalTensor tensor;
      if (read_tensor(item.bytes, data_size, tensor)) found.push_back(std::move(tensor));
    }
  }
  return found;
}

}  // namespace rknn_ep::simulator
