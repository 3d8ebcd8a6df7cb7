#include "runtime/flow.h"

#include "runtime/failure.h"

namespace rknn_ep {

void Calls::check(const char* function, int code) const {
  if (code == RKNN_SUCC) return;
  throw Failure("partition " + interface.partition + ": " + library_error(library, function, code));
}

IoMode choose_io_mode(const std::string& option, const Calls& calls) {
  const RknnLibrary& library = calls.library;
  if (option != "auto" && option != "general" && option != "zero_copy") {
    throw Failure("option 'io_mode' is auto, general or zero_copy, not '" + option + "'");
  }
  const bool copies = library.inputs_set != nullptr && library.outputs_get != nullptr && calls.interface.copying_api;
  const IoMode mode = option == "general" || (option == "auto" && copies) ? IoMode::kGeneral : IoMode::kZeroCopy;
  const std::string who =
      "partition " + calls.interface.partition + ": " + calls.interface.target + " with " + library.name + " has no ";
  if (mode == IoMode::kGeneral && !copies) {
    throw Failure(who + "rknn_inputs_set and rknn_outputs_get, which io_mode=general needs\n  Leave io_mode out.");
  }
  if (mode == IoMode::kZeroCopy &&
      (library.create_mem == nullptr || library.destroy_mem == nullptr || library.set_io_mem == nullptr)) {
    throw Failure(who + "rknn_create_mem, rknn_destroy_mem and rknn_set_io_mem, which io_mode=zero_copy needs");
  }
  return mode;
}

std::unique_ptr<Flow> open_flow(IoMode mode, rknn_context context, const Calls& calls) {
  return mode == IoMode::kGeneral ? open_copying_flow(context, calls) : open_zero_copy_flow(context, calls);
}

}  // namespace rknn_ep
