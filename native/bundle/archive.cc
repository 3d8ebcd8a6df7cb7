#include "bundle/archive.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstring>
#include <new>

namespace rknn_ep {
namespace {

// Record layouts: PKWARE APPNOTE 4.3.7 (local header), 4.3.12 (central directory), 4.3.16 (end of central directory).
constexpr uint32_t kLocalHeader = 0x04034b50;
constexpr uint32_t kCentralHeader = 0x02014b50;
constexpr uint32_t kEndOfDirectory = 0x06054b50;
constexpr size_t kLocalHeaderSize = 30;
constexpr size_t kCentralHeaderSize = 46;
constexpr size_t kEndOfDirectorySize = 22;
constexpr size_t kLongestComment = 0xffff;
constexpr uint16_t kEncrypted = 1;
constexpr uint16_t kStored = 0;

uint16_t u16(const uint8_t* at) { return static_cast<uint16_t>(at[0] | at[1] << 8); }
uint32_t u32(const uint8_t* at) { return u16(at) | static_cast<uint32_t>(u16(at + 2)) << 16; }

// Whether [offset, offset + size) lies inside `total` bytes; immune to overflow.
bool inside(uint64_t offset, uint64_t size, uint64_t total) { return offset <= total && size <= total - offset; }

}  // namespace

std::shared_ptr<const Archive> Archive::open_file(const std::string& path, std::string& error) {
  const int descriptor = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (descriptor < 0) {
    error = path + ": " + std::strerror(errno);
    return nullptr;
  }
  struct stat status{};
  if (::fstat(descriptor, &status) != 0 || !S_ISREG(status.st_mode) || status.st_size <= 0) {
    error = path + ": not a file with content";
    ::close(descriptor);
    return nullptr;
  }
  const auto size = static_cast<size_t>(status.st_size);
  void* address = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, descriptor, 0);
  const int mapping_error = errno;
  ::close(descriptor);
  if (address == MAP_FAILED) {
    if (mapping_error == ENOMEM) throw std::bad_alloc();
    error = path + ": cannot be mapped: " + std::strerror(mapping_error);
    return nullptr;
  }
  std::shared_ptr<Archive> archive(new Archive);
  archive->bytes_ = {static_cast<const uint8_t*>(address), size};
  archive->mapped_ = true;
  if (!archive->read_directory(error)) {
    error = path + ": " + error;
    return nullptr;
  }
  return archive;
}

std::shared_ptr<const Archive> Archive::open_memory(const void* data, size_t size, std::string& error) {
  std::shared_ptr<Archive> archive(new Archive);
  archive->bytes_ = {static_cast<const uint8_t*>(data), data ? size : 0};
  if (!archive->read_directory(error)) return nullptr;
  return archive;
}

Archive::~Archive() {
  if (mapped_) ::munmap(const_cast<uint8_t*>(bytes_.data), bytes_.size);
}

bool Archive::read_directory(std::string& error) {
  const uint8_t* base = bytes_.data;
  const uint64_t total = bytes_.size;
  if (total < kEndOfDirectorySize) {
    error = "too short to be a bundle (" + std::to_string(total) + " bytes)";
    return false;
  }
  const uint64_t last = total - kEndOfDirectorySize;
  const uint64_t first = last > kLongestComment ? last - kLongestComment : 0;
  uint64_t end = last + 1;
  while (end > first && u32(base + end - 1) != kEndOfDirectory) --end;
  if (end == first) {
    error = "not a bundle, or cut short: it has no ZIP directory";
    return false;
  }
  const uint8_t* tail = base + end - 1;
  const uint32_t count = u16(tail + 10);
  const uint32_t directory_size = u32(tail + 12);
  const uint32_t directory = u32(tail + 16);
  if (count == 0xffff || directory == 0xffffffff) {
    error = "a ZIP64 container is not a bundle";
    return false;
  }
  if (!inside(directory, directory_size, end - 1)) {
    error = "damaged bundle: its directory lies outside the file";
    return false;
  }
  uint64_t at = directory;
  const uint64_t stop = static_cast<uint64_t>(directory) + directory_size;
  for (uint32_t i = 0; i < count; ++i) {
    if (!inside(at, kCentralHeaderSize, stop) || u32(base + at) != kCentralHeader) {
      error = "damaged bundle: directory entry " + std::to_string(i) + " is broken";
      return false;
    }
    const uint8_t* header = base + at;
    const uint32_t size = u32(header + 24);
    const uint16_t name_size = u16(header + 28);
    const uint64_t local = u32(header + 42);
    const uint64_t next = at + kCentralHeaderSize + name_size + u16(header + 30) + u16(header + 32);
    if (next > stop) {
      error = "damaged bundle: directory entry " + std::to_string(i) + " is cut short";
      return false;
    }
    ArchiveEntry entry;
    entry.name.assign(reinterpret_cast<const char*>(header + kCentralHeaderSize), name_size);
    if ((u16(header + 8) & kEncrypted) != 0 || u16(header + 10) != kStored || u32(header + 20) != size) {
      error = "damaged bundle: entry '" + entry.name + "' is compressed or encrypted; bundles are stored";
      return false;
    }
    if (!inside(local, kLocalHeaderSize, total) || u32(base + local) != kLocalHeader) {
      error = "damaged bundle: entry '" + entry.name + "' has no header";
      return false;
    }
    entry.offset = local + kLocalHeaderSize + u16(base + local + 26) + u16(base + local + 28);
    entry.size = size;
    entry.crc32 = u32(header + 16);
    if (!inside(entry.offset, entry.size, total)) {
      error = "damaged bundle: entry '" + entry.name + "' lies outside the file";
      return false;
    }
    entries_.push_back(std::move(entry));
    at = next;
  }
  return true;
}

