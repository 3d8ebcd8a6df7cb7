#include "simulator/kernels/operators.h"

#include <algorithm>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "simulator/kernels/convolution.h"
#include "simulator/kernels/moves.h"
#include "simulator/kernels/operator_context.h"
#include "simulator/kernels/quantize.h"

namespace rknn_ep::simulator {
namespace {

using namespace kernel;

constexpr auto kCodes = ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_UINT8;

// ------------------------------------------------------------------ kernels

class ConvolutionKernel {
 public:
  static constexpr const char* kName = "Convolution";
  static constexpr ort::ONNXTensorElementDataType kInputs[] = {kCodes, ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8,
                                                               ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32,
                                                               ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
  static constexpr size_t kInputCount = 4;

  explicit ConvolutionKernel(const Info& info) {
    const Tensor weights = info.constant(1, ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT8, 4);
    const Tensor bias = info.constant(2, ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_INT32, 1);
    const Tensor multipliers = info.constant(3, ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 1);
    const std::vector<int64_t> strides = info.integers("strides"), pads = info.integers("pads");
    const std::vector<int64_t> dilations = info.integers("dilations");
    const int64_t group = info.integer("group");
    const int64_t zeros[] = {info.integer("x_zero_point"), info.integer("y_zero_point")};
    require(strides.size() == 2 && pads.size() == 4 && dilations.size() == 2, "a convolution here has two dimensions");
    for (const auto* values : {&strides, &dilations}) {
      for (const int64_t value : *values) require(value > 0 && value < (1 << 20), "a stride or dilation cannot be");
    }
    for (const int64_t value : pads) require(value >= 0 && value < (1 << 20), "a padding cannot be");
    for (const int64_t value : zeros) require(value >= 0 && value <= 255, "a zero point is no code");
    ConvolutionShape shape;
    shape.kernels = weights.dims[0];
    shape.depthwise = group > 1;
    shape.channels = shape.depthwise ? group : weights.dims[1];
    shape.height = weights.dims[2];
    shape.width = weights.dims[3];
    require(weights.size() > 0 && group > 0, "a convolution without weights");
    // More products than this could leave 32 bits.
    require(weights.size() / shape.kernels < std::numeric_limits<int32_t>::max() / (255 * 128) / 2,
            "a convolution is too deep for 32-bit sums");
    require(!shape.depthwise || (weights.dims[1] == 1 && shape.kernels == group), "groups of several channels");
    require(bias.dims[0] == shape.kernels && multipliers.dims[0] == shape.kernels, "bias or scale of another size");
    shape.stride_y = strides[0], shape.stride_x = strides[1];
    shape.dilation_y = dilations[0], shape.dilation_x = dilations[1];
    shape.top = pads[0], shape.left = pads[1], shape.bottom = pads[2], shape.right = pads[3];
    shape.input_zero = static_cast<uint8_t>(zeros[0]);
    shape.output_zero = static_cast<uint8_t>(zeros[1]);
    channels_ = shape.channels;
    kernels_ = shape.kernels;
    convolution_ =
        Convolution::make(shape, static_cast<const int8_t*>(weights.data), static_cast<const int32_t*>(bias.data),
                          static_cast<const float*>(multipliers.data));
  }

  void run(const Run& run) const {
    Tensor input = run.input();
    const bool matrix = input.dims.size() == 2;
    if (matrix) input.dims = {1, input.dims[0], 1, input.dims[1]};
    require(input.dims.size() == 4 && input.dims[3] == channels_, "a convolution's input has another shape");
    const Picture picture = convolution_->picture(input.dims[1], input.dims[2]);
    require(picture.out_height > 0 && picture.out_width > 0, "a kernel is larger than its picture");
    uint8_t* const output =
        run.output(matrix ? std::vector<int64_t>{picture.out_height * picture.out_width, kernels_}
                          : std::vector<int64_t>{input.dims[0], picture.out_height, picture.out_width, kernels_});
    const size_t parts = convolution_->parts(picture);
    auto work = [&](size_t index) {
      const auto image = static_cast<int64_t>(index / parts);
      convolution_->run(picture, index % parts,
                        static_cast<const uint8_t*>(input.data) + image * picture.height * picture.width * channels_,
                        output + image * picture.out_height * picture.out_width * kernels_);
    };
    run.parallel(static_cast<size_t>(input.dims[0]) * parts, work);
  }

 private:
  int64_t channels_ = 0, kernels_ = 0;
  std::unique_ptr<Convolution> convolution_;
};

class LookupKernel {
 public:
  static constexpr const char* kName = "Lookup";
  static constexpr ort::ONNXTensorElementDataType kInputs[] = {kCodes, kCodes};
  static constexpr size_t kInputCount = 2;

