#include "runtime/library.h"

#include <dlfcn.h>
#include <unistd.h>

#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <mutex>

#include "runtime/failure.h"

namespace rknn_ep {
namespace {

template <typename Function>
void bind(void* handle, const char* symbol, Function& function) {
  function = reinterpret_cast<Function>(dlsym(handle, symbol));
}

// What a program may call beyond the functions that every library has; which exist differs by SoC and by version.
constexpr const char* kOptional[] = {
    "rknn_dup_context",   "rknn_inputs_set",         "rknn_outputs_get",          "rknn_outputs_release",
    "rknn_set_core_mask", "rknn_set_batch_core_num", "rknn_set_input_shapes",     "rknn_create_mem",
    "rknn_create_mem2",   "rknn_create_mem_from_fd", "rknn_create_mem_from_phys", "rknn_destroy_mem",
    "rknn_set_io_mem",    "rknn_set_weight_mem",     "rknn_set_internal_mem",     "rknn_mem_sync",
    "rknn_matmul_create", "rknn_matmul_run",         "rknn_register_custom_ops"};

template <typename Function>
void need(void* handle, const char* symbol, Function& function, std::string& missing) {
  bind(handle, symbol, function);
  if (function == nullptr) missing += (missing.empty() ? "" : ", ") + std::string(symbol);
}

std::string remedy(const std::string& name, const std::string& reason) {
  if (reason.find("ermission denied") != std::string::npos) {
    return "\n  Let this user read the file: ls -l shows whose it is.";
  }
  if (reason.find("wrong ELF class") != std::string::npos || reason.find("invalid ELF header") != std::string::npos) {
    return "\n  It was built for another processor: a board's librknnrt.so loads on that board only.";
  }
  if (name.find('/') != std::string::npos) return {};
  return "\n  On a board, install Rockchip's librknnrt.so where the loader finds it (/usr/lib).";
}

std::unique_ptr<RknnLibrary> load(const std::string& name) {
  void* const handle = dlopen(name.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (handle == nullptr) {
    const char* const error = dlerror();
    const std::string reason = error != nullptr ? error : "no reason given";
    throw Failure("cannot load the NPU runtime '" + name + "': " + reason + remedy(name, reason));
  }
  auto library = std::make_unique<RknnLibrary>();
  library->name = name;
  std::string missing;
  need(handle, "rknn_init", library->init, missing);
  need(handle, "rknn_destroy", library->destroy, missing);
  need(handle, "rknn_query", library->query, missing);
  need(handle, "rknn_run", library->run, missing);
  if (!missing.empty()) {
    dlclose(handle);
    throw Failure("'" + name + "' is not an implementation of rknn_api: it lacks " + missing +
                  "\n  Name Rockchip's librknnrt.so, 1.3 or later; the older librknn_api.so is for other NPUs.");
  }
  bind(handle, "rknn_inputs_set", library->inputs_set);  // RV1103 and RV1106 have no copying functions
  bind(handle, "rknn_outputs_get", library->outputs_get);
  bind(handle, "rknn_outputs_release", library->outputs_release);
  bind(handle, "rknn_create_mem", library->create_mem);
  bind(handle, "rknn_destroy_mem", library->destroy_mem);
  bind(handle, "rknn_set_io_mem", library->set_io_mem);
  bind(handle, "rknn_set_core_mask", library->set_core_mask);
  bind(handle, "rknn_set_input_shapes", library->set_input_shapes);
  bind(handle, "rknn_dup_context", library->dup_context);
  bind(handle, "rknn_ep_simulator_configure", library->configure);
  for (const char* const symbol : kOptional) {
    if (dlsym(handle, symbol) == nullptr) library->missing.emplace_back(symbol);
  }
  return library;
}

}  // namespace

const RknnLibrary& RknnLibrary::open(const std::string& path_or_name) {
  static std::mutex mutex;
  // Never destroyed: sessions may still run while the process ends.
  static auto& loaded = *new std::map<std::string, std::unique_ptr<RknnLibrary>>();
  const std::lock_guard<std::mutex> lock(mutex);
  std::unique_ptr<RknnLibrary>& library = loaded[path_or_name];
  if (library == nullptr) library = load(path_or_name);
  return *library;
}

std::string simulator_path() {
  Dl_info info{};
  if (dladdr(reinterpret_cast<const void*>(&simulator_path), &info) == 0 || info.dli_fname == nullptr) return {};
  const std::string self = info.dli_fname;
  const size_t slash = self.rfind('/');
  const std::string path = (slash == std::string::npos ? "." : self.substr(0, slash)) + "/simulator/librknnrt.so";
  return access(path.c_str(), R_OK) == 0 ? path : std::string();
}

std::string device_library(const KeyValues& options) {
  const std::string device = options.get("device", "auto");
  const bool board = device == "board" || (device == "auto" && on_rockchip_soc());
  if (!board && device != "auto" && device != "simulator") {
    throw Failure("option device=" + device + ": compiled models run on 'board' and 'simulator' here");
  }
  if (board) return "librknnrt.so";
  const std::string simulator = simulator_path();
  if (simulator.empty()) {
    throw Failure(
        "the simulator (simulator/librknnrt.so) is missing beside the libraries of rknn-ep: reinstall rknn-ep");
  }
  return simulator;
}

bool on_rockchip_soc() {
  std::ifstream file("/proc/device-tree/compatible", std::ios::binary);
  const std::string compatible((std::istreambuf_iterator<char>(file)), std::istreambuf_iterator<char>());
  return compatible.find("rockchip,") != std::string::npos;
}

std::string rknn_error(const char* function, int code) {
  static const char* const names[] = {"RKNN_SUCC",
                                      "RKNN_ERR_FAIL",
                                      "RKNN_ERR_TIMEOUT",
                                      "RKNN_ERR_DEVICE_UNAVAILABLE",
                                      "RKNN_ERR_MALLOC_FAIL",
                                      "RKNN_ERR_PARAM_INVALID",
                                      "RKNN_ERR_MODEL_INVALID",
                                      "RKNN_ERR_CTX_INVALID",
                                      "RKNN_ERR_INPUT_INVALID",
                                      "RKNN_ERR_OUTPUT_INVALID",
                                      "RKNN_ERR_DEVICE_UNMATCH",
                                      "RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL",
                                      "RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION",
                                      "RKNN_ERR_TARGET_PLATFORM_UNMATCH"};
  std::string text = std::string(function) + " failed with " + std::to_string(code);
  if (code <= 0 && -code < static_cast<int>(std::size(names))) text += std::string(" (") + names[-code] + ")";
  return text;
}

std::string library_error(const RknnLibrary& library, const char* function, int code) {
  std::string text = rknn_error(function, code) + " in " + library.name;
  if (library.is_simulator()) text += "; its reason is on standard error";
  switch (code) {
    case RKNN_ERR_DEVICE_UNAVAILABLE:
      return text + "\n  The NPU's device node is missing or closed to this user: rknn-ep doctor says which.";
    case RKNN_ERR_MALLOC_FAIL:
      return text + "\n  Memory ran out: fewer contexts, a smaller model, or close other programs.";
    case RKNN_ERR_TARGET_PLATFORM_UNMATCH:
    case RKNN_ERR_DEVICE_UNMATCH:
      return text +
             "\n  The model was compiled for another SoC, or this SoC lacks the function: rknn-ep inspect names "
             "the model's target.";
    case RKNN_ERR_INCOMPATILE_PRE_COMPILE_MODEL:
    case RKNN_ERR_INCOMPATILE_OPTIMIZATION_LEVEL_VERSION:
      return text + "\n  The model's compiler and this runtime are of different versions: update librknnrt.so.";
    default:
      return text;
  }
}

}  // namespace rknn_ep
