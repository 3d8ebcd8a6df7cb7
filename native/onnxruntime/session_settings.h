// What a session's options say to us.
#pragma once

#include <string>

#include "abi/ort_api.h"
#include "bundle/key_values.h"

namespace rknn_ep {

struct SessionSettings {
  KeyValues options;            // the provider's own, as the user wrote them
  bool context_enable = false;  // ep.context_enable: write an EPContext model
  bool context_embed = false;   // ep.context_embed_mode: payload inside the model
  std::string context_path;     // ep.context_file_path; empty: beside the model
  std::string external_folder;  // where the files of a model without a path are
  bool disable_cpu_fallback = false;

  // Reads and copies: session options do not outlive the call that brought them. Throws Failure.
  static SessionSettings read(const ort::OrtApi& api, const ort::OrtSessionOptions& options);

  bool strict() const;

  // Checks what native code itself acts on, for sessions that are not planned: Python checks everything else.
  // Throws Failure, naming the nearest option.
  void check_options() const;
};

// Every option of the provider, one a line.
const char* option_names();

}  // namespace rknn_ep