  explicit LookupKernel(const Info& info) {
    const Tensor table = info.constant(1, kCodes, 1);
    require(table.dims[0] == 256, "a table has 256 entries");
    const auto* codes = static_cast<const uint8_t*>(table.data);
    table_.assign(codes, codes + 256);
  }

  void run(const Run& run) const {
    constexpr size_t kChunk = 1 << 16;
    const Tensor input = run.input();
    const auto size = static_cast<size_t>(input.size());
    uint8_t* const output = run.output(input.dims);
    auto work = [&](size_t index) {
      const size_t begin = index * kChunk;
      look_up(table_.data(), static_cast<const uint8_t*>(input.data) + begin, std::min(kChunk, size - begin),
              output + begin);
    };
    run.parallel((size + kChunk - 1) / kChunk, work);
  }

 private:
  std::vector<uint8_t> table_;
};

class RepeatKernel {
 public:
  static constexpr const char* kName = "Repeat";
  static constexpr ort::ONNXTensorElementDataType kInputs[] = {kCodes};
  static constexpr size_t kInputCount = 1;

  explicit RepeatKernel(const Info& info) : rows_(info.integer("rows")), columns_(info.integer("columns")) {
    require(rows_ > 0 && rows_ < (1 << 16) && columns_ > 0 && columns_ < (1 << 16), "a factor cannot be");
  }

  void run(const Run& run) const {
    const Tensor input = run.input();
    require(input.dims.size() == 4 && input.size() <= kLargest / (rows_ * columns_), "a picture cannot be");
    const int64_t lines = input.dims[0] * input.dims[1], width = input.dims[2], channels = input.dims[3];
    uint8_t* const output = run.output({input.dims[0], input.dims[1] * rows_, width * columns_, channels});
    auto work = [&](size_t index) {
      const auto line = static_cast<int64_t>(index);
      repeat_line(static_cast<const uint8_t*>(input.data) + line * width * channels, static_cast<size_t>(width),
                  static_cast<size_t>(channels), static_cast<size_t>(rows_), static_cast<size_t>(columns_),
                  output + line * rows_ * width * columns_ * channels);
    };
    run.parallel(static_cast<size_t>(lines), work);
  }

 private:
  int64_t rows_, columns_;
};

class QuantizeKernel {
 public:
  static constexpr const char* kName = "QuantizePicture";
  static constexpr ort::ONNXTensorElementDataType kInputs[] = {ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT,
                                                               ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT};
  static constexpr size_t kInputCount = 2;

  explicit QuantizeKernel(const Info& info) : zero_(info.integer("y_zero_point")) {
    const Tensor scale = info.constant(1, ort::ONNX_TENSOR_ELEMENT_DATA_TYPE_FLOAT, 1);
    require(scale.dims[0] == 1, "a picture has one scale");
    scale_ = *static_cast<const float*>(scale.data);
    require(scale_ > 0 && zero_ >= 0 && zero_ <= 255, "a scale or zero point cannot be");
  }

