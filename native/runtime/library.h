// A library that implements rknn_api: the vendor's librknnrt.so on a board, ours on a PC. Loaded at run time, so that
// nothing here depends on either.
#pragma once

#include <string>
#include <vector>

#include "abi/rknn_api.h"
#include "bundle/key_values.h"

namespace rknn_ep {

struct RknnLibrary {
  std::string name;  // as it was asked for
  // Entries that a library may lack are null.
  decltype(&::rknn_init) init = nullptr;
  decltype(&::rknn_destroy) destroy = nullptr;
  decltype(&::rknn_query) query = nullptr;
  decltype(&::rknn_inputs_set) inputs_set = nullptr;
  decltype(&::rknn_run) run = nullptr;
  decltype(&::rknn_outputs_get) outputs_get = nullptr;
  decltype(&::rknn_outputs_release) outputs_release = nullptr;
  decltype(&::rknn_create_mem) create_mem = nullptr;
  decltype(&::rknn_destroy_mem) destroy_mem = nullptr;
  decltype(&::rknn_set_io_mem) set_io_mem = nullptr;
  decltype(&::rknn_set_core_mask) set_core_mask = nullptr;
  decltype(&::rknn_set_input_shapes) set_input_shapes = nullptr;
  decltype(&::rknn_dup_context) dup_context = nullptr;
  std::vector<std::string> missing;  // the functions of rknn_api that it lacks, of all that its users may call
  // Ours alone: (OrtApi of the host or null, options of the next rknn_init on this thread as key=value lines).
  int (*configure)(const void* ort_api, const char* options_text) = nullptr;

  bool is_simulator() const { return configure != nullptr; }

  // Loads a library by absolute path, or by bare name through the system's search path. Each is loaded once and stays
  // for the life of the process. Throws Failure, naming the library and what it lacks.
  static const RknnLibrary& open(const std::string& path_or_name);
};

// The simulator that is installed beside this library; empty where there is none.
std::string simulator_path();

// The library that the option `device` (auto, board, simulator) means on this machine. Throws Failure.
std::string device_library(const KeyValues& options);

// Whether this machine is a board with a Rockchip SoC (from the device tree).
bool on_rockchip_soc();

// "rknn_run failed with -6 (RKNN_ERR_MODEL_INVALID)"
std::string rknn_error(const char* function, int code);

// The same with the library's name, where its reason is to be found and, for codes that say so, what to do.
std::string library_error(const RknnLibrary& library, const char* function, int code);

}  // namespace rknn_ep
