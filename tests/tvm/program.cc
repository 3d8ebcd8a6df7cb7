// A C++ program that runs `main` of an exported library: float32 in, float32 out, nothing of Python in the process.
//
//     program INPUT OUTPUT MODEL.SO LIBRARY... -- DIM...
//
// LIBRARY: TVM's runtime and librknn_ep_tvm.so. DIM: the input's shape. Built against the headers of apache-tvm-ffi alone.
#include <dlfcn.h>
#include <tvm/ffi/extra/module.h>
#include <tvm/ffi/tvm_ffi.h>

#include <cstdlib>
#include <cstring>
#include <fstream>
#include <iostream>
#include <vector>

namespace ffi = tvm::ffi;

namespace {

constexpr int kPooledAllocator = 2;  // of TVM's virtual machine

struct HostMemory {
  void AllocData(DLTensor* tensor) { tensor->data = std::aligned_alloc(64, (ffi::GetDataSize(*tensor) + 63) / 64 * 64); }
  void FreeData(DLTensor* tensor) { std::free(tensor->data); }
};

int run(const std::vector<std::string>& words) {
  size_t at = 3;
  for (; at < words.size() && words[at] != "--"; ++at) {
    if (dlopen(words[at].c_str(), RTLD_NOW | RTLD_GLOBAL) == nullptr) throw std::runtime_error(dlerror());
  }
  std::vector<int64_t> shape;
  for (++at; at < words.size(); ++at) shape.push_back(std::stoll(words[at]));

  const ffi::Module library = ffi::Module::LoadFromFile(words[2]);
  const ffi::Module machine = library->GetFunction("vm_load_executable").value()().cast<ffi::Module>();
  machine->GetFunction("vm_initialization").value()(static_cast<int>(kDLCPU), 0, kPooledAllocator);
  const ffi::Function infer = machine->GetFunction("main").value();

  ffi::Tensor input = ffi::Tensor::FromNDAlloc(HostMemory(), ffi::ShapeView(shape.data(), shape.size()),
                                               DLDataType{kDLFloat, 32, 1}, DLDevice{kDLCPU, 0});
  std::ifstream source(words[0], std::ios::binary);
  source.read(static_cast<char*>(input.data_ptr()), static_cast<std::streamsize>(ffi::GetDataSize(input)));
  if (!source) throw std::runtime_error(words[0] + " is too short");

  const ffi::Tensor output = infer(input).cast<ffi::Tensor>();
  std::ofstream(words[1], std::ios::binary)
      .write(static_cast<const char*>(output.data_ptr()), static_cast<std::streamsize>(ffi::GetDataSize(output)));
  std::cout << (dlsym(RTLD_DEFAULT, "Py_IsInitialized") == nullptr ? "no Python" : "Python") << std::endl;
  return 0;
}

}  // namespace

int main(int count, char** words) {
  try {
    return run(std::vector<std::string>(words + 1, words + count));
  } catch (const std::exception& error) {
    std::cerr << error.what() << std::endl;
    return 1;
  }
}