  void run(const Run& run) const {
    constexpr size_t kChunk = 1 << 14;
    const Tensor input = run.input();
    require(input.dims.size() == 4 && input.dims[1] > 0 && input.dims[1] <= 4, "a picture has one to four channels");
    const int64_t channels = input.dims[1], pixels = input.dims[2] * input.dims[3];
    uint8_t* const output = run.output({input.dims[0], input.dims[2], input.dims[3], channels});
    const PictureQuantizer quantizer{static_cast<size_t>(pixels), static_cast<size_t>(channels), scale_,
                                     static_cast<uint8_t>(zero_)};
    const size_t parts = (quantizer.pixels + kChunk - 1) / kChunk, size = quantizer.pixels * quantizer.channels;
    auto work = [&](size_t index) {
      const size_t picture = index / parts * size, begin = index % parts * kChunk;
      quantizer.run(static_cast<const float*>(input.data) + picture, begin, std::min(begin + kChunk, quantizer.pixels),
                    output + picture);
    };
    run.parallel(static_cast<size_t>(input.dims[0]) * parts, work);
  }

 private:
  int64_t zero_;
  float scale_ = 1;
};

// ------------------------------------------------------------------ what ONNX Runtime calls

template <typename Kernel>
struct Held {
  const OrtApi& api;
  Kernel kernel;
};

// Exceptions do not cross the C boundary: they become a status.
template <typename Work>
OrtStatus* guarded(const OrtApi& api, const char* name, Work&& work) noexcept {
  try {
    work();
    return nullptr;
  } catch (const std::exception& error) {
    return api.CreateStatus(ort::ORT_FAIL, (std::string("rknn_ep ") + name + ": " + error.what()).c_str());
  }
}

template <typename Kernel>
const ort::OrtCustomOp* operator_of() {
  static const ort::OrtCustomOp described = [] {
    using Op = const ort::OrtCustomOp*;
    ort::OrtCustomOp op = {};
    op.version = ort::kCustomOpVersion;
    op.GetName = [](Op) { return Kernel::kName; };
    op.GetExecutionProviderType = [](Op) -> const char* { return nullptr; };
    op.GetInputType = [](Op, size_t index) { return Kernel::kInputs[index]; };
    op.GetInputTypeCount = [](Op) { return Kernel::kInputCount; };
    op.GetOutputType = [](Op, size_t) { return kCodes; };
    op.GetOutputTypeCount = [](Op) { return size_t{1}; };
    op.GetInputCharacteristic = [](Op, size_t) -> int32_t { return 0; };
    op.GetOutputCharacteristic = [](Op, size_t) -> int32_t { return 0; };
    op.GetInputMemoryType = [](Op, size_t) { return ort::OrtMemTypeDefault; };
    op.CreateKernelV2 = [](Op, const OrtApi* api, const OrtKernelInfo* info, void** kernel) {
      return guarded(*api, Kernel::kName, [&] { *kernel = new Held<Kernel>{*api, Kernel(Info{*api, info})}; });
    };
    op.KernelComputeV2 = [](void* kernel, OrtKernelContext* context) {
      const auto& held = *static_cast<const Held<Kernel>*>(kernel);
      return guarded(held.api, Kernel::kName, [&] { held.kernel.run(Run{held.api, context}); });
    };
    op.KernelDestroy = [](void* kernel) { delete static_cast<Held<Kernel>*>(kernel); };
    return op;
  }();
  return &described;
}

}  // namespace

OrtStatus* make_operator_domain(const OrtApi& api, OperatorDomain& domain) {
  ort::OrtCustomOpDomain* made = nullptr;
  if (OrtStatus* status = api.CreateCustomOpDomain("rknn_ep", &made)) return status;
  domain = OperatorDomain(made, ReleaseDomain{&api});
  for (const ort::OrtCustomOp* one : {operator_of<ConvolutionKernel>(), operator_of<LookupKernel>(),
                                      operator_of<QuantizeKernel>(), operator_of<RepeatKernel>()}) {
    if (OrtStatus* status = api.CustomOpDomain_Add(made, one)) return status;
  }
  return nullptr;
}

}  // namespace rknn_ep::simulator
