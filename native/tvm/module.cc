// A TVM module of kind "rknn": one function that runs one bundle, without Python. TVM saves it into exported libraries
// as bytes and makes it again from them, here, when such a library is loaded.
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/reflection/registry.h>
#include <tvm/ffi/tvm_ffi.h>

#include <cstring>
#include <mutex>

#include "bundle/key_values.h"
#include "runtime/executor.h"
#include "runtime/failure.h"
#include "runtime/library.h"
#include "tvm/arguments.h"

namespace rknn_ep {
namespace {

namespace ffi = tvm::ffi;

constexpr char kLoader[] = "ffi.Module.load_from_bytes.rknn";
constexpr char kCreate[] = "rknn_ep.create_module";
constexpr char kFormat[] = "rknn1";

class PartitionModule final : public ffi::ModuleObj {
 public:
  // The description holds key=value lines: target, how to run (device, contexts, ...), and maybe `library`, the path of
  // librknnrt.so, where somebody chose it already.
  PartitionModule(ffi::String symbol, ffi::String description, ffi::Bytes bundle)
      : symbol_(std::move(symbol)), description_(std::move(description)), bundle_(std::move(bundle)) {}

  const char* kind() const final { return "rknn"; }
  int GetPropertyMask() const final { return ffi::Module::kBinarySerializable | ffi::Module::kRunnable; }

  ffi::Optional<ffi::Function> GetFunction(const ffi::String& name) final {
    if (name != symbol_) return std::nullopt;
    return ffi::Function::FromPacked(
        [this, keep = ffi::GetRef<ffi::Module>(this)](ffi::PackedArgs arguments, ffi::Any*) { run(arguments); });
  }

  ffi::Bytes SaveToBytes() const final {
    std::string saved = kFormat;
    append(saved, symbol_.data(), symbol_.size());
    append(saved, description_.data(), description_.size());
    append(saved, bundle_.data(), bundle_.size());
    return ffi::Bytes(std::move(saved));
  }

  static ffi::Module load(const ffi::Bytes& saved) {
    const char* at = saved.data();
    const char* const end = at + saved.size();
    const size_t head = std::strlen(kFormat);
    if (saved.size() < head || std::memcmp(at, kFormat, head) != 0) {
      TVM_FFI_THROW(ValueError)
          << "rknn_ep: this RKNN partition was saved by another version of rknn_ep than " RKNN_EP_VERSION
             "; export the module again";
    }
    at += head;
    const std::string symbol = take(at, end);
    const std::string description = take(at, end);
    return ffi::Module(ffi::make_object<PartitionModule>(symbol, description, ffi::Bytes(take(at, end))));
  }

 private:
  static void append(std::string& to, const char* data, uint64_t size) {
    to.append(reinterpret_cast<const char*>(&size), sizeof(size));  // boards and PCs are little-endian
    to.append(data, size);
  }

  static std::string take(const char*& at, const char* end) {
    uint64_t size = 0;
    if (static_cast<size_t>(end - at) >= sizeof(size)) {
      std::memcpy(&size, at, sizeof(size));
      at += sizeof(size);
      if (size <= static_cast<uint64_t>(end - at)) {
        at += size;
        return std::string(at - size, size);
      }
    }
    TVM_FFI_THROW(ValueError) << "rknn_ep: a saved RKNN partition is cut short; export the module again";
    TVM_FFI_UNREACHABLE();
  }

  void run(ffi::PackedArgs given) {
    try {
      Executor& opened = executor();
      const Arguments arguments(opened.interface(), given);
      opened.run(arguments.inputs(), arguments.outputs());
      arguments.finish();
    } catch (const Failure& error) {
      TVM_FFI_THROW(ExecutionError) << error.what();
    }
  }

  // Opened by the first run, so that modules can be loaded and inspected where no device is.
  Executor& executor() {
    std::call_once(once_, [this] {
      const KeyValues options(std::string_view(description_.data(), description_.size()));
      const BundleSource source =
          BundleSource::open_memory(bundle_.data(), bundle_.size(), nullptr, "the bundle of " + std::string(symbol_));
      const std::string library = options.has("library") ? options.get("library") : device_library(options);
      executor_ = open_rknn_executor(source, library, options, nullptr);
    });
    return *executor_;
  }

  const ffi::String symbol_;
  const ffi::String description_;
  const ffi::Bytes bundle_;
  std::once_flag once_;
  std::unique_ptr<Executor> executor_;
};

ffi::Module create(const ffi::String& symbol, const ffi::String& description, const ffi::Bytes& bundle) {
  return ffi::Module(ffi::make_object<PartitionModule>(symbol, description, bundle));
}

}  // namespace

TVM_FFI_STATIC_INIT_BLOCK() {
  // A second copy of this library from another path must not register again: that would abort the process.
  if (ffi::Function::GetGlobal(kLoader).has_value()) return;
  ffi::reflection::GlobalDef().def(kLoader, &PartitionModule::load).def(kCreate, &create);
}

}  // namespace rknn_ep
