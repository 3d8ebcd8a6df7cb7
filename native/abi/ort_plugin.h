// The structures that a plugin provider fills in for ONNX Runtime: field order and offsets are interface facts, proven
// by the static_asserts. ONNX Runtime reads no further than `ort_version_supported` allows, so fields that came after
// API 23 are left out: we say 23.
#pragma once

#include "abi/ort_types.h"

namespace rknn_ep::ort {

struct OrtDataTransferImpl;
struct OrtMemoryDevice;
struct OrtSyncStreamImpl;

struct OrtNodeFusionOptions {
  uint32_t ort_version_supported;
  bool drop_constant_initializers;
};

// An allocator, ours or ONNX Runtime's own; `version` says how far it is filled in.
struct OrtAllocator {
  uint32_t version;
  void* (*Alloc)(OrtAllocator*, size_t size);
  void (*Free)(OrtAllocator*, void* memory);
  const OrtMemoryInfo* (*Info)(const OrtAllocator*);
  void* (*Reserve)(OrtAllocator*, size_t size);
  OrtStatus* (*GetStats)(const OrtAllocator*, OrtKeyValuePairs**);   // may be null
  void* (*AllocOnStream)(OrtAllocator*, size_t size, void* stream);  // may be null
};

struct OrtNodeComputeInfo {
  uint32_t ort_version_supported;
  OrtStatus* (*CreateState)(OrtNodeComputeInfo*, OrtNodeComputeContext*, void** state);
  OrtStatus* (*Compute)(OrtNodeComputeInfo*, void* state, OrtKernelContext*);
  void (*ReleaseState)(OrtNodeComputeInfo*, void* state);
};

struct OrtEp {
  uint32_t ort_version_supported;
  const char* (*GetName)(const OrtEp*);
  OrtStatus* (*GetCapability)(OrtEp*, const OrtGraph*, OrtEpGraphSupportInfo*);
  OrtStatus* (*Compile)(OrtEp*, const OrtGraph** graphs, const OrtNode** fused_nodes, size_t count,
                        OrtNodeComputeInfo** compute_infos, OrtNode** ep_context_nodes);
  void (*ReleaseNodeComputeInfos)(OrtEp*, OrtNodeComputeInfo**, size_t count);
  OrtStatus* (*GetPreferredDataLayout)(OrtEp*, int32_t* layout);
  OrtStatus* (*ShouldConvertDataLayoutForOp)(OrtEp*, const char* domain, const char* op_type, int32_t layout, int*);
  OrtStatus* (*SetDynamicOptions)(OrtEp*, const char* const* keys, const char* const* values, size_t count);
  OrtStatus* (*OnRunStart)(OrtEp*, const OrtRunOptions*);
  OrtStatus* (*OnRunEnd)(OrtEp*, const OrtRunOptions*, bool sync_stream);
  OrtStatus* (*CreateAllocator)(OrtEp*, const OrtMemoryInfo*, OrtAllocator**);
  OrtStatus* (*CreateSyncStreamForDevice)(OrtEp*, const OrtMemoryDevice*, OrtSyncStreamImpl**);
  const char* (*GetCompiledModelCompatibilityInfo)(OrtEp*, const OrtGraph*);
};

struct OrtEpFactory {
  uint32_t ort_version_supported;
  const char* (*GetName)(const OrtEpFactory*);
  const char* (*GetVendor)(const OrtEpFactory*);
  OrtStatus* (*GetSupportedDevices)(OrtEpFactory*, const OrtHardwareDevice* const* devices, size_t device_count,
                                    OrtEpDevice** ep_devices, size_t max_ep_devices, size_t* ep_device_count);
  OrtStatus* (*CreateEp)(OrtEpFactory*, const OrtHardwareDevice* const*, const OrtKeyValuePairs* const*, size_t,
                         const OrtSessionOptions*, const OrtLogger*, OrtEp**);
  void (*ReleaseEp)(OrtEpFactory*, OrtEp*);
  uint32_t (*GetVendorId)(const OrtEpFactory*);
  const char* (*GetVersion)(const OrtEpFactory*);
  OrtStatus* (*ValidateCompiledModelCompatibilityInfo)(OrtEpFactory*, const OrtHardwareDevice* const*, size_t,
                                                       const char* info, OrtCompiledModelCompatibility*);
  OrtStatus* (*CreateAllocator)(OrtEpFactory*, const OrtMemoryInfo*, const OrtKeyValuePairs*, OrtAllocator**);
  void (*ReleaseAllocator)(OrtEpFactory*, OrtAllocator*);
  OrtStatus* (*CreateDataTransfer)(OrtEpFactory*, OrtDataTransferImpl**);
  bool (*IsStreamAware)(const OrtEpFactory*);
  OrtStatus* (*CreateSyncStreamForDevice)(OrtEpFactory*, const OrtMemoryDevice*, const OrtKeyValuePairs*,
                                          OrtSyncStreamImpl**);
};

// The offsets below hold where pointers have 8 bytes: x86-64 and aarch64, which is where ONNX Runtime has wheels.
static_assert(sizeof(void*) == 8);
static_assert(offsetof(OrtNodeFusionOptions, drop_constant_initializers) == 4 && sizeof(OrtNodeFusionOptions) == 8);
static_assert(offsetof(OrtAllocator, Alloc) == 8 && offsetof(OrtAllocator, Free) == 16);
static_assert(offsetof(OrtAllocator, Info) == 24 && offsetof(OrtAllocator, Reserve) == 32);
static_assert(offsetof(OrtAllocator, GetStats) == 40 && offsetof(OrtAllocator, AllocOnStream) == 48);
static_assert(offsetof(OrtNodeComputeInfo, CreateState) == 8 && sizeof(OrtNodeComputeInfo) == 32);
static_assert(offsetof(OrtNodeComputeInfo, Compute) == 16 && offsetof(OrtNodeComputeInfo, ReleaseState) == 24);
static_assert(offsetof(OrtEp, GetName) == 8 && offsetof(OrtEp, GetCapability) == 16 && offsetof(OrtEp, Compile) == 24);
static_assert(offsetof(OrtEp, ReleaseNodeComputeInfos) == 32 && offsetof(OrtEp, SetDynamicOptions) == 56);
static_assert(offsetof(OrtEp, CreateAllocator) == 80 && offsetof(OrtEp, CreateSyncStreamForDevice) == 88);
static_assert(offsetof(OrtEp, GetCompiledModelCompatibilityInfo) == 96 && sizeof(OrtEp) == 104);
static_assert(offsetof(OrtEpFactory, GetName) == 8 && offsetof(OrtEpFactory, GetSupportedDevices) == 24);
static_assert(offsetof(OrtEpFactory, CreateEp) == 32 && offsetof(OrtEpFactory, ReleaseEp) == 40);
static_assert(offsetof(OrtEpFactory, GetVendorId) == 48 && offsetof(OrtEpFactory, GetVersion) == 56);
static_assert(offsetof(OrtEpFactory, ValidateCompiledModelCompatibilityInfo) == 64);
static_assert(offsetof(OrtEpFactory, CreateDataTransfer) == 88 && offsetof(OrtEpFactory, IsStreamAware) == 96);
static_assert(offsetof(OrtEpFactory, CreateSyncStreamForDevice) == 104 && sizeof(OrtEpFactory) == 112);

}  // namespace rknn_ep::ort
