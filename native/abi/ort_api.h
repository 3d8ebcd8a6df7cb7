// The entries of ONNX Runtime's function tables that we use. A table is an append-only array of function pointers: an
// entry is its index, and its C signature is written beside it, so that `api->CreateStatus(code, text)` is one indexed
// call. Indices are interface facts, checked by running one binary on ONNX Runtime 1.23 to 1.32.
//
// Whoever asked for API 23 may call everything here but the entries marked "since 1.24" or later; those need a look at
// the running version first (running_minor_version below).
#pragma once

#include <cstdlib>
#include <cstring>

#include "abi/ort_types.h"

// Declares one entry. The table itself is opaque; its first byte is its first pointer.
#define RKNN_EP_ORT_SLOT(index, returns, name, parameters)           \
  template <typename... Arguments>                                   \
  returns name(Arguments... arguments) const noexcept {              \
    using Function = returns(*) parameters;                          \
    void* const* const slots = reinterpret_cast<void* const*>(this); \
    return reinterpret_cast<Function>(slots[index])(arguments...);   \
  }

namespace rknn_ep::ort {

// What plugin providers call back into.
struct OrtEpApi {
  RKNN_EP_ORT_SLOT(0, OrtStatus*, CreateEpDevice,
                   (OrtEpFactory*, const OrtHardwareDevice*, const OrtKeyValuePairs*, const OrtKeyValuePairs*,
                    OrtEpDevice**))
  RKNN_EP_ORT_SLOT(1, void, ReleaseEpDevice, (OrtEpDevice*))
  RKNN_EP_ORT_SLOT(2, OrtStatus*, EpGraphSupportInfo_AddNodesToFuse,
                   (OrtEpGraphSupportInfo*, const OrtNode* const*, size_t, const OrtNodeFusionOptions*))
  RKNN_EP_ORT_SLOT(4, const char*, NodeComputeContext_NodeName, (const OrtNodeComputeContext*))
  RKNN_EP_ORT_SLOT(5, OrtStatus*, EpDevice_AddAllocatorInfo, (OrtEpDevice*, const OrtMemoryInfo*))
  RKNN_EP_ORT_SLOT(16, OrtStatus*, CreateHardwareDevice,
                   (OrtHardwareDeviceType, uint32_t, uint32_t, const char*, const OrtKeyValuePairs*,
                    OrtHardwareDevice**))                                  // since 1.24
  RKNN_EP_ORT_SLOT(17, void, ReleaseHardwareDevice, (OrtHardwareDevice*))  // since 1.24
};

// Builds nodes; used to write EPContext models.
struct OrtModelEditorApi {
  RKNN_EP_ORT_SLOT(6, OrtStatus*, CreateNode,
                   (const char*, const char*, const char*, const char* const*, size_t, const char* const*, size_t,
                    OrtOpAttr**, size_t, OrtNode**))
};

// The main table.
struct OrtApi {
  RKNN_EP_ORT_SLOT(0, OrtStatus*, CreateStatus, (OrtErrorCode, const char*))
  RKNN_EP_ORT_SLOT(1, OrtErrorCode, GetErrorCode, (const OrtStatus*))
  RKNN_EP_ORT_SLOT(2, const char*, GetErrorMessage, (const OrtStatus*))
  RKNN_EP_ORT_SLOT(3, OrtStatus*, CreateEnv, (OrtLoggingLevel, const char*, OrtEnv**))
  RKNN_EP_ORT_SLOT(7, OrtStatus*, CreateSession, (const OrtEnv*, const char*, const OrtSessionOptions*, OrtSession**))
  RKNN_EP_ORT_SLOT(8, OrtStatus*, CreateSessionFromArray,
                   (const OrtEnv*, const void*, size_t, const OrtSessionOptions*, OrtSession**))
  RKNN_EP_ORT_SLOT(9, OrtStatus*, Run,
                   (OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*, size_t,
                    const char* const*, size_t, OrtValue**))
  RKNN_EP_ORT_SLOT(10, OrtStatus*, CreateSessionOptions, (OrtSessionOptions**))
  RKNN_EP_ORT_SLOT(13, OrtStatus*, SetSessionExecutionMode, (OrtSessionOptions*, ExecutionMode))
  RKNN_EP_ORT_SLOT(14, OrtStatus*, EnableProfiling, (OrtSessionOptions*, const char*))
  RKNN_EP_ORT_SLOT(17, OrtStatus*, DisableMemPattern, (OrtSessionOptions*))
  RKNN_EP_ORT_SLOT(22, OrtStatus*, SetSessionLogSeverityLevel, (OrtSessionOptions*, int))
  RKNN_EP_ORT_SLOT(23, OrtStatus*, SetSessionGraphOptimizationLevel, (OrtSessionOptions*, GraphOptimizationLevel))
  RKNN_EP_ORT_SLOT(24, OrtStatus*, SetIntraOpNumThreads, (OrtSessionOptions*, int))
  RKNN_EP_ORT_SLOT(25, OrtStatus*, SetInterOpNumThreads, (OrtSessionOptions*, int))
  RKNN_EP_ORT_SLOT(26, OrtStatus*, CreateCustomOpDomain, (const char*, OrtCustomOpDomain**))
  RKNN_EP_ORT_SLOT(27, OrtStatus*, CustomOpDomain_Add, (OrtCustomOpDomain*, const OrtCustomOp*))
  RKNN_EP_ORT_SLOT(28, OrtStatus*, AddCustomOpDomain, (OrtSessionOptions*, OrtCustomOpDomain*))
  RKNN_EP_ORT_SLOT(30, OrtStatus*, SessionGetInputCount, (const OrtSession*, size_t*))
  RKNN_EP_ORT_SLOT(31, OrtStatus*, SessionGetOutputCount, (const OrtSession*, size_t*))
  RKNN_EP_ORT_SLOT(33, OrtStatus*, SessionGetInputTypeInfo, (const OrtSession*, size_t, OrtTypeInfo**))
  RKNN_EP_ORT_SLOT(34, OrtStatus*, SessionGetOutputTypeInfo, (const OrtSession*, size_t, OrtTypeInfo**))
  RKNN_EP_ORT_SLOT(36, OrtStatus*, SessionGetInputName, (const OrtSession*, size_t, OrtAllocator*, char**))
  RKNN_EP_ORT_SLOT(37, OrtStatus*, SessionGetOutputName, (const OrtSession*, size_t, OrtAllocator*, char**))
  RKNN_EP_ORT_SLOT(49, OrtStatus*, CreateTensorWithDataAsOrtValue,
                   (const OrtMemoryInfo*, void*, size_t, const int64_t*, size_t, ONNXTensorElementDataType, OrtValue**))
  RKNN_EP_ORT_SLOT(51, OrtStatus*, GetTensorMutableData, (OrtValue*, void**))
  RKNN_EP_ORT_SLOT(53, OrtStatus*, GetStringTensorDataLength, (const OrtValue*, size_t*))
  RKNN_EP_ORT_SLOT(54, OrtStatus*, GetStringTensorContent, (const OrtValue*, void*, size_t, size_t*, size_t))
  RKNN_EP_ORT_SLOT(55, OrtStatus*, CastTypeInfoToTensorInfo, (const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo**))
  RKNN_EP_ORT_SLOT(56, OrtStatus*, GetOnnxTypeFromTypeInfo, (const OrtTypeInfo*, ONNXType*))
  RKNN_EP_ORT_SLOT(60, OrtStatus*, GetTensorElementType, (const OrtTensorTypeAndShapeInfo*, ONNXTensorElementDataType*))
  RKNN_EP_ORT_SLOT(61, OrtStatus*, GetDimensionsCount, (const OrtTensorTypeAndShapeInfo*, size_t*))
  RKNN_EP_ORT_SLOT(62, OrtStatus*, GetDimensions, (const OrtTensorTypeAndShapeInfo*, int64_t*, size_t))
  RKNN_EP_ORT_SLOT(63, OrtStatus*, GetSymbolicDimensions, (const OrtTensorTypeAndShapeInfo*, const char**, size_t))
  RKNN_EP_ORT_SLOT(65, OrtStatus*, GetTensorTypeAndShape, (const OrtValue*, OrtTensorTypeAndShapeInfo**))
  RKNN_EP_ORT_SLOT(69, OrtStatus*, CreateCpuMemoryInfo, (OrtAllocatorType, OrtMemType, OrtMemoryInfo**))
  RKNN_EP_ORT_SLOT(76, OrtStatus*, AllocatorFree, (OrtAllocator*, void*))
  RKNN_EP_ORT_SLOT(78, OrtStatus*, GetAllocatorWithDefaultOptions, (OrtAllocator**))
  RKNN_EP_ORT_SLOT(86, OrtStatus*, KernelInfoGetAttribute_int64, (const OrtKernelInfo*, const char*, int64_t*))
  RKNN_EP_ORT_SLOT(88, OrtStatus*, KernelContext_GetInputCount, (const OrtKernelContext*, size_t*))
  RKNN_EP_ORT_SLOT(89, OrtStatus*, KernelContext_GetOutputCount, (const OrtKernelContext*, size_t*))
  RKNN_EP_ORT_SLOT(90, OrtStatus*, KernelContext_GetInput, (const OrtKernelContext*, size_t, const OrtValue**))
  RKNN_EP_ORT_SLOT(91, OrtStatus*, KernelContext_GetOutput,
                   (OrtKernelContext*, size_t, const int64_t*, size_t, OrtValue**))
  RKNN_EP_ORT_SLOT(92, void, ReleaseEnv, (OrtEnv*))
  RKNN_EP_ORT_SLOT(93, void, ReleaseStatus, (OrtStatus*))
  RKNN_EP_ORT_SLOT(94, void, ReleaseMemoryInfo, (OrtMemoryInfo*))
  RKNN_EP_ORT_SLOT(95, void, ReleaseSession, (OrtSession*))
  RKNN_EP_ORT_SLOT(96, void, ReleaseValue, (OrtValue*))
  RKNN_EP_ORT_SLOT(98, void, ReleaseTypeInfo, (OrtTypeInfo*))
  RKNN_EP_ORT_SLOT(99, void, ReleaseTensorTypeAndShapeInfo, (OrtTensorTypeAndShapeInfo*))
  RKNN_EP_ORT_SLOT(100, void, ReleaseSessionOptions, (OrtSessionOptions*))
  RKNN_EP_ORT_SLOT(101, void, ReleaseCustomOpDomain, (OrtCustomOpDomain*))
  RKNN_EP_ORT_SLOT(104, OrtStatus*, CastTypeInfoToSequenceTypeInfo, (const OrtTypeInfo*, const OrtSequenceTypeInfo**))
  RKNN_EP_ORT_SLOT(107, OrtStatus*, GetSequenceElementType, (const OrtSequenceTypeInfo*, OrtTypeInfo**))
  RKNN_EP_ORT_SLOT(110, OrtStatus*, SessionEndProfiling, (OrtSession*, OrtAllocator*, char**))
  RKNN_EP_ORT_SLOT(116, OrtStatus*, ModelMetadataLookupCustomMetadataMap,
                   (const OrtModelMetadata*, OrtAllocator*, const char*, char**))
  RKNN_EP_ORT_SLOT(118, void, ReleaseModelMetadata, (OrtModelMetadata*))
  RKNN_EP_ORT_SLOT(120, OrtStatus*, DisablePerSessionThreads, (OrtSessionOptions*))
  RKNN_EP_ORT_SLOT(123, OrtStatus*, ModelMetadataGetCustomMetadataMapKeys,
                   (const OrtModelMetadata*, OrtAllocator*, char***, int64_t*))
  RKNN_EP_ORT_SLOT(130, OrtStatus*, AddSessionConfigEntry, (OrtSessionOptions*, const char*, const char*))
  RKNN_EP_ORT_SLOT(133, OrtStatus*, RunWithBinding, (OrtSession*, const OrtRunOptions*, const OrtIoBinding*))
  RKNN_EP_ORT_SLOT(134, OrtStatus*, CreateIoBinding, (OrtSession*, OrtIoBinding**))
  RKNN_EP_ORT_SLOT(135, void, ReleaseIoBinding, (OrtIoBinding*))
  RKNN_EP_ORT_SLOT(136, OrtStatus*, BindInput, (OrtIoBinding*, const char*, const OrtValue*))
  RKNN_EP_ORT_SLOT(137, OrtStatus*, BindOutput, (OrtIoBinding*, const char*, const OrtValue*))
  RKNN_EP_ORT_SLOT(141, void, ClearBoundInputs, (OrtIoBinding*))
  RKNN_EP_ORT_SLOT(142, void, ClearBoundOutputs, (OrtIoBinding*))
  RKNN_EP_ORT_SLOT(150, OrtStatus*, AddInitializer, (OrtSessionOptions*, const char*, const OrtValue*))
  RKNN_EP_ORT_SLOT(163, OrtStatus*, KernelInfoGetAttributeArray_int64,
                   (const OrtKernelInfo*, const char*, int64_t*, size_t*))
  RKNN_EP_ORT_SLOT(210, OrtStatus*, AddExternalInitializers,
                   (OrtSessionOptions*, const char* const*, const OrtValue* const*, size_t))
  RKNN_EP_ORT_SLOT(211, OrtStatus*, CreateOpAttr, (const char*, const void*, int, OrtOpAttrType, OrtOpAttr**))
  RKNN_EP_ORT_SLOT(212, void, ReleaseOpAttr, (OrtOpAttr*))
  RKNN_EP_ORT_SLOT(233, OrtStatus*, KernelInfo_GetOutputName, (const OrtKernelInfo*, size_t, char*, size_t*))
  RKNN_EP_ORT_SLOT(237, OrtStatus*, HasSessionConfigEntry, (const OrtSessionOptions*, const char*, int*))
  RKNN_EP_ORT_SLOT(238, OrtStatus*, GetSessionConfigEntry, (const OrtSessionOptions*, const char*, char*, size_t*))
  RKNN_EP_ORT_SLOT(247, OrtStatus*, Logger_LogMessage,
                   (const OrtLogger*, OrtLoggingLevel, const char*, const char*, int, const char*))
  RKNN_EP_ORT_SLOT(248, OrtStatus*, Logger_GetLoggingSeverityLevel, (const OrtLogger*, OrtLoggingLevel*))
  RKNN_EP_ORT_SLOT(249, OrtStatus*, KernelInfoGetConstantInput_tensor,
                   (const OrtKernelInfo*, size_t, int*, const OrtValue**))
  RKNN_EP_ORT_SLOT(250, OrtStatus*, CastTypeInfoToOptionalTypeInfo, (const OrtTypeInfo*, const OrtOptionalTypeInfo**))
  RKNN_EP_ORT_SLOT(251, OrtStatus*, GetOptionalContainedTypeInfo, (const OrtOptionalTypeInfo*, OrtTypeInfo**))
  RKNN_EP_ORT_SLOT(272, OrtStatus*, ReadOpAttr, (const OrtOpAttr*, OrtOpAttrType, void*, size_t, size_t*))
  RKNN_EP_ORT_SLOT(274, OrtStatus*, KernelContext_ParallelFor,
                   (const OrtKernelContext*, void (*)(void*, size_t), size_t, size_t, void*))
  RKNN_EP_ORT_SLOT(286, void, ReleaseNode, (OrtNode*))
  RKNN_EP_ORT_SLOT(289, OrtStatus*, GetValueInfoName, (const OrtValueInfo*, const char**))
  RKNN_EP_ORT_SLOT(290, OrtStatus*, GetValueInfoTypeInfo, (const OrtValueInfo*, const OrtTypeInfo**))
  RKNN_EP_ORT_SLOT(291, const OrtModelEditorApi*, GetModelEditorApi, ())
  RKNN_EP_ORT_SLOT(295, void, CreateKeyValuePairs, (OrtKeyValuePairs**))
  RKNN_EP_ORT_SLOT(296, void, AddKeyValuePair, (OrtKeyValuePairs*, const char*, const char*))
  RKNN_EP_ORT_SLOT(297, const char*, GetKeyValue, (const OrtKeyValuePairs*, const char*))
  RKNN_EP_ORT_SLOT(298, void, GetKeyValuePairs,
                   (const OrtKeyValuePairs*, const char* const**, const char* const**, size_t*))
  RKNN_EP_ORT_SLOT(300, void, ReleaseKeyValuePairs, (OrtKeyValuePairs*))
  RKNN_EP_ORT_SLOT(307, OrtHardwareDeviceType, HardwareDevice_Type, (const OrtHardwareDevice*))
  RKNN_EP_ORT_SLOT(308, uint32_t, HardwareDevice_VendorId, (const OrtHardwareDevice*))
  RKNN_EP_ORT_SLOT(317, const OrtEpApi*, GetEpApi, ())
  RKNN_EP_ORT_SLOT(318, OrtStatus*, GetTensorSizeInBytes, (const OrtValue*, size_t*))
  RKNN_EP_ORT_SLOT(320, OrtStatus*, CreateMemoryInfo_V2,
                   (const char*, OrtMemoryInfoDeviceType, uint32_t, int32_t, OrtDeviceMemoryType, size_t,
                    OrtAllocatorType, OrtMemoryInfo**))
  RKNN_EP_ORT_SLOT(326, OrtStatus*, ValueInfo_GetInitializerValue, (const OrtValueInfo*, const OrtValue**))
  RKNN_EP_ORT_SLOT(332, OrtStatus*, ValueInfo_IsFromOuterScope, (const OrtValueInfo*, bool*))
  RKNN_EP_ORT_SLOT(333, OrtStatus*, Graph_GetName, (const OrtGraph*, const char**))
  RKNN_EP_ORT_SLOT(334, OrtStatus*, Graph_GetModelPath, (const OrtGraph*, const char**))
  RKNN_EP_ORT_SLOT(335, OrtStatus*, Graph_GetOnnxIRVersion, (const OrtGraph*, int64_t*))
  RKNN_EP_ORT_SLOT(336, OrtStatus*, Graph_GetNumOperatorSets, (const OrtGraph*, size_t*))
  RKNN_EP_ORT_SLOT(337, OrtStatus*, Graph_GetOperatorSets, (const OrtGraph*, const char**, int64_t*, size_t))
  RKNN_EP_ORT_SLOT(338, OrtStatus*, Graph_GetNumInputs, (const OrtGraph*, size_t*))
  RKNN_EP_ORT_SLOT(339, OrtStatus*, Graph_GetInputs, (const OrtGraph*, const OrtValueInfo**, size_t))
  RKNN_EP_ORT_SLOT(340, OrtStatus*, Graph_GetNumOutputs, (const OrtGraph*, size_t*))
  RKNN_EP_ORT_SLOT(341, OrtStatus*, Graph_GetOutputs, (const OrtGraph*, const OrtValueInfo**, size_t))
  RKNN_EP_ORT_SLOT(342, OrtStatus*, Graph_GetNumInitializers, (const OrtGraph*, size_t*))
  RKNN_EP_ORT_SLOT(343, OrtStatus*, Graph_GetInitializers, (const OrtGraph*, const OrtValueInfo**, size_t))
  RKNN_EP_ORT_SLOT(344, OrtStatus*, Graph_GetNumNodes, (const OrtGraph*, size_t*))
  RKNN_EP_ORT_SLOT(345, OrtStatus*, Graph_GetNodes, (const OrtGraph*, const OrtNode**, size_t))
  RKNN_EP_ORT_SLOT(346, OrtStatus*, Graph_GetParentNode, (const OrtGraph*, const OrtNode**))
  RKNN_EP_ORT_SLOT(348, OrtStatus*, Node_GetId, (const OrtNode*, size_t*))
  RKNN_EP_ORT_SLOT(349, OrtStatus*, Node_GetName, (const OrtNode*, const char**))
  RKNN_EP_ORT_SLOT(350, OrtStatus*, Node_GetOperatorType, (const OrtNode*, const char**))
  RKNN_EP_ORT_SLOT(351, OrtStatus*, Node_GetDomain, (const OrtNode*, const char**))
  RKNN_EP_ORT_SLOT(353, OrtStatus*, Node_GetNumInputs, (const OrtNode*, size_t*))
  RKNN_EP_ORT_SLOT(354, OrtStatus*, Node_GetInputs, (const OrtNode*, const OrtValueInfo**, size_t))
  RKNN_EP_ORT_SLOT(355, OrtStatus*, Node_GetNumOutputs, (const OrtNode*, size_t*))
  RKNN_EP_ORT_SLOT(356, OrtStatus*, Node_GetOutputs, (const OrtNode*, const OrtValueInfo**, size_t))
  RKNN_EP_ORT_SLOT(359, OrtStatus*, Node_GetNumAttributes, (const OrtNode*, size_t*))
  RKNN_EP_ORT_SLOT(360, OrtStatus*, Node_GetAttributes, (const OrtNode*, const OrtOpAttr**, size_t))
  RKNN_EP_ORT_SLOT(361, OrtStatus*, Node_GetAttributeByName, (const OrtNode*, const char*, const OrtOpAttr**))
  RKNN_EP_ORT_SLOT(362, OrtStatus*, OpAttr_GetTensorAttributeAsOrtValue, (const OrtOpAttr*, OrtValue**))
  RKNN_EP_ORT_SLOT(363, OrtStatus*, OpAttr_GetType, (const OrtOpAttr*, OrtOpAttrType*))
  RKNN_EP_ORT_SLOT(364, OrtStatus*, OpAttr_GetName, (const OrtOpAttr*, const char**))
  RKNN_EP_ORT_SLOT(365, OrtStatus*, Node_GetNumSubgraphs, (const OrtNode*, size_t*))
  RKNN_EP_ORT_SLOT(366, OrtStatus*, Node_GetSubgraphs, (const OrtNode*, const OrtGraph**, size_t, const char**))
  RKNN_EP_ORT_SLOT(368, OrtStatus*, Node_GetEpName, (const OrtNode*, const char**))
  RKNN_EP_ORT_SLOT(378, OrtStatus*, GetTensorData, (const OrtValue*, const void**))
  RKNN_EP_ORT_SLOT(379, OrtStatus*, GetSessionOptionsConfigEntries, (const OrtSessionOptions*, OrtKeyValuePairs**))
  RKNN_EP_ORT_SLOT(387, OrtStatus*, Graph_GetModelMetadata, (const OrtGraph*, OrtModelMetadata**))
  RKNN_EP_ORT_SLOT(390, bool, TensorTypeAndShape_HasShape, (const OrtTensorTypeAndShapeInfo*))  // since 1.24
  RKNN_EP_ORT_SLOT(414, OrtStatus*, GetTensorElementTypeAndShapeDataReference,
                   (const OrtValue*, ONNXTensorElementDataType*, const int64_t**, size_t*))  // since 1.24
};

constexpr uint32_t kApiVersion = 23;

// The root that ONNX Runtime hands to CreateEpFactories, and that OrtGetApiBase returns.
struct OrtApiBase {
  const OrtApi* (*GetApi)(uint32_t version);
  const char* (*GetVersionString)();
};

// Minor version of the running ONNX Runtime: 32 for "1.32.0", 0 where it cannot be read.
inline int running_minor_version(const OrtApiBase& base) noexcept {
  const char* text = base.GetVersionString();
  if (text == nullptr || std::strncmp(text, "1.", 2) != 0) return 0;
  return std::atoi(text + 2);
}

}  // namespace rknn_ep::ort

#undef RKNN_EP_ORT_SLOT
