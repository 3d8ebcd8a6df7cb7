// The exported functions of custom operators.
#include "abi/rknn_custom_op.h"
#include "simulator/context.h"
#include "simulator/export.h"
#include "simulator/guard.h"
#include "simulator/registry.h"

using namespace rknn_ep::simulator;

extern "C" {

RKNN_EP_EXPORT int rknn_register_custom_ops(rknn_context ctx, rknn_custom_op* op, uint32_t custom_op_num) {
  return guarded("rknn_register_custom_ops",
                 [&] { Registry<Context>::instance().find(ctx)->register_custom_ops(op, custom_op_num); });
}

RKNN_EP_EXPORT void rknn_custom_op_get_op_attr(rknn_custom_op_context* op_ctx, const char* attr_name,
                                               rknn_custom_op_attr* op_attr) {
  guarded("rknn_custom_op_get_op_attr", [&] { CustomOps::attribute(op_ctx, attr_name, op_attr); });
}

}  // extern "C"