const ArchiveEntry* Archive::entry_of(std::string_view name) const {
  const auto found =
      std::find_if(entries_.begin(), entries_.end(), [&](const ArchiveEntry& entry) { return entry.name == name; });
  return found == entries_.end() ? nullptr : &*found;
}

std::optional<Bytes> Archive::find(std::string_view name) const {
  const ArchiveEntry* entry = entry_of(name);
  if (!entry) return std::nullopt;
  return Bytes{bytes_.data + entry->offset, static_cast<size_t>(entry->size)};
}

uint32_t crc32(Bytes bytes, uint32_t before) {
  // Eight bytes at a time: table k advances a byte's remainder over k further bytes.
  static const auto tables = [] {
    std::array<std::array<uint32_t, 256>, 8> built{};
    for (uint32_t i = 0; i < 256; ++i) {
      uint32_t value = i;
      for (int bit = 0; bit < 8; ++bit) value = (value & 1) ? 0xEDB88320u ^ (value >> 1) : value >> 1;
      built[0][i] = value;
    }
    for (size_t k = 1; k < built.size(); ++k) {
      for (uint32_t i = 0; i < 256; ++i) built[k][i] = built[k - 1][i] >> 8 ^ built[0][built[k - 1][i] & 0xff];
    }
    return built;
  }();
  uint32_t value = before ^ 0xffffffffu;
  size_t at = 0;
  for (; bytes.size - at >= 8; at += 8) {
    const uint32_t low = u32(bytes.data + at) ^ value;
    const uint32_t high = u32(bytes.data + at + 4);
    value = tables[7][low & 0xff] ^ tables[6][low >> 8 & 0xff] ^ tables[5][low >> 16 & 0xff] ^ tables[4][low >> 24] ^
            tables[3][high & 0xff] ^ tables[2][high >> 8 & 0xff] ^ tables[1][high >> 16 & 0xff] ^ tables[0][high >> 24];
  }
  for (; at < bytes.size; ++at) value = tables[0][(value ^ bytes.data[at]) & 0xff] ^ value >> 8;
  return value ^ 0xffffffffu;
}

bool Archive::intact(std::string_view name) const {
  constexpr size_t kStep = 8u << 20;
  const ArchiveEntry* entry = entry_of(name);
  if (!entry) return false;
  const size_t page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  uint32_t sum = 0;
  for (uint64_t done = 0; done < entry->size;) {
    const size_t size = static_cast<size_t>(std::min<uint64_t>(kStep, entry->size - done));
    const uint8_t* begin = bytes_.data + entry->offset + done;
    sum = crc32({begin, size}, sum);
    done += size;
    if (mapped_ && size == kStep) {  // a large entry shall not stay in memory for having been read once
      const uint8_t* first = begin - reinterpret_cast<uintptr_t>(begin) % page;
      ::madvise(const_cast<uint8_t*>(first), size, MADV_DONTNEED);
    }
  }
  return sum == entry->crc32;
}

}  // namespace rknn_ep
