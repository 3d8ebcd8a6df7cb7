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
#define RKNN_EP_ORT_SLOT(index, name, returns, ...)                  \
  template <typename... Arguments>                                   \
  returns name(Arguments... arguments) const noexcept {              \
    using Function = returns (*)(__VA_ARGS__);                       \
    void* const* const slots = reinterpret_cast<void* const*>(this); \
    return reinterpret_cast<Function>(slots[index])(arguments...);   \
  }

namespace rknn_ep::ort {

// What plugin providers call back into.
struct OrtEpApi {
  RKNN_EP_ORT_SLOT(0, CreateEpDevice, OrtStatus*, OrtEpFactory*, const OrtHardwareDevice*, const OrtKeyValuePairs*,
                   const OrtKeyValuePairs*, OrtEpDevice**)
  RKNN_EP_ORT_SLOT(1, ReleaseEpDevice, void, OrtEpDevice*)
  RKNN_EP_ORT_SLOT(2, EpGraphSupportInfo_AddNodesToFuse, OrtStatus*, OrtEpGraphSupportInfo*, const OrtNode* const*,
                   size_t, const OrtNodeFusionOptions*)
  RKNN_EP_ORT_SLOT(4, NodeComputeContext_NodeName, const char*, const OrtNodeComputeContext*)
  RKNN_EP_ORT_SLOT(5, EpDevice_AddAllocatorInfo, OrtStatus*, OrtEpDevice*, const OrtMemoryInfo*)
  RKNN_EP_ORT_SLOT(16, CreateHardwareDevice, OrtStatus*, OrtHardwareDeviceType, uint32_t, uint32_t, const char*,
                   const OrtKeyValuePairs*, OrtHardwareDevice**)         // since 1.24
  RKNN_EP_ORT_SLOT(17, ReleaseHardwareDevice, void, OrtHardwareDevice*)  // since 1.24
};

// Builds nodes; used to write EPContext models.
struct OrtModelEditorApi {
  RKNN_EP_ORT_SLOT(6, CreateNode, OrtStatus*, const char*, const char*, const char*, const char* const*, size_t,
                   const char* const*, size_t, OrtOpAttr**, size_t, OrtNode**)
};

// The main table.
struct OrtApi {
  RKNN_EP_ORT_SLOT(0, CreateStatus, OrtStatus*, OrtErrorCode, const char*)
  RKNN_EP_ORT_SLOT(1, GetErrorCode, OrtErrorCode, const OrtStatus*)
  RKNN_EP_ORT_SLOT(2, GetErrorMessage, const char*, const OrtStatus*)
  RKNN_EP_ORT_SLOT(3, CreateEnv, OrtStatus*, OrtLoggingLevel, const char*, OrtEnv**)
  RKNN_EP_ORT_SLOT(7, CreateSession, OrtStatus*, const OrtEnv*, const char*, const OrtSessionOptions*, OrtSession**)
  RKNN_EP_ORT_SLOT(8, CreateSessionFromArray, OrtStatus*, const OrtEnv*, const void*, size_t, const OrtSessionOptions*,
                   OrtSession**)
  RKNN_EP_ORT_SLOT(9, Run, OrtStatus*, OrtSession*, const OrtRunOptions*, const char* const*, const OrtValue* const*,
                   size_t, const char* const*, size_t, OrtValue**)
  RKNN_EP_ORT_SLOT(10, CreateSessionOptions, OrtStatus*, OrtSessionOptions**)
  RKNN_EP_ORT_SLOT(13, SetSessionExecutionMode, OrtStatus*, OrtSessionOptions*, ExecutionMode)
  RKNN_EP_ORT_SLOT(17, DisableMemPattern, OrtStatus*, OrtSessionOptions*)
  RKNN_EP_ORT_SLOT(22, SetSessionLogSeverityLevel, OrtStatus*, OrtSessionOptions*, int)
  RKNN_EP_ORT_SLOT(23, SetSessionGraphOptimizationLevel, OrtStatus*, OrtSessionOptions*, GraphOptimizationLevel)
  RKNN_EP_ORT_SLOT(24, SetIntraOpNumThreads, OrtStatus*, OrtSessionOptions*, int)
  RKNN_EP_ORT_SLOT(25, SetInterOpNumThreads, OrtStatus*, OrtSessionOptions*, int)
  RKNN_EP_ORT_SLOT(30, SessionGetInputCount, OrtStatus*, const OrtSession*, size_t*)
  RKNN_EP_ORT_SLOT(31, SessionGetOutputCount, OrtStatus*, const OrtSession*, size_t*)
  RKNN_EP_ORT_SLOT(33, SessionGetInputTypeInfo, OrtStatus*, const OrtSession*, size_t, OrtTypeInfo**)
  RKNN_EP_ORT_SLOT(34, SessionGetOutputTypeInfo, OrtStatus*, const OrtSession*, size_t, OrtTypeInfo**)
  RKNN_EP_ORT_SLOT(36, SessionGetInputName, OrtStatus*, const OrtSession*, size_t, OrtAllocator*, char**)
  RKNN_EP_ORT_SLOT(37, SessionGetOutputName, OrtStatus*, const OrtSession*, size_t, OrtAllocator*, char**)
  RKNN_EP_ORT_SLOT(49, CreateTensorWithDataAsOrtValue, OrtStatus*, const OrtMemoryInfo*, void*, size_t, const int64_t*,
                   size_t, ONNXTensorElementDataType, OrtValue**)
  RKNN_EP_ORT_SLOT(51, GetTensorMutableData, OrtStatus*, OrtValue*, void**)
  RKNN_EP_ORT_SLOT(53, GetStringTensorDataLength, OrtStatus*, const OrtValue*, size_t*)
  RKNN_EP_ORT_SLOT(54, GetStringTensorContent, OrtStatus*, const OrtValue*, void*, size_t, size_t*, size_t)
  RKNN_EP_ORT_SLOT(55, CastTypeInfoToTensorInfo, OrtStatus*, const OrtTypeInfo*, const OrtTensorTypeAndShapeInfo**)
  RKNN_EP_ORT_SLOT(56, GetOnnxTypeFromTypeInfo, OrtStatus*, const OrtTypeInfo*, ONNXType*)
  RKNN_EP_ORT_SLOT(60, GetTensorElementType, OrtStatus*, const OrtTensorTypeAndShapeInfo*, ONNXTensorElementDataType*)
  RKNN_EP_ORT_SLOT(61, GetDimensionsCount, OrtStatus*, const OrtTensorTypeAndShapeInfo*, size_t*)
  RKNN_EP_ORT_SLOT(62, GetDimensions, OrtStatus*, const OrtTensorTypeAndShapeInfo*, int64_t*, size_t)
  RKNN_EP_ORT_SLOT(63, GetSymbolicDimensions, OrtStatus*, const OrtTensorTypeAndShapeInfo*, const char**, size_t)
  RKNN_EP_ORT_SLOT(65, GetTensorTypeAndShape, OrtStatus*, const OrtValue*, OrtTensorTypeAndShapeInfo**)
  RKNN_EP_ORT_SLOT(69, CreateCpuMemoryInfo, OrtStatus*, OrtAllocatorType, OrtMemType, OrtMemoryInfo**)
  RKNN_EP_ORT_SLOT(76, AllocatorFree, OrtStatus*, OrtAllocator*, void*)
  RKNN_EP_ORT_SLOT(78, GetAllocatorWithDefaultOptions, OrtStatus*, OrtAllocator**)
  RKNN_EP_ORT_SLOT(88, KernelContext_GetInputCount, OrtStatus*, const OrtKernelContext*, size_t*)
  RKNN_EP_ORT_SLOT(89, KernelContext_GetOutputCount, OrtStatus*, const OrtKernelContext*, size_t*)
  RKNN_EP_ORT_SLOT(90, KernelContext_GetInput, OrtStatus*, const OrtKernelContext*, size_t, const OrtValue**)
  RKNN_EP_ORT_SLOT(91, KernelContext_GetOutput, OrtStatus*, OrtKernelContext*, size_t, const int64_t*, size_t,
                   OrtValue**)
  RKNN_EP_ORT_SLOT(92, ReleaseEnv, void, OrtEnv*)
  RKNN_EP_ORT_SLOT(93, ReleaseStatus, void, OrtStatus*)
  RKNN_EP_ORT_SLOT(94, ReleaseMemoryInfo, void, OrtMemoryInfo*)
  RKNN_EP_ORT_SLOT(95, ReleaseSession, void, OrtSession*)
  RKNN_EP_ORT_SLOT(96, ReleaseValue, void, OrtValue*)
  RKNN_EP_ORT_SLOT(98, ReleaseTypeInfo, void, OrtTypeInfo*)
  RKNN_EP_ORT_SLOT(99, ReleaseTensorTypeAndShapeInfo, void, OrtTensorTypeAndShapeInfo*)
  RKNN_EP_ORT_SLOT(100, ReleaseSessionOptions, void, OrtSessionOptions*)
  RKNN_EP_ORT_SLOT(104, CastTypeInfoToSequenceTypeInfo, OrtStatus*, const OrtTypeInfo*, const OrtSequenceTypeInfo**)
  RKNN_EP_ORT_SLOT(107, GetSequenceElementType, OrtStatus*, const OrtSequenceTypeInfo*, OrtTypeInfo**)
  RKNN_EP_ORT_SLOT(116, ModelMetadataLookupCustomMetadataMap, OrtStatus*, const OrtModelMetadata*, OrtAllocator*,
                   const char*, char**)
  RKNN_EP_ORT_SLOT(118, ReleaseModelMetadata, void, OrtModelMetadata*)
  RKNN_EP_ORT_SLOT(120, DisablePerSessionThreads, OrtStatus*, OrtSessionOptions*)
  RKNN_EP_ORT_SLOT(123, ModelMetadataGetCustomMetadataMapKeys, OrtStatus*, const OrtModelMetadata*, OrtAllocator*,
                   char***, int64_t*)
  RKNN_EP_ORT_SLOT(130, AddSessionConfigEntry, OrtStatus*, OrtSessionOptions*, const char*, const char*)
  RKNN_EP_ORT_SLOT(133, RunWithBinding, OrtStatus*, OrtSession*, const OrtRunOptions*, const OrtIoBinding*)
  RKNN_EP_ORT_SLOT(134, CreateIoBinding, OrtStatus*, OrtSession*, OrtIoBinding**)
  RKNN_EP_ORT_SLOT(135, ReleaseIoBinding, void, OrtIoBinding*)
  RKNN_EP_ORT_SLOT(136, BindInput, OrtStatus*, OrtIoBinding*, const char*, const OrtValue*)
  RKNN_EP_ORT_SLOT(137, BindOutput, OrtStatus*, OrtIoBinding*, const char*, const OrtValue*)
  RKNN_EP_ORT_SLOT(141, ClearBoundInputs, void, OrtIoBinding*)
  RKNN_EP_ORT_SLOT(142, ClearBoundOutputs, void, OrtIoBinding*)
  RKNN_EP_ORT_SLOT(150, AddInitializer, OrtStatus*, OrtSessionOptions*, const char*, const OrtValue*)
  RKNN_EP_ORT_SLOT(211, CreateOpAttr, OrtStatus*, const char*, const void*, int, OrtOpAttrType, OrtOpAttr**)
  RKNN_EP_ORT_SLOT(212, ReleaseOpAttr, void, OrtOpAttr*)
  RKNN_EP_ORT_SLOT(237, HasSessionConfigEntry, OrtStatus*, const OrtSessionOptions*, const char*, int*)
  RKNN_EP_ORT_SLOT(238, GetSessionConfigEntry, OrtStatus*, const OrtSessionOptions*, const char*, char*, size_t*)
  RKNN_EP_ORT_SLOT(247, Logger_LogMessage, OrtStatus*, const OrtLogger*, OrtLoggingLevel, const char*, const char*, int,
                   const char*)
  RKNN_EP_ORT_SLOT(248, Logger_GetLoggingSeverityLevel, OrtStatus*, const OrtLogger*, OrtLoggingLevel*)
  RKNN_EP_ORT_SLOT(250, CastTypeInfoToOptionalTypeInfo, OrtStatus*, const OrtTypeInfo*, const OrtOptionalTypeInfo**)
  RKNN_EP_ORT_SLOT(251, GetOptionalContainedTypeInfo, OrtStatus*, const OrtOptionalTypeInfo*, OrtTypeInfo**)
  RKNN_EP_ORT_SLOT(272, ReadOpAttr, OrtStatus*, const OrtOpAttr*, OrtOpAttrType, void*, size_t, size_t*)
  RKNN_EP_ORT_SLOT(286, ReleaseNode, void, OrtNode*)
  RKNN_EP_ORT_SLOT(289, GetValueInfoName, OrtStatus*, const OrtValueInfo*, const char**)
  RKNN_EP_ORT_SLOT(290, GetValueInfoTypeInfo, OrtStatus*, const OrtValueInfo*, const OrtTypeInfo**)
  RKNN_EP_ORT_SLOT(291, GetModelEditorApi, const OrtModelEditorApi*)
  RKNN_EP_ORT_SLOT(295, CreateKeyValuePairs, void, OrtKeyValuePairs**)
  RKNN_EP_ORT_SLOT(296, AddKeyValuePair, void, OrtKeyValuePairs*, const char*, const char*)
  RKNN_EP_ORT_SLOT(297, GetKeyValue, const char*, const OrtKeyValuePairs*, const char*)
  RKNN_EP_ORT_SLOT(298, GetKeyValuePairs, void, const OrtKeyValuePairs*, const char* const**, const char* const**,
                   size_t*)
  RKNN_EP_ORT_SLOT(300, ReleaseKeyValuePairs, void, OrtKeyValuePairs*)
  RKNN_EP_ORT_SLOT(307, HardwareDevice_Type, OrtHardwareDeviceType, const OrtHardwareDevice*)
  RKNN_EP_ORT_SLOT(308, HardwareDevice_VendorId, uint32_t, const OrtHardwareDevice*)
  RKNN_EP_ORT_SLOT(317, GetEpApi, const OrtEpApi*)
  RKNN_EP_ORT_SLOT(318, GetTensorSizeInBytes, OrtStatus*, const OrtValue*, size_t*)
  RKNN_EP_ORT_SLOT(326, ValueInfo_GetInitializerValue, OrtStatus*, const OrtValueInfo*, const OrtValue**)
  RKNN_EP_ORT_SLOT(332, ValueInfo_IsFromOuterScope, OrtStatus*, const OrtValueInfo*, bool*)
  RKNN_EP_ORT_SLOT(333, Graph_GetName, OrtStatus*, const OrtGraph*, const char**)
  RKNN_EP_ORT_SLOT(334, Graph_GetModelPath, OrtStatus*, const OrtGraph*, const char**)
  RKNN_EP_ORT_SLOT(335, Graph_GetOnnxIRVersion, OrtStatus*, const OrtGraph*, int64_t*)
  RKNN_EP_ORT_SLOT(336, Graph_GetNumOperatorSets, OrtStatus*, const OrtGraph*, size_t*)
  RKNN_EP_ORT_SLOT(337, Graph_GetOperatorSets, OrtStatus*, const OrtGraph*, const char**, int64_t*, size_t)
  RKNN_EP_ORT_SLOT(338, Graph_GetNumInputs, OrtStatus*, const OrtGraph*, size_t*)
  RKNN_EP_ORT_SLOT(339, Graph_GetInputs, OrtStatus*, const OrtGraph*, const OrtValueInfo**, size_t)
  RKNN_EP_ORT_SLOT(340, Graph_GetNumOutputs, OrtStatus*, const OrtGraph*, size_t*)
  RKNN_EP_ORT_SLOT(341, Graph_GetOutputs, OrtStatus*, const OrtGraph*, const OrtValueInfo**, size_t)
  RKNN_EP_ORT_SLOT(342, Graph_GetNumInitializers, OrtStatus*, const OrtGraph*, size_t*)
  RKNN_EP_ORT_SLOT(343, Graph_GetInitializers, OrtStatus*, const OrtGraph*, const OrtValueInfo**, size_t)
  RKNN_EP_ORT_SLOT(344, Graph_GetNumNodes, OrtStatus*, const OrtGraph*, size_t*)
  RKNN_EP_ORT_SLOT(345, Graph_GetNodes, OrtStatus*, const OrtGraph*, const OrtNode**, size_t)
  RKNN_EP_ORT_SLOT(346, Graph_GetParentNode, OrtStatus*, const OrtGraph*, const OrtNode**)
  RKNN_EP_ORT_SLOT(348, Node_GetId, OrtStatus*, const OrtNode*, size_t*)
  RKNN_EP_ORT_SLOT(349, Node_GetName, OrtStatus*, const OrtNode*, const char**)
  RKNN_EP_ORT_SLOT(350, Node_GetOperatorType, OrtStatus*, const OrtNode*, const char**)
  RKNN_EP_ORT_SLOT(351, Node_GetDomain, OrtStatus*, const OrtNode*, const char**)
  RKNN_EP_ORT_SLOT(353, Node_GetNumInputs, OrtStatus*, const OrtNode*, size_t*)
  RKNN_EP_ORT_SLOT(354, Node_GetInputs, OrtStatus*, const OrtNode*, const OrtValueInfo**, size_t)
  RKNN_EP_ORT_SLOT(355, Node_GetNumOutputs, OrtStatus*, const OrtNode*, size_t*)
  RKNN_EP_ORT_SLOT(356, Node_GetOutputs, OrtStatus*, const OrtNode*, const OrtValueInfo**, size_t)
  RKNN_EP_ORT_SLOT(359, Node_GetNumAttributes, OrtStatus*, const OrtNode*, size_t*)
  RKNN_EP_ORT_SLOT(360, Node_GetAttributes, OrtStatus*, const OrtNode*, const OrtOpAttr**, size_t)
  RKNN_EP_ORT_SLOT(361, Node_GetAttributeByName, OrtStatus*, const OrtNode*, const char*, const OrtOpAttr**)
  RKNN_EP_ORT_SLOT(362, OpAttr_GetTensorAttributeAsOrtValue, OrtStatus*, const OrtOpAttr*, OrtValue**)
  RKNN_EP_ORT_SLOT(363, OpAttr_GetType, OrtStatus*, const OrtOpAttr*, OrtOpAttrType*)
  RKNN_EP_ORT_SLOT(364, OpAttr_GetName, OrtStatus*, const OrtOpAttr*, const char**)
  RKNN_EP_ORT_SLOT(365, Node_GetNumSubgraphs, OrtStatus*, const OrtNode*, size_t*)
  RKNN_EP_ORT_SLOT(366, Node_GetSubgraphs, OrtStatus*, const OrtNode*, const OrtGraph**, size_t, const char**)
  RKNN_EP_ORT_SLOT(368, Node_GetEpName, OrtStatus*, const OrtNode*, const char**)
  RKNN_EP_ORT_SLOT(378, GetTensorData, OrtStatus*, const OrtValue*, const void**)
  RKNN_EP_ORT_SLOT(379, GetSessionOptionsConfigEntries, OrtStatus*, const OrtSessionOptions*, OrtKeyValuePairs**)
  RKNN_EP_ORT_SLOT(387, Graph_GetModelMetadata, OrtStatus*, const OrtGraph*, OrtModelMetadata**)
  RKNN_EP_ORT_SLOT(390, TensorTypeAndShape_HasShape, bool, const OrtTensorTypeAndShapeInfo*)  // since 1.24
  RKNN_EP_ORT_SLOT(414, GetTensorElementTypeAndShapeDataReference, OrtStatus*, const OrtValue*,
                   ONNXTensorElementDataType*, const int64_t**, size_t*)  // since 1.24
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
