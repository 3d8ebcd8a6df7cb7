#include "runtime/executor.h"

#include "runtime/binding.h"
#include "runtime/failure.h"

namespace rknn_ep {

void Executor::run_inputs(const rknn_input*, void* const*, size_t) {
  throw Failure("partition " + interface().partition + ": this device takes inputs in the model's own types alone");
}

std::unique_ptr<Binding> Executor::bind(const KeyValues&, size_t) {
  throw Failure("partition " + interface().partition + ": this device has no memory to share");
}

KeyValues Executor::describe(size_t shape) {
  const Interface& border = interface(shape);
  KeyValues facts;
  facts.set("target", interface().target);
  facts.set("partition", interface().partition);
  facts.set("shapes", std::to_string(shapes()));
  for (const auto* specs : {&border.inputs, &border.outputs}) {
    const std::string kind = specs == &border.inputs ? "input" : "output";
    facts.set(kind + "s", std::to_string(specs->size()));
    for (size_t index = 0; index < specs->size(); ++index) {
      const TensorSpec& spec = (*specs)[index];
      const std::string prefix = kind + "." + std::to_string(index);
      std::string dims;
      for (const int64_t dim : spec.dims) dims += (dims.empty() ? "" : ",") + std::to_string(dim);
      facts.set(prefix + ".name", spec.name);
      facts.set(prefix + ".dims", dims);
      facts.set(prefix + ".dtype", spec.type_name);
    }
  }
  return facts;
}

}  // namespace rknn_ep
