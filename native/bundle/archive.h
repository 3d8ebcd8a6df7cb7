// A bundle's container: a ZIP whose entries are stored, read where it lies (a mapped file or the caller's memory).
// Every offset and size in it is untrusted: nothing is read before it has been checked against the bytes at hand.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rknn_ep {

// Bytes that somebody else keeps alive.
struct Bytes {
  const uint8_t* data = nullptr;
  size_t size = 0;

  std::string_view text() const { return {reinterpret_cast<const char*>(data), size}; }
};

// An entry of the container. `offset` counts from the container's first byte.
struct ArchiveEntry {
  std::string name;
  uint64_t offset = 0;
  uint64_t size = 0;
  uint32_t crc32 = 0;
};

class Archive {
 public:
  // Maps the file read-only. Null on failure, with the reason in `error`; std::bad_alloc where memory ran out.
  static std::shared_ptr<const Archive> open_file(const std::string& path, std::string& error);

  // Reads from memory that the caller keeps alive and unchanged for as long as the archive lives.
  static std::shared_ptr<const Archive> open_memory(const void* data, size_t size, std::string& error);

  ~Archive();
  Archive(const Archive&) = delete;
  Archive& operator=(const Archive&) = delete;

  // The content of one entry, inside `bytes()`; nothing where there is no entry of that name.
  std::optional<Bytes> find(std::string_view name) const;

  // Where the entry lies; null where there is none of that name.
  const ArchiveEntry* entry_of(std::string_view name) const;

  // Whether the entry is there and its bytes have the checksum that the directory gives (about 1 ms for 2 MB). A mapped
  // file's pages are let go as they are read, so that checking does not cost memory.
  bool intact(std::string_view name) const;

  const std::vector<ArchiveEntry>& entries() const { return entries_; }
  Bytes bytes() const { return bytes_; }
  bool mapped() const { return mapped_; }

 private:
  Archive() = default;
  bool read_directory(std::string& error);

  Bytes bytes_;
  bool mapped_ = false;
  std::vector<ArchiveEntry> entries_;
};

// The checksum that ZIP directories hold (CRC-32, polynomial 0xEDB88320); `before` is that of the bytes that precede.
uint32_t crc32(Bytes bytes, uint32_t before = 0);

}  // namespace rknn_ep
